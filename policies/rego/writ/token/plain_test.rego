package writ.token_test

import data.writ.token

test_a_machine_is_plain if {
	token.plain with input as machine({})
}

test_a_person_is_not_plain if {
	count([1 | token.plain with input as person({})]) == 0
}

# The guards, by their names.
guarded if {
	token.usable
	token.client_usable
	token.valid
	token.client_valid
	token.addressed
	token.settled
	token.fitting
	token.registered
	token.placed
	token.lasting
	token.served
}

test_what_is_written_out_is_the_guards[case] if {
	some side in ["subject", "client"]
	some note, change in {
		"as it is": {}, "gone": {"exists": false}, "inactive": {"active": false}, "disabled": {"tenant_enabled": false},
		"too early": {"not_before": 1001}, "too late": {"not_after": 1000}, "elsewhere": {"tenant": "acme"},
		"a person": {"type": "user"}, "temporary": {"temporary_password": true},
		"not listed": {"grant_types": {"client_credentials": false}},
	}
	case := concat(" ", [side, note])
	every given in [
		{}, {"caller": {"address": "refused"}}, {"caller": {"address": "unknown"}}, {"token": {"lifetime": 0}},
		{"token": {"tenant": "acme"}}, {"token": {"tenant": "globex"}}, {"token": {"grant_type": "password"}}, {"token": {"down": {"urn:other": true}}},
		{"token": {"down": {"https://writ.example/runtime": true}}},
	] {
		request := object.union(machine({side: change}), given)
		plain := count([1 | token.plain with input as request])
		named := count([1 | guarded with input as request])
		plain <= named
		result := token.result with input as request
		named == {true: 1, false: 0}[result.allow]
	}
}
