package writ.lib

# METADATA
# title: Confinement
# description: |
#   The tenant a caller is confined to: its token's, else its identity's, else none.
# labels:
#   rule: lib.confinement
# scope: document
confinement(caller, _) := caller.tenant if caller.tenant != ""

confinement(caller, identity) := identity.tenant if caller.tenant == ""

# METADATA
# title: In single tenants
# description: |
#   There are grants, and each of them is for one tenant.
# labels:
#   rule: lib.in_single_tenants
in_single_tenants(grants) if {
	some _, _ in grants
	every tenant, _ in grants {
		not tenant in {"", "*"}
	}
}
