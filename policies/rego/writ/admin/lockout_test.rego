package writ.admin_test

oneself(subject, action, changes, after) := asks(
	subject,
	on("iam/users", subject.id, action, {"self": true, "changes": changes, "before": subject, "after": after}),
)

test_no_form_of_ending_oneself[note] if {
	some note, tc in {
		"deleting": {"action": "delete", "changes": {"delete": true}, "after": null},
		"suspending": {"action": "write", "changes": {"status": true}, "after": object.union(owner, {"active": false})},
		"status": {"action": "write", "changes": {"status": true}, "after": owner},
		"a window in the past": {
			"action": "write", "changes": {"window": true}, "after": object.union(owner, {"not_after": 1000}),
		},
		"a window in the future": {
			"action": "write", "changes": {"window": true}, "after": object.union(owner, {"not_before": 1001}),
		},
		"expiring later": {
			"action": "write", "changes": {"window": true}, "after": object.union(owner, {"not_after": 2000}),
		},
		"a disabled tenant": {
			"action": "write", "changes": {"window": true}, "after": object.union(owner, {"tenant_enabled": false}),
		},
		"addresses": {"action": "write", "changes": {"addresses": true}, "after": owner},
	}
	request := oneself(owner, tc.action, tc.changes, tc.after)
	"self_lockout" in codes_of(request)

	# Somebody else may, who dominates.
	other_owner := object.union(owner, {"id": "otto"})
	change := {"changes": tc.changes, "before": owner, "after": tc.after}
	elsewhere := asks(other_owner, on("iam/users", "olga", tc.action, change))
	not "self_lockout" in codes_of(elsewhere)
}

test_lockout_is_told_without_the_right_too if {
	answers(oneself(anybody, "delete", {"delete": true}, null), ["self_lockout", "not_granted"])
	answers(
		asks(anybody, on("me", "", "write", {
			"self": true, "changes": {"status": true}, "before": anybody,
			"after": object.union(anybody, {"active": false}),
		})),
		["self_lockout", "not_owner", "delegation_exceeds_actor"],
	)
}

test_extending_the_own_window if {
	subject := object.union(owner, {"not_after": 5000})
	answers(oneself(subject, "write", {"window": true}, object.union(subject, {"not_after": 6000})), [])
}

test_own_tenant[note] if {
	citizen := object.union(manager, {"tenant": "acme"})
	tenant := bundle("tenant", "acme", {})
	some note, tc in {
		"disabling": {"changes": {"enabled": true}, "want": ["self_lockout", "delegation_exceeds_actor"]},
		"deleting": {"changes": {"delete": true}, "want": ["self_lockout"]},
		"addresses": {"changes": {"addresses": true}, "want": ["self_lockout", "delegation_exceeds_actor"]},
		"name": {"changes": {"name": true}, "want": []},
	}
	request := on("iam/tenants", "acme", "write", {"tenant": "acme", "changes": tc.changes, "before": tenant, "after": tenant})
	answers(asks(citizen, request), tc.want)
	not "self_lockout" in codes_of(asks(manager, request))
}

test_what_is_called_like_the_own_tenant_or_is_another[note] if {
	citizen := object.union(manager, {"tenant": "acme"})
	some note, tc in {
		"a group": {"type": "iam/groups", "id": "acme"},
		"another tenant": {"type": "iam/tenants", "id": "globex"},
	}
	target := bundle("group", tc.id, {})
	answers(asks(citizen, on(tc.type, tc.id, "delete", {"tenant": "acme", "changes": {"delete": true}, "before": target})), [])
}

test_the_own_last_secret[note] if {
	machine := app("app_root", {"grants": owner_grants})
	last := {"needed": true, "usable_before": 1, "usable_after": 0, "forced": true}
	some note, tc in {
		"the last one": {"secrets": {}, "want": ["self_lockout"]},
		"the last two at once": {"secrets": {"usable_before": 2}, "want": ["self_lockout"]},
		"one of two": {"secrets": {"usable_before": 2, "usable_after": 1}, "want": []},
		"a dead one": {"secrets": {"usable_before": 0}, "want": []},
		"proved by a key": {"secrets": {"needed": false}, "want": []},
	}
	change := {
		"self": true, "changes": {"secrets": true}, "before": machine, "after": machine,
		"detail": {"secrets": object.union(last, tc.secrets)},
	}
	request := on("iam/applications", "app_root", "write", change)
	answers(asks(machine, request), tc.want)
	answers(asks(owner, object.union(request, {"resource": {"self": false}})), [])
}

test_another_change_while_there_is_no_secret if {
	machine := app("app_root", {"grants": owner_grants})
	change := {
		"self": true, "changes": {"name": true}, "before": machine, "after": machine,
		"detail": {"secrets": {"needed": true, "usable_before": 1, "usable_after": 0, "forced": true}},
	}
	answers(asks(machine, on("iam/applications", "app_root", "write", change)), [])
}

test_becoming_a_public_client[note] if {
	machine := app("app_root", {"grants": owner_grants})
	some note, tc in {
		"public": {"changes": {"auth_method": true}, "public": true, "want": ["self_lockout"]},
		"by keys": {"changes": {"auth_method": true}, "public": false, "want": []},
		"public already": {"changes": {"name": true}, "public": true, "want": []},
	}
	change := {
		"self": true, "changes": tc.changes, "before": machine, "after": machine, "detail": {"public": tc.public},
	}
	request := on("iam/applications", "app_root", "write", change)
	answers(asks(machine, request), tc.want)
	answers(asks(owner, object.union(request, {"resource": {"self": false}})), [])
}

test_addresses_of_the_last_owner[note] if {
	victim := user("otto", {"grants": owner_grants, "roles": {"system:owner": true}})
	some note, tc in {
		"limited": {"changes": {"addresses": true}, "anywhere": false, "other": 0, "want": ["last_owner"]},
		"from anywhere again": {"changes": {"addresses": true}, "anywhere": true, "other": 0, "want": []},
		"limited as before": {"changes": {"name": true}, "anywhere": false, "other": 0, "want": []},
		"one of two": {"changes": {"addresses": true}, "anywhere": false, "other": 1, "want": []},
	}
	change := {
		"changes": tc.changes, "before": victim, "after": victim, "owners_before": 1, "other_owners": tc.other,
		"detail": {"anywhere": tc.anywhere},
	}
	answers(asks(root, on("iam/users", "otto", "write", change)), tc.want)
}

test_the_own_way_to_sign_in if {
	machine := app("app_root", {"grants": owner_grants})
	dumb := object.union(object.remove(machine, ["grant_types"]), {"grant_types": {}})
	change := {"changes": {"grant_types": true}, "self": true, "before": machine, "after": dumb}
	request := on("iam/applications", "app_root", "write", change)
	"self_lockout" in codes_of(asks(machine, request))
	answers(asks(owner, object.union(request, {"resource": {"self": false}})), [])
	kept := on("iam/applications", "app_root", "write", {"changes": {"secrets": true}, "self": true, "before": machine})
	answers(asks(machine, kept), [])
}

# Who is moved into a tenant is confined to it, and no full administrator any more.
test_moving_the_last_owner_into_a_tenant if {
	moved := object.union(owner, {"tenant": "acme"})
	change := {
		"changes": {"tenant": true}, "before": owner, "after": moved, "owners_before": 1, "other_owners": 0,
	}
	machine := app("app_root", {"grants": owner_grants})
	"last_owner" in codes_of(asks(machine, on("iam/users", owner.id, "write", change)))
	own := object.union(change, {"self": true})
	"self_lockout" in codes_of(asks(owner, on("iam/users", owner.id, "write", own)))
}

test_a_new_tenant_is_nobodys_own if {
	tenant := bundle("tenant", "", {})
	answers(asks(manager, on("iam/tenants", "", "write", {"changes": {"create": true, "enabled": true}, "after": tenant})), [])
}

test_own_administration if {
	fewer := user("olga", {"grants": {}, "roles": {}})
	"self_lockout" in codes_of(oneself(owner, "write", {"roles": true}, fewer))
	named := {"administrators": {"ids": {"olga": true}, "roles": {"ops:clerk": true}}}
	clerk := user("cleo", {"roles": {"ops:clerk": true}, "grants": manager_facts.grants})
	plain := user("cleo", {"grants": manager_facts.grants})
	in_settings(named, ["self_lockout"], oneself(clerk, "write", {"roles": true}, plain))
	in_settings(named, [], oneself(clerk, "write", {"name": true}, clerk))
}

test_own_secrets_cost_nothing if {
	request := on("iam/users", "olga", "reset_password", {"self": true, "changes": {"password": true}, "before": owner})
	answers(asks(owner, request), [])
}

full_bundle(kind, id) := bundle(kind, id, {"grants": everything})

empty_bundle(kind, id) := bundle(kind, id, {})

full_by(source) := user("fay", {
	"grants": {"*": {"*": {"*": {source: always}}}},
	"groups": {"g1": true},
	"roles": {"ops:full": true},
})

test_administration_by_a_group[note] if {
	some note, tc in {
		"only by it": {"source": "group:g1", "id": "g1", "after": empty_bundle("group", "g1"), "want": ["self_lockout"]},
		"deleting it": {"source": "group:g1", "id": "g1", "after": null, "want": ["self_lockout"]},
		"by another group": {"source": "group:g2", "id": "g1", "after": empty_bundle("group", "g1"), "want": []},
		"by a role": {"source": "role:ops:full", "id": "g1", "after": empty_bundle("group", "g1"), "want": []},
		"of its own": {"source": "own", "id": "g1", "after": empty_bundle("group", "g1"), "want": []},
		"not a member": {"source": "own", "id": "g3", "after": empty_bundle("group", "g3"), "want": []},
		"not a member, and by another group": {"source": "group:g1", "id": "g3", "after": empty_bundle("group", "g3"), "want": []},
		"still full": {"source": "group:g1", "id": "g1", "after": full_bundle("group", "g1"), "want": []},
	}
	change := {"changes": {"roles": true}, "before": full_bundle("group", tc.id), "after": tc.after}
	answers(asks(full_by(tc.source), on("iam/groups", tc.id, "write", change)), tc.want)
}

test_a_group_that_gave_everything_once_is_no_other_source if {
	subject := object.union(full_by("group:g1"), {"grants": {"*": {"*": {"*": {"group:g2": ended}}}}})
	change := {"changes": {"roles": true}, "before": full_bundle("group", "g1"), "after": empty_bundle("group", "g1")}
	answers(asks(subject, on("iam/groups", "g1", "write", change)), ["self_lockout"])
}

# A user may be called like a role or a group of the caller.
test_what_is_called_like_the_own_role_or_group[id] if {
	some id, source in {"ops:full": "role:ops:full", "g1": "group:g1"}
	change := {"changes": {"grants": true}, "before": user(id, {"grants": everything}), "after": user(id, {})}
	answers(asks(full_by(source), on("iam/users", id, "write", change)), [])
}

test_a_role_is_not_a_group_of_its_name if {
	change := {"changes": {"grants": true}, "before": full_bundle("role", "g1"), "after": empty_bundle("role", "g1")}
	answers(asks(full_by("group:g1"), on("iam/roles", "g1", "write", change)), [])
}

test_administration_by_groups_that_change_together[note] if {
	some note, tc in {
		"by the other": {"source": "group:g2", "together": {"group:g1": true, "group:g2": true}, "want": ["self_lockout"]},
		"by a third": {"source": "group:g3", "together": {"group:g1": true, "group:g2": true}, "want": []},
		"alone": {"source": "group:g2", "together": {"group:g1": true}, "want": []},
	}
	change := {
		"changes": {"roles": true}, "before": full_bundle("group", "g1"), "after": empty_bundle("group", "g1"),
		"detail": {"together": tc.together},
	}
	answers(asks(full_by(tc.source), on("iam/groups", "g1", "write", change)), tc.want)
}

test_administration_by_a_role[note] if {
	some note, tc in {
		"only by it": {"source": "role:ops:full", "id": "ops:full", "want": ["self_lockout"]},
		"by a role that may inherit it": {"source": "role:ops:more", "id": "ops:full", "want": ["self_lockout"]},
		"by the role of owners": {"source": "role:system:owner", "id": "ops:full", "want": []},
		"of its own": {"source": "own", "id": "ops:full", "want": []},
		"not held": {"source": "own", "id": "ops:none", "want": []},
		"not held, and by another role": {"source": "role:ops:full", "id": "ops:none", "want": []},
	}
	change := {"changes": {"grants": true}, "before": full_bundle("role", tc.id), "after": empty_bundle("role", tc.id)}
	answers(asks(full_by(tc.source), on("iam/roles", tc.id, "write", change)), tc.want)
}

test_administrative_role_by_a_group[note] if {
	member := user("cleo", {"groups": {"g1": true}, "roles": {"ops:clerk": true}, "grants": manager_facts.grants})
	before := bundle("group", "g1", {"roles": {"ops:clerk": true}})
	some note, tc in {
		"taken from a group that it is not in": {
			"settings": {"roles": {"ops:clerk": true}}, "id": "g3", "after": empty_bundle("group", "g3"), "want": [],
		},
		"taken": {
			"settings": {"roles": {"ops:clerk": true}}, "after": empty_bundle("group", "g1"), "want": ["self_lockout"],
		},
		"kept": {"settings": {"roles": {"ops:clerk": true}}, "after": before, "want": []},
		"named besides": {
			"settings": {"roles": {"ops:clerk": true}, "ids": {"cleo": true}}, "after": empty_bundle("group", "g1"), "want": [],
		},
		"not administrative": {"settings": {}, "after": empty_bundle("group", "g1"), "want": []},
	}
	id := object.get(tc, "id", "g1")
	request := asks(member, on("iam/groups", id, "write", {"changes": {"roles": true}, "before": before, "after": tc.after}))
	in_settings({"administrators": tc.settings}, tc.want, request)
}

test_last_owner[note] if {
	victim := user("otto", {"grants": owner_grants, "roles": {"system:owner": true}})
	weak := user("otto", {})
	some note, tc in {
		"last one demoted": {"before": 1, "other": 0, "after": weak, "want": ["last_owner"]},
		"last one deleted": {"before": 1, "other": 0, "after": null, "want": ["last_owner"]},
		"last one suspended": {
			"before": 1, "other": 0, "after": object.union(victim, {"active": false}), "want": ["last_owner"],
		},
		"last one renamed": {"before": 1, "other": 0, "after": victim, "want": []},
		"one of two": {"before": 2, "other": 1, "after": weak, "want": []},
		"none before": {"before": 0, "other": 0, "after": weak, "want": []},
		"not counted": {"before": -1, "other": -1, "after": weak, "want": []},
		"a full administrator with a window": {
			"before": 1, "other": 0,
			"after": user("otto", {"grants": {"*": {"*": {"*": {"own": {"not_before": 0, "not_after": 5000}}}}}}),
			"want": ["last_owner"],
		},
	}
	change := {
		"changes": {"roles": true}, "before": victim, "after": tc.after,
		"owners_before": tc.before, "other_owners": tc.other,
	}
	answers(asks(root, on("iam/users", "otto", "write", change)), tc.want)
}

test_last_owner_by_a_bundle if {
	change := {
		"changes": {"grants": true}, "before": full_bundle("role", "ops:full"), "after": empty_bundle("role", "ops:full"),
		"owners_before": 1, "other_owners": 0,
	}
	answers(asks(root, on("iam/roles", "ops:full", "write", change)), ["last_owner"])
	kept := object.union(change, {"after": full_bundle("role", "ops:full")})
	answers(asks(root, on("iam/roles", "ops:full", "write", kept)), [])
}

test_last_secret[note] if {
	machine := app("app_x", {})
	idle := app("app_x", {"active": false})
	last := {"needed": true, "usable_before": 1, "usable_after": 0, "forced": false}
	some note, tc in {
		"the last one": {"before": machine, "secrets": {}, "want": ["last_secret"]},
		"the last two at once": {"before": machine, "secrets": {"usable_before": 2}, "want": ["last_secret"]},
		"forced": {"before": machine, "secrets": {"forced": true}, "want": []},
		"one of two": {"before": machine, "secrets": {"usable_before": 2, "usable_after": 1}, "want": []},
		"a dead one, where none is alive": {"before": machine, "secrets": {"usable_before": 0}, "want": []},
		"proved by a key, or public": {"before": machine, "secrets": {"needed": false}, "want": []},
		"inactive": {"before": idle, "secrets": {}, "want": []},
	}
	change := {
		"changes": {"secrets": true}, "before": tc.before, "after": tc.before,
		"detail": {"secrets": object.union(last, tc.secrets)},
	}
	answers(asks(owner, on("iam/applications", "app_x", "write", change)), tc.want)
}

test_secrets_that_are_not_counted_stay if {
	machine := app("app_x", {})
	change := {"changes": {"secrets": true}, "before": machine, "after": machine}
	request := json.remove(asks(owner, on("iam/applications", "app_x", "write", change)), ["resource/detail/secrets"])
	answers(request, ["last_secret"])
}

test_what_is_no_identity_is_never_inactive[type] if {
	some type in ["iam/roles", "iam/groups", "iam/tenants"]
	request := asks(owner, on(type, "x:y", "delete", {"changes": {"delete": true}, "before": bundle("role", "x:y", {})}))
	in_settings({"delete_requires_inactive": true}, [], request)
}

test_people_are_inactive_first if {
	request := asks(owner, on("iam/users", "u1", "delete", {"changes": {"delete": true}, "before": user("u1", {})}))
	in_settings({"delete_requires_inactive": true}, ["must_be_inactive"], request)
}

test_inactive_first[note] if {
	demanded := {"delete_requires_inactive": true}
	some note, tc in {
		"active": {
			"settings": demanded, "before": app("app_x", {}), "action": "delete", "changes": {"delete": true},
			"want": ["must_be_inactive"],
		},
		"inactive": {
			"settings": demanded, "before": app("app_x", {"active": false}), "action": "delete", "changes": {"delete": true},
			"want": [],
		},
		"not demanded": {
			"settings": {}, "before": app("app_x", {}), "action": "delete", "changes": {"delete": true}, "want": [],
		},
		"missing": {"settings": demanded, "before": null, "action": "delete", "changes": {"delete": true}, "want": []},
		"not deleting": {
			"settings": demanded, "before": app("app_x", {}), "action": "write", "changes": {"name": true}, "want": [],
		},
	}
	request := asks(owner, on("iam/applications", "app_x", tc.action, {"changes": tc.changes, "before": tc.before}))
	in_settings(tc.settings, tc.want, request)
	by_dialect := object.union(request, {"context": {"dialect": "miniorange"}})
	in_settings({"dialects": {"miniorange": tc.settings}}, tc.want, by_dialect)
	in_settings({"dialects": {"miniorange": tc.settings}}, [], request)
}
