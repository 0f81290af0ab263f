package writ.admin

import data.writ.lib

# METADATA
# title: Usable caller
# description: |
#   The caller exists, is active, and its tenant is enabled.
# labels:
#   rule: admin.usable
# scope: document
default usable := false

usable if lib.standing(input.subject)

# METADATA
# title: Valid caller
# description: |
#   The caller is inside its validity window.
# labels:
#   rule: admin.valid
# scope: document
default valid := false

valid if lib.inside(input.subject, input.now)

# METADATA
# title: Allowed address
# description: |
#   The caller comes from an address that its own and its tenant's allow-lists admit.
# labels:
#   rule: admin.addressed
# scope: document
default addressed := false

addressed if input.caller.address == "allowed"

# METADATA
# title: Fitting audience
# description: |
#   The token is meant for the API that is called. What concerns oneself takes a token for either, and so do the
#   OAuth endpoints, which are no API.
# labels:
#   rule: admin.meant
# scope: document
default meant := false

meant if input.caller.plane == ""

meant if {
	data.settings.audiences[input.caller.plane] == {}
	some audience, true in input.caller.audiences
	endswith(audience, concat("", ["/", input.caller.plane]))
}

meant if {
	some name, true in data.settings.audiences[input.caller.plane]
	input.caller.audiences[name]
}

meant if {
	input.resource.type in {"me", "tokens"}
	some plane in ["runtime", "management"]
	lib.meant_for(data.settings.audiences[plane], plane, input.caller.audiences)
}

# METADATA
# title: Credential for this API
# description: |
#   A token was issued by rules of its own. An application that comes with its id and secret instead (HTTP Basic)
#   must be one that could have a token for the management API by itself.
# labels:
#   rule: admin.entitled
# scope: document
default entitled := false

entitled if input.caller.basic == false

entitled if {
	input.subject.grant_types.client_credentials
	lib.meant_for(data.settings.audiences.management, "management", input.caller.audiences)
}

# METADATA
# title: Password settled
# description: |
#   A temporary password allows nothing but changing it.
# labels:
#   rule: admin.settled
# scope: document
default settled := false

settled if input.subject.temporary_password == false

settled if {
	input.resource.type == "me"
	input.action.name == "password"
}

# METADATA
# title: Eligible caller
# description: |
#   A person's token is admitted to the management API as policy data says; what concerns oneself is exempt.
# labels:
#   rule: admin.eligible
# scope: document
default eligible := false

eligible if input.caller.plane in {"", "runtime"}

eligible if input.resource.type == "me"

eligible if input.caller.user_token == false

eligible if admitted

eligible if lib.administrator(data.settings.administrators, input.subject)

# METADATA
# title: Admitted tokens
# description: |
#   Policy data admits tokens of this origin for everybody who has the right; what it says may differ by dialect.
# labels:
#   rule: admin.admitted
# scope: document
admitted if {
	input.caller.external == false
	lib.setting(data.settings, input.context, ["admin", "user_tokens", "own"]) == "entitled"
}

admitted if {
	input.caller.external
	lib.setting(data.settings, input.context, ["admin", "user_tokens", "external"]) == "entitled"
}
