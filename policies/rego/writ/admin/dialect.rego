package writ.admin

import data.writ.lib

# METADATA
# title: Chosen secret
# description: |
#   The server makes the secrets of applications. A caller chooses one where policy data says so, of all or of a dialect
#   whose clients do.
# labels:
#   rule: admin.choosable
# scope: document
default choosable := false

choosable if not input.resource.changes.chosen_secret

choosable if lib.setting(data.settings, input.context, ["secrets", "chosen"]) == true

# METADATA
# title: Deleted by writers
# description: |
#   Policy data says, of all or of a dialect that has no right of deleting, that whoever may write applications and their
#   rights may delete them, too.
# labels:
#   rule: admin.deleted_by_writers
deleted_by_writers if {
	input.action.name == "delete"
	input.resource.type == "iam/applications"
	lib.setting(data.settings, input.context, ["applications", "deleted_by_writers"]) == true
}

# METADATA
# title: Tenant named
# description: |
#   Where policy data demands it, of all or of a dialect, a caller that holds rights in single tenants only names one of them
#   when it asks for a list, or has one in its token.
# labels:
#   rule: admin.situated
# scope: document
default situated := false

situated if not naming_tenants

situated if input.resource.id != ""

situated if not startswith(input.resource.type, "iam/")

situated if input.resource.tenant != ""

situated if input.caller.tenant != ""

situated if not lib.in_single_tenants(input.subject.grants)

# METADATA
# title: Tenants are named
# description: |
#   Policy data demands, of all or of a dialect, that a request names the tenant that it is about.
# labels:
#   rule: admin.naming_tenants
naming_tenants if lib.setting(data.settings, input.context, ["tenants", "named"]) == true

# METADATA
# title: Elsewhere
# description: |
#   The request names, where that is demanded, a tenant in which the caller holds nothing. It is as good as missing.
# labels:
#   rule: admin.elsewhere
elsewhere if {
	naming_tenants
	startswith(input.resource.type, "iam/")
	input.resource.id == ""
	input.resource.tenant != ""
	every tenant, _ in input.subject.grants {
		not tenant in {input.resource.tenant, "*"}
	}
}

# METADATA
# title: Tied to a disabled tenant
# description: |
#   Where policy data says so, of all or of a dialect, what identities hold in a tenant is an object of that tenant: nothing
#   is given in a disabled one, and an identity that holds rights in disabled tenants alone is not changed.
# labels:
#   rule: admin.tied_to_disabled
# scope: document
tied_to_disabled if {
	lib.setting(data.settings, input.context, ["tenants", "own_grants"]) == true
	some tenant, grants in input.resource.after.grants
	input.resource.detail.disabled[tenant]
	not input.resource.before.grants[tenant] == grants
}

tied_to_disabled if {
	lib.setting(data.settings, input.context, ["tenants", "own_grants"]) == true
	some _, _ in input.resource.before.grants
	every tenant, _ in input.resource.before.grants {
		input.resource.detail.disabled[tenant]
	}
}
