package writ.admin

import data.writ.lib

# METADATA
# title: One's own
# description: |
#   What is asked of oneself concerns the own identity and changes nothing but what policy data lists.
# labels:
#   rule: admin.own
# scope: document
default own := false

own if input.resource.type != "me"

own if {
	input.resource.self
	input.action.name in {"read", "sessions"}
}

own if {
	input.resource.self
	input.action.name == "write"
	every change, _ in input.resource.changes {
		own_change(change)
	}
}

own if {
	input.resource.self
	input.action.name == "password"
	every change, _ in input.resource.changes {
		change in {"password", "secrets"}
	}
}

# METADATA
# title: Change of the own identity
# description: |
#   Policy data lists the field; or the change is that the own secret is replaced by a chosen one.
# labels:
#   rule: admin.own_change
# scope: document
own_change(change) if data.settings.me.fields[change]

own_change(change) if {
	change in {"secrets", "chosen_secret"}
	input.resource.changes.chosen_secret
}

# METADATA
# title: Proof of the present credential
# description: |
#   The own password or secret is replaced, alone or with other things, with the present one, or with a token that carries every right of the
#   identity: a narrow token never makes a full one.
# labels:
#   rule: admin.proven
# scope: document
default proven := false

proven if input.resource.type != "me"

proven if {
	input.action.name != "password"
	not input.resource.changes.secrets
}

proven if input.resource.proof in {"password", "secret"}

proven if lib.dominates(actor, input.subject.grants, input.now)
