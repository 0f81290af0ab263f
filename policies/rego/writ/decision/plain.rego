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
	# known, usable, valid, settled, scoped
	object.subset(input, {
		"subject": {
			"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false,
			"not_before": 0, "not_after": 9223372036854775807,
		},
		"caller": {"scoped": false},
	})

	# addressed
	input.caller.address in {"allowed", "unknown"}
	placed

	# granted
	some tenant in [input.resource.tenant, "*"]
	some resource in input.resource.covers
	{"not_before": 0, "not_after": 9223372036854775807} in input.subject.grants[tenant][resource][input.action.name]

	# not governed
	segment := split(input.resource.type, "/")[0]
	not data.writ.server.apps[segment]
}
