package apps.posting_test

import data.apps.posting

denies(question) := deny if {
	deny := posting.deny with input as question
		with data.apps.posting.limits as limits
		with data.apps.posting.limited as {"book": true, "approve": true}
}

about(properties) := object.union(base, {"resource": {"properties": properties}})

test_limits[note] if {
	some note, tc in {
		"within both": {"question": base, "want": set()},
		"at the subject's": {"question": about({"amount": 500}), "want": set()},
		"over the subject's": {"question": about({"amount": 500.01}), "want": {"posting.over_limit"}},
		"over the tenant's": {
			"question": object.union(base, {"resource": {"tenant": "globex"}}), "want": {"posting.over_limit"},
		},
		"of a tenant without limits": {
			"question": object.union(base, {"resource": {"tenant": "none"}}), "want": {"posting.over_limit"},
		},
		"nothing": {"question": about({"amount": 0}), "want": set()},
		"negative": {"question": about({"amount": -1}), "want": {"posting.over_limit"}},
		"in a currency without a limit of the subject's": {"question": about({"currency": "USD"}), "want": {"posting.over_limit"}},
		"an amount that is a text": {"question": about({"amount": "1"}), "want": {"posting.over_limit"}},
		"a currency that is a list": {"question": about({"currency": ["EUR"]}), "want": {"posting.over_limit"}},
		"a limit that is a text": {
			"question": object.union(base, {"subject": {"attributes": {"posting_limit": {"EUR": "all"}}}}),
			"want": {"posting.over_limit"},
		},
		"reading": {"question": object.union(about({"amount": 9000}), {"action": {"name": "read"}}), "want": set()},
	}
	denies(tc.question) == tc.want
}

test_four_eyes[note] if {
	some note, tc in {
		"somebody else's": {"by": "bob", "want": set()},
		"own": {"by": "ada", "want": {"posting.own"}},
		"nobody's": {"by": "", "want": {"posting.own"}},
		"a number": {"by": 5, "want": {"posting.own"}},
	}
	question := object.union(about({"booked_by": tc.by}), {"action": {"name": "approve"}})
	denies(question) == tc.want
}

test_denied_without_what_a_rule_needs[path] if {
	some path in [
		"resource/properties", "resource/properties/amount", "resource/properties/currency", "resource/tenant",
		"subject/attributes", "subject/attributes/posting_limit", "subject/attributes/posting_limit/EUR",
	]
	denies(base) == set()
	denies(json.remove(base, [path])) == {"posting.over_limit"}
}

test_an_action_that_is_not_said_is_limited if {
	question := json.remove(about({"amount": 501}), ["action/name"])
	denies(question) == {"posting.over_limit"}
}

test_an_action_that_is_no_text_is_limited if {
	denies(object.union(about({"amount": 501}), {"action": {"name": 5}})) == {"posting.over_limit"}
}

test_approval_is_denied_without_what_it_needs[path] if {
	some path in ["resource/properties/booked_by", "subject/id"]
	question := object.union(base, {"action": {"name": "approve"}})
	denies(question) == set()
	denies(json.remove(question, [path])) == {"posting.own"}
}

test_a_missing_table_limits_everything[note] if {
	some note, table in {"null": null, "a text": "read", "a list": ["book"]}
	question := object.union(base, {"action": {"name": "read"}, "resource": {"properties": {"amount": 9000}}})
	deny := posting.deny with input as question
		with data.apps.posting.limits as limits
		with data.apps.posting.limited as table
	deny == {"posting.over_limit"}
}
