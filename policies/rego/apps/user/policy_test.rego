package apps.user_test

import data.apps.user

members := {"rick": "rick@example.com"}

# asks is a question about a person who is not in the data.
asks(who, action) := {
	"subject": {"type": "user", "id": who, "exists": false, "grants": {}},
	"action": {"name": action},
	"resource": {"type": "user", "id": "beth@example.com", "tenant": "", "covers": ["user", "*"]},
	"now": 1000,
}

test_permit[note] if {
	always := {"not_before": 0, "not_after": 9223372036854775807}
	some note, tc in {
		"known": {"asks": ["rick", "can_read_user"], "given": {}, "want": {"user.member"}},
		"unknown": {"asks": ["jerry", "can_read_user"], "given": {}, "want": set()},
		"of another type": {"asks": ["rick", "can_read_user"], "given": {"subject": {"type": "robot"}}, "want": set()},
		"another action": {"asks": ["rick", "can_delete_user"], "given": {}, "want": set()},
		"granted": {
			"asks": ["carol", "call"],
			"given": {"subject": {"exists": true, "grants": {"": {"user": {"call": {"own": always}}}}}},
			"want": {"user.granted"},
		},
		"not granted": {"asks": ["carol", "call"], "given": {"subject": {"exists": true}}, "want": set()},
		"granted to who is not stored": {
			"asks": ["carol", "call"], "given": {"subject": {"grants": {"": {"user": {"call": {"own": always}}}}}}, "want": set(),
		},
	}
	question := object.union(asks(tc.asks[0], tc.asks[1]), tc.given)
	permit := user.permit with input as question with data.apps.user.members as members
	permit == tc.want
}

test_candidates if {
	got := user.candidates with data.apps.user.members as members
	got.subjects.user == members
	got.resources.user == ["rick@example.com"]
	got.actions.user == ["can_read_user"]
}
