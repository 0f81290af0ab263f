package writ.admin_test

taking := on("iam/verifiers", "", "export", {"detail": {"conditional": true, "references": {}}})

test_verifiers_leave_with_a_full_administrator[note] if {
	named := {"iam/verifiers": {"export": {"own": always}}}
	some note, tc in {
		"full administrator": {"subject": owner, "given": {}, "want": []},
		"the right alone": {"subject": user("ed", {"grants": {"*": named}}), "given": {}, "want": ["root_only"]},
		"all of identity": {
			"subject": user("ida", {"grants": {"*": {"iam": {"*": {"own": always}}}}}), "given": {}, "want": ["root_only"],
		},
		"a narrow token": {
			"subject": owner, "given": scoped_to({"iam/verifiers": {"export": true}}), "want": ["root_only"],
		},
		"without the right": {"subject": anybody, "given": {}, "want": ["not_granted"]},
	}
	answers(object.union(asks(tc.subject, taking), tc.given), tc.want)
}

# The right to import gives no right to any object: each is asked about by itself.
test_importing_takes_the_right[note] if {
	named := {"iam/imports": {"write": {"own": always}}}
	some note, tc in {
		"by name": {"subject": user("ed", {"grants": {"": named}}), "want": []},
		"another right": {
			"subject": user("ann", {"grants": {"": {"iam/users": {"write": {"own": always}}}}}), "want": ["not_granted"],
		},
	}
	answers(asks(tc.subject, on("iam/imports", "", "write", {})), tc.want)
}

test_importing_inside_a_tenant[note] if {
	inside := user("tess", {"tenant": "acme", "grants": {"acme": {"iam/imports": {"write": {"own": always}}}}})
	some note, tc in {
		"in the own": {"tenant": "acme", "want": []},
		"at the system level": {"tenant": "", "want": ["system_level_readonly"]},
		"in another": {"tenant": "globex", "want": ["tenant_mismatch"]},
	}
	answers(asks(inside, on("iam/imports", "", "write", {"tenant": tc.tenant})), tc.want)
}
