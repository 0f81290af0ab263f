package writ.detail_test

import data.writ.decision_test
import data.writ.detail

always := {"not_before": 0, "not_after": 9223372036854775807}

ended := {"not_before": 0, "not_after": 1000}

begins := {"not_before": 1001, "not_after": 2000}

# holding is a question about ada with these grants and no others. now is 1000.
holding(grants, given) := decision_test.asks(
	object.union(object.remove(decision_test.ada, ["grants"]), {"grants": grants}),
	given,
)

test_the_narrowest_grant_is_wanted if {
	question := decision_test.asks(decision_test.ada, {"action": {"name": "close"}, "resource": {"tenant": "acme"}})
	wanted := detail.result.wanted with input as question
	wanted == {"tenant": "acme", "resource": "ledger/accounts/1", "action": "close"}
}

test_closed_grants[note] if {
	some note, tc in {
		"open": {"grants": {"": {"ledger": {"read": {"own": always}}}}, "want": []},
		"ended": {
			"grants": {"": {"ledger": {"read": {"own": ended}}}},
			"want": [object.union(ended, {"via": "own", "tenant": "", "resource": "ledger", "action": "read"})],
		},
		"not begun, in every tenant, by a role": {
			"grants": {"*": {"*": {"*": {"role:a:b": begins}}}},
			"want": [object.union(begins, {"via": "role:a:b", "tenant": "*", "resource": "*", "action": "*"})],
		},
		"another action": {"grants": {"": {"ledger": {"write": {"own": ended}}}}, "want": []},
		"another resource": {"grants": {"": {"led": {"read": {"own": ended}}}}, "want": []},
		"another tenant": {"grants": {"acme": {"ledger": {"read": {"own": ended}}}}, "want": []},
	}
	closed := detail.result.closed with input as holding(tc.grants, {})
	closed == tc.want
}

test_actions_of_the_catalogue[note] if {
	catalogue := object.union(data.catalogue, {"types": {"ledger/accounts": {"actions": {
		"write": {"explicit": false, "implies": ["read"]},
		"seal": {"explicit": true, "implies": []},
	}}}})
	some note, tc in {
		"an action that implies it": {"granted": "write", "asked": "read", "want": ["write"]},
		"an action that does not imply it": {"granted": "seal", "asked": "read", "want": []},
		"everything": {"granted": "*", "asked": "read", "want": ["*"]},
		"everything is not what is explicit": {"granted": "*", "asked": "seal", "want": []},
	}
	question := holding({"": {"ledger": {tc.granted: {"own": ended}}}}, {"action": {"name": tc.asked}})
	closed := detail.result.closed with input as question with data.catalogue as catalogue
	[window.action | some window in closed] == tc.want
}

test_closed_subject[note] if {
	some note, tc in {
		"inside": {"change": {}, "want": []},
		"ended": {"change": {"not_after": 1000}, "want": [{"via": "subject", "not_before": 0, "not_after": 1000}]},
		"not there": {"change": {"exists": false, "not_after": 1000}, "want": []},
	}
	closed := detail.result.closed with input as decision_test.asks(object.union(decision_test.ada, tc.change), {})
	closed == tc.want
}

test_nothing_is_told_without_input if {
	detail.result == {"wanted": {}, "closed": []} with input as {}
}
