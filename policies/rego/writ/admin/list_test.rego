package writ.admin_test

import data.writ.admin

lists(type) := {
	"action": {"name": "read"},
	"resource": {"type": type, "id": "", "path": type, "covers": covering(type)},
}

reader(type, tenants) := user("rita", {"grants": {tenant: {type: {"read": {"own": always}}} | some tenant in tenants}})

test_lists[note] if {
	some note, tc in {
		"everywhere": {"subject": reader("iam/users", ["*"]), "given": {}, "want": {}},
		"everywhere, in scope": {
			"subject": reader("iam/users", ["*"]), "given": scoped_to({"iam/users": {"read": true}}), "want": {},
		},
		"no tenant, narrowed token": {
			"subject": reader("iam/users", [""]), "given": in_acme, "want": {"filter": {"tenants": {""}}},
		},
		"one tenant": {"subject": reader("iam/users", ["acme"]), "given": {}, "want": {"filter": {"tenants": {"acme"}}}},
		"no tenant": {"subject": reader("iam/users", [""]), "given": {}, "want": {"filter": {"tenants": {""}}}},
		"some": {"subject": reader("iam/users", ["", "acme"]), "given": {}, "want": {"filter": {"tenants": {"", "acme"}}}},
		"everywhere, narrowed token": {
			"subject": reader("iam/users", ["*"]), "given": in_acme, "want": {"filter": {"tenants": {"", "acme"}}},
		},
		"everywhere, of a tenant": {
			"subject": object.union(reader("iam/users", ["*", "globex"]), {"tenant": "acme"}), "given": {},
			"want": {"filter": {"tenants": {"", "acme"}}},
		},
		"narrowed token": {
			"subject": reader("iam/users", ["acme", "globex"]), "given": in_acme, "want": {"filter": {"tenants": {"acme"}}},
		},
		"roles of the system level": {
			"subject": reader("iam/roles", ["acme"]), "given": lists("iam/roles"), "want": {"filter": {"tenants": {"", "acme"}}},
		},
		"one tenant named": {
			"subject": reader("iam/users", ["acme"]), "given": {"resource": {"tenant": "acme"}}, "want": {},
		},
		"the audit everywhere": {"subject": reader("audit", ["*"]), "given": lists("audit"), "want": {}},
		"the audit of the system level": {
			"subject": reader("audit", [""]), "given": lists("audit"), "want": {"filter": {"tenants": {""}}},
		},
		"the audit of one tenant": {
			"subject": reader("audit", ["acme"]), "given": lists("audit"), "want": {"filter": {"tenants": {"acme"}}},
		},
		"the audit everywhere, narrowed token": {
			"subject": reader("audit", ["*"]), "given": object.union(lists("audit"), in_acme),
			"want": {"filter": {"tenants": {"acme"}}},
		},
		"the audit everywhere, of a tenant": {
			"subject": object.union(reader("audit", ["*", "", "globex"]), {"tenant": "acme"}), "given": lists("audit"),
			"want": {"filter": {"tenants": {"acme"}}},
		},
		"the audit of the system level, of a tenant": {
			"subject": object.union(reader("audit", [""]), {"tenant": "acme"}), "given": lists("audit"),
			"want": {"filter": {"tenants": set()}},
		},
		"decisions everywhere": {"subject": reader("decisions", ["*"]), "given": lists("decisions"), "want": {}},
		"decisions of one tenant": {
			"subject": reader("decisions", ["acme"]), "given": lists("decisions"), "want": {"filter": {"tenants": {"acme"}}},
		},
		"decisions everywhere, narrowed token": {
			"subject": reader("decisions", ["*"]), "given": object.union(lists("decisions"), in_acme),
			"want": {"filter": {"tenants": {"acme"}}},
		},
		"no type of tenants": {"subject": reader("policies", ["*"]), "given": lists("policies"), "want": {}},
	}
	request := asks(tc.subject, object.union(lists("iam/users"), tc.given))
	seen := where with input as request
	seen == tc.want
	result := admin.result with input as request
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": obliged(request, tc.want)}
}

# obliged is what a list must obey: of what is read one by one, nothing.
obliged(request, _) := {} if request.resource.type in admin.one_by_one

obliged(request, filter) := filter if not request.resource.type in admin.one_by_one

test_lists_of_what_is_read_one_by_one_obey_nothing[type] if {
	some type in {"iam/users", "iam/groups", "iam/roles", "iam/applications", "iam/tenants"}
	request := asks(reader(type, ["acme"]), lists(type))
	result := admin.result with input as request
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": {}}
}

test_lists_of_what_is_not_read_one_by_one if {
	request := asks(reader("iam/sessions", ["acme"]), lists("iam/sessions"))
	result := admin.result with input as request
	result.obligations == {"filter": {"tenants": {"acme"}}}
}

test_what_is_no_filtered_list if {
	request := asks(reader("policies", ["acme"]), lists("policies"))
	admin.filtered == false with input as request
	admin.collection == false with input as request
	admin.of_tenants == false with input as request
	admin.reads_everywhere == false with input as request
	admin.itemised == false with input as request
	admin.system_readable == false with input as request
}

test_lists_refused[note] if {
	some note, tc in {
		"no grant": {"subject": reader("iam/groups", ["*"]), "given": {}, "want": ["not_granted"]},
		"one role, which no right names": {
			"subject": reader("iam/roles/u1", ["*"]), "given": lists("iam/roles"), "want": ["not_granted"],
		},
		"making one with a right to read": {
			"subject": reader("iam/users", ["acme"]), "given": {"action": {"name": "write"}}, "want": ["not_granted"],
		},
		"ended": {
			"subject": user("rita", {"grants": {"acme": {"iam/users": {"read": {"own": ended}}}}}), "given": {},
			"want": ["not_granted"],
		},
		"another tenant named": {
			"subject": reader("iam/users", ["acme"]), "given": {"resource": {"tenant": "globex"}}, "want": ["not_granted"],
		},
		"out of scope": {"subject": reader("iam/users", ["*"]), "given": scoped_to({}), "want": ["insufficient_scope"]},
	}
	answers(asks(tc.subject, object.union(lists("iam/users"), tc.given)), tc.want)
}
