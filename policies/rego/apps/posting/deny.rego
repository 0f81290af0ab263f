package apps.posting

# METADATA
# title: Deny
# description: |
#   The reasons to deny, which beat every permit. What must hold is asked for, so that whatever is missing denies.
# labels:
#   rule: posting.deny
# scope: document
deny contains "posting.over_limit" if {
	not unlimited
	not within_limits
}

deny contains "posting.own" if {
	input.action.name == "approve"
	not foreign
}

# METADATA
# title: Unlimited action
# description: |
#   The data says that no limit is for the action.
# labels:
#   rule: posting.unlimited
unlimited if {
	is_string(input.action.name)
	is_object(data.apps.posting.limited)
	not data.apps.posting.limited[input.action.name]
}

# METADATA
# title: Within the limits
# description: |
#   The amount is a number from 0 to the subject's and the tenant's limit in its currency.
# labels:
#   rule: posting.within_limits
within_limits if {
	asked := input.resource.properties
	is_number(asked.amount)
	asked.amount >= 0
	up_to(asked.amount, input.subject.attributes.posting_limit[asked.currency])
	up_to(asked.amount, data.apps.posting.limits[input.resource.tenant][asked.currency])
}

# METADATA
# title: Up to
# description: |
#   Numbers alone are compared: every text is larger than any number.
# labels:
#   rule: posting.up_to
up_to(amount, limit) if {
	is_number(limit)
	amount <= limit
}

# METADATA
# title: Foreign
# description: |
#   Somebody else booked the posting.
# labels:
#   rule: posting.foreign
foreign if {
	is_string(input.resource.properties.booked_by)
	input.resource.properties.booked_by != ""
	input.resource.properties.booked_by != input.subject.id
}
