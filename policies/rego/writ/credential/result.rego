# METADATA
# title: Credentials
# description: |
#   May this caller read a secret of this application? The guards of writ/admin about the caller and its rights, and
#   more. Why one did not hold is said by writ/why.
# schemas:
#   - input: schema.input
#   - data.settings: schema.settings
package writ.credential

import data.writ.admin
import data.writ.lib

# METADATA
# title: Answer
# description: |
#   The answer to the question. A denial conceals the application from those who may not read it.
# entrypoint: true
# labels:
#   rule: credential.result
# scope: document
default result := {"allow": false, "reasons": [], "obligations": {}}

result := {"allow": true, "reasons": [{"code": "granted", "rule": "credential.allow"}], "obligations": {}} if allow

result := {"allow": false, "reasons": [], "obligations": {"conceal": true}} if {
	not allow
	admin.concealed
}

# METADATA
# title: Permission
# description: |
#   All guards hold.
# labels:
#   rule: credential.allow
# scope: document
default allow := false

allow if {
	# Who asks.
	admin.accepted
	managing

	# What is asked for.
	admin.placed
	admin.above_system
	admin.granted
	admin.scoped
	revealing

	# Whether this caller may read a secret, and this one.
	administrative
	personal
	fresh
	confidential
	stated
	admin.dominated
}

# METADATA
# title: Management API
# description: |
#   Secrets are read on the management API alone.
# labels:
#   rule: credential.managing
# scope: document
default managing := false

managing if input.caller.plane == "management"

# METADATA
# title: Revelation
# description: |
#   The question is about reading a secret of an application that exists, or would be answered alike if it did.
# labels:
#   rule: credential.revealing
# scope: document
default revealing := false

revealing if {
	input.resource.type == "iam/applications"
	input.action.name == "reveal"
}

# METADATA
# title: Administrator
# description: |
#   The caller is an administrator by policy data.
# labels:
#   rule: credential.administrative
# scope: document
default administrative := false

administrative if lib.administrator(data.settings.administrators, input.subject)

# METADATA
# title: Person
# description: |
#   The caller is a person; an application, root included, reveals nothing.
# labels:
#   rule: credential.personal
# scope: document
default personal := false

personal if {
	input.subject.type == "user"
	input.caller.user_token
}

# METADATA
# title: Fresh sign-in
# description: |
#   The session began with a password, at Writ, a short while ago.
# labels:
#   rule: credential.fresh
# scope: document
default fresh := false

fresh if {
	input.caller.external == false
	input.caller.sid != ""
	input.caller.auth_time > 0
	input.caller.auth_time <= input.now
	input.now - input.caller.auth_time <= data.settings.login.fresh_seconds * 1000000000
}

# METADATA
# title: Confidential client
# description: |
#   The person signed in through an application that proves who it is.
# labels:
#   rule: credential.confidential
# scope: document
default confidential := false

confidential if input.caller.public == false

# METADATA
# title: Stated reason
# description: |
#   The caller says why the secret is needed.
# labels:
#   rule: credential.stated
# scope: document
default stated := false

stated if input.resource.reason
