package writ.admin

import data.writ.lib

# METADATA
# title: Concealed
# description: |
#   A denial is to look like a missing object: the caller is accepted, but may neither read what the object is one
#   of nor do to it what it asks for; or a tenant that is named is none of the caller's.
# labels:
#   rule: admin.concealed
# scope: document
default concealed := false

concealed if {
	accepted
	startswith(input.resource.type, "iam/")
	input.resource.id != ""
	input.resource.self == false
	not readable
	not entrusted
	not strays
}

concealed if {
	accepted
	elsewhere
}

# METADATA
# title: Entrusted with the object
# description: |
#   The caller holds the action asked for on the object, so it learns its place from what it may do, and why not.
# labels:
#   rule: admin.entrusted
# scope: document
default entrusted := false

entrusted if {
	reachable
	granted
	scoped
}

# METADATA
# title: Readable object
# description: |
#   The caller may read the object. One that is not there is readable to whoever reads all there are, so that the
#   reply does not depend on whether it exists.
# labels:
#   rule: admin.readable
# scope: document
default readable := false

readable if {
	input.resource.exists
	placed
	action_scoped("read")
	lib.held(input.subject.grants, [input.resource.tenant, "*"], input.resource.covers, "read", input.now)
}

readable if {
	input.resource.exists
	action_scoped("read")
	system_readable
}

readable if {
	input.resource.exists == false
	reads_everywhere
}

# METADATA
# title: Concealed in part
# description: |
#   Objects are named, and one of them is missing or in a tenant of which the caller sees nothing: the two are told in
#   the same way, whatever else may be wrong. Who sees nothing anywhere is told that it lacks the right.
# labels:
#   rule: admin.partly_concealed
# scope: document
default partly_concealed := false

partly_concealed if {
	accepted
	out_of_sight
	some tenant, _ in input.subject.grants
	shown(tenant)
}

# METADATA
# title: Out of sight
# description: |
#   One of the named objects is missing, or in a tenant of which the caller sees nothing.
# labels:
#   rule: admin.out_of_sight
# scope: document
out_of_sight if input.resource.detail.named.missing

out_of_sight if {
	some tenant, _ in input.resource.detail.named.tenants
	not shown(tenant)
}

# METADATA
# title: Tenants of named objects
# description: |
#   The tenants of the named objects whose objects the caller sees.
# labels:
#   rule: admin.shown_tenants
shown_tenants contains tenant if {
	some tenant, _ in input.resource.detail.named.tenants
	shown(tenant)
}

# METADATA
# title: Tenant that is seen
# description: |
#   The caller reads the objects of a tenant, or holds on them what it asks for.
# labels:
#   rule: admin.shown
shown(tenant) if {
	tenant_in_reach(tenant)
	some action in ["read", input.action.name]
	action_scoped(action)
	lib.held(input.subject.grants, [tenant, "*"], input.resource.covers, action, input.now)
}
