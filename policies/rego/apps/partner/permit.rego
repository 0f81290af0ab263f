# METADATA
# title: Partners
# description: |
#   An example of instance scope: a grant says what a partner may do, and its instances for which organisations and
#   ledgers. Both must hold, and each dimension by itself. The instances are the attribute "instances" of the subject,
#   which administrators set, or else an entry of the data: {organization: [...], ledger: [...]}. The asker names the
#   organisation and the ledger as properties of the resource.
# schemas:
#   - input: schema.input
package apps.partner

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: partner.permit
# scope: document
permit contains "partner.granted" if {
	input.subject.exists
	data.writ.decision.granted
}

# METADATA
# title: Deny
# description: |
#   The reasons to deny, which beat every permit. Contained is asked for, so that whatever is missing denies.
# labels:
#   rule: partner.deny
# scope: document
deny contains "outside_instance_scope" if not contained

# METADATA
# title: Contained
# description: |
#   The subject's instances contain what the question names, in every dimension of the type.
# labels:
#   rule: partner.contained
contained if {
	dimensions := data.apps.partner.dimensions[input.resource.type]
	is_array(dimensions)
	count(dimensions) > 0
	every dimension in dimensions {
		within(own_instances[dimension], input.resource.properties[dimension])
	}
}

# METADATA
# title: Within
# description: |
#   The list has the name, or every one.
# labels:
#   rule: partner.within
within(list, name) if {
	is_array(list)
	is_string(name)
	some listed in list
	listed in {"*", name}
}

# METADATA
# title: Instances
# description: |
#   The subject's, from its attribute, or from the data.
# labels:
#   rule: partner.own_instances
own_instances := stored if {
	stored := input.subject.attributes.instances
} else := data.apps.partner.instances[input.subject.id]
