package apps.route

# METADATA
# title: Malformed
# description: |
#   What is wrong with the table, in words. A set with such a table is refused when it loads; at work, what is malformed
#   maps nothing.
# labels:
#   rule: route.malformed
# scope: document
malformed contains message if {
	some at in flat
	message := sprintf("%s: is not an object", [at])
}

malformed contains message if {
	some host, paths in data.apps.route.routes
	some path, _ in paths
	not shaped(`^/$|^(/[^/*%;?#\\\x00-\x1f\x7f]+)+$`, path)
	message := sprintf("routes %s %s: begins with a slash, does not end with one, and has none of * %% ; ? # \\ in it", [host, path])
}

malformed contains message if {
	some host, paths in data.apps.route.routes
	some path, _ in paths
	shaped(`/\.\.?(/|$)`, path)
	message := sprintf("routes %s %s: has a segment of dots", [host, path])
}

malformed contains message if {
	some host, paths in data.apps.route.routes
	some path, patterns in paths
	some pattern, _ in patterns
	not shaped(`^/$|^/\*\*$|^(/(\*|[^/*]+))+$`, pattern)
	message := sprintf("routes %s %s %s: is none of /, /**, and segments such as /*/name", [host, path, pattern])
}

malformed contains message if {
	some host, paths in data.apps.route.routes
	some path, patterns in paths
	some pattern, taken in patterns
	some method, _ in taken
	not shaped(`^[A-Z]+$`, method)
	message := sprintf("routes %s %s %s %s: a method is written in capitals", [host, path, pattern, method])
}

malformed contains message if {
	some host, paths in data.apps.route.routes
	some path, patterns in paths
	some pattern, taken in patterns
	some method, word in taken
	not known(word)
	message := sprintf("routes %s %s %s %s: is no permission, and neither public nor signed_in", [host, path, pattern, method])
}

# METADATA
# title: Shaped
# description: |
#   A text of a shape. A list in place of an object has numbers for its keys.
# labels:
#   rule: route.shaped
shaped(shape, text) if {
	is_string(text)
	regex.match(shape, text)
}

# METADATA
# title: Known word
# description: |
#   A word that a row may have.
# labels:
#   rule: route.known
# scope: document
known(word) if word in {"public", "signed_in"}

known(word) if {
	shaped(`^(\*|[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*):[A-Za-z0-9._-]+$`, word)
}

# METADATA
# title: Not an object
# description: |
#   The places of the table at which something else stands than an object.
# labels:
#   rule: route.flat
# scope: document
flat contains name if {
	some name in ({"routes", "counts_as", "audiences"} - has)
}

flat contains message if {
	some host, paths in data.apps.route.routes
	not is_object(paths)
	message := sprintf("routes %s", [host])
}

flat contains message if {
	some host, paths in data.apps.route.routes
	some path, patterns in paths
	not is_object(patterns)
	message := sprintf("routes %s %s", [host, path])
}

flat contains message if {
	some host, paths in data.apps.route.routes
	some path, patterns in paths
	some pattern, taken in patterns
	not is_object(taken)
	message := sprintf("routes %s %s %s", [host, path, pattern])
}

# METADATA
# title: What is there
# description: |
#   The parts of the table that are objects. A call under "not" does not say that its argument is missing, so this is
#   asked for.
# labels:
#   rule: route.has
# scope: document
has contains "routes" if is_object(data.apps.route.routes)

has contains "counts_as" if is_object(data.apps.route.counts_as)

has contains "audiences" if is_object(data.apps.route.audiences)
