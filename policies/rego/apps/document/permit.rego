# METADATA
# title: Documents
# description: |
#   An example of rules that need data of the resource: whose document it is, and of which department. The asker
#   sends "owner" and "department" as properties of the resource; the subject's department is an attribute that an
#   administrator has set. A question without what a rule needs is not permitted by it.
# schemas:
#   - input: schema.input
package apps.document

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: document.permit
# scope: document
permit contains "document.owner" if {
	input.subject.exists
	input.resource.properties.owner == input.subject.id
	data.apps.document.actions.owner[input.action.name]
}

permit contains "document.department" if {
	input.subject.exists
	input.resource.properties.department == input.subject.attributes.department
	data.apps.document.actions.department[input.action.name]
}

# Grants count here as well, because this policy asks for them.
permit contains "document.granted" if {
	input.subject.exists
	data.writ.decision.granted
}
