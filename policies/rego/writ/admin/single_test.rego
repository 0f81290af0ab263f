package writ.admin_test

import data.writ.admin

single(grants) := user("rita", {"grants": {tenant: {path: {action: {"own": always} | some action in actions} | some path, actions in paths} |
	some tenant, paths in grants
}})

granted_to(subject, given) := seen if {
	request := asks(subject, object.union(lists("iam/users"), given))
	result := admin.result with input as request
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": {}}
	seen := where with input as request
}

test_single_objects_are_listed[note] if {
	some note, tc in {
		"one": {
			"grants": {"acme": {"iam/users/u1": ["read"]}}, "given": {},
			"want": {"tenants": set(), "objects": {"acme": {"u1"}}},
		},
		"by a wildcard": {
			"grants": {"": {"iam/users/u1": ["*"]}}, "given": {},
			"want": {"tenants": set(), "objects": {"": {"u1"}}},
		},
		"in every tenant": {
			"grants": {"*": {"iam/users/u1": ["read"], "iam/users/u2": ["write"]}}, "given": {},
			"want": {"tenants": set(), "objects": {"*": {"u1"}}},
		},
		"in every tenant, narrowed token": {
			"grants": {"*": {"iam/users/u1": ["read"]}, "globex": {"iam/users/u2": ["read"]}}, "given": in_acme,
			"want": {"tenants": set(), "objects": {"": {"u1"}, "acme": {"u1"}}},
		},
		"beside a tenant": {
			"grants": {"acme": {"iam": ["read"], "iam/users/u1": ["read"]}, "globex": {"iam/users/u2": ["read"]}}, "given": {},
			"want": {"tenants": {"acme"}, "objects": {"globex": {"u2"}}},
		},
		"beside a tenant, in scope": {
			"grants": {"acme": {"iam": ["read"], "iam/users/u1": ["read"]}, "globex": {"iam/users/u2": ["read"]}},
			"given": scoped_to({"iam/users": {"read": true}}),
			"want": {"tenants": {"acme"}, "objects": {"globex": {"u2"}}},
		},
		"beside those of no tenant": {
			"grants": {"": {"iam/users": ["read"]}, "acme": {"iam/users/u1": ["read"]}}, "given": {},
			"want": {"tenants": {""}, "objects": {"acme": {"u1"}}},
		},
		"of the tenant named, beside all of another": {
			"grants": {"acme": {"iam/users/u1": ["read"]}, "globex": {"iam/users": ["read"]}},
			"given": {"resource": {"tenant": "acme"}},
			"want": {"tenants": set(), "objects": {"acme": {"u1"}}},
		},
		"an application": {
			"grants": {"": {"iam/applications/app_x": ["read"]}}, "given": lists("iam/applications"),
			"want": {"tenants": set(), "objects": {"": {"app_x"}}},
		},
		"of the tenant named": {
			"grants": {"acme": {"iam/users/u1": ["read"]}, "globex": {"iam/users/u2": ["read"]}, "*": {"iam/users/u3": ["read"]}},
			"given": {"resource": {"tenant": "acme"}},
			"want": {"tenants": set(), "objects": {"acme": {"u1"}, "*": {"u3"}}},
		},
		"within the scopes": {
			"grants": {"acme": {"iam/users/u1": ["read"], "iam/users/u2": ["read"]}},
			"given": scoped_to({"iam/users/u2": {"read": true}}),
			"want": {"tenants": set(), "objects": {"acme": {"u2"}}},
		},
		"only the scope is of one": {
			"grants": {"acme": {"iam/users": ["read"]}}, "given": scoped_to({"iam/users/u1": {"read": true}}),
			"want": {"tenants": set(), "objects": {"acme": {"u1"}}},
		},
		"only the scope is of one, everywhere": {
			"grants": {"*": {"iam/users": ["read"]}}, "given": scoped_to({"iam/users/u1": {"read": true}}),
			"want": {"tenants": set(), "objects": {"*": {"u1"}}},
		},
		"only the scope is of one, everywhere, of a tenant": {
			"grants": {"*": {"iam/users": ["read"]}}, "given": object.union(scoped_to({"iam/users/u1": {"read": true}}), in_acme),
			"want": {"tenants": set(), "objects": {"": {"u1"}, "acme": {"u1"}}},
		},
		"only the scope is of one, in a tenant named": {
			"grants": {"acme": {"iam/users": ["read"]}, "globex": {"iam/users": ["read"]}},
			"given": object.union(scoped_to({"iam/users/u1": {"read": true}}), {"resource": {"tenant": "acme"}}),
			"want": {"tenants": set(), "objects": {"acme": {"u1"}}},
		},
		"the grant is of one and the scope of the type": {
			"grants": {"acme": {"iam/users/u1": ["read"]}}, "given": scoped_to({"iam": {"read": true}}),
			"want": {"tenants": set(), "objects": {"acme": {"u1"}}},
		},
		"a tenant": {
			"grants": {"": {"iam/tenants/acme": ["read"]}}, "given": lists("iam/tenants"),
			"want": {"tenants": set(), "objects": {"": {"acme"}}},
		},
		"a key": {
			"grants": {"": {"keys/k1": ["read"]}}, "given": lists("keys"),
			"want": {"tenants": set(), "objects": {"": {"k1"}}},
		},
		"the scope is of one key": {
			"grants": {"*": {"keys": ["read"]}},
			"given": object.union(lists("keys"), scoped_to({"keys/k1": {"read": true}})),
			"want": {"tenants": set(), "objects": {"": {"k1"}}},
		},
	}
	granted_to(single(tc.grants), tc.given) == {"filter": tc.want}
}

test_single_objects_change_no_whole_list[note] if {
	some note, tc in {
		"everywhere": {"grants": {"*": {"iam/users": ["read"], "iam/users/u1": ["read"]}}, "given": {}, "want": {}},
		"a tenant named": {
			"grants": {"acme": {"iam/users": ["read"]}, "*": {"iam/users/u1": ["read"]}},
			"given": {"resource": {"tenant": "acme"}}, "want": {},
		},
		"a tenant named, in scope": {
			"grants": {"acme": {"iam/users": ["read"]}, "*": {"iam/users/u1": ["read"]}},
			"given": object.union(scoped_to({"iam/users": {"read": true}}), {"resource": {"tenant": "acme"}}), "want": {},
		},
		"the scope is of the type and of one": {
			"grants": {"acme": {"iam/users": ["read"]}},
			"given": scoped_to({"iam/users": {"read": true}, "iam/users/u1": {"read": true}}),
			"want": {"filter": {"tenants": {"acme"}}},
		},
		"the tenant itself": {
			"grants": {"acme": {"iam/users": ["read"], "iam/users/u1": ["read"]}}, "given": {},
			"want": {"filter": {"tenants": {"acme"}}},
		},
	}
	granted_to(single(tc.grants), tc.given) == tc.want
}

test_single_objects_that_are_not_read[note] if {
	some note, tc in {
		"another type": {"grants": {"acme": {"iam/groups/g1": ["read"]}}, "given": {}, "want": ["not_granted"]},
		"another action": {"grants": {"acme": {"iam/users/u1": ["write"]}}, "given": {}, "want": ["not_granted"]},
		"below an object": {"grants": {"acme": {"iam/users/u1/x": ["read"]}}, "given": {}, "want": ["not_granted"]},
		"a tenant out of reach": {"grants": {"globex": {"iam/users/u1": ["read"]}}, "given": in_acme, "want": ["not_granted"]},
		"another tenant named": {
			"grants": {"acme": {"iam/users/u1": ["read"]}}, "given": {"resource": {"tenant": "globex"}}, "want": ["not_granted"],
		},
		"out of scope": {
			"grants": {"acme": {"iam/users/u1": ["read"]}}, "given": scoped_to({"iam/users/u2": {"read": true}}),
			"want": ["not_granted"],
		},
		"a scope without a grant": {"grants": {}, "given": scoped_to({"iam/users/u2": {"read": true}}), "want": ["not_granted"]},
		"a scope without a grant, in a tenant named": {
			"grants": {},
			"given": object.union(scoped_to({"iam/users/u2": {"read": true}}), {"resource": {"tenant": "acme"}}),
			"want": ["not_granted"],
		},
		"making one": {
			"grants": {"acme": {"iam/users/u1": ["read"]}}, "given": {"action": {"name": "write"}, "resource": {"tenant": "acme"}},
			"want": ["not_granted"],
		},
		"another object": {
			"grants": {"acme": {"iam/users/u1": ["read"]}}, "given": on("iam/users", "u2", "read", {"tenant": "acme"}),
			"want": ["not_granted"],
		},
		"another object than the scope names": {
			"grants": {"acme": {"iam/users": ["read"]}},
			"given": object.union(on("iam/users", "u2", "read", {"tenant": "acme"}), scoped_to({"iam/users/u1": {"read": true}})),
			"want": ["insufficient_scope"],
		},
		"a scope for another action": {
			"grants": {"*": {"iam/users": ["read"]}}, "given": scoped_to({"iam/users/u2": {"write": true}}), "want": ["insufficient_scope"],
		},
		"a key in a tenant": {"grants": {"acme": {"keys/k1": ["read"]}}, "given": lists("keys"), "want": ["not_granted"]},
		"a type that is not read one by one": {
			"grants": {"acme": {"iam/access/a1": ["read"]}}, "given": lists("iam/access"), "want": ["not_granted"],
		},
	}
	answers(asks(single(tc.grants), object.union(lists("iam/users"), tc.given)), tc.want)
}

test_single_objects_of_the_system_level if {
	request := asks(single({"acme": {"iam/groups/g1": ["read"]}}), lists("iam/groups"))
	seen := where with input as request with data.settings.system_level.readable as {"iam/groups": true}
	seen.filter == {"tenants": set(), "objects": {"": {"g1"}, "acme": {"g1"}}}
}

test_single_objects_of_the_system_level_by_dialect if {
	request := object.union(
		asks(single({"acme": {"iam/groups/g1": ["read"]}}), lists("iam/groups")),
		{"context": {"dialect": "hantera"}},
	)
	named := object.union(data.settings, {"dialects": {"hantera": {"system_level": {"readable": {"iam/groups": true}}}}})
	seen := where with input as request with data.settings as named
	seen.filter == {"tenants": set(), "objects": {"": {"g1"}, "acme": {"g1"}}}
	native := object.union(request, {"context": {"dialect": ""}})
	other := where with input as native with data.settings as named
	other.filter == {"tenants": set(), "objects": {"acme": {"g1"}}}
}

test_single_objects_that_ended if {
	subject := user("rita", {"grants": {"acme": {"iam/users/u1": {"read": {"own": ended}}, "iam/users/u2": {"read": {"own": always}}}}})
	granted_to(subject, {}) == {"filter": {"tenants": set(), "objects": {"acme": {"u2"}}}}
}

digits := ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]

thousand := {concat("", ["iam/users/u", a, b, c]): ["read"] |
	some a in digits
	some b in digits
	some c in digits
}

test_single_objects_are_bounded if {
	more := object.union(thousand, {"iam/users/one": ["read"]})
	count(granted_to(single({"acme": thousand}), {}).filter.objects.acme) == 1000
	answers(asks(single({"acme": more}), lists("iam/users")), ["not_granted"])
	result := granted_to(single({"acme": more, "globex": {"iam/users": ["read"]}}), {})
	result == {"filter": {"tenants": {"globex"}}}
}

test_objects_named_by_scopes_are_bounded if {
	named := {path: {"read": true} | some path, _ in thousand}
	everybody_here := single({"acme": {"iam/users": ["read"]}})
	count(granted_to(everybody_here, scoped_to(named)).filter.objects.acme) == 1000
	more := object.union(named, {"iam/users/one": {"read": true}})
	answers(object.union(asks(everybody_here, lists("iam/users")), scoped_to(more)), ["insufficient_scope"])
}
