package policyserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// tree is the document that apps/policytree reads at data.apps.policytree.nodes: nodes by path. A policy of PolicyServer is a node.
type tree map[string]*node

type node struct {
	Roles       map[string]*role           `json:"roles,omitempty"`
	Permissions map[string]map[string]bool `json:"permissions,omitempty"` // roles that hold it, by its name
}

// role says who is a member: subjects by id, roles of the issuer, and values of claims. Where a name is false, it is taken out.
type role struct {
	Subjects      map[string]bool            `json:"subjects,omitempty"`
	IdentityRoles map[string]bool            `json:"identity_roles,omitempty"`
	Claims        map[string]map[string]bool `json:"claims,omitempty"`
}

// readTree reads the document strictly: what this dialect does not know, it would take away with its next write.
func readTree(document []byte) (tree, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	t := tree{}
	if err := decoder.Decode(&t); err != nil {
		return nil, err
	}
	for path, n := range t {
		if n == nil {
			return nil, fmt.Errorf("the node %s is null", path)
		}
		for name, r := range n.Roles {
			if r == nil {
				return nil, fmt.Errorf("the role %s of %s is null", name, path)
			}
		}
	}
	return t, nil
}

// fault is why a change cannot be made to a tree: a reply in the language of PolicyServer.
type fault struct {
	status int
	texts  []string
	count  int // of what a deletion takes with it
}

func bad(format string, args ...any) *fault {
	return &fault{status: http.StatusBadRequest, texts: []string{fmt.Sprintf(format, args...)}}
}

func missing(what, id string) *fault {
	return &fault{status: http.StatusNotFound, texts: []string{fmt.Sprintf("there is no %s %s", what, id)}}
}

func taken(what, name string) *fault {
	return &fault{status: http.StatusConflict, texts: []string{fmt.Sprintf("there is a %s %s here already", what, name)}}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func named(what, name string) *fault {
	if !plainName.MatchString(name) {
		return bad("the name of a %s has letters, digits, '.', '_' and '-', 1 to 128 of them", what)
	}
	return nil
}

// Ids are made of paths, because the tree has no other: a policy is its path with "~" for "/", a role or a permission is its policy, ":"
// and its name. None of these characters is in a name.
func policyID(path string) string       { return strings.ReplaceAll(path, "/", "~") }
func policyPath(id string) string       { return strings.ReplaceAll(id, "~", "/") }
func memberID(path, name string) string { return policyID(path) + ":" + name }

func memberOf(id string) (path, name string) {
	id, name, _ = strings.Cut(id, ":")
	return policyPath(id), name
}

func parentOf(path string) string {
	if at := strings.LastIndexByte(path, '/'); at >= 0 {
		return path[:at]
	}
	return ""
}

func nameOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func below(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

// children are the paths right below a path, in order; "" is above all.
func (t tree) children(path string) []string {
	var found []string
	for p := range t {
		if parentOf(p) == path {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

// within are the paths at and below a path.
func (t tree) within(path string) []string {
	var found []string
	for p := range t {
		if p == path || strings.HasPrefix(p, path+"/") {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

// policy finds a node by the id of a policy. An id with a slash in it is none.
func (t tree) policy(id string) (string, *node, *fault) {
	path := policyPath(id)
	n := t[path]
	if n == nil || strings.Contains(id, "/") {
		return "", nil, missing("policy", id)
	}
	return path, n, nil
}

// add puts a policy below another one, or at the top.
func (t tree) add(parent, name string) (string, *fault) {
	if f := named("policy", name); f != nil {
		return "", f
	}
	path := below(parent, name)
	if t[path] != nil {
		return "", taken("policy", name)
	}
	t[path] = &node{}
	return path, nil
}

// move gives a policy, with all below it, another name or another parent.
func (t tree) move(path, parent, name string) (string, *fault) {
	if f := named("policy", name); f != nil {
		return "", f
	}
	if parent == path || strings.HasPrefix(parent, path+"/") {
		return "", bad("a policy is not moved below itself")
	}
	if parent != "" && t[parent] == nil {
		return "", missing("policy", policyID(parent))
	}
	to := below(parent, name)
	if to == path {
		return to, nil
	}
	if t[to] != nil {
		return "", taken("policy", name)
	}
	for _, p := range t.within(path) {
		t[to+strings.TrimPrefix(p, path)] = t[p]
		delete(t, p)
	}
	return to, nil
}

// remove takes a policy and all below it away, for good, which must be confirmed where there is anything below it.
func (t tree) remove(path string, confirmed bool) (int, *fault) {
	gone := t.within(path)
	if len(gone) > 1 && !confirmed {
		return 0, &fault{
			status: http.StatusConflict, count: len(gone),
			texts: []string{fmt.Sprintf("this takes %d policies with it, for good; say so with ?confirm=true", len(gone))},
		}
	}
	for _, p := range gone {
		delete(t, p)
	}
	return len(gone), nil
}

// defined reports whether a role has an entry at a path or above it.
func (t tree) defined(path, name string) bool {
	for ; path != ""; path = parentOf(path) {
		if n := t[path]; n != nil && n.Roles[name] != nil {
			return true
		}
	}
	return false
}

// dropRole takes a role away, and it from the permissions at and below the policy that would be held by nobody.
func (t tree) dropRole(path, name string) {
	delete(t[path].Roles, name)
	for _, p := range t.within(path) {
		if t.defined(p, name) {
			continue
		}
		for _, holders := range t[p].Permissions {
			delete(holders, name)
		}
	}
}

// grantedTo checks the roles that are to hold a permission.
func (t tree) grantedTo(path string, names []string) (map[string]bool, *fault) {
	holders := map[string]bool{}
	for _, name := range names {
		if !t.defined(path, name) {
			return nil, bad("there is no role %q at the policy or above it", name)
		}
		holders[name] = true
	}
	return holders, nil
}

// on are the names of a set that are not taken out, in order.
func on(set map[string]bool) []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] {
			names = append(names, name)
		}
	}
	return names
}

// all is the set of some names.
func all(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}
