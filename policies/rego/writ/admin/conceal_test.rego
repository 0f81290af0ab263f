package writ.admin_test

import data.writ.admin

conceals(request) if {
	result := admin.result with input as request
	result == {"allow": false, "reasons": [], "obligations": {"conceal": true}}
}

refuses_openly(request) if {
	result := admin.result with input as request
	result == {"allow": false, "reasons": [], "obligations": {}}
}

permits(request) if {
	result := admin.result with input as request
	result.allow
}

anybody := user("uma", {})

test_who_may_not_read_sees_nothing[note] if {
	some note, tc in {
		"reading": on("iam/users", "u1", "read", {}),
		"reading a missing one": on("iam/users", "u1", "read", {"exists": false}),
		"writing": on("iam/users", "u1", "write", {"before": owner, "after": owner}),
		"writing a missing one": on("iam/users", "u1", "write", {"exists": false, "after": owner}),
		"deleting": on("iam/users", "u1", "delete", {"before": owner}),
		"sessions": on("iam/sessions", "s1", "delete", {}),
	}
	conceals(asks(anybody, tc))
}

test_who_may_read_is_told if {
	refuses_openly(asks(reader("iam/users", [""]), on("iam/users", "u1", "write", {"before": owner, "after": owner})))
	refuses_openly(asks(
		reader("iam/users", ["*"]),
		on("iam/users", "u1", "write", {"exists": false, "changes": {"create": true}, "after": user("u1", {})}),
	))
}

# Who holds the action and fails at another guard is told at which, whether or not the object is there.
test_who_is_entrusted_is_told if {
	clerk := user("cleo", {"grants": {"": {"iam/users": {"write": {"own": always}}}}})
	change := {"before": owner, "after": owner, "changes": {"name": true}}
	refuses_openly(asks(clerk, on("iam/users", "u1", "write", change)))
	refuses_openly(asks(clerk, on("iam/users", "u2", "write", {"exists": false, "changes": {"create": true}, "after": owner})))
	conceals(asks(clerk, on("iam/users", "u1", "delete", change)))
	conceals(asks(clerk, on("iam/users", "u1", "write", object.union(change, {"tenant": "acme"}))))
}

# A grant in a tenant that the caller is kept out of shows nothing of it.
test_a_grant_out_of_reach_shows_nothing[action] if {
	some action in ["read", "write"]
	subject := user("ines", {"tenant": "acme", "grants": {"globex": {"iam/users": {"*": {"own": always}}}}})
	conceals(asks(subject, on("iam/users", "u1", action, {"tenant": "globex"})))
}

test_what_does_not_hold_is_false if {
	request := asks(anybody, on("iam/users", "u1", "read", {}))
	admin.readable == false with input as request
	admin.entrusted == false with input as request
	admin.partly_concealed == false with input as request
	admin.concealed == false with input as base
}

test_whether_the_object_is_there_must_be_said if {
	request := asks(owner, on("iam/users", "u1", "read", {}))
	admin.readable with input as request
	admin.readable == false with input as json.remove(request, ["resource/exists"])
}

test_who_reads_some_is_told_nothing_of_missing_ones if {
	conceals(asks(
		reader("iam/users", [""]),
		on("iam/users", "u1", "write", {"exists": false, "changes": {"create": true}, "after": user("u1", {})}),
	))
}

test_another_tenant_looks_missing if {
	conceals(asks(insider, on("iam/roles", "ops:x", "read", {"tenant": "globex"})))
	conceals(asks(insider, on("iam/roles", "ops:x", "read", {"exists": false, "tenant": "globex"})))
}

test_the_system_level_is_seen if {
	refuses_openly(asks(insider, on("iam/roles", "ops:x", "write", {"before": role(""), "after": role("")})))
	conceals(object.union(
		asks(insider, on("iam/roles", "ops:x", "write", {"before": role(""), "after": role("")})),
		scoped_to({"iam/roles": {"write": true}}),
	))
}

test_the_system_level_is_seen_within_the_scopes_to_read if {
	change := on("iam/roles", "ops:x", "write", {"before": role(""), "after": role("")})
	refuses_openly(object.union(asks(insider, change), scoped_to({"iam/roles": {"read": true}})))
}

test_what_is_missing_at_the_system_level_is_not_seen if {
	creation := {"exists": false, "changes": {"create": true}, "after": role("")}
	conceals(asks(insider, on("iam/roles", "ops:x", "write", creation)))
}

test_out_of_scope_is_out_of_sight if {
	request := asks(owner, on("iam/users", "u1", "write", {"before": anybody, "after": anybody}))
	conceals(object.union(request, scoped_to({"iam/groups": {"*": true}})))
	refuses_openly(object.union(request, scoped_to({"iam/users": {"read": true}})))
}

test_a_missing_object_is_permitted_to_who_could if {
	permits(asks(writer, on("iam/users", "u1", "read", {"exists": false})))
	permits(asks(writer, on("iam/users", "u1", "delete", {"exists": false})))
}

test_nothing_to_conceal[note] if {
	some note, tc in {
		"a list": lists("iam/users"),
		"creating": {"action": {"name": "write"}},
		"oneself": on("iam/users", "uma", "read", {"self": true}),
		"no object of a tenant": on("policies", "p1", "write", {}),
		"a caller that is not accepted": object.union(on("iam/users", "u1", "read", {}), {"caller": {"address": "refused"}}),
	}
	refuses_openly(asks(anybody, tc))
}

deletes(subject, named) := asks(subject, {
	"action": {"name": "delete"},
	"resource": {
		"type": "iam/applications", "path": "iam/applications", "covers": ["iam/applications", "iam", "*"],
		"tenant": bulk_tenant(object.keys(named.tenants)), "changes": {"delete": true},
		"before": app("", {"tenant": bulk_tenant(object.keys(named.tenants))}), "detail": {"named": named},
	},
})

bulk_tenant(tenants) := [tenant | some tenant in tenants][0] if count(tenants) == 1

bulk_tenant(tenants) := "" if count(tenants) == 0

bulk_tenant(tenants) := "*" if count(tenants) > 1

# A named object that is missing and one in another tenant are told alike.
test_named_objects_out_of_sight[note] if {
	clerk := user("cleo", {"tenant": "acme", "grants": {"acme": {"iam/applications": {
		"read": {"own": always}, "delete": {"own": always},
	}}}})
	some note, tc in {
		"one of another tenant": {"named": {"tenants": {"acme": true, "globex": true}, "missing": false}, "shown": {"acme"}},
		"only of another tenant": {"named": {"tenants": {"globex": true}, "missing": false}, "shown": set()},
		"one missing, one of another": {
			"named": {"tenants": {"acme": true, "globex": true}, "missing": true}, "shown": {"acme"},
		},
		"one missing, one of no tenant": {"named": {"tenants": {"acme": true, "": true}, "missing": true}, "shown": {"acme"}},
	}
	result := admin.result with input as deletes(clerk, tc.named)
	result == {"allow": false, "reasons": [], "obligations": {"conceal": true, "filter": {"tenants": tc.shown}}}
}

# Who reads and does not delete, or is of no tenant, or has a grant elsewhere, is shown what it reads within its reach.
test_named_objects_that_are_read[note] if {
	two := {"tenants": {"acme": true, "globex": true}, "missing": false}
	some note, tc in {
		"of one tenant": {"subject": reader("iam/applications", ["acme"]), "named": two},
		"one missing": {"subject": reader("iam/applications", ["acme"]), "named": {"tenants": {"acme": true}, "missing": true}},
		"with a grant out of reach": {
			"subject": object.union(reader("iam/applications", ["acme", "globex"]), {"tenant": "acme"}), "named": two,
		},
		"of every tenant, kept in one": {
			"subject": object.union(reader("iam/applications", ["*"]), {"tenant": "acme"}), "named": two,
		},
	}
	result := admin.result with input as deletes(tc.subject, tc.named)
	result == {"allow": false, "reasons": [], "obligations": {"conceal": true, "filter": {"tenants": {"acme"}}}}
}

test_named_objects_of_a_caller_that_is_not_accepted if {
	request := deletes(reader("iam/applications", ["acme"]), {"tenants": {"acme": true}, "missing": true})
	refuses_openly(object.union(request, {"caller": {"address": "refused"}}))
}

test_named_objects_in_sight if {
	clerk := reader("iam/applications", ["acme", "globex"])
	refuses_openly(deletes(clerk, {"tenants": {"acme": true, "globex": true}, "missing": false}))
	refuses_openly(deletes(clerk, {"tenants": {"acme": true}, "missing": false}))
	permits(deletes(owner, {"tenants": {"acme": true, "globex": true}, "missing": true}))
	permits(deletes(owner, {"tenants": {}, "missing": true}))
	narrow := object.union(
		deletes(owner, {"tenants": {"acme": true}, "missing": true}),
		scoped_to({"iam/users": {"read": true}}),
	)
	refuses_openly(narrow)
}

test_who_sees_nothing_lacks_the_right if {
	refuses_openly(deletes(anybody, {"tenants": {}, "missing": true}))
	refuses_openly(deletes(anybody, {"tenants": {"globex": true}, "missing": false}))
}
