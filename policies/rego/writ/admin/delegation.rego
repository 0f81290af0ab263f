package writ.admin

import data.writ.lib

# METADATA
# title: Actor
# description: |
#   The caller's effective rights, as the library wants them: its grants within its scopes and its tenant.
# labels:
#   rule: admin.actor
actor := {
	"grants": input.subject.grants,
	"tenant": input.subject.tenant,
	"confined": confinement,
	"scoped": input.caller.scoped,
	"scopes": input.caller.scopes,
}

# METADATA
# title: Full administrator
# description: |
#   The caller is a full administrator, its token carries everything, and nothing confines it to a tenant.
# labels:
#   rule: admin.full_administrator
# scope: document
default full_administrator := false

full_administrator if {
	confinement == ""
	lib.full(input.subject)
	lib.permits(actor, "*", "*")
}

# METADATA
# title: Dominated target
# description: |
#   The target's rights before and after the change lie within the caller's effective rights.
# labels:
#   rule: admin.dominated
# scope: document
default dominated := false

dominated if {
	not changing
	not changing_oneself
	not ending_sessions
}

# One's own sessions are one's own to end.
dominated if {
	ending_sessions
	input.resource.self
}

# The sessions of a stronger identity are its own: who ends them as they begin keeps it from doing anything.
dominated if {
	ending_sessions
	within(input.resource.before)
}

# Replacing the own password or secret gives no right; the guard "proven" is about that.
dominated if {
	input.resource.type == "me"
	input.action.name == "password"
}

# What has no bearing on rights, one changes of oneself with any token; and own grants are narrowed with any token.
dominated if {
	input.resource.self
	count(input.resource.changes) > 0
	every change, _ in input.resource.changes {
		bearing_no_right(change)
	}
	lib.dominates(own_before, own_added, input.now)
}

dominated if {
	changing
	within(input.resource.before)
	within_afterwards
	given_grant_types
	referring_in_reach
	given_audiences
	governed
}

# METADATA
# title: No bearing on rights
# description: |
#   What changes of oneself gives no right. A secret does not where its guard "proven" looks at it.
# labels:
#   rule: admin.bearing_no_right
# scope: document
bearing_no_right(change) if change in {"name", "description", "properties", "username", "email", "grants"}

bearing_no_right(change) if {
	input.resource.type == "me"
	change in {"secrets", "chosen_secret"}
	input.resource.changes.chosen_secret
}

# METADATA
# title: End of sessions
# description: |
#   The question is about ending sessions; the target is the identity whose they are.
# labels:
#   rule: admin.ending_sessions
# scope: document
default ending_sessions := false

ending_sessions if {
	input.resource.type == "iam/sessions"
	input.action.name == "delete"
}

# METADATA
# title: Status of a tenant
# description: |
#   Enabling or disabling a tenant, or limiting where its identities come from, changes the status of all of them. They
#   are many, so they are not looked at one by one: it takes every right that any of them can have, which is everything
#   in the tenant and in none, the explicit actions by name.
# labels:
#   rule: admin.governed
# scope: document
default governed := false

governed if not governing

governed if full_administrator

governed if lib.dominates(actor, {input.resource.id: utmost, "": utmost}, input.now)

# METADATA
# title: Change of a tenant's status
# description: |
#   The change enables or disables a tenant that is there, or limits the addresses of its identities. A new one has none.
# labels:
#   rule: admin.governing
governing if {
	input.resource.type == "iam/tenants"
	not input.resource.changes.create
	some change in ["enabled", "addresses"]
	input.resource.changes[change]
}

# METADATA
# title: Utmost rights
# description: |
#   The grants that leave nothing out: every action on every resource without end, and each explicit action by name.
# labels:
#   rule: admin.utmost
utmost := object.union(
	{"*": {"*": endless}},
	{type: actions |
		some type, description in data.catalogue.types
		actions := {action: endless | some action, about in description.actions; about.explicit}
		count(actions) > 0
	},
)

# METADATA
# title: Endless
# description: |
#   A window from now on.
# labels:
#   rule: admin.endless
endless := {"utmost": {"not_before": input.now, "not_after": 9223372036854775807}}

# METADATA
# title: Own grants before
# description: |
#   What the target held by grants of its own, without the limits of any token.
# labels:
#   rule: admin.own_before
own_before := {
	"grants": {tenant: {resource: {action: {via: window |
		some via, window in windows
		startswith(via, "own")
	} |
		some action, windows in actions
	} |
		some resource, actions in resources
	} |
		some tenant, resources in input.resource.before.grants
	},
	"tenant": "",
	"confined": "",
	"scoped": false,
	"scopes": {},
}

# METADATA
# title: Own grants added
# description: |
#   The grants of its own that the target would have and did not have before. What a role or a group gives is not
#   its own.
# labels:
#   rule: admin.own_added
own_added := {tenant: {resource: {action: {via: window |
	some via, window in windows
	startswith(via, "own")
	not input.resource.before.grants[tenant][resource][action][via] == window
} |
	some action, windows in actions
} |
	some resource, actions in resources
} |
	some tenant, resources in input.resource.after.grants
}

# METADATA
# title: Within the caller's rights
# description: |
#   Grants, audiences and the ceiling of an identity, a role or a group lie within the caller's. What does not exist
#   has none.
# labels:
#   rule: admin.within
# scope: document
within(facts) if is_null(facts)

within(facts) if {
	lib.dominates(actor, facts.grants, input.now)
	audiences_within(facts)
	ceiling_within(facts)
}

# METADATA
# title: Within the caller's rights afterwards
# description: |
#   The target is within the caller's rights after the change. Grants that are the same as before are not looked at again.
# labels:
#   rule: admin.within_afterwards
# scope: document
default within_afterwards := false

within_afterwards if {
	input.resource.after.grants == input.resource.before.grants
	audiences_within(input.resource.after)
	ceiling_within(input.resource.after)
}

within_afterwards if {
	not input.resource.after.grants == input.resource.before.grants
	within(input.resource.after)
}

# METADATA
# title: Audiences within the caller's
# description: |
#   Every audience of the identity is one of the caller's: an application's own, or those of a person's token.
# labels:
#   rule: admin.audiences_within
# scope: document
audiences_within(_) if full_administrator

audiences_within(facts) if {
	every audience, _ in facts.audiences {
		actor_audiences[audience]
	}
}

# METADATA
# title: Audiences of the caller
# description: |
#   An application's own audiences; a person has those of the token.
# labels:
#   rule: admin.actor_audiences
# scope: document
actor_audiences := input.subject.audiences if input.subject.type == "application"

actor_audiences := input.caller.audiences if input.subject.type != "application"

# METADATA
# title: Ceiling of an application that serves people
# description: |
#   An application that people sign in through has a ceiling, and the caller holds each of its scopes in the
#   application's tenant. A full administrator is free.
# labels:
#   rule: admin.ceiling_within
# scope: document
ceiling_within(_) if full_administrator

ceiling_within(facts) if not serves_people(facts)

ceiling_within(facts) if {
	is_object(facts.scopes)
	lib.dominates(actor, {facts.tenant: ceiling_grants(facts.scopes)}, input.now)
}

# METADATA
# title: Serves people
# description: |
#   People sign in through the application.
# labels:
#   rule: admin.serves_people
serves_people(facts) if facts.grant_types.password

# METADATA
# title: Ceiling as grants
# description: |
#   The scopes of a ceiling in the shape of grants that are wanted now.
# labels:
#   rule: admin.ceiling_grants
ceiling_grants(scopes) := {resource: {action: {"ceiling": {"not_before": input.now, "not_after": input.now}} |
	some action, true in actions
} |
	some resource, actions in scopes
}

# METADATA
# title: Grant types given
# description: |
#   Every grant type that the change adds is one of the caller's: an application's own, or what policy data lets
#   people give.
# labels:
#   rule: admin.given_grant_types
# scope: document
default given_grant_types := false

given_grant_types if full_administrator

given_grant_types if is_null(input.resource.after)

given_grant_types if {
	every grant_type, _ in input.resource.after.grant_types {
		may_give_grant_type(grant_type)
	}
}

# METADATA
# title: Grant type that may be given
# description: |
#   The target had it before, or the caller has it.
# labels:
#   rule: admin.may_give_grant_type
# scope: document
may_give_grant_type(grant_type) if input.resource.before.grant_types[grant_type]

may_give_grant_type(grant_type) if {
	input.subject.type == "application"
	input.subject.grant_types[grant_type]
}

may_give_grant_type(grant_type) if {
	input.subject.type != "application"
	data.settings.delegation.person_grant_types[grant_type]
}

# METADATA
# title: Audiences to serve
# description: |
#   Being the resource server of an audience lets an application introspect its tokens, so only one of the caller's
#   audiences is given; the detail of the question names them.
# labels:
#   rule: admin.given_audiences
# scope: document
default given_audiences := false

given_audiences if full_administrator

given_audiences if not input.resource.changes.serves

given_audiences if {
	every audience, _ in input.resource.detail.serves {
		actor_audiences[audience]
	}
}

# METADATA
# title: References in reach
# description: |
#   A caller that is confined to a tenant adds roles and groups of that tenant, or of none. One of another tenant may
#   give nothing today and anything tomorrow, by hands that the caller does not see.
# labels:
#   rule: admin.referring_in_reach
# scope: document
default referring_in_reach := false

referring_in_reach if confinement == ""

referring_in_reach if {
	every tenant, _ in input.resource.detail.references {
		tenant in {"", confinement}
	}
}

# METADATA
# title: Appointments
# description: |
#   Only a full administrator gives a role that policy data marks as administrative, brings back the id of a
#   deleted identity, or does at one stroke what concerns everybody.
# labels:
#   rule: admin.appointed
# scope: document
default appointed := false

appointed if full_administrator

appointed if {
	not promoting
	not input.resource.detail.tombstone
	not sweeping
}

# METADATA
# title: Concerning everybody
# description: |
#   The request is about every identity, also those that the caller does not dominate: all tokens are revoked, the
#   verifiers of passwords and secrets leave, or other rules say what everybody may do here.
# labels:
#   rule: admin.sweeping
# scope: document
default sweeping := false

sweeping if revoking_everybody

sweeping if input.resource.type == "iam/verifiers"

sweeping if replacing_core

# METADATA
# title: Replacing the core
# description: |
#   The policies that are to serve bring other rules of the core than those that serve, or other settings, which say among
#   other things who is an administrator.
# labels:
#   rule: admin.replacing_core
# scope: document
default replacing_core := false

replacing_core if {
	input.resource.type == "policies"
	some part in ["core", "settings"]
	input.resource.changes[part]
}

# METADATA
# title: Revoking the tokens of everybody
# description: |
#   Every token of every identity ends, also of those that the caller does not dominate. Retiring a key at once
#   ends whatever it made.
# labels:
#   rule: admin.revoking_everybody
# scope: document
default revoking_everybody := false

revoking_everybody if {
	input.resource.type == "tokens"
	input.action.name == "revoke_all"
}

revoking_everybody if {
	input.resource.type == "keys"
	input.resource.changes.delete
}

# METADATA
# title: Promotion
# description: |
#   After the change the target has an administrative role that it did not have before.
# labels:
#   rule: admin.promoting
promoting if {
	some role, true in data.settings.administrators.roles
	input.resource.after.roles[role]
	not input.resource.before.roles[role]
}
