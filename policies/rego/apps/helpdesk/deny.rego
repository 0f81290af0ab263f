package apps.helpdesk

# METADATA
# title: Deny
# description: |
#   The reasons to deny, which beat every permit. A property that is missing or malformed denies.
# labels:
#   rule: helpdesk.deny
# scope: document
deny contains "helpdesk.confidential" if not disclosed

# METADATA
# title: Disclosed
# description: |
#   The ticket is not confidential, or with a team of the subject. An explicit deny that is undefined would open, so
#   this is asked the other way round.
# labels:
#   rule: helpdesk.disclosed
# scope: document
disclosed if input.resource.properties.confidential == false

disclosed if input.resource.properties.team in input.subject.attributes.teams
