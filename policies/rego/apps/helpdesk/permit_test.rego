package apps.helpdesk_test

import data.apps.helpdesk

always := {"not_before": 0, "not_after": 9223372036854775807}

# ada of the team "network" asks about a ticket of bob, which nobody has taken.
base := {
	"subject": {
		"type": "user", "id": "ada", "exists": true, "properties": {}, "grants": {},
		"attributes": {"teams": ["network", "storage"], "clearance": 2},
	},
	"action": {"name": "read", "properties": {}},
	"resource": {
		"type": "helpdesk/ticket", "id": "1", "tenant": "", "covers": ["helpdesk/ticket/1", "helpdesk/ticket", "helpdesk", "*"],
		"properties": {"reporter": "bob", "team": "mail", "state": "open", "priority": 1, "confidential": false},
	},
	"now": 1000,
}

about(properties) := {"resource": {"properties": properties}}

test_permit[note] if {
	some note, tc in {
		"stranger": {"given": {}, "want": set()},
		"reporter": {"given": about({"reporter": "ada"}), "want": {"helpdesk.reporter"}},
		"reporter, answering": {
			"given": object.union(about({"reporter": "ada"}), {"action": {"name": "answer"}}), "want": set(),
		},
		"team": {"given": about({"team": "storage"}), "want": {"helpdesk.team"}},
		"team, another action": {
			"given": object.union(about({"team": "storage"}), {"action": {"name": "delete"}}), "want": set(),
		},
		"waiting": {"given": about({"state": "new"}), "want": {"helpdesk.queue"}},
		"waiting, of the highest priority": {"given": about({"state": "reopened", "priority": 2}), "want": {"helpdesk.queue"}},
		"waiting, too urgent": {"given": about({"state": "new", "priority": 3}), "want": set()},
		"waiting, another action": {
			"given": object.union(about({"state": "new"}), {"action": {"name": "delete"}}), "want": set(),
		},
		"granted": {
			"given": {"subject": {"grants": {"": {"helpdesk": {"read": {"own": always}}}}}}, "want": {"helpdesk.granted"},
		},
		"granted, not stored": {
			"given": {"subject": {"exists": false, "grants": {"": {"helpdesk": {"read": {"own": always}}}}}}, "want": set(),
		},
		"not stored": {
			"given": object.union({"subject": {"exists": false}}, about({"reporter": "ada", "team": "storage", "state": "new"})),
			"want": set(),
		},
	}
	permit := helpdesk.permit with input as object.union(base, tc.given)
	permit == tc.want
}

test_without_what_a_rule_needs[path] if {
	some path in ["reporter", "team", "state", "priority"]
	everything := object.union(base, about({"reporter": "ada", "team": "storage", "state": "new"}))
	code := {
		"reporter": "helpdesk.reporter", "team": "helpdesk.team", "state": "helpdesk.queue", "priority": "helpdesk.queue",
	}[path]
	whole := helpdesk.permit with input as everything
	code in whole
	cut := helpdesk.permit with input as json.remove(everything, [sprintf("resource/properties/%s", [path])])
	not code in cut
}

test_without_attributes if {
	question := object.union(base, about({"team": "storage", "state": "new"}))
	permit := helpdesk.permit with input as json.remove(question, ["subject/attributes"])
	permit == set()
}
