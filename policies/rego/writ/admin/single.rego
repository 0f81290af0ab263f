package writ.admin

import data.writ.lib

# METADATA
# title: List with single objects
# description: |
#   A list of a type whose objects are read one by one, of which the caller does not read every row that it asks for. Rights
#   to single objects let it ask for the list. The key of a role is no part of a permission, so roles are not among the types.
# labels:
#   rule: admin.itemised
# scope: document
default itemised := false

itemised if {
	input.action.name == "read"
	input.resource.id == ""
	input.resource.type in {"iam/users", "iam/groups", "iam/applications", "iam/tenants", "keys"}
	not reads_whole
}

# METADATA
# title: Reads the whole list
# description: |
#   The caller reads every row that it asks for.
# labels:
#   rule: admin.reads_whole
# scope: document
reads_whole if reads_everywhere

reads_whole if {
	not collection
	held("read")
	action_scoped("read")
}

# METADATA
# title: Objects in a list
# description: |
#   Single objects that the caller reads, by the tenant in which it does; "*" is wherever the object is. Tenants of which
#   the list has all rows are left out.
# labels:
#   rule: admin.readable_objects
# scope: document
readable_objects[place] contains id if {
	itemised
	few_named
	some tenant, resources in input.subject.grants
	tenant_in_reach(tenant)
	some path, _ in resources
	id := object_at(path)
	covers := array.concat([path], input.resource.covers)
	lib.held(input.subject.grants, [tenant], covers, "read", input.now)
	scoped_on(covers)
	some place in (places(tenant) | system_places)
	asked_for(place)
	not place in listed_tenants
}

# The grant is on the type, and only the scope names the object.
readable_objects[place] contains id if {
	itemised
	few_named
	not action_scoped("read")
	some id in scoped_objects
	covers := array.concat([concat("/", [input.resource.type, id])], input.resource.covers)
	scoped_on(covers)
	some place in held_places
}

# METADATA
# title: Tenants of which all rows are listed
# description: |
#   The caller reads all objects of the type in these, and its scopes cover the type.
# labels:
#   rule: admin.listed_tenants
listed_tenants contains tenant if {
	filtered
	action_scoped("read")
	some tenant in readable_tenants
}

# METADATA
# title: Few objects are named
# description: |
#   Rights and scopes name at most 1,000 objects of the type. Of more, a list shows none that only such a right shows.
# labels:
#   rule: admin.few_named
# scope: document
few_named if count(granted_objects | scoped_objects) <= 1000

# METADATA
# title: Objects named by grants
# description: |
#   Objects of the type that grants of the caller name.
# labels:
#   rule: admin.granted_objects
granted_objects contains object_at(path) if {
	some _, resources in input.subject.grants
	some path, _ in resources
}

# METADATA
# title: Objects named by scopes
# description: |
#   Objects of the type that scopes of the token name.
# labels:
#   rule: admin.scoped_objects
scoped_objects contains object_at(path) if some path, _ in input.caller.scopes

# METADATA
# title: Object at a path
# description: |
#   The id of the object of the type whose path it is.
# labels:
#   rule: admin.object_at
object_at(path) := id if {
	prefix := concat("", [input.resource.type, "/"])
	startswith(path, prefix)
	id := substring(path, count(prefix), -1)
	not contains(id, "/")
}

# METADATA
# title: Scopes cover reading
# description: |
#   The caller is not limited by scopes, or they cover reading what the resources lead to.
# labels:
#   rule: admin.scoped_on
# scope: document
scoped_on(_) if input.caller.scoped == false

scoped_on(covers) if lib.scoped(input.caller.scopes, covers, "read")

# METADATA
# title: Places of a grant
# description: |
#   The tenants whose objects a grant in this tenant reaches.
# labels:
#   rule: admin.places
# scope: document
places(tenant) := {tenant} if tenant != "*"

places("*") := {"*"} if confinement == ""

places("*") := {"", confinement} if confinement != ""

# METADATA
# title: Places of every grant
# description: |
#   Objects of no tenant, where a right in any tenant reads them.
# labels:
#   rule: admin.system_places
system_places contains "" if {
	lib.setting(data.settings, input.context, ["system_level", "readable", input.resource.type]) == true
}

# METADATA
# title: Tenant that is asked for
# description: |
#   The list could have objects of this tenant.
# labels:
#   rule: admin.asked_for
# scope: document
asked_for(place) if place in {input.resource.tenant, "*"}

asked_for(_) if collection

# METADATA
# title: Tenants in which the type is held
# description: |
#   The tenants in which the caller's grants cover reading all objects of the type, whatever its scopes.
# labels:
#   rule: admin.held_places
# scope: document
held_places contains tenant if {
	filtered
	some tenant in readable_tenants
}

held_places contains "*" if {
	filtered
	confinement == ""
	lib.held(input.subject.grants, ["*"], input.resource.covers, "read", input.now)
}

held_places contains input.resource.tenant if {
	not collection
	held("read")
}
