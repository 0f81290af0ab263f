package apps.posting_test

import data.apps.posting

always := {"not_before": 0, "not_after": 9223372036854775807}

# ada, who may book up to 500 EUR, asks about a posting of 400 EUR by bob in the tenant acme, which ends at 1000.
base := {
	"subject": {
		"type": "user", "id": "ada", "exists": true, "attributes": {"posting_limit": {"EUR": 500}},
		"grants": {"acme": {"posting": {"*": {"own": always}}}},
	},
	"action": {"name": "book", "properties": {}},
	"resource": {
		"type": "posting", "id": "7", "tenant": "acme", "covers": ["posting/7", "posting", "*"],
		"properties": {"amount": 400, "currency": "EUR", "booked_by": "bob"},
	},
	"now": 1000,
}

limits := {"acme": {"EUR": 1000, "USD": 1000}, "globex": {"EUR": 100}}

test_permit[note] if {
	some note, tc in {
		"in the tenant": {"question": base, "want": {"posting.granted"}},
		"in another tenant": {"question": object.union(base, {"resource": {"tenant": "globex"}}), "want": set()},
		"without a grant": {"question": json.remove(base, ["subject/grants/acme"]), "want": set()},
		"who is not stored": {"question": object.union(base, {"subject": {"exists": false}}), "want": set()},
	}
	permit := posting.permit with input as tc.question
	permit == tc.want
}
