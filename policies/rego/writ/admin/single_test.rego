package writ.admin_test

import data.writ.admin

single(grants) := user("rita", {"grants": {tenant: {path: {action: {"own": always} | some action in actions} | some path, actions in paths} |
	some tenant, paths in grants
}})

granted_to(subject, given) := result if {
	result := admin.result with input as asks(subject, object.union(lists("iam/users"), given))
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
		"only the scope is of one, in a tenant named": {
			"grants": {"acme": {"iam/users": ["read"]}},
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
	result := granted_to(single(tc.grants), tc.given)
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": {"filter": tc.want}}
}

test_single_objects_change_no_whole_list[note] if {
	some note, tc in {
		"everywhere": {"grants": {"*": {"iam/users": ["read"], "iam/users/u1": ["read"]}}, "given": {}, "want": {}},
		"a tenant named": {
			"grants": {"acme": {"iam/users": ["read"]}, "*": {"iam/users/u1": ["read"]}},
			"given": {"resource": {"tenant": "acme"}}, "want": {},
		},
		"the tenant itself": {
			"grants": {"acme": {"iam/users": ["read"], "iam/users/u1": ["read"]}}, "given": {},
			"want": {"filter": {"tenants": {"acme"}}},
		},
	}
	granted_to(single(tc.grants), tc.given).obligations == tc.want
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
	result := admin.result with input as request with data.settings.system_level.readable as {"iam/groups": true}
	result.obligations.filter == {"tenants": set(), "objects": {"": {"g1"}, "acme": {"g1"}}}
}

test_single_objects_that_ended if {
	subject := user("rita", {"grants": {"acme": {"iam/users/u1": {"read": {"own": ended}}, "iam/users/u2": {"read": {"own": always}}}}})
	granted_to(subject, {}).obligations == {"filter": {"tenants": set(), "objects": {"acme": {"u2"}}}}
}

digits := ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]

thousand := {concat("", ["iam/users/u", a, b, c]): ["read"] |
	some a in digits
	some b in digits
	some c in digits
}

test_single_objects_are_bounded if {
	more := object.union(thousand, {"iam/users/one": ["read"]})
	count(granted_to(single({"acme": thousand}), {}).obligations.filter.objects.acme) == 1000
	answers(asks(single({"acme": more}), lists("iam/users")), ["not_granted"])
	result := granted_to(single({"acme": more, "globex": {"iam/users": ["read"]}}), {})
	result.obligations == {"filter": {"tenants": {"globex"}}}
}
