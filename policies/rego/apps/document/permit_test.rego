package apps.document_test

import data.apps.document

always := {"not_before": 0, "not_after": 9223372036854775807}

# ada of the department "payroll" asks about a document of bob, of the department "sales".
base := {
	"subject": {
		"type": "user", "id": "ada", "exists": true, "attributes": {"department": "payroll"}, "properties": {}, "grants": {},
	},
	"action": {"name": "read", "properties": {}},
	"resource": {
		"type": "document", "id": "1", "tenant": "", "covers": ["document/1", "document", "*"],
		"properties": {"owner": "bob", "department": "sales", "sealed": false},
	},
	"now": 1000,
}

test_permit[note] if {
	some note, tc in {
		"stranger": {"given": {}, "want": set()},
		"owner": {"given": {"resource": {"properties": {"owner": "ada"}}}, "want": {"document.owner"}},
		"owner, unknown action": {
			"given": {"resource": {"properties": {"owner": "ada"}}, "action": {"name": "share"}}, "want": set(),
		},
		"colleague": {"given": {"resource": {"properties": {"department": "payroll"}}}, "want": {"document.department"}},
		"colleague, writing": {
			"given": {"resource": {"properties": {"department": "payroll"}}, "action": {"name": "write"}}, "want": set(),
		},
		"granted": {
			"given": {"subject": {"grants": {"": {"document": {"read": {"own": always}}}}}}, "want": {"document.granted"},
		},
		"granted, not stored": {
			"given": {"subject": {"exists": false, "grants": {"": {"document": {"read": {"own": always}}}}}}, "want": set(),
		},
		"not stored": {
			"given": {"subject": {"exists": false}, "resource": {"properties": {"owner": "ada", "department": "payroll"}}},
			"want": set(),
		},
	}
	permit := document.permit with input as object.union(base, tc.given)
	permit == tc.want
}

test_without_what_a_rule_needs[note] if {
	some note, path in {
		"no owner": "resource/properties/owner",
		"no department": "resource/properties/department",
		"no department of one's own": "subject/attributes/department",
		"no properties": "resource/properties",
		"no attributes": "subject/attributes",
	}
	permit := document.permit with input as json.remove(base, [path])
	permit == set()
}
