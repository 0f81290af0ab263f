# METADATA
# title: Decisions
# description: |
#   May this subject do this? The common guards come first. Then an application policy decides, where there is one
#   for the first segment of the resource's type, else the grants do. Why a guard did not hold is said by writ/why.
# schemas:
#   - input: schema.input
#   - data.catalogue: schema.catalogue
#   - data.settings: schema.settings
package writ.decision

# METADATA
# title: Answer
# description: |
#   The answer to the question, with the reasons of a permit. The usual case has a rule of its own, because services
#   wait for it.
# entrypoint: true
# labels:
#   rule: decision.result
# scope: document
default result := {"allow": false, "reasons": [], "obligations": {}}

result := {"allow": true, "reasons": [{"code": "granted", "rule": "decision.granted"}], "obligations": {}} if {
	plain
} else := application_answer if {
	# governed
	data.writ.server.apps[split(input.resource.type, "/")[0]]
} else := {"allow": true, "reasons": [{"code": "granted", "rule": "decision.granted"}], "obligations": {}} if {
	granted
	application
	governed == false
	known
	allow
}

# METADATA
# title: Permission
# description: |
#   The guards that are common to grants and to application policies hold.
# labels:
#   rule: decision.allow
# scope: document
default allow := false

allow if {
	usable
	valid
	addressed
	settled
	placed
	scoped
}
