package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// forward asks, as a gateway does, whether a request may pass.
func (c *scenario) forward(method, uri string) *scenario {
	return c.with("X-Forwarded-Method", method).with("X-Forwarded-Uri", uri).with("X-Forwarded-Proto", "https").
		with("X-Forwarded-For", "203.0.113.7").get("/forward-auth")
}

// onHost names the host of the next request that a gateway asks about.
func (c *scenario) onHost(name string) *scenario { return c.with("X-Forwarded-Host", name) }

// identityHeaders are in every reply of forward-auth, empty where there is nobody to tell of.
func identityHeaders() []string {
	return []string{"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-User", "X-Auth-Client", "X-Auth-Tenant", "X-Auth-Scope"}
}

// wantIdentity compares the identity headers, in their order.
func (c *scenario) wantIdentity(values ...string) *scenario {
	for i, name := range identityHeaders() {
		want := ""
		if i < len(values) {
			want = values[i]
		}
		if c.err != nil {
			return c
		}
		if got := c.last.header.Values(name); len(got) != 1 || got[0] != want {
			c.fail("%s is %q, want %q", name, got, want)
		}
	}
	return c
}

// TestSH08ForwardAuthJourney: a person and a machine at a gateway, and what ends it for each.
func TestSH08ForwardAuthJourney(t *testing.T) {
	c := story(t, shared(t)).root()
	const users = "/pam/apps/users/user/?page=1"
	u := c.newUser(object{"grants": grants("users/user:view")})
	a := c.newApp(object{"grants": grants("users/user:view", "users/user:add"), "scopes": list{"users/user:view"}})

	c.step("a person")
	front := c.front()
	token := c.login(front, u)
	c.as(bearer(token)).forward("GET", users).wantStatus(200).wantIdentity(u.ID, "user", u.ID, front.ID, "", "users/user:view")
	if c.err == nil && len(c.last.body) > 0 {
		c.fail("there is a body: %s", c.last.body)
	}
	c.header("Decision-Id")
	c.forward("POST", users).wantDenied("not_granted").wantNaming("users/user:add").wantIdentity()
	c.with("X-Auth-User", "admin").with("X-Auth-Tenant", "acme").forward("GET", users).wantIdentity(u.ID, "user", u.ID, front.ID, "", "users/user:view")

	c.step("asked with POST, as with GET")
	c.with("X-Forwarded-Method", "GET").with("X-Forwarded-Uri", users).post("/forward-auth", nil).wantStatus(200)
	c.with("X-Forwarded-Method", "PUT").with("X-Forwarded-Uri", users).post("/forward-auth", nil).wantDenied("not_granted")
	c.with("X-Forwarded-Method", "GET").with("X-Forwarded-Uri", users).send("HEAD", "/forward-auth", nil).wantStatus(200)

	c.step("a machine, within the scopes of its token")
	machine := c.token(a)
	c.as(bearer(machine)).forward("GET", users).wantStatus(200).wantIdentity(a.ID, "application", "", a.ID, "", "users/user:view")
	c.forward("POST", users).wantDenied("insufficient_scope").wantNaming("users/user:add")
	if challenge := c.header("WWW-Authenticate"); c.err == nil && !strings.Contains(challenge, `scope="users/user:add"`) {
		c.fail("WWW-Authenticate is %q", challenge)
	}

	c.step("nobody")
	c.as("").forward("GET", users).wantUnauthorized().wantIdentity()
	c.forward("GET", "/nothing").wantUnauthorized()
	c.onHost("shop.example.com").forward("GET", "/status").wantStatus(200).wantIdentity()
	c.onHost("shop.example.com").forward("GET", "/profile").wantUnauthorized()
	c.as("Bearer "+forge(machine)).onHost("shop.example.com").forward("GET", "/status").wantUnauthorized().wantIdentity()
	c.as(basic(a.ID, a.Secret)).forward("GET", users).wantUnauthorized()

	c.step("a token that is meant for something else")
	c.root()
	elsewhere := c.newApp(object{"grants": grants("users/user:view"), "audiences": list{"https://api.example.com"}})
	c.as(bearer(c.token(elsewhere))).forward("GET", users).wantRefused(401, "wrong_audience")

	c.step("what is revoked passes no more")
	c.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/revoke", fields("token", machine)).wantStatus(200)
	c.as(bearer(machine)).forward("GET", users).wantUnauthorized()
	c.root().patch("/v1/users/"+u.ID, object{"grants": list{}}).wantStatus(200)
	c.as(bearer(token)).forward("GET", users).wantDenied("not_granted")
	c.root().delete("/v1/users/" + u.ID).wantStatus(204)
	c.as(bearer(token)).forward("GET", users).wantUnauthorized()
}

// TestSH7AmbiguousForwardingIsRefused tries what gateways, Writ and services have been known to read differently.
func TestSH7AmbiguousForwardingIsRefused(t *testing.T) {
	c := story(t, shared(t)).root()
	const users = "/pam/apps/users/user/"
	ask := func() *scenario { return c.with("X-Forwarded-Method", "GET").with("X-Forwarded-Uri", users) }
	refused := func(name, header string) {
		c.wantProblem(403, "").want("/code", "ambiguous_request").want("/parameter", header).wantIdentity()
		c.expect(name)
	}
	ask().get("/forward-auth").wantStatus(200)
	for name, values := range map[string][]string{
		"X-Forwarded-Uri": {"/"}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Host": {"a", "b"}, "X-Forwarded-Proto": {"http", "https"},
		"X-Forwarded-For": {"1.2.3.4", "1.2.3.4"},
	} {
		ask()
		for _, value := range values {
			c.with(name, value)
		}
		c.get("/forward-auth")
		refused("twice: "+name, name)
	}
	for _, name := range []string{"X_forwarded_uri", "X-Forwarded_uri", "X_forwarded_method", "X_auth_user", "X_auth_scope"} {
		ask().with(name, "/").get("/forward-auth")
		refused("underscores: "+name, name)
	}
	ask().with("Authorization", c.auth).with("Authorization", c.auth).get("/forward-auth")
	refused("two tokens", "Authorization")
	for _, uri := range []string{
		"//pam/apps/users/user/", users + "/", "/pam/./apps/users/user/", "/x/../pam/apps/users/user/", "/pam/%2e%2e/pam/apps/users/user/",
		"/pam%2fapps/users/user/", "/pam%5Capps/users/user/", "/pam/..;/pam/apps/users/user/", "/pam/%252e/", "/pam/%00", "pam",
		"https://x/pam/apps/users/user/", "/" + strings.Repeat("a", 5000),
	} {
		c.forward("GET", uri)
		refused(uri, "X-Forwarded-Uri")
	}
	c.get("/forward-auth").wantProblem(400, "").want("/code", "missing_header")
	c.forward("GET", users).wantStatus(200)
	c.with("User-Agent", "kube-probe/1.31").as("").forward("GET", users).wantUnauthorized()
	c.with("Content-Type", "application/json").with("X-Forwarded-Method", "GET").with("X-Forwarded-Uri", users).
		post("/forward-auth?x=1", nil).wantProblem(400, "")
	for _, method := range []string{"PUT", "DELETE", "PATCH"} {
		c.send(method, "/forward-auth", nil).wantStatus(405)
	}
}

// TestForwardAuthFollowsItsTable edits the table, which is all of the example that the directory has, under a running server.
func TestForwardAuthFollowsItsTable(t *testing.T) {
	const table = `routes:
  api.example.com:
    /ledgers:
      "/": {GET: "books:list"}
      "/*/entries": {GET: "books/entries:read", POST: "books/entries:add"}
counts_as: {HEAD: GET}
audiences: {"https://api.example.com": true}
`
	dir := policyDir(t, map[string]string{"apps/route/data.yaml": table})
	file := filepath.Join(dir, "apps", "route", "data.yaml")
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	tenant := c.newTenant()
	a := c.newApp(object{
		"grants": grants("books:list", "books/entries:read@"+tenant), "audiences": list{"https://api.example.com", c.s.Public + "/runtime"},
	})
	asks := func(method, uri string) *scenario { return c.onHost("api.example.com").forward(method, uri) }

	c.step("its rows, in the tenant of the token")
	c.as(bearer(c.token(a, "audience", "https://api.example.com")))
	asks("GET", "/ledgers").wantStatus(200)
	asks("HEAD", "/ledgers/").wantStatus(200)
	asks("GET", "/ledgers/7/entries").wantDenied("not_granted").wantNaming("books/entries:read")
	c.forward("GET", "/ledgers").wantDenied("unmapped_route")
	narrowed := bearer(c.token(a, "tenant", tenant, "audience", "https://api.example.com"))
	c.as(narrowed)
	asks("GET", "/ledgers/7/entries").wantStatus(200)
	if got := c.last.header.Get("X-Auth-Tenant"); c.err == nil && got != tenant {
		c.fail("X-Auth-Tenant is %q, want %q", got, tenant)
	}
	asks("POST", "/ledgers/7/entries").wantStatus(403)

	c.step("a token for Writ alone, which the table does not name")
	c.as(bearer(c.token(a, "audience", c.s.Public+"/runtime")))
	asks("GET", "/ledgers").wantRefused(401, "wrong_audience")

	c.step("a malformed table changes nothing and is reported")
	write(t, file, strings.Replace(table, `"books:list"`, "everybody", 1))
	c.eventually(swapWithin, func() { c.as("").get("/readyz").wantStatus(200).wantNaming("degraded") })
	c.wantNaming("is no permission")
	c.as(narrowed)
	asks("GET", "/ledgers/7/entries").wantStatus(200)

	c.step("a saved edit counts")
	write(t, file, strings.Replace(table, `"books:list"`, "public", 1))
	c.as("").eventually(swapWithin, func() { asks("GET", "/ledgers").wantStatus(200) })
	asks("GET", "/ledgers/7/entries").wantUnauthorized()
}

// TestForwardAuthInAnOutage is 503, which no gateway takes for a permit, and which is no denial.
func TestForwardAuthInAnOutage(t *testing.T) {
	const failing = `# METADATA
# title: Routes of a test
package apps.route

# METADATA
# title: Permit
# labels:
#   rule: route.permit
permit contains "unmapped_route" if time.parse_rfc3339_ns(input.resource.id) > 0
`
	dir := policyDir(t, map[string]string{
		"apps/route/policy.rego": failing, "apps/route/policy_test.rego": "package apps.route_test\n",
		"apps/route/catalogue.yaml": "types:\n  route:\n    title: Routes\n    group: Tests\n    actions: {GET: {title: See}}\n" +
			"reasons:\n  unmapped_route: {title: T, administrator: T, user: T}\n",
	})
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	c.forward("GET", "/a").wantProblem(http.StatusServiceUnavailable, "").wantIdentity()
	c.header("Retry-After")
	c.header("Decision-Id")
}

// TestSH08TheForwardAuthGuideRuns runs every command of the guide to gateways, in order.
func TestSH08TheForwardAuthGuideRuns(t *testing.T) {
	binaryOnly(t)
	text, blocks := guide(t, "docs/forward-auth.md")
	for _, gateway := range []string{"## nginx", "## Traefik", "## Caddy"} {
		_, configuration, found := strings.Cut(text, gateway)
		configuration, _, _ = strings.Cut(configuration, "\n## ")
		for _, name := range identityHeaders() {
			if !found || !strings.Contains(configuration, name) {
				t.Errorf("%s: the configuration does not say %s", gateway, name)
			}
		}
	}
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"127.0.0.1:8080", public, "127.0.0.1:8081", admin, "writ dev ", "writ dev --listen "+public+" --admin-listen "+admin+" ",
	).Replace(strings.Join(blocks, "\n"))
	if out := runScript(t, script); !strings.Contains(out, "unmapped_route") {
		t.Errorf("the guide printed no unmapped_route:\n%s", out)
	}
}
