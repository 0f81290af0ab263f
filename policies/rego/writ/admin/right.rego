package writ.admin

import data.writ.lib

# METADATA
# title: Needs no grant
# description: |
#   Everybody holds me:*, asks what oneself may do, and ends the session of the own token
#   or revokes it.
# labels:
#   rule: admin.implicit
# scope: document
default implicit := false

implicit if input.resource.type == "me"

implicit if {
	input.resource.type == "decisions"
	input.action.name == "ask"
	input.caller.self
}

implicit if {
	input.resource.type == "tokens"
	input.action.name in {"end", "revoke"}
	input.resource.self
}

# METADATA
# title: Granted
# description: |
#   Grants of the caller that are valid now cover the action on the object, in its tenant before and after the
#   change.
# labels:
#   rule: admin.granted
# scope: document
default granted := false

granted if implicit

granted if {
	held(input.action.name)
	held_on_arrival(input.action.name)
}

granted if {
	deleted_by_writers
	held("write")
	held("write_scopes")
}

granted if {
	input.action.name == "read"
	system_readable
}

granted if {
	filtered
	some _ in readable_tenants
}

granted if {
	some _, _ in readable_objects
}

# METADATA
# title: Within the token's scopes
# description: |
#   The scopes of the token cover the action on the object. What needs no grant is outside every ceiling.
# labels:
#   rule: admin.scoped
# scope: document
default scoped := false

# A scope of the action itself, which is the usual case.
scoped if {
	some resource in input.resource.covers
	input.caller.scopes[resource][input.action.name]
}

scoped if implicit

scoped if action_scoped(input.action.name)

scoped if {
	deleted_by_writers
	action_scoped("write")
	action_scoped("write_scopes")
}

scoped if {
	some _, _ in readable_objects
}

# METADATA
# title: Rights of an application
# description: |
#   Changing grants, roles, groups or scopes of an application takes both write and write_scopes.
# labels:
#   rule: admin.rights_granted
# scope: document
default rights_granted := false

rights_granted if input.resource.type != "iam/applications"

rights_granted if not rights_changed

rights_granted if {
	every action in ["write", "write_scopes"] {
		held(action)
		held_on_arrival(action)
	}
}

# METADATA
# title: Rights of an application within the scopes
# description: |
#   The scopes of the token include both write and write_scopes where rights of an application change.
# labels:
#   rule: admin.rights_scoped
# scope: document
default rights_scoped := false

rights_scoped if input.resource.type != "iam/applications"

rights_scoped if not rights_changed

rights_scoped if {
	every action in ["write", "write_scopes"] {
		action_scoped(action)
	}
}

# METADATA
# title: Changed rights
# description: |
#   The change touches the rights of an application, or creates one that has any.
# labels:
#   rule: admin.rights_changed
# scope: document
rights_changed if {
	some part in ["grants", "roles", "groups"]
	input.resource.changes[part]
	not bare_at_birth(part)
}

rights_changed if {
	input.resource.changes.create
	some part in ["grants", "roles", "groups"]
	count(input.resource.after[part]) > 0
}

rights_changed if {
	input.resource.changes.scopes
	not ceiling_of_nothing
}

rights_changed if {
	input.resource.changes.create
	is_object(input.resource.after.scopes)
	count(input.resource.after.scopes) > 0
}

# METADATA
# title: Created without
# description: |
#   The application is created without this part, which then is no right that somebody gives.
# labels:
#   rule: admin.bare_at_birth
bare_at_birth(part) if {
	input.resource.changes.create
	count(input.resource.after[part]) == 0
}

# METADATA
# title: Nothing registered
# description: |
#   The application's ceiling is empty, or it is created without one.
# labels:
#   rule: admin.ceiling_of_nothing
# scope: document
ceiling_of_nothing if input.resource.after.scopes == {}

ceiling_of_nothing if {
	input.resource.changes.create
	is_null(input.resource.after.scopes)
}

# METADATA
# title: Held
# description: |
#   The caller's grants cover an action on the object in its tenant.
# labels:
#   rule: admin.held
held(action) if {
	lib.held(input.subject.grants, [input.resource.tenant, "*"], input.resource.covers, action, input.now)
}

# METADATA
# title: Held where the object goes
# description: |
#   Where the change moves the object to another tenant, the caller's grants cover the action there too.
# labels:
#   rule: admin.held_on_arrival
# scope: document
held_on_arrival(_) if not input.resource.changes.tenant

held_on_arrival(action) if {
	lib.held(input.subject.grants, [input.resource.after.tenant, "*"], input.resource.covers, action, input.now)
}

# METADATA
# title: Scopes cover an action
# description: |
#   The caller is not limited by scopes, or they cover the action on the object.
# labels:
#   rule: admin.action_scoped
# scope: document
action_scoped(_) if input.caller.scoped == false

action_scoped(action) if lib.scoped(input.caller.scopes, input.resource.covers, action)
