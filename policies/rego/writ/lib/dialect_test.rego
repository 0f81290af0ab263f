package writ.lib_test

import data.writ.lib

test_spoken[note] if {
	some note, tc in {
		"native": {"context": {"dialect": ""}, "want": ""},
		"a dialect": {"context": {"dialect": "lerian"}, "want": "lerian"},
		"not said": {"context": {}, "want": ""},
		"no name": {"context": {"dialect": ["lerian"]}, "want": ""},
		"no context": {"context": null, "want": ""},
	}
	lib.spoken(tc.context) == tc.want
}

test_setting[note] if {
	settings := {
		"strict": false, "token": {"nonce": 1},
		"dialects": {"rustici": {"strict": true, "token": {"password": true}}, "lerian": {}},
	}
	some note, tc in {
		"general": {"dialect": "", "path": ["strict"], "want": false},
		"of the dialect": {"dialect": "rustici", "path": ["strict"], "want": true},
		"not of this one": {"dialect": "lerian", "path": ["strict"], "want": false},
		"of an unknown one": {"dialect": "other", "path": ["strict"], "want": false},
		"deeper": {"dialect": "rustici", "path": ["token", "password"], "want": true},
		"deeper, general": {"dialect": "rustici", "path": ["token", "nonce"], "want": 1},
		"nowhere": {"dialect": "rustici", "path": ["token", "other"], "want": null},
	}
	lib.setting(settings, {"dialect": tc.dialect}, tc.path) == tc.want
}

test_setting_without_dialects if {
	lib.setting({"strict": true}, {"dialect": "rustici"}, ["strict"])
	lib.setting({}, {}, ["strict"]) == null
}
