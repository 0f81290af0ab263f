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

# METADATA
# title: Translated by an application policy
# description: |
#   The policy says which permissions the question takes, by a set "takes". That it takes none is an answer, too.
# labels:
#   rule: decision.translated
translated if {
	governed
	some _ in [data.apps[application].takes]
}

# METADATA
# title: Answer of an application policy
# description: |
#   The permit with its reasons; or the denial with the permissions that the question takes, where the policy says so.
# labels:
#   rule: decision.application_answer
application_answer := {"allow": true, "reasons": application_reasons, "obligations": {}} if {
	permitted
	allow
} else := {"allow": false, "reasons": [], "obligations": {"scopes": data.apps[application].takes}} if {
	translated
}
