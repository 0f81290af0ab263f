package e2e

import (
	"strings"
	"testing"
)

// TestSeed000MachineJourney is seed 000's M2M access: create an application, request a token by client credentials, use it,
// delete the application.
func TestSeed000MachineJourney(t *testing.T) {
	c := story(t, shared(t)).root()

	c.step("step 1: create an application")
	billing := c.newApp(object{
		"name": "billing", "scopes": list{"ledger/accounts:read"},
		"grants": grants("ledger/accounts:read"),
	})
	c.wantHeader("Location", "/v1/applications/"+billing.ID).want("/name", "billing")
	c.get("/v1/applications/"+billing.ID).wantStatus(200).want("/name", "billing").wantNoSecret(billing.Secret)
	other := c.newApp(object{"grants": grants("ledger/accounts:read")})

	c.step("step 2: request a token using client credentials")
	c.ask(billing, "grant_type", "client_credentials").wantStatus(200).want("/token_type", "Bearer").
		want("/scope", "ledger/accounts:read").wantAbsent("/refresh_token")
	token := c.text("/access_token")
	elsewhere := c.token(other)

	c.step("use it")
	c.as(bearer(token))
	c.decides(question("application", billing.ID, "read", "ledger/accounts", "123"), true)
	c.decides(question("application", billing.ID, "write", "ledger/accounts", "123"), false)

	c.step("delete the application: its token is dead at once, the other's lives")
	c.root().delete("/v1/applications/" + billing.ID).wantStatus(204)
	c.dead(token).live(elsewhere)
	c.ask(billing, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
}

func TestSeedL08ApplicationIsCreatedWithItsFirstSecret(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"name": "first"})
	if !strings.HasPrefix(a.ID, "app_") || !strings.HasPrefix(a.Secret, "writ_cs_") {
		c.fail("id %s or secret has the wrong form", a.ID)
	}
	c.wantHeader("Location", "/v1/applications/"+a.ID)

	c.step("the secret is in that reply only, and works")
	c.get("/v1/applications/" + a.ID).wantStatus(200).wantNoSecret(a.Secret)
	c.get("/v1/applications/"+a.ID+"/secrets").wantStatus(200).wantNoSecret(a.Secret).wantItems("id", a.SecretID)
	c.ask(a, "grant_type", "client_credentials").wantStatus(200).wantAbsent("/refresh_token")

	c.step("bad input stores nothing")
	c.post("/v1/applications", object{"grant_types": list{"client_credentials"}}).wantProblem(400, "/name")
	name := unique("bad")
	c.post("/v1/applications", object{"name": name, "grant_types": list{"telepathy"}}).wantProblem(400, "/grant_types/0")
}

func TestSeedL09DeletedApplicationIsDead(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	token := c.token(a)

	c.step("a stale If-Match deletes nothing")
	c.patch("/v1/applications/"+a.ID, object{"description": "newer"}).wantStatus(200)
	c.with("If-Match", a.ETag).delete("/v1/applications/"+a.ID).wantProblem(412, "")
	c.live(token)
	c.token(a)

	c.step("deleted")
	c.delete("/v1/applications/" + a.ID).wantStatus(204)
	c.ask(a, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.dead(token)
	c.as(bearer(token)).post("/access/v1/evaluation", question("application", a.ID, "read", "ledger", "1")).
		wantUnauthorized()
	c.root().decides(question("application", a.ID, "read", "ledger", "1"), false)
	c.post("/access/v1/evaluation", withReasons(question("application", a.ID, "read", "ledger", "1"))).
		want("/context/reasons/0/code", "no_such_subject")
	c.delete("/v1/applications/"+a.ID).wantProblem(404, "")

	c.step("the id is kept: recreated by a full administrator, the old token stays dead")
	c.put("/v1/applications/"+a.ID, object{"name": "again", "grant_types": list{"client_credentials"}}).wantStatus(201)
	c.dead(token)
	limited := c.newApp(object{"grants": grants("iam/applications:*")})
	c.delete("/v1/applications/" + a.ID).wantStatus(204)
	c.as(bearer(c.token(limited))).put("/v1/applications/"+a.ID, object{"name": "mine"}).wantStatus(403)
}

func TestSeedL10OneApplicationsEndLeavesTheOthersAlone(t *testing.T) {
	c := story(t, shared(t)).root()
	a, b := c.newApp(object{"grants": grants("ledger:read")}), c.newApp(object{"grants": grants("jobs:read")})
	tokenA, tokenB := c.token(a), c.token(b)

	c.as(bearer(tokenB)).decides(question("application", b.ID, "read", "ledger", "1"), false)
	c.root().delete("/v1/applications/" + a.ID).wantStatus(204)
	c.dead(tokenA).live(tokenB)

	c.step("a protected one is neither edited nor deleted")
	c.patch("/v1/applications/root", object{"name": "toor"}).wantDenied("system_protected")
	c.delete("/v1/applications/root").wantDenied("system_protected")
	c.delete("/v1/applications/"+unique("none")).wantProblem(404, "")
	c.live(tokenB)
}

func TestSeedL11SecretIsRevealedToAFreshAdministratorOnly(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	path := "/v1/applications/" + a.ID + "/secrets/" + a.SecretID + "/reveal"
	why := object{"reason": "migration"}
	reader := c.newApp(object{"grants": grants("iam/applications:read")})
	stranger := c.newApp(object{})
	hidden := c.newApp(object{"retrievable": false})

	c.step("an application reveals nothing, root included")
	c.post(path, why).wantDenied("admin_only").wantNoSecret(a.Secret)
	c.as(bearer(c.token(reader))).post(path, why).wantDenied("admin_only").wantNoSecret(a.Secret)
	c.as(bearer(c.token(stranger))).post(path, why).wantProblem(404, "").wantNoSecret(a.Secret)

	c.step("an owner who has just logged in")
	c.owner().post(path, why).wantStatus(200).want("/value", a.Secret).wantHeader("Cache-Control", "no-store")
	revealed := c.header("Decision-Id")
	c.post(path, object{}).wantDenied("admin_only").wantNoSecret(a.Secret)
	c.onPublic().post(path, why).wantStatus(404)

	c.step("one condition missing, each with its reason")
	var refused []string
	missing := func(rule string) {
		c.post(path, why).wantDenied("admin_only").want("/reasons/0/rule", rule).wantNoSecret(a.Secret)
		refused = append(refused, c.header("Decision-Id"))
		c.expect(rule)
	}
	front := c.root().front()
	everything := c.newUser(object{"grants": grants("*:*@*")}) // but for what must be given by name
	named := c.newUser(object{"grants": grants("iam/applications:read", "iam/applications:reveal")})
	c.as(bearer(c.login(front, everything)))
	missing("admin.granted")
	c.as(bearer(c.login(front, named)))
	missing("credential.administrative")
	c.root()
	narrow := c.newUser(object{"roles": list{"system:owner"}})
	c.as(bearer(c.login(front, narrow, "scope", "iam/applications:read")))
	missing("admin.scoped")

	c.step("no GET shows it, to anyone")
	for _, reading := range []string{"/v1/applications/" + a.ID, "/v1/applications/" + a.ID + "/secrets", "/v1/applications?name_prefix=app"} {
		c.owner().get(reading).wantStatus(200).wantNoSecret(a.Secret)
		c.root().get(reading).wantStatus(200).wantNoSecret(a.Secret)
	}
	c.owner().get(path).wantStatus(405).wantNoSecret(a.Secret)

	c.step("all of it is in the audit: what was refused, and the one that was not")
	c.root().get("/v1/audit?decision_id="+revealed).wantItems("event", "outcome", "intent")
	for _, id := range refused {
		c.get("/v1/audit?decision_id="+id).wantItems("outcome", "refused")
	}
	c.owner()

	c.step("what cannot be revealed")
	c.post("/v1/applications/"+hidden.ID+"/secrets/"+hidden.SecretID+"/reveal", why).wantProblem(409, "")
	second := c.root().post("/v1/applications/"+a.ID+"/secrets", object{"label": "blue"}).wantStatus(201).text("/id")
	c.delete("/v1/applications/" + a.ID + "/secrets/" + second).wantStatus(204)
	c.owner().post("/v1/applications/"+a.ID+"/secrets/"+second+"/reveal", why).wantProblem(409, "")
	c.get("/v1/applications/root/secrets").wantStatus(200)
	if ids := c.items("id"); len(ids) == 1 {
		c.post("/v1/applications/root/secrets/"+ids[0]+"/reveal", why).wantProblem(409, "").wantNoSecret(c.s.Secret)
	}
}

func TestSeedL12RevealIsOnTheAdminListenerOnly(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	path := "/v1/applications/" + a.ID + "/secrets/" + a.SecretID + "/reveal"
	c.owner().onPublic().post(path, object{"reason": "x"}).wantStatus(404).wantNoSecret(a.Secret)
	c.onAdmin().post(path, object{"reason": "x"}).wantStatus(200)

	for value, status := range map[string]int{"": 404, "false": 404, "true": 200} {
		m := story(t, fresh(t, Options{Merged: true, Env: map[string]string{"WRIT_ALLOW_REVEAL_ON_PUBLIC": value}})).root()
		b := m.newApp(object{})
		m.owner().post("/v1/applications/"+b.ID+"/secrets/"+b.SecretID+"/reveal", object{"reason": "x"}).wantStatus(status)
		m.get("/v1/users").wantStatus(200)
		m.expect("merged listeners, WRIT_ALLOW_REVEAL_ON_PUBLIC=" + value)
	}
	out := suite.runner.Command(t.Context(), Options{Env: startEnv(t,
		map[string]string{"WRIT_ALLOW_REVEAL_ON_PUBLIC": "maybe"})}, "serve")
	wantStartError(t, out, 0, "allow_reveal_on_public")
}
