package apps.document_test

import data.apps.document
import data.writ.decision
import data.writ.decision_test

test_deny[note] if {
	some note, tc in {
		"not sealed": {"action": "write", "properties": {"sealed": false}, "want": set()},
		"sealed": {"action": "write", "properties": {"sealed": true}, "want": {"document.sealed"}},
		"sealed, deleting": {"action": "delete", "properties": {"sealed": true}, "want": {"document.sealed"}},
		"sealed, reading": {"action": "read", "properties": {"sealed": true}, "want": set()},
		"not said": {"action": "write", "properties": {}, "want": {"document.sealed"}},
		"malformed": {"action": "write", "properties": {"sealed": "no"}, "want": {"document.sealed"}},
	}
	question := {"action": {"name": tc.action}, "resource": {"properties": tc.properties}}
	deny := document.deny with input as question
	deny == tc.want
}

test_an_owner_does_not_write_what_is_sealed if {
	question := decision_test.asks(decision_test.ada, {
		"action": {"name": "write"},
		"resource": {
			"type": "document", "id": "1", "covers": ["document/1", "document", "*"],
			"properties": {"owner": "ada", "sealed": true},
		},
	})
	sealed := decision.result with input as question
	sealed.allow == false
	open := decision.result with input as object.union(question, {"resource": {"properties": {"sealed": false}}})
	open.reasons == [{"code": "document.owner", "rule": "apps.document.permit"}]
}
