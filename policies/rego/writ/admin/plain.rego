package writ.admin

# METADATA
# title: Usual question of a service
# description: |
#   A service that belongs to no tenant asks about somebody else, with a token that names the right to ask and a grant
#   without a window. Every evaluation passes here, and calling a rule costs many times what an expression does, so
#   the guards are written out in one body; it permits nothing that they do not, and plain_test holds it to that.
# labels:
#   rule: admin.plain
plain if {
	# usable, settled, addressed, eligible, reachable, acceptable
	object.subset(input, {
		"subject": {"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false, "tenant": ""},
		"caller": {
			"address": "allowed", "plane": "runtime", "tenant": "", "self": false,
			"scopes": {"decisions": {"ask": true}},
		},
		"action": {"name": "ask"},
		"resource": {"type": "decisions"},
	})

	# valid
	input.subject.not_before <= input.now
	input.now < input.subject.not_after

	# meant
	some name, true in data.settings.audiences.runtime
	input.caller.audiences[name]

	# granted
	some tenant in [input.resource.tenant, "*"]
	some resource in input.resource.covers
	{"not_before": 0, "not_after": 9223372036854775807} in input.subject.grants[tenant][resource].ask
}
