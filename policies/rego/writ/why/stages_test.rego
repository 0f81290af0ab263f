package writ.why_test

import data.writ.why

# The guards of each entrypoint in stages, each with the code that it is told by.
stages := {
	"writ/admin": [
		caller_stage,
		[["admin.eligible", "not_administrator"], ["admin.situated", "tenant_required"]],
		[
			["admin.placed", "tenant_mismatch"], ["admin.above_system", "system_level_readonly"], ["admin.granted", "not_granted"],
			["admin.rights_granted", "not_granted"], ["admin.scoped", "insufficient_scope"],
			["admin.rights_scoped", "insufficient_scope"], ["admin.own", "not_owner"], ["admin.proven", "proof_required"],
		],
		[
			["admin.unprotected", "system_protected"], ["admin.remaining", "self_lockout"],
			["admin.dominated", "delegation_exceeds_actor"], ["admin.appointed", "root_only"], ["admin.owned_after", "last_owner"],
			["admin.secret_kept", "last_secret"], ["admin.tenant_enabled", "tenant_disabled"],
			["admin.inactive_first", "must_be_inactive"], ["admin.conditional", "precondition_required"],
			["admin.choosable", "secret_not_chosen"],
		],
	],
	"writ/credential": [
		caller_stage,
		[["admin.eligible", "not_administrator"]],
		[["admin.placed", "tenant_mismatch"], ["admin.above_system", "system_level_readonly"]],
		[
			["credential.managing", "admin_only"], ["credential.revealing", "admin_only"], ["admin.granted", "admin_only"],
			["admin.scoped", "admin_only"], ["credential.administrative", "admin_only"], ["credential.personal", "admin_only"],
			["credential.fresh", "admin_only"], ["credential.confidential", "admin_only"], ["credential.stated", "admin_only"],
			["admin.dominated", "admin_only"],
		],
	],
	"writ/decision": [
		[
			["decision.usable", "not_usable"], ["decision.valid", "outside_validity"], ["decision.addressed", "address_not_allowed"],
			["decision.settled", "password_change_required"],
		],
		[["decision.known", "no_such_subject"]],
		[["decision.placed", "tenant_mismatch"]],
		[["decision.granted", "not_granted"]],
		[["decision.scoped", "insufficient_scope"]],
	],
	"writ/introspection": [
		[
			["introspection.usable", "not_usable"], ["introspection.valid", "outside_validity"],
			["introspection.addressed", "address_not_allowed"], ["introspection.settled", "password_change_required"],
		],
		[["introspection.confidential", "not_granted"], ["introspection.entitled", "not_granted"]],
	],
	"writ/token": [
		[
			["token.usable", "not_usable"], ["token.valid", "outside_validity"], ["token.client_usable", "not_usable"],
			["token.client_valid", "outside_validity"], ["token.addressed", "address_not_allowed"],
		],
		[
			["token.fitting", "unauthorized_client"], ["token.registered", "unauthorized_client"],
			["token.addressee", "unauthorized_client"],
		],
		[
			["token.placed", "tenant_mismatch"], ["token.situated", "tenant_required"], ["token.served", "audience_down"], ["token.settled", "password_change_required"],
			["token.timely", "replayed"], ["token.lasting", "outside_validity"],
		],
	],
}

caller_stage := [
	["admin.usable", "not_usable"], ["admin.valid", "outside_validity"], ["admin.addressed", "address_not_allowed"],
	["admin.meant", "wrong_audience"], ["admin.entitled", "basic_not_accepted"], ["admin.settled", "password_change_required"],
]

# told is what is told where the named guards do not hold and all others do.
told(question, failing) := reasons if {
	names := {rule | some checks in stages[question.entrypoint]; some [rule, _] in checks}
	held := {pkg: {name: holds |
		some rule in names
		startswith(rule, concat("", [pkg, "."]))
		name := trim_prefix(rule, concat("", [pkg, "."]))
		holds := count({rule} & failing) == 0
	} |
		some pkg in ["admin", "credential", "decision", "introspection", "token"]
	}
	reasons := why.result.reasons with input as question
		with data.writ.admin as held.admin
		with data.writ.credential as held.credential
		with data.writ.decision as object.union({"governed": false}, held.decision)
		with data.writ.introspection as held.introspection
		with data.writ.token as held.token
}

reason([rule, code]) := {"code": code, "rule": rule}

test_each_guard_is_told_by_its_code[rule] if {
	some entrypoint, all in stages
	some checks in all
	some check in checks
	rule := concat(" ", [entrypoint, check[0]])
	told({"entrypoint": entrypoint}, {check[0]}) == [reason(check)]
}

# Of what fails at two stages the later is not told.
test_a_later_stage_is_not_told[rule] if {
	some entrypoint, all in stages
	some at, checks in all
	some check in checks
	rule := concat(" ", [entrypoint, check[0]])
	later := {name | some i, others in all; i > at; some [name, _] in others}
	told({"entrypoint": entrypoint}, later | {check[0]}) == [reason(check)]
}

# Of what fails at one stage all is told, in the order of the stage.
test_one_stage_is_told_together[rule] if {
	some entrypoint, all in stages
	some checks in all
	some at, check in checks
	other := checks[at + 1]
	not excused[other[0]][check[0]]
	rule := concat(" ", [entrypoint, check[0]])
	told({"entrypoint": entrypoint}, {check[0], other[0]}) == [reason(check), reason(other)]
}

# What makes up for a guard that fails: a grant counts for nothing elsewhere, and no scope is missing where there is no right.
excused := {
	"admin.granted": {"admin.placed": "tenant_mismatch", "admin.above_system": "system_level_readonly"},
	"admin.scoped": {"admin.granted": "not_granted"},
	"admin.rights_scoped": {"admin.rights_granted": "not_granted"},
}

test_what_is_excused_is_not_told[case] if {
	some rule, others in excused
	some other, code in others
	case := concat(" ", [rule, other])
	told({"entrypoint": "writ/admin"}, {rule, other}) == [{"code": code, "rule": other}]
}

# To who changes the own identity there is nothing to hide.
test_of_oneself_the_change_is_told_with_the_rest[note] if {
	some note, self in {"oneself": true, "somebody else": false}
	reasons := told({"entrypoint": "writ/admin", "resource": {"self": self}}, {"admin.proven", "admin.conditional"})
	proof := [{"code": "proof_required", "rule": "admin.proven"}]
	condition := {true: [{"code": "precondition_required", "rule": "admin.conditional"}], false: []}
	reasons == array.concat(proof, condition[self])
}

# told_of is what is told of a question that an application policy governs. No author has an application of that name, whose changes would run these.
told_of(facts, denies) := reasons if {
	usual := {"usable": true, "valid": true, "addressed": true, "settled": true, "placed": true, "scoped": true}
	decision := object.union(usual, object.union({"governed": true, "application": "nobodys", "refused": denies != set(), "permitted": false}, facts))
	reasons := why.result.reasons with input as {"entrypoint": "writ/decision"}
		with data.writ.decision as decision
		with data.apps.nobodys.deny as denies
}

test_what_an_application_says[note] if {
	not_granted := {"code": "not_granted", "rule": "apps.nobodys.permit"}
	closed := {"code": "nobodys.closed", "rule": "apps.nobodys.deny"}
	full := {"code": "nobodys.full", "rule": "apps.nobodys.deny"}
	placed := {"code": "tenant_mismatch", "rule": "decision.placed"}
	scoped := {"code": "insufficient_scope", "rule": "decision.scoped"}
	some note, tc in {
		"no reason to permit": {"facts": {}, "denies": set(), "want": [not_granted]},
		"reasons to deny": {"facts": {}, "denies": {"nobodys.closed", "nobodys.full"}, "want": [closed, full]},
		"reasons to permit and to deny": {"facts": {"permitted": true}, "denies": {"nobodys.full"}, "want": [full]},
		"no reason to permit, before the scope": {"facts": {"scoped": false}, "denies": set(), "want": [not_granted]},
		"a reason to deny, before the scope": {"facts": {"scoped": false}, "denies": {"nobodys.full"}, "want": [full]},
		"a reason to deny, after the tenant": {"facts": {"placed": false}, "denies": {"nobodys.full"}, "want": [placed]},
		"the scope alone": {"facts": {"permitted": true, "scoped": false}, "denies": set(), "want": [scoped]},
	}
	told_of(tc.facts, tc.denies) == tc.want
}
