package writ.admin_test

import data.writ.admin

me(action, resource) := on("me", "", action, object.union({"self": true, "before": anybody, "after": anybody}, resource))

test_own_fields[note] if {
	some note, tc in {
		"name": {"changes": {"name": true}, "want": []},
		"name, description and properties": {
			"changes": {"name": true, "description": true, "properties": true}, "want": [],
		},
		"nothing": {"changes": {}, "want": ["delegation_exceeds_actor"]},
		"email": {"changes": {"email": true}, "want": ["not_owner"]},
		"attributes": {"changes": {"attributes": true}, "want": ["not_owner", "delegation_exceeds_actor"]},
		"roles": {"changes": {"name": true, "roles": true}, "want": ["not_owner", "delegation_exceeds_actor"]},
		"secrets": {"changes": {"secrets": true}, "want": ["not_owner", "delegation_exceeds_actor"]},
		"password": {"changes": {"password": true}, "want": ["not_owner", "delegation_exceeds_actor"]},
	}
	answers(asks(anybody, me("write", {"changes": tc.changes})), tc.want)
}

test_not_oneself[action] if {
	some action, changes in {"read": {}, "sessions": {}, "write": {"name": true}, "password": {"password": true}}
	change := {"self": false, "changes": changes, "proof": "password"}
	answers(object.union(asks(anybody, me(action, change)), {"resource": {"self": false}}), ["not_owner"])
}

test_unknown_action_on_oneself if {
	answers(asks(anybody, me("promote", {})), ["not_owner"])
}

test_narrowing_own_grants[note] if {
	two := {"": {"ledger": {"read": {"own": always}, "write": {"own": always}}}}
	one := {"": {"ledger": {"read": {"own": always}}}}
	by_role := {"": {"ledger": {"read": {"role:a:b": always}}}}
	some note, tc in {
		"fewer": {"before": two, "after": one, "want": []},
		"none": {"before": two, "after": {}, "want": []},
		"the same": {"before": one, "after": one, "want": []},
		"below": {"before": one, "after": {"": {"ledger/accounts": {"read": {"own": always}}}}, "want": []},
		"sooner": {
			"before": one, "after": {"": {"ledger": {"read": {"own": {"not_before": 0, "not_after": 2000}}}}}, "want": [],
		},
		"more": {"before": one, "after": two, "want": ["delegation_exceeds_actor"]},
		"above": {"before": one, "after": {"": {"*": {"read": {"own": always}}}}, "want": ["delegation_exceeds_actor"]},
		"another tenant": {
			"before": one, "after": {"*": {"ledger": {"read": {"own": always}}}}, "want": ["delegation_exceeds_actor"],
		},
		"later": {
			"before": {"": {"ledger": {"read": {"own": {"not_before": 0, "not_after": 2000}}}}},
			"after": one, "want": ["delegation_exceeds_actor"],
		},
		"what a role gave": {"before": by_role, "after": one, "want": ["delegation_exceeds_actor"]},
		"what a role gave that is called own": {
			"before": {"": {"ledger": {"read": {"role:a:own": always}}}}, "after": one, "want": ["delegation_exceeds_actor"],
		},
		"a second window": {
			"before": {"": {"ledger": {"read": {"own": ended}}}},
			"after": {"": {"ledger": {"read": {"own": ended, "own#2": always}}}}, "want": ["delegation_exceeds_actor"],
		},
		"what a role gives besides": {
			"before": one, "after": object.union(one, {"": {"ledger": {"write": {"role:a:b": always}}}}), "want": [],
		},
		"keeping what a role gives": {"before": by_role, "after": by_role, "want": []},
		"keeping what has ended": {
			"before": {"": {"ledger": {"read": {"own": ended}}}},
			"after": {"": {"ledger": {"read": {"own": ended}}}}, "want": [],
		},
		"waking what has ended": {
			"before": {"": {"ledger": {"read": {"own": ended}}}}, "after": one, "want": ["delegation_exceeds_actor"],
		},
	}
	subject := user("nora", {"grants": tc.before})
	change := {"changes": {"grants": true}, "before": subject, "after": user("nora", {"grants": tc.after})}
	answers(asks(subject, on("me", "", "write", object.union({"self": true}, change))), tc.want)
}

holder := user("hal", {"grants": {"": {"ledger": {"read": {"own": always}, "write": {"own": always}}}}})

test_own_password[note] if {
	some note, tc in {
		"password": {"proof": "password", "given": scoped_to({}), "want": []},
		"secret": {"proof": "secret", "given": scoped_to({}), "want": []},
		"unlimited": {"proof": "none", "given": {}, "want": []},
		"whole identity in scope": {"proof": "none", "given": scoped_to({"ledger": {"*": true}}), "want": []},
		"narrow token": {"proof": "none", "given": scoped_to({"ledger": {"read": true}}), "want": ["proof_required"]},
		"no scope": {"proof": "none", "given": scoped_to({}), "want": ["proof_required"]},
		"narrowed to a tenant": {"proof": "none", "given": in_acme, "want": ["proof_required"]},
		"no proof at all": {"proof": "", "given": scoped_to({}), "want": ["proof_required"]},
		"unknown proof": {"proof": "promise", "given": scoped_to({}), "want": ["proof_required"]},
	}
	change := {"self": true, "changes": {"password": true}, "before": holder, "after": holder, "proof": tc.proof}
	answers(object.union(asks(holder, on("me", "", "password", change)), tc.given), tc.want)
}

test_proof_is_of_oneself[type] if {
	some type, want in {"me": false, "iam/users": true}
	request := object.union(asks(holder, on(type, "", "password", {"self": true})), scoped_to({}))
	proven := admin.proven with input as request
	proven == want
}

test_own_password_changes_nothing_else if {
	change := {
		"self": true, "changes": {"password": true, "grants": true},
		"before": holder, "after": owner, "proof": "password",
	}
	answers(asks(holder, on("me", "", "password", change)), ["not_owner", "root_only"])
}
