package writ.admin_test

test_a_change_names_its_version_where_that_is_demanded[note] if {
	demanded := {"require_if_match": true}
	some note, tc in {
		"not demanded": {"settings": {}, "detail": {"conditional": false}, "want": []},
		"named": {"settings": demanded, "detail": {"conditional": true}, "want": []},
		"not named": {"settings": demanded, "detail": {"conditional": false}, "want": ["precondition_required"]},
		"nothing said": {"settings": demanded, "detail": {}, "want": ["precondition_required"]},
	}
	change := {"changes": {"name": true}, "before": anybody, "after": anybody, "detail": tc.detail}
	in_settings(tc.settings, tc.want, asks(owner, on("iam/users", "u1", "write", change)))
}
