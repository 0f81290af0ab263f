package writ.lib

# METADATA
# title: Full administrator
# description: |
#   The identity holds everything, in every tenant and none, without a window.
# labels:
#   rule: lib.full
full(identity) if {
	some window in identity.grants["*"]["*"]["*"]
	unlimited(window)
}

# METADATA
# title: No window
# description: |
#   The window is open at both ends.
# labels:
#   rule: lib.unlimited
unlimited(window) if {
	window.not_before == 0
	window.not_after == 9223372036854775807
}

# METADATA
# title: Administrator
# description: |
#   The identity is named an administrator by policy data, or holds a role that policy data marks as administrative.
# labels:
#   rule: lib.administrator
# scope: document
administrator(administrators, identity) if administrators.ids[identity.id]

administrator(administrators, identity) if {
	some role, true in administrators.roles
	identity.roles[role]
}
