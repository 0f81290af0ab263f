package writ.why

import data.writ.admin
import data.writ.credential

# METADATA
# title: Checks of credentials
# description: |
#   The guards of writ/credential. What is missing for reading a secret has one code; the rule beside it says what.
# labels:
#   rule: why.checks.credential
checks["writ/credential"] := array.concat(caller_checks, [
	[admin.eligible, {"stage": 2, "code": "not_administrator", "rule": "admin.eligible"}],
	[admin.placed, {"stage": 3, "code": "tenant_mismatch", "rule": "admin.placed"}],
	[admin.above_system, {"stage": 3, "code": "system_level_readonly", "rule": "admin.above_system"}],
	[credential.managing, {"stage": 4, "code": "admin_only", "rule": "credential.managing"}],
	[credential.revealing, {"stage": 4, "code": "admin_only", "rule": "credential.revealing"}],
	[admin.granted, {"stage": 4, "code": "admin_only", "rule": "admin.granted"}],
	[admin.scoped, {"stage": 4, "code": "admin_only", "rule": "admin.scoped"}],
	[credential.administrative, {"stage": 4, "code": "admin_only", "rule": "credential.administrative"}],
	[credential.personal, {"stage": 4, "code": "admin_only", "rule": "credential.personal"}],
	[credential.fresh, {"stage": 4, "code": "admin_only", "rule": "credential.fresh"}],
	[credential.confidential, {"stage": 4, "code": "admin_only", "rule": "credential.confidential"}],
	[credential.stated, {"stage": 4, "code": "admin_only", "rule": "credential.stated"}],
	[admin.dominated, {"stage": 4, "code": "admin_only", "rule": "admin.dominated"}],
])
