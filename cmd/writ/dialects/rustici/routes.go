package rustici

import (
	"errors"
	"net/http"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// application is who signs in where the login names no client.
const application = "dialect-rustici"

const (
	loginPath       = "/api/v1/login/access_token"
	credentialsPath = "/api/v1/credentials"
	mePath          = credentialsPath + "/me"
	tenantsPath     = "/api/v1/app_management/tenants"
)

// New is the dialect.
func New() *dialects.Dialect {
	const public, admin = dialects.Public, dialects.Admin
	return &dialects.Dialect{
		Name: "rustici", Application: application, Failure: fail,
		Routes: []dialects.Route{
			{Method: http.MethodPost, Path: loginPath, Plane: public, Body: dialects.Form, Do: login},

			{Method: http.MethodGet, Path: mePath, Plane: public, Do: getMe},
			{Method: http.MethodPut, Path: mePath, Plane: public, Body: dialects.JSON, Do: putMe},
			{Method: http.MethodGet, Path: mePath, Plane: admin, Do: getMe},
			{Method: http.MethodPut, Path: mePath, Plane: admin, Body: dialects.JSON, Do: putMe},

			{Method: http.MethodGet, Path: credentialsPath, Plane: admin, Query: []string{"limit", "after", "tenant"}, Do: listCredentials},
			{Method: http.MethodPost, Path: credentialsPath, Plane: admin, Query: []string{"tenant"}, Body: dialects.JSON, Do: postCredential},
			{Method: http.MethodGet, Path: credentialsPath + "/{id}", Plane: admin, Do: getCredential},
			{Method: http.MethodPut, Path: credentialsPath + "/{id}", Plane: admin, Body: dialects.JSON, Do: putCredential},
			{Method: http.MethodDelete, Path: credentialsPath + "/{id}", Plane: admin, Do: deleteCredential},

			{Method: http.MethodGet, Path: tenantsPath, Plane: admin, Query: []string{"limit", "after"}, Do: listTenants},
			{Method: http.MethodPost, Path: tenantsPath, Plane: admin, Body: dialects.JSON, Do: postTenant},
			{Method: http.MethodGet, Path: tenantsPath + "/{id}", Plane: admin, Do: getTenant},
			{Method: http.MethodPut, Path: tenantsPath + "/{id}", Plane: admin, Body: dialects.JSON, Do: putTenant},
			{Method: http.MethodDelete, Path: tenantsPath + "/{id}", Plane: admin, Do: deleteTenant},
		},
	}
}

// fail renders errors as the native routes do; what is wrong with the request of a login, as the token endpoint.
func fail(c *dialects.Call, err error) dialects.Reply {
	reply := dialects.Native(nil)(c, err)
	var fault *dialects.Fault
	known := errors.As(err, &fault) && fault.Kind != dialects.NoRoute && fault.Kind != dialects.NoMethod
	if !known || !strings.HasSuffix(c.Request.URL.Path, loginPath) {
		return reply
	}
	return dialects.Reply{
		Status: http.StatusBadRequest, Header: http.Header{"Cache-Control": {"no-store"}},
		Body: map[string]string{"error": "invalid_request", "error_description": "The request of a token is a form without a query."},
	}
}
