package writ.admin_test

import data.writ.admin
import data.writ.why

codes_of(request) := [reason.code | some reason in reasons] if {
	reasons := why.result.reasons with input as request
}

test_nothing_is_permitted_without_input if {
	admin.result == {"allow": false, "reasons": [], "obligations": {}} with input as {}
}

# The guards about a change are asked of changes, and of what is, bundles or holds rights: elsewhere a version need not be named.
test_what_changes_no_rights_is_acceptable[note] if {
	some note, tc in {
		"reading": {"request": on("iam/users", "u1", "read", {}), "want": true},
		"changing": {"request": on("iam/users", "u1", "write", {"before": anybody, "after": anybody}), "want": false},
		"activating policies": {"request": on("policies", "3f", "activate", {}), "want": true},
	}
	request := json.remove(asks(owner, tc.request), ["resource/detail/conditional"])
	result := admin.result with input as request with data.settings as object.union(data.settings, {"require_if_match": true})
	result.allow == tc.want
}

test_every_fact_is_needed[path] if {
	some path in [
		["subject"], ["resource"], ["caller"], ["action"], ["now"],
		["subject", "exists"], ["subject", "grants"], ["subject", "not_after"],
		["resource", "covers"], ["resource", "tenant"],
		["caller", "address"], ["caller", "plane"], ["caller", "scoped"],
	]
	request := asks(writer, on("iam/users", "u1", "read", {}))
	cut := json.remove(request, [concat("/", path)])
	result := admin.result with input as cut
	result.allow == false
}

test_the_written_out_caller_is_the_guards[note] if {
	some note, change in {
		"none": {},
		"missing": {"subject": {"exists": false}},
		"inactive": {"subject": {"active": false}},
		"tenant disabled": {"subject": {"tenant_enabled": false}},
		"early": {"subject": {"not_before": 1001}},
		"late": {"subject": {"not_after": 1000}},
		"password": {"subject": {"temporary_password": true}},
		"address": {"caller": {"address": "refused"}},
		"audience": {"caller": {"audiences": {"https://writ.example/management": false}}},
		"external": {"caller": {"external": true}, "subject": {"roles": {"system:owner": false}}},
	}
	request := object.union(base, change)
	accepted := admin.accepted with input as request
	accepted == guards_hold(request)
}

default guards_hold(_) := false

guards_hold(request) if {
	admin.usable with input as request
	admin.valid with input as request
	admin.addressed with input as request
	admin.meant with input as request
	admin.settled with input as request
	admin.eligible with input as request
}

test_writing_is_no_reading if {
	request := asks(owner, on("iam/users", "u1", "write", {"tenant": "acme"}))
	admin.reading == false with input as request
}
