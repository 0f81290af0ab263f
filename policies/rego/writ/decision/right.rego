package writ.decision

# METADATA
# title: Granted
# description: |
#   A grant of the subject that is valid now covers the action on the resource in its tenant. Application policies
#   may ask this.
# labels:
#   rule: decision.granted
# scope: document
default granted := false

granted if {
	some tenant in [input.resource.tenant, "*"]
	resources := input.subject.grants[tenant]
	some resource in input.resource.covers
	gives(resources[resource])
}

# METADATA
# title: Actions that give the action
# description: |
#   What is granted on one resource gives the action now: by its name, by "*", or by an action that implies it.
# labels:
#   rule: decision.gives
# scope: document
gives(actions) if {
	some window in actions[input.action.name]
	window.not_before <= input.now
	input.now < window.not_after
}

gives(actions) if {
	some window in actions["*"]
	window.not_before <= input.now
	input.now < window.not_after
	input.action.name
	not explicit
}

gives(actions) if {
	some action, description in data.catalogue.types[input.resource.type].actions
	input.action.name in description.implies
	some window in actions[action]
	window.not_before <= input.now
	input.now < window.not_after
}

# METADATA
# title: Explicit action
# description: |
#   No wildcard covers the action on a resource of this type.
# labels:
#   rule: decision.explicit
explicit if object.filter(data.catalogue.types, input.resource.covers)[_].actions[input.action.name].explicit

# METADATA
# title: Known subject
# description: |
#   Writ stores the subject. The rights of others come from application policies alone.
# labels:
#   rule: decision.known
# scope: document
default known := false

known if input.subject.exists
