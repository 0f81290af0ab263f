package writ.lib

# METADATA
# title: Audience of a plane
# description: |
#   Some audience of the token is one of the plane's exact names. Where there are none, it is any audience whose
#   last path segment is the plane's name.
# labels:
#   rule: lib.meant_for
# scope: document
meant_for(names, plane, audiences) if {
	names == {}
	some audience, true in audiences
	endswith(audience, $"/{plane}")
}

meant_for(names, _, audiences) if {
	some name, true in names
	audiences[name]
}
