# METADATA
# title: Tree of policies
# description: |
#   An example of roles and permissions that hang in a tree, which is data: what a subject is and may at a node follows
#   from the node and those above it. The path of the node is the id of a resource of type "policytree"; the action is a
#   permission, or "evaluate" for having any. The document "result" lists both for one subject. The asker sends the
#   claims of the subject's token as the context's "claims"; an attribute that Writ stores beats a claim of its name.
# schemas:
#   - input: schema.input
package apps.policytree

# METADATA
# title: Result
# description: |
#   The roles and permissions of the subject at the node. Whoever asks for it gets the default where the subject may not
#   act at all.
# labels:
#   rule: policytree.result
# entrypoint: true
# scope: document
default result := {"roles": [], "permissions": [], "reasons": []}

result := {"roles": roles, "permissions": permissions, "reasons": []} if {
	node
} else := {"roles": [], "permissions": [], "reasons": [{"code": "unknown_path", "rule": "apps.policytree.deny"}]} if {
	input.resource.id != null
}

# METADATA
# title: Node
# description: |
#   The node of the path, letter by letter.
# labels:
#   rule: policytree.node
node := data.apps.policytree.nodes[input.resource.id]

# METADATA
# title: Lineage
# description: |
#   The node and those above it. None where the node is not there.
# labels:
#   rule: policytree.lineage
# scope: document
default lineage := []

lineage := [data.apps.policytree.nodes[path] | some path in paths(input.resource.id)] if node

# METADATA
# title: Paths at and above
# description: |
#   The path and everything above it.
# labels:
#   rule: policytree.paths
paths(path) := [concat("/", array.slice(segments, 0, at + 1)) | some at, _ in segments] if {
	segments := split(path, "/")
}

# METADATA
# title: Roles
# description: |
#   The roles of which the subject is a member at the node or above it.
# labels:
#   rule: policytree.roles
roles contains name if {
	some part in lineage
	some name, role in part.roles
	member(role)
}

# METADATA
# title: Permissions
# description: |
#   The permissions that these roles hold at the node or above it.
# labels:
#   rule: policytree.permissions
permissions contains name if {
	some part in lineage
	some name, holders in part.permissions
	some role in roles
	holders[role] == true
}

# METADATA
# title: Member
# description: |
#   The subject is a member of the role: by its id, by a role elsewhere, or by a claim.
# labels:
#   rule: policytree.member
# scope: document
member(role) if {
	input.subject.type in {"application", "user"}
	role.subjects[input.subject.id] == true
}

member(role) if {
	some name, true in role.identity_roles
	input.subject.roles[name]
}

member(role) if {
	some name, true in role.identity_roles
	name in claim("role")
}

member(role) if {
	some name, values in role.claims
	some value, true in values
	value in claim(name)
}

# METADATA
# title: Claim
# description: |
#   The values of a claim: what Writ stores of the subject, or what the asker says where Writ stores nothing.
# labels:
#   rule: policytree.claim
claim(name) := values if {
	values := listed(input.subject.attributes[name])
} else := listed(input.context.claims[name])

# METADATA
# title: Listed
# description: |
#   A claim has one value or several.
# labels:
#   rule: policytree.listed
# scope: document
listed(value) := [value] if is_string(value)

listed(values) := values if is_array(values)

# METADATA
# title: Candidates
# description: |
#   What searches look through: each candidate is asked about by itself.
# labels:
#   rule: policytree.candidates
candidates := {"resources": {"policytree": data.apps.policytree.nodes}, "actions": {"policytree": names}} if {
	given := {name | some part in data.apps.policytree.nodes; some name, _ in part.permissions}
	names := given | {"evaluate"}
}
