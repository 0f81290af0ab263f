package apps.route

import data.writ.lib

# METADATA
# title: Deny
# description: |
#   The reasons to deny, which beat every permit.
# labels:
#   rule: route.deny
# scope: document
deny contains "unmapped_route" if not mapped

deny contains "wrong_audience" if {
	not open
	not meant
}

# METADATA
# title: Open to everybody
# description: |
#   Nobody asks for whom the token was made.
# labels:
#   rule: route.open
open if needed == "public"

# METADATA
# title: Token for this gateway
# description: |
#   The token is for one of the audiences of the table, or for the runtime API where the table has none. A question
#   that is about no token has no audiences.
# labels:
#   rule: route.meant
# scope: document
meant if input.caller.audiences == {}

meant if {
	data.apps.route.audiences == {}
	lib.meant_for(data.settings.audiences.runtime, "runtime", input.caller.audiences)
}

meant if {
	some audience, true in data.apps.route.audiences
	input.caller.audiences[audience]
}
