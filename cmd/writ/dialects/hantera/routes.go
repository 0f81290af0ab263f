package hantera

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

const (
	principals = "/resources/iam/principals"
	clients    = "/resources/iam/clients"
	roles      = "/resources/iam/roles"
)

// New is the dialect.
func New() *dialects.Dialect {
	const admin = dialects.Admin
	return &dialects.Dialect{
		Name: "hantera", Failure: fail,
		Routes: []dialects.Route{
			{Method: http.MethodPost, Path: "/oauth/token", Plane: dialects.Public, Body: dialects.Form, Do: token},
			{Method: http.MethodGet, Path: "/resources/me", Plane: dialects.Public, Do: me},
			{Method: http.MethodGet, Path: "/resources/me", Plane: admin, Do: me},
			{Method: http.MethodPost, Path: "/resources/me/password", Plane: dialects.Public, Body: dialects.JSON, Do: postPassword},
			{Method: http.MethodPost, Path: "/resources/me/password", Plane: admin, Body: dialects.JSON, Do: postPassword},

			{
				Method: http.MethodGet, Path: principals, Plane: admin, Query: paging("rolePrefix", "role", "roles", "name", "email", "orderBy", "includeSuspended"),
				Lists: []string{"roles"}, Do: listPrincipals,
			},
			{Method: http.MethodGet, Path: principals + "/{id}", Plane: admin, Do: one("/v1/users", principal)},
			{Method: http.MethodPut, Path: principals + "/{id}", Plane: admin, Body: dialects.JSON, Do: putPrincipal},
			{Method: http.MethodDelete, Path: principals + "/{id}", Plane: admin, Do: gone("/v1/users")},
			{Method: http.MethodPut, Path: principals + "/{id}/roles", Plane: admin, Body: dialects.JSON, Do: putRoles("/v1/users", principal)},
			{Method: http.MethodPost, Path: principals + "/{id}/password/reset", Plane: admin, Do: resetPassword},

			{Method: http.MethodGet, Path: clients, Plane: admin, Query: paging("rolePrefix", "role", "roles", "name"), Lists: []string{"roles"}, Do: listClients},
			{Method: http.MethodGet, Path: clients + "/{id}", Plane: admin, Do: one("/v1/applications", client)},
			{Method: http.MethodPut, Path: clients + "/{id}", Plane: admin, Body: dialects.JSON, Do: putClient},
			{Method: http.MethodDelete, Path: clients + "/{id}", Plane: admin, Do: gone("/v1/applications")},
			{Method: http.MethodPut, Path: clients + "/{id}/roles", Plane: admin, Body: dialects.JSON, Do: putRoles("/v1/applications", client)},
			{Method: http.MethodPost, Path: clients + "/{id}/secrets", Plane: admin, Body: dialects.JSON, Do: postSecret},
			{Method: http.MethodGet, Path: clients + "/{id}/secrets", Plane: admin, Do: listSecrets},
			{Method: http.MethodDelete, Path: clients + "/{id}/secrets/{secret}", Plane: admin, Do: deleteSecret},

			{Method: http.MethodGet, Path: roles, Plane: admin, Query: paging(), Do: listRoles},
			{Method: http.MethodGet, Path: roles + "/{id}", Plane: admin, Do: one("/v1/roles", role)},
			{Method: http.MethodPut, Path: roles + "/{id}", Plane: admin, Body: dialects.JSON, Do: putRole},
			{Method: http.MethodDelete, Path: roles + "/{id}", Plane: admin, Do: gone("/v1/roles")},

			{Method: http.MethodPost, Path: "/resources/graph/query", Plane: admin, Body: dialects.JSON, Do: postGraph},
		},
	}
}

// fail renders errors as the native routes do, and a precondition that failed as the conflict that the clients of this system know. A
// parameter has the name that the request gave it.
func fail(c *dialects.Call, err error) dialects.Reply {
	reply := dialects.Native(nil)(c, err)
	refusal := refused(err)
	if refusal == nil {
		return reply
	}
	said := object{}
	if json.Unmarshal(refusal.Body, &said) != nil {
		return reply
	}
	stale := refusal.Status == http.StatusPreconditionFailed
	if stale {
		reply.Status, said["status"] = http.StatusConflict, http.StatusConflict
		reply.Body = said
	}
	for there, here := range named() {
		if _, given := c.Query[there]; given && said["parameter"] == here {
			said["parameter"] = there
			reply.Body = said
		}
	}
	return reply
}

// renamed are the resources of this system, what they are natively, and what writing includes there that is a right of its own here.
func renamed() [][3]string {
	return [][3]string{{"iam/principals", "iam/users", "reset_password"}, {"iam/clients", "iam/applications", "write_scopes"}}
}

func rename(resource string, from, to int) string {
	for _, names := range renamed() {
		if rest, ok := strings.CutPrefix(resource+"/", names[from]+"/"); ok {
			return strings.TrimSuffix(names[to]+"/"+rest, "/")
		}
	}
	return resource
}

// more is what writing includes there and is a right of its own here, of a native resource.
func more(resource, action string) string {
	for _, names := range renamed() {
		if action == "write" && strings.HasPrefix(resource+"/", names[1]+"/") {
			return names[2]
		}
	}
	return ""
}

// rights are the native pairs of resource and action that a permission here is.
func rights(resource, permission string) [][2]string {
	resource = rename(resource, 0, 1)
	pairs := [][2]string{{resource, permission}}
	if also := more(resource, permission); also != "" {
		pairs = append(pairs, [2]string{resource, also})
	}
	return pairs
}

// nativeScopes are the scopes that scopes of this system are.
func nativeScopes(scopes []string) []string {
	native := []string{}
	for _, scope := range scopes {
		resource, permission, _ := strings.Cut(scope, ":")
		for _, pair := range rights(resource, permission) {
			native = append(native, pair[0]+":"+pair[1])
		}
	}
	return native
}

// shownScopes are the scopes that a list of native ones amounts to, without what writing includes.
func shownScopes(native []any) []string {
	shown := []string{}
	for _, item := range native {
		scope, _ := item.(string)
		resource, action, _ := strings.Cut(scope, ":")
		if action == more(resource, "write") && slices.Contains(native, any(resource+":write")) {
			continue
		}
		shown = append(shown, rename(resource, 1, 0)+":"+action)
	}
	return shown
}

// token is the token endpoint; the scopes are renamed both ways.
func token(c *dialects.Call) (dialects.Reply, error) {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return dialects.Reply{}, &dialects.Fault{Kind: dialects.Malformed, Detail: "the body is not a form"}
	}
	if len(form["scope"]) == 1 && form.Get("scope") != "" {
		form.Set("scope", strings.Join(nativeScopes(strings.Fields(form.Get("scope"))), " "))
	}
	answer, err := c.Form("/oauth2/token", form)
	if err != nil {
		return dialects.Reply{}, err
	}
	given := object{}
	if err := answer.Decode(&given); err != nil {
		return dialects.Reply{}, err
	}
	if text, ok := given["scope"].(string); ok {
		var native []any
		for _, scope := range strings.Fields(text) {
			native = append(native, scope)
		}
		given["scope"] = strings.Join(shownScopes(native), " ")
	}
	return dialects.Reply{Status: http.StatusOK, Body: given}, nil
}
