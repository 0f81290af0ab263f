# METADATA
# title: Help desk
# description: |
#   An example of rules that also select: which tickets may be seen, out of those that a service keeps. The service sends
#   the properties of one ticket and gets a decision, or asks for a filter and puts it into the query of its own
#   database. So a ticket is compared with what is known of the subject, and nothing is computed of it. An attribute
#   "teams" lists the teams of a subject, and "clearance" is the highest priority that it may take.
# schemas:
#   - input: schema.input
package apps.helpdesk

# METADATA
# title: Permit
# description: |
#   The reasons to permit. Services may ask for them, and for a filter of the tickets that are permitted.
# entrypoint: true
# compile:
#   unknowns: [input.resource.properties]
#   mask_rule: masks
# labels:
#   rule: helpdesk.permit
# scope: document
permit contains "helpdesk.reporter" if {
	input.subject.exists
	data.apps.helpdesk.actions.reporter[input.action.name]
	input.resource.properties.reporter == input.subject.id
}

permit contains "helpdesk.team" if {
	input.subject.exists
	data.apps.helpdesk.actions.team[input.action.name]
	input.resource.properties.team in input.subject.attributes.teams
}

permit contains "helpdesk.queue" if {
	input.subject.exists
	data.apps.helpdesk.actions.queue[input.action.name]
	input.resource.properties.state in data.apps.helpdesk.waiting
	input.resource.properties.priority <= input.subject.attributes.clearance
}

# Grants count here as well, because this policy asks for them.
permit contains "helpdesk.granted" if {
	input.subject.exists
	data.writ.decision.granted
}
