package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// lists are the collections of the admin API that answer with pages.
var lists = []string{"users", "groups", "roles", "applications", "tenants", "sessions", "keys"}

func TestSeedL02ListsArePaged(t *testing.T) {
	c := story(t, shared(t)).root()
	c.newUser(object{})
	c.furniture()
	c.login(c.front(), c.newUser(object{}))
	for _, name := range lists {
		path := "/v1/" + name
		for _, limit := range []string{"1", "100"} {
			c.get(path + "?limit=" + limit).wantStatus(200)
			if array, ok := at(c.last.value(), "/items"); c.err == nil && (!ok || array == nil) {
				c.fail("no items")
			}
			c.expect(path + " limit " + limit)
		}
		for _, bad := range []string{"0", "101", "-1", "ten", "", "+5", "05", "1.0", "9999999999999999999999"} {
			c.get(path+"?limit="+bad).wantProblem(400, "").want("/parameter", "limit")
			c.expect(path + " limit " + bad)
		}
		c.get(path+"?after=").wantProblem(400, "").want("/parameter", "after")
		c.get(path+"?page=1").wantProblem(400, "").want("/parameter", "page")
		c.expect(path)
	}

	c.step("fifty a page unless it is said otherwise, and the last page says that it is the last")
	group := c.newGroup()
	for range 52 {
		c.newApp(object{"groups": list{group}})
	}
	c.get("/v1/applications?group=" + group).wantStatus(200)
	if n := len(c.items("id")); c.err == nil && n != 50 {
		c.fail("%d items, want 50", n)
	}
	next := c.text("/next")
	c.get("/v1/applications?group=" + group + "&after=" + next).wantStatus(200).wantAbsent("/next")
	last := c.items("id")
	if c.err == nil && len(last) != 2 {
		c.fail("%d items on the last page, want 2", len(last))
	}

	c.step("past the end is an empty list: what came behind the cursor has gone")
	for _, id := range last {
		c.delete("/v1/applications/" + id).wantStatus(204)
	}
	c.get("/v1/applications?group="+group+"&after="+next).wantStatus(200).want("/items", list{}).wantAbsent("/next")
	c.get("/v1/applications?group="+unique("none")).wantStatus(200).want("/items", list{}).wantAbsent("/next")
}

func TestSeedL05PasswordLogin(t *testing.T) {
	c := story(t, shared(t)).root()
	front, plain, machine := c.refreshing(), c.front(), c.newApp(object{})
	u := c.newUser(object{"grants": grants("ledger:read")})

	c.step("the reply, with a refresh token where the application lists it")
	c.askLogin(front, u).wantStatus(200).want("/token_type", "Bearer").want("/expires_in", 3600).want("/scope", "ledger:read")
	token, refresh := c.text("/access_token"), c.text("/refresh_token")
	c.live(token)
	c.askLogin(plain, u).wantStatus(200).wantAbsent("/refresh_token")
	c.introspect(front, refresh, "token_type_hint", "refresh_token").want("/active", true)
	life := c.number("/exp") - time.Now().Unix()
	if c.err == nil && (life < 24*3600-60 || life > 24*3600) {
		c.fail("the refresh token lives for %d s, want a day", life)
	}

	c.step("bad: no client, no grant type, no password, JSON")
	form := fields("grant_type", "password", "username", u.Username, "password", u.Password)
	c.as("").form("/oauth2/token", form).wantOAuthError(401, "invalid_client")
	c.ask(machine, "grant_type", "password", "username", u.Username, "password", u.Password).wantOAuthError(400, "unauthorized_client")
	c.ask(plain, "grant_type", "password", "username", u.Username).wantOAuthError(400, "invalid_request")
	c.ask(plain, "grant_type", "password", "username", u.Username, "password", "").wantOAuthError(400, "invalid_request")
	c.ask(plain, "grant_type", "password", "password", u.Password).wantOAuthError(400, "invalid_request")
	c.as(basic(plain.ID, plain.Secret)).
		post("/oauth2/token", object{"grant_type": "password", "username": u.Username, "password": u.Password}).
		wantOAuthError(400, "invalid_request")
}

func TestSeedL07OneIdentityAndOneAuthenticationPerRequest(t *testing.T) {
	c := story(t, shared(t)).root()
	a, b := c.newApp(object{}), c.newApp(object{})
	front, u := c.front(), c.newUser(object{})
	credentials := func(pairs ...string) []string { return append([]string{"grant_type", "client_credentials"}, pairs...) }

	c.step("two authentication methods")
	c.as(basic(a.ID, a.Secret)).form("/oauth2/token", fields(credentials("client_id", a.ID, "client_secret", a.Secret)...)).
		wantOAuthError(400, "invalid_request")
	c.form("/oauth2/token", fields(credentials("client_secret", a.Secret)...)).wantOAuthError(400, "invalid_request")

	c.step("two client ids")
	c.form("/oauth2/token", fields(credentials("client_id", b.ID)...)).wantOAuthError(400, "invalid_request")
	c.form("/oauth2/token", fields(credentials("client_id", a.ID)...)).wantStatus(200)
	c.with("Authorization", basic(b.ID, b.Secret)).with("Authorization", basic(a.ID, a.Secret)).
		form("/oauth2/token", fields(credentials()...))
	if c.err == nil && c.last.status/100 != 4 {
		c.fail("two Authorization headers: status %d", c.last.status)
	}

	c.step("any parameter twice")
	login := []string{
		"grant_type", "password", "username", u.Username, "password", u.Password, "scope", "me:read", "tenant", "x",
		"timestamp_nonce", "1", "refresh_token", "x", "anything", "x",
	}
	for i := 0; i < len(login); i += 2 {
		c.as(basic(front.ID, front.Secret)).form("/oauth2/token", fields(append(slices.Clone(login), login[i], login[i+1])...)).
			wantOAuthError(400, "invalid_request")
		c.expect(login[i])
	}
}

func TestSeedL21RefreshTokensRotateWithGrace(t *testing.T) {
	c := story(t, shared(t)).root()
	front, other := c.refreshing(), c.refreshing()
	u := c.newUser(object{"grants": grants("ledger:read")})
	start := func() (access, refresh string) {
		c.askLogin(front, u).wantStatus(200)
		return c.text("/access_token"), c.text("/refresh_token")
	}

	c.step("inside the grace the same successor")
	_, first := start()
	second := c.askRefresh(front, first).wantStatus(200).text("/refresh_token")
	c.askRefresh(front, first).wantStatus(200).want("/refresh_token", second)

	c.step("the first use of the successor ends it: the used one ends the session")
	third := c.askRefresh(front, second).wantStatus(200).text("/refresh_token")
	token := c.text("/access_token")
	c.live(token)
	c.askRefresh(front, first).wantOAuthError(400, "invalid_grant")
	c.dead(token).askRefresh(front, third).wantOAuthError(400, "invalid_grant")

	c.step("another client's, and a wider scope, touch nothing")
	token, first = start()
	c.askRefresh(other, first).wantOAuthError(400, "invalid_grant")
	c.live(token).askRefresh(front, first, "scope", "payroll:read").wantOAuthError(400, "invalid_scope")
	c.live(token).askRefresh(front, first).wantStatus(200)

	c.step("after suspension, and after deletion")
	_, first = start()
	c.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.askRefresh(front, first).wantOAuthError(400, "invalid_grant")
	c.patch("/v1/users/"+u.ID, object{"suspended_at": nil}).wantStatus(200)
	c.askRefresh(front, first).wantOAuthError(400, "invalid_grant")
	_, first = start()
	c.delete("/v1/users/" + u.ID).wantStatus(204)
	c.askRefresh(front, first).wantOAuthError(400, "invalid_grant")
}

// TestSeedL21AfterTheGrace waits for the grace, which is one second here.
func TestSeedL21AfterTheGrace(t *testing.T) {
	t.Parallel()
	c := story(t, fresh(t, Options{Env: map[string]string{"WRIT_REFRESH_GRACE": "1s"}})).root()
	front, u := c.refreshing(), c.newUser(object{})
	first := c.askLogin(front, u).wantStatus(200).text("/refresh_token")
	second := c.askRefresh(front, first).wantStatus(200).text("/refresh_token")
	token := c.text("/access_token")
	c.eventually(20e9, func() { c.askRefresh(front, first).wantOAuthError(400, "invalid_grant") })
	c.dead(token).askRefresh(front, second).wantOAuthError(400, "invalid_grant")
}

func TestSeedL22TheCallersTenantIsTheTokens(t *testing.T) {
	c := story(t, shared(t)).root()
	mine, theirs := c.newTenant(), c.newTenant()
	rights := grants("iam/groups:*@"+mine, "iam/users:*@"+mine, "iam/roles:*@"+mine, "iam/applications:*@"+mine)
	a := c.newApp(object{"tenant": mine, "grants": rights})
	elsewhere := c.newGroup()
	c.patch("/v1/groups/"+elsewhere, object{"tenant": theirs}).wantStatus(200)

	c.step("a tenant in the body is the object's")
	c.as(bearer(c.token(a)))
	group := unique("g")
	c.put("/v1/groups/"+group, object{"name": "g", "tenant": mine}).wantStatus(201).want("/tenant", mine)

	c.step("a header has no effect")
	for _, name := range []string{"X-Tenant", "X-Tenant-Id", "Tenant", "X-Scope-OrgID"} {
		c.with(name, theirs).get("/v1/groups/" + group).wantStatus(200)
		c.with(name, theirs).get("/v1/groups/"+elsewhere).wantProblem(404, "")
		c.expect(name)
	}
	c.get("/v1/groups?tenant=" + mine).wantStatus(200)
	c.get("/v1/groups/" + elsewhere + "?tenant=" + theirs).wantStatus(400)

	c.step("bad: a tenant that is not, and one that the caller may not see, are the same 400")
	name := unique("n")
	for path, body := range map[string]object{
		"/v1/groups/" + unique("g"):       {"name": "g"},
		"/v1/roles/e2e:" + unique("r"):    {},
		"/v1/applications/" + unique("a"): {"name": "a"},
		"/v1/users/" + uuid():             {"username": name, "email": name + "@example.com", "password": password()},
		"/v1/groups/" + group + "?":       {"name": "g"},
		"/v1/applications/" + unique("b"): {"name": "a", "grant_types": list{"client_credentials"}},
	} {
		path = strings.TrimSuffix(path, "?")
		c.put(path, merge(body, object{"tenant": theirs})).wantProblem(400, "/tenant")
		known := c.last
		c.put(path, merge(body, object{"tenant": unique("no")})).wantProblem(400, "/tenant").wantSame(known)
		c.expect(path)
	}
	c.get("/v1/groups/"+group).want("/tenant", mine)

	c.step("bad: in grants, unknown is 400 and uncovered is 403")
	b := c.newApp(object{"tenant": mine})
	path := "/v1/applications/" + b.ID
	c.patch(path, object{"grants": grants("jobs:read@" + unique("no"))}).wantProblem(400, "/grants/0/tenant")
	c.patch(path, object{"grants": grants("iam/groups:read@" + theirs)}).wantDenied("delegation_exceeds_actor")
	c.patch(path, object{"grants": grants("iam/groups:read@" + mine)}).wantStatus(200)
}

// TestSeedL20AndL04MembersThatNobodySets walks the members that replies show and that no request may set.
func TestSeedL20AndL04MembersThatNobodySets(t *testing.T) {
	c := story(t, shared(t)).root()
	u, a := c.newUser(object{}), c.newApp(object{})
	for _, path := range []string{"/v1/users/" + u.ID, "/v1/applications/" + a.ID} {
		for member, value := range (object{
			"id": uuid(), "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "version": 7, "secret": "x",
			"secrets": list{}, "epoch": 9, "permissions": list{}, "temporary_password": "x",
		}) {
			c.patch(path, object{member: value}).wantProblem(400, "/"+member)
			c.expect(fmt.Sprint(path, " ", member))
		}
	}
	for _, malformed := range []string{"", "a", "@example.com", "a@", "a b@example.com", "a@example.com, b@example.com", "<a@example.com>"} {
		c.patch("/v1/users/"+u.ID, object{"email": malformed}).wantProblem(400, "/email")
		c.expect("e-mail " + malformed)
	}
	c.patch("/v1/users/"+u.ID, object{"username": ""}).wantProblem(400, "/username")
}
