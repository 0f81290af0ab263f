package writ.admin_test

import data.writ.admin
import data.writ.why

always := {"not_before": 0, "not_after": 9223372036854775807}

ended := {"not_before": 0, "not_after": 100}

# now is 1000 in all tests here.
nobody := {
	"type": "", "id": "", "exists": false, "tenant": "", "tenant_enabled": false, "active": false,
	"not_before": 0, "not_after": 9223372036854775807, "protected": false, "temporary_password": false,
	"groups": {}, "roles": {}, "grants": {}, "scopes": null, "audiences": {}, "grant_types": {}, "retrievable": false,
	"attributes": {}, "properties": {},
}

both := {"https://writ.example/runtime": true, "https://writ.example/management": true}

# everything is what a full administrator holds.
everything := {"*": {"*": {"*": {"own": always}}}}

owner_grants := {"*": {
	"*": {"*": {"role:system:owner": always}},
	"iam/applications": {"reveal": {"role:system:owner": always}},
}}

identity(type, id, facts) := object.union(
	object.union(nobody, {"type": type, "id": id, "exists": true, "tenant_enabled": true, "active": true}),
	facts,
)

user(id, facts) := identity("user", id, facts)

app(id, facts) := identity(
	"application", id,
	object.union({"audiences": both, "grant_types": {"client_credentials": true}}, facts),
)

bundle(type, id, facts) := identity(type, id, facts)

owner := user("olga", {"grants": owner_grants, "roles": {"system:owner": true}})

# writer may write users and applications and nothing else.
writer := user("wanda", {"grants": {"": {
	"iam/users": {
		"read": {"own": always}, "write": {"own": always}, "delete": {"own": always}, "reset_password": {"own": always},
	},
	"iam/applications": {
		"read": {"own": always}, "write": {"own": always}, "delete": {"own": always}, "write_scopes": {"own": always},
	},
	"iam/roles": {"read": {"own": always}, "write": {"own": always}, "delete": {"own": always}},
	"iam/groups": {"read": {"own": always}, "write": {"own": always}, "delete": {"own": always}},
}}})

base := {
	"entrypoint": "writ/admin",
	"subject": owner,
	"action": {"name": "read", "properties": {}},
	"resource": {
		"type": "iam/users", "id": "", "tenant": "", "tenant_enabled": true, "exists": true,
		"path": "iam/users", "covers": ["iam/users", "iam", "*"], "properties": {},
		"self": false, "before": null, "after": null, "changes": {}, "other_owners": -1, "owners_before": -1,
		"proof": "none", "reason": false,
		"detail": {
			"references": {},
			"secrets": {"needed": true, "usable_before": 2, "usable_after": 1, "forced": false},
		},
	},
	"context": {},
	"caller": {
		"client_id": "app_console", "scoped": false, "scopes": {}, "tenant": "", "audiences": both, "sid": "s1", "auth_time": 900,
		"user_token": true, "external": false, "basic": false, "public": false, "plane": "management", "address": "allowed", "self": false,
	},
	"client": null, "token": null, "now": 1000,
}

# asks replaces the subject, which a union would mix with the one there.
asks(subject, given) := object.union(object.union(object.remove(base, ["subject"]), {"subject": subject}), given)

# on is a request about one object of a type.
on(type, id, action, resource) := {
	"action": {"name": action},
	"resource": object.union(
		{
			"type": type, "id": id, "path": concat("/", [type, id]),
			"covers": array.concat([concat("/", [type, id])], covering(type)),
		},
		resource,
	),
}

covering(type) := [type, split(type, "/")[0], "*"] if contains(type, "/")

covering(type) := [type, "*"] if not contains(type, "/")

# scoped limits the caller's rights to scopes.
scoped_to(scopes) := {"caller": {"scoped": true, "scopes": scopes}}

# where says in which tenants the reader of a list reads, and which single objects elsewhere.
where := {"filter": {"tenants": admin.listed_tenants, "objects": admin.readable_objects}} if {
	some _, _ in admin.readable_objects
} else := {"filter": {"tenants": admin.readable_tenants}} if {
	admin.filtered
} else := {}

# answers says that a request is permitted, or denied with exactly these codes in this order.
answers(request, codes) if {
	result := admin.result with input as request
	reasons := why.result.reasons with input as request
	[reason.code | some reason in reasons] == codes
	permitted := codes == []
	result.allow == permitted
}
