package writ.admin

# METADATA
# title: Conditional change
# description: |
#   Where policy data demands it, a change of an object names the version that it changes. The detail of the question
#   says whether it does, or has none to name.
# labels:
#   rule: admin.conditional
# scope: document
default conditional := false

conditional if data.settings.require_if_match == false

conditional if input.resource.detail.conditional
