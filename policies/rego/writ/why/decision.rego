package writ.why

import data.writ.decision

# METADATA
# title: Checks of decisions
# description: |
#   The guards of writ/decision, and what an application policy says.
# labels:
#   rule: why.checks.decision
checks["writ/decision"] := array.concat(
	[
		{"stage": 1, "holds": decision.usable, "code": "not_usable", "rule": "decision.usable"},
		{"stage": 1, "holds": decision.valid, "code": "outside_validity", "rule": "decision.valid"},
		{"stage": 1, "holds": decision.addressed, "code": "address_not_allowed", "rule": "decision.addressed"},
		{"stage": 1, "holds": decision.settled, "code": "password_change_required", "rule": "decision.settled"},
		{"stage": 2, "holds": decision_known, "code": "no_such_subject", "rule": "decision.known"},
		{"stage": 3, "holds": decision.placed, "code": "tenant_mismatch", "rule": "decision.placed"},
		{"stage": 4, "holds": decision_granted, "code": "not_granted", "rule": "decision.granted"},
		{"stage": 4, "holds": application_permits, "code": "not_granted", "rule": $"apps.{decision.application}.permit"},
		{"stage": 5, "holds": decision.scoped, "code": "insufficient_scope", "rule": "decision.scoped"},
	],
	[{"stage": 4, "holds": false, "code": code, "rule": $"apps.{decision.application}.deny"} |
		decision.governed
		some code in data.apps[decision.application].deny
	],
)

# METADATA
# title: Known, or not asked
# description: |
#   Writ stores the subject, or an application policy decides about it.
# labels:
#   rule: why.decision_known
# scope: document
default decision_known := false

decision_known if decision.known

decision_known if decision.governed

# METADATA
# title: Granted, or not asked
# description: |
#   A grant covers the request, or an application policy decides about it.
# labels:
#   rule: why.decision_granted
# scope: document
default decision_granted := false

decision_granted if decision.granted

decision_granted if decision.governed

# METADATA
# title: Permitted by the application, or not asked
# description: |
#   The application policy permits, or denies with reasons of its own, or there is none.
# labels:
#   rule: why.application_permits
# scope: document
default application_permits := false

application_permits if decision.governed == false

application_permits if decision.refused

application_permits if decision.permitted
