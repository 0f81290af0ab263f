package writ.admin

import data.writ.lib

# METADATA
# title: Types read one by one
# description: |
#   Lists of these types of tenants, and of keys, hold the rows that the caller could read one by one: the server
#   evaluates the result of this package partially, with the object unknown, and lists what is left. The rules here and
#   those of single objects say who may ask for a list.
# labels:
#   rule: admin.one_by_one
one_by_one := {"iam/users", "iam/groups", "iam/roles", "iam/applications", "iam/tenants"}

# METADATA
# title: Filtered list
# description: |
#   A list over all tenants, whose reader does not read in every one of them.
# labels:
#   rule: admin.filtered
# scope: document
default filtered := false

filtered if {
	collection
	not reads_everywhere
}

# METADATA
# title: Collection
# description: |
#   The rows of one of the types that belong to tenants are read, and no tenant is named.
# labels:
#   rule: admin.collection
# scope: document
default collection := false

collection if {
	input.action.name == "read"
	input.resource.id == ""
	input.resource.tenant == ""
	of_tenants
}

# METADATA
# title: Type of tenants
# description: |
#   Rows of the type belong to tenants.
# labels:
#   rule: admin.of_tenants
# scope: document
default of_tenants := false

of_tenants if startswith(input.resource.type, "iam/")

of_tenants if input.resource.type in told

# METADATA
# title: Types that tell of others
# description: |
#   What was done, and what was decided, belongs to the tenants that it was about.
# labels:
#   rule: admin.told
told := {"audit", "decisions"}

# METADATA
# title: Reads in every tenant
# description: |
#   The caller is confined to no tenant, and reads the objects of every tenant and of none.
# labels:
#   rule: admin.reads_everywhere
# scope: document
default reads_everywhere := false

reads_everywhere if {
	confinement == ""
	lib.held(input.subject.grants, ["*"], input.resource.covers, "read", input.now)
	action_scoped("read")
}

# METADATA
# title: Tenants whose rows are read
# description: |
#   The tenants in which the caller reads objects of this type. The empty one stands for objects of no tenant, which
#   in the audit and among decisions tell of the whole installation: who is confined to a tenant does not see those.
# labels:
#   rule: admin.readable_tenants
# scope: document
readable_tenants contains tenant if {
	some tenant, _ in input.subject.grants
	tenant != "*"
	tenant_in_reach(tenant)
	listable(tenant)
	lib.held(input.subject.grants, [tenant], input.resource.covers, "read", input.now)
}

readable_tenants contains tenant if {
	some tenant in {"", confinement}
	confinement != ""
	listable(tenant)
	lib.held(input.subject.grants, ["*"], input.resource.covers, "read", input.now)
}

readable_tenants contains "" if system_readable

# METADATA
# title: Listable rows
# description: |
#   Rows of this tenant are listed to callers that it is in reach of.
# labels:
#   rule: admin.listable
# scope: document
listable(tenant) if tenant != ""

listable(_) if not input.resource.type in told

listable(_) if confinement == ""
