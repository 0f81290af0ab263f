package writ.lib_test

import data.writ.lib

free(grants) := {"grants": grants, "tenant": "", "confined": "", "scoped": false, "scopes": {}}

wants(tenant, resource, action) := {tenant: {resource: {action: {"own": always}}}}

# dominated is how often, at instant 5, the owner dominates: once or never.
dominated(owner, wanted) := count([1 | lib.dominates(owner, wanted, 5) with data.catalogue as catalogue])

test_nothing_is_always_dominated if {
	dominated(free({}), {}) == 1
	dominated(free({}), {"": {}}) == 1
}

test_each_dimension[note] if {
	some note, tc in {
		"equal": {"owned": wants("acme", "jobs", "read"), "wanted": wants("acme", "jobs", "read"), "e": 1},
		"wider tenant": {"owned": wants("*", "jobs", "read"), "wanted": wants("acme", "jobs", "read"), "e": 1},
		"wider tenant, none": {"owned": wants("*", "jobs", "read"), "wanted": wants("", "jobs", "read"), "e": 1},
		"narrower tenant": {"owned": wants("acme", "jobs", "read"), "wanted": wants("*", "jobs", "read"), "e": 0},
		"no tenant": {"owned": wants("", "jobs", "read"), "wanted": wants("acme", "jobs", "read"), "e": 0},
		"wider resource": {"owned": wants("", "jobs", "read"), "wanted": wants("", "jobs/1", "read"), "e": 1},
		"widest resource": {"owned": wants("", "*", "read"), "wanted": wants("", "jobs/1", "read"), "e": 1},
		"every resource": {"owned": wants("", "jobs", "read"), "wanted": wants("", "*", "read"), "e": 0},
		"narrower resource": {"owned": wants("", "jobs/1", "read"), "wanted": wants("", "jobs", "read"), "e": 0},
		"wider action": {"owned": wants("", "jobs", "*"), "wanted": wants("", "jobs", "read"), "e": 1},
		"every action": {"owned": wants("", "jobs", "*"), "wanted": wants("", "jobs", "*"), "e": 1},
		"narrower action": {"owned": wants("", "jobs", "read"), "wanted": wants("", "jobs", "*"), "e": 0},
		"implied action": {"owned": wants("", "jobs", "write"), "wanted": wants("", "jobs/1", "read"), "e": 1},
		"implied, but not below": {"owned": wants("", "docs", "write"), "wanted": wants("", "docs", "read"), "e": 0},
		"implied, above the types": {"owned": wants("", "*", "write"), "wanted": wants("", "*", "read"), "e": 0},
		"implied, other types have no say": {
			"owned": wants("", "docs", "write"), "wanted": wants("", "docs/1", "read"), "e": 1,
		},
		"explicit by wildcard": {"owned": wants("", "*", "*"), "wanted": wants("", "docs/1", "seal"), "e": 0},
		"explicit by wildcard, above": {"owned": wants("", "*", "*"), "wanted": wants("", "*", "seal"), "e": 0},
		"explicit elsewhere": {"owned": wants("", "*", "*"), "wanted": wants("", "jobs", "seal"), "e": 1},
		"explicit by everything": {"owned": wants("*", "*", "*"), "wanted": wants("", "docs/1", "seal"), "e": 0},
		"explicit elsewhere, by everything": {"owned": wants("*", "*", "*"), "wanted": wants("", "jobs", "seal"), "e": 1},
		"explicit by name": {"owned": wants("", "docs", "seal"), "wanted": wants("", "docs/1", "seal"), "e": 1},
	}
	dominated(free(tc.owned), tc.wanted) == tc.e
}

test_two_grants_that_together_cover if {
	owned := {"": {"jobs": {"read": {"own": always}}}, "acme": {"jobs": {"read": {"own": always}}}}
	dominated(free(owned), wants("*", "jobs", "read")) == 0
	halves := {"": {"jobs": {"read": {
		"own": {"not_before": 0, "not_after": 10},
		"role:a:b": {"not_before": 10, "not_after": 20},
	}}}}
	dominated(free(halves), {"": {"jobs": {"read": {"own": {"not_before": 0, "not_after": 20}}}}}) == 0
}

test_every_source_is_wanted if {
	owned := {"": {"jobs": {"read": {"own": {"not_before": 0, "not_after": 10}}}}}
	wanted := {"": {"jobs": {"read": {
		"own": {"not_before": 0, "not_after": 10},
		"role:a:b": {"not_before": 0, "not_after": 11},
	}}}}
	dominated(free(owned), wanted) == 0
}

test_windows[note] if {
	some note, tc in {
		"within": {"owned": [0, 10], "wanted": [6, 9], "e": 1},
		"equal end": {"owned": [0, 10], "wanted": [0, 10], "e": 1},
		"later end": {"owned": [0, 10], "wanted": [0, 11], "e": 0},
		"begins now": {"owned": [5, 10], "wanted": [0, 10], "e": 1},
		"begins later": {"owned": [6, 10], "wanted": [6, 10], "e": 0},
		"ends now": {"owned": [0, 5], "wanted": [0, 5], "e": 0},
		"ends next": {"owned": [0, 6], "wanted": [0, 6], "e": 1},
	}
	owned := {"": {"jobs": {"read": {"own": {"not_before": tc.owned[0], "not_after": tc.owned[1]}}}}}
	wanted := {"": {"jobs": {"read": {"own": {"not_before": tc.wanted[0], "not_after": tc.wanted[1]}}}}}
	dominated(free(owned), wanted) == tc.e
}

test_scopes_of_the_owner[note] if {
	some note, tc in {
		"equal": {"scopes": {"jobs": {"read": true}}, "e": 1},
		"wider": {"scopes": {"*": {"*": true}}, "e": 1},
		"implying": {"scopes": {"jobs": {"write": true}}, "e": 1},
		"narrower": {"scopes": {"jobs/1": {"read": true}}, "e": 0},
		"switched off": {"scopes": {"jobs": {"read": false}}, "e": 0},
		"none": {"scopes": {}, "e": 0},
	}
	every owned in [wants("", "*", "*"), wants("*", "*", "*"), wants("", "jobs", "read")] {
		owner := object.union(free(owned), {"scoped": true, "scopes": tc.scopes})
		dominated(owner, wants("", "jobs", "read")) == tc.e
	}
}

test_tenants_of_the_owner[note] if {
	everywhere := wants("*", "jobs", "read")
	some note, tc in {
		"confined, own tenant": {"confined": "acme", "tenant": "acme", "wanted": "acme", "e": 1},
		"confined, no tenant": {"confined": "acme", "tenant": "acme", "wanted": "", "e": 1},
		"confined, another": {"confined": "acme", "tenant": "acme", "wanted": "globex", "e": 0},
		"confined, every": {"confined": "acme", "tenant": "acme", "wanted": "*", "e": 0},
		"narrowed, own tenant": {"confined": "acme", "tenant": "", "wanted": "acme", "e": 1},
		"narrowed, no tenant": {"confined": "acme", "tenant": "", "wanted": "", "e": 0},
		"free, every": {"confined": "", "tenant": "", "wanted": "*", "e": 1},
	}
	owner := object.union(free(everywhere), {"confined": tc.confined, "tenant": tc.tenant})
	dominated(owner, wants(tc.wanted, "jobs", "read")) == tc.e
}

# The ways that are written out in covered permit what the general way permits, and nothing else: with a scope that covers everything
# they are left out, so both answers are the same.
test_what_is_written_out_is_the_general_way[note] if {
	begins := {"not_before": 5, "not_after": 10}
	ends := {"not_before": 0, "not_after": 5}
	later := {"not_before": 6, "not_after": 10}
	some name, owned in {
		"everything": wants("*", "*", "*"),
		"everything, begins": {"*": {"*": {"*": {"own": begins}}}},
		"everything, ended": {"*": {"*": {"*": {"own": ends}}}},
		"everything, later": {"*": {"*": {"*": {"own": later}}}},
		"everything, later for ever": {"*": {"*": {"*": {"own": {"not_before": 6, "not_after": 9223372036854775807}}}}},
		"the same": wants("acme", "jobs", "read"),
		"the same, begins": {"acme": {"jobs": {"read": {"own": begins}}}},
		"the same, ended": {"acme": {"jobs": {"read": {"own": ends}}}},
		"the same, later": {"acme": {"jobs": {"read": {"own": later}}}},
		"one of two": {"acme": {"jobs": {"read": {"own": always}, "write": {"own": begins}}}},
	}
	some what, wanted in {
		"read": wants("acme", "jobs", "read"),
		"read, ending": {"acme": {"jobs": {"read": {"own": begins}}}},
		"read, ending sooner": {"acme": {"jobs": {"read": {"own": {"not_before": 0, "not_after": 9}}}}},
		"two": {"acme": {"jobs": {"read": {"own": begins}, "write": {"own": begins}}}},
		"explicit": wants("acme", "docs", "seal"),
		"explicit beside": {"acme": {"jobs": {"read": {"own": begins}}, "docs": {"seal": {"own": begins}}}},
		"another tenant": wants("globex", "jobs", "read"),
	}
	some confined in ["", "acme"]
	note := sprintf("%s, %s, confined to %q", [name, what, confined])
	owner := object.union(free(owned), {"confined": confined})
	general := object.union(owner, {"scoped": true, "scopes": {"*": {"*": true}, "docs": {"seal": true}}})
	dominated(owner, wanted) == dominated(general, wanted)
}

test_related[note] if {
	some note, tc in {
		"same": {"a": "docs", "b": "docs", "e": 1},
		"below": {"a": "docs/1", "b": "docs", "e": 1},
		"above": {"a": "docs", "b": "docs/secret", "e": 1},
		"everything": {"a": "*", "b": "docs", "e": 1},
		"look-alike": {"a": "doc", "b": "docs", "e": 0},
		"look-alike, longer": {"a": "docss", "b": "docs", "e": 0},
	}
	count([1 | lib.related(tc.a, tc.b)]) == tc.e
}
