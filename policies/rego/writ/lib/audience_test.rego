package writ.lib_test

import data.writ.lib

test_meant_for[note] if {
	some note, tc in {
		"suffix": {"names": {}, "audiences": {"https://writ.example/runtime": true}, "e": 1},
		"another plane": {"names": {}, "audiences": {"https://writ.example/management": true}, "e": 0},
		"look-alike": {"names": {}, "audiences": {"https://writ.example/myruntime": true}, "e": 0},
		"exact": {"names": {"urn:api": true}, "audiences": {"urn:api": true}, "e": 1},
		"exact names end the suffix": {
			"names": {"urn:api": true}, "audiences": {"https://writ.example/runtime": true}, "e": 0,
		},
		"name switched off": {"names": {"urn:api": false}, "audiences": {"urn:api": true}, "e": 0},
		"none": {"names": {}, "audiences": {}, "e": 0},
	}
	count([1 | lib.meant_for(tc.names, "runtime", tc.audiences)]) == tc.e
}
