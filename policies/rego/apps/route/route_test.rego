package apps.route_test

import data.apps.route

# The tables of these tests are their own, so that they hold for any table.
routes := {
	"*": {
		"/": {"/": {"GET": "public"}, "/**": {"GET": "rest:read"}, "/*/about": {"GET": "about:read"}},
		"/docs": {"/**": {"GET": "docs:read"}},
		"/docs/api": {"/**": {"GET": "docs/api:read"}},
		"/shops": {
			"/": {"GET": "shops:list", "POST": "shops:add"},
			"/*": {"GET": "shops:read", "PATCH": "shops:patch"},
			"/*/orders": {"GET": "shops/orders:list"},
			"/*/*": {"GET": "shops/parts:read"},
			"/new/orders": {"GET": "shops/drafts:list"},
		},
		"/shops/main": {"/": {"GET": "signed_in"}},
		"/größen/übergrößen": {"/*": {"GET": "sizes:read"}},
	},
	"api.example.com": {"/shops": {"/": {"GET": "api/shops:list"}}},
}

counts_as := {"HEAD": "GET", "PATCH": "PUT"}

asks(method, path, host) := {
	"subject": {"type": "user", "id": "ada", "exists": true, "grants": {}},
	"action": {"name": method, "properties": {}},
	"resource": {"type": "route", "id": path, "tenant": "", "properties": {"host": host}},
	"caller": {"audiences": {}},
	"now": 1000,
}

# needed is what a request takes, in a list that is empty where it is not mapped.
needed(method, path, host) := words if {
	words := [word | some word in mapped_word] with input as asks(method, path, host)
		with data.apps.route.routes as routes
		with data.apps.route.counts_as as counts_as
}

mapped_word contains route.needed if route.mapped

test_paths[path] if {
	some path, want in {
		"/": ["public"],
		"/shops": ["shops:list"],
		"/shops/": ["shops:list"],
		"/shops/7": ["shops:read"],
		"/shops/7/": ["shops:read"],
		"/shops/main": ["signed_in"],
		"/shops/main/orders": ["shops/orders:list"],
		"/shops/7/orders": ["shops/orders:list"],
		"/shops/7/cellar": ["shops/parts:read"],
		"/shops/new/orders": ["shops/drafts:list"],
		"/shops/7/orders/1": ["rest:read"],
		"/shops/a b": ["shops:read"],
		"/shops/*": ["shops:read"],
		"/docs": ["rest:read"],
		"/docs/a": ["docs:read"],
		"/docs/a/b/c": ["docs:read"],
		"/docs/api/v1": ["docs/api:read"],
		"/Shops": ["rest:read"],
		"/Shops/about": ["about:read"],
		"/größen/übergrößen/ö": ["sizes:read"],
		"/größen/übergrößen/ö/ä": ["rest:read"],
	}
	needed("GET", path, "") == want
}

test_paths_that_can_be_read_in_two_ways_are_no_match[path] if {
	some path in [
		"", "shops", "//shops", "/shops//7", "/shops//", "/./shops", "/docs/../shops", "/docs/..", "/docs/.", "/shops%2f7",
		"/shops/%2e%2e", "/shops;x=1", "/shops\\7", "/shops?x", "/shops#x", "/shops/\u0000", "//",
	]
	needed("GET", path, "") == []
}

test_methods[note] if {
	some note, tc in {
		"its own": {"method": "POST", "path": "/shops", "want": ["shops:add"]},
		"no row": {"method": "DELETE", "path": "/shops", "want": []},
		"HEAD is GET": {"method": "HEAD", "path": "/shops", "want": ["shops:list"]},
		"PATCH is PUT, which has no row": {"method": "PATCH", "path": "/shops", "want": []},
		"PATCH of its own": {"method": "PATCH", "path": "/shops/7", "want": ["shops:patch"]},
		"in small letters": {"method": "get", "path": "/shops", "want": []},
		"no rest of a path whose row lacks the method": {"method": "POST", "path": "/shops/7", "want": []},
	}
	needed(tc.method, tc.path, "") == tc.want
}

test_hosts[note] if {
	some note, tc in {
		"of its own": {"host": "api.example.com", "path": "/shops", "want": ["api/shops:list"]},
		"of its own, without the row": {"host": "api.example.com", "path": "/docs/a", "want": []},
		"another": {"host": "www.example.com", "path": "/docs/a", "want": ["docs:read"]},
	}
	needed("GET", tc.path, tc.host) == tc.want
}

test_what_a_request_takes[word] if {
	some word, want in {
		"a:b": {"a:b"},
		"a/b-c.d:e_f": {"a/b-c.d:e_f"},
		"*:read": {"*:read"},
		"public": set(),
		"signed_in": set(),
		"private": set(),
		"a:b:c": set(),
	}
	takes := route.takes with input as asks("GET", "/", "") with data.apps.route.routes as {"*": {"/": {"/": {"GET": word}}}}
	takes == want
}

test_an_absent_or_malformed_table_maps_nothing[note] if {
	some note, table in {
		"empty": {},
		"null": null,
		"a list": [],
		"a text": "public",
		"rows that are a text": {"*": "public"},
		"a row that is a text": {"*": {"/": "public"}},
		"methods that are a text": {"*": {"/": {"/": "public"}}},
		"a word that is a number": {"*": {"/": {"/": {"GET": 5}}}},
		"a word that is none": {"*": {"/": {"/": {"GET": "everybody"}}}},
	}
	got := [1 | route.mapped] with input as asks("GET", "/", "") with data.apps.route.routes as table
	got == []
	denied := route.deny with input as asks("GET", "/", "") with data.apps.route.routes as table
	"unmapped_route" in denied
}
