package policyserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// nodes is the document that holds the tree, and where it is written.
const nodes = "/v1/policy-data/apps/policytree/nodes"

// administrator is the role that a PolicyServer administrator has here. Policy data lists it among those that make one.
const administrator = "dialect:policyserver:administrator"

// changeTries is how often a change is made anew where somebody else was faster.
const changeTries = 5

// New is the dialect.
func New() *dialects.Dialect {
	d := &dialects.Dialect{Name: "policyserver", Failure: failure}
	d.Routes = slices.Concat(tokenRoutes(), runtimeRoutes(), managementRoutes())
	return d
}

// bearerOnly hands no other credential on than a bearer token (P-01d): to the management and the runtime API of PolicyServer, nobody comes
// with a password.
func bearerOnly(do func(*dialects.Call) (dialects.Reply, error)) func(*dialects.Call) (dialects.Reply, error) {
	return func(c *dialects.Call) (dialects.Reply, error) {
		if scheme, _, _ := strings.Cut(c.Header.Get("Authorization"), " "); !strings.EqualFold(scheme, "bearer") {
			c.Header.Del("Authorization")
		}
		return do(c)
	}
}

func managementRoutes() []dialects.Route {
	rows := []dialects.Route{
		{Method: "GET", Path: "/management", Do: root},
		reads("/management/policies", listPolicies),
		changes("POST", "/management/policies", postPolicy),
		reads("/management/policies/{id}", getPolicy),
		changes("PUT", "/management/policies/{id}", putPolicy),
		deletes("/management/policies/{id}", deletePolicy, "confirm"),
		reads("/management/policies/{id}/policies", listPolicies),
		changes("POST", "/management/policies/{id}/policies", postPolicy),
		reads("/management/policies/{id}/roles", listRoles),
		changes("POST", "/management/policies/{id}/roles", postRole),
		reads("/management/policies/{id}/permissions", listPermissions),
		changes("POST", "/management/policies/{id}/permissions", postPermission),
		reads("/management/roles/{id}", getRole),
		changes("PUT", "/management/roles/{id}", putRole),
		deletes("/management/roles/{id}", deleteRole),
		reads("/management/roles/{id}/subjects", listSubjects),
		changes("POST", "/management/roles/{id}/subjects", postSubject),
		deletes("/management/roles/{id}/subjects/{subject}", deleteSubject),
		reads("/management/permissions/{id}", getPermission),
		changes("PUT", "/management/permissions/{id}", putPermission),
		deletes("/management/permissions/{id}", deletePermission),
	}
	rows = append(rows, tenantRoutes()...)
	rows = append(rows, administratorRoutes()...)
	for i := range rows {
		rows[i].Plane, rows[i].Do = dialects.Admin, bearerOnly(rows[i].Do)
	}
	return rows
}

// reads is a row that shows something of the tree.
func reads(path string, show func(tree, *dialects.Call) (*outcome, *fault)) dialects.Route {
	return dialects.Route{Method: "GET", Path: path, Do: func(c *dialects.Call) (dialects.Reply, error) {
		t, _, err := load(c)
		if err != nil {
			return dialects.Reply{}, err
		}
		o, f := show(t, c)
		return told(c, o, f)
	}}
}

// changes is a row that reads a body and changes the tree.
func changes[B any](method, path string, edit func(tree, *dialects.Call, B) (*outcome, *fault)) dialects.Route {
	return dialects.Route{Method: method, Path: path, Body: dialects.JSON, Do: func(c *dialects.Call) (dialects.Reply, error) {
		var in B
		if err := c.Decode(&in); err != nil {
			return dialects.Reply{}, err
		}
		return change(c, func(t tree) (*outcome, *fault) { return edit(t, c, in) })
	}}
}

// deletes is a row that takes something out of the tree.
func deletes(path string, edit func(tree, *dialects.Call) (*outcome, *fault), query ...string) dialects.Route {
	return dialects.Route{Method: "DELETE", Path: path, Query: query, Do: func(c *dialects.Call) (dialects.Reply, error) {
		return change(c, func(t tree) (*outcome, *fault) { return edit(t, c) })
	}}
}

// load reads the tree, and the version that it has; before the first write there is no document, and no policy.
func load(c *dialects.Call) (tree, string, error) {
	var raw json.RawMessage
	answer, err := c.Get(nodes, nil, &raw)
	var refusal *dialects.Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		return tree{}, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	t, err := readTree(raw)
	if err != nil {
		return nil, "", &unknownTree{err}
	}
	return t, answer.Header.Get("ETag"), nil
}

// unknownTree is a document that was written by other means and says more than this dialect can.
type unknownTree struct{ cause error }

func (e *unknownTree) Error() string { return e.cause.Error() }

// change reads the tree, edits it and writes it as the next revision of the data, again where somebody else was faster. The caller may
// name the version that it changes; then it is not made again.
func change(c *dialects.Call, edit func(tree) (*outcome, *fault)) (dialects.Reply, error) {
	given := c.Header.Get("If-Match")
	for try := 1; ; try++ {
		c.Header.Del("If-Match")
		c.Header.Del("If-None-Match")
		t, version, err := load(c)
		if err != nil {
			return dialects.Reply{}, err
		}
		o, f := edit(t)
		if f != nil {
			return told(c, nil, f)
		}
		switch {
		case given != "":
			c.Header.Set("If-Match", given)
		case version == "":
			c.Header.Set("If-None-Match", "*")
		default:
			c.Header.Set("If-Match", version)
		}
		_, err = c.JSON(http.MethodPut, nodes, nil, t)
		var refusal *dialects.Refusal
		if errors.As(err, &refusal) && refusal.Status == http.StatusPreconditionFailed && given == "" && try < changeTries {
			continue
		}
		if err != nil {
			return dialects.Reply{}, err
		}
		return told(c, o, nil)
	}
}

// told renders what was done with the tree, or why it was not.
func told(c *dialects.Call, o *outcome, f *fault) (dialects.Reply, error) {
	if f != nil {
		return f.reply(), nil
	}
	reply := dialects.Reply{Status: o.status, Body: o.body}
	if o.location != "" {
		reply.Header = http.Header{"Location": {c.Base + o.location}}
	}
	return reply, nil
}

func (f *fault) reply() dialects.Reply {
	body := map[string]any{"errors": f.texts}
	if f.count > 0 {
		body["count"] = f.count
	}
	return dialects.Reply{Status: f.status, Body: body}
}

// failure renders errors: 400 and 409 in PolicyServer's own words, everything else as natively.
func failure(c *dialects.Call, err error) dialects.Reply {
	var refusal *dialects.Refusal
	var unknown *unknownTree
	var wrong *dialects.Fault
	switch {
	case errors.As(err, &unknown):
		return (&fault{status: http.StatusConflict, texts: []string{
			"the tree has something that this API cannot say (" + unknown.Error() + "): edit it by /v1/policy-data",
		}}).reply()
	case errors.As(err, &wrong) && wrong.Status() == http.StatusBadRequest:
		return (&fault{status: http.StatusBadRequest, texts: []string{wrong.Error()}}).reply()
	case errors.As(err, &refusal) && (refusal.Status == http.StatusBadRequest || refusal.Status == http.StatusConflict) && !oauth(refusal):
		text := refusal.Detail
		if text == "" {
			text = refusal.Code
		}
		return (&fault{status: refusal.Status, texts: []string{text}}).reply()
	}
	reply := dialects.Native(nil)(c, err)
	if refusal != nil && refusal.Status == http.StatusUnauthorized && !oauth(refusal) {
		if challenges := only(refusal.Header.Values("WWW-Authenticate"), "Bearer"); len(challenges) > 0 {
			reply.Header["Www-Authenticate"] = challenges
		}
	}
	return reply
}

// oauth reports whether a refusal is one of the token endpoint, which every OAuth client reads (RFC 6749, section 5.2).
func oauth(r *dialects.Refusal) bool {
	var body struct {
		Error string `json:"error"`
	}
	return json.Unmarshal(r.Body, &body) == nil && body.Error != ""
}

// only keeps the challenges of a scheme.
func only(challenges []string, scheme string) []string {
	return slices.DeleteFunc(slices.Clone(challenges), func(c string) bool { return !strings.HasPrefix(c, scheme) })
}

// link is one that the token may follow.
type link struct {
	Href string `json:"href"`
}

// root is the document that an administrator's tools begin with: links to what the token may read, found by reading it. The reply is
// decided by the first of them, so that whoever may use none of this API learns it here.
func root(c *dialects.Call) (dialects.Reply, error) {
	c.Header.Del("If-None-Match") // it is no version of this document
	links := map[string]link{}
	var first error
	for _, probe := range []struct {
		name, path string
		query      map[string][]string
	}{
		{"administrators", "/v1/users", map[string][]string{"role": {administrator}, "limit": {"1"}}},
		{"tenants", "/v1/tenants", map[string][]string{"limit": {"1"}}},
		{"policies", nodes, nil},
	} {
		_, err := c.JSON(http.MethodGet, probe.path, probe.query, nil)
		var refusal *dialects.Refusal
		switch {
		case err == nil || errors.As(err, &refusal) && refusal.Status == http.StatusNotFound:
			links[probe.name] = link{c.Base + "/management/" + probe.name}
		case refusal == nil || refusal.Status != http.StatusForbidden:
			return dialects.Reply{}, err
		default:
			first = err
		}
	}
	if len(links) == 0 {
		return dialects.Reply{}, first
	}
	return dialects.Reply{Status: http.StatusOK, Header: http.Header{"Etag": nil}, Body: map[string]any{"links": links}}, nil
}
