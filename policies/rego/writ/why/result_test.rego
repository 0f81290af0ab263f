package writ.why_test

import data.writ.admin_test
import data.writ.why

test_nothing_to_explain if {
	why.result == {"reasons": []} with input as admin_test.base
	why.result == {"reasons": []} with input as {}
	why.result == {"reasons": []} with input as {"entrypoint": "writ/elsewhere"}
}

test_only_the_first_stage_is_told if {
	request := admin_test.asks(
		object.union(admin_test.anybody, {"active": false}),
		admin_test.on("iam/users", "u1", "write", {"before": admin_test.owner, "after": admin_test.owner}),
	)
	reasons := why.result.reasons with input as request
	reasons == [{"code": "not_usable", "rule": "admin.usable"}]
}
