package writ.lib_test

import data.writ.lib

test_confinement if {
	lib.confinement({"tenant": "acme"}, {"tenant": ""}) == "acme"
	lib.confinement({"tenant": "acme"}, {"tenant": "globex"}) == "acme"
	lib.confinement({"tenant": ""}, {"tenant": "globex"}) == "globex"
	lib.confinement({"tenant": ""}, {"tenant": ""}) == ""
}

test_in_single_tenants if {
	lib.in_single_tenants({"acme": {}})
	lib.in_single_tenants({"acme": {}, "globex": {}})
	not lib.in_single_tenants({})
	not lib.in_single_tenants({"acme": {}, "": {}})
	not lib.in_single_tenants({"*": {}, "acme": {}})
}
