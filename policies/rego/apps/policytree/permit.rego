package apps.policytree

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: policytree.permit
# scope: document
permit contains "policytree.permission" if input.action.name in permissions

permit contains "policytree.member" if {
	input.action.name == "evaluate"
	count(roles) + count(permissions) > 0
}

# METADATA
# title: Deny
# description: |
#   The reasons to deny, which beat every permit.
# labels:
#   rule: policytree.deny
# scope: document
deny contains "unknown_path" if not node
