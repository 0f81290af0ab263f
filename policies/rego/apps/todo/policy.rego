# METADATA
# title: To-dos
# description: |
#   An example of roles and ownership together, with facts of its own: the AuthZEN to-do scenario. Whose a to-do is,
#   the asker says as "ownerID", an e-mail address. No role contains another. Of people who are not in data.yaml it
#   says nothing: grants decide.
# schemas:
#   - input: schema.input
package apps.todo

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: todo.permit
# scope: document
permit contains "todo.member" if {
	input.action.name == "can_read_todos"
	person
}

permit contains "todo.author" if {
	input.action.name == "can_create_todo"
	some role in ["admin", "editor"]
	person.roles[role]
}

permit contains "todo.owner" if {
	input.action.name in {"can_update_todo", "can_delete_todo"}
	person.roles.editor
	person.email == input.resource.properties.ownerID
}

permit contains "todo.genius" if {
	input.action.name == "can_update_todo"
	person.roles.evil_genius
}

permit contains "todo.admin" if {
	input.action.name == "can_delete_todo"
	person.roles.admin
}

permit contains "todo.granted" if {
	input.subject.exists
	data.writ.decision.granted
}

# METADATA
# title: Candidates
# description: |
#   What searches look through. To-dos are not among it, because they are not known here.
# labels:
#   rule: todo.candidates
candidates := {
	"subjects": {"user": data.apps.todo.users},
	"actions": {"todo": ["can_read_todos", "can_create_todo", "can_update_todo", "can_delete_todo"]},
}

# METADATA
# title: Person
# description: |
#   What is stored of the subject. Undefined for one that is not.
# labels:
#   rule: todo.person
person := data.apps.todo.users[input.subject.id] if input.subject.type == "user"
