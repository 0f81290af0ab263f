package apps.helpdesk_test

import data.apps.helpdesk

test_role[note] if {
	some note, tc in {
		"teams": {"attributes": {"teams": ["network"]}, "role": "agent", "masks": {}},
		"no team": {"attributes": {"teams": []}, "role": "guest", "masks": {"note": {"replace": {"value": ""}}}},
		"malformed": {"attributes": {"teams": null}, "role": "guest", "masks": {"note": {"replace": {"value": ""}}}},
		"nothing": {"attributes": {}, "role": "guest", "masks": {"note": {"replace": {"value": ""}}}},
	}
	role := helpdesk.role with input as {"subject": {"attributes": tc.attributes}}
	role == tc.role
	masks := helpdesk.masks with input as {"subject": {"attributes": tc.attributes}}
	masks == tc.masks
}
