package apps.policytree

# METADATA
# title: Malformed
# description: |
#   What is wrong with the tree, in words. A set with such a tree is refused when it loads. Two nodes of one name beside
#   each other would be one key twice, and a cycle would need a node below itself, which no path is.
# labels:
#   rule: policytree.malformed
# scope: document
malformed contains "nodes: is not an object" if not planted

malformed contains message if {
	planted
	some path, _ in data.apps.policytree.nodes
	not regex.match(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`, path)
	message := sprintf("nodes %s: a name has letters, digits, '.', '_' and '-'", [path])
}

malformed contains message if {
	planted
	some path, _ in data.apps.policytree.nodes
	some above in paths(path)
	not above in object.keys(data.apps.policytree.nodes)
	message := sprintf("nodes %s: there is no %s", [path, above])
}

malformed contains message if {
	planted
	some path, found in data.apps.policytree.nodes
	not plain(found)
	message := sprintf("nodes %s: has roles and permissions, which are objects, and nothing else", [path])
}

malformed contains message if {
	planted
	some path, found in data.apps.policytree.nodes
	some name, _ in found.permissions
	name == "evaluate"
	message := sprintf("nodes %s permissions %s: evaluate is no name of a permission", [path, name])
}

malformed contains message if {
	planted
	some path, found in data.apps.policytree.nodes
	some name, holders in found.permissions
	some role, _ in holders
	not defined(path, role)
	message := sprintf("nodes %s permissions %s: there is no role %s here or above", [path, name, role])
}

# METADATA
# title: Planted
# description: |
#   There is a tree.
# labels:
#   rule: policytree.planted
planted if is_object(data.apps.policytree.nodes)

# METADATA
# title: Plain node
# description: |
#   A node has roles and permissions, each of which is an object of objects.
# labels:
#   rule: policytree.plain
plain(found) if {
	is_object(found)
	every part, members in found {
		part in {"roles", "permissions"}
		is_object(members)
		every member in members {
			is_object(member)
		}
	}
}

# METADATA
# title: Defined role
# description: |
#   The role has an entry at the path or above it.
# labels:
#   rule: policytree.defined
defined(path, role) if {
	some above in paths(path)
	some name, _ in data.apps.policytree.nodes[above].roles
	name == role
}
