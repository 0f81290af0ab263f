package writ.admin_test

activating(changes) := on("policies", "3f", "activate", {
	"changes": changes, "detail": {"conditional": true, "references": {}},
})

operator := user("otto", {"grants": {"": {"policies": {"activate": {"own": always}}}}})

test_activating_policies[note] if {
	some note, tc in {
		"rules of applications": {"subject": operator, "changes": {}, "want": []},
		"another core": {"subject": operator, "changes": {"core": true}, "want": ["root_only"]},
		"other settings": {"subject": operator, "changes": {"settings": true}, "want": ["root_only"]},
		"another core, by an owner": {"subject": owner, "changes": {"core": true, "settings": true}, "want": []},
		"without the right": {"subject": anybody, "changes": {}, "want": ["not_granted"]},
	}
	answers(asks(tc.subject, activating(tc.changes)), tc.want)
}

test_another_core_with_a_narrow_token if {
	request := asks(owner, activating({"core": true}))
	answers(object.union(request, scoped_to({"policies": {"activate": true}})), ["root_only"])
}

# A right to a place is one to the documents below it, and to no other.
test_policy_data[note] if {
	keeper := user("kim", {"grants": {"": {"policies/data/apps/route": {"write": {"own": always}}}}})
	all := user("ada", {"grants": {"": {"policies": {"write": {"own": always}}}}})
	below := ["policies/data/apps", "policies/data", "policies", "*"]
	some note, tc in {
		"the place": {"subject": keeper, "covers": array.concat(["policies/data/apps/route"], below), "want": []},
		"below it": {
			"subject": keeper,
			"covers": array.concat(["policies/data/apps/route/table", "policies/data/apps/route"], below), "want": [],
		},
		"beside it": {
			"subject": keeper, "covers": array.concat(["policies/data/apps/routes"], below), "want": ["not_granted"],
		},
		"all policies": {"subject": all, "covers": array.concat(["policies/data/apps/route"], below), "want": []},
		"nothing": {"subject": anybody, "covers": array.concat(["policies/data/apps/route"], below), "want": ["not_granted"]},
	}
	answers(asks(tc.subject, on("policies/data", "apps/x", "write", {"covers": tc.covers})), tc.want)
}
