package writ.decision

import data.writ.lib

# METADATA
# title: Usable subject
# description: |
#   A stored subject is active and its tenant is enabled. One that Writ does not store passes, because only an
#   application policy can speak for it.
# labels:
#   rule: decision.usable
# scope: document
default usable := false

usable if lib.standing(input.subject)

usable if input.subject.exists == false

# METADATA
# title: Valid subject
# description: |
#   The subject is inside its validity window.
# labels:
#   rule: decision.valid
# scope: document
default valid := false

valid if lib.inside(input.subject, input.now)

# METADATA
# title: Allowed address
# description: |
#   No allow-list of the subject or its tenant refuses the address; a question about somebody else need not name
#   one.
# labels:
#   rule: decision.addressed
# scope: document
default addressed := false

addressed if input.caller.address in {"allowed", "unknown"}

# METADATA
# title: Password settled
# description: |
#   A subject with a temporary password may do nothing.
# labels:
#   rule: decision.settled
# scope: document
default settled := false

settled if input.subject.temporary_password == false

# METADATA
# title: Tenant of the subject
# description: |
#   A subject that its token or its identity confines to a tenant acts on resources of that tenant and of none.
# labels:
#   rule: decision.placed
# scope: document
default placed := false

placed if input.resource.tenant == ""

placed if {
	input.caller.tenant in {"", input.resource.tenant}
	input.subject.tenant in {"", input.resource.tenant}
}

# METADATA
# title: Within the token's scopes
# description: |
#   A question about a token, or about oneself, is answered within the scopes of the token. Where an application
#   policy says which permissions the question takes, it is those that the scopes must cover, each of them, and what
#   the question itself names does not count.
# labels:
#   rule: decision.scoped
# scope: document
default scoped := false

scoped if input.caller.scoped == false

scoped if {
	not translated
	lib.scoped(input.caller.scopes, input.resource.covers, input.action.name)
}

scoped if {
	translated
	every permission in data.apps[application].takes {
		[resource, action] := split(permission, ":")
		lib.scoped(input.caller.scopes, lib.prefixes(resource), action)
	}
}
