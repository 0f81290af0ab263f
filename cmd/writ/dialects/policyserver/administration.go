package policyserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

type tenantBody struct {
	ID      *string `json:"id"`
	Name    *string `json:"name"`
	Enabled *bool   `json:"enabled"`
}

type tenantView struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
}

func tenantRoutes() []dialects.Route {
	const one = "/management/tenants/{id}"
	return []dialects.Route{
		{Method: "GET", Path: "/management/tenants", Do: listTenants},
		{Method: "POST", Path: "/management/tenants", Body: dialects.JSON, Do: postTenant},
		{Method: "GET", Path: one, Do: func(c *dialects.Call) (dialects.Reply, error) {
			var t tenantView
			_, err := c.Get(dialects.Path("v1", "tenants", c.Params["id"]), nil, &t)
			return dialects.Reply{Status: http.StatusOK, Body: t}, err
		}},
		{Method: "PUT", Path: one, Body: dialects.JSON, Do: putTenant},
		{Method: "DELETE", Path: one, Do: func(c *dialects.Call) (dialects.Reply, error) {
			_, err := c.JSON(http.MethodDelete, dialects.Path("v1", "tenants", c.Params["id"]), nil, nil)
			return dialects.Reply{Status: http.StatusNoContent}, err
		}},
	}
}

// every reads all of a native list.
func every[T any](c *dialects.Call, path string, query url.Values) ([]T, error) {
	found := []T{}
	var unread error
	err := c.Walk(path, query, func(item json.RawMessage) bool {
		var one T
		unread = json.Unmarshal(item, &one)
		found = append(found, one)
		return unread == nil
	})
	return found, errors.Join(err, unread)
}

func listTenants(c *dialects.Call) (dialects.Reply, error) {
	found, err := every[tenantView](c, "/v1/tenants", url.Values{})
	return dialects.Reply{Status: http.StatusOK, Body: found}, err
}

// fields are what a body says of a tenant, but for its id.
func (in tenantBody) fields() map[string]any {
	fields := map[string]any{}
	if in.Name != nil {
		fields["name"] = *in.Name
	}
	if in.Enabled != nil {
		fields["enabled"] = *in.Enabled
	}
	return fields
}

func postTenant(c *dialects.Call) (dialects.Reply, error) {
	var in tenantBody
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if in.ID == nil {
		return bad("a tenant has an id").reply(), nil
	}
	if f := named("tenant", *in.ID); f != nil {
		return f.reply(), nil
	}
	if in.Name == nil {
		in.Name = in.ID
	}
	c.Header.Set("If-None-Match", "*")
	answer, err := c.JSON(http.MethodPut, dialects.Path("v1", "tenants", *in.ID), nil, in.fields())
	var refusal *dialects.Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusPreconditionFailed {
		return taken("tenant", *in.ID).reply(), nil
	}
	if err != nil {
		return dialects.Reply{}, err
	}
	var t tenantView
	if err := answer.Decode(&t); err != nil {
		return dialects.Reply{}, err
	}
	return told(c, made("tenants", t.ID, t), nil)
}

func putTenant(c *dialects.Call) (dialects.Reply, error) {
	var in tenantBody
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if in.ID != nil && *in.ID != c.Params["id"] {
		return bad("a tenant keeps its id").reply(), nil
	}
	answer, err := c.JSON(http.MethodPatch, dialects.Path("v1", "tenants", c.Params["id"]), nil, in.fields())
	if err != nil {
		return dialects.Reply{}, err
	}
	var t tenantView
	return dialects.Reply{Status: http.StatusOK, Body: &t}, answer.Decode(&t)
}

// administratorView is a user who has the role of an administrator.
type administratorView struct {
	Subject  string `json:"subject"`
	Username string `json:"username"`
}

type holder struct {
	ID       string   `json:"id"`
	Username string   `json:"username"`
	Roles    []string `json:"roles"`
}

func administratorRoutes() []dialects.Route {
	return []dialects.Route{
		{Method: "GET", Path: "/management/administrators", Do: listAdministrators},
		{Method: "POST", Path: "/management/administrators", Body: dialects.JSON, Do: postAdministrator},
		{Method: "DELETE", Path: "/management/administrators/{subject}", Do: deleteAdministrator},
	}
}

func listAdministrators(c *dialects.Call) (dialects.Reply, error) {
	found, err := every[holder](c, "/v1/users", url.Values{"role": {administrator}})
	if err != nil {
		return dialects.Reply{}, err
	}
	list := make([]administratorView, 0, len(found))
	for _, u := range found {
		list = append(list, administratorView{u.ID, u.Username})
	}
	return dialects.Reply{Status: http.StatusOK, Body: list}, nil
}

// give changes the roles of a user, for the version that was read.
func give(c *dialects.Call, subject string, edit func(roles []string) ([]string, *fault)) (*holder, *fault, error) {
	path := dialects.Path("v1", "users", subject)
	c.Header.Del("If-None-Match")
	var u holder
	answer, err := c.Get(path, nil, &u)
	if err != nil {
		return nil, nil, err
	}
	roles, f := edit(u.Roles)
	if f != nil {
		return nil, f, nil
	}
	c.Header.Set("If-Match", answer.Header.Get("ETag"))
	_, err = c.JSON(http.MethodPatch, path, nil, map[string]any{"roles": roles})
	return &u, nil, err
}

func postAdministrator(c *dialects.Call) (dialects.Reply, error) {
	var in subjectBody
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if in.Subject == "" {
		return bad("name the subject").reply(), nil
	}
	u, f, err := give(c, in.Subject, func(roles []string) ([]string, *fault) {
		if slices.Contains(roles, administrator) {
			return nil, taken("administrator", in.Subject)
		}
		return append(roles, administrator), nil
	})
	if f != nil || err != nil {
		return toldOr(f, err)
	}
	return told(c, made("administrators", u.ID, administratorView{u.ID, u.Username}), nil)
}

func deleteAdministrator(c *dialects.Call) (dialects.Reply, error) {
	subject := c.Params["subject"]
	_, f, err := give(c, subject, func(roles []string) ([]string, *fault) {
		if !slices.Contains(roles, administrator) {
			return nil, missing("administrator", subject)
		}
		return slices.DeleteFunc(roles, func(r string) bool { return r == administrator }), nil
	})
	if f != nil || err != nil {
		return toldOr(f, err)
	}
	return dialects.Reply{Status: http.StatusNoContent}, nil
}

func toldOr(f *fault, err error) (dialects.Reply, error) {
	if err != nil {
		return dialects.Reply{}, err
	}
	return f.reply(), nil
}
