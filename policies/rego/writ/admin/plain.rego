package writ.admin

import data.writ.lib

# METADATA
# title: Usual questions
# description: |
#   A service that belongs to no tenant asks about somebody else, or reads an object, with a token that names the right
#   and a grant without a window; or a full administrator makes a user, as imports do by the thousand. Every evaluation
#   passes here, and calling a rule costs many times what an expression does, so the guards are written out, in one body
#   for each; it permits nothing that they do not, and plain_test holds it to that.
# labels:
#   rule: admin.plain
# scope: document
plain if {
	input.action.name == "ask"

	# usable, settled, addressed, entitled, eligible, reachable, acceptable
	object.subset(input, {
		"subject": {"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false, "tenant": ""},
		"caller": {
			"address": "allowed", "basic": false, "plane": "runtime", "tenant": "", "self": false,
			"scopes": {"decisions": {"ask": true}},
		},
		"resource": {"type": "decisions"},
	})

	# valid
	now := input.now
	input.subject.not_before <= now
	now < input.subject.not_after

	# meant
	some name, true in data.settings.audiences.runtime
	input.caller.audiences[name]

	# granted
	some tenant in [input.resource.tenant, "*"]
	resources := input.subject.grants[tenant]
	some resource in input.resource.covers
	{"not_before": 0, "not_after": 9223372036854775807} in resources[resource].ask
}

plain if {
	input.action.name == "read"

	# usable, settled, addressed, entitled, eligible, reachable
	object.subset(input.subject, {"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false, "tenant": ""})
	object.subset(input.caller, {"address": "allowed", "basic": false, "user_token": false, "tenant": ""})

	# acceptable, not implicit, nothing moves, no obligations
	input.resource.type != "me"
	input.resource.id != ""
	input.resource.changes == {}

	# valid
	now := input.now
	input.subject.not_before <= now
	now < input.subject.not_after

	# meant
	some name, true in data.settings.audiences[input.caller.plane]
	input.caller.audiences[name]

	# granted
	some tenant in [input.resource.tenant, "*"]
	resources := input.subject.grants[tenant]
	some resource in input.resource.covers
	lib.gives(resources[resource], input.resource.covers, "read", now)

	# scoped
	lib.scoped(input.caller.scopes, input.resource.covers, "read")
}

plain if {
	input.action.name == "write"

	# usable, settled, addressed, entitled, reachable; own, proven, rights_granted, rights_scoped, which are about others;
	# remaining, inactive_first, conditional; dominated before the change, where there is nothing
	object.subset(input, {
		"subject": {"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false, "tenant": ""},
		"caller": {"address": "allowed", "basic": false, "tenant": "", "scopes": {"*": {"*": true}}},
		"resource": {
			"type": "iam/users", "self": false, "before": null, "tenant_enabled": true,
			"after": {"protected": false, "tenant_enabled": true},
			"changes": {"create": true},
			"detail": {"conditional": true},
		},
	})

	# owned_after, unprotected, secret_kept, tenant_enabled
	input.resource.owners_before < 1
	not input.resource.changes.protected
	not input.resource.changes.secrets
	not input.resource.detail.holders

	# valid
	now := input.now
	input.subject.not_before <= now
	now < input.subject.not_after
	meant
	eligible

	# a full administrator: granted, scoped, appointed, dominated but for explicit actions
	{"not_before": 0, "not_after": 9223372036854775807} in input.subject.grants["*"]["*"]["*"]
	"*" in input.resource.covers
	not lib.explicit(input.resource.covers, "write")

	# dominated: "*" gives all but the explicit actions
	count([1 |
		some resources in input.resource.after.grants
		some actions in resources
		some action, _ in actions
		lib.explicit_names[action]
	]) == 0
}
