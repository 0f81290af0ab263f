package identity

import (
	"context"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

type resolve = func(ctx context.Context, req *enforce.Request) (enforce.Resolved, error)

// paged are the query parameters of every list.
func paged(filters ...string) []string { return append([]string{"limit", "after"}, filters...) }

// totalled are those of the lists that tell how many rows there are.
func totalled(filters ...string) []string { return turning(append([]string{"count"}, filters...)...) }

// turning are those of the lists that go both ways.
func turning(filters ...string) []string { return paged(append([]string{"before"}, filters...)...) }

// Routes is the admin API.
func (r *Room) Routes() []enforce.Route {
	const users, groups, roles, tenants = "iam/users", "iam/groups", "iam/roles", "iam/tenants"
	const applications, sessions = "iam/applications", "iam/sessions"
	return shaped([]enforce.Route{
		table("GET", "/v1/users", users, "read", r.listUsers, totalled("role", "role_prefix", "group", "tenant", "suspended", "name_prefix", "email_prefix")...),
		row("POST", "/v1/users", users, "write", r.postUser),
		row("GET", "/v1/users/{id}", users, "read", r.getUser),
		row("PUT", "/v1/users/{id}", users, "write", r.putUser),
		row("PATCH", "/v1/users/{id}", users, "write", r.patchUser),
		row("DELETE", "/v1/users/{id}", users, "delete", r.deleteUser),
		optional("POST", "/v1/users/{id}/password/reset", users, "reset_password", r.resetPassword),
		row("DELETE", "/v1/users/{id}/tokens", users, "revoke_tokens", r.revokeUserTokens),

		table("GET", "/v1/groups", groups, "read", r.listGroups, totalled("tenant", "role", "name_prefix")...),
		row("POST", "/v1/groups", groups, "write", r.postGroup),
		row("GET", "/v1/groups/{id}", groups, "read", r.getGroup),
		row("PUT", "/v1/groups/{id}", groups, "write", r.putGroup),
		row("PATCH", "/v1/groups/{id}", groups, "write", r.patchGroup),
		row("DELETE", "/v1/groups/{id}", groups, "delete", r.deleteGroup, "force"),

		table("GET", "/v1/roles", roles, "read", r.listRoles, totalled("tenant", "inherits", "key_prefix")...),
		row("POST", "/v1/roles", roles, "write", r.postRole),
		row("GET", "/v1/roles/{key}", roles, "read", r.getRole),
		row("PUT", "/v1/roles/{key}", roles, "write", r.putRole),
		row("PATCH", "/v1/roles/{key}", roles, "write", r.patchRole),
		row("DELETE", "/v1/roles/{key}", roles, "delete", r.deleteRole, "force"),

		table("GET", "/v1/tenants", tenants, "read", r.listTenants, totalled()...),
		row("POST", "/v1/tenants", tenants, "write", r.postTenant),
		row("GET", "/v1/tenants/{id}", tenants, "read", r.getTenant),
		row("PUT", "/v1/tenants/{id}", tenants, "write", r.putTenant),
		row("PATCH", "/v1/tenants/{id}", tenants, "write", r.patchTenant),
		row("DELETE", "/v1/tenants/{id}", tenants, "delete", r.deleteTenant),

		table("GET", "/v1/applications", applications, "read", r.listApplications,
			totalled("role", "role_prefix", "group", "tenant", "protected", "active", "name_prefix")...),
		row("POST", "/v1/applications", applications, "write", r.postApplication),
		row("POST", "/v1/applications/bulk-delete", applications, "delete", r.bulkDelete),
		row("GET", "/v1/applications/{id}", applications, "read", r.getApplication),
		row("PUT", "/v1/applications/{id}", applications, "write", r.putApplication),
		row("PATCH", "/v1/applications/{id}", applications, "write", r.patchApplication),
		row("DELETE", "/v1/applications/{id}", applications, "delete", r.deleteApplication),
		row("GET", "/v1/applications/{id}/scopes", applications, "read", r.getScopes),
		row("PUT", "/v1/applications/{id}/scopes", applications, "write_scopes", r.putScopes),
		row("GET", "/v1/applications/{id}/secrets", applications, "read", r.listSecrets),
		row("POST", "/v1/applications/{id}/secrets", applications, "write", r.postSecret),
		row("DELETE", "/v1/applications/{id}/secrets/{sid}", applications, "write", r.deleteSecret, "force"),
		row("DELETE", "/v1/applications/{id}/tokens", applications, "revoke_tokens", r.revokeApplicationTokens),

		table("GET", "/v1/access-review", "iam/access", "read", r.reviewAccess,
			paged("type", "tenant", "role", "role_prefix", "group", "permission", "application", "unused_for")...),

		table("GET", "/v1/sessions", sessions, "read", r.listSessions, paged("subject", "client", "ended")...),
		row("DELETE", "/v1/sessions", sessions, "delete", r.endSessionsOf, "subject"),
		row("DELETE", "/v1/sessions/{sid}", sessions, "delete", r.endSession),
		row("DELETE", "/v1/tokens", "tokens", "revoke_all", r.revokeAllTokens),

		row("POST", "/v1/import", "iam/imports", "write", r.importMany),
		row("POST", "/v1/export/verifiers", "iam/verifiers", "export", r.exportVerifiers),

		row("GET", "/v1/catalogue", "catalogue", "read", r.getCatalogue, "q", "group"),

		row("GET", "/v1/policies", "policies", "read", r.getPolicies),
		large("POST", "/v1/policies", "policies", "write", r.postPolicies),
		row("POST", "/v1/policies/rollback", "policies", "activate", r.postRollback),
		row("GET", "/v1/policies/{revision}", "policies", "read", r.getRevision),
		row("DELETE", "/v1/policies/{revision}", "policies", "write", r.deleteRevision),
		row("POST", "/v1/policies/{revision}/activate", "policies", "activate", r.postActivate),
		row("GET", "/v1/policies/{revision}/shadow", "policies", "read", r.getShadow),
		row("POST", "/v1/policies/{revision}/shadow", "policies", "activate", r.postShadow),
		row("DELETE", "/v1/policies/{revision}/shadow", "policies", "activate", r.deleteShadow),
		row("GET", "/v1/policy-activations", "policies", "read", r.listActivations, "limit", "after"),
		row("GET", "/v1/policy-data", "policies/data", "read", r.listDocuments),
		row("GET", "/v1/policy-data/{path...}", "policies/data", "read", r.getDocument),
		row("PUT", "/v1/policy-data/{path...}", "policies/data", "write", r.putDocument),
		row("DELETE", "/v1/policy-data/{path...}", "policies/data", "delete", r.deleteDocument),

		table("GET", "/v1/audit", "audit", "read", r.listAudit, paged(auditFilters()...)...),

		table("GET", "/v1/keys", "keys", "read", r.listKeys, turning("ring")...),
		row("POST", "/v1/keys", "keys", "write", r.postKey),
		row("GET", "/v1/keys/{kid}", "keys", "read", r.getKey),
		row("DELETE", "/v1/keys/{kid}", "keys", "write", r.deleteKey),
	})
}

// MeRoutes is what everybody may ask about the own identity, on both listeners.
func (r *Room) MeRoutes() []enforce.Route {
	return shaped([]enforce.Route{
		row("GET", "/v1/me", "me", "read", r.getMe),
		row("PUT", "/v1/me", "me", "write", r.putMe),
		row("POST", "/v1/me/password", "me", "password", r.postMePassword),
		row("GET", "/v1/me/sessions", "me", "sessions", r.listMySessions, paged("ended")...),
		row("DELETE", "/v1/me/sessions", "me", "sessions", r.endMySessions, "others"),
		row("DELETE", "/v1/me/sessions/{sid}", "me", "sessions", r.endMySession),
	})
}

// RevealRoutes is mounted on the admin listener alone.
func (r *Room) RevealRoutes() []enforce.Route {
	reveal := row("POST", "/v1/applications/{id}/secrets/{sid}/reveal", "iam/applications", "reveal", r.reveal)
	reveal.Entrypoint = policies.EntryCredential
	return shaped([]enforce.Route{reveal})
}

func row(method, path, kind, action string, f resolve, query ...string) enforce.Route {
	body := enforce.NoBody
	if method == "POST" || method == "PUT" || method == "PATCH" {
		body = enforce.JSONBody
	}
	return enforce.Route{
		Method: method, Path: path, Entrypoint: policies.EntryAdmin, Type: kind, Action: action, Query: query, Body: body, Resolve: f,
	}
}

// table is a list, which shows what the permit's filter lets through.
func table(method, path, kind, action string, f resolve, query ...string) enforce.Route {
	list := row(method, path, kind, action, f, query...)
	list.Obligations = []string{"filter"}
	return list
}

// large is a row whose body may hold a whole policy set.
func large(method, path, kind, action string, f resolve) enforce.Route {
	route := row(method, path, kind, action, f)
	route.MaxBody = maxPush
	return route
}

// optional is a row that reads a body where there is one.
func optional(method, path, kind, action string, f resolve) enforce.Route {
	route := row(method, path, kind, action, f)
	route.Body = enforce.OptionalJSON
	return route
}
