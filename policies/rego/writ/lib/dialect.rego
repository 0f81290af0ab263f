package writ.lib

# METADATA
# title: Dialect
# description: |
#   The name of the dialect by which the request came, from the context of the question. Writ's own routes have none, and
#   a question that says nothing about it counts as theirs.
# labels:
#   rule: lib.spoken
spoken(context) := context.dialect if {
	is_string(context.dialect)
} else := ""

# METADATA
# title: Setting for a dialect
# description: |
#   What policy data says at a path: settings.dialects.<name> where that says something about it, else the general
#   setting. It is null where neither does, and never undefined, so that neither a rule nor its negation depends on a
#   look-up that failed.
# labels:
#   rule: lib.setting
setting(settings, context, path) := object.get(
	settings,
	array.concat(["dialects", spoken(context)], path),
	object.get(settings, path, null),
)
