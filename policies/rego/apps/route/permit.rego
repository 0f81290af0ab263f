package apps.route

import data.writ.lib

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: route.permit
# scope: document
permit contains "route.public" if needed == "public"

permit contains "route.signed_in" if {
	needed == "signed_in"
	input.subject.exists
}

permit contains "route.granted" if {
	input.subject.exists
	resources := lib.prefixes(asked.resource)
	lib.held(input.subject.grants, [input.resource.tenant, "*"], resources, asked.action, input.now)
}
