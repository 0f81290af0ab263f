package writ.why

import data.writ.admin

# METADATA
# title: Checks of administration
# description: |
#   The guards of writ/admin: who asks, what is asked for, what the change would do. There is nothing to hide from
#   who asks about the own identity.
# labels:
#   rule: why.checks.admin
checks["writ/admin"] := array.concat(caller_checks, [
	[admin.eligible, {"stage": 2, "code": "not_administrator", "rule": "admin.eligible"}],
	[admin.situated, {"stage": 2, "code": "tenant_required", "rule": "admin.situated"}],
	[admin.unprotected, {"stage": change_stage, "code": "system_protected", "rule": "admin.unprotected"}],
	[admin.remaining, {"stage": change_stage, "code": "self_lockout", "rule": "admin.remaining"}],
	[admin.placed, {"stage": 3, "code": "tenant_mismatch", "rule": "admin.placed"}],
	[admin.above_system, {"stage": 3, "code": "system_level_readonly", "rule": "admin.above_system"}],
	[granted_or_elsewhere, {"stage": 3, "code": "not_granted", "rule": "admin.granted"}],
	[admin.rights_granted, {"stage": 3, "code": "not_granted", "rule": "admin.rights_granted"}],
	[scoped_or_not_granted, {"stage": 3, "code": "insufficient_scope", "rule": "admin.scoped"}],
	[rights_scoped_or_not_granted, {"stage": 3, "code": "insufficient_scope", "rule": "admin.rights_scoped"}],
	[admin.own, {"stage": 3, "code": "not_owner", "rule": "admin.own"}],
	[admin.proven, {"stage": 3, "code": "proof_required", "rule": "admin.proven"}],
	[admin.dominated, {"stage": change_stage, "code": "delegation_exceeds_actor", "rule": "admin.dominated"}],
	[admin.appointed, {"stage": change_stage, "code": "root_only", "rule": "admin.appointed"}],
	[admin.owned_after, {"stage": change_stage, "code": "last_owner", "rule": "admin.owned_after"}],
	[admin.secret_kept, {"stage": change_stage, "code": "last_secret", "rule": "admin.secret_kept"}],
	[admin.tenant_enabled, {"stage": change_stage, "code": "tenant_disabled", "rule": "admin.tenant_enabled"}],
	[admin.inactive_first, {"stage": change_stage, "code": "must_be_inactive", "rule": "admin.inactive_first"}],
	[admin.conditional, {"stage": change_stage, "code": "precondition_required", "rule": "admin.conditional"}],
	[admin.choosable, {"stage": change_stage, "code": "secret_not_chosen", "rule": "admin.choosable"}],
])

# METADATA
# title: Checks of the caller
# description: |
#   The guards of writ/admin about who asks.
# labels:
#   rule: why.caller_checks
caller_checks := [
	[admin.usable, {"stage": 1, "code": "not_usable", "rule": "admin.usable"}],
	[admin.valid, {"stage": 1, "code": "outside_validity", "rule": "admin.valid"}],
	[admin.addressed, {"stage": 1, "code": "address_not_allowed", "rule": "admin.addressed"}],
	[admin.meant, {"stage": 1, "code": "wrong_audience", "rule": "admin.meant"}],
	[admin.entitled, {"stage": 1, "code": "basic_not_accepted", "rule": "admin.entitled"}],
	[admin.settled, {"stage": 1, "code": "password_change_required", "rule": "admin.settled"}],
]

# METADATA
# title: Stage of a change
# description: |
#   What a change would do is told after what is asked for, except to who changes the own identity.
# labels:
#   rule: why.change_stage
# scope: document
default change_stage := 4

change_stage := 3 if input.resource.self

# METADATA
# title: Granted, or elsewhere
# description: |
#   A grant covers the request, or it is about a place where grants do not count.
# labels:
#   rule: why.granted_or_elsewhere
# scope: document
default granted_or_elsewhere := false

granted_or_elsewhere if admin.granted

granted_or_elsewhere if not admin.placed

granted_or_elsewhere if not admin.above_system

# METADATA
# title: Within scopes, or not granted
# description: |
#   The scopes of the token cover the request, or they are not what is missing.
# labels:
#   rule: why.scoped_or_not_granted
# scope: document
default scoped_or_not_granted := false

scoped_or_not_granted if admin.scoped

scoped_or_not_granted if not admin.granted

# METADATA
# title: Rights within scopes, or not granted
# description: |
#   The scopes of the token cover changing rights, or they are not what is missing.
# labels:
#   rule: why.rights_scoped_or_not_granted
# scope: document
default rights_scoped_or_not_granted := false

rights_scoped_or_not_granted if admin.rights_scoped

rights_scoped_or_not_granted if not admin.rights_granted
