package writ.lib_test

import data.writ.lib

alice := {"exists": true, "active": true, "tenant_enabled": true, "not_before": 10, "not_after": 20}

usable(identity, now) := count([1 | lib.usable(identity, now)])

test_usable[note] if {
	some note, tc in {
		"yes": {"change": {}, "now": 15, "e": 1},
		"begins": {"change": {}, "now": 10, "e": 1},
		"before": {"change": {}, "now": 9, "e": 0},
		"last": {"change": {}, "now": 19, "e": 1},
		"ends": {"change": {}, "now": 20, "e": 0},
		"missing": {"change": {"exists": false}, "now": 15, "e": 0},
		"inactive": {"change": {"active": false}, "now": 15, "e": 0},
		"tenant disabled": {"change": {"tenant_enabled": false}, "now": 15, "e": 0},
	}
	usable(object.union(alice, tc.change), tc.now) == tc.e
}

test_a_missing_fact_is_not_usable[fact] if {
	some fact in object.keys(alice)
	usable(object.remove(alice, [fact]), 15) == 0
}
