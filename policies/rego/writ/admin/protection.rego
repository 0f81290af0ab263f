package writ.admin

# METADATA
# title: Unprotected
# description: |
#   Nobody changes a protected object, protects one or lifts its protection, and nobody touches a role of the
#   system. Only the secrets and passwords of protected identities are replaced, by a full administrator or, with
#   proof, by themselves.
# labels:
#   rule: admin.unprotected
# scope: document
default unprotected := false

unprotected if {
	not changing
	not changing_oneself
}

unprotected if {
	not protected
	not reserved
}

unprotected if {
	rotation
	full_administrator
}

unprotected if {
	input.resource.type == "me"
	input.action.name == "password"
}

# METADATA
# title: Change of an object
# description: |
#   The question is about changing an object of the identity API in any way.
# labels:
#   rule: admin.changing
# scope: document
default changing := false

changing if {
	input.resource.type in {"iam/users", "iam/groups", "iam/roles", "iam/tenants", "iam/applications"}
	input.action.name != "read"
}

# METADATA
# title: Change of oneself
# description: |
#   The question is about changing the own identity without a right to.
# labels:
#   rule: admin.changing_oneself
# scope: document
default changing_oneself := false

changing_oneself if {
	input.resource.type == "me"
	input.action.name in {"write", "password"}
}

# METADATA
# title: Protected object
# description: |
#   The object is protected, would be, or its protection is named in the change; or one that the change rewrites is.
# labels:
#   rule: admin.protected
# scope: document
protected if input.resource.before.protected

protected if input.resource.after.protected

protected if input.resource.changes.protected

# The role or group would be taken from a protected object by force.
protected if input.resource.detail.holders.protected

# METADATA
# title: Reserved name
# description: |
#   The first segment "system" of a role's key is reserved.
# labels:
#   rule: admin.reserved
reserved if {
	input.resource.type == "iam/roles"
	startswith(input.resource.id, "system:")
}

# METADATA
# title: Rotation
# description: |
#   The change replaces secrets or the password of an existing identity, or revokes its tokens, and nothing else.
# labels:
#   rule: admin.rotation
rotation if {
	is_object(input.resource.before)
	count(input.resource.changes) > 0
	every change, _ in input.resource.changes {
		change in {"password", "secrets", "epoch"}
	}
}
