package writ.admin_test

import data.writ.admin
import data.writ.why

# insider belongs to tenant acme and may do everything with users and roles there.
insider := user("ines", {"tenant": "acme", "grants": {"acme": {
	"iam/users": {"*": {"own": always}},
	"iam/roles": {"*": {"own": always}},
	"iam/sessions": {"*": {"own": always}},
}}})

in_acme := {"caller": {"tenant": "acme"}}

role(tenant) := bundle("role", "ops:x", {"tenant": tenant})

test_tenants[note] if {
	some note, tc in {
		"own tenant": {"tenant": "acme", "action": "write", "want": []},
		"another tenant": {"tenant": "globex", "action": "write", "want": ["tenant_mismatch"]},
		"another tenant, reading": {"tenant": "globex", "action": "read", "want": ["tenant_mismatch"]},
		"system level": {"tenant": "", "action": "write", "want": ["system_level_readonly"]},
		"system level, reading": {"tenant": "", "action": "read", "want": []},
	}
	resource := {"tenant": tc.tenant, "before": role(tc.tenant), "after": role(tc.tenant), "changes": {"description": true}}
	request := asks(insider, on("iam/roles", "ops:x", tc.action, resource))
	answers(request, tc.want)
	answers(object.union(request, in_acme), tc.want)
}

test_only_some_types_are_readable_at_system_level if {
	request := asks(insider, on("iam/users", "u1", "read", {}))
	answers(request, ["not_granted"])
	narrowed := asks(object.union(insider, {"tenant": ""}), on("iam/roles", "ops:x", "read", {}))
	answers(narrowed, [])
	elsewhere := asks(object.union(insider, {"tenant": "globex"}), on("iam/roles", "ops:x", "read", {}))
	answers(elsewhere, ["not_granted"])
}

test_what_is_readable_may_differ_by_dialect[note] if {
	trusted := object.union(insider, {
		"roles": {"dialect:policyserver:administrator": true},
		"grants": {"acme": {"policies/data": {"read": {"own": always}, "write": {"own": always}}}},
	})
	reading := asks(trusted, on("policies/data", "apps/policytree/nodes", "read", {}))
	changed := {"changes": {"document": true}}
	writing := asks(trusted, on("policies/data", "apps/policytree/nodes", "write", changed))
	some note, tc in {
		"read natively": {"request": reading, "want": ["not_granted"]},
		"read by the dialect": {"request": object.union(reading, spoken_of("policyserver")), "want": []},
		"read by another": {"request": object.union(reading, spoken_of("hantera")), "want": ["not_granted"]},
		"written by the dialect": {"request": object.union(writing, spoken_of("policyserver")), "want": ["system_level_readonly"]},
	}
	answers(tc.request, tc.want)
}

spoken_of(dialect) := {"context": {"dialect": dialect}}

test_a_narrowed_token_stays_in_its_tenant if {
	request := asks(owner, on("iam/users", "u1", "read", {"tenant": "globex"}))
	answers(request, [])
	answers(object.union(request, in_acme), ["tenant_mismatch"])
	answers(object.union(asks(owner, on("iam/users", "u1", "read", {"tenant": "acme"})), in_acme), [])
}

test_moving_out_of_the_tenant[note] if {
	some note, tc in {
		"to another": {"to": "globex", "want": ["tenant_mismatch"]},
		"to none": {"to": "", "want": ["system_level_readonly"]},
	}
	move := {
		"tenant": "acme", "changes": {"tenant": true},
		"before": user("u1", {"tenant": "acme"}), "after": user("u1", {"tenant": tc.to}),
	}
	answers(asks(insider, on("iam/users", "u1", "write", move)), tc.want)
}

test_moving_within_the_tenant if {
	move := {
		"tenant": "acme", "changes": {"tenant": true},
		"before": user("u1", {"tenant": "acme"}), "after": user("u1", {"tenant": "acme"}),
	}
	answers(asks(insider, on("iam/users", "u1", "write", move)), [])
}

test_oneself_is_of_any_tenant if {
	answers(asks(insider, on("me", "", "read", {"self": true, "tenant": "globex"})), [])
	change := {"self": true, "changes": {"name": true}, "before": insider, "after": insider}
	answers(asks(insider, on("me", "", "write", change)), [])
	answers(asks(insider, on("tokens", "s1", "end", {"self": true})), [])
}

# What the answer is, the question itself says; asking about oneself is everybody's.
test_asking_about_oneself_in_any_tenant if {
	self := {"caller": {"self": true}, "resource": {"type": "decisions", "tenant": "globex"}, "action": {"name": "ask"}}
	answers(asks(insider, self), [])
	answers(object.union(asks(insider, self), in_acme), [])
	answers(asks(insider, object.union(self, {"caller": {"self": false}})), ["tenant_mismatch"])
}

test_disabled_tenant[note] if {
	some note, tc in {
		"reading": {"type": "iam/users", "action": "read", "want": []},
		"writing": {"type": "iam/users", "action": "write", "want": ["tenant_disabled"]},
		"deleting": {"type": "iam/users", "action": "delete", "want": ["tenant_disabled"]},
		"ending sessions": {"type": "iam/sessions", "action": "delete", "want": []},
	}
	resource := {
		"tenant": "acme", "tenant_enabled": false, "changes": {"name": true},
		"before": user("u1", {"tenant": "acme", "tenant_enabled": false}),
		"after": user("u1", {"tenant": "acme", "tenant_enabled": false}),
	}
	answers(asks(owner, on(tc.type, "u1", tc.action, resource)), tc.want)
}

test_moving_into_a_disabled_tenant if {
	move := {
		"changes": {"tenant": true}, "before": user("u1", {}),
		"after": user("u1", {"tenant": "acme", "tenant_enabled": false}),
	}
	answers(asks(owner, on("iam/users", "u1", "write", move)), ["tenant_disabled"])
}

test_a_missing_tenant_fact_refuses if {
	change := {"tenant": "acme", "before": user("u1", {}), "after": user("u1", {})}
	request := asks(owner, on("iam/users", "u1", "write", change))
	result := admin.allow with input as object.union(
		object.remove(request, ["resource"]),
		{"resource": object.remove(request.resource, ["tenant_enabled"])},
	)
	result == false
}

test_a_disabled_tenant_is_enabled_again if {
	tenant := bundle("tenant", "acme", {})
	resource := {"tenant_enabled": false, "tenant": "acme", "before": tenant, "after": tenant, "changes": {"enabled": true}}
	answers(asks(owner, on("iam/tenants", "acme", "write", resource)), [])
}

test_naming_a_tenant_out_of_reach[note] if {
	some note, tc in {
		"a missing object": {"exists": false},
		"a missing one that would be made": {
			"exists": false, "tenant": "globex", "changes": {"create": true}, "after": user("u1", {"tenant": "globex"}),
		},
		"one of another tenant": {
			"tenant": "globex", "before": user("u1", {"tenant": "globex"}), "after": user("u1", {"tenant": "globex"}),
		},
	}
	named := object.union(tc, {"detail": {"named_tenant": "globex"}})
	request := asks(insider, on("iam/users", "u1", "write", named))
	"tenant_mismatch" in {reason.code | some reason in why.result.reasons with input as request}
	refuses_openly(request)
	conceals(object.union(request, {"subject": powerless_subject}))
}

powerless_subject := {"grants": {"acme": {"iam/users": {"*": {"own": ended}}}}}

test_naming_a_tenant_with_a_right_in_every_one if {
	request := object.union(asks(owner, on("iam/users", "u1", "write", {"exists": false, "detail": {"named_tenant": "globex"}})), in_acme)
	answers(request, ["tenant_mismatch", "system_level_readonly"])
}

test_naming_no_tenant if {
	answers(asks(insider, on("iam/roles", "ops:x", "read", {"detail": {"named_tenant": ""}})), [])
}

# Who is kept in no tenant strays nowhere: what it may not see looks missing.
test_naming_a_tenant_without_a_right_there if {
	clerk := user("cleo", {"grants": {"": {"iam/users": {"write": {"own": always}}}}})
	request := asks(clerk, on("iam/users", "u1", "write", {"tenant": "globex", "detail": {"named_tenant": "globex"}}))
	conceals(request)
	admin.strays == false with input as request
}

test_an_object_of_no_tenant_is_in_none_that_is_disabled if {
	answers(asks(owner, on("iam/users", "u1", "write", {"tenant_enabled": false, "changes": {"name": true}, "before": anybody, "after": anybody})), [])
}

test_oneself_and_tokens_in_a_disabled_tenant[type] if {
	some type, want in {"me": true, "tokens": true, "iam/users": false}
	enabled := admin.tenant_enabled with input as asks(insider, on(type, "", "write", {"tenant": "acme", "tenant_enabled": false}))
	enabled == want
}

test_naming_the_own_tenant if {
	change := {
		"tenant": "acme", "before": user("u1", {"tenant": "acme"}), "after": user("u1", {"tenant": "acme"}),
		"detail": {"named_tenant": "acme"},
	}
	answers(asks(insider, on("iam/users", "u1", "write", change)), [])
}

# Whoever enables or disables a tenant changes the status of all its identities at once.
test_status_of_a_tenant[note] if {
	tenants := {"iam/tenants": {"*": {"own": always}}}
	all := {"*": {"*": {"own": always}}}
	named := {
		"iam/applications": {"reveal": {"own": always}},
		"tokens": {"revoke_all": {"own": always}},
	}
	governor := {"acme": object.union(all, named), "": object.union(all, named)}
	some note, tc in {
		"full administrator": {"grants": owner_grants, "want": []},
		"all of the tenant and of none": {"grants": governor, "want": []},
		"keeper of tenants": {"grants": {"": tenants}, "want": ["delegation_exceeds_actor"]},
		"not what is of no tenant": {"grants": {"acme": governor.acme, "": tenants}, "want": ["delegation_exceeds_actor"]},
		"not what is explicit": {"grants": {"acme": all, "": all}, "want": ["delegation_exceeds_actor"]},
		"of another tenant": {
			"grants": {"globex": governor.acme, "": governor[""]}, "want": ["delegation_exceeds_actor"],
		},
		"for a time": {
			"grants": {"*": {"*": {"*": {"own": {"not_before": 0, "not_after": 5000}}}}},
			"want": ["delegation_exceeds_actor"],
		},
	}
	some change in ["enabled", "addresses"]
	tenant := bundle("tenant", "acme", {})
	request := on("iam/tenants", "acme", "write", {"changes": {change: true}, "before": tenant, "after": tenant})
	answers(asks(user("gwen", {"grants": tc.grants}), request), tc.want)
}

test_other_changes_of_tenants if {
	keeper := user("kim", {"grants": {"": {"iam/tenants": {"*": {"own": always}}}}})
	tenant := bundle("tenant", "acme", {})
	answers(asks(keeper, on("iam/tenants", "acme", "write", {"changes": {"name": true}, "before": tenant, "after": tenant})), [])
	answers(asks(keeper, on("iam/tenants", "acme", "write", {"changes": {"create": true, "enabled": true}, "after": tenant})), [])
}
