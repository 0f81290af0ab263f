package writ.candidates_test

import data.writ.candidates

known := {
	"subjects": {"user": ["alice", "bob"]},
	"resources": {"record": {"record-1": {"status": "active"}}, "record/page": {"1"}},
	"actions": {"record": {"read", "write"}},
}

# A question about a record that says everything.
whole := {
	"subject": {"type": "user", "id": "alice"},
	"action": {"name": "read"},
	"resource": {"type": "record", "id": "record-1"},
}

test_what_a_question_leaves_out_is_looked_for[note] if {
	some note, tc in {
		"a subject": {"given": {"subject": {"id": ""}}, "want": {"alice", "bob"}},
		"a subject of another type": {"given": {"subject": {"type": "robot", "id": ""}}, "want": set()},
		"a resource": {"given": {"resource": {"id": ""}}, "want": {"record-1"}},
		"a resource of a type below": {"given": {"resource": {"type": "record/page", "id": ""}}, "want": {"1"}},
		"a resource of no application": {"given": {"resource": {"type": "ledger", "id": ""}}, "want": set()},
		"an action": {"given": {"action": {"name": ""}}, "want": {"read", "write"}},
		"nothing": {"given": {}, "want": set()},
	}
	got := candidates.result.candidates with input as object.union(whole, tc.given)
		with data.apps.record.candidates as known
	{name | some name in got} == tc.want
}

test_what_is_no_list_has_no_names if {
	got := candidates.result with input as object.union(whole, {"action": {"name": ""}})
		with data.apps.record.candidates as {"actions": {"record": "read"}}
	got == {"candidates": []}
}

test_nothing_is_known_without_input if {
	candidates.result == {"candidates": []} with input as {}
}
