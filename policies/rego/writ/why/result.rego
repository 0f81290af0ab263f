# METADATA
# title: Why
# description: |
#   The reasons for a denial, with the input of the decision that it explains. Each entrypoint has an ordered list
#   of checks: a guard, and beside it the code it stands for and a stage. Only the failures of the first stage that has any are
#   told: who may not ask learns nothing of the object, and who has no right nothing of what the change would do.
# schemas:
#   - input: schema.input
#   - data.catalogue: schema.catalogue
#   - data.settings: schema.settings
package writ.why

# METADATA
# title: Answer
# description: |
#   The reasons, the most telling one first. None for what was permitted.
# entrypoint: true
# labels:
#   rule: why.result
# scope: document
default result := {"reasons": []}

result := {"reasons": [{"code": check.code, "rule": check.rule} | some check in failed; check.stage == first]} if {
	first := min({check.stage | some check in failed})
}

# METADATA
# title: Failed checks
# description: |
#   The checks of the explained entrypoint whose guard did not hold.
# labels:
#   rule: why.failed
failed := [check | some [false, check] in checks[input.entrypoint]]
