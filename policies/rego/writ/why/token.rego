package writ.why

import data.writ.token

# METADATA
# title: Checks of tokens
# description: |
#   The guards of writ/token.
# labels:
#   rule: why.checks.token
checks["writ/token"] := [
	[token.usable, {"stage": 1, "code": "not_usable", "rule": "token.usable"}],
	[token.valid, {"stage": 1, "code": "outside_validity", "rule": "token.valid"}],
	[token.client_usable, {"stage": 1, "code": "not_usable", "rule": "token.client_usable"}],
	[token.client_valid, {"stage": 1, "code": "outside_validity", "rule": "token.client_valid"}],
	[token.addressed, {"stage": 1, "code": "address_not_allowed", "rule": "token.addressed"}],
	[token.fitting, {"stage": 2, "code": "unauthorized_client", "rule": "token.fitting"}],
	[token.registered, {"stage": 2, "code": "unauthorized_client", "rule": "token.registered"}],
	[token.addressee, {"stage": 2, "code": "unauthorized_client", "rule": "token.addressee"}],
	[token.placed, {"stage": 3, "code": "tenant_mismatch", "rule": "token.placed"}],
	[token.situated, {"stage": 3, "code": "tenant_required", "rule": "token.situated"}],
	[token.served, {"stage": 3, "code": "audience_down", "rule": "token.served"}],
	[token.settled, {"stage": 3, "code": "password_change_required", "rule": "token.settled"}],
	[token.timely, {"stage": 3, "code": "replayed", "rule": "token.timely"}],
	[token.lasting, {"stage": 3, "code": "outside_validity", "rule": "token.lasting"}],
]
