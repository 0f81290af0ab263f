package writ.lib_test

import data.writ.lib

test_full[note] if {
	some note, tc in {
		"open": {"grants": wants("*", "*", "*"), "e": 1},
		"ends": {"grants": {"*": {"*": {"*": {"own": {"not_before": 0, "not_after": 99}}}}}, "e": 0},
		"begins": {"grants": {"*": {"*": {"*": {"own": {"not_before": 1, "not_after": 9223372036854775807}}}}}, "e": 0},
		"one of two": {
			"grants": {"*": {"*": {"*": {"own": {"not_before": 0, "not_after": 99}, "role:a:b": always}}}}, "e": 1,
		},
		"no tenant": {"grants": wants("", "*", "*"), "e": 0},
		"one action": {"grants": wants("*", "*", "read"), "e": 0},
		"one resource": {"grants": wants("*", "iam", "*"), "e": 0},
		"nothing": {"grants": {}, "e": 0},
	}
	count([1 | lib.full({"type": "user", "tenant": "", "grants": tc.grants})]) == tc.e
}

test_a_tenant_confines_an_identity_and_not_a_bundle[note] if {
	some note, tc in {
		"user": {"type": "user", "tenant": "acme", "e": 0},
		"application": {"type": "application", "tenant": "acme", "e": 0},
		"role": {"type": "role", "tenant": "acme", "e": 1},
		"group": {"type": "group", "tenant": "acme", "e": 1},
	}
	count([1 | lib.full({"type": tc.type, "tenant": tc.tenant, "grants": wants("*", "*", "*")})]) == tc.e
}

test_administrator[note] if {
	administrators := {"ids": {"ann": true, "bob": false}, "roles": {"ops:admin": true, "ops:once": false}}
	some note, tc in {
		"by id": {"id": "ann", "roles": {}, "e": 1},
		"by role": {"id": "x", "roles": {"ops:admin": true}, "e": 1},
		"id switched off": {"id": "bob", "roles": {}, "e": 0},
		"role switched off": {"id": "x", "roles": {"ops:once": true}, "e": 0},
		"another": {"id": "x", "roles": {"ops:viewer": true}, "e": 0},
	}
	count([1 | lib.administrator(administrators, {"id": tc.id, "roles": tc.roles})]) == tc.e
}
