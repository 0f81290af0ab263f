# METADATA
# title: Administration
# description: |
#   May this caller do this to this object of Writ? Every guard must hold; each is false unless its rule says
#   otherwise. Why one did not hold is said by writ/why.
# schemas:
#   - input: schema.input
#   - data.catalogue: schema.catalogue
#   - data.settings: schema.settings
package writ.admin

# METADATA
# title: Answer
# description: |
#   The answer to the question, with what the reply must obey.
# entrypoint: true
# labels:
#   rule: admin.result
# scope: document
default result := {"allow": false, "reasons": [], "obligations": {}}

result := {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": {}} if {
	plain
} else := {"allow": true, "reasons": [{"code": "granted", "rule": "admin.granted"}], "obligations": obligations} if {
	allow
	not implicit
} else := {"allow": true, "reasons": [{"code": "own", "rule": "admin.implicit"}], "obligations": {}} if {
	allow
} else := {"allow": false, "reasons": [], "obligations": {"conceal": true}} if {
	concealed
} else := {"allow": false, "reasons": [], "obligations": {"conceal": true, "filter": {"tenants": shown_tenants}}} if {
	partly_concealed
}

# METADATA
# title: Permission
# description: |
#   All guards hold: about who asks, about what is asked for, and about what the change would do.
# labels:
#   rule: admin.allow
# scope: document
default allow := false

allow if {
	accepted
	reachable
	situated
	granted
	scoped
	acceptable
}

# METADATA
# title: Accepted caller
# description: |
#   The guards about who asks hold, so that what is asked for is looked at. Every question of a service comes by
#   here, and calling a rule costs many times what an expression does, so the usual case is written out first;
#   result_test holds it to the guards.
# labels:
#   rule: admin.accepted
# scope: document
default accepted := false

accepted if {
	# usable, settled
	object.subset(input.subject, {"exists": true, "active": true, "tenant_enabled": true, "temporary_password": false})

	# valid
	input.subject.not_before <= input.now
	input.now < input.subject.not_after

	# addressed
	input.caller.address == "allowed"
	meant
	entitled
	eligible
}

accepted if {
	usable
	valid
	addressed
	meant
	entitled
	settled
	eligible
}

# METADATA
# title: Acceptable change
# description: |
#   The guards about what the change would do hold. They are about objects that are, bundle or hold rights, and
#   about oneself; and reading changes nothing.
# labels:
#   rule: admin.acceptable
# scope: document
default acceptable := false

acceptable if reading

acceptable if {
	not reading
	not input.resource.type in {
		"iam/users", "iam/groups", "iam/roles", "iam/tenants", "iam/applications", "iam/sessions", "me",
	}
	not sweeping
}

acceptable if {
	not reading
	rights_granted
	rights_scoped
	own
	proven
	unprotected
	remaining
	owned_after
	secret_kept
	dominated
	appointed
	tenant_enabled
	inactive_first
	conditional
	choosable
}

# METADATA
# title: Reading
# description: |
#   Nothing is changed. The guards about changes are not looked at then, neither here nor when lists ask for what is left of
#   this rule.
# labels:
#   rule: admin.reading
# scope: document
default reading := false

reading if {
	input.action.name == "read"
	input.resource.type != "me"
}

# METADATA
# title: Obligations of a permit
# description: |
#   A list holds the rows of the tenants in which the caller may read them. Of the types whose objects are read one by one,
#   the reading of one object says which rows those are; see list.rego.
# labels:
#   rule: admin.obligations
# scope: document
default obligations := {}

obligations := {"filter": {"tenants": readable_tenants}} if {
	filtered
	not input.resource.type in one_by_one
}
