package writ.token_test

import data.writ.token

test_grant_types[note] if {
	some note, tc in {
		"machine": {"request": machine({}), "want": []},
		"person": {"request": person({}), "want": []},
		"refreshing": {"request": wants(ada, portal, "refresh_token", {}), "want": []},
		"application with a password": {"request": wants(billing, portal, "password", {}), "want": ["unauthorized_client"]},
		"person with client_credentials": {
			"request": wants(ada, billing, "client_credentials", {}), "want": ["unauthorized_client"],
		},
		"not listed": {"request": wants(ada, billing, "password", {}), "want": ["unauthorized_client"]},
		"switched off": {"request": wants(billing, portal, "client_credentials", {}), "want": ["unauthorized_client"]},
		"unknown": {"request": wants(ada, portal, "implicit", {}), "want": ["unauthorized_client", "unauthorized_client"]},
	}
	answers(tc.request, tc.want)
}

test_settings if {
	settings := object.union(data.settings, {"token": {"application_password": true, "user_client_credentials": true}})
	listing := object.union(billing, {"grant_types": {"password": true}})
	answers(wants(listing, portal, "password", {}), []) with data.settings as settings
	answers(wants(billing, portal, "password", {}), ["unauthorized_client"]) with data.settings as settings
	answers(wants(listing, portal, "implicit", {}), ["unauthorized_client", "unauthorized_client"]) with data.settings as settings
	answers(wants(listing, portal, "password", {}), ["unauthorized_client"])
	answers(wants(ada, billing, "client_credentials", {}), []) with data.settings as settings
}

# In a dialect an application that lists client_credentials need not list the grant type, where policy data says so.
test_an_application_with_a_password_in_a_dialect[note] if {
	listing := object.union(billing, {"grant_types": {"password": true}})
	bare := object.union(object.remove(billing, ["grant_types"]), {"grant_types": {}})
	some note, tc in {
		"rustici": {"subject": billing, "dialect": "rustici", "want": []},
		"rustici, listing it": {"subject": listing, "dialect": "rustici", "want": []},
		"rustici, listing nothing": {"subject": bare, "dialect": "rustici", "want": ["unauthorized_client"]},
		"another": {"subject": listing, "dialect": "hantera", "want": ["unauthorized_client"]},
		"native": {"subject": listing, "dialect": "", "want": ["unauthorized_client"]},
	}
	answers(wants(tc.subject, portal, "password", {"context": {"dialect": tc.dialect}, "token": {"tenant": "acme"}}), tc.want)
}

test_a_tenant_is_named_in_a_dialect[note] if {
	some note, tc in {
		"none of several": {"dialect": "rustici", "holds": ["acme", "globex"], "token": "", "want": ["tenant_required"]},
		"one of them": {"dialect": "rustici", "holds": ["acme", "globex"], "token": "acme", "want": []},
		"none is needed": {"dialect": "rustici", "holds": ["*", "acme"], "token": "", "want": []},
		"nothing is held": {"dialect": "rustici", "holds": [], "token": "", "want": []},
		"native": {"dialect": "", "holds": ["acme"], "token": "", "want": []},
	}
	held := {tenant: {"jobs": {"read": {"own": always}}} | some tenant in tc.holds}
	subject := object.union(object.remove(billing, ["grants"]), {"grants": held})
	request := wants(subject, subject, "client_credentials", {
		"context": {"dialect": tc.dialect}, "token": {"tenant": tc.token},
	})
	answers(request, tc.want)
}

test_a_grant_type_of_nobody_fits_no_application if {
	request := wants(billing, billing, "device_code", {"context": {"dialect": "rustici"}})
	fits := token.fitting with input as request
	fits == false
}

# Where it is demanded of all, the usual case demands it, too.
test_a_tenant_is_named_everywhere[note] if {
	settings := object.union(data.settings, {"tenants": {"named": true}})
	some note, tc in {
		"none of several": {"holds": ["acme", "globex"], "want": ["tenant_required"]},
		"none is needed": {"holds": ["*", "acme"], "want": []},
	}
	held := {tenant: {"jobs": {"read": {"own": always}}} | some tenant in tc.holds}
	subject := object.union(object.remove(billing, ["grants"]), {"grants": held})
	answers(wants(subject, subject, "client_credentials", {}), tc.want) with data.settings as settings
}

test_tenants[note] if {
	some note, tc in {
		"none": {"identity": "", "token": "", "want": []},
		"own": {"identity": "acme", "token": "acme", "want": []},
		"not said": {"identity": "acme", "token": "", "want": []},
		"another": {"identity": "acme", "token": "globex", "want": ["tenant_mismatch"]},
		"narrowed to where it holds grants": {"identity": "", "token": "acme", "want": []},
		"narrowed to where it holds none": {"identity": "", "token": "globex", "want": ["tenant_mismatch"]},
	}
	answers(person({"subject": {"tenant": tc.identity}, "token": {"tenant": tc.token}}), tc.want)
}

test_an_identity_of_a_tenant_is_not_narrowed_to_another if {
	elsewhere := {"globex": {"ledger": {"read": {"own": always}}}}
	answers(
		person({"subject": {"tenant": "acme", "grants": elsewhere}, "token": {"tenant": "globex"}}),
		["tenant_mismatch"],
	)
}

test_narrowing_a_right_in_every_tenant if {
	everywhere := {"*": {"ledger": {"read": {"own": always}}}}
	answers(person({"subject": {"grants": everywhere}, "token": {"tenant": "globex"}}), [])
}

test_tenant_of_the_application[note] if {
	some note, tc in {
		"none": {"client": "", "identity": "acme", "want": []},
		"the same": {"client": "acme", "identity": "acme", "want": []},
		"another": {"client": "acme", "identity": "globex", "want": ["tenant_mismatch"]},
		"a person of none": {"client": "acme", "identity": "", "want": ["tenant_mismatch"]},
	}
	answers(person({"client": {"tenant": tc.client}, "subject": {"tenant": tc.identity}}), tc.want)
}

test_lifetime[note] if {
	some note, tc in {
		"a second": {"lifetime": 1, "want": []},
		"none": {"lifetime": 0, "want": ["outside_validity"]},
		"less than none": {"lifetime": -5, "want": ["outside_validity"]},
	}
	answers(machine({"token": {"lifetime": tc.lifetime}}), tc.want)
	answers(person({"token": {"lifetime": tc.lifetime}}), tc.want)
}

test_served_audiences[note] if {
	two := ["https://writ.example/runtime", "urn:ledger"]
	some note, tc in {
		"all up": {"token": {"audiences": two}, "want": []},
		"named ones up": {"token": {"audiences": two, "audiences_named": true}, "want": []},
		"one down": {"token": {"audiences": two, "down": {"urn:ledger": true}}, "want": []},
		"the named one down": {
			"token": {"audiences": two, "audiences_named": true, "down": {"urn:ledger": true}}, "want": ["audience_down"],
		},
		"all down": {"token": {"audiences": ["urn:ledger"], "down": {"urn:ledger": true}}, "want": ["audience_down"]},
	}
	answers(machine({"token": tc.token}), tc.want)
	answers(wants(ada, portal, "refresh_token", {"token": tc.token}), tc.want)
}

test_what_is_down_is_not_granted if {
	request := person({"token": {"audiences": ["https://writ.example/runtime", "urn:ledger"], "down": {"urn:ledger": true}}})
	result := token.result with input as request
	result.obligations.audience == ["https://writ.example/runtime"]
}

at(seconds) := seconds * 1000000000

nonced(seconds, sent) := machine({"now": at(seconds), "token": {"nonce": sent}})

test_nonce[note] if {
	some note, tc in {
		"now": {"now": 10000, "sent": 10000, "want": []},
		"at the begin": {"now": 10000, "sent": 9700, "want": []},
		"at the end": {"now": 10000, "sent": 10300, "want": []},
		"too old": {"now": 10000, "sent": 9699, "want": ["replayed"]},
		"too young": {"now": 10000, "sent": 10301, "want": ["replayed"]},
		"none": {"now": 10000, "sent": null, "want": []},
	}
	answers(nonced(tc.now, tc.sent), tc.want)
}

test_nonce_to_the_nanosecond if {
	answers(machine({"now": at(10000) + 1, "token": {"nonce": 9700}}), ["replayed"])
	answers(machine({"now": at(10000) - 1, "token": {"nonce": 10300}}), ["replayed"])
}

test_nonce_demanded if {
	settings := object.union(data.settings, {"token": {"nonce_required": true}})
	answers(nonced(10000, null), ["replayed"]) with data.settings as settings
	answers(nonced(10000, 10000), []) with data.settings as settings
}

test_no_window_is_wider_than_a_day if {
	settings := object.union(data.settings, {"token": {"nonce_window_seconds": 1000000}})
	answers(nonced(200000, 113600), []) with data.settings as settings
	answers(nonced(200000, 113599), ["replayed"]) with data.settings as settings
}
