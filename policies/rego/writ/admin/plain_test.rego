package writ.admin_test

import data.writ.admin

asker := app("app_asker", {"grants": {"*": {"decisions": {"ask": {"own": always}}}}})

a_question := {
	"action": {"name": "ask", "properties": {}},
	"resource": {"type": "decisions", "id": "", "tenant": "acme", "covers": ["decisions", "*"], "exists": true},
	"caller": {"plane": "runtime", "scoped": true, "scopes": {"decisions": {"ask": true}}, "audiences": both},
}

named_audiences := object.union(data.settings, {"audiences": {"runtime": {"https://writ.example/runtime": true}}})

is_plain(request) := count([1 |
	admin.plain with input as request
		with data.settings as named_audiences
])

is_guarded(request) := count([1 |
	admin.allow with input as request
		with data.settings as named_audiences
])

test_a_question_of_a_service_is_plain if {
	request := asks(asker, a_question)
	is_plain(request) == 1
	result := admin.result with input as request with data.settings as named_audiences
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": {}}
}

test_what_is_plain_is_what_the_guards_allow[note] if {
	some note, change in {
		"as it is": {}, "gone": {"exists": false}, "inactive": {"active": false}, "disabled": {"tenant_enabled": false},
		"too early": {"not_before": 1001}, "too late": {"not_after": 1000}, "elsewhere": {"tenant": "acme"},
		"temporary": {"temporary_password": true}, "an ended grant": {"grants": {"*": {"decisions": {"ask": {"own": ended}}}}},
		"a person": {"type": "user"},
	}
	every given in [
		{}, {"caller": {"address": "refused"}}, {"caller": {"tenant": "acme"}}, {"caller": {"plane": "management"}},
		{"caller": {"audiences": {}}}, {"caller": {"self": true}}, {"action": {"name": "read"}},
		{"resource": {"type": "policies"}}, {"caller": {"user_token": true}},
	] {
		request := object.union(object.union(asks(asker, a_question), {"subject": change}), given)
		is_plain(request) <= is_guarded(request)
	}
}

test_a_token_without_the_scope_is_not_plain if {
	request := json.remove(asks(asker, a_question), ["caller/scopes/decisions"])
	is_plain(request) == 0
	is_guarded(request) == 0
}
