package apps.helpdesk_test

import data.apps.helpdesk

test_deny[note] if {
	some note, tc in {
		"not confidential": {"given": {"confidential": false, "team": "mail"}, "want": set()},
		"confidential": {"given": {"confidential": true, "team": "mail"}, "want": {"helpdesk.confidential"}},
		"confidential, own team": {"given": {"confidential": true, "team": "network"}, "want": set()},
		"not said": {"given": {"team": "mail"}, "want": {"helpdesk.confidential"}},
		"malformed": {"given": {"confidential": "no", "team": "mail"}, "want": {"helpdesk.confidential"}},
		"nothing": {"given": {}, "want": {"helpdesk.confidential"}},
	}
	question := {"subject": {"attributes": {"teams": ["network"]}}, "resource": {"properties": tc.given}}
	deny := helpdesk.deny with input as question
	deny == tc.want
}

test_confidential_to_who_has_no_team if {
	deny := helpdesk.deny with input as {
		"subject": {"attributes": {}}, "resource": {"properties": {"confidential": true, "team": "network"}},
	}
	deny == {"helpdesk.confidential"}
}
