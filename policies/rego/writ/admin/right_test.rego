package writ.admin_test

import data.writ.admin
import data.writ.why

grants(list) := user("gina", {"grants": list})

test_grants[note] if {
	some note, tc in {
		"named": {"grants": {"": {"iam/users": {"read": {"own": always}}}}, "want": []},
		"wildcard action": {"grants": {"": {"iam/users": {"*": {"own": always}}}}, "want": []},
		"above": {"grants": {"": {"iam": {"read": {"own": always}}}}, "want": []},
		"object": {"grants": {"": {"iam/users/u1": {"read": {"own": always}}}}, "want": []},
		"everything, every tenant": {"grants": {"*": {"*": {"*": {"own": always}}}}, "want": []},
		"another action": {"grants": {"": {"iam/users": {"write": {"own": always}}}}, "want": ["not_granted"]},
		"another type": {"grants": {"": {"iam/groups": {"read": {"own": always}}}}, "want": ["not_granted"]},
		"another tenant": {"grants": {"acme": {"iam/users": {"read": {"own": always}}}}, "want": ["not_granted"]},
		"ended": {"grants": {"": {"iam/users": {"read": {"own": ended}}}}, "want": ["not_granted"]},
		"ended, wildcard": {"grants": {"": {"iam/users": {"*": {"own": ended}}}}, "want": ["not_granted"]},
		"ended, and another source": {
			"grants": {"": {"iam/users": {"read": {"own": ended, "role:a:b": always}}}}, "want": [],
		},
		"none": {"grants": {}, "want": ["not_granted"]},
	}
	answers(asks(grants(tc.grants), on("iam/users", "u1", "read", {})), tc.want)
}

test_implied_action if {
	catalogue := {"types": {"iam/users": {"actions": {"write": {"implies": ["read"]}}}}}
	request := asks(grants({"": {"iam/users": {"write": {"own": always}}}}), on("iam/users", "u1", "read", {}))
	answers(request, []) with data.catalogue as object.union(data.catalogue, catalogue)
}

test_scopes[note] if {
	some note, tc in {
		"named": {"scopes": {"iam/users": {"read": true}}, "want": []},
		"pattern": {"scopes": {"iam": {"*": true}}, "want": []},
		"another": {"scopes": {"iam/users": {"write": true}}, "want": ["insufficient_scope"]},
		"none": {"scopes": {}, "want": ["insufficient_scope"]},
	}
	answers(object.union(asks(owner, on("iam/users", "u1", "read", {})), scoped_to(tc.scopes)), tc.want)
}

test_grant_is_missed_before_scope if {
	answers(object.union(asks(grants({}), on("iam/users", "u1", "read", {})), scoped_to({})), ["not_granted"])
}

test_what_needs_no_grant[note] if {
	some note, tc in {
		"oneself": on("me", "", "read", {"self": true}),
		"own sessions": on("me", "", "sessions", {"self": true}),
		"asking about oneself": object.union(on("decisions", "", "ask", {}), {"caller": {"self": true}}),
		"ending the own session": on("tokens", "s1", "end", {"self": true}),
		"revoking an own token": on("tokens", "t1", "revoke", {"self": true}),
	}
	request := object.union(asks(grants({}), tc), scoped_to({}))
	answers(request, [])
	result := admin.result with input as request
	result.reasons == [{"code": "own", "rule": "admin.implicit"}]
}

test_what_needs_a_grant[note] if {
	some note, tc in {
		"asking about others": on("decisions", "", "ask", {}),
		"ending the session of others": on("tokens", "s1", "end", {}),
		"revoking a token of others": on("tokens", "t1", "revoke", {}),
		"asking for oneself of something else": object.union(on("policies", "p1", "ask", {}), {"caller": {"self": true}}),
		"ending something else": on("iam/sessions", "s1", "end", {"self": true}),
		"introspecting": on("tokens", "", "introspect", {"self": true}),
	}
	request := asks(grants({}), tc)
	answers(request, ["not_granted"])
	admin.implicit == false with input as request
}

test_asking_needs_the_right_in_the_tenant_asked_about if {
	asker := app("app_asker", {"grants": {"acme": {"decisions": {"ask": {"own": always}}}}})
	answers(asks(asker, on("decisions", "", "ask", {"tenant": "acme"})), [])
	answers(asks(asker, on("decisions", "", "ask", {"tenant": "globex"})), ["not_granted"])
	answers(asks(asker, on("decisions", "", "ask", {})), ["not_granted"])
}

test_change_of_tenant_needs_the_right_in_both[note] if {
	some note, tc in {
		"both": {"tenants": ["acme", "globex"], "want": []},
		"only here": {"tenants": ["acme"], "want": ["not_granted"]},
		"only there": {"tenants": ["globex"], "want": ["not_granted"]},
	}
	actor := grants({tenant: {"iam/users": {"write": {"own": always}, "read": {"own": always}}} | some tenant in tc.tenants})
	move := {
		"tenant": "acme", "changes": {"tenant": true},
		"before": user("u1", {"tenant": "acme"}), "after": user("u1", {"tenant": "globex"}),
	}
	answers(asks(actor, on("iam/users", "u1", "write", move)), tc.want)
}

test_moving_with_a_wildcard if {
	actor := grants({"acme": {"iam": {"*": {"own": always}}}, "globex": {"iam": {"*": {"own": always}}}})
	move := {
		"tenant": "acme", "changes": {"tenant": true},
		"before": user("u1", {"tenant": "acme"}), "after": user("u1", {"tenant": "globex"}),
	}
	answers(asks(actor, on("iam/users", "u1", "write", move)), [])
}

# Rights of an application: actor holds write, and where said also write_scopes.
application_writer(actions) := user("alan", {"grants": {"": {
	"iam/applications": {action: {"own": always} | some action in actions},
	"ledger": {"read": {"own": always}},
}}})

bare := app("app_x", {})

reading := app("app_x", {"grants": {"": {"ledger": {"read": {"own": always}}}}})

test_rights_of_an_application[note] if {
	some note, tc in {
		"name": {"changes": {"name": true}, "before": bare, "after": bare, "needs": false},
		"grants": {"changes": {"grants": true}, "before": bare, "after": reading, "needs": true},
		"name, with a ceiling": {
			"changes": {"name": true}, "before": app("app_x", {"scopes": {"ledger": {"read": true}}}),
			"after": app("app_x", {"scopes": {"ledger": {"read": true}}}), "needs": false,
		},
		"created with a role": {"changes": {"create": true}, "before": null, "after": app("app_x", {"roles": {"a:b": true}}), "needs": true},
		"created in a group": {"changes": {"create": true}, "before": null, "after": app("app_x", {"groups": {"g": true}}), "needs": true},
		"grants taken": {"changes": {"grants": true}, "before": reading, "after": bare, "needs": true},
		"roles": {
			"changes": {"roles": true}, "before": bare, "after": app("app_x", {"roles": {"a:b": true}}), "needs": true,
		},
		"groups": {
			"changes": {"groups": true}, "before": bare, "after": app("app_x", {"groups": {"g": true}}), "needs": true,
		},
		"ceiling": {
			"changes": {"scopes": true}, "before": bare, "after": app("app_x", {"scopes": {"ledger": {"read": true}}}),
			"needs": true,
		},
		"ceiling lifted": {
			"changes": {"scopes": true}, "before": app("app_x", {"scopes": {}}), "after": bare, "needs": true,
		},
		"ceiling of nothing": {
			"changes": {"scopes": true}, "before": bare, "after": app("app_x", {"scopes": {}}), "needs": false,
		},
		"created bare": {"changes": {"create": true, "grants": true}, "before": null, "after": bare, "needs": false},
		"created with grants": {"changes": {"create": true}, "before": null, "after": reading, "needs": true},
		"created with a ceiling": {
			"changes": {"create": true, "scopes": true}, "before": null,
			"after": app("app_x", {"scopes": {"ledger": {"read": true}}}), "needs": true,
		},
		"created with a ceiling, not named as a change": {
			"changes": {"create": true}, "before": null, "after": app("app_x", {"scopes": {"ledger": {"read": true}}}), "needs": true,
		},
		"created with a ceiling of nothing": {
			"changes": {"create": true, "scopes": true}, "before": null, "after": app("app_x", {"scopes": {}}), "needs": false,
		},
		"created without a ceiling": {
			"changes": {"create": true, "scopes": true}, "before": null, "after": bare, "needs": false,
		},
	}
	resource := {"changes": tc.changes, "before": tc.before, "after": tc.after}
	request := on("iam/applications", "app_x", "write", resource)
	want := {true: ["not_granted"], false: []}[tc.needs]
	answers(asks(application_writer(["read", "write"]), request), want)
	answers(asks(application_writer(["read", "write", "write_scopes"]), request), [])
	scopes := {"iam/applications": {"write": true, "read": true}, "ledger": {"read": true}}
	in_scope := {true: ["insufficient_scope"], false: []}[tc.needs]
	answers(object.union(asks(application_writer(["read", "write", "write_scopes"]), request), scoped_to(scopes)), in_scope)
}

test_a_creation_that_does_not_say_what_it_gives[part] if {
	some part in ["grants", "scopes"]
	creation := {"exists": false, "changes": {"create": true, part: true}, "after": object.remove(bare, [part])}
	answers(asks(application_writer(["read", "write"]), on("iam/applications", "app_x", "write", creation)), ["not_granted"])
}

test_rights_that_move_take_the_right_in_both if {
	both_actions := {"read": {"own": always}, "write": {"own": always}, "write_scopes": {"own": always}}
	here := {"acme": {"iam/applications": both_actions}}
	there := {"globex": {"iam/applications": object.remove(both_actions, ["write_scopes"])}}
	held := {"*": {"ledger": {"read": {"own": always}}}}
	move := on("iam/applications", "app_x", "write", {
		"tenant": "acme", "changes": {"tenant": true, "grants": true},
		"before": app("app_x", {"tenant": "acme"}), "after": object.union(reading, {"tenant": "globex"}),
	})
	reasons := why.result.reasons with input as asks(grants(object.union(object.union(here, there), held)), move)
	reasons == [{"code": "not_granted", "rule": "admin.rights_granted"}]
	everywhere := object.union(here, {"globex": here.acme})
	answers(asks(grants(object.union(everywhere, held)), move), [])
}

test_scopes_of_rights[note] if {
	some note, tc in {
		"both": {"actions": {"write": true, "write_scopes": true}, "holds": true, "want": []},
		"one": {
			"actions": {"write": true}, "holds": false, "want": [{"code": "insufficient_scope", "rule": "admin.rights_scoped"}],
		},
		"the other": {
			"actions": {"write_scopes": true}, "holds": false,
			"want": [
				{"code": "insufficient_scope", "rule": "admin.scoped"},
				{"code": "insufficient_scope", "rule": "admin.rights_scoped"},
			],
		},
	}
	request := on("iam/applications", "app_x", "write", {"changes": {"grants": true}, "before": bare, "after": reading})
	scopes := {"iam/applications": tc.actions, "ledger": {"read": true}}
	asked := object.union(asks(application_writer(["read", "write", "write_scopes"]), request), scoped_to(scopes))
	reasons := why.result.reasons with input as asked
	reasons == tc.want
	scoped := admin.rights_scoped with input as asked
	scoped == tc.holds
}

test_write_scopes_needs_write_beside if {
	request := on("iam/applications", "app_x", "write_scopes", {"changes": {"grants": true}, "before": bare, "after": reading})
	answers(asks(application_writer(["read", "write_scopes"]), request), ["not_granted"])
	reasons := why.result.reasons with input as asks(application_writer(["read", "write_scopes"]), request)
	reasons == [{"code": "not_granted", "rule": "admin.rights_granted"}]
}
