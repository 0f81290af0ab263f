package e2e

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// row is an API row as a client knows it. Its body is a good one, so that a test that spoils one thing spoils only that.
type row struct {
	method, path string
	body         object // nil for a row without a body
	query        string // a query parameter that the row knows and that may be given once, with a value
}

// noRevision is the name of a policy set that nobody pushed.
const noRevision = "0000000000000000000000000000000000000000000000000000000000000000"

// apiRows lists every decided row but the token endpoint, for objects that exist: {u} a user, {a} an application, {s} one
// of its
// secrets, {r} a role, {g} a group, {t} a tenant.
func apiRows() (admin, public []row) {
	me := []row{
		{"GET", "/v1/me", nil, ""},
		{"PUT", "/v1/me", object{"name": "root"}, ""},
		{"POST", "/v1/me/password", object{"current_secret": "x"}, ""},
		{"GET", "/v1/me/sessions", nil, "limit=2"},
		{"DELETE", "/v1/me/sessions", nil, "others=true"},
		{"DELETE", "/v1/me/sessions/none", nil, ""},
	}
	name := "n" + unique("")
	admin = append(slices.Clone(me), []row{
		{"GET", "/v1/users", nil, "limit=2"},
		{"POST", "/v1/users", object{"username": name, "email": name + "@example.com", "name": "N"}, ""},
		{"GET", "/v1/users/{u}", nil, ""},
		{"PUT", "/v1/users/{u}", object{"name": "N"}, ""},
		{"PATCH", "/v1/users/{u}", object{"name": "N"}, ""},
		{"DELETE", "/v1/users/{u}", nil, ""},
		{"POST", "/v1/users/{u}/password/reset", nil, ""},
		{"DELETE", "/v1/users/{u}/tokens", nil, ""},
		{"GET", "/v1/groups", nil, "limit=2"},
		{"POST", "/v1/groups", object{"name": "G"}, ""},
		{"GET", "/v1/groups/{g}", nil, ""},
		{"PUT", "/v1/groups/{g}", object{"name": "G"}, ""},
		{"PATCH", "/v1/groups/{g}", object{"name": "G"}, ""},
		{"DELETE", "/v1/groups/{g}", nil, "force=true"},
		{"GET", "/v1/roles", nil, "limit=2"},
		{"POST", "/v1/roles", object{"key": "e2e:" + name}, ""},
		{"GET", "/v1/roles/{r}", nil, ""},
		{"PUT", "/v1/roles/{r}", object{"description": "R"}, ""},
		{"PATCH", "/v1/roles/{r}", object{"description": "R"}, ""},
		{"DELETE", "/v1/roles/{r}", nil, "force=true"},
		{"GET", "/v1/applications", nil, "limit=2"},
		{"POST", "/v1/applications", object{"name": "A", "grant_types": list{"client_credentials"}}, ""},
		{"POST", "/v1/applications/bulk-delete", object{"ids": list{"app_none"}}, ""},
		{"GET", "/v1/applications/{a}", nil, ""},
		{"PUT", "/v1/applications/{a}", object{"name": "A"}, ""},
		{"PATCH", "/v1/applications/{a}", object{"name": "A"}, ""},
		{"DELETE", "/v1/applications/{a}", nil, ""},
		{"GET", "/v1/applications/{a}/scopes", nil, ""},
		{"PUT", "/v1/applications/{a}/scopes", object{"scopes": list{"ledger:read"}}, ""},
		{"GET", "/v1/applications/{a}/secrets", nil, ""},
		{"POST", "/v1/applications/{a}/secrets", object{"label": "L"}, ""},
		{"DELETE", "/v1/applications/{a}/secrets/{s}", nil, ""},
		{"POST", "/v1/applications/{a}/secrets/{s}/reveal", object{"reason": "R"}, ""},
		{"DELETE", "/v1/applications/{a}/tokens", nil, ""},
		{"GET", "/v1/access-review", nil, "limit=2"},
		{"GET", "/v1/audit", nil, "limit=2"},
		{"GET", "/v1/sessions", nil, "limit=2"},
		{"DELETE", "/v1/sessions", nil, "subject=x"},
		{"DELETE", "/v1/sessions/none", nil, ""},
		{"DELETE", "/v1/tokens", nil, ""},
		{"GET", "/v1/tenants", nil, "limit=2"},
		{"POST", "/v1/tenants", object{"name": "T"}, ""},
		{"GET", "/v1/tenants/{t}", nil, ""},
		{"PUT", "/v1/tenants/{t}", object{"name": "T"}, ""},
		{"PATCH", "/v1/tenants/{t}", object{"name": "T"}, ""},
		{"DELETE", "/v1/tenants/{t}", nil, ""},
		{"POST", "/v1/import", object{"dry_run": true, "tenants": list{object{"id": "t" + name, "name": "T"}}}, ""},
		{"POST", "/v1/export/verifiers", object{"kind": "user"}, ""},
		{"GET", "/v1/catalogue", nil, "q=user"},
		{"GET", "/v1/policies", nil, ""},
		{"POST", "/v1/policies", object{"files": object{"apps/" + name + "/data.yaml": "a: 1"}}, ""},
		{"POST", "/v1/policies/rollback", object{"reason": "R"}, ""},
		{"GET", "/v1/policies/" + noRevision, nil, ""},
		{"DELETE", "/v1/policies/" + noRevision, nil, ""},
		{"POST", "/v1/policies/" + noRevision + "/activate", object{"reason": "R"}, ""},
		{"GET", "/v1/policies/" + noRevision + "/shadow", nil, ""},
		{"POST", "/v1/policies/" + noRevision + "/shadow", object{"share": 0.5}, ""},
		{"DELETE", "/v1/policies/" + noRevision + "/shadow", nil, ""},
		{"GET", "/v1/policy-activations", nil, "limit=2"},
		{"GET", "/v1/policy-data", nil, ""},
		{"GET", "/v1/policy-data/apps/none/x", nil, ""},
		{"PUT", "/v1/policy-data/apps/none/x", object{"a": 1}, ""},
		{"DELETE", "/v1/policy-data/apps/none/x", nil, ""},
		{"GET", "/v1/decisions", nil, "limit=2"},
		{"GET", "/v1/decisions/none", nil, ""},
		{"GET", "/v1/keys", nil, "limit=2"},
		{"POST", "/v1/keys", object{"ring": "access", "alg": "ES256"}, ""},
		{"GET", "/v1/keys/none", nil, ""},
		{"DELETE", "/v1/keys/none", nil, ""},
	}...)
	public = append(slices.Clone(me), []row{
		{"POST", "/v1/data/apps/helpdesk/role", object{"input": object{"subject": object{"type": "application", "id": "root"}}}, ""},
		{"POST", "/v1/batch/data/apps/helpdesk/role", object{"inputs": object{"1": object{"subject": object{"type": "application", "id": "root"}}}}, ""},
		{"POST", "/v1/compile/apps/helpdesk/permit", object{"input": object{"subject": object{"type": "application", "id": "root"}}}, ""},
		{"POST", "/v1/permissions", object{"subject": object{"type": "application", "id": "root"}}, ""},
		{"POST", "/access/v1/evaluation", question("application", "root", "read", "ledger", "1"), ""},
		{"POST", "/access/v1/evaluations", question("application", "root", "read", "ledger", "1"), ""},
		{"POST", "/access/v1/search/subject", question("application", "root", "read", "ledger", "1"), ""},
		{"POST", "/access/v1/search/resource", question("application", "root", "read", "ledger", "1"), ""},
		{"POST", "/access/v1/search/action", question("application", "root", "read", "ledger", "1"), ""},
	}...)
	return admin, public
}

// furniture is what the paths of apiRows stand for.
func (c *scenario) furniture() *strings.Replacer {
	u, a := c.newUser(object{}), c.newApp(object{})
	return strings.NewReplacer("{u}", u.ID, "{a}", a.ID, "{s}", a.SecretID, "{r}", c.newRole("ledger:read"), "{g}",
		c.newGroup(),
		"{t}", c.newTenant())
}

// methods lists the methods of each path.
func methods(rows []row) map[string][]string {
	out := map[string][]string{}
	for _, r := range rows {
		out[r.path] = append(out[r.path], r.method)
	}
	return out
}

func (c *scenario) on(public bool) *scenario {
	if public {
		return c.onPublic()
	}
	return c.onAdmin()
}

// TestC01AndSA17EveryRowWantsACaller walks every row without a credential and with bad ones.
func TestC01AndSA17EveryRowWantsACaller(t *testing.T) {
	c := story(t, shared(t)).root()
	dead := c.token(c.newApp(object{}))
	claims, _ := part(dead, 1)
	c.delete("/v1/applications/" + claims["client_id"].(string)).wantStatus(204)
	replace := c.furniture()
	c.done()
	admin, public := apiRows()
	for i, rows := range [][]row{admin, public} {
		for _, r := range rows {
			var body any
			if r.body != nil {
				body = r.body
			}
			for name, credential := range map[string]string{
				"none": "", "empty": "Bearer ", "malformed": "Bearer x.y.z", "another scheme": "Negotiate abc",
				"forged": "Bearer " + forge(dead), "revoked": "Bearer " + dead,
			} {
				c.as(credential).on(i == 1).send(r.method, replace.Replace(r.path), body).wantUnauthorized()
				if v := c.last.header.Get("Decision-Id"); c.err == nil && v != "" {
					c.fail("a reply without a caller has a Decision-Id")
				}
				c.expect(name + ": " + r.method + " " + r.path)
			}
		}
	}

	c.step("what proves a client itself wants a client")
	for path, form := range map[string]url.Values{
		"/oauth2/token": fields("grant_type", "client_credentials"), "/token": fields("grant_type", "client_credentials"),
		"/connect/token": fields("grant_type", "client_credentials"), "/oauth2/introspect": fields("token", dead), "/oauth2/revoke": fields("token", dead),
	} {
		c.as("").form(path, form).wantOAuthError(401, "invalid_client")
		c.expect(path)
	}
	c.as("").form("/oauth2/sessions/end", fields("token", dead)).wantOAuthError(400, "invalid_request")
	c.as("Bearer "+dead).form("/oauth2/sessions/end", fields()).wantStatus(401)
	c.as("").forward("GET", "/profile").wantUnauthorized()

	c.step("and nothing else of the documents is behind a credential, but what is listed")
	listed := map[string]bool{}
	for _, path := range []string{"/oauth2/token", "/token", "/connect/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/sessions/end", "/forward-auth"} {
		listed[path] = true
	}
	for _, public := range []bool{false, true} {
		c.on(public).get("/openapi.json").wantStatus(200)
		v, _ := at(c.last.value(), "/paths")
		paths, _ := v.(map[string]any)
		open := 0
		for path := range paths {
			if strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/access/") || listed[path] {
				continue // walked above: TestEachListenerServesItsDocument holds the rows to the document
			}
			if open++; !slices.ContainsFunc(undecided(), func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
				c.fail("%s is served to anybody", path)
			}
			c.on(public).get(path).wantStatus(200)
			c.expect(path)
		}
		if open == 0 {
			c.fail("no path is open, not even /livez")
		}
	}
}

// undecided begin the only paths that are served to anybody.
func undecided() []string {
	return []string{"/livez", "/readyz", "/metrics", "/.well-known/", "/openapi.json", "/docs"}
}

// TestSL03AdminRowsAreNotOnThePublicListener walks every admin row as a full administrator.
func TestSL03AdminRowsAreNotOnThePublicListener(t *testing.T) {
	c := story(t, shared(t)).owner()
	c.root()
	replace := c.furniture()
	c.done()
	admin, public := apiRows()
	also := methods(public)
	for _, r := range admin {
		if also[r.path] != nil {
			continue
		}
		var body any
		if r.body != nil {
			body = r.body
		}
		c.owner().onPublic().send(r.method, replace.Replace(r.path), body).wantStatus(404)
		c.as("").onPublic().send(r.method, replace.Replace(r.path), body).wantStatus(404)
		c.expect(r.method + " " + r.path)
	}
	for _, path := range []string{"/metrics", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline"} {
		c.as("").onPublic().get(path).wantStatus(404)
		c.expect(path)
	}
	c.onAdmin().get("/debug/pprof/cmdline").wantStatus(404)
	c.onPublic().get("/livez").wantStatus(200)
	c.onAdmin().get("/livez").wantStatus(200)
	c.onAdmin().get("/readyz").wantStatus(200)
	c.onAdmin().get("/metrics").wantStatus(200)
	c.onAdmin().post("/access/v1/evaluation", object{}).wantStatus(404)
	c.onAdmin().form("/oauth2/token", fields()).wantStatus(404)
}

// TestC03AndSH13WrongMethodIs405WithAllow tries every method that a path does not have.
func TestC03AndSH13WrongMethodIs405WithAllow(t *testing.T) {
	c := story(t, shared(t)).root()
	replace := c.furniture()
	c.done()
	admin, public := apiRows()
	token := []row{
		{method: "POST", path: "/oauth2/token"},
		{method: "POST", path: "/oauth2/introspect"},
		{method: "POST", path: "/oauth2/revoke"},
		{method: "POST", path: "/oauth2/sessions/end"},
	}
	for i, rows := range [][]row{admin, append(public, token...)} {
		for path, have := range methods(rows) {
			want := slices.Sorted(slices.Values(have))
			if path == "/v1/applications/bulk-delete" || path == "/v1/policies/rollback" {
				continue // an object may have that id, and its row has the other methods
			}
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} {
				if slices.Contains(have, method) {
					continue
				}
				c.root().on(i == 1).send(method, replace.Replace(path), nil).wantStatus(405)
				var got []string
				for _, value := range c.last.header.Values("Allow") {
					for m := range strings.SplitSeq(value, ",") {
						got = append(got, strings.TrimSpace(m))
					}
				}
				slices.Sort(got)
				got = slices.DeleteFunc(got, func(m string) bool { return m == "HEAD" || m == "OPTIONS" })
				if c.err == nil && !slices.Equal(got, want) {
					c.fail("Allow is %v, want %v", got, want)
				}
				c.expect(method + " " + path)
			}
		}
	}
}
