package writ.decision

# METADATA
# title: Application
# description: |
#   The first segment of the resource's type names the folder of an application policy.
# labels:
#   rule: decision.application
application := split(input.resource.type, "/")[0]

# METADATA
# title: Governed by an application policy
# description: |
#   The application has a policy of its own, which decides alone.
# labels:
#   rule: decision.governed
# scope: document
default governed := false

governed if data.writ.server.apps[split(input.resource.type, "/")[0]]

# METADATA
# title: Permitted by an application policy
# description: |
#   The policy gives a reason to permit and none to deny.
# labels:
#   rule: decision.permitted
# scope: document
default permitted := false

permitted if {
	some _ in data.apps[application].permit
	not refused
}

# METADATA
# title: Refused by an application policy
# description: |
#   The policy gives a reason to deny; that beats every permit.
# labels:
#   rule: decision.refused
# scope: document
default refused := false

refused if {
	some _ in data.apps[application].deny
}

# METADATA
# title: Reasons of an application policy
# description: |
#   The codes of its permit rules.
# labels:
#   rule: decision.application_reasons
application_reasons := [{"code": code, "rule": $"apps.{application}.permit"} |
	some code in data.apps[application].permit
]
