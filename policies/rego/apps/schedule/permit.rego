# METADATA
# title: Schedules
# description: |
#   An example of what roles alone cannot say: a nurse sees her own schedule and those of her department, a head those of
#   the hospital. The role says how far somebody gets; whose schedule it is, the asker sends as the properties "owner",
#   "department" and "hospital" of the resource; where the subject works is an attribute that an administrator has set.
#   A question without what a rule needs is not permitted by it.
# schemas:
#   - input: schema.input
package apps.schedule

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: schedule.permit
# scope: document
permit contains "schedule.own" if {
	input.subject.exists
	input.resource.properties.owner == input.subject.id
	data.apps.schedule.own[input.action.name]
}

permit contains "schedule.department" if {
	some "department" in reaches
	shared("department")
	shared("hospital")
}

permit contains "schedule.hospital" if {
	some "hospital" in reaches
	shared("hospital")
}

# METADATA
# title: How far the subject gets
# description: |
#   What its roles say about the action.
# labels:
#   rule: schedule.reaches
reaches contains reach if {
	input.subject.exists
	some role, true in input.subject.roles
	reach := data.apps.schedule.roles[role][input.action.name]
}

# METADATA
# title: Shared
# description: |
#   The schedule is of the same department, or hospital, as the subject.
# labels:
#   rule: schedule.shared
shared(place) if {
	is_string(input.subject.attributes[place])
	input.resource.properties[place] == input.subject.attributes[place]
}
