package writ.decision

# METADATA
# title: Usual case
# description: |
#   A stored subject without a window, asked about by somebody else, holds the very action by a grant without a
#   window. Calling a rule costs many times what an expression does, so the guards are written out here in one body;
#   it permits nothing that they do not, and plain_test holds it to that.
# labels:
#   rule: decision.plain
plain if {
	# granted
	own := input.resource.tenant
	action := input.action.name
	some tenant in [own, "*"]
	resources := input.subject.grants[tenant]
	some resource in input.resource.covers
	{"not_before": 0, "not_after": 9223372036854775807} in resources[resource][action]

	# known, usable, valid, addressed, settled, scoped
	object.subset(input, {
		"subject": {
			"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false,
			"not_before": 0, "not_after": 9223372036854775807,
		},
		"caller": {"address": "unknown", "scoped": false, "tenant": ""},
	})

	# placed
	input.subject.tenant in {"", own}

	# not governed
	segment := split(input.resource.type, "/")[0]
	not data.writ.server.apps[segment]
}
