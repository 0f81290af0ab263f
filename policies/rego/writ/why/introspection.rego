package writ.why

import data.writ.introspection

# METADATA
# title: Checks of introspection
# description: |
#   The guards of writ/introspection.
# labels:
#   rule: why.checks.introspection
checks["writ/introspection"] := [
	[introspection.usable, {"stage": 1, "code": "not_usable", "rule": "introspection.usable"}],
	[introspection.valid, {"stage": 1, "code": "outside_validity", "rule": "introspection.valid"}],
	[introspection.addressed, {"stage": 1, "code": "address_not_allowed", "rule": "introspection.addressed"}],
	[introspection.settled, {"stage": 1, "code": "password_change_required", "rule": "introspection.settled"}],
	[introspection.confidential, {"stage": 2, "code": "not_granted", "rule": "introspection.confidential"}],
	[introspection.entitled, {"stage": 2, "code": "not_granted", "rule": "introspection.entitled"}],
]
