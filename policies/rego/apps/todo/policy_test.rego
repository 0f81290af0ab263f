package apps.todo_test

import data.apps.todo

people := {
	"rick": {"email": "rick@example.com", "roles": {"admin": true, "evil_genius": true}},
	"morty": {"email": "morty@example.com", "roles": {"editor": true}},
	"beth": {"email": "beth@example.com", "roles": {"viewer": true}},
}

# asks is a question about a to-do of morty.
asks(who, action) := {
	"subject": {"type": "user", "id": who, "exists": false, "grants": {}},
	"action": {"name": action},
	"resource": {
		"type": "todo", "id": "1", "tenant": "", "covers": ["todo/1", "todo", "*"],
		"properties": {"ownerID": "morty@example.com"},
	},
	"now": 1000,
}

test_permit[note] if {
	some action, wanted in {
		"can_read_todos": {"rick": {"todo.member"}, "morty": {"todo.member"}, "beth": {"todo.member"}, "jerry": set()},
		"can_create_todo": {"rick": {"todo.author"}, "morty": {"todo.author"}, "beth": set(), "jerry": set()},
		"can_update_todo": {"rick": {"todo.genius"}, "morty": {"todo.owner"}, "beth": set(), "jerry": set()},
		"can_delete_todo": {"rick": {"todo.admin"}, "morty": {"todo.owner"}, "beth": set(), "jerry": set()},
		"can_share_todo": {"rick": set(), "morty": set(), "beth": set(), "jerry": set()},
	}
	some who, want in wanted
	note := concat(" ", [who, action])
	permit := todo.permit with input as asks(who, action) with data.apps.todo.users as people
	permit == want
}

test_to_dos_of_others[note] if {
	some action in ["can_update_todo", "can_delete_todo"]
	some owner in ["beth@example.com", ""]
	note := concat(" ", [action, owner])
	question := object.union(asks("morty", action), {"resource": {"properties": {"ownerID": owner}}})
	permit := todo.permit with input as question with data.apps.todo.users as people
	permit == set()
}

test_ones_own_without_being_an_editor[action] if {
	some action in ["can_update_todo", "can_delete_todo"]
	question := object.union(asks("beth", action), {"resource": {"properties": {"ownerID": "beth@example.com"}}})
	permit := todo.permit with input as question with data.apps.todo.users as people
	permit == set()
}

test_to_dos_of_nobody[action] if {
	some action in ["can_update_todo", "can_delete_todo"]
	question := json.remove(asks("morty", action), ["resource/properties/ownerID"])
	permit := todo.permit with input as question with data.apps.todo.users as people
	permit == set()
}

test_a_subject_of_another_type if {
	question := object.union(asks("rick", "can_read_todos"), {"subject": {"type": "robot"}})
	permit := todo.permit with input as question with data.apps.todo.users as people
	permit == set()
}

test_grants_count[note] if {
	granted := {"": {"todo": {"close": {"own": {"not_before": 0, "not_after": 9223372036854775807}}}}}
	some note, tc in {
		"granted": {"exists": true, "grants": granted, "want": {"todo.granted"}},
		"not granted": {"exists": true, "grants": {}, "want": set()},
		"granted to who is not stored": {"exists": false, "grants": granted, "want": set()},
	}
	question := object.union(asks("carol", "close"), {"subject": {"exists": tc.exists, "grants": tc.grants}})
	permit := todo.permit with input as question
	permit == tc.want
}

test_candidates if {
	todo.candidates.subjects.user.rick with data.apps.todo.users as people
	todo.candidates.actions.todo == ["can_read_todos", "can_create_todo", "can_update_todo", "can_delete_todo"]
}
