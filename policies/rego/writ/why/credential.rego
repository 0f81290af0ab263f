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
	{"stage": 2, "holds": admin.eligible, "code": "not_administrator", "rule": "admin.eligible"},
	{"stage": 3, "holds": admin.placed, "code": "tenant_mismatch", "rule": "admin.placed"},
	{"stage": 3, "holds": admin.above_system, "code": "system_level_readonly", "rule": "admin.above_system"},
	{"stage": 4, "holds": credential.managing, "code": "admin_only", "rule": "credential.managing"},
	{"stage": 4, "holds": credential.revealing, "code": "admin_only", "rule": "credential.revealing"},
	{"stage": 4, "holds": admin.granted, "code": "admin_only", "rule": "admin.granted"},
	{"stage": 4, "holds": admin.scoped, "code": "admin_only", "rule": "admin.scoped"},
	{"stage": 4, "holds": credential.administrative, "code": "admin_only", "rule": "credential.administrative"},
	{"stage": 4, "holds": credential.personal, "code": "admin_only", "rule": "credential.personal"},
	{"stage": 4, "holds": credential.fresh, "code": "admin_only", "rule": "credential.fresh"},
	{"stage": 4, "holds": credential.confidential, "code": "admin_only", "rule": "credential.confidential"},
	{"stage": 4, "holds": credential.stated, "code": "admin_only", "rule": "credential.stated"},
	{"stage": 4, "holds": admin.dominated, "code": "admin_only", "rule": "admin.dominated"},
])
