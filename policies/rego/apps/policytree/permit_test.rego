package apps.policytree_test

import data.apps.policytree

test_permit[note] if {
	some note, tc in {
		"the permission": {"subject": "ada", "action": "fire", "want": {"policytree.permission"}},
		"another": {"subject": "ada", "action": "hire", "want": set()},
		"any": {"subject": "ada", "action": "evaluate", "want": {"policytree.member"}},
		"none": {"subject": "cleo", "action": "evaluate", "want": set()},
	}
	question := object.union(base, {"subject": {"id": tc.subject}, "action": {"name": tc.action}})
	permit := policytree.permit with input as question with data.apps.policytree.nodes as nodes
	permit == tc.want
	deny := policytree.deny with input as question with data.apps.policytree.nodes as nodes
	deny == set()
}

test_a_member_without_a_permission if {
	question := object.union(base, {"subject": {"id": "ada"}, "action": {"name": "evaluate"}})
	permit := policytree.permit with input as question with data.apps.policytree.nodes as {"firm": {"roles": {"boss": {"subjects": {"ada": true}}}}}
	permit == {"policytree.member"}
}

test_deny[note] if {
	some note, question in {
		"unknown": object.union(base, {"resource": {"id": "firm/none"}}),
		"no id": json.remove(base, ["resource/id"]),
	}
	deny := policytree.deny with input as question with data.apps.policytree.nodes as nodes
	deny == {"unknown_path"}
}

test_without_what_a_rule_needs[path] if {
	some path in ["subject", "subject/id", "subject/type", "action/name"]
	question := object.union(base, {"subject": {"id": "ada"}})
	whole := policytree.permit with input as question with data.apps.policytree.nodes as nodes
	whole == {"policytree.permission"}
	permit := policytree.permit with input as json.remove(question, [path]) with data.apps.policytree.nodes as nodes
	permit == set()
}
