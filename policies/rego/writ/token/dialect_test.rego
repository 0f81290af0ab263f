package writ.token_test

import data.writ.token

said(request) := object.get(result, ["obligations", "claims"], "none") if {
	result := token.result with input as request
	result.allow
}

test_claims[note] if {
	lerian := {"context": {"dialect": "lerian"}}
	some note, tc in {
		"native": {"request": person({}), "want": "none"},
		"native machine": {"request": machine({}), "want": "none"},
		"a person": {
			"request": person(lerian),
			"want": {"type": "normal-user", "owner": "lerian"},
		},
		"a machine": {
			"request": machine(lerian),
			"want": {"type": "application", "owner": "lerian"},
		},
		"in a tenant": {
			"request": machine(object.union(lerian, {
				"subject": {"tenant": "acme"},
				"token": {"tenant": "acme"},
			})),
			"want": {"type": "application", "owner": "lerian", "tenantId": "acme"},
		},
		"miniOrange": {
			"request": machine({"context": {"dialect": "miniorange"}}),
			"want": {"grant_type": "client_credentials"},
		},
		"miniOrange, a customer and a name": {
			"request": machine({
				"context": {"dialect": "miniorange"}, "subject": {"tenant": "10001"}, "token": {"tenant": "10001"},
				"client": {"tenant": "10001", "attributes": {"client_name": "My Application", "other": "x"}},
			}),
			"want": {"grant_type": "client_credentials", "customer_id": "10001", "client_name": "My Application"},
		},
		"miniOrange, a name that is no text": {
			"request": machine({"context": {"dialect": "miniorange"}, "client": {"attributes": {"client_name": 5}}}),
			"want": {"grant_type": "client_credentials"},
		},
		"another dialect": {"request": person({"context": {"dialect": "hantera"}}), "want": "none"},
	}
	said(tc.request) == tc.want
}

test_the_owner_is_policy_data if {
	named := object.union(data.settings, {"dialects": {"lerian": {"owner": "acme-org"}}})
	answer := said(person({"context": {"dialect": "lerian"}})) with data.settings as named
	answer.owner == "acme-org"
}

test_the_application_of_a_dialect[note] if {
	built_in := object.union(portal, {"id": "dialect-lerian"})
	some note, tc in {
		"by its dialect": {"client": built_in, "dialect": "lerian", "want": []},
		"by another": {"client": built_in, "dialect": "rustici", "want": ["unauthorized_client"]},
		"by none": {"client": built_in, "dialect": "", "want": ["unauthorized_client"]},
		"another application by the dialect": {"client": portal, "dialect": "lerian", "want": []},
	}
	every grant in ["password", "refresh_token"] {
		answers(wants(ada, tc.client, grant, {"context": {"dialect": tc.dialect}}), tc.want)
	}
}
