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
	token.addressee
	token.placed
	token.situated
	token.lasting
	token.served
}

# The application of a dialect serves that dialect alone, also where it could have a token by itself.
test_the_application_of_a_dialect_is_refused_elsewhere if {
	request := machine({"client": {"id": "dialect-lerian"}})
	result := token.result with input as request
	result == {"allow": false, "reasons": [], "obligations": {}}
	answers(request, ["unauthorized_client"])
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

# What the guards say, with everything that they say: by no rule that is written out for speed.
by_the_guards := {
	"allow": true, "reasons": [{"code": "granted", "rule": "token.allow"}],
	"obligations": object.union(
		{
			"scopes": token.scopes, "audience": token.audiences, "lifetime": input.token.lifetime, "refresh": token.refreshable,
			"format": input.token.format,
		},
		token.beside,
	),
} if {
	token.allow
} else := {"allow": false, "reasons": [], "obligations": {}}

# By every dialect, whatever policy data says of it, the answer is that of the guards.
test_by_dialects_the_answer_is_that_of_the_guards[case] if {
	some dialect in ["", "hantera", "lerian", "miniorange", "policyserver", "rustici", "unknown", 5, null]
	some note, own in {
		"nothing": {}, "tenants named": {"tenants": {"named": true}}, "tenants not named": {"tenants": {"named": false}},
		"tenants of a text": {"tenants": {"named": "true"}},
		"everybody": {"token": {"application_password": true, "user_client_credentials": true}},
		"the application of another": {"application": "dialect-lerian"},
	}
	case := concat(" ", [json.marshal(dialect), note])
	settings := object.union(data.settings, {"dialects": {"lerian": own, "rustici": own, "hantera": own}})
	every given in [
		{}, {"token": {"tenant": "acme"}}, {"subject": {"tenant": "acme"}, "client": {"tenant": "acme"}, "token": {"tenant": "acme"}},
		{"subject": {"grants": {"*": {"ledger": {"read": {"own": always}}}}}}, {"subject": {"type": "user"}}, {"client": {"id": "dialect-lerian"}},
		{"subject": {"temporary_password": true}}, {"token": {"nonce": 1000}}, {"token": {"down": {"urn:other": true}}}, {"caller": {"address": "refused"}},
		{"token": {"grant_type": "password"}, "client": {"grant_types": {"password": true}}}, {"client": {"attributes": {"client_name": "Mine"}}},
	] {
		request := object.union(machine(given), {"context": {"dialect": dialect}})
		wanted := by_the_guards with input as request with data.settings as settings
		result := token.result with input as request with data.settings as settings
		result == wanted
	}
}

# The usual case, by a dialect, asks no guard.
test_a_machine_by_a_dialect_asks_no_guard[dialect] if {
	some dialect in ["lerian", "miniorange", "hantera", "policyserver"]
	request := machine({"context": {"dialect": dialect}})
	result := token.result with input as request with token.allow as false
	result.allow
}

test_where_tenants_are_named_a_machine_by_a_dialect_asks_them if {
	request := machine({"context": {"dialect": "rustici"}})
	result := token.result with input as request
	result == {"allow": false, "reasons": [], "obligations": {}}
	answers(object.union(request, {"token": {"tenant": "acme"}}), [])
}
