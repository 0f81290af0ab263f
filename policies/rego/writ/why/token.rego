package writ.why

import data.writ.token

# METADATA
# title: Checks of tokens
# description: |
#   The guards of writ/token.
# labels:
#   rule: why.checks.token
checks["writ/token"] := [
	{"stage": 1, "holds": token.usable, "code": "not_usable", "rule": "token.usable"},
	{"stage": 1, "holds": token.valid, "code": "outside_validity", "rule": "token.valid"},
	{"stage": 1, "holds": token.client_usable, "code": "not_usable", "rule": "token.client_usable"},
	{"stage": 1, "holds": token.client_valid, "code": "outside_validity", "rule": "token.client_valid"},
	{"stage": 1, "holds": token.addressed, "code": "address_not_allowed", "rule": "token.addressed"},
	{"stage": 2, "holds": token.fitting, "code": "unauthorized_client", "rule": "token.fitting"},
	{"stage": 2, "holds": token.registered, "code": "unauthorized_client", "rule": "token.registered"},
	{"stage": 3, "holds": token.placed, "code": "tenant_mismatch", "rule": "token.placed"},
	{"stage": 3, "holds": token.settled, "code": "password_change_required", "rule": "token.settled"},
	{"stage": 3, "holds": token.lasting, "code": "outside_validity", "rule": "token.lasting"},
]
