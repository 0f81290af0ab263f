package writ.credential_test

import data.writ.admin_test
import data.writ.credential
import data.writ.why

# reveals is olga, an owner who signed in 100 ns ago, reading a secret of an application; now is 1000.
reveals(subject, given) := object.union(
	object.union(
		admin_test.asks(subject, admin_test.on("iam/applications", "app_x", "reveal", {
			"before": admin_test.app("app_x", {}),
			"reason": true,
		})),
		{"entrypoint": "writ/credential"},
	),
	given,
)

# answers says that a request is permitted, or denied by exactly these rules.
answers(request, rules) if {
	result := credential.result with input as request
	reasons := why.result.reasons with input as request
	[reason.rule | some reason in reasons] == rules
	permitted := rules == []
	result.allow == permitted
}

clerk := admin_test.user("cleo", {"grants": {"": {"iam/applications": {
	"read": {"own": admin_test.always},
	"reveal": {"own": admin_test.always},
}}}})

test_owner_reveals if {
	request := reveals(admin_test.owner, {})
	result := credential.result with input as request
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "credential.allow"}], "obligations": {}}
	answers(request, [])
}

# Who may reveal and not read is told what it asked for, and nothing is concealed.
test_revealing_without_reading if {
	grants := {"": {"iam/applications": {"reveal": {"own": admin_test.always}}}}
	subject := admin_test.user("rhea", {"grants": grants, "roles": {"system:owner": true}})
	result := credential.result with input as reveals(subject, {})
	result == {"allow": true, "reasons": [{"code": "granted", "rule": "credential.allow"}], "obligations": {}}
}

test_one_condition_missing[note] if {
	strong := admin_test.app("app_x", {"grants": {"": {"vault": {"open": {"own": admin_test.always}}}}})
	by_wildcard := admin_test.user("olga", {"grants": admin_test.everything, "roles": {"system:owner": true}})
	administrator := object.union(clerk, {"roles": {"system:owner": true}})
	some note, tc in {
		"not an administrator": {"subject": clerk, "given": {}, "want": ["credential.administrative"]},
		"by a wildcard": {"subject": by_wildcard, "given": {}, "want": ["admin.granted"]},
		"out of scope": {
			"subject": admin_test.owner, "given": admin_test.scoped_to({"*": {"*": true}}), "want": ["admin.scoped"],
		},
		"a stronger application": {
			"subject": administrator, "given": {"resource": {"before": strong}}, "want": ["admin.dominated"],
		},
		"stale": {"subject": admin_test.owner, "given": {"now": 300000000901}, "want": ["credential.fresh"]},
		"no session": {"subject": admin_test.owner, "given": {"caller": {"sid": ""}}, "want": ["credential.fresh"]},
		"no sign-in": {"subject": admin_test.owner, "given": {"caller": {"auth_time": 0}}, "want": ["credential.fresh"]},
		"sign-in to come": {
			"subject": admin_test.owner, "given": {"caller": {"auth_time": 1001}}, "want": ["credential.fresh"],
		},
		"from elsewhere": {
			"subject": admin_test.owner, "given": {"caller": {"external": true}}, "want": ["credential.fresh"],
		},
		"public client": {
			"subject": admin_test.owner, "given": {"caller": {"public": true}}, "want": ["credential.confidential"],
		},
		"no reason": {"subject": admin_test.owner, "given": {"resource": {"reason": false}}, "want": ["credential.stated"]},
		"an application": {
			"subject": admin_test.root, "given": {"caller": {"user_token": false, "sid": "", "auth_time": 0}},
			"want": ["credential.personal", "credential.fresh"],
		},
		"a person's token that is none": {
			"subject": admin_test.owner, "given": {"caller": {"user_token": false}}, "want": ["credential.personal"],
		},
		"the runtime plane": {
			"subject": admin_test.owner, "given": {"caller": {"plane": "runtime"}}, "want": ["credential.managing"],
		},
		"another type": {
			"subject": admin_test.owner, "given": {"resource": {"type": "iam/users"}}, "want": ["credential.revealing"],
		},
		"an application with a person's token": {"subject": admin_test.root, "given": {}, "want": ["credential.personal"]},
		"another action": {
			"subject": admin_test.owner, "given": {"action": {"name": "read"}}, "want": ["credential.revealing"],
		},
	}
	request := reveals(tc.subject, tc.given)
	answers(request, tc.want)
	reasons := why.result.reasons with input as request
	{reason.code | some reason in reasons} == {"admin_only"}
	result := credential.result with input as request
	result.obligations == {}
}

test_fresh_to_the_nanosecond if {
	answers(reveals(admin_test.owner, {"caller": {"auth_time": 1000}}), [])
	answers(reveals(admin_test.owner, {"caller": {"auth_time": 1}}), [])
	answers(reveals(admin_test.owner, {"now": 300000000900}), [])
}

test_policy_data_says_how_long_a_sign_in_is_fresh[note] if {
	some note, tc in {
		"shorter, and just in time": {"seconds": 60, "now": 60000000900, "want": []},
		"shorter, and too late": {"seconds": 60, "now": 60000000901, "want": ["credential.fresh"]},
		"longer, and just in time": {"seconds": 900, "now": 900000000900, "want": []},
		"longer, and too late": {"seconds": 900, "now": 900000000901, "want": ["credential.fresh"]},
		"never": {"seconds": -1, "now": 1000, "want": ["credential.fresh"]},
	}
	request := reveals(admin_test.owner, {"now": tc.now})
	answers(request, tc.want) with data.settings.login.fresh_seconds as tc.seconds
}

test_guards_of_administration_come_first[note] if {
	some note, tc in {
		"not usable": {"subject": object.union(admin_test.owner, {"active": false}), "given": {}, "want": ["admin.usable"]},
		"address": {"subject": admin_test.owner, "given": {"caller": {"address": "refused"}}, "want": ["admin.addressed"]},
		"temporary password": {
			"subject": object.union(admin_test.owner, {"temporary_password": true}), "given": {}, "want": ["admin.settled"],
		},
		"another tenant": {
			"subject": admin_test.owner, "given": {"caller": {"tenant": "acme"}, "resource": {"tenant": "globex"}},
			"want": ["admin.placed"],
		},
		"system level": {
			"subject": admin_test.owner, "given": {"caller": {"tenant": "acme"}}, "want": ["admin.above_system"],
		},
	}
	answers(reveals(tc.subject, tc.given), tc.want)
}

test_who_may_not_read_the_application_sees_nothing if {
	result := credential.result with input as reveals(admin_test.anybody, {})
	result == {"allow": false, "reasons": [], "obligations": {"conceal": true}}
	missing := credential.result with input as reveals(admin_test.anybody, {"resource": {"exists": false, "before": null}})
	missing == result
}

test_nothing_is_permitted_without_input if {
	credential.result == {"allow": false, "reasons": [], "obligations": {}} with input as {}
}
