package writ.why_test

import data.writ.decision_test
import data.writ.why

test_the_rule_is_named if {
	question := decision_test.asks(decision_test.ada, {"action": {"name": "write"}})
	why.result.reasons == [{"code": "not_granted", "rule": "decision.granted"}] with input as question
}
