package writ.decision_test

import data.writ.decision

test_the_usual_case_is_plain if {
	decision.plain with input as base
}

test_what_is_not_plain_is_decided_all_the_same[note] if {
	some note, change in {
		"a window": {"subject": {"not_after": 5000}},
		"a token": {"caller": {"scoped": true, "scopes": {"ledger": {"read": true}}}},
		"a grant with a window": {"resource": {"tenant": "acme"}, "action": {"name": "write"}},
	}
	question := object.union(base, change)
	count([1 | decision.plain with input as question]) == 0
	result := decision.result with input as question
	result.allow
}

# The guards, by their names, where grants decide.
guarded if {
	decision.known
	decision.usable
	decision.valid
	decision.addressed
	decision.settled
	decision.placed
	decision.scoped
	decision.granted
	decision.governed == false
}

test_what_is_written_out_is_the_guards[note] if {
	some exists in [true, false]
	some active in [true, false]
	some enabled in [true, false]
	some from in [0, 1001]
	some temporary in [true, false]
	some address in ["allowed", "refused"]
	some tenant in ["", "globex"]
	some scoped in [true, false]
	note := sprintf("%v %v %v %v %v %v %v %v", [exists, active, enabled, from, temporary, address, tenant, scoped])
	question := object.union(base, {
		"subject": {
			"exists": exists, "active": active, "tenant_enabled": enabled, "not_before": from,
			"temporary_password": temporary, "tenant": tenant,
		},
		"caller": {"address": address, "scoped": scoped},
		"resource": {"tenant": "acme"},
	})
	result := decision.result with input as question
	named := count([1 | guarded with input as question])
	named == {true: 1, false: 0}[result.allow]
}
