package writ.admin

import data.writ.lib

# METADATA
# title: Caller remains
# description: |
#   Nobody ends the own usability, or the own administration, in any form.
# labels:
#   rule: admin.remaining
# scope: document
default remaining := false

remaining if {
	not ending_oneself
	not ending_own_tenant
	not resigning
	not resigning_by_bundle
}

# METADATA
# title: End of oneself
# description: |
#   The change deletes, deactivates, suspends or expires the caller, moves it into a disabled tenant, limits where it
#   may come from, or takes the last thing that it proves itself with.
# labels:
#   rule: admin.ending_oneself
# scope: document
ending_oneself if {
	input.resource.self
	input.resource.changes.delete
}

ending_oneself if {
	input.resource.self
	is_object(input.resource.after)
	not lib.usable(input.resource.after, input.now)
}

ending_oneself if {
	input.resource.self
	input.resource.after.not_after < input.resource.before.not_after
}

ending_oneself if {
	input.resource.self
	input.resource.before.grant_types.client_credentials
	is_object(input.resource.after)
	not input.resource.after.grant_types.client_credentials
}

ending_oneself if {
	input.resource.self
	some change in ["status", "addresses"]
	input.resource.changes[change]
}

# The last secret of an application is its own to replace, not to revoke.
ending_oneself if {
	input.resource.self
	input.resource.changes.secrets
	input.resource.detail.secrets.needed
	input.resource.detail.secrets.usable_before > 0
	input.resource.detail.secrets.usable_after == 0
}

# A public client gets no token of its own.
ending_oneself if {
	input.resource.self
	input.resource.changes.auth_method
	input.resource.detail.public
}

# METADATA
# title: End of the own tenant
# description: |
#   The change deletes or disables the caller's tenant, or limits where its identities may come from.
# labels:
#   rule: admin.ending_own_tenant
ending_own_tenant if {
	input.resource.type == "iam/tenants"
	input.subject.tenant != ""
	input.resource.id == input.subject.tenant
	some change in ["delete", "enabled", "addresses"]
	input.resource.changes[change]
}

# METADATA
# title: Resignation
# description: |
#   The change takes the caller's own administration from it.
# labels:
#   rule: admin.resigning
# scope: document
resigning if {
	input.resource.self
	is_object(input.resource.after)
	lib.full(input.resource.before)
	not lib.full(input.resource.after)
}

resigning if {
	input.resource.self
	is_object(input.resource.after)
	lib.administrator(data.settings.administrators, input.resource.before)
	not lib.administrator(data.settings.administrators, input.resource.after)
}

# METADATA
# title: Resignation by a bundle
# description: |
#   The change takes everything, or an administrative role, from a role or group that the caller has, and nothing
#   else that the caller has is sure to give it.
# labels:
#   rule: admin.resigning_by_bundle
# scope: document
resigning_by_bundle if {
	bundled
	lib.full(input.resource.before)
	not lib.full(input.resource.after)
	not full_otherwise
}

resigning_by_bundle if {
	bundled
	some role, true in data.settings.administrators.roles
	input.resource.before.roles[role]
	not input.resource.after.roles[role]
	not data.settings.administrators.ids[input.subject.id]
}

# METADATA
# title: Bundle of the caller
# description: |
#   The object is a role that the caller has, or a group that it is in.
# labels:
#   rule: admin.bundled
# scope: document
bundled if {
	input.resource.type == "iam/roles"
	input.subject.roles[input.resource.id]
}

bundled if {
	input.resource.type == "iam/groups"
	input.subject.groups[input.resource.id]
}

# METADATA
# title: Full administrator otherwise
# description: |
#   The caller holds everything from a source that the change does not touch: by a grant of its own, by the role of
#   owners, which nobody changes, or, where a group changes, from anything but that group and those that the same
#   request changes.
# labels:
#   rule: admin.full_otherwise
# scope: document
full_otherwise if {
	some source in ["own", "role:system:owner"]
	lib.unlimited(input.subject.grants["*"]["*"]["*"][source])
}

full_otherwise if {
	input.resource.type == "iam/groups"
	some source, window in input.subject.grants["*"]["*"]["*"]
	source != concat(":", ["group", input.resource.id])
	not input.resource.detail.together[source]
	lib.unlimited(window)
}

# METADATA
# title: An owner remains
# description: |
#   Once a user is a full administrator, the last usable such user stays one, and is not limited to addresses.
# labels:
#   rule: admin.owned_after
# scope: document
default owned_after := false

owned_after if input.resource.owners_before < 1

owned_after if input.resource.other_owners > 0

owned_after if {
	lib.full(input.resource.after)
	lib.usable(input.resource.after, input.now)
	not limited_to_addresses
}

# METADATA
# title: Limited to addresses
# description: |
#   After the change the identity may come from other addresses than before, and not from all. Nobody knows whether it
#   does come from there.
# labels:
#   rule: admin.limited_to_addresses
limited_to_addresses if {
	input.resource.changes.addresses
	not input.resource.detail.anywhere
}

# METADATA
# title: A secret remains
# description: |
#   An active application that proves itself with a secret keeps one that is usable now, unless the request forces it.
#   The detail of the question counts them, before and after.
# labels:
#   rule: admin.secret_kept
# scope: document
default secret_kept := false

secret_kept if not input.resource.changes.secrets

secret_kept if input.resource.detail.secrets.usable_after > 0

secret_kept if input.resource.detail.secrets.usable_before == 0

secret_kept if input.resource.detail.secrets.needed == false

secret_kept if input.resource.detail.secrets.forced == true

secret_kept if input.resource.before.active == false

# METADATA
# title: Inactive first
# description: |
#   Where policy data demands it, of all or of a dialect, only an inactive identity is deleted.
# labels:
#   rule: admin.inactive_first
# scope: document
default inactive_first := false

inactive_first if lib.setting(data.settings, input.context, ["delete_requires_inactive"]) == false

inactive_first if not input.resource.changes.delete

# Tenants are disabled, not deactivated, and roles and groups are neither.
inactive_first if not input.resource.type in {"iam/users", "iam/applications"}

inactive_first if is_null(input.resource.before)

inactive_first if input.resource.before.active == false
