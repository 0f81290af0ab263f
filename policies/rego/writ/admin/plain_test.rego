package writ.admin_test

import data.writ.admin

asker := app("app_asker", {"grants": {"*": {"decisions": {"ask": {"own": always}}}}})

a_question := {
	"action": {"name": "ask", "properties": {}},
	"resource": {"type": "decisions", "id": "", "tenant": "acme", "covers": ["decisions", "*"], "exists": true},
	"caller": {"plane": "runtime", "scoped": true, "scopes": {"decisions": {"ask": true}}, "audiences": both},
}

named_audiences := object.union(data.settings, {"audiences": {
	"runtime": {"https://writ.example/runtime": true},
	"management": {"https://writ.example/management": true},
}})

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

machine_reader := app("app_reader", {"grants": {"*": {"iam/users": {"read": {"own": always}}}}})

a_reading := {
	"action": {"name": "read", "properties": {}},
	"resource": {
		"type": "iam/users", "id": "u1", "tenant": "acme", "exists": true,
		"covers": ["iam/users/u1", "iam/users", "iam", "*"],
	},
	"caller": {
		"plane": "management", "scoped": true, "scopes": {"iam": {"*": true}}, "audiences": both, "user_token": false,
	},
}

test_reading_an_object_is_plain if {
	request := asks(machine_reader, a_reading)
	is_plain(request) == 1
	result := admin.result with input as request with data.settings as named_audiences
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": {}}
}

test_a_plain_reading_is_what_the_guards_allow[note] if {
	some note, change in {
		"as it is": {}, "gone": {"exists": false}, "inactive": {"active": false}, "disabled": {"tenant_enabled": false},
		"too early": {"not_before": 1001}, "too late": {"not_after": 1000}, "elsewhere": {"tenant": "acme"},
		"temporary": {"temporary_password": true}, "an ended grant": {"grants": {"*": {"iam/users": {"read": {"own": ended}}}}},
		"everything": {"grants": {"*": {"*": {"*": {"own": always}}}}}, "a person": {"type": "user"},
		"of one tenant": {"grants": {"*": {"iam/users": {"read": {"own": ended}}}, "acme": {"iam": {"read": {"own": always}}}}},
	}
	every given in [
		{}, {"caller": {"address": "refused"}}, {"caller": {"tenant": "acme"}}, {"caller": {"plane": "runtime"}},
		{"caller": {"plane": ""}}, {"caller": {"audiences": {"https://writ.example/management": false}}},
		{"caller": {"scopes": {"iam": {"*": false}}}}, {"caller": {"user_token": true}}, {"action": {"name": "write"}},
		{"resource": {"type": "me", "covers": ["me", "*"]}},
		{"resource": {"type": "me", "covers": ["me", "*"]}, "caller": {"scopes": {"*": {"*": true}}}}, {"resource": {"id": "", "tenant": ""}},
		{"resource": {"tenant": "globex"}}, {"resource": {"exists": false}},
		{"resource": {"changes": {"tenant": true}, "after": {"tenant": "globex", "tenant_enabled": true}}},
	] {
		request := object.union(object.union(asks(machine_reader, a_reading), {"subject": change}), given)
		is_plain(request) <= is_guarded(request)
		plain_or_filtered(request)
	}
}

test_a_scope_that_names_the_right_is_plain if {
	caller := object.union(object.remove(asks(machine_reader, a_reading).caller, ["scopes"]), {"scopes": {"iam/users": {"read": true}}})
	request := object.union(object.remove(asks(machine_reader, a_reading), ["caller"]), {"caller": caller})
	is_plain(request) == 1
	is_guarded(request) == 1
}

# A list is not plain, so that its permit can say which rows it shows.
plain_or_filtered(request) if request.resource.id != ""

plain_or_filtered(request) if is_plain(request) == 0

test_what_is_plain_is_what_the_guards_allow[note] if {
	some note, change in {
		"as it is": {}, "gone": {"exists": false}, "inactive": {"active": false}, "disabled": {"tenant_enabled": false},
		"too early": {"not_before": 1001}, "too late": {"not_after": 1000}, "elsewhere": {"tenant": "acme"},
		"temporary": {"temporary_password": true}, "an ended grant": {"grants": {"*": {"decisions": {"ask": {"own": ended}}}}},
		"a person": {"type": "user"},
	}
	every given in [
		{}, {"caller": {"address": "refused"}}, {"caller": {"tenant": "acme"}}, {"caller": {"plane": "management"}},
		{"caller": {"audiences": {"https://writ.example/runtime": false}}}, {"caller": {"self": true}}, {"action": {"name": "read"}},
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

installer := app("app_installer", {"grants": owner_grants})

newcomer := user("u1", {"grants": {"acme": {"ledger": {"read": {"group:desk": always}}}}, "groups": {"desk": true}})

a_creation := {
	"action": {"name": "write", "properties": {}},
	"resource": {
		"type": "iam/users", "id": "u1", "tenant": "acme", "exists": false, "path": "iam/users/u1",
		"covers": ["iam/users/u1", "iam/users", "iam", "*"], "after": object.union(newcomer, {"tenant": "acme"}),
		"changes": {"create": true, "tenant": true, "groups": true, "username": true, "email": true},
		"detail": {"conditional": true, "tombstone": false, "references": {"": true}},
	},
	"caller": {"scoped": true, "scopes": {"*": {"*": true}}, "user_token": false},
}

test_making_a_user_is_plain_to_a_full_administrator[note] if {
	some note, given in {
		"as it is": {}, "of no tenant": {"resource": {"tenant": "", "after": {"tenant": ""}}}, "deleted before": {"resource": {
			"detail": {"tombstone": true},
		}},
		"a token of no scopes beside": {"caller": {"scoped": false}}, "with its password": {"resource": {"changes": {"password": true}}},
	}
	request := object.union(asks(installer, a_creation), given)
	is_plain(request) == 1
	is_guarded(request) == 1
	result := admin.result with input as request with data.settings as named_audiences
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": {}}
}

test_a_plain_creation_is_what_the_guards_allow[note] if {
	some note, change in {
		"as it is": {}, "gone": {"exists": false}, "inactive": {"active": false}, "disabled": {"tenant_enabled": false},
		"too early": {"not_before": 1001}, "too late": {"not_after": 1000}, "elsewhere": {"tenant": "acme"},
		"temporary": {"temporary_password": true}, "a person": {"type": "user"},
	}
	every given in array.concat(unfit_creations, [
		{}, {"caller": {"plane": "runtime"}}, {"caller": {"user_token": true}}, {"resource": {"after": {"grants": {"*": {"*": {"*": {"own": always}}}}}}},
	]) {
		request := object.union(object.union(asks(installer, a_creation), {"subject": change}), given)
		is_plain(request) <= is_guarded(request)
	}
}

# What differs in each of these is what one of the guards is about.
unfit_creations := [
	{"caller": {"address": "refused"}}, {"caller": {"tenant": "acme"}},
	{"caller": {"audiences": {"https://writ.example/management": false}}}, {"caller": {"scopes": {"*": {"*": false}}}},
	{"caller": {"basic": true}}, {"caller": {"user_token": true, "external": true}}, {"action": {"name": "delete"}}, {"action": {"name": "reset_password"}},
	{"resource": {"type": "iam/roles"}}, {"resource": {"type": "iam/tenants"}}, {"resource": {"type": "iam/applications"}},
	{"resource": {"self": true}}, {"resource": {"self": true, "after": {"active": false}}},
	{"resource": {"before": newcomer}}, {"resource": {"before": {"protected": true}}}, {"resource": {"after": {"protected": true}}},
	{"resource": {"changes": {"protected": true}}}, {"resource": {"changes": {"secrets": true}}},
	{"resource": {"detail": {"holders": {"protected": true, "disabled": false}}}},
	{"resource": {"detail": {"holders": {"protected": false, "disabled": true}}}},
	{"resource": {"tenant_enabled": false}}, {"resource": {"after": {"tenant_enabled": false}}},
	{"resource": {"owners_before": 1, "other_owners": 0}}, {"resource": {"detail": {"conditional": false}}},
	{"resource": {"covers": ["iam/users"]}}, {"resource": {"covers": ["iam/applications/a", "iam/applications"]}},
	{"resource": {"after": {"grants": {"acme": {"iam/applications": {"reveal": {"own": always}}}}}}},
	{"resource": {"after": {"grants": {"acme": {"ledger": {"reveal": {"own": ended}}}}}}},
]

test_each_thing_that_a_guard_is_about_keeps_a_creation_from_being_plain[note] if {
	some note, given in unfit_creations
	request := object.union(asks(installer, a_creation), given)
	is_plain(request) == 0
}

test_making_a_user_is_plain_to_nobody_less[note] if {
	some note, grants in {
		"nothing": {}, "the type": {"*": {"iam": {"*": {"own": always}}}}, "in one tenant": {"acme": {"*": {"*": {"own": always}}}},
		"ended": {"*": {"*": {"*": {"own": ended}}}}, "one action": {"*": {"*": {"write": {"own": always}}}},
	}
	request := asks(app("app_installer", {"grants": grants}), a_creation)
	is_plain(request) == 0
}

test_making_a_user_is_not_plain_where_that_is_explicit if {
	request := asks(installer, a_creation)
	plain := count([1 |
		admin.plain with input as request
			with data.settings as named_audiences
			with data.catalogue.types["iam/users"].actions.write.explicit as true
	])
	plain == 0
}
