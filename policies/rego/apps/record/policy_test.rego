package apps.record_test

import data.apps.record

always := {"not_before": 0, "not_after": 9223372036854775807}

# asks is a question of a subject of no stored identity, without any properties.
asks(who, action, id) := {
	"subject": {"type": "user", "id": who, "exists": false, "properties": {}, "grants": {}},
	"action": {"name": action, "properties": {}},
	"resource": {
		"type": "record", "id": id, "tenant": "", "covers": [concat("/", ["record", id]), "record", "*"], "properties": {},
	},
	"now": 1000,
}

test_permit[note] if {
	admin := {"subject": {"properties": {"role": "admin"}}}
	archived := {"resource": {"properties": {"status": "archived"}}}
	soft := {"action": {"properties": {"soft": true}}}
	some note, tc in {
		"alice reads": {"asks": ["alice", "read", "record-1"], "given": {}, "want": {"record.reader"}},
		"bob reads": {"asks": ["bob", "read", "record-1"], "given": {}, "want": {"record.reader"}},
		"a stranger reads": {"asks": ["mallory", "read", "record-1"], "given": {}, "want": set()},
		"alice reads what is not there": {"asks": ["alice", "read", "record-3"], "given": {}, "want": set()},
		"alice reads something else": {
			"asks": ["alice", "read", "record-1"], "given": {"resource": {"type": "record/page"}}, "want": set(),
		},
		"alice writes": {"asks": ["alice", "write", "record-1"], "given": {}, "want": {"record.owner"}},
		"alice writes what is said to be archived": {
			"asks": ["alice", "write", "record-1"], "given": archived, "want": {"record.owner"},
		},
		"alice writes what is archived": {"asks": ["alice", "write", "record-2"], "given": {}, "want": set()},
		"alice claims to be an admin": {"asks": ["alice", "write", "record-2"], "given": admin, "want": {"record.admin"}},
		"bob writes": {"asks": ["bob", "write", "record-1"], "given": {}, "want": set()},
		"bob writes what is archived": {"asks": ["bob", "write", "record-2"], "given": {}, "want": {"record.admin"}},
		"bob claims not to be an admin": {
			"asks": ["bob", "write", "record-2"], "given": {"subject": {"properties": {"role": "reader"}}},
			"want": {"record.admin"},
		},
		"a stranger claims to be an admin": {"asks": ["mallory", "write", "record-2"], "given": admin, "want": set()},
		"alice deletes": {"asks": ["alice", "delete", "record-1"], "given": {}, "want": set()},
		"alice deletes softly": {"asks": ["alice", "delete", "record-1"], "given": soft, "want": {"record.owner"}},
		"bob deletes softly": {"asks": ["bob", "delete", "record-1"], "given": soft, "want": set()},
		"alice reads softly": {"asks": ["alice", "read", "record-1"], "given": soft, "want": {"record.reader"}},
		"bob reads what is archived": {"asks": ["bob", "read", "record-2"], "given": {}, "want": {"record.reader"}},
		"alice of another type deletes softly": {
			"asks": ["alice", "delete", "record-1"], "given": object.union({"subject": {"type": "robot"}}, soft), "want": set(),
		},
		"somebody without a grant": {"asks": ["carol", "write", "record-9"], "given": {"subject": {"exists": true}}, "want": set()},
		"who has a grant and is not stored": {
			"asks": ["carol", "write", "record-9"],
			"given": {"subject": {"grants": {"": {"record": {"write": {"own": always}}}}}},
			"want": set(),
		},
		"alice of another type": {
			"asks": ["alice", "read", "record-1"], "given": {"subject": {"type": "robot"}}, "want": set(),
		},
		"somebody with a grant": {
			"asks": ["carol", "write", "record-9"],
			"given": {"subject": {"exists": true, "grants": {"": {"record": {"write": {"own": always}}}}}},
			"want": {"record.granted"},
		},
	}
	question := object.union(asks(tc.asks[0], tc.asks[1], tc.asks[2]), tc.given)
	permit := record.permit with input as question
	permit == tc.want
}

test_without_what_a_rule_needs[path] if {
	some path, action in {
		"subject/type": "write",
		"subject/id": "write",
		"subject/properties": "write",
		"resource/id": "write",
		"resource/type": "write",
		"resource/properties": "write",
		"action/name": "write",
		"action/properties": "delete",
	}
	permit := record.permit with input as json.remove(asks("alice", action, "record-1"), [path])
	permit == set()
}

test_candidates if {
	record.candidates.subjects.user.alice
	record.candidates.resources.record["record-2"]
	record.candidates.actions.record == ["read", "write", "delete"]
}
