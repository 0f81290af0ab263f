package policyserver

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// The shapes of the management API. Which of a role's and a permission's fields exist is documented; their names are not, and are those of
// PolicyServer.Local.
type (
	policyView struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Path     string `json:"path"`
		ParentID string `json:"parentId,omitempty"`
	}
	roleView struct {
		ID            string              `json:"id"`
		PolicyID      string              `json:"policyId"`
		Name          string              `json:"name"`
		Subjects      []string            `json:"subjects"`
		IdentityRoles []string            `json:"identityRoles"`
		Claims        map[string][]string `json:"claims"`
	}
	permissionView struct {
		ID       string   `json:"id"`
		PolicyID string   `json:"policyId"`
		Name     string   `json:"name"`
		Roles    []string `json:"roles"`
	}
	policyBody struct {
		Name     *string `json:"name"`
		ParentID *string `json:"parentId"`
	}
	roleBody struct {
		Name          *string              `json:"name"`
		Subjects      *[]string            `json:"subjects"`
		IdentityRoles *[]string            `json:"identityRoles"`
		Claims        *map[string][]string `json:"claims"`
	}
	permissionBody struct {
		Name  *string   `json:"name"`
		Roles *[]string `json:"roles"`
	}
	subjectBody struct {
		Subject string `json:"subject"`
	}
)

func viewPolicy(path string) policyView {
	v := policyView{ID: policyID(path), Name: nameOf(path), Path: path}
	if parent := parentOf(path); parent != "" {
		v.ParentID = policyID(parent)
	}
	return v
}

func viewRole(path, name string, r *role) roleView {
	v := roleView{
		ID: memberID(path, name), PolicyID: policyID(path), Name: name, Subjects: on(r.Subjects), IdentityRoles: on(r.IdentityRoles),
		Claims: map[string][]string{},
	}
	for claim, values := range r.Claims {
		v.Claims[claim] = on(values)
	}
	return v
}

func viewPermission(path, name string, holders map[string]bool) permissionView {
	return permissionView{ID: memberID(path, name), PolicyID: policyID(path), Name: name, Roles: on(holders)}
}

func viewAll[T any](paths []string, view func(string) T) []T {
	shown := make([]T, 0, len(paths))
	for _, p := range paths {
		shown = append(shown, view(p))
	}
	return shown
}

// outcome is what a change of the tree replies.
type outcome struct {
	status   int
	location string
	body     any
}

func made(kind, id string, body any) *outcome {
	return &outcome{status: http.StatusCreated, location: "/management/" + kind + "/" + id, body: body}
}

func shown(body any) *outcome { return &outcome{status: http.StatusOK, body: body} }

func gone() *outcome { return &outcome{status: http.StatusNoContent} }

// policies.

func listPolicies(t tree, c *dialects.Call) (*outcome, *fault) {
	parent := ""
	if id := c.Params["id"]; id != "" {
		path, _, f := t.policy(id)
		if f != nil {
			return nil, f
		}
		parent = path
	}
	return shown(viewAll(t.children(parent), viewPolicy)), nil
}

func getPolicy(t tree, c *dialects.Call) (*outcome, *fault) {
	path, _, f := t.policy(c.Params["id"])
	if f != nil {
		return nil, f
	}
	return shown(viewPolicy(path)), nil
}

func postPolicy(t tree, c *dialects.Call, in policyBody) (*outcome, *fault) {
	parent := ""
	switch id := c.Params["id"]; {
	case in.Name == nil:
		return nil, bad("a policy has a name")
	case id != "" && in.ParentID != nil && *in.ParentID != id:
		return nil, bad("parentId is not the policy of the path")
	case id != "":
		parent = policyPath(id)
	case in.ParentID != nil:
		parent = policyPath(*in.ParentID)
	}
	if parent != "" && t[parent] == nil {
		return nil, missing("policy", policyID(parent))
	}
	path, f := t.add(parent, *in.Name)
	if f != nil {
		return nil, f
	}
	return made("policies", policyID(path), viewPolicy(path)), nil
}

func putPolicy(t tree, c *dialects.Call, in policyBody) (*outcome, *fault) {
	path, _, f := t.policy(c.Params["id"])
	if f != nil {
		return nil, f
	}
	parent, name := parentOf(path), nameOf(path)
	if in.Name != nil {
		name = *in.Name
	}
	if in.ParentID != nil {
		parent = policyPath(*in.ParentID)
	}
	if path, f = t.move(path, parent, name); f != nil {
		return nil, f
	}
	return shown(viewPolicy(path)), nil
}

func deletePolicy(t tree, c *dialects.Call) (*outcome, *fault) {
	path, _, f := t.policy(c.Params["id"])
	if f != nil {
		return nil, f
	}
	n, f := t.remove(path, c.Query["confirm"] == "true")
	switch {
	case f != nil:
		return nil, f
	case n == 1:
		return gone(), nil
	}
	return shown(map[string]int{"deleted": n}), nil
}

// roles.

func listRoles(t tree, c *dialects.Call) (*outcome, *fault) {
	path, n, f := t.policy(c.Params["id"])
	if f != nil {
		return nil, f
	}
	names := slices.Sorted(maps.Keys(n.Roles))
	return shown(viewAll(names, func(name string) roleView { return viewRole(path, name, n.Roles[name]) })), nil
}

func (t tree) role(id string) (path, name string, found *role, f *fault) {
	path, name = memberOf(id)
	if n := t[path]; n != nil && n.Roles[name] != nil && !strings.Contains(id, "/") {
		return path, name, n.Roles[name], nil
	}
	return "", "", nil, missing("role", id)
}

// fill takes what a body says of a role. What it does not say stays.
func (r *role) fill(in roleBody) *fault {
	if in.Subjects != nil {
		r.Subjects = all(*in.Subjects)
	}
	if in.IdentityRoles != nil {
		r.IdentityRoles = all(*in.IdentityRoles)
	}
	if in.Claims != nil {
		r.Claims = nil
		for claim, values := range *in.Claims {
			if r.Claims == nil {
				r.Claims = map[string]map[string]bool{}
			}
			r.Claims[claim] = all(values)
			if r.Claims[claim] == nil {
				return bad("the claim %q has no value", claim)
			}
		}
	}
	for _, set := range []map[string]bool{r.Subjects, r.IdentityRoles} {
		if _, empty := set[""]; empty {
			return bad("a subject or a role of the issuer is empty")
		}
	}
	return nil
}

func postRole(t tree, c *dialects.Call, in roleBody) (*outcome, *fault) {
	path, n, f := t.policy(c.Params["id"])
	if f != nil {
		return nil, f
	}
	if in.Name == nil {
		return nil, bad("a role has a name")
	}
	name := *in.Name
	if f := named("role", name); f != nil {
		return nil, f
	}
	if n.Roles[name] != nil {
		return nil, taken("role", name)
	}
	next := &role{}
	if f := next.fill(in); f != nil {
		return nil, f
	}
	if n.Roles == nil {
		n.Roles = map[string]*role{}
	}
	n.Roles[name] = next
	return made("roles", memberID(path, name), viewRole(path, name, next)), nil
}

func getRole(t tree, c *dialects.Call) (*outcome, *fault) {
	path, name, found, f := t.role(c.Params["id"])
	if f != nil {
		return nil, f
	}
	return shown(viewRole(path, name, found)), nil
}

func putRole(t tree, c *dialects.Call, in roleBody) (*outcome, *fault) {
	path, name, found, f := t.role(c.Params["id"])
	if f != nil {
		return nil, f
	}
	if in.Name != nil && *in.Name != name {
		return nil, bad("a role keeps its name, by which permissions know it; make another one")
	}
	if f := found.fill(in); f != nil {
		return nil, f
	}
	return shown(viewRole(path, name, found)), nil
}

func deleteRole(t tree, c *dialects.Call) (*outcome, *fault) {
	path, name, _, f := t.role(c.Params["id"])
	if f != nil {
		return nil, f
	}
	t.dropRole(path, name)
	return gone(), nil
}

// subjects of a role.

func listSubjects(t tree, c *dialects.Call) (*outcome, *fault) {
	_, _, found, f := t.role(c.Params["id"])
	if f != nil {
		return nil, f
	}
	return shown(viewAll(on(found.Subjects), func(s string) subjectBody { return subjectBody{s} })), nil
}

func postSubject(t tree, c *dialects.Call, in subjectBody) (*outcome, *fault) {
	path, name, found, f := t.role(c.Params["id"])
	switch {
	case f != nil:
		return nil, f
	case in.Subject == "":
		return nil, bad("name the subject")
	case found.Subjects[in.Subject]:
		return nil, taken("subject", in.Subject)
	}
	if found.Subjects == nil {
		found.Subjects = map[string]bool{}
	}
	found.Subjects[in.Subject] = true
	return made("roles", memberID(path, name)+"/subjects/"+url.PathEscape(in.Subject), in), nil
}

func deleteSubject(t tree, c *dialects.Call) (*outcome, *fault) {
	_, _, found, f := t.role(c.Params["id"])
	subject := c.Params["subject"]
	switch {
	case f != nil:
		return nil, f
	case !found.Subjects[subject]:
		return nil, missing("subject", subject)
	}
	delete(found.Subjects, subject)
	return gone(), nil
}

// permissions.

func listPermissions(t tree, c *dialects.Call) (*outcome, *fault) {
	path, n, f := t.policy(c.Params["id"])
	if f != nil {
		return nil, f
	}
	names := slices.Sorted(maps.Keys(n.Permissions))
	return shown(viewAll(names, func(name string) permissionView { return viewPermission(path, name, n.Permissions[name]) })), nil
}

func (t tree) permission(id string) (path, name string, holders map[string]bool, f *fault) {
	path, name = memberOf(id)
	if n := t[path]; n != nil && n.Permissions[name] != nil && !strings.Contains(id, "/") {
		return path, name, n.Permissions[name], nil
	}
	return "", "", nil, missing("permission", id)
}

func postPermission(t tree, c *dialects.Call, in permissionBody) (*outcome, *fault) {
	path, n, f := t.policy(c.Params["id"])
	if f != nil {
		return nil, f
	}
	if in.Name == nil {
		return nil, bad("a permission has a name")
	}
	name, names := *in.Name, []string{}
	if in.Roles != nil {
		names = *in.Roles
	}
	if f := named("permission", name); f != nil {
		return nil, f
	}
	if n.Permissions[name] != nil {
		return nil, taken("permission", name)
	}
	holders, f := t.grantedTo(path, names)
	if f != nil {
		return nil, f
	}
	if n.Permissions == nil {
		n.Permissions = map[string]map[string]bool{}
	}
	n.Permissions[name] = holders
	return made("permissions", memberID(path, name), viewPermission(path, name, holders)), nil
}

func getPermission(t tree, c *dialects.Call) (*outcome, *fault) {
	path, name, holders, f := t.permission(c.Params["id"])
	if f != nil {
		return nil, f
	}
	return shown(viewPermission(path, name, holders)), nil
}

func putPermission(t tree, c *dialects.Call, in permissionBody) (*outcome, *fault) {
	path, name, holders, f := t.permission(c.Params["id"])
	switch {
	case f != nil:
		return nil, f
	case in.Name != nil && *in.Name != name:
		return nil, bad("a permission keeps its name, by which services ask for it; make another one")
	case in.Roles == nil:
		return shown(viewPermission(path, name, holders)), nil
	}
	if holders, f = t.grantedTo(path, *in.Roles); f != nil {
		return nil, f
	}
	t[path].Permissions[name] = holders
	return shown(viewPermission(path, name, holders)), nil
}

func deletePermission(t tree, c *dialects.Call) (*outcome, *fault) {
	path, name, _, f := t.permission(c.Params["id"])
	if f != nil {
		return nil, f
	}
	delete(t[path].Permissions, name)
	return gone(), nil
}
