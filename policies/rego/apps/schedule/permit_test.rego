package apps.schedule_test

import data.apps.schedule

roles := {"t:nurse": {"read": "department"}, "t:head": {"read": "hospital", "write": "department"}}

# ada works in the surgery of the north hospital and asks about a schedule of bob's, who works in its pharmacy.
base := {
	"subject": {
		"type": "user", "id": "ada", "exists": true, "roles": {"t:head": true},
		"attributes": {"department": "surgery", "hospital": "north"}, "properties": {}, "grants": {},
	},
	"action": {"name": "read", "properties": {}},
	"resource": {
		"type": "schedule", "id": "1", "tenant": "",
		"properties": {"owner": "bob", "department": "pharmacy", "hospital": "north"},
	},
	"now": 1000,
}

permits(question) := permit if {
	permit := schedule.permit with input as question
		with data.apps.schedule.roles as roles
		with data.apps.schedule.own as {"read": true}
}

with_role(role, given) := object.union(json.remove(base, ["subject/roles/t:head"]), object.union({"subject": {"roles": {role: true}}}, given))

test_permit[note] if {
	own := {"resource": {"properties": {"owner": "ada"}}}
	here := {"resource": {"properties": {"department": "surgery"}}}
	elsewhere := {"resource": {"properties": {"department": "surgery", "hospital": "south"}}}
	some note, tc in {
		"no role, own": {"role": "t:none", "given": own, "want": {"schedule.own"}},
		"no role, a colleague's": {"role": "t:none", "given": here, "want": set()},
		"no role, own, writing": {"role": "t:none", "given": object.union(own, {"action": {"name": "write"}}), "want": set()},
		"nurse, a colleague's": {"role": "t:nurse", "given": here, "want": {"schedule.department"}},
		"nurse, of another department": {"role": "t:nurse", "given": {}, "want": set()},
		"nurse, of the same department of another hospital": {"role": "t:nurse", "given": elsewhere, "want": set()},
		"nurse, writing": {"role": "t:nurse", "given": object.union(here, {"action": {"name": "write"}}), "want": set()},
		"head, of the hospital": {"role": "t:head", "given": {}, "want": {"schedule.hospital"}},
		"head, of another hospital": {"role": "t:head", "given": elsewhere, "want": set()},
		"head, writing in the department": {
			"role": "t:head", "given": object.union(here, {"action": {"name": "write"}}), "want": {"schedule.department"},
		},
		"head, writing in the hospital": {"role": "t:head", "given": {"action": {"name": "write"}}, "want": set()},
		"head, another action": {"role": "t:head", "given": {"action": {"name": "burn"}}, "want": set()},
		"who is not stored": {"role": "t:head", "given": object.union(own, {"subject": {"exists": false}}), "want": set()},
	}
	permits(with_role(tc.role, tc.given)) == tc.want
}

test_without_what_a_rule_needs[path] if {
	some path in [
		"resource/properties", "resource/properties/hospital", "subject/attributes", "subject/attributes/hospital", "subject/roles",
		"subject/exists", "action/name", "subject", "resource",
	]
	permits(base) == {"schedule.hospital"}
	permits(json.remove(base, [path])) == set()
}

test_own_without_what_it_needs[path] if {
	some path in ["resource/properties/owner", "subject/id", "subject/exists", "action/name"]
	question := with_role("t:none", {"resource": {"properties": {"owner": "ada"}}})
	permits(question) == {"schedule.own"}
	permits(json.remove(question, [path])) == set()
}

test_department_without_what_it_needs[path] if {
	some path in [
		"resource/properties/department", "resource/properties/hospital", "subject/attributes/department",
		"subject/attributes/hospital",
	]
	question := with_role("t:nurse", {"resource": {"properties": {"department": "surgery"}}})
	permits(question) == {"schedule.department"}
	permits(json.remove(question, [path])) == set()
}

test_two_that_say_nothing_are_not_the_same if {
	question := with_role("t:nurse", {
		"resource": {"properties": {"department": null, "hospital": null}},
		"subject": {"attributes": {"department": null, "hospital": null}},
	})
	permits(question) == set()
}
