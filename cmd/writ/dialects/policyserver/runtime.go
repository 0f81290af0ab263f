package policyserver

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// tokenRoutes are the endpoint under both names that the documentation has. Form, Basic and errors are the native ones.
func tokenRoutes() []dialects.Route {
	var rows []dialects.Route
	for _, path := range []string{"/connect/token", "/token"} {
		rows = append(rows, dialects.Route{
			Method: "POST", Path: path, Plane: dialects.Public, Body: dialects.Raw, Do: func(c *dialects.Call) (dialects.Reply, error) {
				answer, err := c.Forward(http.MethodPost, path)
				if err != nil {
					return dialects.Reply{}, err
				}
				return dialects.Reply{Status: answer.Status, Header: http.Header{"Content-Type": answer.Header["Content-Type"], "Pragma": answer.Header["Pragma"]}, Body: answer.Body}, nil
			},
		})
	}
	return rows
}

func runtimeRoutes() []dialects.Route {
	rows := []dialects.Route{
		{Method: "GET", Path: "/runtime", Do: version},
		{Method: "POST", Path: "/runtime/policy/{path...}", Body: dialects.JSON, Query: []string{"version"}, Do: evaluate},
		{Method: "POST", Path: "/runtime/children/{path...}", Body: dialects.JSON, Query: []string{"version"}, Do: search(func(path, found string) bool {
			return parentOf(found) == path
		})},
		{Method: "POST", Path: "/runtime/descendants/{path...}", Body: dialects.JSON, Query: []string{"version"}, Do: search(func(path, found string) bool {
			return strings.HasPrefix(found, path+"/")
		})},
	}
	for i := range rows {
		rows[i].Plane, rows[i].Do = dialects.Public, bearerOnly(rows[i].Do)
	}
	return rows
}

// version tells which policies answer. Only those in force do, whatever version a question names.
func version(c *dialects.Call) (dialects.Reply, error) {
	_, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if token == "" {
		token = "none" // the native route says what is missing
	}
	answer, err := c.JSON(http.MethodPost, "/access/v1/evaluation", nil, map[string]any{
		"subject": entity{Type: "token", ID: token}, "action": map[string]string{"name": "evaluate"},
		"resource": entity{Type: "policytree", ID: "version"}, "options": map[string]bool{"reasons": true},
	})
	if err != nil {
		return dialects.Reply{}, err
	}
	var said struct {
		Context struct {
			PolicyRevision string `json:"policy_revision"`
		} `json:"context"`
	}
	if err := answer.Decode(&said); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: http.StatusOK, Body: map[string]string{"version": said.Context.PolicyRevision}}, nil
}

type entity struct {
	Type   string `json:"type"`
	ID     string `json:"id,omitempty"`
	Tenant string `json:"tenant,omitempty"`
}

// claim is one of the person or machine that is asked about, as its token has it.
type claim struct{ kind, value string }

// claims reads {"Claims": [{"Type", "Value"}]}. The names may begin with a small letter, because .NET writes either.
func claims(c *dialects.Call) ([]claim, error) {
	type pair = map[string]string
	var in map[string][]pair
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	list, ok := in["Claims"]
	if lower, also := in["claims"]; also {
		list, ok = lower, !ok
	}
	if !ok || len(in) != 1 {
		return nil, &dialects.Fault{Kind: dialects.Missing, At: "/Claims", Detail: "want an object with Claims and nothing else"}
	}
	read := make([]claim, 0, len(list))
	for i, p := range list {
		one := claim{kind: p["Type"] + p["type"], value: p["Value"] + p["value"]}
		if len(p) != 2 || one.kind == "" {
			return nil, &dialects.Fault{Kind: dialects.Invalid, At: "/Claims/" + strconv.Itoa(i), Detail: "a claim has a Type and a Value"}
		}
		read = append(read, one)
	}
	return read, nil
}

// asked is a question of the runtime API in native terms.
type asked struct {
	subject entity
	tenant  string
	claims  map[string][]string
}

// question reads the claims. One subject and one tenant at most are who is asked about; without a subject, its roles and claims count.
func question(c *dialects.Call) (*asked, *fault, error) {
	said, err := claims(c)
	if err != nil {
		return nil, nil, err
	}
	q := &asked{subject: entity{Type: "claims", ID: "none"}, claims: map[string][]string{}}
	for _, one := range said {
		q.claims[one.kind] = append(q.claims[one.kind], one.value)
	}
	for name, take := range map[string]func(string){
		"sub":    func(v string) { q.subject = entity{Type: "user", ID: v} },
		"tenant": func(v string) { q.tenant = v },
	} {
		switch values := q.claims[name]; {
		case len(values) > 1:
			return nil, bad("there are %d claims %q; one at most", len(values), name), nil
		case len(values) == 1 && values[0] == "":
			return nil, bad("the claim %q is empty", name), nil
		case len(values) == 1:
			take(values[0])
		}
	}
	return q, nil, nil
}

// result are the roles and permissions at a node.
type result struct {
	Roles       []string `json:"roles"`
	Permissions []string `json:"permissions"`
}

// evaluated asks for the document of a node; nil is an unknown path.
func (q *asked) evaluated(c *dialects.Call, path string) (*result, error) {
	answer, err := c.JSON(http.MethodPost, "/v1/data/apps/policytree/result", nil, map[string]any{"input": map[string]any{
		"subject": q.subject, "resource": entity{Type: "policytree", ID: path, Tenant: q.tenant}, "context": map[string]any{"claims": q.claims},
	}})
	if err != nil {
		return nil, err
	}
	var said struct {
		Result struct {
			result
			Reasons []struct {
				Code string `json:"code"`
			} `json:"reasons"`
		} `json:"result"`
	}
	if err := answer.Decode(&said); err != nil {
		return nil, err
	}
	for _, reason := range said.Result.Reasons {
		if reason.Code == "unknown_path" {
			return nil, nil
		}
	}
	slices.Sort(said.Result.Roles)
	slices.Sort(said.Result.Permissions)
	return &said.Result.result, nil
}

func evaluate(c *dialects.Call) (dialects.Reply, error) {
	q, f, err := question(c)
	if f != nil || err != nil {
		return toldOr(f, err)
	}
	path := c.Params["path"]
	found, err := q.evaluated(c, path)
	switch {
	case err != nil:
		return dialects.Reply{}, err
	case found == nil:
		return missing("policy", path).reply(), nil
	}
	return dialects.Reply{Status: http.StatusOK, Body: found}, nil
}

// search lists the policies below one in which the subject is or may something: those for which the decision is a permit.
func search(wanted func(path, found string) bool) func(*dialects.Call) (dialects.Reply, error) {
	return func(c *dialects.Call) (dialects.Reply, error) {
		q, f, err := question(c)
		if f != nil || err != nil {
			return toldOr(f, err)
		}
		path := c.Params["path"]
		if here, err := q.evaluated(c, path); err != nil || here == nil {
			return toldOr(missing("policy", path), err)
		}
		policies := []policyView{}
		token := ""
		for {
			answer, err := c.JSON(http.MethodPost, "/access/v1/search/resource", nil, map[string]any{
				"subject": q.subject, "action": map[string]string{"name": "evaluate"}, "resource": entity{Type: "policytree", Tenant: q.tenant},
				"context": map[string]any{"claims": q.claims}, "page": map[string]any{"limit": 1000, "token": token},
			})
			if err != nil {
				return dialects.Reply{}, err
			}
			var page struct {
				Page struct {
					Next string `json:"next_token"`
				} `json:"page"`
				Results []entity `json:"results"`
			}
			if err := answer.Decode(&page); err != nil {
				return dialects.Reply{}, err
			}
			for _, e := range page.Results {
				if wanted(path, e.ID) {
					policies = append(policies, viewPolicy(e.ID))
				}
			}
			if token = page.Page.Next; token == "" {
				break
			}
		}
		slices.SortFunc(policies, func(a, b policyView) int { return strings.Compare(a.Path, b.Path) })
		return dialects.Reply{Status: http.StatusOK, Body: policies}, nil
	}
}
