package writ.lib

# METADATA
# title: Full administrator
# description: |
#   The identity holds everything, in every tenant and none, without a window, and belongs to no tenant that would
#   confine it. A role or a group gives it to those who hold it, wherever it belongs.
# labels:
#   rule: lib.full
full(identity) if {
	unconfined(identity)
	some window in identity.grants["*"]["*"]["*"]
	unlimited(window)
}

# METADATA
# title: Unconfined
# description: |
#   The identity belongs to no tenant, or is a bundle of rights.
# labels:
#   rule: lib.unconfined
# scope: document
unconfined(identity) if identity.tenant == ""

unconfined(identity) if identity.type in {"role", "group"}

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
