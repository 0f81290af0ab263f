package apps.helpdesk

# METADATA
# title: Role
# description: |
#   What the subject is to the help desk: an agent, who has teams, or a guest. Services may ask for it.
# entrypoint: true
# labels:
#   rule: helpdesk.role
# scope: document
default role := "guest"

role := "agent" if {
	some _ in input.subject.attributes.teams
}

# METADATA
# title: Masks
# description: |
#   What is replaced in tickets that are shown: guests do not see what the help desk notes for itself.
# labels:
#   rule: helpdesk.masks
# scope: document
default masks := {}

masks := {"note": {"replace": {"value": ""}}} if role != "agent"
