package apps.route_test

import data.apps.route
import data.writ.decision
import data.writ.decision_test

always := {"not_before": 0, "not_after": 9223372036854775807}

permits(question) := permit if {
	permit := route.permit with input as question with data.apps.route.routes as routes
}

test_permit[note] if {
	some note, tc in {
		"public": {"path": "/", "given": {"subject": {"exists": false}}, "want": {"route.public"}},
		"signed in": {"path": "/shops/main", "given": {}, "want": {"route.signed_in"}},
		"signed in as nobody": {"path": "/shops/main", "given": {"subject": {"exists": false}}, "want": set()},
		"without a grant": {"path": "/shops", "given": {}, "want": set()},
		"granted": {
			"path": "/shops", "given": {"subject": {"grants": {"": {"shops": {"list": {"own": always}}}}}}, "want": {"route.granted"},
		},
		"granted above": {
			"path": "/shops/7/orders", "given": {"subject": {"grants": {"*": {"shops": {"*": {"own": always}}}}}},
			"want": {"route.granted"},
		},
		"granted in the token's tenant": {
			"path": "/shops",
			"given": {"resource": {"tenant": "acme"}, "subject": {"grants": {"acme": {"shops": {"list": {"own": always}}}}}},
			"want": {"route.granted"},
		},
		"granted in another tenant": {
			"path": "/shops",
			"given": {"resource": {"tenant": "acme"}, "subject": {"grants": {"globex": {"shops": {"list": {"own": always}}}}}},
			"want": set(),
		},
		"granted to nobody": {
			"path": "/shops", "given": {"subject": {"exists": false, "grants": {"": {"shops": {"list": {"own": always}}}}}}, "want": set(),
		},
		"granted too late": {
			"path": "/shops", "given": {"subject": {"grants": {"": {"shops": {"list": {"own": {"not_before": 0, "not_after": 1000}}}}}}},
			"want": set(),
		},
		"another action": {
			"path": "/shops", "given": {"subject": {"grants": {"": {"shops": {"add": {"own": always}}}}}}, "want": set(),
		},
	}
	permits(object.union(asks("GET", tc.path, ""), tc.given)) == tc.want
}

test_without_what_a_rule_needs[path] if {
	some path in ["subject", "subject/exists", "subject/grants", "resource/id", "resource/tenant", "action/name", "now"]
	question := object.union(asks("GET", "/shops", ""), {"subject": {"grants": {"": {"shops": {"list": {"own": always}}}}}})
	permits(question) == {"route.granted"}
	permits(json.remove(question, [path])) == set()
}

# The token's scopes are held against what the row takes, and not against the route.
test_scopes[note] if {
	some note, tc in {
		"in scope": {"scopes": {"shops": {"list": true}}, "allow": true},
		"out of scope": {"scopes": {"shops": {"add": true}}, "allow": false},
		"a scope of routes": {"scopes": {"route": {"GET": true}}, "allow": false},
		"none": {"scopes": {}, "allow": false},
	}
	question := decision_test.asks(
		object.union(decision_test.ada, {"grants": {"": {"shops": {"*": {"own": always}}}}}),
		{
			"action": {"name": "GET"}, "caller": {"scoped": true, "scopes": tc.scopes},
			"resource": {"type": "route", "id": "/shops", "covers": ["route", "*"], "properties": {"host": ""}},
		},
	)
	result := decision.result with input as question with data.apps.route.routes as routes
	result.allow == tc.allow
}
