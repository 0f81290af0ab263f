package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestSeed002IdentityJourney is seed 002's user onboarding and application integration: create the person, give roles,
// generate a
// temporary password, first login and change; create the client, its secret, its roles; safe updates with ETags.
func TestSeed002IdentityJourney(t *testing.T) {
	c := story(t, shared(t)).root()

	c.step("a custom role")
	space := unique("support")
	agent := space + ":agent"
	c.put("/v1/roles/"+agent, object{
		"description": "Customer support representative", "grants": grants("actors:*", "graph:*", "registry:read"),
	}).wantStatus(201).want("/key", agent)

	c.step("user onboarding: create the principal, assign roles")
	id, name := uuid(), unique("john")
	c.put("/v1/users/"+id, object{"username": name, "email": name + "@example.com", "name": "John Admin"}).wantStatus(201)
	c.text("/temporary_password")
	c.patch("/v1/users/"+id, object{"roles": list{agent}}).wantStatus(200).want("/roles", list{agent})
	c.get("/v1/users?role_prefix="+space+":").wantStatus(200).wantItems("id", id)

	c.step("generate a temporary password: it is in that reply only")
	c.post("/v1/users/"+id+"/password/reset", nil).wantStatus(200)
	temporary := c.text("/temporary_password")
	c.get("/v1/users/" + id).wantStatus(200).wantNoSecret(temporary).wantAbsent("/temporary_password")

	c.step("the user logs in and may only change the password")
	john := user{ID: id, Username: name, Password: temporary}
	c.askLogin(c.front(), john).wantStatus(200).want("/scope", "me:password")
	first := c.text("/access_token")
	c.as(bearer(first))
	c.get("/v1/users/" + id).wantStatus(403)
	john.Password = password()
	c.post("/v1/me/password", object{"current_password": temporary, "new_password": john.Password}).wantStatus(204)

	c.step("full login; the temporary password and its session are dead")
	c.root().askLogin(c.front(), user{Username: name, Password: temporary}).wantOAuthError(400, "invalid_grant")
	c.dead(first)
	c.as(bearer(c.login(c.front(), john)))
	c.decides(question("user", id, "read", "registry", "1"), true)
	c.decides(question("user", id, "write", "registry", "1"), false)
	c.decides(question("user", id, "anything", "actors/order", "1"), true)

	c.step("application integration: create, secret, roles")
	machine := unique("client")
	c.root().put("/v1/applications/"+machine, object{
		"name": "Mobile App", "redirect_uris": list{"myapp://callback"}, "grant_types": list{
			"authorization_code",
			"refresh_token", "client_credentials",
		},
	}).wantStatus(201)
	c.post("/v1/applications/"+machine+"/secrets", object{"label": "blue"}).wantStatus(201)
	a := app{ID: machine, Secret: c.text("/value")}
	c.patch("/v1/applications/"+machine, object{"roles": list{agent}}).wantStatus(200)
	c.decidesAs(c.token(a), question("application", machine, "read", "registry", "1"), true)
	c.ask(a, "grant_type", "authorization_code").wantOAuthError(400, "unsupported_grant_type")

	c.step("safe updates with ETags")
	etag := c.get("/v1/users/" + id).wantStatus(200).header("ETag")
	c.with("If-Match", etag).patch("/v1/users/"+id, object{"name": "John A."}).wantStatus(200)
	c.with("If-Match", etag).patch("/v1/users/"+id, object{"name": "John B."}).wantProblem(412, "")
	c.get("/v1/users/"+id).want("/name", "John A.")

	c.step("system roles are protected")
	c.put("/v1/roles/system:mine", object{"description": "x", "grants": list{}}).wantDenied("system_protected")
}

func TestSeedH01PutCreatesThenUpdates(t *testing.T) {
	c := story(t, shared(t)).root()
	name := unique("h")
	for path, body := range map[string]object{
		"/v1/users/" + uuid():            {"username": name, "email": name + "@example.com", "name": "H"},
		"/v1/applications/" + name:       {"name": "H", "grant_types": list{"client_credentials"}},
		"/v1/roles/e2e:" + name:          {"description": "H", "grants": list{}},
		"/v1/groups/" + name:             {"name": "H", "roles": list{}},
		"/v1/tenants/" + name:            {"name": "H", "enabled": true},
		"/v1/applications/a.b_c-" + name: {"name": "H"},
	} {
		first := c.put(path, body).wantStatus(201).header("ETag")
		c.put(path, merge(body, object{"description": "again"}))
		if c.err == nil && c.last.status == 400 { // not every kind has a description
			c.put(path, merge(body, object{"name": "H2"}))
		}
		c.wantStatus(200)
		if c.err == nil && (first == c.last.header.Get("ETag") || len(first) < 3 || first[0] != '"') {
			c.fail("ETag %s became %s", first, c.last.header.Get("ETag"))
		}
		c.expect(path)
	}
	c.put("/v1/users/not-a-uuid", object{"username": name}).wantStatus(400)
	c.put("/v1/applications/"+unique("x"), object{"id": "another", "name": "x"}).wantProblem(400, "/id")
	c.put("/v1/users/"+uuid(), object{"id": uuid(), "username": unique("x"), "email": unique("x") + "@example.com"}).
		wantProblem(400, "/id")
}

func TestSeedH02AbsentFieldsKeepTheirValue(t *testing.T) {
	c := story(t, shared(t)).root()
	role := c.newRole("ledger:read")
	u := c.newUser(object{"roles": list{role}, "properties": object{"a": 1, "b": object{"c": "d", "e": "f"}}})
	path := "/v1/users/" + u.ID
	body := object{"username": u.Username, "email": u.Username + "@example.com", "name": "New"}
	c.put(path, body).wantStatus(200).want("/name", "New").want("/roles", list{role})
	c.patch(path, object{"properties": object{"a": nil, "b": object{"c": "z"}}}).wantStatus(200).
		want("/properties", object{"b": object{"c": "z", "e": "f"}})
	c.put(path, merge(body, object{"roles": list{}})).wantStatus(200).want("/roles", list{})

	c.step("bad")
	c.patch(path, object{"roles": list{"e2e:no-such-role"}}).wantStatus(400).wantNaming("e2e:no-such-role")
	other := "e2e:" + unique("cycle")
	c.put("/v1/roles/"+other, object{"inherits": list{role}}).wantStatus(201)
	c.patch("/v1/roles/"+role, object{"inherits": list{other}}).wantProblem(400, "/inherits/0")
	actor := c.newApp(object{"grants": grants("iam/users:*")})
	c.as(bearer(c.token(actor))).patch(path, object{"roles": list{role}}).wantDenied("delegation_exceeds_actor")
}

func TestSeedH04PreconditionsAreExact(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"description": "one"})
	path := "/v1/applications/" + a.ID
	c.patch(path, object{"description": "two"}).wantStatus(200)
	for name, header := range map[string][2]string{
		"stale":                         {"If-Match", a.ETag},
		"weak":                          {"If-Match", "W/" + a.ETag},
		"if-none-match on existing one": {"If-None-Match", "*"},
	} {
		c.with(header[0], header[1]).put(path, object{"name": "x", "description": "three"}).wantProblem(412, "")
		c.expect(name)
	}
	for _, malformed := range []string{"unquoted", `"open`, `""x`, "*, *"} {
		c.with("If-Match", malformed).patch(path, object{"description": "three"}).wantStatus(400)
		c.expect(malformed)
	}
	missing := "/v1/applications/" + unique("none")
	c.with("If-Match", "*").put(missing, object{"name": "x"}).wantProblem(412, "")
	c.get(missing).wantStatus(404)
	c.get(path).want("/description", "two")
	c.with("If-Match", "*").patch(path, object{"description": "four"}).wantStatus(200)
	c.with("If-None-Match", "*").put(missing, object{"name": "x", "grant_types": list{"client_credentials"}}).wantStatus(201)
}

func TestSeedH05OneOfTwoWritersWithOneETagWins(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	a := c.newApp(object{"description": "one"})
	c.done()
	for round := range 5 {
		etag := c.get("/v1/applications/" + a.ID).wantStatus(200).header("ETag")
		c.done()
		status := make([]int, 2)
		var both sync.WaitGroup
		for i := range status {
			both.Go(func() {
				w := &scenario{t: t, s: s, next: map[string][]string{}, auth: c.auth}
				w.with("If-Match", etag).patch("/v1/applications/"+a.ID, object{"description": fmt.Sprintf("%d by %d",
					round, i)})
				status[i] = w.last.status
			})
		}
		both.Wait()
		slices.Sort(status)
		if status[0] != 200 || status[1] != 412 {
			t.Fatalf("round %d: statuses %v, want one 200 and one 412", round, status)
		}
	}
}

func TestSeedH06SystemRolesAreProtected(t *testing.T) {
	c := story(t, shared(t)).root()
	body := object{"description": "x", "grants": list{}}
	c.put("/v1/roles/system:mine", body).wantDenied("system_protected")
	c.put("/v1/roles/system:owner", body).wantDenied("system_protected")
	c.patch("/v1/roles/system:owner", object{"description": "x"}).wantDenied("system_protected")
	c.delete("/v1/roles/system:owner").wantDenied("system_protected")
	for _, key := range []string{"System:x", "%20system:x", "sуstem:x", "ｓystem:x", "single", "a::b", "a:b:", ":a", "a:B"} {
		c.put("/v1/roles/"+key, body).wantStatus(400)
		c.expect(key)
	}
}

func TestSeedH07RoleInUseIsDeletedWithForceOnly(t *testing.T) {
	c := story(t, shared(t)).root()
	role := c.newRole("ledger:read")
	a := c.newApp(object{"roles": list{role}})
	group := c.newGroup(role)
	token := c.token(a)
	c.delete("/v1/roles/"+role).wantProblem(409, "").wantNaming("2")
	c.decidesAs(token, question("application", a.ID, "read", "ledger", "1"), true)
	c.delete("/v1/roles/" + role + "?force=true").wantStatus(204)
	c.decidesAs(token, question("application", a.ID, "read", "ledger", "1"), false)
	c.get("/v1/applications/"+a.ID).want("/roles", list{})
	c.get("/v1/groups/"+group).want("/roles", list{})
	c.delete("/v1/roles/e2e:" + unique("none")).wantStatus(404)
}

func TestSeedH08RolePrefixIsLiteral(t *testing.T) {
	c := story(t, shared(t)).root()
	space := unique("sp")
	inside, outside := space+":agent", space+"er:x"
	for _, key := range []string{inside, outside} {
		c.put("/v1/roles/"+key, object{"grants": list{}}).wantStatus(201)
	}
	u, v := c.newUser(object{"roles": list{inside}}), c.newUser(object{"roles": list{outside}})
	c.get("/v1/users?role_prefix="+space+":").wantStatus(200).wantItems("id", u.ID)
	c.get("/v1/users?role_prefix="+space).wantStatus(200).wantItems("id", u.ID, v.ID)
	c.get("/v1/users?role_prefix=.*").wantStatus(200).wantItems("id")
	c.get("/v1/users?role_prefix=").wantStatus(400)
}

func TestSeedH09RightsAreExact(t *testing.T) {
	c := story(t, shared(t)).root()
	target := c.newUser(object{})
	path := "/v1/users/" + target.ID
	type row struct {
		grant               string
		read, write, delete bool
	}
	for _, r := range []row{
		{"iam/users:read", true, false, false},
		{"iam/users:write", false, true, false},
		{"iam/users:*", true, true, true},
		{"iam:*", true, true, true},
		{"iamx:*", false, false, false},
		{"jobs:*", false, false, false},
	} {
		actor := c.root().newApp(object{"grants": grants(r.grant)})
		victim := c.newUser(object{})
		c.as(bearer(c.token(actor)))
		c.get(path).wantAllowed(r.read)
		c.patch(path, object{"name": "by " + r.grant}).wantAllowed(r.write)
		c.delete("/v1/users/" + victim.ID).wantAllowed(r.delete)
		c.expect(r.grant)
	}
	for _, bad := range []string{"/iam:read", "iam/:read", "iam//users:read", "ia m:read", "iam/**:read"} {
		c.root().post("/v1/applications", object{"name": "x", "grants": grants(bad)}).wantStatus(400)
		c.expect(bad)
	}
}

// wantAllowed demands a 2xx, or else a refusal that is a 403 or a 404.
func (c *scenario) wantAllowed(allowed bool) *scenario {
	if c.err == nil && allowed != (c.last.status/100 == 2) {
		return c.fail("status %d, allowed should be %t", c.last.status, allowed)
	}
	if c.err == nil && !allowed && c.last.status != 403 && c.last.status != 404 {
		return c.fail("status %d, want 403 or 404", c.last.status)
	}
	return c
}

func TestSeedH10KindsOfIdentityKeepToTheirGrants(t *testing.T) {
	c := story(t, shared(t)).root()
	front, u := c.front(), c.newUser(object{})
	machine := c.newApp(object{})
	c.ask(machine, "grant_type", "password", "username", u.Username, "password", u.Password).
		wantOAuthError(400, "unauthorized_client")
	c.ask(front, "grant_type", "password", "username", machine.ID, "password", machine.Secret).
		wantOAuthError(400, "invalid_grant")
	c.ask(front, "grant_type", "client_credentials").wantOAuthError(400, "unauthorized_client")
	c.ask(app{ID: u.ID, Secret: u.Password}, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.ask(machine, "grant_type", "authorization_code", "code", "x").wantOAuthError(400, "unsupported_grant_type")
}

func TestSeedH12SecretsOverlapAndEndOneByOne(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	path := "/v1/applications/" + a.ID + "/secrets"
	till := instant(3600e9)
	c.post(path, object{"label": "blue", "expires_at": till}).wantStatus(201).want("/label", "blue").
		wantInstant("/expires_at", till)
	blue := app{ID: a.ID, Secret: c.text("/value"), SecretID: c.text("/id")}
	c.text("/created_at")
	c.get(path).wantStatus(200).wantItems("id", a.SecretID, blue.SecretID).wantNoSecret(a.Secret, blue.Secret)

	c.step("both work; one is revoked; the other and its tokens live")
	one, two := c.token(a), c.token(blue)
	c.delete(path + "/" + blue.SecretID).wantStatus(204)
	c.ask(blue, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.dead(two).live(one)
	c.token(a)

	c.step("a secret that is not yet valid")
	c.post(path, object{"label": "later", "not_before": instant(3600e9)}).wantStatus(201)
	c.ask(app{ID: a.ID, Secret: c.text("/value")}, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")

	c.step("last use is shown, in the end")
	c.eventually(10e9, func() {
		c.get(path).wantStatus(200)
		if item := c.itemWith("id", a.SecretID); item == nil || item["last_used_at"] == nil {
			c.fail("last_used_at is not shown")
		}
	})

	c.step("bad")
	c.post(path, object{"label": "x", "expires_at": "2020-01-01T00:00:00Z"}).wantProblem(400, "/expires_at")
	c.post(path, object{"label": "x", "not_before": "2090-01-02T00:00:00Z", "expires_at": "2090-01-01T00:00:00Z"}).
		wantProblem(400, "/expires_at")
	c.delete(path + "/no-such-secret").wantStatus(404)
}

func TestTheLastUsableSecretGoesByForceAlone(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	path := "/v1/applications/" + a.ID + "/secrets"
	token := c.token(a)
	c.post(path, object{"label": "later", "not_before": instant(3600e9)}).wantStatus(201)

	c.step("none other works yet")
	c.delete(path+"/"+a.SecretID).wantRefused(409, "last_secret")
	c.live(token).token(a)

	c.step("one that works takes its place")
	c.post(path, object{"label": "green"}).wantStatus(201)
	green := app{ID: a.ID, Secret: c.text("/value"), SecretID: c.text("/id")}
	c.delete(path + "/" + a.SecretID).wantStatus(204)
	c.dead(token)
	token = c.token(green)

	c.step("by force the application is left without one, at once")
	c.delete(path+"/"+green.SecretID).wantRefused(409, "last_secret")
	c.delete(path + "/" + green.SecretID + "?force=true").wantStatus(204)
	c.dead(token).ask(green, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
}

func TestSeedH13TheLastOwnerStays(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()

	c.step("giving system:owner without holding it")
	limited := c.newApp(object{"grants": grants("iam:*")})
	eve := c.newUser(object{})
	c.as(bearer(c.token(limited))).patch("/v1/users/"+eve.ID, object{"roles": list{"system:owner"}}).
		wantDenied("delegation_exceeds_actor")

	c.step("one of two owners goes, the last one stays")
	owners := c.root().newGroup("system:owner")
	a, b := c.newUser(object{"roles": list{"system:owner"}}), c.newUser(object{"groups": list{owners}})
	c.patch("/v1/users/"+a.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	for name, attempt := range map[string]func(){
		"by removing the group": func() { c.patch("/v1/users/"+b.ID, object{"groups": list{}}) },
		"by suspending":         func() { c.patch("/v1/users/"+b.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}) },
		"by expiring":           func() { c.patch("/v1/users/"+b.ID, object{"not_before": "2090-01-01T00:00:00Z"}) },
		"by deleting":           func() { c.delete("/v1/users/" + b.ID) },
		"by editing the group":  func() { c.patch("/v1/groups/"+owners, object{"roles": list{}}) },
		"by deleting the group": func() { c.delete("/v1/groups/" + owners + "?force=true") },
		"by replacing the identity": func() {
			c.put("/v1/users/"+b.ID, object{"username": b.Username, "email": b.Username + "@example.com", "groups": list{}})
		},
	} {
		attempt()
		c.wantRefused(409, "last_owner")
		c.expect(name)
	}
	c.patch("/v1/users/"+a.ID, object{"suspended_at": nil}).wantStatus(200)
	c.delete("/v1/users/" + b.ID).wantStatus(204)

	c.step("two owners who remove each other at once: one stays")
	front := c.front()
	for round := range 4 {
		pair := [2]user{c.newUser(object{"roles": list{"system:owner"}}), c.newUser(object{"roles": list{"system:owner"}})}
		c.patch("/v1/users/"+a.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
		tokens := [2]string{c.login(front, pair[0]), c.login(front, pair[1])}
		c.done()
		status := make([]int, 2)
		var both sync.WaitGroup
		for i := range pair {
			both.Go(func() {
				w := &scenario{t: t, s: s, next: map[string][]string{}, auth: bearer(tokens[i])}
				w.delete("/v1/users/" + pair[1-i].ID)
				status[i] = w.last.status
			})
		}
		both.Wait()
		slices.Sort(status)
		if status[0] != 204 || status[1] != 409 && status[1] != 401 {
			t.Fatalf("round %d: statuses %v, want one 204 and a 409, or a 401 of the one who was faster removed", round,
				status)
		}
		a.ID = c.owners(pair[0].ID, pair[1].ID)
	}
}

// owners returns the one of two users who is still there; there must be exactly one.
func (c *scenario) owners(ids ...string) string {
	var there []string
	for _, id := range ids {
		if c.get("/v1/users/" + id); c.last.status == 200 {
			there = append(there, id)
		}
	}
	if len(there) != 1 {
		c.fail("%d of two owners are left, want one", len(there))
	}
	c.done()
	return there[0]
}

func TestSeedH14ListsFilterBySuspension(t *testing.T) {
	c := story(t, shared(t)).root()
	group := c.newGroup()
	active, suspended := c.newUser(object{"groups": list{group}}), c.newUser(object{"groups": list{group}})
	c.patch("/v1/users/"+suspended.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.get("/v1/users?group="+group).wantItems("id", active.ID, suspended.ID)
	c.get("/v1/users?group="+group+"&suspended=true").wantItems("id", suspended.ID)
	c.get("/v1/users?group="+group+"&suspended=false").wantItems("id", active.ID)
	c.get("/v1/users?suspended=maybe").wantProblem(400, "").wantNaming("suspended")
}

func TestSeedH15TemporaryPasswordConfines(t *testing.T) {
	c := story(t, shared(t)).root()
	front := c.front()
	name, role := unique("temp"), c.newRole("iam/groups:read")
	c.post("/v1/users", object{"username": name, "email": name + "@example.com", "name": "T", "roles": list{role}}).
		wantStatus(201)
	u := user{ID: c.text("/id"), Username: name, Password: c.text("/temporary_password")}

	c.step("a token of me:password, and nothing else")
	c.askLogin(front, u).wantStatus(200).want("/scope", "me:password")
	token := c.text("/access_token")
	c.as(bearer(token))
	c.get("/v1/groups").wantDenied("password_change_required")
	c.get("/v1/me/sessions").wantDenied("password_change_required")
	c.post("/v1/permissions", object{"subject": object{"type": "user", "id": u.ID}}).wantStatus(403)

	c.step("changed: full login, the temporary one is dead")
	next := password()
	c.post("/v1/me/password", object{"current_password": u.Password, "new_password": next}).wantStatus(204)
	c.askLogin(front, u).wantOAuthError(400, "invalid_grant")
	u.Password = next
	c.as(bearer(c.login(front, u))).get("/v1/groups").wantStatus(200)

	c.step("a reset ends the old sessions")
	live := c.login(front, u)
	c.root().post("/v1/users/"+u.ID+"/password/reset", nil).wantStatus(200)
	c.text("/temporary_password")
	c.dead(live)
	c.askLogin(front, u).wantOAuthError(400, "invalid_grant")
	c.post("/v1/users/"+uuid()+"/password/reset", nil).wantStatus(404)
}

func TestSeedH16OwnPassword(t *testing.T) {
	t.Parallel()
	c := story(t, shared(t)).root()
	front, u := c.front(), c.newUser(object{"grants": grants("ledger:read", "jobs:read")})
	c.as(bearer(c.login(front, u)))
	c.post("/v1/me/password", object{"current_password": password(), "new_password": password()}).wantStatus(400)
	c.post("/v1/me/password", object{"current_password": u.Password, "new_password": u.Password}).wantStatus(400)
	c.post("/v1/me/password", object{"current_password": u.Password, "new_password": "short"}).wantStatus(400)
	c.step("a narrow token without the current password")
	c.as(bearer(c.login(front, u, "scope", "ledger:read"))).post("/v1/me/password", object{"new_password": password()}).
		wantStatus(403)
	next := password()
	c.post("/v1/me/password", object{"current_password": u.Password, "new_password": next}).wantStatus(204)
	u.Password = next
	c.login(front, u)

	c.step("a wrong current password counts like a wrong one at a login: even the right one has to wait, here and there")
	victim := c.root().newUser(object{})
	token := c.login(front, victim)
	c.as(bearer(token)).eventually(2*time.Minute, func() {
		c.post("/v1/me/password", object{"current_password": "a wrong guess " + unique(""), "new_password": password()})
		if seconds, _ := strconv.Atoi(c.last.header.Get("Retry-After")); c.err == nil && seconds < 5 {
			c.fail("to wait for %d s, want 5", seconds)
		}
	})
	c.wantProblem(429, "").want("/code", "throttled")
	c.post("/v1/me/password", object{"current_password": victim.Password, "new_password": password()}).wantProblem(429, "").
		want("/code", "throttled")
	c.askLogin(front, victim).wantOAuthError(429, "temporarily_unavailable")
	c.login(front, u)
}

func TestSeedL19NoNarrowTokenMintsAFullOne(t *testing.T) {
	c := story(t, shared(t)).root()
	front := c.front()

	c.step("an application replaces its own secret")
	a := c.newApp(object{"grants": grants("ledger:read", "jobs:read")})
	c.as(bearer(c.token(a, "scope", "jobs:read")))
	c.post("/v1/me/password", object{}).wantStatus(403)
	c.post("/v1/me/password", object{"current_secret": "writ_cs_not-the-present-secret"}).wantStatus(400)
	c.post("/v1/me/password", object{"current_secret": a.Secret})
	if c.err == nil && c.last.status/100 != 2 {
		c.fail("status %d", c.last.status)
	}
	next := app{ID: a.ID, Secret: c.text("/value")}
	c.token(next)
	c.ask(a, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")

	c.step("a reset needs its right and dominance")
	strong := c.root().newUser(object{"grants": grants("payroll:read")})
	weak := c.newUser(object{})
	helpdesk := c.newUser(object{"grants": grants("iam/users:reset_password", "iam/users:read")})
	plain := c.newUser(object{"grants": grants("iam/users:read", "iam/users:write")})
	c.as(bearer(c.login(front, plain))).post("/v1/users/"+weak.ID+"/password/reset", nil).wantDenied("not_granted")
	c.as(bearer(c.login(front, helpdesk))).post("/v1/users/"+strong.ID+"/password/reset", nil).
		wantDenied("delegation_exceeds_actor")
	c.post("/v1/users/"+weak.ID+"/password/reset", nil).wantStatus(200)
	c.root().askLogin(front, strong).wantStatus(200)
}

func TestSeedH17CursorsAreStable(t *testing.T) {
	c := story(t, shared(t)).root()
	group := c.newGroup()
	put := func(c *scenario, id string) {
		name := unique("ada")
		c.put("/v1/users/"+id, object{"username": name, "email": name + "@example.com", "name": "Ada", "groups": list{group}}).wantStatus(201)
	}
	times := map[string]int{}
	for range 7 {
		id := uuid()
		put(c, id)
		times[id] = 0
	}
	c.done()
	there := len(times)

	// Beside the reader another caller adds members whose ids are before all others, and after. It is a pair ahead at most.
	writer, added, stop := story(t, c.s).root(), make(chan struct{}), make(chan struct{})
	var before, after []string
	go func() {
		defer close(added)
		for writer.err == nil {
			low, high := "00000000"+uuid()[8:], "ffffffff"+uuid()[8:]
			put(writer, low)
			put(writer, high)
			before, after = append(before, low), append(after, high)
			select {
			case added <- struct{}{}:
			case <-stop:
				return
			}
		}
	}()
	listed := map[string]int{}
	path := "/v1/users?limit=3&group=" + group
	for next, page := path, 0; next != "" && c.err == nil; page++ {
		c.get(next).wantStatus(200)
		for _, id := range c.items("id") {
			listed[id]++
		}
		cursor, _ := at(c.last.value(), "/next")
		if next = ""; cursor != nil {
			next = path + "&after=" + cursor.(string)
		}
		if page == 20 {
			c.fail("the list does not end")
		}
		<-added
	}
	close(stop)
	for range added {
	}
	c.expect("read to the end")
	for id, times := range listed {
		if times != 1 {
			t.Errorf("%s is listed %d times", id, times)
		}
	}
	count := func(ids []string) (n int) {
		for _, id := range ids {
			n += listed[id]
		}
		return n
	}
	if n := count(slices.Collect(maps.Keys(times))); n != there {
		t.Errorf("%d of %d that were there throughout are listed", n, there)
	}
	if len(before) < 3 || len(after) < 3 || count(before) == len(before) || count(after) == 0 {
		t.Errorf("%d of %d rows before the cursor and %d of %d behind it are listed: they were not added while it was read",
			count(before), len(before), count(after), len(after))
	}

	c.step("bad cursors and limits")
	c.get("/v1/users?limit=1").wantStatus(200)
	cursor := c.text("/next")
	for _, bad := range []string{
		"/v1/users?after=x", "/v1/users?after=" + forgeCursor(cursor), "/v1/groups?after=" + cursor,
		"/v1/users?suspended=true&after=" + cursor,
	} {
		c.get(bad).wantProblem(400, "").wantNaming("after")
		c.expect(bad)
	}
	for _, bad := range []string{"0", "101", "-1", "ten", "", "1e1"} {
		c.get("/v1/users?limit="+bad).wantProblem(400, "").wantNaming("limit")
		c.expect("limit " + bad)
	}
}

func forgeCursor(cursor string) string {
	if cursor == "" {
		return "x"
	}
	i := len(cursor) / 2
	other := byte('A')
	if cursor[i] == 'A' {
		other = 'B'
	}
	return cursor[:i] + string(other) + cursor[i+1:]
}

func TestSeedH19SessionsAreSeenAndEnded(t *testing.T) {
	c := story(t, shared(t)).root()
	front, u, v := c.front(), c.newUser(object{}), c.newUser(object{})
	one, two, other := c.login(front, u), c.login(front, u), c.login(front, v)
	claims, _ := part(other, 1)
	theirs, _ := claims["sid"].(string)

	c.step("one's own")
	c.as(bearer(one)).get("/v1/me/sessions").wantStatus(200)
	if ids := c.items("id"); c.err == nil && len(ids) != 2 {
		c.fail("%d sessions, want 2", len(ids))
	}
	c.delete("/v1/sessions/" + theirs).wantStatus(404)
	c.live(other)

	c.step("others', with the right")
	c.root().get("/v1/sessions?subject=" + u.ID).wantStatus(200)
	claims, _ = part(one, 1)
	mine, _ := claims["sid"].(string)
	c.delete("/v1/sessions/" + mine).wantStatus(204)
	c.dead(one).live(two).live(other)
	c.delete("/v1/sessions?subject=" + u.ID)
	if c.err == nil && c.last.status/100 != 2 {
		c.fail("status %d", c.last.status)
	}
	c.dead(two).live(other)
}
