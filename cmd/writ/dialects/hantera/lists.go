package hantera

import (
	"maps"
	"net/http"
	"net/url"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// nativePage is a page of a native list.
type nativePage struct {
	Items []object `json:"items"`
	Total *int     `json:"total"`
	First *string  `json:"first"`
	Last  *string  `json:"last"`
}

func (p *nativePage) shown(as show) []object {
	items := make([]object, len(p.Items))
	for i, item := range p.Items {
		items[i] = as(item, "")
	}
	return items
}

// paging are the parameters of every list.
func paging(filters ...string) []string {
	return append([]string{"limit", "after", "before"}, filters...)
}

// named are the parameters that have a native one.
func named() map[string]string {
	return map[string]string{
		"limit": "limit", "after": "after", "before": "before", "rolePrefix": "role_prefix", "role": "role", "roles": "role",
		"name": "name_prefix", "email": "email_prefix",
	}
}

// list renders a native list under the name that this system has for it.
func list(c *dialects.Call, path, name string, as show, add url.Values) (dialects.Reply, error) {
	query := url.Values{"count": {"true"}}
	for from, to := range named() {
		if value, ok := c.Query[from]; ok {
			query.Add(to, value)
		}
	}
	if len(query["role"]) > 1 {
		return dialects.Reply{}, &dialects.Fault{Kind: dialects.BadParameter, At: "roles", Detail: "name role or roles, not both"}
	}
	maps.Copy(query, add)
	var page nativePage
	if _, err := c.Get(path, query, &page); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: http.StatusOK, Body: object{
		name: page.shown(as), "totalCount": page.Total, "firstCursor": page.First, "lastCursor": page.Last,
	}}, nil
}

func listPrincipals(c *dialects.Call) (dialects.Reply, error) {
	all, err := c.Choice("includeSuspended", "false", "true", "false")
	if err != nil {
		return dialects.Reply{}, err
	}
	if _, err := c.Choice("orderBy", "id", "id"); err != nil {
		return dialects.Reply{}, err
	}
	add := url.Values{}
	if all == "false" {
		add.Set("suspended", "false")
	}
	return list(c, "/v1/users", "principals", principal, add)
}

func listClients(c *dialects.Call) (dialects.Reply, error) {
	return list(c, "/v1/applications", "clients", client, notProtected())
}

// notProtected leaves system clients out.
func notProtected() url.Values { return url.Values{"protected": {"false"}} }

func listRoles(c *dialects.Call) (dialects.Reply, error) {
	return list(c, "/v1/roles", "roles", role, nil)
}
