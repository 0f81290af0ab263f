package writ.introspection_test

import data.writ.introspection
import data.writ.why

always := {"not_before": 0, "not_after": 9223372036854775807}

api := {
	"type": "application", "id": "app_api", "exists": true, "tenant": "", "tenant_enabled": true, "active": true,
	"not_before": 0, "not_after": 9223372036854775807, "protected": false, "temporary_password": false,
	"groups": {}, "roles": {}, "grants": {}, "scopes": null, "audiences": {}, "grant_types": {}, "retrievable": false,
	"attributes": {}, "properties": {},
}

# introspects is a question of the application about a token; now is 1000 in all tests here.
introspects(given) := object.union(
	{
		"entrypoint": "writ/introspection", "subject": api, "client": null, "token": null,
		"action": {"name": "introspect", "properties": {}},
		"resource": {
			"type": "tokens", "id": "", "tenant": "", "covers": ["tokens", "*"], "self": false, "changes": {},
			"detail": {"audiences": {}, "serves": {}},
		},
		"context": {},
		"caller": {"address": "allowed", "tenant": "", "plane": "", "public": false, "scoped": false, "scopes": {}},
		"now": 1000,
	},
	given,
)

granted := {"subject": {"grants": {"": {"tokens": {"introspect": {"own": always}}}}}}

answers(request, codes) if {
	result := introspection.result with input as request
	reasons := why.result.reasons with input as request
	[reason.code | some reason in reasons] == codes
	permitted := codes == []
	result.allow == permitted
}

test_entitlement[note] if {
	some note, tc in {
		"own token": {"given": {"resource": {"self": true}}, "want": []},
		"served": {
			"given": {"resource": {"detail": {"audiences": {"urn:a": true, "urn:b": true}, "serves": {"urn:b": true}}}}, "want": [],
		},
		"granted": {"given": granted, "want": []},
		"granted and in scope": {
			"given": object.union(granted, {"caller": {"scoped": true, "scopes": {"tokens": {"introspect": true}}}}), "want": [],
		},
		"not served": {
			"given": {"resource": {"detail": {"audiences": {"urn:a": true}, "serves": {"urn:b": true}}}}, "want": ["not_granted"],
		},
		"switched off": {
			"given": {"resource": {"detail": {"audiences": {"urn:a": false}, "serves": {"urn:a": true}}}}, "want": ["not_granted"],
		},
		"out of scope": {"given": object.union(granted, {"caller": {"scoped": true}}), "want": ["not_granted"]},
		"another tenant": {
			"given": {
				"subject": {"grants": {"globex": {"tokens": {"introspect": {"own": always}}}}},
				"caller": {"tenant": "acme"}, "resource": {"tenant": "globex"},
			},
			"want": ["not_granted"],
		},
		"own tenant": {
			"given": {
				"subject": {"tenant": "acme", "grants": {"acme": {"tokens": {"introspect": {"own": always}}}}},
				"resource": {"tenant": "acme"},
			},
			"want": [],
		},
		"every tenant": {
			"given": {
				"subject": {"grants": {"*": {"tokens": {"introspect": {"own": always}}}}}, "resource": {"tenant": "acme"},
			},
			"want": [],
		},
		"a token of no tenant": {"given": object.union(granted, {"caller": {"tenant": "acme"}}), "want": []},
		"nothing": {"given": {}, "want": ["not_granted"]},
	}
	answers(introspects(tc.given), tc.want)
}

test_result_of_a_permit if {
	result := introspection.result with input as introspects(granted)
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "introspection.entitled"}], "obligations": {}}
}

test_what_does_not_hold_is_false if {
	introspection.granted == false with input as introspects({})
	introspection.scoped == false with input as introspects({"caller": {"scoped": true}})
	introspection.placed == false with input as introspects({"caller": {"tenant": "acme"}, "resource": {"tenant": "globex"}})
}

test_own_tokens_by_policy_data if {
	settings := object.union(data.settings, {"introspection": {"own": false}})
	answers(introspects({"resource": {"self": true}}), ["not_granted"]) with data.settings as settings
}

test_callers[note] if {
	some note, tc in {
		"missing": {"given": {"subject": {"exists": false}}, "want": ["not_usable"]},
		"inactive": {"given": {"subject": {"active": false}}, "want": ["not_usable"]},
		"outside": {"given": {"subject": {"not_after": 1000}}, "want": ["outside_validity"]},
		"address": {"given": {"caller": {"address": "unknown"}}, "want": ["address_not_allowed"]},
		"temporary password": {"given": {"subject": {"temporary_password": true}}, "want": ["password_change_required"]},
		"public": {"given": {"caller": {"public": true}}, "want": ["not_granted"]},
	}
	answers(object.union(introspects({"resource": {"self": true}}), tc.given), tc.want)
}

test_nothing_is_permitted_without_input if {
	introspection.result == {"allow": false, "reasons": [], "obligations": {}} with input as {}
}
