package writ.token_test

test_identities[note] if {
	some note, tc in {
		"usable": {"change": {}, "want": []},
		"missing": {"change": {"exists": false}, "want": ["not_usable"]},
		"inactive": {"change": {"active": false}, "want": ["not_usable"]},
		"tenant disabled": {"change": {"tenant_enabled": false}, "want": ["not_usable"]},
		"at not_before": {"change": {"not_before": 1000}, "want": []},
		"before not_before": {"change": {"not_before": 1001}, "want": ["outside_validity"]},
		"at not_after": {"change": {"not_after": 1000}, "want": ["outside_validity"]},
		"before not_after": {"change": {"not_after": 1001}, "want": []},
	}
	answers(person({"subject": tc.change}), tc.want)
	answers(person({"client": tc.change}), tc.want)
}

test_addresses[address] if {
	some address, want in {"allowed": [], "refused": ["address_not_allowed"], "unknown": ["address_not_allowed"]}
	answers(person({"caller": {"address": address}}), want)
}

test_temporary_password[note] if {
	temporary := {"subject": {"temporary_password": true}}
	some note, tc in {
		"signing in": {"request": person(temporary), "want": []},
		"refreshing": {"request": wants(ada, portal, "refresh_token", temporary), "want": ["password_change_required"]},
	}
	answers(tc.request, tc.want)
}
