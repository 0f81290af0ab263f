package writ.admin_test

import data.writ.admin

by_dialect(name, request) := object.union(request, {"context": {"dialect": name}})

chosen_create := {
	"exists": false, "changes": {"create": true, "chosen_secret": true}, "after": app("cred", {}),
	"detail": {"conditional": true},
}

chosen_update := {
	"changes": {"secrets": true, "chosen_secret": true}, "before": app("cred", {}), "after": app("cred", {}),
	"detail": {"secrets": {"needed": true, "usable_before": 1, "usable_after": 1, "forced": false}},
}

test_secrets_are_chosen_where_policy_data_says_so[note] if {
	some note, tc in {
		"native, creating": {"dialect": "", "change": chosen_create, "want": ["secret_not_chosen"]},
		"native, changing": {"dialect": "", "change": chosen_update, "want": ["secret_not_chosen"]},
		"another dialect": {"dialect": "hantera", "change": chosen_create, "want": ["secret_not_chosen"]},
		"rustici, creating": {"dialect": "rustici", "change": chosen_create, "want": []},
		"rustici, changing": {"dialect": "rustici", "change": chosen_update, "want": []},
		"rustici, made by the server": {
			"dialect": "rustici", "want": [],
			"change": object.union(chosen_create, {"changes": {"chosen_secret": false}}),
		},
	}
	answers(by_dialect(tc.dialect, asks(owner, on("iam/applications", "cred", "write", tc.change))), tc.want)
}

test_secrets_are_chosen_natively_if_policy_data_says_so if {
	in_settings({"secrets": {"chosen": true}}, [], asks(owner, on("iam/applications", "cred", "write", chosen_create)))
}

# Who chooses the secret of a stronger identity is that identity.
test_a_chosen_secret_of_a_stronger_one if {
	request := asks(writer, on("iam/applications", "cred", "write", object.union(chosen_update, {
		"before": app("cred", {"grants": everything}), "after": app("cred", {"grants": everything}),
	})))
	answers(by_dialect("rustici", request), ["delegation_exceeds_actor"])
}

credential := app("cred", {"grants": {"*": {"jobs": {"read": {"own": always}}}}})

test_the_own_secret_is_chosen_with_proof[note] if {
	some note, tc in {
		"with the present one": {"proof": "secret", "given": scoped_to({}), "changes": {"name": true}, "want": []},
		"with a token of everything": {"proof": "none", "given": {}, "changes": {}, "want": []},
		"with a narrow token": {"proof": "none", "given": scoped_to({}), "changes": {}, "want": ["proof_required"]},
		"and more rights": {
			"proof": "secret", "given": {}, "changes": {"grants": true}, "after": everything,
			"want": ["delegation_exceeds_actor"],
		},
		"and the status": {
			"proof": "secret", "given": {}, "changes": {"status": true},
			"want": ["self_lockout", "not_owner", "delegation_exceeds_actor"],
		},
	}
	change := {
		"self": true, "proof": tc.proof, "before": credential,
		"after": object.union(object.remove(credential, ["grants"]), {"grants": object.get(tc, "after", credential.grants)}),
		"changes": object.union({"secrets": true, "chosen_secret": true}, tc.changes),
		"detail": chosen_update.detail,
	}
	request := object.union(asks(credential, on("me", "", "write", change)), tc.given)
	answers(by_dialect("rustici", request), tc.want)
}

test_the_own_secret_is_not_chosen_natively if {
	change := object.union(chosen_update, {"self": true, "proof": "secret", "before": credential, "after": credential})
	answers(asks(credential, on("me", "", "write", change)), ["secret_not_chosen"])
}

# On its own id, outside "me", a secret is a change like any other: it takes the right, and a token that dominates.
test_the_own_id_is_no_way_around_the_proof if {
	clerk := app("cred", {"grants": {"*": {
		"iam/applications": {"write": {"own": always}},
		"jobs": {"read": {"own": always}},
	}}})
	change := object.union(chosen_update, {"self": true, "before": clerk, "after": clerk})
	narrow := scoped_to({"iam/applications": {"write": true}})
	request := object.union(asks(clerk, on("iam/applications", "cred", "write", change)), narrow)
	answers(by_dialect("rustici", request), ["delegation_exceeds_actor"])
}

test_writers_delete_in_the_dialect[note] if {
	both_rights := {"write": {"own": always}, "write_scopes": {"own": always}}
	some note, tc in {
		"both rights": {"dialect": "rustici", "rights": both_rights, "given": {}, "want": []},
		"natively": {"dialect": "", "rights": both_rights, "given": {}, "want": ["not_granted"]},
		"the one": {"dialect": "rustici", "rights": {"write": {"own": always}}, "given": {}, "want": ["not_granted"]},
		"the other": {"dialect": "rustici", "rights": {"write_scopes": {"own": always}}, "given": {}, "want": ["not_granted"]},
		"both scopes": {
			"dialect": "rustici", "rights": both_rights, "want": [],
			"given": scoped_to({"iam/applications": {"write": true, "write_scopes": true}}),
		},
		"one scope": {
			"dialect": "rustici", "rights": both_rights, "want": ["insufficient_scope"],
			"given": scoped_to({"iam/applications": {"write": true}}),
		},
		"the other scope": {
			"dialect": "rustici", "rights": both_rights, "want": ["insufficient_scope"],
			"given": scoped_to({"iam/applications": {"write_scopes": true}}),
		},
	}
	actor := app("writer", {"grants": {"*": {"iam/applications": tc.rights}}})
	idle := app("idle", {"active": false})
	request := asks(actor, on("iam/applications", "idle", "delete", {"changes": {"delete": true}, "before": idle}))
	answers(by_dialect(tc.dialect, object.union(request, tc.given)), tc.want)
}

test_writers_do_nothing_else_by_deleting if {
	actor := app("writer", {"grants": {"*": {"iam/applications": {"write": {"own": always}, "write_scopes": {"own": always}}}}})
	answers(by_dialect("rustici", asks(actor, on("iam/applications", "idle", "read", {"before": app("idle", {})}))), ["not_granted"])
}

test_writers_delete_nothing_else if {
	actor := app("writer", {"grants": {"*": {"iam/users": {"write": {"own": always}, "write_scopes": {"own": always}}}}})
	request := asks(actor, on("iam/users", "u1", "delete", {"changes": {"delete": true}, "before": user("u1", {"active": false})}))
	answers(by_dialect("rustici", request), ["not_granted"])
}

lister(tenants) := app("cred", {"grants": {tenant: {"iam/applications": {"read": {"own": always}}} | some tenant in tenants}})

lists_in(tenant) := {
	"action": {"name": "read"},
	"resource": {
		"type": "iam/applications", "id": "", "path": "iam/applications", "covers": ["iam/applications", "iam", "*"],
		"tenant": tenant,
	},
}

test_a_list_names_its_tenant[note] if {
	some note, tc in {
		"in every tenant": {"tenants": ["*"], "list": lists_in(""), "want": []},
		"in none": {"tenants": [""], "list": lists_in(""), "want": []},
		"in one, which is named": {"tenants": ["acme"], "list": lists_in("acme"), "want": []},
		"in one, which is the token's": {"tenants": ["acme"], "list": object.union(lists_in(""), in_acme), "want": []},
		"in one, and none is named": {"tenants": ["acme"], "list": lists_in(""), "want": ["tenant_required"]},
		"in two, and none is named": {"tenants": ["acme", "globex"], "list": lists_in(""), "want": ["tenant_required"]},
		"holding nothing": {"tenants": [], "list": lists_in(""), "want": ["not_granted"]},
	}
	answers(by_dialect("rustici", asks(lister(tc.tenants), tc.list)), tc.want)
}

test_a_list_names_no_tenant_natively if {
	answers(asks(lister(["acme"]), lists_in("")), [])
}

test_one_object_and_oneself_need_no_tenant if {
	answers(by_dialect("rustici", asks(credential, on("me", "", "read", {"self": true, "before": credential}))), [])
	inside := on("iam/applications", "other", "read", {"tenant": "acme", "before": app("other", {"tenant": "acme"})})
	answers(by_dialect("rustici", asks(lister(["acme"]), inside)), [])
}

# What no list of identities is has no tenant to be named, nor has one object.
test_only_lists_of_identities_name_a_tenant[note] if {
	some note, given in {
		"an object of no tenant": on("iam/applications", "other", "read", {"before": app("other", {})}),
		"a list of something else": object.union(lists_in(""), {"resource": {"type": "policies", "path": "policies", "covers": ["policies", "*"]}}),
	}
	answers(by_dialect("rustici", asks(lister(["acme"]), given)), ["not_granted"])
}

test_what_is_not_elsewhere_is_told[note] if {
	inside := app("cred", {"tenant": "globex", "grants": {"acme": {"jobs": {"read": {"own": always}}}}})
	some note, request in {
		"the own object": asks(inside, on("iam/applications", "cred", "read", {"self": true, "tenant": "globex", "before": inside})),
		"a list of something else": asks(lister(["acme"]), object.union(lists_in("globex"), {"resource": {"type": "policies"}})),
		"a list that names no tenant": asks(lister(["acme"]), lists_in("")),
		"by a caller who is not accepted": object.union(
			asks(lister(["acme"]), lists_in("globex")),
			{"caller": {"audiences": {"https://writ.example/management": false}}},
		),
	}
	refuses_openly(by_dialect("rustici", request))
}

test_another_tenant_that_is_named_looks_missing[note] if {
	some note, tc in {
		"another": {"dialect": "rustici", "tenants": ["acme"], "conceals": true},
		"another, holding nothing": {"dialect": "rustici", "tenants": [], "conceals": true},
		"natively": {"dialect": "", "tenants": ["acme"], "conceals": false},
	}
	result := admin.result with input as by_dialect(tc.dialect, asks(lister(tc.tenants), lists_in("globex")))
	result.allow == false
	object.get(result.obligations, "conceal", false) == tc.conceals
}

test_a_named_tenant_without_the_right_is_told if {
	other := app("cred", {"grants": {"acme": {"jobs": {"read": {"own": always}}}}})
	refuses_openly(by_dialect("rustici", asks(other, lists_in("acme"))))
	refuses_openly(by_dialect("rustici", asks(credential, lists_in("acme"))))
}

held_in(tenants) := {"grants": {tenant: {"jobs": {"read": {"own": always}}} | some tenant in tenants}}

test_what_is_held_in_a_disabled_tenant[note] if {
	some note, tc in {
		"given": {"dialect": "rustici", "before": ["acme"], "after": ["acme", "closed"], "want": ["tenant_disabled"]},
		"given in one that is not": {"dialect": "rustici", "before": ["acme"], "after": ["acme", "globex"], "want": []},
		"given natively": {"dialect": "", "before": ["acme"], "after": ["acme", "closed"], "want": []},
		"kept beside others": {"dialect": "rustici", "before": ["acme", "closed"], "after": ["acme", "closed"], "want": []},
		"taken": {"dialect": "rustici", "before": ["acme", "closed"], "after": ["acme"], "want": []},
		"held there alone": {"dialect": "rustici", "before": ["closed"], "after": ["closed"], "want": ["tenant_disabled"]},
		"held there alone, natively": {"dialect": "", "before": ["closed"], "after": ["closed"], "want": []},
		"holding nothing": {"dialect": "rustici", "before": [], "after": [], "want": []},
	}
	change := {
		"changes": {"description": true}, "before": app("x", held_in(tc.before)), "after": app("x", held_in(tc.after)),
		"detail": {"disabled": {"closed": true}},
	}
	answers(by_dialect(tc.dialect, asks(owner, on("iam/applications", "x", "write", change))), tc.want)
}

test_deleting_what_is_tied_to_a_disabled_tenant if {
	idle := app("x", object.union(held_in(["closed"]), {"active": false}))
	gone := {"changes": {"delete": true}, "before": idle, "detail": {"disabled": {"closed": true}}}
	answers(by_dialect("rustici", asks(owner, on("iam/applications", "x", "delete", gone))), ["tenant_disabled"])
	answers(by_dialect("rustici", asks(owner, on("iam/applications", "x", "read", {"before": idle}))), [])
}
