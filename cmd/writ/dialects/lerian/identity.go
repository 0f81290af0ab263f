package lerian

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// masked stands where a secret is that is not shown.
const masked = "********"

// page is a list as the Identity plugin writes it.
type page struct {
	Items []any `json:"items"`
	Page  int   `json:"page"`
	Limit int   `json:"limit"`
	Total int   `json:"total"`
}

// paged answers a list: page from 1, limit from 1 to 100, ten unless said otherwise.
func paged(c *dialects.Call, path string, show func(json.RawMessage) (any, error)) (dialects.Reply, error) {
	number, err := c.Number("page", 1, 1<<31-1, 1)
	if err != nil {
		return dialects.Reply{}, err
	}
	limit, err := c.Number("limit", 1, 100, 10)
	if err != nil {
		return dialects.Reply{}, err
	}
	part, err := c.Page(path, nil, (number-1)*limit, limit)
	if err != nil {
		return dialects.Reply{}, err
	}
	shown := page{Items: []any{}, Page: number, Limit: limit, Total: part.Total}
	for _, item := range part.Items {
		one, err := show(item)
		if err != nil {
			return dialects.Reply{}, err
		}
		shown.Items = append(shown.Items, one)
	}
	return dialects.Reply{Status: http.StatusOK, Body: shown}, nil
}

// shown reads a native object and renames it.
func shown[N, L any](rename func(N) L) func(json.RawMessage) (any, error) {
	return func(raw json.RawMessage) (any, error) {
		var native N
		if err := json.Unmarshal(raw, &native); err != nil {
			return nil, err
		}
		return rename(native), nil
	}
}

// The groups.

type nativeGroup struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	CreatedAt string `json:"created_at"`
}

type group struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	CreatedAt string `json:"createdAt"`
	// Users are the ids of the members; absent where the caller may not list users.
	Users any `json:"users,omitempty"`
}

// withUsers puts the members into a group. Who may not list users sees none.
func withUsers(c *dialects.Call, g group) (group, error) {
	members := []string{}
	err := c.Walk("/v1/users", url.Values{"group": {g.ID}}, func(item json.RawMessage) bool {
		var member struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(item, &member) == nil {
			members = append(members, member.ID)
		}
		return true
	})
	var refusal *dialects.Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusForbidden {
		return g, nil
	}
	g.Users = members
	return g, err
}

func renameGroup(n nativeGroup) group { return group{ID: n.ID, Name: n.Name, CreatedAt: n.CreatedAt} }

func listGroups(c *dialects.Call) (dialects.Reply, error) {
	return paged(c, "/v1/groups", func(raw json.RawMessage) (any, error) {
		var native nativeGroup
		if err := json.Unmarshal(raw, &native); err != nil {
			return nil, err
		}
		return withUsers(c, renameGroup(native))
	})
}

// version is the ETag of what was read last, for a reply that is about it and needs more calls.
func version(c *dialects.Call) http.Header {
	header := http.Header{}
	if etag := c.Passed("Etag"); etag != "" {
		header.Set("Etag", etag)
	}
	return header
}

func getGroup(c *dialects.Call) (dialects.Reply, error) {
	var native nativeGroup
	if _, err := c.Get(dialects.Path("v1", "groups", c.Params["id"]), nil, &native); err != nil {
		return dialects.Reply{}, err
	}
	header := version(c)
	whole, err := withUsers(c, renameGroup(native))
	return dialects.Reply{Status: http.StatusOK, Header: header, Body: whole}, err
}

// The applications.

type nativeApplication struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreatedAt   string `json:"created_at"`
	Secret      struct {
		Value string `json:"value"`
	} `json:"secret"`
}

type applicationView struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Description  string `json:"description"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	CreatedAt    string `json:"createdAt"`
}

func renameApplication(n nativeApplication) applicationView {
	view := applicationView{
		ID: n.ID, Name: n.Name, Description: n.Description, ClientID: n.ID, ClientSecret: n.Secret.Value, CreatedAt: n.CreatedAt,
	}
	if view.ClientSecret == "" {
		view.ClientSecret = masked
	}
	return view
}

func listApplications(c *dialects.Call) (dialects.Reply, error) {
	return paged(c, "/v1/applications", shown(renameApplication))
}

// createApplication makes one for a product: name is that of the role lerian:<name>, which says what the product may reach. The roles that
// begin so are the enumeration of products.
func createApplication(c *dialects.Call) (dialects.Reply, error) {
	var in struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := dialects.Require("name", in.Name, "description", in.Description); err != nil {
		return dialects.Reply{}, err
	}
	if !regexp.MustCompile(`^[a-z0-9._-]{1,100}$`).MatchString(in.Name) { // no role could have such a key
		return dialects.Reply{}, worded(http.StatusBadRequest, "IDE-0012")
	}
	answer, err := c.JSON(http.MethodPost, "/v1/applications", nil, map[string]any{
		"name": in.Name, "description": in.Description, "grant_types": []string{"client_credentials"}, "token_signing_alg": signingAlg,
		"roles": []string{"lerian:" + in.Name},
	})
	if err != nil {
		return dialects.Reply{}, err
	}
	var native nativeApplication
	if err := answer.Decode(&native); err != nil {
		return dialects.Reply{}, err
	}
	return created(c, "applications", native.ID, renameApplication(native)), nil
}

func created(c *dialects.Call, kind, id string, body any) dialects.Reply {
	return dialects.Reply{
		Status: http.StatusCreated, Header: http.Header{"Location": {c.Base + dialects.Path("v1", kind, id)}}, Body: body,
	}
}

// getApplication shows an application, with its secret where a native reveal is permitted: it is asked for, decided and audited as one.
// Whatever it is refused for, the secret is masked; an outage is none of these.
func getApplication(c *dialects.Call) (dialects.Reply, error) {
	path := dialects.Path("v1", "applications", c.Params["id"])
	var native nativeApplication
	if _, err := c.Get(path, nil, &native); err != nil {
		return dialects.Reply{}, err
	}
	header := version(c)
	header.Set("Cache-Control", "no-store")
	value, err := reveal(c, path)
	var refusal *dialects.Refusal
	if errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError {
		err = nil
	}
	native.Secret.Value = value
	return dialects.Reply{Status: http.StatusOK, Header: header, Body: renameApplication(native)}, err
}

// reveal asks for the newest secret that can be read again.
func reveal(c *dialects.Call, path string) (string, error) {
	c.Header.Del("If-None-Match") // it is about the application
	c.Header.Del("If-Match")
	var secrets struct {
		Items []struct {
			ID          string `json:"id"`
			CreatedAt   string `json:"created_at"`
			Retrievable bool   `json:"retrievable"`
		} `json:"items"`
	}
	if _, err := c.Get(path+"/secrets", nil, &secrets); err != nil {
		return "", err
	}
	items := secrets.Items
	for _, secret := range slices.Backward(items) {
		if !secret.Retrievable {
			continue
		}
		answer, err := c.JSON(http.MethodPost, path+"/secrets"+dialects.Path(secret.ID, "reveal"), nil, map[string]any{
			"reason": "GET of the application by the dialect " + c.Dialect,
		})
		if err != nil {
			return "", err
		}
		var revealed struct {
			Value string `json:"value"`
		}
		return revealed.Value, answer.Decode(&revealed)
	}
	return "", nil
}

func deleteApplication(c *dialects.Call) (dialects.Reply, error) { return remove(c, "applications") }

func remove(c *dialects.Call, kind string) (dialects.Reply, error) {
	_, err := c.JSON(http.MethodDelete, dialects.Path("v1", kind, c.Params["id"]), nil, nil)
	return dialects.Reply{Status: http.StatusNoContent}, err
}
