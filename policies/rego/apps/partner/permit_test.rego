package apps.partner_test

import data.apps.partner

always := {"not_before": 0, "not_after": 9223372036854775807}

dimensions := {"partner/organizations": ["organization"], "partner/ledgers": ["organization", "ledger"]}

# A partner of "acme" and its ledger "sales" asks about that ledger.
base := {
	"subject": {
		"type": "application", "id": "p1", "exists": true,
		"attributes": {"instances": {"organization": ["acme"], "ledger": ["sales"]}},
		"grants": {"": {"partner": {"*": {"own": always}}}},
	},
	"action": {"name": "post", "properties": {}},
	"resource": {
		"type": "partner/ledgers", "id": "sales", "tenant": "", "covers": ["partner/ledgers/sales", "partner/ledgers", "partner", "*"],
		"properties": {"organization": "acme", "ledger": "sales"},
	},
	"now": 1000,
}

told(question, instances) := {"permit": permit, "deny": deny} if {
	permit := partner.permit with input as question
		with data.apps.partner.dimensions as dimensions
		with data.apps.partner.instances as instances
	deny := partner.deny with input as question
		with data.apps.partner.dimensions as dimensions
		with data.apps.partner.instances as instances
}

inside := {"permit": {"partner.granted"}, "deny": set()}

outside := {"permit": {"partner.granted"}, "deny": {"outside_instance_scope"}}

has(instances) := object.union(json.remove(base, ["subject/attributes/instances"]), {"subject": {"attributes": {"instances": instances}}})

test_instances[note] if {
	organization := {"type": "partner/organizations", "id": "acme", "properties": {"organization": "acme"}}
	some note, tc in {
		"both": {"question": base, "want": inside},
		"another organisation": {
			"question": object.union(base, {"resource": {"properties": {"organization": "globex"}}}), "want": outside,
		},
		"another ledger": {"question": object.union(base, {"resource": {"properties": {"ledger": "wages"}}}), "want": outside},
		"the organisation itself": {"question": object.union(base, {"resource": organization}), "want": inside},
		"every ledger": {"question": has({"organization": ["acme"], "ledger": ["*"]}), "want": inside},
		"every organisation": {"question": has({"organization": ["*"], "ledger": ["sales"]}), "want": inside},
		"no ledger": {"question": has({"organization": ["acme"], "ledger": []}), "want": outside},
		"no list of ledgers": {"question": has({"organization": ["acme"]}), "want": outside},
		"a text for a list": {"question": has({"organization": "acme", "ledger": "sales"}), "want": outside},
		"an object for a list": {"question": has({"organization": ["acme"], "ledger": {"0": "sales"}}), "want": outside},
		"a number for a name, of which every one is had": {
			"question": object.union(has({"organization": ["acme"], "ledger": ["*"]}), {"resource": {"properties": {"ledger": 5}}}),
			"want": outside,
		},
		"a number for a name": {"question": object.union(base, {"resource": {"properties": {"ledger": 5}}}), "want": outside},
		"an unknown type": {"question": object.union(base, {"resource": {"type": "partner/safes"}}), "want": outside},
		"no grant": {
			"question": object.union(json.remove(base, ["subject/grants"]), {"subject": {"grants": {}}}),
			"want": {"permit": set(), "deny": set()},
		},
		"who is not stored": {
			"question": object.union(base, {"subject": {"exists": false}}), "want": {"permit": set(), "deny": set()},
		},
	}
	told(tc.question, {}) == tc.want
}

test_instances_of_the_data[note] if {
	without := json.remove(base, ["subject/attributes/instances"])
	some note, tc in {
		"listed": {"instances": {"p1": {"organization": ["acme"], "ledger": ["sales"]}}, "question": without, "want": inside},
		"another's": {"instances": {"p2": {"organization": ["*"], "ledger": ["*"]}}, "question": without, "want": outside},
		"the attribute counts": {"instances": {"p1": {"organization": ["*"], "ledger": ["*"]}}, "question": has({}), "want": outside},
	}
	told(tc.question, tc.instances) == tc.want
}

test_outside_without_what_the_rule_needs[path] if {
	some path in [
		"resource/properties", "resource/properties/organization", "resource/properties/ledger", "resource/type",
		"subject/attributes", "subject/attributes/instances", "subject/attributes/instances/ledger",
	]
	"outside_instance_scope" in told(json.remove(base, [path]), {}).deny
}

test_no_dimensions_contain_nothing[note] if {
	some note, table in {"none": {}, "empty": {"partner/ledgers": []}, "malformed": {"partner/ledgers": true}}
	deny := partner.deny with input as base with data.apps.partner.dimensions as table
	deny == {"outside_instance_scope"}
}
