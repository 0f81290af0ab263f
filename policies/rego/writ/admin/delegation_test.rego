package writ.admin_test

import data.writ.admin

# manager manages users and applications in every tenant and none, holds ledger:read there, and jobs:* until 5000.
manager_facts := {"grants": {"*": {
	"iam": {"*": {"own": always}},
	"ledger": {"read": {"own": always}},
	"jobs": {"*": {"own": {"not_before": 0, "not_after": 5000}}},
}}}

manager := user("mara", manager_facts)

machine := app("app_manager", manager_facts)

with_grants(grants) := user("u1", {"grants": grants})

changes_user(before, after) := on("iam/users", "u1", "write", {
	"changes": {"grants": true},
	"before": before, "after": after,
})

exceeded := ["delegation_exceeds_actor"]

test_grants_given[note] if {
	some note, tc in {
		"none": {"grants": {}, "want": []},
		"equal": {"grants": {"*": {"ledger": {"read": {"own": always}}}}, "want": []},
		"narrower tenant": {"grants": {"acme": {"ledger": {"read": {"own": always}}}}, "want": []},
		"no tenant": {"grants": {"": {"ledger": {"read": {"own": always}}}}, "want": []},
		"narrower resource": {"grants": {"": {"ledger/accounts/1": {"read": {"own": always}}}}, "want": []},
		"an action of a wildcard": {"grants": {"": {"iam/users": {"write": {"own": always}}}}, "want": []},
		"the wildcard": {"grants": {"": {"iam/users": {"*": {"own": always}}}}, "want": []},
		"ending as early": {"grants": {"": {"jobs": {"read": {"own": {"not_before": 0, "not_after": 5000}}}}}, "want": []},
		"ending later": {
			"grants": {"": {"jobs": {"read": {"own": {"not_before": 0, "not_after": 5001}}}}}, "want": exceeded,
		},
		"not ending": {"grants": {"": {"jobs": {"read": {"own": always}}}}, "want": exceeded},
		"another action": {"grants": {"": {"ledger": {"write": {"own": always}}}}, "want": exceeded},
		"every action": {"grants": {"": {"ledger": {"*": {"own": always}}}}, "want": exceeded},
		"above": {"grants": {"": {"*": {"read": {"own": always}}}}, "want": exceeded},
		"beside": {"grants": {"": {"ledgers": {"read": {"own": always}}}}, "want": exceeded},
		"explicit, by wildcard": {"grants": {"": {"iam/applications": {"reveal": {"own": always}}}}, "want": exceeded},
		"explicit, above": {"grants": {"": {"iam": {"reveal": {"own": always}}}}, "want": exceeded},
		"one of two": {
			"grants": {"": {"ledger": {"read": {"own": always}}, "content": {"read": {"own": always}}}}, "want": exceeded,
		},
		"by a role": {"grants": {"": {"content": {"read": {"role:a:b": always}}}}, "want": exceeded},
		"one of two sources": {"grants": {"": {"jobs": {"read": {"own": ended, "role:a:b": always}}}}, "want": exceeded},
	}
	answers(asks(manager, changes_user(anybody, with_grants(tc.grants))), tc.want)
	answers(asks(machine, changes_user(anybody, with_grants(tc.grants))), tc.want)

	# Taking is giving in reverse: who holds more than the actor is not touched.
	answers(asks(manager, changes_user(with_grants(tc.grants), anybody)), tc.want)
}

test_stronger_identities[note] if {
	stronger := with_grants({"": {"content": {"read": {"group:g1": always}}}})
	some note, tc in {
		"name": {"action": "write", "changes": {"name": true}, "after": stronger},
		"status": {"action": "write", "changes": {"status": true}, "after": stronger},
		"attributes": {"action": "write", "changes": {"attributes": true}, "after": stronger},
		"nothing named": {"action": "write", "changes": {}, "after": stronger},
		"password by another action": {"action": "password", "changes": {"password": true}, "after": stronger},
		"password": {"action": "reset_password", "changes": {"password": true}, "after": stronger},
		"deleting": {"action": "delete", "changes": {"delete": true}, "after": null},
	}
	request := on("iam/users", "u1", tc.action, {"changes": tc.changes, "before": stronger, "after": tc.after})
	answers(asks(manager, request), exceeded)
	answers(asks(owner, request), [])
}

test_scopes_of_the_token_limit_what_is_given[note] if {
	request := changes_user(anybody, with_grants({"": {"ledger": {"read": {"own": always}}}}))
	some note, tc in {
		"in scope": {"scopes": {"iam": {"*": true}, "ledger": {"read": true}}, "want": []},
		"pattern": {"scopes": {"*": {"*": true}}, "want": []},
		"not in scope": {"scopes": {"iam": {"*": true}}, "want": exceeded},
		"narrower scope": {"scopes": {"iam": {"*": true}, "ledger/accounts": {"read": true}}, "want": exceeded},
	}
	answers(object.union(asks(manager, request), scoped_to(tc.scopes)), tc.want)
}

test_tenant_of_the_token_limits_what_is_given[note] if {
	some note, tc in {
		"own tenant": {"tenant": "acme", "want": []},
		"another": {"tenant": "globex", "want": exceeded},
		"every": {"tenant": "*", "want": exceeded},
		"none": {"tenant": "", "want": exceeded},
	}
	after := object.union(with_grants({tc.tenant: {"ledger": {"read": {"own": always}}}}), {"tenant": "acme"})
	request := object.union(changes_user(user("u1", {"tenant": "acme"}), after), {"resource": {"tenant": "acme"}})
	answers(object.union(asks(manager, request), in_acme), tc.want)
}

test_an_identity_of_a_tenant_gives_what_it_has_of_none if {
	after := object.union(with_grants({"": {"ledger": {"read": {"own": always}}}}), {"tenant": "acme"})
	request := object.union(changes_user(user("u1", {"tenant": "acme"}), after), {"resource": {"tenant": "acme"}})
	actor := object.union(manager, {"tenant": "acme"})
	answers(object.union(asks(actor, request), in_acme), [])
}

test_an_ended_grant_gives_nothing if {
	actor := user("mara", {"grants": {"": {
		"iam/users": {"*": {"own": always}},
		"ledger": {"read": {"own": ended}},
	}}})
	answers(asks(actor, changes_user(anybody, with_grants({"": {"ledger": {"read": {"own": ended}}}}))), exceeded)
}

test_roles_and_groups_are_judged_by_their_expansion[type] if {
	some type in ["iam/roles", "iam/groups"]
	kind := trim_suffix(trim_prefix(type, "iam/"), "s")
	weak := bundle(kind, "x:y", {"grants": {"": {"ledger": {"read": {"role:a:b": always}}}}})
	strong := bundle(kind, "x:y", {"grants": {"": {"content": {"read": {"role:a:b": always}}}}})
	answers(asks(manager, on(type, "x:y", "write", {"changes": {"roles": true}, "before": weak, "after": weak})), [])
	answers(asks(manager, on(type, "x:y", "write", {"changes": {"roles": true}, "before": weak, "after": strong})), exceeded)
	answers(asks(manager, on(type, "x:y", "write", {"changes": {"roles": true}, "before": strong, "after": weak})), exceeded)
	answers(asks(manager, on(type, "x:y", "delete", {"changes": {"delete": true}, "before": strong})), exceeded)
	answers(asks(manager, on(type, "x:y", "delete", {"changes": {"delete": true}, "before": weak})), [])
}

# Applications.
changes_app(changes, before, after) := on("iam/applications", "app_x", "write", {
	"changes": changes,
	"before": before, "after": after,
})

runtime := {"https://writ.example/runtime": true}

other := {"https://other.example": true}

test_audiences_given[note] if {
	some note, tc in {
		"own": {"audiences": both, "want": []},
		"one of them": {"audiences": runtime, "want": []},
		"another": {"audiences": other, "want": exceeded},
		"more": {"audiences": object.union(runtime, other), "want": exceeded},
	}
	after := object.union(object.remove(app("app_x", {}), ["audiences"]), {"audiences": tc.audiences})
	request := changes_app({"audiences": true}, app("app_x", {}), after)
	answers(asks(manager, request), tc.want)
	answers(asks(machine, request), tc.want)
	answers(asks(owner, request), [])
	answers(asks(machine, changes_app({"secrets": true}, after, after)), tc.want)
}

test_an_application_gives_its_own_audiences_and_not_the_tokens if {
	narrow := object.union(object.remove(machine, ["audiences"]), {"audiences": runtime})
	answers(asks(narrow, changes_app({"create": true}, null, app("app_x", {}))), exceeded)
}

test_an_application_gives_the_grant_types_it_has if {
	actor := object.union(machine, {"grant_types": {"refresh_token": true}})
	request := changes_app({"create": true}, null, app("app_x", {"grant_types": {"refresh_token": true}}))
	answers(asks(actor, request), [])
	answers(asks(machine, request), exceeded)
}

test_grant_types_given[note] if {
	some note, tc in {
		"own": {"subject": machine, "types": {"client_credentials": true}, "want": []},
		"another": {"subject": machine, "types": {"authorization_code": true}, "want": exceeded},
		"a person": {"subject": manager, "types": {"client_credentials": true, "refresh_token": true}, "want": []},
		"a person who is said to have it": {
			"subject": object.union(manager, {"grant_types": {"authorization_code": true}}), "types": {"authorization_code": true},
			"want": exceeded,
		},
		"a person, another": {"subject": manager, "types": {"authorization_code": true}, "want": exceeded},
		"full administrator": {"subject": owner, "types": {"authorization_code": true}, "want": []},
	}
	after := object.union(app("app_x", {}), {"grant_types": tc.types})
	answers(asks(tc.subject, changes_app({"grant_types": true}, app("app_x", {}), after)), tc.want)

	# What it had before is not given.
	answers(asks(tc.subject, changes_app({"name": true}, after, after)), [])
}

serving(scopes) := object.union(app("app_x", {"grant_types": {"password": true}}), {"scopes": scopes})

test_applications_that_serve_people[note] if {
	some note, tc in {
		"no ceiling": {"scopes": null, "want": exceeded},
		"nothing": {"scopes": {}, "want": []},
		"held": {"scopes": {"ledger": {"read": true}, "iam/users": {"read": true}}, "want": []},
		"held for now": {"scopes": {"jobs": {"read": true}}, "want": []},
		"not held": {"scopes": {"ledger": {"read": true, "write": true}}, "want": exceeded},
		"explicit": {"scopes": {"iam/applications": {"reveal": true}}, "want": exceeded},
	}
	answers(asks(manager, changes_app({"scopes": true}, serving({}), serving(tc.scopes))), tc.want)
	answers(asks(manager, changes_app({"secrets": true}, serving(tc.scopes), serving(tc.scopes))), tc.want)
	answers(asks(manager, changes_app({"scopes": true}, serving(tc.scopes), serving({}))), tc.want)
	answers(asks(owner, changes_app({"scopes": true}, serving({}), serving(tc.scopes))), [])
}

test_a_ceiling_is_held_in_the_tenant_of_the_application if {
	actor := user("mara", {"grants": {"acme": {"iam": {"*": {"own": always}}, "ledger": {"read": {"own": always}}}}})
	after := object.union(serving({"ledger": {"read": true}}), {"tenant": "acme"})
	before := object.union(serving({}), {"tenant": "acme"})
	request := object.union(changes_app({"scopes": true}, before, after), {"resource": {"tenant": "acme"}})
	answers(asks(actor, request), [])
	elsewhere := object.union(request, {"resource": {"after": {"tenant": ""}}})
	answers(asks(actor, elsewhere), exceeded)
}

test_audiences_served[note] if {
	some note, tc in {
		"own": {"subject": manager, "detail": {"serves": runtime}, "want": []},
		"another": {"subject": manager, "detail": {"serves": other}, "want": exceeded},
		"not told": {"subject": manager, "detail": {}, "want": exceeded},
		"full administrator": {"subject": owner, "detail": {"serves": other}, "want": []},
	}
	change := changes_app({"serves": true}, app("app_x", {}), app("app_x", {}))
	answers(asks(tc.subject, object.union(change, {"resource": {"detail": tc.detail}})), tc.want)
}

test_oneself_by_the_admin_routes[note] if {
	some note, tc in {
		"name": {"changes": {"name": true, "email": true}, "after": manager, "want": []},
		"username": {"changes": {"username": true}, "after": manager, "want": []},
		"attributes": {"changes": {"attributes": true}, "after": manager, "want": exceeded},
		"password": {"changes": {"password": true}, "after": manager, "want": exceeded},
		"fewer grants": {"changes": {"grants": true}, "after": user("mara", {"grants": {}}), "want": []},
		"nothing named": {"changes": {}, "after": manager, "want": exceeded},
	}
	change := {"self": true, "changes": tc.changes, "before": manager, "after": tc.after}
	narrow := scoped_to({"iam/users": {"write": true, "read": true}})
	answers(object.union(asks(manager, on("iam/users", "mara", "write", change)), narrow), tc.want)
	answers(asks(manager, on("iam/users", "mara", "write", change)), [])
}

test_tenants_hold_no_rights if {
	tenant := bundle("tenant", "acme", {})
	change := {"changes": {"name": true}, "before": tenant, "after": tenant}
	answers(asks(manager, on("iam/tenants", "acme", "write", change)), [])
}

test_addresses_of_a_user_are_not_those_of_a_tenant if {
	answers(asks(manager, on("iam/users", "u1", "write", {"changes": {"addresses": true}, "before": anybody, "after": anybody})), [])
}

test_utmost_rights if {
	types := {
		"vault": {"actions": {"open": {"explicit": true}, "read": {"explicit": false}}},
		"ledger": {"actions": {"read": {"explicit": false}}},
	}
	utmost := admin.utmost with input as base with data.catalogue.types as types
	from_now := {"utmost": {"not_before": 1000, "not_after": 9223372036854775807}}
	utmost == {"*": {"*": from_now}, "vault": {"open": from_now}}
}

test_what_is_not_delegated_is_false if {
	change := on("iam/users", "u1", "delete", {"before": anybody, "after": owner, "tenant": "acme", "detail": {"references": {"globex": true}}})
	request := object.union(asks(insider, change), {"resource": {"changes": {"serves": true}, "detail": {"serves": other}}})
	admin.ending_sessions == false with input as request
	admin.within_afterwards == false with input as request
	admin.given_audiences == false with input as request
	admin.referring_in_reach == false with input as request
	admin.sweeping == false with input as request
	admin.replacing_core == false with input as request
	admin.revoking_everybody == false with input as request
	flow := {"resource": {"after": {"grant_types": {"authorization_code": true}}}}
	admin.given_grant_types == false with input as object.union(request, flow)
	tenant := {"resource": {"type": "iam/tenants", "id": "acme", "changes": {"enabled": true}}}
	admin.governed == false with input as object.union(request, tenant)
}

# What concerns everybody does so by its type; of a user it is one more change.
test_what_concerns_one_user[note] if {
	some note, tc in {
		"settings": {"action": "write", "changes": {"settings": true}},
		"core": {"action": "write", "changes": {"core": true}},
		"all its tokens": {"action": "revoke_all", "changes": {"epoch": true}},
	}
	answers(asks(manager, on("iam/users", "u1", tc.action, {"changes": tc.changes, "before": anybody, "after": anybody})), [])
}

# Appointments.
test_administrative_roles[note] if {
	clerk := {"administrators": {"roles": {"ops:clerk": true}}}
	some note, tc in {
		"another administrator": {"subject": manager, "before": {}, "after": {"ops:clerk": true}, "want": ["root_only"]},
		"had it before": {"subject": manager, "before": {"ops:clerk": true}, "after": {"ops:clerk": true}, "want": []},
		"taking it": {"subject": manager, "before": {"ops:clerk": true}, "after": {}, "want": []},
		"another role": {"subject": manager, "before": {}, "after": {"ops:other": true}, "want": []},
		"full administrator": {"subject": owner, "before": {}, "after": {"ops:clerk": true}, "want": []},
	}
	before := user("u1", {"roles": tc.before})
	after := user("u1", {"roles": tc.after})
	request := asks(tc.subject, on("iam/users", "u1", "write", {"changes": {"roles": true}, "before": before, "after": after}))
	in_settings(clerk, tc.want, request)
}

test_giving_the_role_of_owners if {
	after := user("u1", {"grants": owner_grants, "roles": {"system:owner": true}})
	request := on("iam/users", "u1", "write", {"changes": {"roles": true}, "before": anybody, "after": after})
	answers(asks(manager, request), ["delegation_exceeds_actor", "root_only"])
	answers(asks(owner, request), [])
}

test_ids_of_the_deleted if {
	creation := {"exists": false, "changes": {"create": true}, "after": app("app_x", {}), "detail": {"tombstone": true}}
	request := on("iam/applications", "app_x", "write", creation)
	answers(asks(manager, request), ["root_only"])
	answers(asks(owner, request), [])
	answers(object.union(asks(owner, request), scoped_to({"iam": {"*": true}})), ["root_only"])
}

test_a_full_administrator_is_full_by_token_too[note] if {
	some note, tc in {
		"unlimited": {"given": {}, "want": true},
		"everything in scope": {"given": scoped_to({"*": {"*": true}}), "want": true},
		"less in scope": {"given": scoped_to({"*": {"read": true}}), "want": false},
		"narrowed to a tenant": {"given": in_acme, "want": false},
	}
	full := admin.full_administrator with input as asks(owner, tc.given)
	full == tc.want
}

test_references_to_other_tenants[note] if {
	some note, tc in {
		"own tenant": {"tenant": "acme", "want": []},
		"none": {"tenant": "", "want": []},
		"another tenant": {"tenant": "globex", "want": ["delegation_exceeds_actor"]},
	}
	local := user("u1", {"tenant": "acme"})
	change := {
		"tenant": "acme", "changes": {"roles": true}, "before": local, "after": local,
		"detail": {"references": {tc.tenant: true}},
	}
	answers(asks(insider, on("iam/users", "u1", "write", change)), tc.want)
	answers(asks(owner, on("iam/users", "u1", "write", change)), [])
}

test_a_change_that_does_not_say_what_it_refers_to if {
	local := user("u1", {"tenant": "acme"})
	change := {"tenant": "acme", "changes": {"roles": true}, "before": local, "after": local}
	request := json.remove(asks(insider, on("iam/users", "u1", "write", change)), ["resource/detail/references"])
	answers(request, ["delegation_exceeds_actor"])
}
