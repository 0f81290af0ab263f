package rustici

import (
	"net/http"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

const nativeTenants = "/v1/tenants"

// tenant is what this system shows of a tenant.
type tenant struct {
	ID      string `json:"id"`
	Enabled bool   `json:"enabled"`
}

type wantedTenant struct {
	ID      dialects.Field[string] `json:"id"`
	Enabled dialects.Field[bool]   `json:"enabled"`
}

func (w *wantedTenant) fields() map[string]any {
	named := map[string]any{}
	if w.Enabled.Set {
		named["enabled"] = orNull(w.Enabled)
	}
	return named
}

func answeredTenant(answer *dialects.Answer, err error) (dialects.Reply, error) {
	if err != nil {
		return dialects.Reply{}, err
	}
	var t tenant
	if err := answer.Decode(&t); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: answer.Status, Body: t}, nil
}

func listTenants(c *dialects.Call) (dialects.Reply, error) {
	var page struct {
		Items []tenant `json:"items"`
		Next  string   `json:"next"`
	}
	if _, err := c.Get(nativeTenants, asked(c), &page); err != nil {
		return dialects.Reply{}, err
	}
	return listed(page.Items, page.Next), nil
}

func postTenant(c *dialects.Call) (dialects.Reply, error) {
	var in wantedTenant
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := checkID(in.ID.Value); err != nil {
		return dialects.Reply{}, err
	}
	fields := in.fields()
	fields["name"] = in.ID.Value
	c.Header.Set("If-None-Match", "*")
	reply, err := answeredTenant(c.JSON(http.MethodPut, nativeTenants+dialects.Path(in.ID.Value), nil, fields))
	return created(c, reply, tenantsPath+dialects.Path(in.ID.Value), taken(err))
}

func getTenant(c *dialects.Call) (dialects.Reply, error) {
	return answeredTenant(c.JSON(http.MethodGet, nativeTenants+dialects.Path(c.Params["id"]), nil, nil))
}

func putTenant(c *dialects.Call) (dialects.Reply, error) {
	var in wantedTenant
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := same(in.ID, c.Params["id"]); err != nil {
		return dialects.Reply{}, err
	}
	return answeredTenant(c.JSON(http.MethodPatch, nativeTenants+dialects.Path(c.Params["id"]), nil, in.fields()))
}

func deleteTenant(c *dialects.Call) (dialects.Reply, error) {
	return gone(c.JSON(http.MethodDelete, nativeTenants+dialects.Path(c.Params["id"]), nil, nil))
}
