package writ.decision_test

test_grants[note] if {
	ended := {"not_before": 0, "not_after": 1000}
	begins := {"not_before": 1000, "not_after": 1001}
	later := {"not_before": 1001, "not_after": 2000}
	some note, tc in {
		"exact": {"grants": {"": {"ledger/accounts/1": {"read": {"own": always}}}}, "want": []},
		"path": {"grants": {"": {"ledger/accounts": {"read": {"own": always}}}}, "want": []},
		"everything": {"grants": {"*": {"*": {"*": {"own": always}}}}, "want": []},
		"window": {"grants": {"": {"ledger": {"read": {"own": begins}}}}, "want": []},
		"another source": {"grants": {"": {"ledger": {"read": {"own": ended, "role:a:b": always}}}}, "want": []},
		"none": {"grants": {}, "want": ["not_granted"]},
		"another tenant": {"grants": {"acme": {"ledger": {"read": {"own": always}}}}, "want": ["not_granted"]},
		"another action": {"grants": {"": {"ledger": {"write": {"own": always}}}}, "want": ["not_granted"]},
		"beside": {"grants": {"": {"led": {"read": {"own": always}}}}, "want": ["not_granted"]},
		"ended": {"grants": {"": {"ledger": {"read": {"own": ended}}}}, "want": ["not_granted"]},
		"ended, wildcard": {"grants": {"": {"ledger": {"*": {"own": ended}}}}, "want": ["not_granted"]},
		"later": {"grants": {"": {"ledger": {"read": {"own": later}}}}, "want": ["not_granted"]},
		"later, wildcard": {"grants": {"": {"ledger": {"*": {"own": later}}}}, "want": ["not_granted"]},
		"begins, wildcard": {"grants": {"": {"ledger": {"*": {"own": begins}}}}, "want": []},
	}
	answers(asks(object.union(object.remove(ada, ["grants"]), {"grants": tc.grants}), {}), tc.want)
}

test_actions_of_the_catalogue[note] if {
	catalogue := {"types": {"ledger/accounts": {"actions": {
		"write": {"explicit": false, "implies": ["read"]},
		"seal": {"explicit": true, "implies": []},
	}}}}
	ended := {"not_before": 0, "not_after": 1000}
	begins := {"not_before": 1000, "not_after": 1001}
	later := {"not_before": 1001, "not_after": 2000}
	some note, tc in {
		"implied": {"grants": {"": {"ledger": {"write": {"own": always}}}}, "action": "read", "want": []},
		"not implied": {"grants": {"": {"ledger": {"write": {"own": always}}}}, "action": "list", "want": ["not_granted"]},
		"implied, begins": {"grants": {"": {"ledger": {"write": {"own": begins}}}}, "action": "read", "want": []},
		"implied, later": {
			"grants": {"": {"ledger": {"write": {"own": later}}}}, "action": "read", "want": ["not_granted"],
		},
		"implied, ended": {
			"grants": {"": {"ledger": {"write": {"own": ended}}}}, "action": "read", "want": ["not_granted"],
		},
		"explicit, by wildcard": {
			"grants": {"*": {"*": {"*": {"own": always}}}}, "action": "seal", "want": ["not_granted"],
		},
		"explicit, by name": {"grants": {"": {"ledger": {"seal": {"own": always}}}}, "action": "seal", "want": []},
	}
	subject := object.union(object.remove(ada, ["grants"]), {"grants": tc.grants})
	extended := object.union(data.catalogue, catalogue)
	answers(asks(subject, {"action": {"name": tc.action}}), tc.want) with data.catalogue as extended
}

test_patterns_are_asked_like_rights if {
	pattern := {"type": "ledger", "id": "", "covers": ["ledger", "*"], "tenant": "acme"}
	answers(asks(ada, {"action": {"name": "*"}, "resource": pattern}), [])
	answers(asks(ada, {"action": {"name": "*"}, "resource": object.union(pattern, {"tenant": ""})}), ["not_granted"])
	answers(asks(ada, {"action": {"name": "read"}, "resource": object.union(pattern, {"tenant": "*"})}), ["not_granted"])
}
