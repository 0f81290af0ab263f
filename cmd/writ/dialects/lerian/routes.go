package lerian

import (
	"net/http"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

const (
	// application is who people sign in with.
	application = "dialect-lerian"
	// signingAlg is that of the tokens of the product.
	signingAlg = "RS256"
)

// New is the dialect: every route of the two plugins.
func New() *dialects.Dialect {
	row := func(plane dialects.Plane, method, path string, body dialects.Body, do func(*dialects.Call) (dialects.Reply, error), query ...string) dialects.Route {
		return dialects.Route{Method: method, Path: path, Plane: plane, Body: body, Query: query, Do: bearing(do)}
	}
	const auth, identity = dialects.Public, dialects.Admin
	return &dialects.Dialect{
		Name: "lerian", Application: application, SigningAlg: signingAlg, Failure: fail,
		Routes: []dialects.Route{
			row(auth, http.MethodGet, "/health", dialects.NoBody, health),
			row(auth, http.MethodPost, "/v1/login/oauth/access_token", dialects.JSON, accessToken),
			row(auth, http.MethodPost, "/v1/login/oauth/refresh_token", dialects.JSON, refreshToken),
			row(auth, http.MethodPost, "/v1/login/mfa/verify", dialects.JSON, verifyMFA),
			row(auth, http.MethodPost, "/v1/logout", dialects.Form, logout),
			row(auth, http.MethodPost, "/v1/authorize", dialects.JSON, authorize),
			row(auth, http.MethodGet, "/v1/permissions", dialects.NoBody, permissions),

			row(identity, http.MethodGet, "/v1/groups", dialects.NoBody, listGroups, "page", "limit"),
			row(identity, http.MethodGet, "/v1/groups/{id}", dialects.NoBody, getGroup),

			row(identity, http.MethodGet, "/v1/applications", dialects.NoBody, listApplications, "page", "limit"),
			row(identity, http.MethodPost, "/v1/applications", dialects.JSON, createApplication),
			row(identity, http.MethodGet, "/v1/applications/{id}", dialects.NoBody, getApplication),
			row(identity, http.MethodDelete, "/v1/applications/{id}", dialects.NoBody, deleteApplication),

			row(identity, http.MethodGet, "/v1/users", dialects.NoBody, listUsers, "page", "limit"),
			row(identity, http.MethodPost, "/v1/users", dialects.JSON, createUser),
			row(identity, http.MethodGet, "/v1/users/{id}", dialects.NoBody, getUser),
			row(identity, http.MethodPatch, "/v1/users/{id}", dialects.JSON, patchUser),
			row(identity, http.MethodDelete, "/v1/users/{id}", dialects.NoBody, deleteUser),
			row(identity, http.MethodPatch, "/v1/users/{id}/update-password", dialects.JSON, updatePassword),
			row(identity, http.MethodPatch, "/v1/users/{id}/reset-password", dialects.JSON, resetPassword),
		},
	}
}
