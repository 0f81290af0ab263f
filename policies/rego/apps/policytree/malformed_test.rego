package apps.policytree_test

import data.apps.policytree

test_a_good_tree if {
	policytree.malformed == set() with data.apps.policytree.nodes as nodes
}

test_malformed[want] if {
	some want, tree in {
		"nodes: is not an object": [],
		"nodes a b: a name has letters, digits, '.', '_' and '-'": {"a b": {}},
		"nodes a/b: there is no a": {"a/b": {}},
		"nodes a: has roles and permissions, which are objects, and nothing else": {"a": {"policies": {}}},
		"nodes b: has roles and permissions, which are objects, and nothing else": {"b": "x"},
		"nodes e: has roles and permissions, which are objects, and nothing else": {"e": []},
		"nodes c: has roles and permissions, which are objects, and nothing else": {"c": {"roles": []}},
		"nodes d: has roles and permissions, which are objects, and nothing else": {"d": {"roles": {"x": true}}},
		"nodes a permissions see: there is no role clerk here or above": {"a": {"permissions": {"see": {"clerk": true}}}},
		"nodes a permissions hear: there is no role clerk here or above": {
			"a": {"roles": {"boss": {}}, "permissions": {"hear": {"clerk": true}}},
		},
		"nodes a permissions evaluate: evaluate is no name of a permission": {"a": {"permissions": {"evaluate": {}}}},
	}
	found := policytree.malformed with data.apps.policytree.nodes as tree
	found == {want}
}

test_a_tree_of_one_role if {
	policytree.malformed == set() with data.apps.policytree.nodes as {"a": {"roles": {"clerk": {}}, "permissions": {"see": {"clerk": true}}}}
}

test_of_a_list_nothing_else_is_said if {
	found := policytree.malformed with data.apps.policytree.nodes as [{"policies": {}, "permissions": {"evaluate": {"clerk": true}}}]
	found == {"nodes: is not an object"}
}

test_a_name_with_a_slash_too_many if {
	found := policytree.malformed with data.apps.policytree.nodes as {"a": {}, "a//b": {}}
	found == {"nodes a//b: a name has letters, digits, '.', '_' and '-'", "nodes a//b: there is no a/"}
}
