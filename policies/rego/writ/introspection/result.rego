# METADATA
# title: Introspection
# description: |
#   May this application learn about this token? The detail of the question holds the token's audiences and those
#   that the application serves.
# schemas:
#   - input: schema.input
#   - data.catalogue: schema.catalogue
#   - data.settings: schema.settings
package writ.introspection

import data.writ.lib

# METADATA
# title: Answer
# description: |
#   The answer to the question.
# entrypoint: true
# labels:
#   rule: introspection.result
# scope: document
default result := {"allow": false, "reasons": [], "obligations": {}}

result := {"allow": true, "reasons": [{"code": "granted", "rule": "introspection.entitled"}], "obligations": {}} if allow

# METADATA
# title: Permission
# description: |
#   All guards hold.
# labels:
#   rule: introspection.allow
# scope: document
default allow := false

allow if {
	usable
	valid
	addressed
	settled
	confidential
	entitled
}

# METADATA
# title: Usable caller
# description: |
#   The caller exists, is active, and its tenant is enabled.
# labels:
#   rule: introspection.usable
# scope: document
default usable := false

usable if lib.standing(input.subject)

# METADATA
# title: Valid caller
# description: |
#   The caller is inside its validity window.
# labels:
#   rule: introspection.valid
# scope: document
default valid := false

valid if lib.inside(input.subject, input.now)

# METADATA
# title: Allowed address
# description: |
#   The caller comes from an address that its own and its tenant's allow-lists admit.
# labels:
#   rule: introspection.addressed
# scope: document
default addressed := false

addressed if input.caller.address == "allowed"

# METADATA
# title: Password settled
# description: |
#   A temporary password allows nothing but changing it.
# labels:
#   rule: introspection.settled
# scope: document
default settled := false

settled if input.subject.temporary_password == false

# METADATA
# title: Confidential caller
# description: |
#   The caller proved who it is; a public client proves nothing.
# labels:
#   rule: introspection.confidential
# scope: document
default confidential := false

confidential if input.caller.public == false

# METADATA
# title: Entitled caller
# description: |
#   The token is the caller's own, or meant for an audience that the caller serves, or the caller may introspect the
#   tokens of others.
# labels:
#   rule: introspection.entitled
# scope: document
default entitled := false

entitled if {
	input.resource.self
	data.settings.introspection.own
}

entitled if {
	some audience, true in input.resource.detail.audiences
	input.resource.detail.serves[audience]
}

entitled if {
	granted
	scoped
	placed
}

# METADATA
# title: Granted
# description: |
#   A grant of the caller that is valid now covers introspection in the token's tenant.
# labels:
#   rule: introspection.granted
# scope: document
default granted := false

granted if {
	lib.held(
		input.subject.grants,
		[input.resource.tenant, "*"],
		input.resource.covers,
		input.action.name,
		input.now,
	)
}

# METADATA
# title: Within the caller's scopes
# description: |
#   The caller is not limited by scopes, or they cover introspection.
# labels:
#   rule: introspection.scoped
# scope: document
default scoped := false

scoped if input.caller.scoped == false

scoped if lib.scoped(input.caller.scopes, input.resource.covers, input.action.name)

# METADATA
# title: Tenant of the caller
# description: |
#   A caller that is confined to a tenant learns about tokens of that tenant and of none.
# labels:
#   rule: introspection.placed
# scope: document
default placed := false

placed if lib.confinement(input.caller, input.subject) in {"", input.resource.tenant}

placed if input.resource.tenant == ""
