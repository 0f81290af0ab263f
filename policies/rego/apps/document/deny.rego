package apps.document

# METADATA
# title: Deny
# description: |
#   The reasons to deny, which beat every permit. Each is written so that a property that is missing or malformed
#   denies.
# labels:
#   rule: document.deny
# scope: document
deny contains "document.sealed" if {
	input.action.name in {"write", "delete"}
	not unsealed
}

# METADATA
# title: Unsealed
# description: |
#   The asker says that the document is not sealed. An explicit deny that is undefined would open, so this is asked
#   the other way round.
# labels:
#   rule: document.unsealed
unsealed if input.resource.properties.sealed == false
