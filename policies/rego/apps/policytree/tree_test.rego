package apps.policytree_test

import data.apps.policytree

nodes := {
	"firm": {
		"roles": {
			"clerk": {"identity_roles": {"firm:clerk": true, "firm:old": false}},
			"boss": {"subjects": {"ada": true, "eve": false}},
		},
		"permissions": {"see": {"clerk": true, "boss": true}, "fire": {"boss": true, "clerk": false}},
	},
	"firm/sales": {
		"roles": {"clerk": {"claims": {"team": {"sales": true, "spies": false}}}, "lead": {"subjects": {"bob": true}}},
		"permissions": {"discount": {"lead": true}},
	},
	"firm/audit": {"roles": {"auditor": {"subjects": {"ada": true, "bob": true}}}, "permissions": {"count": {"auditor": true}}},
}

base := {
	"subject": {
		"type": "user", "id": "cleo", "exists": false, "active": false, "tenant_enabled": false, "not_before": 0,
		"not_after": 9223372036854775807, "temporary_password": false, "roles": {}, "attributes": {}, "grants": {},
	},
	"action": {"name": "see", "properties": {}},
	"resource": {"type": "policytree", "id": "firm", "tenant": "", "properties": {}},
	"context": {},
	"now": 1000,
}

told(given) := {"roles": result.roles, "permissions": result.permissions} if {
	question := object.union(base, given)
	result := policytree.result with input as question with data.apps.policytree.nodes as nodes
	result.reasons == []
}

test_result[note] if {
	sales := {"resource": {"id": "firm/sales"}}
	some note, tc in {
		"a stranger": {"given": {}, "roles": set(), "permissions": set()},
		"by id": {"given": {"subject": {"id": "ada"}}, "roles": {"boss"}, "permissions": {"see", "fire"}},
		"by an id that is taken out": {"given": {"subject": {"id": "eve"}}, "roles": set(), "permissions": set()},
		"an application by id": {
			"given": {"subject": {"type": "application", "id": "ada"}}, "roles": {"boss"}, "permissions": {"see", "fire"},
		},
		"an id of another type": {"given": {"subject": {"type": "robot", "id": "ada"}}, "roles": set(), "permissions": set()},
		"by a role in Writ": {"given": {"subject": {"roles": {"firm:clerk": true}}}, "roles": {"clerk"}, "permissions": {"see"}},
		"by a role of the issuer": {"given": {"context": {"claims": {"role": "firm:clerk"}}}, "roles": {"clerk"}, "permissions": {"see"}},
		"by one of several": {
			"given": {"context": {"claims": {"role": ["x", "firm:clerk"]}}}, "roles": {"clerk"}, "permissions": {"see"},
		},
		"by a role that is taken out": {"given": {"context": {"claims": {"role": "firm:old"}}}, "roles": set(), "permissions": set()},
		"inherited": {
			"given": object.union(sales, {"subject": {"id": "ada"}}), "roles": {"boss"}, "permissions": {"see", "fire"},
		},
		"by a claim, with what the role holds above": {
			"given": object.union(sales, {"context": {"claims": {"team": "sales"}}}), "roles": {"clerk"}, "permissions": {"see"},
		},
		"by a claim that is taken out": {
			"given": object.union(sales, {"context": {"claims": {"team": "spies"}}}), "roles": set(), "permissions": set(),
		},
		"a claim that counts below": {"given": {"context": {"claims": {"team": "sales"}}}, "roles": set(), "permissions": set()},
		"an attribute beats a claim": {
			"given": object.union(sales, {"subject": {"attributes": {"team": "audit"}}, "context": {"claims": {"team": "sales"}}}),
			"roles": set(), "permissions": set(),
		},
		"nothing of a sibling": {
			"given": object.union(sales, {"subject": {"id": "bob"}}), "roles": {"lead"}, "permissions": {"discount"},
		},
		"no subject, empty claims": {"given": {"subject": {"type": "", "id": ""}, "context": {"claims": {}}}, "roles": set(), "permissions": set()},
		"a malformed claim": {"given": {"context": {"claims": {"role": 5}}}, "roles": set(), "permissions": set()},
		"letter by letter": {"given": {"context": {"claims": {"role": "Firm:Clerk"}}}, "roles": set(), "permissions": set()},
	}
	told(tc.given) == {"roles": tc.roles, "permissions": tc.permissions}
}

test_an_unknown_path[path] if {
	some path in ["", "Firm", "firm/", "/firm", "firm/Sales", "firm/sales/north", "sales"]
	question := object.union(base, {"subject": {"id": "ada"}, "resource": {"id": path}})
	result := policytree.result with input as question with data.apps.policytree.nodes as nodes
	result == {"roles": [], "permissions": [], "reasons": [{"code": "unknown_path", "rule": "apps.policytree.deny"}]}
}

test_nothing_is_inherited_by_what_is_not_there if {
	question := object.union(base, {"subject": {"id": "ada"}, "resource": {"id": "firm/sales/north"}})
	lineage := policytree.lineage with input as question with data.apps.policytree.nodes as nodes
	lineage == []
	roles := policytree.roles with input as question with data.apps.policytree.nodes as nodes
	roles == set()
}

test_a_question_about_no_path if {
	result := policytree.result with input as json.remove(base, ["resource/id"])
	result == {"roles": [], "permissions": [], "reasons": []}
}

test_a_missing_tree_knows_no_path[note] if {
	some note, tree in {"none": {}, "null": null, "a text": "firm", "a node that is a text": {"firm": "x"}}
	roles := policytree.roles with input as object.union(base, {"subject": {"id": "ada"}})
		with data.apps.policytree.nodes as tree
	roles == set()
}

test_candidates if {
	found := policytree.candidates with data.apps.policytree.nodes as nodes
	object.keys(found.resources.policytree) == {"firm", "firm/sales", "firm/audit"}
	found.actions.policytree == {"see", "fire", "discount", "count", "evaluate"}
}
