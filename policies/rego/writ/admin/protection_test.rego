package writ.admin_test

import data.writ.admin

guarded := user("gary", {"protected": true})

root := app("root", {"protected": true, "grants": owner_grants, "roles": {"system:owner": true}})

test_protected_objects[note] if {
	some note, tc in {
		"name": {"action": "write", "changes": {"name": true}, "after": guarded},
		"status": {"action": "write", "changes": {"status": true}, "after": guarded},
		"grants": {"action": "write", "changes": {"grants": true}, "after": guarded},
		"unnamed change": {"action": "write", "changes": {}, "after": guarded},
		"lifting protection": {"action": "write", "changes": {"protected": true}, "after": user("gary", {})},
		"secrets and more": {"action": "write", "changes": {"secrets": true, "name": true}, "after": guarded},
		"deleting": {"action": "delete", "changes": {"delete": true}, "after": null},
	}
	request := on("iam/users", "gary", tc.action, {"changes": tc.changes, "before": guarded, "after": tc.after})
	answers(asks(owner, request), ["system_protected"])
}

test_protecting if {
	request := on("iam/users", "u1", "write", {"changes": {"protected": true}, "before": anybody, "after": guarded})
	answers(asks(owner, request), ["system_protected"])
	created := on("iam/users", "u1", "write", {"exists": false, "changes": {"create": true}, "before": null, "after": guarded})
	answers(asks(owner, created), ["system_protected"])
}

test_naming_protection_is_changing_it if {
	request := on("iam/users", "u1", "write", {"changes": {"protected": true}, "before": anybody, "after": anybody})
	answers(asks(owner, request), ["system_protected"])
}

test_the_protected_change_their_password if {
	change := {"self": true, "changes": {"password": true}, "before": guarded, "after": guarded, "proof": "password"}
	answers(asks(guarded, on("me", "", "password", change)), [])
}

test_reading_what_is_protected if {
	answers(asks(owner, on("iam/users", "gary", "read", {"before": guarded})), [])
}

test_sessions_of_the_protected_are_ended if {
	answers(asks(owner, on("iam/sessions", "s1", "delete", {"before": guarded})), [])
}

test_sessions_of_the_stronger_are_theirs[note] if {
	keeper := user("kim", {"grants": {"": {
		"iam/sessions": {"read": {"own": always}, "delete": {"own": always}},
		"ledger": {"read": {"own": always}},
	}}})
	weak := user("clara", {"grants": {"": {"ledger": {"read": {"own": always}}}}})
	narrow := scoped_to({"iam/sessions": {"delete": true}})
	some note, tc in {
		"of a weaker one": {"of": weak, "given": {}, "want": []},
		"of a stronger one": {"of": owner, "given": {}, "want": ["delegation_exceeds_actor"]},
		"of one that is gone": {"of": null, "given": {}, "want": []},
		"of a weaker one, with a narrow token": {"of": weak, "given": narrow, "want": ["delegation_exceeds_actor"]},
		"of oneself, with a narrow token": {
			"of": keeper, "given": object.union(narrow, {"resource": {"self": true}}), "want": [],
		},
		"reading those of a stronger one": {"of": owner, "given": {"action": {"name": "read"}}, "want": []},
	}
	answers(object.union(asks(keeper, on("iam/sessions", "s1", "delete", {"before": tc.of})), tc.given), tc.want)
}

test_taking_a_role_by_force[note] if {
	some note, tc in {
		"from nobody of note": {"protected": false, "disabled": false, "want": []},
		"from a protected object": {"protected": true, "disabled": false, "want": ["system_protected"]},
		"in a disabled tenant": {"protected": false, "disabled": true, "want": ["tenant_disabled"]},
	}
	given := bundle("role", "ops:x", {})
	change := {
		"changes": {"delete": true}, "before": given,
		"detail": {"holders": {"protected": tc.protected, "disabled": tc.disabled}},
	}
	answers(asks(owner, on("iam/roles", "ops:x", "delete", change)), tc.want)
}

test_rotation[note] if {
	some note, tc in {
		"full administrator": {"subject": owner, "given": {}, "want": []},
		"not everything in scope": {
			"subject": owner, "given": scoped_to({"iam": {"*": true}}), "want": ["system_protected", "delegation_exceeds_actor"],
		},
		"confined to a tenant": {
			"subject": owner, "given": in_acme, "want": ["system_level_readonly"],
		},
		"another": {"subject": writer, "given": {}, "want": ["system_protected", "delegation_exceeds_actor"]},
	}
	request := on("iam/applications", "root", "write", {"changes": {"secrets": true}, "before": root, "after": root})
	answers(object.union(asks(tc.subject, request), tc.given), tc.want)
}

test_the_protected_change_their_own_credentials if {
	change := {"self": true, "changes": {"secrets": true}, "before": root, "after": root, "proof": "secret"}
	answers(asks(root, on("me", "", "password", change)), [])
	name := {"self": true, "changes": {"name": true}, "before": root, "after": root}
	answers(asks(root, on("me", "", "write", name)), ["system_protected"])
}

test_a_password_of_the_protected if {
	change := {"changes": {"password": true}, "before": guarded, "after": guarded}
	answers(asks(owner, on("iam/users", "gary", "reset_password", change)), [])
	answers(asks(owner, on("iam/users", "gary", "password", object.union(change, {"changes": {"name": true}}))), ["system_protected"])
}

# What is made with its secrets is not rotated.
test_making_a_protected_application if {
	creation := {"exists": false, "changes": {"secrets": true}, "after": root}
	answers(asks(owner, on("iam/applications", "root", "write", creation)), ["system_protected"])
}

test_what_is_a_change[note] if {
	some note, tc in {
		"of a user": {"request": on("iam/users", "u1", "write", {}), "object": true, "oneself": false},
		"of oneself": {"request": on("me", "", "write", {}), "object": false, "oneself": true},
		"of the own password": {"request": on("me", "", "password", {}), "object": false, "oneself": true},
		"reading": {"request": on("iam/users", "u1", "read", {}), "object": false, "oneself": false},
		"reading oneself": {"request": on("me", "", "read", {}), "object": false, "oneself": false},
	}
	changing := admin.changing with input as asks(owner, tc.request)
	changing == tc.object
	changing_oneself := admin.changing_oneself with input as asks(owner, tc.request)
	changing_oneself == tc.oneself
}

test_a_group_may_be_named_like_the_system if {
	group := bundle("group", "system:desk", {})
	answers(asks(owner, on("iam/groups", "system:desk", "write", {"changes": {"name": true}, "before": group, "after": group})), [])
}

test_names_of_the_system[note] if {
	some note, tc in {
		"creating": {"id": "system:mine", "before": null, "action": "write", "want": ["system_protected"]},
		"changing": {
			"id": "system:owner", "before": bundle("role", "system:owner", {}), "action": "write", "want": ["system_protected"],
		},
		"deleting": {
			"id": "system:owner", "before": bundle("role", "system:owner", {}), "action": "delete", "want": ["system_protected"],
		},
		"reading": {"id": "system:owner", "before": bundle("role", "system:owner", {}), "action": "read", "want": []},
		"another": {"id": "systems:mine", "before": null, "action": "write", "want": []},
	}
	change := {"before": tc.before, "changes": {"description": true}, "after": bundle("role", tc.id, {})}
	request := on("iam/roles", tc.id, tc.action, change)
	answers(asks(owner, request), tc.want)
}

test_revoking_the_tokens_of_the_protected[note] if {
	some note, tc in {
		"full administrator": {"subject": owner, "want": []},
		"another": {"subject": revoker, "want": ["system_protected", "delegation_exceeds_actor"]},
	}
	request := on("iam/applications", "root", "revoke_tokens", {"changes": {"epoch": true}, "before": root, "after": root})
	answers(asks(tc.subject, request), tc.want)
}
