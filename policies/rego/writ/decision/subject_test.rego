package writ.decision_test

test_subjects[note] if {
	some note, tc in {
		"ada": {"change": {}, "want": []},
		"unknown": {"change": {"exists": false}, "want": ["no_such_subject"]},
		"inactive": {"change": {"active": false}, "want": ["not_usable"]},
		"tenant disabled": {"change": {"tenant_enabled": false}, "want": ["not_usable"]},
		"at not_before": {"change": {"not_before": 1000}, "want": []},
		"before not_before": {"change": {"not_before": 1001}, "want": ["outside_validity"]},
		"at not_after": {"change": {"not_after": 1000}, "want": ["outside_validity"]},
		"before not_after": {"change": {"not_after": 1001}, "want": []},
		"temporary password": {"change": {"temporary_password": true}, "want": ["password_change_required"]},
	}
	answers(asks(object.union(ada, tc.change), {}), tc.want)
}

test_addresses[address] if {
	some address, want in {
		"allowed": [],
		"unknown": [],
		"refused": ["address_not_allowed"],
		"": ["address_not_allowed"],
	}
	answers(asks(ada, {"caller": {"address": address}}), want)
}

test_tenants[note] if {
	of_acme := object.union(ada, {"tenant": "acme"})
	some note, tc in {
		"no tenant, anywhere": {"subject": ada, "token": "", "resource": "acme", "want": []},
		"own tenant": {"subject": of_acme, "token": "", "resource": "acme", "want": []},
		"none": {"subject": of_acme, "token": "", "resource": "", "want": []},
		"another": {"subject": of_acme, "token": "", "resource": "globex", "want": ["tenant_mismatch"]},
		"narrowed, own": {"subject": ada, "token": "acme", "resource": "acme", "want": []},
		"narrowed, another": {"subject": ada, "token": "acme", "resource": "globex", "want": ["tenant_mismatch"]},
		"token of the own tenant": {"subject": of_acme, "token": "acme", "resource": "acme", "want": []},
		"token of another tenant": {
			"subject": of_acme, "token": "globex", "resource": "globex", "want": ["tenant_mismatch"],
		},
	}
	answers(asks(tc.subject, {"caller": {"tenant": tc.token}, "resource": {"tenant": tc.resource}}), tc.want)
}

test_scopes[note] if {
	some note, tc in {
		"not scoped": {"scoped": false, "scopes": {}, "want": []},
		"in scope": {"scoped": true, "scopes": {"ledger": {"read": true}}, "want": []},
		"pattern": {"scoped": true, "scopes": {"ledger/accounts": {"*": true}}, "want": []},
		"out of scope": {"scoped": true, "scopes": {"ledger": {"write": true}}, "want": ["insufficient_scope"]},
		"no scope": {"scoped": true, "scopes": {}, "want": ["insufficient_scope"]},
	}
	answers(asks(ada, {"caller": {"scoped": tc.scoped, "scopes": tc.scopes}}), tc.want)
}
