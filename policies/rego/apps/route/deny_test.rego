package apps.route_test

import data.apps.route

denies(question, audiences) := deny if {
	deny := route.deny with input as question
		with data.apps.route.routes as routes
		with data.apps.route.audiences as audiences
		with data.settings.audiences.runtime as {"https://writ.example/runtime": true}
}

test_deny[note] if {
	writ := {"https://writ.example/runtime": true}
	shop := {"https://shop.example": true}
	some note, tc in {
		"mapped": {"path": "/shops", "token": writ, "table": {}, "want": set()},
		"unmapped": {"path": "/shops//", "token": writ, "table": {}, "want": {"unmapped_route"}},
		"for another API": {"path": "/shops", "token": shop, "table": {}, "want": {"wrong_audience"}},
		"for another API, public": {"path": "/", "token": shop, "table": {}, "want": set()},
		"for the table's": {"path": "/shops", "token": shop, "table": shop, "want": set()},
		"for Writ, where the table has another": {"path": "/shops", "token": writ, "table": shop, "want": {"wrong_audience"}},
		"for what the table says not to take": {
			"path": "/shops", "token": shop, "table": {"https://shop.example": false}, "want": {"wrong_audience"},
		},
		"no token": {"path": "/shops", "token": {}, "table": shop, "want": set()},
		"a malformed list": {"path": "/shops", "token": shop, "table": "https://shop.example", "want": {"wrong_audience"}},
	}
	denies(object.union(asks("GET", tc.path, ""), {"caller": {"audiences": tc.token}}), tc.table) == tc.want
}

# Where the settings name no audience of the runtime API, it is known by how it ends.
test_meant_by_the_end_of_the_name[audience] if {
	some audience, want in {"https://writ.example/runtime": set(), "https://writ.example/management": {"wrong_audience"}}
	deny := route.deny with input as object.union(asks("GET", "/shops", ""), {"caller": {"audiences": {audience: true}}})
		with data.apps.route.routes as routes
		with data.apps.route.audiences as {}
		with data.settings.audiences.runtime as {}
	deny == want
}

test_denied_without_what_a_rule_needs[path] if {
	some path, want in {
		"resource/id": {"unmapped_route"},
		"action/name": {"unmapped_route"},
		"action": {"unmapped_route"},
		"caller/audiences": {"wrong_audience"},
		"caller": {"wrong_audience"},
	}
	denies(json.remove(asks("GET", "/shops", ""), [path]), {}) == want
}
