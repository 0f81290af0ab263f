# METADATA
# title: Library
# description: |
#   Functions that say what covers what. They take arguments, read no input, and no data but the catalogue.
# schemas:
#   - data.catalogue: schema.catalogue
package writ.lib

# METADATA
# title: Grants that cover
# description: |
#   Some grant of one of the tenants, on one of the resources, covers the action now. The resources are an object's
#   path and everything above it, longest first, so the cost follows the depth of the path and never the number of
#   grants.
# labels:
#   rule: lib.held
held(grants, tenants, resources, action, now) if {
	some tenant in tenants
	granted := grants[tenant]
	some resource in resources
	gives(granted[resource], resources, action, now)
}

# METADATA
# title: Actions that give an action
# description: |
#   What is granted on one of the resources gives the action now: by its name, by "*", or by an action that implies it.
# labels:
#   rule: lib.gives
# scope: document
gives(actions, _, action, now) if {
	some window in actions[action]
	window.not_before <= now
	now < window.not_after
}

gives(actions, resources, action, now) if {
	some window in actions["*"]
	window.not_before <= now
	now < window.not_after
	not explicit(resources, action)
}

gives(actions, resources, action, now) if {
	some granted, description in data.catalogue.types[type_of(resources)].actions
	action in description.implies
	some window in actions[granted]
	window.not_before <= now
	now < window.not_after
}

# METADATA
# title: Scopes that cover
# description: |
#   Some scope on one of the resources covers the action.
# labels:
#   rule: lib.scoped
# scope: document
scoped(scopes, resources, action) if {
	some resource in resources
	scopes[resource][action]
}

scoped(scopes, resources, action) if {
	some resource in resources
	scopes[resource]["*"]
	not explicit(resources, action)
}

scoped(scopes, resources, action) if {
	some granted, description in data.catalogue.types[type_of(resources)].actions
	action in description.implies
	some resource in resources
	scopes[resource][granted]
}

# METADATA
# title: Explicit actions
# description: |
#   The action is explicit for the type of the object that the resources lead to: no wildcard covers it.
# labels:
#   rule: lib.explicit
explicit(resources, action) if {
	some resource in resources
	data.catalogue.types[resource].actions[action].explicit
}

# METADATA
# title: Type of an object
# description: |
#   The longest declared type among an object's path and everything above it. Undefined for an open type.
# labels:
#   rule: lib.type_of
type_of(resources) := [resource | some resource in resources; data.catalogue.types[resource]][0]

# METADATA
# title: Path and everything above it
# description: |
#   What may be granted to cover a resource: itself, each of its prefixes on segment borders, and "*"; longest
#   first.
# labels:
#   rule: lib.prefixes
# scope: document
prefixes("*") := ["*"]

prefixes(resource) := array.concat(paths, ["*"]) if {
	resource != "*"
	segments := split(resource, "/")
	paths := [concat("/", array.slice(segments, 0, count(segments) - dropped)) | some dropped, _ in segments]
}
