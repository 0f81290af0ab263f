package writ.why_test

import data.writ.admin_test
import data.writ.why

codes(request) := [reason.code | some reason in reasons] if {
	reasons := why.result.reasons with input as request
}

test_who_has_no_right_learns_nothing_of_the_change if {
	change := admin_test.on("iam/users", "gary", "write", {"before": admin_test.guarded, "after": admin_test.guarded})
	codes(admin_test.asks(admin_test.anybody, change)) == ["not_granted"]
	codes(admin_test.asks(admin_test.owner, change)) == ["system_protected"]
}

test_the_scope_is_missing_only_where_there_is_a_right if {
	change := admin_test.on("iam/applications", "app_x", "write", {
		"changes": {"grants": true}, "before": admin_test.bare, "after": admin_test.reading,
	})
	narrow := admin_test.scoped_to({"iam/applications": {"write": true}, "ledger": {"read": true}})
	all_actions := ["read", "write", "write_scopes"]
	codes(object.union(admin_test.asks(admin_test.application_writer(all_actions), change), narrow)) == ["insufficient_scope"]
	codes(object.union(admin_test.asks(admin_test.application_writer(["write"]), change), narrow)) == ["not_granted"]
}
