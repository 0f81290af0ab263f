# METADATA
# title: Detail
# description: |
#   What stands behind the reasons for a denial, with the input of the decision that it explains: the grant that
#   would cover the request, and the windows that were not open. Whether the grant would suffice is tried by the
#   caller, on the entrypoint itself.
# schemas:
#   - input: schema.input
#   - data.catalogue: schema.catalogue
package writ.detail

import data.writ.lib

# METADATA
# title: Answer
# description: |
#   The wanted grant and the closed windows.
# entrypoint: true
# labels:
#   rule: detail.result
# scope: document
default result := {"wanted": {}, "closed": []}

result := {"wanted": wanted, "closed": array.concat(closed_subject, closed_grants)}

# METADATA
# title: Wanted grant
# description: |
#   The narrowest grant that covers the request: on the very resource, for the very action, in its tenant.
# labels:
#   rule: detail.wanted
wanted := {
	"tenant": input.resource.tenant,
	"resource": input.resource.path,
	"action": input.action.name,
}

# METADATA
# title: Closed subject
# description: |
#   The subject's own window, where the subject is there and the window is not open.
# labels:
#   rule: detail.closed_subject
# scope: document
default closed_subject := []

closed_subject := [{
	"via": "subject",
	"not_before": input.subject.not_before,
	"not_after": input.subject.not_after,
}] if {
	input.subject.exists
	not lib.inside(input.subject, input.now)
}

# METADATA
# title: Closed grants
# description: |
#   The grants that cover the request, but not now.
# labels:
#   rule: detail.closed_grants
closed_grants := [closed |
	some tenant in [input.resource.tenant, "*"]
	some resource in input.resource.covers
	some action, sources in input.subject.grants[tenant][resource]
	action in giving
	some via, window in sources
	not lib.inside(window, input.now)
	closed := {
		"via": via, "tenant": tenant, "resource": resource, "action": action,
		"not_before": window.not_before, "not_after": window.not_after,
	}
]

# METADATA
# title: Actions that give the action
# description: |
#   The action, those that imply it, and "*" unless the action is explicit.
# labels:
#   rule: detail.giving
# scope: document
giving contains input.action.name

giving contains "*" if not lib.explicit(input.resource.covers, input.action.name)

giving contains action if {
	some action, description in data.catalogue.types[lib.type_of(input.resource.covers)].actions
	input.action.name in description.implies
}
