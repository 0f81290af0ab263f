package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSeedG01CredentialsAreMadeByPut(t *testing.T) {
	c := story(t, shared(t)).root()
	actor := c.newApp(object{"grants": grants("iam/applications:read", "iam/applications:write", "iam/applications:write_scopes", "jobs:read")})
	c.as(bearer(c.token(actor)))
	for _, active := range []bool{true, false} {
		id := unique("cred")
		path := "/v1/applications/" + id
		c.put(path, object{"name": id, "is_active": active, "grants": grants("jobs:read")}).wantStatus(201).
			wantHeader("Location", path).want("/is_active", active)
		secret := c.text("/secret/value")
		c.ask(app{ID: id, Secret: secret}, "grant_type", "client_credentials")
		if active {
			c.wantStatus(200).want("/scope", "jobs:read")
		} else {
			c.wantOAuthError(401, "invalid_client")
		}
		for _, look := range []string{path, path + "/secrets", path + "/scopes", "/v1/applications?limit=100"} {
			c.get(look).wantStatus(200).wantNoSecret(secret).wantAbsent("/secret")
			c.expect(look)
		}
		c.with("If-None-Match", "*").put(path, object{"name": "again"}).wantProblem(412, "")
		c.get(path).want("/name", id)
		c.expect(fmt.Sprint("is_active ", active))
	}
}

// TestSeedG02AnEmptyIdIsNone beside the grammar of ids.
func TestSeedG02AnEmptyIdIsNone(t *testing.T) {
	c := story(t, shared(t)).root()
	body := object{"name": "x"}
	c.put("/v1/applications/", body).wantStatus(404)
	for _, id := range []string{"%20", "%7F", "a%0D", "a%5Cb", "a%3Fb", "%2e%2e", "mE", "a%22b", "a*b", "a+b", "a@b"} {
		c.put("/v1/applications/"+id, body)
		if c.err == nil && c.last.status != 400 && c.last.status != 404 {
			c.fail("status %d, want 400 or 404", c.last.status)
		}
		c.expect(id)
	}
	c.put("/v1/applications/x1", object{"id": "me", "name": "x"}).wantProblem(400, "/id")
}

func TestSeedG09InactiveBeforeItIsDeleted(t *testing.T) {
	dir := policyDir(t, map[string]string{"settings/data.yaml": "delete_requires_inactive: true\n"})
	s := fresh(t, Options{Args: []string{"--policies", dir}})
	c := story(t, s).root()

	c.step("active: 409; deactivated: 204, then gone")
	a := c.newApp(object{})
	path := "/v1/applications/" + a.ID
	c.delete(path).wantRefused(409, "must_be_inactive")
	c.get(path).wantStatus(200)
	c.patch(path, object{"is_active": false}).wantStatus(200)
	c.delete(path).wantStatus(204)
	c.get(path).wantProblem(404, "")
	c.delete(path).wantProblem(404, "")

	c.step("in a bulk, too, and everything that stands in the way is named")
	b, d, e := c.newApp(object{"is_active": false}), c.newApp(object{}), c.newApp(object{})
	c.post("/v1/applications/bulk-delete", object{"ids": list{b.ID, d.ID, e.ID}}).wantRefused(409, "must_be_inactive").
		wantNaming(d.ID).wantNaming(e.ID)
	c.get("/v1/applications/" + b.ID).wantStatus(200)

	c.step("users, alike")
	u := c.newUser(object{})
	c.delete("/v1/users/"+u.ID).wantRefused(409, "must_be_inactive")
	c.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.delete("/v1/users/" + u.ID).wantStatus(204)

	c.step("activated and deleted at once: the version decides")
	for round := range 5 {
		f := c.newApp(object{"is_active": false})
		path := "/v1/applications/" + f.ID
		c.done()
		status := make([]int, 2)
		var both sync.WaitGroup
		for i, act := range []func(*scenario){
			func(w *scenario) { w.with("If-Match", f.ETag).patch(path, object{"is_active": true}) },
			func(w *scenario) { w.with("If-Match", f.ETag).delete(path) },
		} {
			both.Go(func() {
				w := &scenario{t: t, s: s, next: map[string][]string{}, auth: c.auth}
				act(w)
				status[i] = w.last.status
			})
		}
		both.Wait()
		switch fmt.Sprint(status) {
		case "[200 412]", "[200 409]": // activated first: the delete is stale, or comes upon an active one
			c.get(path).wantStatus(200)
		case "[404 204]", "[412 204]":
			c.get(path).wantStatus(404)
		default:
			t.Fatalf("round %d: statuses %v", round, status)
		}
	}
}

func TestSeedG09TheNativeDefaultIsOff(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.delete("/v1/applications/" + a.ID).wantStatus(204)
	c.get("/v1/applications/"+a.ID).wantProblem(404, "")
}

func TestSeedG14ApplicationsSignInAsPolicyDataSays(t *testing.T) {
	both := object{"grant_types": list{"client_credentials", "password"}, "grants": grants("jobs:read")}

	c := story(t, shared(t)).root()
	front := c.front()
	refused := func(name string, who app) {
		c.ask(front, "grant_type", "password", "username", who.ID, "password", who.Secret).wantOAuthError(400, "unauthorized_client")
		c.expect(name)
	}

	c.step("policy data does not say so")
	a := c.newApp(both)
	refused("an application with its own secret", a)
	c.ask(a, "grant_type", "password", "username", a.ID, "password", a.Secret).wantOAuthError(400, "unauthorized_client")
	c.token(a)

	c.step("inactive, or wrong: 401 as a client")
	c.patch("/v1/applications/"+a.ID, object{"is_active": false}).wantStatus(200)
	c.ask(a, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	inactive := c.last
	c.ask(app{ID: a.ID, Secret: "writ_cs_wrong-secret-of-some-length"}, "grant_type", "client_credentials").
		wantOAuthError(401, "invalid_client").wantSame(inactive)
	c.done()

	dir := policyDir(t, map[string]string{"settings/data.yaml": "token: {application_password: true}\n"})
	c = story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	front = c.refreshing()
	u := c.newUser(object{"grants": grants("jobs:read")})

	c.step("it does: its own token, without a session")
	a = c.newApp(merge(both, object{"scopes": list{"jobs:*"}}))
	c.ask(front, "grant_type", "password", "username", a.ID, "password", a.Secret).wantStatus(200).want("/scope", "jobs:read").
		wantAbsent("/refresh_token")
	token := c.text("/access_token")
	claims, err := part(token, 1)
	if c.err == nil && (err != nil || claims["sub"] != a.ID || claims["client_id"] != a.ID || claims["sid"] != nil) {
		c.fail("the claims are %v", claims)
	}
	c.live(token)
	c.as(bearer(token)).decides(question("application", a.ID, "read", "jobs", "1"), true)
	c.root()

	c.step("one that does not list the grant type, a wrong secret, an inactive one, and its tokens")
	plain := c.newApp(object{"grants": grants("jobs:read")})
	wrong := func(name, username, secret string) {
		c.ask(front, "grant_type", "password", "username", username, "password", secret).wantOAuthError(400, "invalid_grant")
		c.expect(name)
	}
	wrong("not listed", plain.ID, plain.Secret)
	wrong("another's secret", a.ID, plain.Secret)
	wrong("a wrong secret", a.ID, "writ_cs_wrong-secret-of-some-length")
	wrong("a password", a.ID, password())
	c.patch("/v1/applications/"+a.ID, object{"is_active": false}).wantStatus(200)
	wrong("inactive", a.ID, a.Secret)
	c.dead(token)
	c.askLogin(front, u).wantStatus(200)
	c.live(c.text("/access_token"))
}

func TestSeedG15ANonceIsTakenOnce(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	a, b := c.newApp(object{}), c.newApp(object{})
	front, u := c.refreshing(), c.newUser(object{})
	now := time.Now().Unix()
	nonce := func(n int64) []string {
		return []string{"grant_type", "client_credentials", "timestamp_nonce", strconv.FormatInt(n, 10)}
	}

	c.step("within the window, once per application")
	c.ask(a, nonce(now)...).wantStatus(200)
	c.ask(a, nonce(now)...).wantOAuthError(400, "invalid_request").wantNaming("replayed")
	c.ask(b, nonce(now)...).wantStatus(200)
	c.ask(a, nonce(now-1)...).wantStatus(200)
	c.ask(a, "grant_type", "client_credentials").wantStatus(200)
	c.ask(a, "grant_type", "client_credentials").wantStatus(200)

	c.step("with a password, too")
	login := []string{"timestamp_nonce", strconv.FormatInt(now, 10)}
	c.askLogin(front, u, login...).wantStatus(200)
	c.askLogin(front, u, login...).wantOAuthError(400, "invalid_request").wantNaming("replayed")

	c.step("out of the window, on both sides")
	for _, off := range []int64{-3600, 3600, -now} {
		c.ask(a, nonce(now+off)...).wantOAuthError(400, "invalid_request").wantNaming("replayed")
		c.expect(strconv.FormatInt(off, 10))
	}

	c.step("not an integer")
	for _, bad := range []string{"now", "1.5", "-1", "1e9", " 1", "01", "0x10", strings.Repeat("9", 30)} {
		c.ask(a, "grant_type", "client_credentials", "timestamp_nonce", bad).wantOAuthError(400, "invalid_request")
		c.expect(bad)
	}
	c.done()

	c.step("of many at once one wins")
	status := make([]int, 16)
	var all sync.WaitGroup
	for i := range status {
		all.Go(func() {
			w := &scenario{t: t, s: s, next: map[string][]string{}}
			w.ask(a, nonce(now-2)...)
			status[i] = w.last.status
		})
	}
	all.Wait()
	won := 0
	for _, got := range status {
		switch got {
		case 200:
			won++
		case 400:
		default:
			c.fail("status %d", got)
		}
	}
	if won != 1 {
		c.fail("%d requests won, want one", won)
	}
}

func TestSeedG15PolicyDataMayDemandANonce(t *testing.T) {
	dir := policyDir(t, map[string]string{"settings/data.yaml": "token: {nonce_required: true, nonce_window_seconds: 30}\n"})
	s := fresh(t, Options{Args: []string{"--policies", dir}})
	c := story(t, s).as(basic("root", s.Secret))
	a := c.newApp(object{})
	c.ask(a, "grant_type", "client_credentials").wantOAuthError(400, "invalid_request").wantNaming("replayed")
	at := func(off int64) string { return strconv.FormatInt(time.Now().Unix()+off, 10) }
	c.ask(a, "grant_type", "client_credentials", "timestamp_nonce", at(0)).wantStatus(200)
	c.ask(a, "grant_type", "client_credentials", "timestamp_nonce", at(-120)).wantOAuthError(400, "invalid_request")
	c.ask(a, "grant_type", "client_credentials", "timestamp_nonce", at(120)).wantOAuthError(400, "invalid_request")
}
