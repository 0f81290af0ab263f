package writ.why_test

import data.writ.introspection_test
import data.writ.why

test_what_an_introspection_lacked if {
	request := introspection_test.introspects({})
	why.result.reasons == [{"code": "not_granted", "rule": "introspection.entitled"}] with input as request
}
