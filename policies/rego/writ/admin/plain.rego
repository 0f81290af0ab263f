package writ.admin

import data.writ.lib

# METADATA
# title: Usual questions of a service
# description: |
#   A service that belongs to no tenant asks about somebody else, or reads an object, with a token that names the right
#   and a grant without a window. Every evaluation passes here, and calling a rule costs many times what an expression
#   does, so the guards are written out, in one body for each; it permits nothing that they do not, and plain_test holds
#   it to that.
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
	object.subset(input, {
		"subject": {"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false, "tenant": ""},
		"caller": {"address": "allowed", "basic": false, "user_token": false, "tenant": ""},
	})

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
