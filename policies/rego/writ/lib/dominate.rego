package writ.lib

# METADATA
# title: Dominance
# description: |
#   Every wanted grant is covered by one owned grant that is valid now and ends no earlier, in the tenants the owner
#   is confined to, and, where the owner is scoped, by one scope. The owner is {"grants", "tenant", "confined",
#   "scoped", "scopes"}. Two grants that only together cover a wanted one do not, by intent: that is simple to
#   explain and safe. No grants are always covered.
# labels:
#   rule: lib.dominates
dominates(owner, wanted, now) if {
	every tenant, resources in wanted {
		covered(owner, tenant, resources, now)
	}
}

# METADATA
# title: Covered in a tenant
# description: |
#   What is wanted in a tenant is covered. Identities have thousands of grants, and the usual ways to cover them are
#   written out, so that each is looked up by its key: the owner holds the very same, or everything without end. What
#   they permit, the last one permits too.
# labels:
#   rule: lib.covered
# scope: document
covered(owner, tenant, resources, now) if {
	owner.scoped == false
	reaches(owner, tenant)
	held_here := owner.grants[tenant]
	same := {[resource, action, via] |
		some resource, actions in resources
		some action, windows in actions
		some via, window in windows
		some owned in held_here[resource][action]
		owned.not_before <= now
		now < owned.not_after
		owned.not_after >= window.not_after
	}
	count(same) == count([1 |
		some actions in resources
		some windows in actions
		some _ in windows
	])
}

covered(owner, tenant, resources, now) if {
	owner.scoped == false
	reaches(owner, tenant)
	some window in owner.grants["*"]["*"]["*"]
	window.not_before <= now
	window.not_after == 9223372036854775807
	count([1 |
		some actions in resources
		some action, _ in actions
		explicit_names[action]
	]) == 0
}

covered(owner, tenant, resources, now) if {
	reaches(owner, tenant)
	every resource, actions in resources {
		every action, windows in actions {
			permits(owner, resource, action)
			every _, window in windows {
				owns(owner.grants, tenant, resource, action, window, now)
			}
		}
	}
}

# METADATA
# title: Names of explicit actions
# description: |
#   The actions that are explicit for some type.
# labels:
#   rule: lib.explicit_names
explicit_names[action] := true if {
	some description in data.catalogue.types
	some action, about in description.actions
	about.explicit
}

# METADATA
# title: Tenants an owner reaches
# description: |
#   An owner that is confined to a tenant reaches that tenant; one whose identity belongs to it, also the objects of
#   no tenant.
# labels:
#   rule: lib.reaches
# scope: document
reaches(owner, _) if owner.confined == ""

reaches(owner, tenant) if {
	owner.confined != ""
	tenant == owner.confined
}

reaches(owner, "") if {
	owner.confined != ""
	owner.confined == owner.tenant
}

# METADATA
# title: Scopes of an owner
# description: |
#   The scopes of the owner cover the permission, which may be a pattern.
# labels:
#   rule: lib.permits
# scope: document
permits(owner, _, _) if owner.scoped == false

permits(owner, resource, action) if {
	some above in prefixes(resource)
	some scoped_action, true in owner.scopes[above]
	contains_action(scoped_action, resource, action)
}

# METADATA
# title: One owned grant
# description: |
#   One owned grant covers the wanted one: same or wider tenant, resource and action, valid now, ending no earlier.
# labels:
#   rule: lib.owns
owns(grants, tenant, resource, action, window, now) if {
	some owned_tenant in [tenant, "*"]
	some above in prefixes(resource)
	some owned_action, owned_windows in grants[owned_tenant][above]
	contains_action(owned_action, resource, action)
	some owned in owned_windows
	owned.not_before <= now
	now < owned.not_after
	owned.not_after >= window.not_after
}

# METADATA
# title: Actions that cover actions
# description: |
#   A granted action covers itself; "*" covers every action that is not explicit on the resource or below it; and an
#   action covers what the catalogue says it implies on the resource and everything below it. Only "*" covers "*".
# labels:
#   rule: lib.contains_action
# scope: document
contains_action(action, _, action)

contains_action("*", resource, action) if not explicit_anywhere(resource, action)

contains_action(granted, resource, action) if {
	type := type_of(prefixes(resource))
	action in data.catalogue.types[type].actions[granted].implies
	every lower, description in data.catalogue.types {
		implied_below(lower, description, resource, granted, action)
	}
}

# METADATA
# title: Explicit here or below
# description: |
#   The action is explicit for a type that the resource is of, or is above: the grant would give it there.
# labels:
#   rule: lib.explicit_anywhere
explicit_anywhere(resource, action) if {
	some type, description in data.catalogue.types
	description.actions[action].explicit
	related(resource, type)
}

# METADATA
# title: Related resources
# description: |
#   One of two resources is above the other, or they are the same.
# labels:
#   rule: lib.related
# scope: document
related("*", _)

related(resource, type) if startswith(concat("", [resource, "/"]), concat("", [type, "/"]))

related(resource, type) if startswith(concat("", [type, "/"]), concat("", [resource, "/"]))

# METADATA
# title: Implications below a resource
# description: |
#   A type below the resource agrees that the one action implies the other; types elsewhere have no say.
# labels:
#   rule: lib.implied_below
# scope: document
implied_below(type, _, resource, _, _) if not startswith(concat("", [type, "/"]), concat("", [resource, "/"]))

implied_below(_, description, _, granted, action) if action in description.actions[granted].implies
