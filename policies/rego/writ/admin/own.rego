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
		data.settings.me.fields[change]
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
# title: Proof of the present credential
# description: |
#   The own password or secret is replaced with the present one, or with a token that carries every right of the
#   identity: a narrow token never makes a full one.
# labels:
#   rule: admin.proven
# scope: document
default proven := false

proven if input.resource.type != "me"

proven if input.action.name != "password"

proven if input.resource.proof in {"password", "secret"}

proven if lib.dominates(actor, input.subject.grants, input.now)
