package writ.why_test

import data.writ.token_test
import data.writ.why

test_the_application_is_told_apart_from_the_person if {
	request := token_test.person({"client": {"active": false}})
	why.result.reasons == [{"code": "not_usable", "rule": "token.client_usable"}] with input as request
}
