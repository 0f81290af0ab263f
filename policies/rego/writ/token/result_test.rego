package writ.token_test

import data.writ.token
import data.writ.why

always := {"not_before": 0, "not_after": 9223372036854775807}

nobody := {
	"type": "", "id": "", "exists": false, "tenant": "", "tenant_enabled": false, "active": false,
	"not_before": 0, "not_after": 9223372036854775807, "protected": false, "temporary_password": false,
	"groups": {}, "roles": {}, "grants": {}, "scopes": null, "audiences": {}, "grant_types": {}, "retrievable": false,
	"attributes": {}, "properties": {},
}

billing := object.union(nobody, {
	"type": "application", "id": "app_billing", "exists": true, "tenant_enabled": true, "active": true,
	"grants": {"acme": {"ledger": {"read": {"own": always}}}},
	"grant_types": {"client_credentials": true},
})

portal := object.union(billing, {
	"id": "app_portal",
	"grant_types": {"client_credentials": false, "password": true, "refresh_token": true},
})

ada := object.union(nobody, {
	"type": "user", "id": "ada", "exists": true, "tenant_enabled": true, "active": true,
	"grants": {"acme": {"ledger": {"read": {"own": always}}}},
})

# wants is a token request; now is 1000 in all tests here.
wants(subject, client, grant_type, given) := object.union(
	{
		"entrypoint": "writ/token", "subject": subject, "client": client,
		"action": {"name": "issue", "properties": {}},
		"resource": {"type": "tokens", "id": "", "tenant": "", "covers": ["tokens", "*"], "self": false, "changes": {}},
		"context": {"dialect": ""},
		"caller": {"address": "allowed", "tenant": "", "plane": "", "public": false},
		"token": {
			"grant_type": grant_type, "named": false, "candidates": ["ledger:read"],
			"audiences": ["https://writ.example/runtime"], "lifetime": 3600, "nonce": null, "tenant": "", "refresh": true, "format": "jwt",
			"audiences_named": false, "down": {},
		},
		"now": 1000,
	},
	given,
)

machine(given) := wants(billing, billing, "client_credentials", given)

person(given) := wants(ada, portal, "password", given)

# answers says that a request is permitted, or denied with exactly these codes in this order.
answers(request, codes) if {
	result := token.result with input as request
	reasons := why.result.reasons with input as request
	[reason.code | some reason in reasons] == codes
	permitted := codes == []
	result.allow == permitted
}

test_token_of_a_machine if {
	result := token.result with input as machine({})
	result == {
		"allow": true, "reasons": [{"code": "granted", "rule": "token.allow"}],
		"obligations": {
			"scopes": ["ledger:read"], "audience": ["https://writ.example/runtime"], "lifetime": 3600, "refresh": false,
			"format": "jwt",
		},
	}
}

test_token_of_a_person if {
	result := token.result with input as person({})
	result.allow
	result.reasons == [{"code": "granted", "rule": "token.allow"}]
	result.obligations.scopes == ["ledger:read"]
	result.obligations.refresh
}

# A refresh token comes with signing in and with refreshing, and with nothing that a machine asks for.
test_refresh_tokens[note] if {
	two := {"token": {"audiences": ["urn:a", "urn:b"], "down": {"urn:b": true}}}
	some note, tc in {
		"signing in": {"request": person({}), "refresh": true},
		"refreshing": {"request": wants(ada, portal, "refresh_token", {}), "refresh": true},
		"a machine, by the guards": {"request": machine(two), "refresh": false},
	}
	result := token.result with input as tc.request
	result.allow
	result.obligations.refresh == tc.refresh
}

test_token_of_a_person_where_refreshing_is_not_listed if {
	result := token.result with input as person({"token": {"refresh": false}})
	result.obligations.refresh == false
}

test_temporary_password_gives_one_scope if {
	result := token.result with input as person({"subject": {"temporary_password": true}})
	result.allow
	result.obligations.scopes == ["me:password"]
	result.obligations.refresh == false
}

test_nothing_is_permitted_without_input if {
	token.result == {"allow": false, "reasons": [], "obligations": {}} with input as {}
}

test_every_fact_is_needed[path] if {
	some path in [
		"subject", "client", "token", "now", "caller/address", "token/grant_type", "token/lifetime", "token/tenant", "token/down", "token/nonce",
		"subject/exists", "subject/active", "subject/tenant_enabled", "subject/not_before", "subject/not_after", "subject/type",
		"subject/temporary_password", "client/exists", "client/active", "client/not_after", "client/grant_types", "client/tenant",
	]
	result := token.result with input as json.remove(person({}), [path])
	result.allow == false
}

test_a_client_is_needed if {
	result := token.result with input as object.union(person({}), {"client": null})
	result.allow == false
}
