# METADATA
# title: People of the to-do list
# description: |
#   The part of the AuthZEN to-do scenario that is about people: those who are known see each other. Of people who
#   are not in data.yaml it says nothing: grants decide.
# schemas:
#   - input: schema.input
package apps.user

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: user.permit
# scope: document
permit contains "user.member" if {
	input.action.name == "can_read_user"
	input.subject.type == "user"
	data.apps.user.members[input.subject.id]
}

permit contains "user.granted" if {
	input.subject.exists
	data.writ.decision.granted
}

# METADATA
# title: Candidates
# description: |
#   What searches look through: people see people, whom the asker calls by their addresses.
# labels:
#   rule: user.candidates
candidates := {
	"subjects": {"user": data.apps.user.members},
	"resources": {"user": [address | some address in data.apps.user.members]},
	"actions": {"user": ["can_read_user"]},
}
