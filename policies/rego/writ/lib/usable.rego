package writ.lib

# METADATA
# title: Standing
# description: |
#   The identity exists, is active, and its tenant is enabled.
# labels:
#   rule: lib.standing
standing(identity) if {
	identity.exists
	identity.active
	identity.tenant_enabled
}

# METADATA
# title: Validity window
# description: |
#   The instant lies inside the half-open window [not_before, not_after).
# labels:
#   rule: lib.inside
inside(window, now) if {
	window.not_before <= now
	now < window.not_after
}

# METADATA
# title: Usable
# description: |
#   The one computation of whether an identity may act: it stands, and the instant lies inside its window. Whether
#   the address is allowed is a fact of the question.
# labels:
#   rule: lib.usable
usable(identity, now) if {
	standing(identity)
	inside(identity, now)
}
