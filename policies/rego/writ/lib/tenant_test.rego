package writ.lib_test

import data.writ.lib

test_confinement if {
	lib.confinement({"tenant": "acme"}, {"tenant": ""}) == "acme"
	lib.confinement({"tenant": "acme"}, {"tenant": "globex"}) == "acme"
	lib.confinement({"tenant": ""}, {"tenant": "globex"}) == "globex"
	lib.confinement({"tenant": ""}, {"tenant": ""}) == ""
}
