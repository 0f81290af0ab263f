package e2e

import (
	"encoding/json"
	"testing"
	"time"
)

func instant(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

// TestSeed001CredentialJourney is seed 001's handbook: add with name and window, choose scopes, edit the name and window,
// edit the
// scopes, delete one, delete many, and the one that cannot be deleted.
func TestSeed001CredentialJourney(t *testing.T) {
	c := story(t, shared(t)).root()

	c.step("add: name, valid from, valid till, then the scopes")
	from, till := instant(-time.Hour), instant(time.Hour)
	capabilities := list{"assets:view", "users/user:view", "users/user:add"}
	a := c.newApp(object{
		"name": "client one", "not_before": from, "not_after": till, "scopes": capabilities,
		"grants": grants("assets:view", "users/user:view", "users/user:add"),
	})
	c.get("/v1/applications/"+a.ID).wantStatus(200).want("/name", "client one").want("/id", a.ID)
	c.get("/v1/applications/" + a.ID + "/scopes").wantStatus(200)
	c.wantSet("/scopes", "assets:view", "users/user:add", "users/user:view")
	c.get("/v1/applications/" + a.ID + "/secrets").wantStatus(200).wantNoSecret(a.Secret)

	c.step("step 2: request an access token; step 3: use it")
	token := c.token(a)
	c.as(bearer(token))
	c.decides(question("application", a.ID, "view", "assets", "1"), true)
	c.decides(question("application", a.ID, "view", "users/user", "1"), true)
	c.decides(question("application", a.ID, "view", "users/roles", "1"), false)
	c.decides(question("application", a.ID, "edit", "assets", "1"), false)

	c.step("edit name and window: the scopes stay")
	c.root().patch("/v1/applications/"+a.ID, object{"name": "client uno", "not_after": instant(2 * time.Hour)}).
		wantStatus(200)
	c.get("/v1/applications/" + a.ID + "/scopes").wantStatus(200)
	c.wantSet("/scopes", "assets:view", "users/user:add", "users/user:view")

	c.step("edit the scopes, select and clear all: name and window stay")
	c.put("/v1/applications/"+a.ID+"/scopes", object{"scopes": list{"assets:*"}}).wantStatus(200)
	c.decidesAs(c.token(a), question("application", a.ID, "view", "assets", "1"), true)
	c.decidesAs(c.token(a), question("application", a.ID, "view", "users/user", "1"), false)
	c.put("/v1/applications/"+a.ID+"/scopes", object{"scopes": list{}}).wantStatus(200)
	c.ask(a, "grant_type", "client_credentials").wantStatus(200).want("/scope", "")
	c.get("/v1/applications/"+a.ID).want("/name", "client uno").want("/scopes", list{})

	c.step("an expired one gets no token")
	c.patch("/v1/applications/"+a.ID, object{"not_before": instant(time.Hour)}).wantStatus(200)
	c.ask(a, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")

	c.step("delete one")
	c.delete("/v1/applications/" + a.ID).wantStatus(204)

	c.step("delete many, all or nothing")
	b, d := c.newApp(object{}), c.newApp(object{})
	c.post("/v1/applications/bulk-delete", object{"ids": list{b.ID, "root", d.ID}}).wantDenied("system_protected").
		wantNaming("root")
	c.token(b)
	c.post("/v1/applications/bulk-delete", object{"ids": list{b.ID, d.ID, b.ID}})
	if c.err == nil && c.last.status != 200 && c.last.status != 204 {
		c.fail("status %d, want 200 or 204", c.last.status)
	}
	c.get("/v1/applications/" + b.ID).wantStatus(404)
	c.get("/v1/applications/" + d.ID).wantStatus(404)

	c.step("the one that cannot be deleted")
	c.delete("/v1/applications/root").wantDenied("system_protected")
}

func TestSeedM01ApplicationHasNameWindowAndScopes(t *testing.T) {
	c := story(t, shared(t)).root()
	from, till := instant(-time.Hour), instant(time.Hour)
	c.newApp(object{
		"name": "named", "scopes": list{"ledger:read"}, "grants": grants("ledger:read"), "not_before": from,
		"not_after": till,
	})
	id := c.text("/id")
	c.get("/v1/applications/"+id).wantStatus(200).want("/name", "named").want("/scopes", list{"ledger:read"})
	c.wantInstant("/not_before", from).wantInstant("/not_after", till)
	c.post("/v1/applications", object{
		"name": "bad", "grant_types": list{"client_credentials"}, "scopes": "ledger:read jobs:read",
	}).wantProblem(400, "/scopes")
}

func TestSeedM02EmptyScopesGiveNothingAndBadWindowsAreRefused(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"scopes": list{}, "grants": grants("ledger:read")})
	c.ask(a, "grant_type", "client_credentials").wantStatus(200).want("/scope", "")
	c.decidesAs(c.text("/access_token"), question("application", a.ID, "read", "ledger", "1"), false)
	for pointer, window := range map[string]object{
		"/not_after":  {"not_before": "2090-01-02T00:00:00Z", "not_after": "2090-01-01T00:00:00Z"},
		"/not_before": {"not_before": "tomorrow"},
	} {
		c.post("/v1/applications", merge(object{"name": "bad", "grant_types": list{"client_credentials"}}, window)).
			wantProblem(400, pointer)
		c.expect(pointer)
	}
	equal := object{"not_before": "2090-01-01T00:00:00Z", "not_after": "2090-01-01T00:00:00Z"}
	c.post("/v1/applications", merge(object{"name": "bad", "grant_types": list{"client_credentials"}}, equal)).
		wantProblem(400, "/not_after")
	past := object{"not_after": "2020-01-01T00:00:00Z"}
	c.post("/v1/applications", merge(object{"name": "bad", "grant_types": list{"client_credentials"}}, past)).
		wantProblem(400, "/not_after")
	zoneless := object{"not_after": "2090-01-01T00:00:00"}
	c.post("/v1/applications", merge(object{"name": "bad", "grant_types": list{"client_credentials"}}, zoneless)).
		wantProblem(400, "/not_after")
}

func TestSeedM04TokenNeverOutlivesTheWindow(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"not_after": instant(10 * time.Minute), "grants": grants("ledger:read")})
	c.ask(a, "grant_type", "client_credentials").wantStatus(200)
	token := c.text("/access_token")
	if n, _ := at(c.last.value(), "/expires_in"); c.err == nil {
		left, _ := n.(json.Number).Int64()
		if left < 540 || left > 600 {
			c.fail("expires_in is %d, want the ten minutes of the window", left)
		}
	}
	c.live(token)
	c.patch("/v1/applications/"+a.ID, object{"not_before": instant(5 * time.Minute)}).wantStatus(200)
	c.dead(token)
	for _, bad := range []any{0, -1, 1 << 40} {
		c.patch("/v1/applications/"+a.ID, object{"token_lifetime": bad}).wantProblem(400, "/token_lifetime")
	}
}

func TestSeedM05EditingScopesNeedsItsOwnRight(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"scopes": list{"ledger:read"}})
	writer := c.newApp(object{"grants": grants("iam/applications:read", "iam/applications:write", "ledger:read")})
	scoper := c.newApp(object{"grants": grants("iam/applications:read", "iam/applications:write",
		"iam/applications:write_scopes", "ledger:read")})

	c.step("with write alone: name yes, rights no")
	c.as(bearer(c.token(writer)))
	c.patch("/v1/applications/"+a.ID, object{"name": "renamed"}).wantStatus(200).want("/scopes", list{"ledger:read"})
	c.put("/v1/applications/"+a.ID+"/scopes", object{"scopes": list{}}).wantDenied("not_granted")
	for member, value := range (object{
		"scopes": list{"ledger:*"}, "grants": grants("ledger:read"), "roles": list{"e2e:any"}, "groups": list{"any"},
	}) {
		c.patch("/v1/applications/"+a.ID, object{"name": "sneaky", member: value})
		if c.err == nil && c.last.status != 403 && (member == "scopes" || member == "grants" || c.last.status != 400) {
			c.fail("PATCH of %s: status %d, want 403", member, c.last.status)
		}
		c.expect(member)
	}
	c.get("/v1/applications/"+a.ID).want("/name", "renamed").want("/scopes", list{"ledger:read"})

	c.step("with write_scopes beside it")
	c.as(bearer(c.token(scoper)))
	c.put("/v1/applications/"+a.ID+"/scopes", object{"scopes": list{}}).wantStatus(200)
	c.get("/v1/applications/"+a.ID).want("/name", "renamed").want("/scopes", list{})
}

func TestSeedM06AndSA07WithoutWriteScopesApplicationsHaveNoRights(t *testing.T) {
	c := story(t, shared(t)).root()
	role := c.newRole("ledger:read")
	group := c.newGroup(role)
	writer := c.newApp(object{"grants": grants("iam/applications:read", "iam/applications:write", "ledger:read")})
	c.as(bearer(c.token(writer)))
	id := unique("none")
	for member, value := range (object{
		"scopes": list{"ledger:read"}, "grants": grants("ledger:read"), "roles": list{role}, "groups": list{group},
	}) {
		body := object{"name": "with rights", "grant_types": list{"client_credentials"}, member: value}
		c.put("/v1/applications/"+id, body).wantDenied("not_granted")
		c.post("/v1/applications", body).wantDenied("not_granted")
		c.expect(member)
	}
	c.get("/v1/applications/" + id).wantStatus(404)
	c.put("/v1/applications/"+id, object{"name": "without", "grant_types": list{"client_credentials"}}).wantStatus(201)
}

func TestSeedM07CatalogueListsWhatCanBeGranted(t *testing.T) {
	c := story(t, shared(t)).root()
	c.get("/v1/catalogue").wantStatus(200).wantNaming("iam/users").wantNaming("reset_password")
	c.get("/v1/catalogue?q=tenant").wantStatus(200).wantNaming("iam/tenants")

	c.step("all of a group, none, and duplicates")
	a := c.newApp(object{"scopes": list{"assets:*", "assets:*"}})
	c.get("/v1/applications/"+a.ID+"/scopes").wantStatus(200).want("/scopes", list{"assets:*"})
	c.put("/v1/applications/"+a.ID+"/scopes", object{"scopes": list{}}).wantStatus(200).want("/scopes", list{})

	c.step("unknown names below a closed first segment; others are open")
	body := object{"name": "x", "grant_types": list{"client_credentials"}}
	c.post("/v1/applications", merge(body, object{"scopes": list{"ledger:read", "iam/userz:read"}})).
		wantProblem(400, "/scopes/1").
		wantNaming("iam/userz")
	c.post("/v1/applications", merge(body, object{"grants": grants("iam/users:raed")})).wantStatus(400).wantNaming("raed")
	c.post("/v1/applications", merge(body, object{"grants": grants("anything/at/all:read")})).wantStatus(201)
}

func TestSeedM08ScopesAreTheLastSavedSet(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"scopes": list{"ledger:read"}})
	path := "/v1/applications/" + a.ID + "/scopes"
	c.put(path, object{"scopes": list{"jobs:read"}}).wantStatus(200)
	c.with("If-Match", a.ETag).put(path, object{"scopes": list{"ledger:read"}}).wantProblem(412, "")
	c.put(path, object{"scopes": list{"jobs:read", "not a scope"}}).wantProblem(400, "/scopes/1")
	c.get(path).wantStatus(200).want("/scopes", list{"jobs:read"})
}

func TestSeedM10BulkDeleteIsAllOrNothing(t *testing.T) {
	c := story(t, shared(t)).root()
	a, b := c.newApp(object{}), c.newApp(object{})
	unknown := unique("app_none")
	many := list{}
	for range 101 {
		many = append(many, unique("app"))
	}
	c.post("/v1/applications/bulk-delete", object{"ids": list{a.ID, unknown, b.ID}}).wantProblem(404, "").wantNaming(unknown)
	c.post("/v1/applications/bulk-delete", object{"ids": list{}}).wantProblem(400, "/ids")
	c.post("/v1/applications/bulk-delete", object{"ids": many}).wantProblem(400, "/ids")
	c.token(a)
	c.token(b)
	limited := c.newApp(object{"grants": grants("iam/applications:delete", "iam/applications:read")})
	strong := c.newApp(object{"grants": grants("ledger:read")})
	c.as(bearer(c.token(limited))).post("/v1/applications/bulk-delete", object{"ids": list{a.ID, strong.ID}}).
		wantDenied("delegation_exceeds_actor")
	c.post("/v1/applications/bulk-delete", object{"ids": list{a.ID, a.ID, b.ID}})
	c.root().get("/v1/applications/" + a.ID).wantStatus(404)
	c.get("/v1/applications/" + b.ID).wantStatus(404)
	c.get("/v1/applications/" + strong.ID).wantStatus(200)
}

func TestSeedM12TenantFieldNarrowsTheToken(t *testing.T) {
	c := story(t, shared(t)).root()
	one, two := c.newTenant(), c.newTenant()
	a := c.newApp(object{"grants": grants("jobs:read@" + one)})
	c.ask(a, "grant_type", "client_credentials", "tenant", one).wantStatus(200).want("/scope", "jobs:read")
	token := c.text("/access_token")
	if claims, err := part(token, 1); c.err == nil && (err != nil || claims["tenant"] != one) {
		c.fail("the token's tenant is %v, want %s", claims["tenant"], one)
	}
	c.ask(app{ID: a.ID, Secret: "writ_cs_wrong-secret-of-some-length"}, "grant_type", "client_credentials", "tenant", one).
		wantOAuthError(401, "invalid_client")
	wrong := c.last
	c.ask(a, "grant_type", "client_credentials", "tenant", two).wantOAuthError(401, "invalid_client").wantSame(wrong)
	c.ask(a, "grant_type", "client_credentials", "tenant", unique("no")).wantOAuthError(401, "invalid_client").
		wantSame(wrong)
}

func TestSeedM14AndST6OnlyTheAuthorizationHeaderCarriesAToken(t *testing.T) {
	c := story(t, shared(t)).root()
	token := c.token(c.newApp(object{"grants": grants("iam/groups:read")}))
	c.as("").with("Authorize", "Bearer "+token).get("/v1/groups").wantUnauthorized()
	c.get("/v1/groups?access_token=" + token).wantUnauthorized()
	c.as(bearer(token)).get("/v1/groups?access_token="+token).wantProblem(400, "").wantNoSecret(token)
	c.get("/v1/groups").wantStatus(200)
}

func TestSeedM19ForgedTokensAreRefused(t *testing.T) {
	c := story(t, shared(t)).root()
	token := c.token(c.newApp(object{"grants": grants("ledger:read")}))
	header, _ := part(token, 0)
	claims, _ := part(token, 1)
	c.as("").get("/.well-known/jwks.json").wantStatus(200)
	jwk, _ := json.Marshal(keyNamed(c.last.value(), header["kid"]))
	forged := map[string]string{
		"another signature": forge(token),
		"truncated":         token[:len(token)-3],
		"trailing bytes":    token + "AA",
		"three dots":        "...",
	}
	for _, alg := range []string{"none", "None", "nOnE"} {
		forged["alg "+alg] = unsigned(merge(header, object{"alg": alg}), claims)
	}
	forged["HS256 keyed with the JWK"] = keyed(merge(header, object{"alg": "HS256"}), claims, jwk)
	forged["a text exp"] = keyed(header, merge(claims, object{"exp": "4000000000"}), jwk)
	without := merge(claims, nil)
	delete(without, "exp")
	forged["no exp"] = keyed(header, without, jwk)
	forged["unknown crit"] = keyed(merge(header, object{"crit": list{"x"}}), claims, jwk)
	forged["jku"] = keyed(merge(header, object{"jku": "http://127.0.0.1:1/"}), claims, jwk)
	for name, bad := range forged {
		c.as("Bearer "+bad).post("/access/v1/evaluation", question("user", "x", "read", "ledger", "1")).wantUnauthorized()
		c.get("/v1/me").wantUnauthorized()
		c.expect(name)
	}
}
