package writ.decision_test

import data.writ.decision
import data.writ.why

# The folder apps/document is shipped; these tests replace what it says.
document := {
	"type": "document", "id": "1", "path": "document/1",
	"covers": ["document/1", "document", "*"],
}

# told is the answer of the application policy, with its reasons, to who asks.
told(subject, given, permit, deny) := {"allow": result.allow, "reasons": reasons} if {
	question := asks(subject, object.union({"resource": document}, given))
	result := decision.result with input as question
		with data.apps.document.permit as permit
		with data.apps.document.deny as deny
	why_reasons := why.result.reasons with input as question
		with data.apps.document.permit as permit
		with data.apps.document.deny as deny
	reasons := array.concat(result.reasons, why_reasons)
}

test_application_policy[note] if {
	granted := object.union(ada, {"grants": {"": {"document": {"read": {"own": always}}}}})
	owner := {"code": "document.owner", "rule": "apps.document.permit"}
	sealed := {"code": "document.sealed", "rule": "apps.document.deny"}
	silent := {"code": "not_granted", "rule": "apps.document.permit"}
	some note, tc in {
		"permits": {"subject": ada, "permit": {"document.owner"}, "deny": set(), "allow": true, "reasons": [owner]},
		"says nothing": {"subject": ada, "permit": set(), "deny": set(), "allow": false, "reasons": [silent]},
		"says nothing of who has a grant": {
			"subject": granted, "permit": set(), "deny": set(), "allow": false, "reasons": [silent],
		},
		"denies": {"subject": ada, "permit": set(), "deny": {"document.sealed"}, "allow": false, "reasons": [sealed]},
		"does both": {
			"subject": ada, "permit": {"document.owner"}, "deny": {"document.sealed"}, "allow": false, "reasons": [sealed],
		},
		"permits who is not stored": {
			"subject": nobody, "permit": {"document.owner"}, "deny": set(), "allow": true, "reasons": [owner],
		},
	}
	told(tc.subject, {}, tc.permit, tc.deny) == {"allow": tc.allow, "reasons": tc.reasons}
}

test_common_guards_come_first[code] if {
	some code, tc in {
		"not_usable": {"change": {"active": false}, "given": {}},
		"outside_validity": {"change": {"not_after": 1}, "given": {}},
		"password_change_required": {"change": {"temporary_password": true}, "given": {}},
		"address_not_allowed": {"change": {}, "given": {"caller": {"address": "refused"}}},
		"tenant_mismatch": {"change": {"tenant": "acme"}, "given": {"resource": {"tenant": "globex"}}},
		"insufficient_scope": {"change": {}, "given": {"caller": {"scoped": true}}},
	}
	answer := told(object.union(ada, tc.change), tc.given, {"document.owner"}, set())
	answer.allow == false
	[reason.code | some reason in answer.reasons] == [code]
}

# The folder is that of the first segment, however many there are.
test_an_application_governs_every_type_below_its_segment[kind] if {
	some kind, governed in {"document": true, "document/pages": true, "document/pages/lines": true, "documents": false, "x/document": false}
	decision.application == split(kind, "/")[0] with input as {"resource": {"type": kind}}
	found := decision.governed with input as {"resource": {"type": kind}}
	found == governed
	question := asks(
		object.union(ada, {"grants": {"": {"*": {"read": {"own": always}}}}}),
		{"resource": object.union(document, {"type": kind, "covers": [kind, "*"]})},
	)
	result := decision.result with input as question with data.apps.document.permit as set()
	permitted := governed == false
	result.allow == permitted
	willing := decision.result with input as asks(ada, {"resource": question.resource})
		with data.apps.document.permit as {"document.owner"}
		with data.apps.document.deny as set()
	willing.allow == governed
}

# A folder that has data and no rules governs nothing, whatever its data are called.
test_data_permit_nothing if {
	question := asks(object.remove(ada, ["grants"]), {})
	result := decision.result with input as question with data.apps.ledger as {"permit": ["document.owner"]}
	result.allow == false
}

test_what_an_application_does_not_say_is_false if {
	question := {"resource": {"type": "ledger"}}
	decision.permitted == false with input as question
	decision.refused == false with input as question
}

# The policy says that a question about a document takes something else, which is what the token must have.
test_scopes_of_what_the_policy_says[note] if {
	some note, tc in {
		"the permission": {"takes": {"files/a:see"}, "scopes": {"files/a": {"see": true}}, "allow": true},
		"a pattern": {"takes": {"files/a:see"}, "scopes": {"files": {"*": true}}, "allow": true},
		"another action": {"takes": {"files/a:see"}, "scopes": {"files/a": {"hear": true}}, "allow": false},
		"the question's own": {"takes": {"files/a:see"}, "scopes": {"document": {"read": true}}, "allow": false},
		"one of two": {"takes": {"files/a:see", "files/b:see"}, "scopes": {"files/a": {"see": true}}, "allow": false},
		"both": {"takes": {"files/a:see", "files/b:see"}, "scopes": {"files": {"see": true}}, "allow": true},
		"none": {"takes": set(), "scopes": {}, "allow": true},
		"no permission": {"takes": {"files"}, "scopes": {"*": {"*": true}}, "allow": false},
		"no set": {"takes": 1, "scopes": {"document": {"read": true}}, "allow": false},
	}
	question := asks(ada, {"resource": document, "caller": {"scoped": true, "scopes": tc.scopes}})
	result := decision.result with input as question
		with data.apps.document.permit as {"document.owner"}
		with data.apps.document.deny as set()
		with data.apps.document.takes as tc.takes
	result.allow == tc.allow
}

test_a_denial_names_what_was_taken if {
	question := asks(ada, {"resource": document})
	result := decision.result with input as question
		with data.apps.document.permit as set()
		with data.apps.document.deny as set()
		with data.apps.document.takes as {"files/a:see"}
	result == {"allow": false, "reasons": [], "obligations": {"scopes": {"files/a:see"}}}
	plain := decision.result with input as question
		with data.apps.document.permit as set()
		with data.apps.document.deny as set()
	plain == {"allow": false, "reasons": [], "obligations": {}}
}

# Without rules that decide, what an application says of permissions counts for nothing: grants decide.
test_who_decides_nothing_translates_nothing if {
	question := asks(ada, {"resource": document, "caller": {"scoped": true, "scopes": {"files/a": {"see": true}}}})
	translated := [1 |
		decision.translated with input as question
			with data.apps.document.takes as {"files/a:see"}
			with data.writ.server.apps as {}
	]
	answered := [1 |
		decision.application_answer with input as question
			with data.apps.document.permit as set()
			with data.apps.document.takes as {"files/a:see"}
			with data.writ.server.apps as {}
	]
	scoped := decision.scoped with input as question
		with data.apps.document.takes as {"files/a:see"}
		with data.writ.server.apps as {}
	[count(translated), count(answered), scoped] == [0, 0, false]
}
