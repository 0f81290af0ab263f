package writ.why

import data.writ.introspection

# METADATA
# title: Checks of introspection
# description: |
#   The guards of writ/introspection.
# labels:
#   rule: why.checks.introspection
checks["writ/introspection"] := [
	{"stage": 1, "holds": introspection.usable, "code": "not_usable", "rule": "introspection.usable"},
	{"stage": 1, "holds": introspection.valid, "code": "outside_validity", "rule": "introspection.valid"},
	{"stage": 1, "holds": introspection.addressed, "code": "address_not_allowed", "rule": "introspection.addressed"},
	{"stage": 1, "holds": introspection.settled, "code": "password_change_required", "rule": "introspection.settled"},
	{"stage": 2, "holds": introspection.confidential, "code": "not_granted", "rule": "introspection.confidential"},
	{"stage": 2, "holds": introspection.entitled, "code": "not_granted", "rule": "introspection.entitled"},
]
