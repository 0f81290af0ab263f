package apps.route_test

import data.apps.route

test_a_good_table if {
	route.malformed == set() with data.apps.route.routes as routes
		with data.apps.route.counts_as as counts_as
		with data.apps.route.audiences as {}
}

test_malformed[want] if {
	some want, table in {
		"routes: is not an object": [],
		"routes *: is not an object": {"*": []},
		"routes * /a: is not an object": {"*": {"/a": "public"}},
		"routes * /a /: is not an object": {"*": {"/a": {"/": "public"}}},
		"routes * a: begins with a slash, does not end with one, and has none of * % ; ? # \\ in it": {"*": {"a": {}}},
		"routes * /a/: begins with a slash, does not end with one, and has none of * % ; ? # \\ in it": {"*": {"/a/": {}}},
		"routes * /*: begins with a slash, does not end with one, and has none of * % ; ? # \\ in it": {"*": {"/*": {}}},
		"routes * /a/../b: has a segment of dots": {"*": {"/a/../b": {}}},
		"routes * /a/.: has a segment of dots": {"*": {"/a/.": {}}},
		"routes * /a;b: begins with a slash, does not end with one, and has none of * % ; ? # \\ in it": {"*": {"/a;b": {}}},
		"routes * /a *: is none of /, /**, and segments such as /*/name": {"*": {"/a": {"*": {}}}},
		"routes * /a /b*: is none of /, /**, and segments such as /*/name": {"*": {"/a": {"/b*": {}}}},
		"routes * /a /*/**: is none of /, /**, and segments such as /*/name": {"*": {"/a": {"/*/**": {}}}},
		"routes * /a / get: a method is written in capitals": {"*": {"/a": {"/": {"get": "public"}}}},
		"routes * /a / GET: is no permission, and neither public nor signed_in": {"*": {"/a": {"/": {"GET": "everybody"}}}},
		"routes * /a / PUT: is no permission, and neither public nor signed_in": {"*": {"/a": {"/": {"PUT": 5}}}},
	}
	found := route.malformed with data.apps.route.routes as table
		with data.apps.route.counts_as as counts_as
		with data.apps.route.audiences as {}
	found == {want}
}

test_malformed_lists[name] if {
	some name in ["counts_as", "audiences"]
	tables := object.union({"routes": routes, "counts_as": {}, "audiences": {}}, {name: "x"})
	found := route.malformed with data.apps.route.routes as tables.routes
		with data.apps.route.counts_as as tables.counts_as
		with data.apps.route.audiences as tables.audiences
	found == {$"{name}: is not an object"}
}
