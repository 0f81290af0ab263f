package writ.admin_test

import data.writ.admin

in_settings(settings, codes, request) if {
	answers(request, codes) with data.settings as object.union(data.settings, settings)
}

test_callers[note] if {
	some note, tc in {
		"owner": {"request": base, "want": []},
		"missing": {"request": asks(nobody, {}), "want": ["not_usable"]},
		"inactive": {"request": asks(object.union(owner, {"active": false}), {}), "want": ["not_usable"]},
		"tenant disabled": {"request": asks(object.union(owner, {"tenant_enabled": false}), {}), "want": ["not_usable"]},
		"at not_before": {"request": asks(object.union(owner, {"not_before": 1000}), {}), "want": []},
		"before not_before": {"request": asks(object.union(owner, {"not_before": 1001}), {}), "want": ["outside_validity"]},
		"at not_after": {"request": asks(object.union(owner, {"not_after": 1000}), {}), "want": ["outside_validity"]},
		"before not_after": {"request": asks(object.union(owner, {"not_after": 1001}), {}), "want": []},
		"address refused": {"request": asks(owner, {"caller": {"address": "refused"}}), "want": ["address_not_allowed"]},
		"address unknown": {"request": asks(owner, {"caller": {"address": "unknown"}}), "want": ["address_not_allowed"]},
		"temporary password": {
			"request": asks(object.union(owner, {"temporary_password": true}), {}),
			"want": ["password_change_required"],
		},
		"all at once": {
			"request": asks(
				object.union(nobody, {"temporary_password": true, "not_after": 1}),
				{"caller": {"address": "", "plane": "elsewhere"}},
			),
			"want": ["not_usable", "outside_validity", "address_not_allowed", "wrong_audience", "password_change_required"],
		},
	}
	answers(tc.request, tc.want)
}

test_a_missing_fact_refuses[fact] if {
	some fact in ["exists", "active", "tenant_enabled", "not_before", "not_after", "temporary_password"]
	request := asks(object.remove(owner, [fact]), {})
	result := admin.result with input as request
	result == {"allow": false, "reasons": [], "obligations": {}}
}

basic(type, subject, audiences) := object.union(
	object.remove(asks(subject, {"resource": {"type": type, "self": type == "me"}}), ["caller"]),
	{"caller": object.union(
		object.remove(base.caller, ["audiences"]),
		{"basic": true, "user_token": false, "audiences": audiences},
	)},
)

test_basic[note] if {
	front := app("app_front", {"grants": everything})
	dumb := object.union(object.remove(front, ["grant_types"]), {"grant_types": {"password": true}})
	management := {"https://writ.example/management": true}
	runtime := {"https://writ.example/runtime": true}
	some note, tc in {
		"could have a token": {"request": basic("iam/users", front, management), "want": []},
		"no client_credentials": {"request": basic("iam/users", dumb, management), "want": ["basic_not_accepted"]},
		"the other API, about oneself": {"request": basic("me", front, runtime), "want": ["basic_not_accepted"]},
		"the other API": {
			"request": basic("iam/users", front, runtime),
			"want": ["wrong_audience", "basic_not_accepted"],
		},
	}
	answers(tc.request, tc.want)
}

test_audiences[note] if {
	some note, tc in {
		"runtime only": {
			"audiences": {"https://writ.example/runtime": true}, "plane": "management", "want": ["wrong_audience"],
		},
		"management only": {"audiences": {"https://writ.example/management": true}, "plane": "management", "want": []},
		"look-alike": {
			"audiences": {"https://writ.example/notmanagement": true}, "plane": "management", "want": ["wrong_audience"],
		},
		"none": {"audiences": {}, "plane": "management", "want": ["wrong_audience"]},
		"no plane": {"audiences": {}, "plane": "", "want": []},
	}
	request := object.union(
		object.remove(base, ["caller"]),
		{"caller": object.union(
			object.remove(base.caller, ["audiences"]),
			{"audiences": tc.audiences, "plane": tc.plane},
		)},
	)
	answers(request, tc.want)
}

test_exact_audiences if {
	named := {"audiences": {"management": {"urn:admin": true}}}
	in_settings(named, ["wrong_audience"], base)
	in_settings(named, [], asks(owner, {"caller": {"audiences": {"urn:admin": true}}}))
}

test_oneself_takes_either_audience if {
	caller := object.union(
		object.remove(base.caller, ["audiences"]),
		{"audiences": {"https://writ.example/runtime": true}},
	)
	request := object.union(object.remove(base, ["caller"]), on("me", "", "read", {"self": true}))
	answers(object.union(request, {"caller": caller}), [])
	answers(
		object.union(request, {"caller": object.union(
			object.remove(caller, ["audiences"]),
			{"audiences": {"https://other.example": true}},
		)}),
		["wrong_audience"],
	)
}

# A token for the management API alone will do for oneself on the runtime API, and one for the runtime API for the OAuth endpoints.
test_either_audience_takes_either_plane[note] if {
	some note, tc in {
		"oneself, on the runtime API": {"request": on("me", "", "read", {"self": true}), "plane": "runtime", "audience": "management"},
		"own token": {"request": on("tokens", "t1", "revoke", {"self": true}), "plane": "management", "audience": "runtime"},
	}
	request := object.union(object.remove(base, ["caller"]), tc.request)
	caller := object.union(object.remove(base.caller, ["audiences"]), {
		"plane": tc.plane, "audiences": {concat("/", ["https://writ.example", tc.audience]): true},
	})
	answers(object.union(request, {"caller": caller}), [])
}

test_a_temporary_password_settles_nothing_elsewhere if {
	admin.settled == false with input as asks(user("ted", {"temporary_password": true}), on("iam/users", "ted", "password", {"self": true}))
}

test_temporary_password_may_be_changed if {
	subject := user("ted", {"temporary_password": true})
	change := {"self": true, "changes": {"password": true}, "proof": "password", "before": subject, "after": subject}
	answers(asks(subject, on("me", "", "password", change)), [])
	answers(asks(subject, on("me", "", "write", {"self": true, "changes": {"name": true}})), ["password_change_required"])
}

of_a_dialect(settings) := {"dialects": {"policyserver": settings}}

spoken(request) := object.union(request, {"context": {"dialect": "policyserver"}})

test_user_tokens[note] if {
	entitled := {"admin": {"user_tokens": {"own": "entitled", "external": "entitled"}}}
	strict := {"admin": {"user_tokens": {"own": "administrators", "external": "administrators"}}}
	nonsense := {"admin": {"user_tokens": {"own": "", "external": "all"}}}
	reader := user("rita", {"grants": {"": {"iam/users": {"read": {"own": always}}}}})
	named := {"administrators": {"ids": {"rita": true}}}
	own := asks(reader, on("iam/users", "u1", "read", {}))
	external := object.union(own, {"caller": {"external": true}})
	foreign := {"admin": {"user_tokens": {"own": "administrators", "external": "entitled"}}}
	some note, tc in {
		"own, where external ones are entitled": {"request": own, "settings": foreign, "want": ["not_administrator"]},
		"external, of no API": {"request": object.union(external, {"caller": {"plane": ""}}), "settings": {}, "want": []},
		"own, by default": {"request": own, "settings": {}, "want": []},
		"external, by default": {"request": external, "settings": {}, "want": ["not_administrator"]},
		"own, administrators": {"request": own, "settings": strict, "want": ["not_administrator"]},
		"external, entitled": {"request": external, "settings": entitled, "want": []},
		"own, nonsense": {"request": own, "settings": nonsense, "want": ["not_administrator"]},
		"external, nonsense": {"request": external, "settings": nonsense, "want": ["not_administrator"]},
		"own, by a dialect": {"request": spoken(own), "settings": of_a_dialect(strict), "want": ["not_administrator"]},
		"own, not by the dialect": {"request": own, "settings": of_a_dialect(strict), "want": []},
		"external, by a dialect": {"request": spoken(external), "settings": of_a_dialect(entitled), "want": []},
		"external, by another": {"request": spoken(external), "settings": {"dialects": {"hantera": entitled}}, "want": ["not_administrator"]},
		"named": {"request": external, "settings": named, "want": []},
		"by role": {
			"request": asks(object.union(reader, {"roles": {"system:owner": true}}), external_read), "settings": {}, "want": [],
		},
		"application": {"request": object.union(own, {"caller": {"user_token": false}}), "settings": strict, "want": []},
		"runtime": {"request": object.union(external, {"caller": {"plane": "runtime"}}), "settings": {}, "want": []},
		"oneself": {
			"request": object.union(asks(reader, on("me", "", "read", {"self": true})), {"caller": {"external": true}}),
			"settings": {}, "want": [],
		},
	}
	in_settings(tc.settings, tc.want, tc.request)
}

external_read := object.union(on("iam/users", "u1", "read", {}), {"caller": {"external": true}})
