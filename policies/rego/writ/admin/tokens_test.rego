package writ.admin_test

# revoker may revoke the tokens of users and applications, and read the ledger.
revoker := user("rita", {"grants": {"": {
	"iam/users": {"revoke_tokens": {"own": always}},
	"iam/applications": {"revoke_tokens": {"own": always}},
	"ledger": {"read": {"own": always}},
}}})

test_revoking_the_tokens_of_an_identity[note] if {
	clerk := user("clara", {"grants": {"": {"ledger": {"read": {"own": always}}}}})
	stronger := user("sven", {"grants": {"": {"ledger": {"write": {"own": always}}}}})
	some note, tc in {
		"dominated": {"subject": revoker, "target": clerk, "want": []},
		"stronger": {"subject": revoker, "target": stronger, "want": ["delegation_exceeds_actor"]},
		"without the right": {"subject": anybody, "target": clerk, "want": ["not_granted"]},
	}
	request := on("iam/users", tc.target.id, "revoke_tokens", {
		"changes": {"epoch": true}, "before": tc.target, "after": tc.target,
	})
	answers(asks(tc.subject, request), tc.want)
}

test_ones_own_tokens_are_no_lockout if {
	request := on("iam/users", "rita", "revoke_tokens", {
		"self": true, "changes": {"epoch": true}, "before": revoker, "after": revoker,
	})
	answers(asks(revoker, request), [])
}

retiring := on("keys", "k1", "write", {"changes": {"delete": true}, "detail": {"conditional": true, "references": {}}})

test_retiring_a_key[note] if {
	keeper := {"keys": {"write": {"own": always}}}
	some note, tc in {
		"full administrator": {"subject": owner, "given": {}, "want": []},
		"keeper of keys": {"subject": user("kim", {"grants": {"": keeper}}), "given": {}, "want": ["root_only"]},
		"a narrow token": {"subject": owner, "given": scoped_to({"keys": {"write": true}}), "want": ["root_only"]},
		"without the right": {"subject": anybody, "given": {}, "want": ["not_granted"]},
	}
	answers(object.union(asks(tc.subject, retiring), tc.given), tc.want)
}

test_rotating_a_key if {
	keeper := user("kim", {"grants": {"": {"keys": {"write": {"own": always}}}}})
	answers(asks(keeper, on("keys", "", "write", {})), [])
}

everybody := on("tokens", "", "revoke_all", {"changes": {"epoch": true}, "detail": {"conditional": true, "references": {}}})

test_revoking_the_tokens_of_everybody[note] if {
	named := {"tokens": {"revoke_all": {"own": always}}}
	everywhere := {"*": object.union(owner_grants["*"], named)}
	some note, tc in {
		"full administrator who holds it by name": {"subject": user("olga", {"grants": everywhere}), "given": {}, "want": []},
		"not by name": {"subject": owner, "given": {}, "want": ["not_granted"]},
		"by name alone": {"subject": user("tom", {"grants": {"*": named}}), "given": {}, "want": ["root_only"]},
		"a narrow token": {
			"subject": user("olga", {"grants": everywhere}),
			"given": scoped_to({"tokens": {"revoke_all": true}}), "want": ["root_only"],
		},
		"confined to a tenant": {
			"subject": user("olga", {"grants": everywhere}), "given": in_acme, "want": ["root_only"],
		},
	}
	answers(object.union(asks(tc.subject, everybody), tc.given), tc.want)
}
