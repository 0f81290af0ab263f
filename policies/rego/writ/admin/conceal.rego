package writ.admin

import data.writ.lib

# METADATA
# title: Concealed
# description: |
#   A denial is to look like a missing object: the caller is accepted, but may neither read what the object is one
#   of nor do to it what it asks for.
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
