# METADATA
# title: Routes behind a gateway
# description: |
#   An example of rules that turn one question into another. A gateway asks at /forward-auth whether a request may pass:
#   the resource is of the type "route" with the path as its id, and the action is the method. A table, which is data,
#   says what that takes, and the grants and the token's scopes are held against it. What the table does not name, or
#   what is malformed in it, is not mapped, and what is not mapped is refused.
# schemas:
#   - input: schema.input
package apps.route

# METADATA
# title: Path
# description: |
#   The path without a slash at its end. One that somebody could read in another way is none: empty and dot segments,
#   escapes, parameters, backslashes, control characters.
# labels:
#   rule: route.path
# scope: document
path := trim_suffix(input.resource.id, "/") if {
	regex.match(`^/[^/]`, input.resource.id)
	not regex.match(`[\x00-\x1f\x7f%;?#\\]|//|/\.\.?(/|$)`, input.resource.id)
}

# METADATA
# title: Table
# description: |
#   The rows of the host, or those of all others.
# labels:
#   rule: route.table
table := rows if {
	rows := data.apps.route.routes[input.resource.properties.host]
} else := data.apps.route.routes["*"]

# METADATA
# title: Rows for what is below
# description: |
#   What the table has, at each path above the asked one, for what is below there; by the length of the path above. Those
#   paths are looked up before what is left of the asked one is taken apart, since few of them have rows.
# labels:
#   rule: route.below
below[length] := row if {
	some length in indexof_n(path, "/")
	patterns := table[substring(path, 0, length)]
	row := chosen(patterns, split(substring(path, length + 1, -1), "/"))
}

# METADATA
# title: Chosen row
# description: |
#   Of the rows at one path, that which fits what is left of the asked one. Letters and digits sort behind "*", so the
#   last of several says the most.
# labels:
#   rule: route.chosen
# scope: document
chosen(patterns, rest) := patterns[max(fitting)] if {
	fitting := {pattern | some pattern, _ in patterns; fits(pattern, rest)}
} else := patterns["/**"]

# METADATA
# title: Fitting pattern
# description: |
#   Each part of the pattern is a segment's own text, or "*".
# labels:
#   rule: route.fits
fits(pattern, rest) if {
	parts := split(trim_prefix(pattern, "/"), "/")
	count(parts) == count(rest)
	every at, part in parts {
		part in {"*", rest[at]}
	}
}

# METADATA
# title: Methods
# description: |
#   The methods of the row, with what each takes: of the path's own, or of the one for what is below the longest path that
#   has one, of which "/" is the shortest. A path that is in the table can be read in one way only.
# labels:
#   rule: route.methods
methods := row if {
	row := table[trim_suffix(input.resource.id, "/")]["/"]
	input.resource.id != "//"
} else := table["/"]["/"] if {
	input.resource.id == "/"
} else := below[longest] if {
	longest := max(object.keys(below))
} else := chosen(table["/"], split(trim_prefix(path, "/"), "/"))

# METADATA
# title: What the request takes
# description: |
#   The table's word for the method, or for the one that it counts as.
# labels:
#   rule: route.needed
needed := word if {
	word := methods[input.action.name]
} else := methods[data.apps.route.counts_as[input.action.name]]

# METADATA
# title: Permissions
# description: |
#   The permissions that the request takes. The token's scopes are held against them (see writ/decision).
# labels:
#   rule: route.takes
takes contains needed if asked

# METADATA
# title: Permission in parts
# description: |
#   The resource and the action of the permission that the row names.
# labels:
#   rule: route.asked
asked := {"resource": resource, "action": action} if {
	is_string(needed)
	[resource, action] := split(needed, ":")
}

# METADATA
# title: Mapped
# description: |
#   The table says what the request takes.
# labels:
#   rule: route.mapped
# scope: document
mapped if needed in {"public", "signed_in"}

mapped if asked
