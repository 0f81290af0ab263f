package writ.token

import data.writ.lib

# METADATA
# title: Usable identity
# description: |
#   Who the token is for exists, is active, and its tenant is enabled.
# labels:
#   rule: token.usable
# scope: document
default usable := false

usable if lib.standing(input.subject)

# METADATA
# title: Valid identity
# description: |
#   Who the token is for is inside its validity window.
# labels:
#   rule: token.valid
# scope: document
default valid := false

valid if lib.inside(input.subject, input.now)

# METADATA
# title: Usable application
# description: |
#   The application that asks exists, is active, and its tenant is enabled.
# labels:
#   rule: token.client_usable
# scope: document
default client_usable := false

client_usable if lib.standing(input.client)

# METADATA
# title: Valid application
# description: |
#   The application that asks is inside its validity window.
# labels:
#   rule: token.client_valid
# scope: document
default client_valid := false

client_valid if lib.inside(input.client, input.now)

# METADATA
# title: Allowed address
# description: |
#   The request comes from an address that the allow-lists of the identity, the application and their tenants admit.
# labels:
#   rule: token.addressed
# scope: document
default addressed := false

addressed if input.caller.address == "allowed"

# METADATA
# title: Password settled
# description: |
#   With a temporary password one signs in, to change it, and nothing else.
# labels:
#   rule: token.settled
# scope: document
default settled := false

settled if input.subject.temporary_password == false

settled if {
	input.subject.temporary_password
	input.token.grant_type == "password"
}
