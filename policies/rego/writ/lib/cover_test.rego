package writ.lib_test

import data.writ.lib

always := {"not_before": 0, "not_after": 9223372036854775807}

# The types of these tests: write implies read, and so does manage, by way of write; seal is explicit.
catalogue := {"types": {
	"docs": {"actions": {
		"read": {"explicit": false, "implies": []},
		"write": {"explicit": false, "implies": ["read"]},
		"seal": {"explicit": true, "implies": []},
	}},
	"docs/secret": {"actions": {
		"read": {"explicit": false, "implies": []},
		"write": {"explicit": false, "implies": []},
	}},
	"jobs": {"actions": {"read": {"explicit": false, "implies": []}, "write": {"explicit": false, "implies": ["read"]}}},
}}

test_held[note] if {
	some note, tc in {
		"exact": {"tenant": "", "resource": "jobs/1", "action": "read", "e": true},
		"path": {"tenant": "", "resource": "jobs", "action": "read", "e": true},
		"above": {"tenant": "", "resource": "*", "action": "read", "e": true},
		"wildcard": {"tenant": "", "resource": "jobs", "action": "*", "e": true},
		"every tenant": {"tenant": "*", "resource": "jobs", "action": "read", "e": true},
		"implying": {"tenant": "", "resource": "jobs", "action": "write", "e": true},
		"another tenant": {"tenant": "acme", "resource": "jobs", "action": "read", "e": false},
		"below": {"tenant": "", "resource": "jobs/1/2", "action": "read", "e": false},
		"beside": {"tenant": "", "resource": "job", "action": "read", "e": false},
		"another action": {"tenant": "", "resource": "jobs", "action": "delete", "e": false},
	}
	grants := {tc.tenant: {tc.resource: {tc.action: {"own": always}}}}
	got := [1 | lib.held(grants, ["", "*"], ["jobs/1", "jobs", "*"], "read", 5) with data.catalogue as catalogue]
	count(got) == {true: 1, false: 0}[tc.e]
}

test_windows_are_half_open[note] if {
	some note, tc in {
		"before": {"now": 9, "e": 0},
		"begins": {"now": 10, "e": 1},
		"last": {"now": 19, "e": 1},
		"ends": {"now": 20, "e": 0},
	}
	every action in ["read", "*", "write"] {
		grants := {"": {"jobs": {action: {"own": {"not_before": 10, "not_after": 20}}}}}
		got := [1 | lib.held(grants, [""], ["jobs/1", "jobs", "*"], "read", tc.now) with data.catalogue as catalogue]
		count(got) == tc.e
	}
}

test_explicit_actions_are_named[note] if {
	some note, tc in {
		"named": {"action": "seal", "e": 1},
		"wildcard": {"action": "*", "e": 0},
	}
	grants := {"": {"docs": {tc.action: {"own": always}}}}
	held := [1 | lib.held(grants, [""], ["docs/1", "docs", "*"], "seal", 5) with data.catalogue as catalogue]
	scoped := [1 | lib.scoped({"docs": {tc.action: true}}, ["docs/1", "docs", "*"], "seal") with data.catalogue as catalogue]
	count(held) == tc.e
	count(scoped) == tc.e
}

test_the_longest_type_says_what_is_implied if {
	grants := {"": {"docs": {"write": {"own": always}}}}
	lib.held(grants, [""], ["docs/1", "docs", "*"], "read", 5) with data.catalogue as catalogue
	below := [1 |
		lib.held(grants, [""], ["docs/secret/1", "docs/secret", "docs", "*"], "read", 5) with data.catalogue as catalogue
	]
	below == []
}

test_scoped[note] if {
	some note, tc in {
		"exact": {"scopes": {"jobs/1": {"read": true}}, "e": 1},
		"above": {"scopes": {"*": {"read": true}}, "e": 1},
		"wildcard": {"scopes": {"jobs": {"*": true}}, "e": 1},
		"implying": {"scopes": {"jobs": {"write": true}}, "e": 1},
		"another": {"scopes": {"jobs": {"delete": true}}, "e": 0},
		"beside": {"scopes": {"docs": {"read": true}}, "e": 0},
		"none": {"scopes": {}, "e": 0},
	}
	got := [1 | lib.scoped(tc.scopes, ["jobs/1", "jobs", "*"], "read") with data.catalogue as catalogue]
	count(got) == tc.e
}

test_prefixes if {
	lib.prefixes("a/b/c") == ["a/b/c", "a/b", "a", "*"]
	lib.prefixes("a") == ["a", "*"]
	lib.prefixes("*") == ["*"]
}
