package writ.decision_test

import data.writ.decision

test_result_of_a_permit if {
	result := decision.result with input as base
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "decision.granted"}], "obligations": {}}
}

# A permit that the usual case does not give says the same.
test_result_of_a_permit_by_the_guards if {
	question := object.union(base, {"subject": {"not_after": 5000}})
	count([1 | decision.plain with input as question]) == 0
	result := decision.result with input as question
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "decision.granted"}], "obligations": {}}
}

test_nothing_is_permitted_without_input if {
	decision.result == {"allow": false, "reasons": [], "obligations": {}} with input as {}
}

facts := [
	"subject", "subject/exists", "subject/active", "subject/tenant", "subject/tenant_enabled", "subject/not_before",
	"subject/not_after", "subject/temporary_password", "subject/grants", "action/name", "resource/type", "resource/tenant",
	"resource/covers", "caller/scoped", "caller/tenant", "caller/address",
]

test_every_fact_is_needed[path] if {
	some path in array.concat(facts, ["now"])
	question := object.union(base, {"resource": {"tenant": "acme"}})
	whole := decision.result with input as question
	whole.allow
	cut := decision.result with input as json.remove(question, [path])
	cut.allow == false
}

test_every_fact_is_needed_in_the_usual_case[path] if {
	some path in facts
	question := object.union(base, {
		"subject": {"grants": {"acme": {"ledger": {"read": {"own": always}}}}},
		"resource": {"tenant": "acme"},
	})
	decision.plain with input as question
	cut := decision.result with input as json.remove(question, [path])
	cut.allow == false
}
