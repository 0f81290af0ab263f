package writ.why

import data.writ.decision

# METADATA
# title: Checks of decisions
# description: |
#   The guards of writ/decision about the subject, and about its grants or what an application policy says.
# labels:
#   rule: why.checks.decision
checks["writ/decision"] := array.concat(
	[
		[decision.usable, {"stage": 1, "code": "not_usable", "rule": "decision.usable"}],
		[decision.valid, {"stage": 1, "code": "outside_validity", "rule": "decision.valid"}],
		[decision.addressed, {"stage": 1, "code": "address_not_allowed", "rule": "decision.addressed"}],
		[decision.settled, {"stage": 1, "code": "password_change_required", "rule": "decision.settled"}],
		[decision.placed, {"stage": 3, "code": "tenant_mismatch", "rule": "decision.placed"}],
		[decision.scoped, {"stage": 5, "code": "insufficient_scope", "rule": "decision.scoped"}],
	],
	right_checks,
)

# METADATA
# title: Checks of the right
# description: |
#   Writ stores the subject, and a grant of it covers the request; or an application policy permits, or denies with
#   reasons of its own.
# labels:
#   rule: why.right_checks
# scope: document
right_checks := [
	[decision.known, {"stage": 2, "code": "no_such_subject", "rule": "decision.known"}],
	[decision.granted, {"stage": 4, "code": "not_granted", "rule": "decision.granted"}],
] if {
	decision.governed == false
} else := array.concat(
	[[application_permits, {"stage": 4, "code": "not_granted", "rule": $"apps.{decision.application}.permit"}]],
	[[false, {"stage": 4, "code": code, "rule": $"apps.{decision.application}.deny"}] |
		some code in data.apps[decision.application].deny
	],
)

# METADATA
# title: Permitted by the application, or denied
# description: |
#   The application policy permits, or has reasons of its own.
# labels:
#   rule: why.application_permits
# scope: document
default application_permits := false

application_permits if decision.refused

application_permits if decision.permitted
