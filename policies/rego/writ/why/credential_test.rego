package writ.why_test

import data.writ.credential_test
import data.writ.why

test_what_a_revelation_lacked if {
	request := credential_test.reveals(credential_test.clerk, {"resource": {"reason": false}})
	why.result.reasons == [
		{"code": "admin_only", "rule": "credential.administrative"},
		{"code": "admin_only", "rule": "credential.stated"},
	] with input as request
}
