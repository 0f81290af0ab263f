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
