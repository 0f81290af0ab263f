package oauth

import (
	"net/http"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

const (
	tokenPath       = "/oauth2/token"
	introspectPath  = "/oauth2/introspect"
	revokePath      = "/oauth2/revoke"
	sessionsEndPath = "/oauth2/sessions/end"
	jwksPath        = "/.well-known/jwks.json"
	metadataPath    = "/.well-known/oauth-authorization-server"
	openidPath      = "/.well-known/openid-configuration"
)

// Routes is the decided surface of this room.
func (s *Server) Routes() []enforce.Route {
	token := func(path string) enforce.Route {
		return enforce.Route{
			Method: http.MethodPost, Path: path, Entrypoint: policies.EntryToken, Type: "tokens", Action: "issue",
			Body: enforce.FormBody, Resolve: s.resolveToken, Shape: tokenShape(),
			Obligations: []string{"scopes", "audience", "lifetime", "format", "refresh", "claims"},
		}
	}
	return []enforce.Route{
		token(tokenPath),
		token("/connect/token"),
		token("/token"),
		{
			Method: http.MethodPost, Path: introspectPath, Entrypoint: policies.EntryIntrospection, Type: "tokens", Action: "introspect",
			Body: enforce.FormBody, Resolve: s.resolveIntrospect, Shape: introspectShape(),
		},
		{
			Method: http.MethodPost, Path: revokePath, Entrypoint: policies.EntryAdmin, Type: "tokens", Action: "revoke",
			Body: enforce.FormBody, Resolve: s.resolveRevoke, Shape: revokeShape(),
		},
		{
			Method: http.MethodPost, Path: sessionsEndPath, Entrypoint: policies.EntryAdmin, Type: "tokens", Action: "end",
			Body: enforce.OptionalForm, Resolve: s.resolveSessionsEnd, Shape: sessionsEndShape(),
		},
	}
}

// OpenRoutes is the undecided surface: documents for everyone. Of an issuer with a path the metadata is at the inserted
// form (RFC 8414, section 3.1).
func (s *Server) OpenRoutes() []enforce.OpenRoute {
	return []enforce.OpenRoute{
		{Method: http.MethodGet, Path: jwksPath, Handler: s.serveJWKS, Shape: jwksShape()},
		{Method: http.MethodGet, Path: metadataPath + s.issuerPath, Handler: s.metadata.serve, Shape: metadataShape()},
		{Method: http.MethodGet, Path: openidPath + s.issuerPath, Handler: s.metadata.serve, Shape: metadataShape()},
	}
}

// Plane is the OAuth endpoints: callers are found in resolve, the query string is never read, and errors are RFC 6749's.
func (s *Server) Plane() enforce.Plane {
	return enforce.Plane{
		LooseQuery: true, WriteError: s.writeError, WriteDenial: s.writeDenial, Errors: errorShape(), Schemes: []string{"basic", ""},
	}
}
