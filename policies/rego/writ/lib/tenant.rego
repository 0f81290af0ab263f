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
