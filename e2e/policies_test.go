package e2e

import (
	"path/filepath"
	"testing"
)

// TestSeed003TokenThenPoliciesJourney is seed 003: an application's token from /connect/token, then GET /v1/policies with
// it; and
// the rule about tokens of users who are not administrators.
func TestSeed003TokenThenPoliciesJourney(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("policies:read")})

	c.step("request a token, credentials in the body")
	c.as("").form("/connect/token", fields("grant_type", "client_credentials", "client_id", a.ID, "client_secret",
		a.Secret)).
		wantStatus(200).want("/token_type", "Bearer").want("/expires_in", 3600).
		wantHeader("Cache-Control", "no-store").wantHeader("Pragma", "no-cache")
	token := c.text("/access_token")

	c.step("use it")
	c.as(bearer(token)).get("/v1/policies").wantStatus(200)
	c.text("/policy_revision")
	c.text("/source")
	c.wantNaming("writ/admin").wantNaming("sha256")

	c.step("anonymous, without the right, and on the wrong listener")
	c.as("").get("/v1/policies").wantUnauthorized()
	c.root()
	other := c.newApp(object{})
	c.as(bearer(c.token(other))).get("/v1/policies").wantDenied("not_granted")
	c.as(bearer(token)).onPublic().get("/v1/policies").wantStatus(404)
}

func TestSeedP01BasicIsForTheAdminListener(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"scopes": list{"iam/groups:read"}, "grants": grants("iam/groups:read", "iam/users:read")})
	u := c.newUser(object{"grants": grants("iam/groups:read")})
	serving := c.newApp(object{"grant_types": list{"password"}, "grants": grants("iam/groups:read")})
	runtimeOnly := c.newApp(object{"audiences": list{c.s.Public + "/runtime"}, "grants": grants("iam/groups:read")})

	c.as(basic(a.ID, a.Secret)).get("/v1/groups").wantStatus(200)
	c.get("/v1/users").wantDenied("insufficient_scope")
	c.post("/access/v1/evaluation", question("application", a.ID, "read", "iam/groups", "1")).wantUnauthorized()
	c.as(basic(a.ID, "writ_cs_wrong-secret-of-some-length")).get("/v1/groups").wantUnauthorized()
	c.as(basic(u.Username, u.Password)).get("/v1/groups").wantUnauthorized()
	for _, path := range []string{"/v1/groups", "/v1/groups/" + unique("none"), "/v1/me"} {
		c.as(basic(serving.ID, serving.Secret)).get(path).wantUnauthorized().want("/code", "basic_not_accepted").
			wantNaming("decision_id")
	}
	c.as(basic(runtimeOnly.ID, runtimeOnly.Secret)).get("/v1/groups").wantUnauthorized().want("/code", "wrong_audience")
	c.get("/v1/me").wantUnauthorized().want("/code", "basic_not_accepted")
	c.as(bearer(c.token(runtimeOnly))).get("/v1/me").wantStatus(200)
}

func TestSeedP02TokenAliasesAreOneHandler(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	a := c.newApp(object{})
	root := app{ID: "root", Secret: s.Secret} // its secret holds + % : / and a space
	for _, path := range []string{"/oauth2/token", "/connect/token", "/token"} {
		for _, who := range []app{a, root} {
			c.as(basic(who.ID, who.Secret)).form(path, fields("grant_type", "client_credentials", "scope", "")).
				wantStatus(200)
			c.as("").form(path, fields("grant_type", "client_credentials", "client_id", who.ID, "client_secret",
				who.Secret)).wantStatus(200)
			c.as(basic(who.ID, who.Secret)).
				form(path, fields("grant_type", "client_credentials", "client_id", who.ID, "client_secret", who.Secret)).
				wantOAuthError(400, "invalid_request")
			c.as("").onPublic().form(path+"?client_id="+who.ID+"&client_secret=query-"+canary("canary-in-the-query"),
				fields("grant_type", "client_credentials")).wantOAuthError(401, "invalid_client")
			c.expect(path + " " + who.ID)
		}
	}
}

func TestSeedP03TokenRepliesAreNotStored(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	for _, path := range []string{"/oauth2/token", "/connect/token", "/token"} {
		c.as(basic(a.ID, a.Secret)).form(path, fields("grant_type", "client_credentials")).wantStatus(200).
			want("/token_type", "Bearer").want("/expires_in", 3600).
			wantHeader("Cache-Control", "no-store").wantHeader("Pragma", "no-cache")
		c.get(path).wantStatus(405).wantHeader("Allow", "POST")
		c.form(path, fields("grant_type", "telepathy")).wantOAuthError(400, "unsupported_grant_type")
		c.expect(path)
	}
}

func TestSeedP04ApplicationManagesWhatItsGrantsAllow(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("iam/groups:read", "iam/groups:write")})
	token := c.token(a)
	c.as(bearer(token)).get("/v1/groups").wantStatus(200)
	c.put("/v1/groups/"+unique("g"), object{"name": "g"}).wantStatus(201)
	c.get("/v1/users").wantDenied("not_granted")
	c.root().patch("/v1/applications/"+a.ID, object{"is_active": false}).wantStatus(200)
	c.as(bearer(token)).get("/v1/groups").wantUnauthorized()
}

func TestSeedP05UserTokensOnTheManagementAPI(t *testing.T) {
	dir := policyDir(t, map[string]string{"settings/data.yaml": "admin:\n  user_tokens:\n    own: administrators\n"})
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	front := c.front()
	plain := c.newUser(object{"grants": grants("iam/groups:read")})
	admin := c.newUser(object{"roles": list{"system:owner"}})
	machine := c.newApp(object{"grants": grants("iam/groups:read")})
	c.newUser(object{"roles": list{"system:owner"}})

	c.as(bearer(c.login(front, plain))).get("/v1/groups").wantDenied("not_administrator")
	c.get("/v1/me").wantStatus(200)
	c.as(bearer(c.token(machine))).get("/v1/groups").wantStatus(200)
	token := c.login(front, admin)
	c.as(bearer(token)).get("/v1/groups").wantStatus(200)

	c.step("an administrator no more: refused at once")
	c.root().patch("/v1/users/"+admin.ID, object{"roles": list{}, "grants": grants("iam/groups:read")}).wantStatus(200)
	c.as(bearer(token)).get("/v1/groups").wantDenied("not_administrator")

	only := "admin:\n  user_tokens:\n    own: administrators\n"
	settings := func(text string) { write(t, filepath.Join(dir, "settings", "data.yaml"), only+text) }
	c.step("made one by id, and removed")
	token = c.login(front, plain)
	settings("administrators:\n  ids:\n    " + plain.ID + ": true\n")
	c.as(bearer(token)).eventually(swapWithin, func() { c.get("/v1/groups").wantStatus(200) })
	c.get("/v1/users").wantDenied("not_granted") // being one is no right
	settings("")
	c.eventually(swapWithin, func() { c.get("/v1/groups").wantDenied("not_administrator") })

	c.step("made one by a role, and removed")
	role := c.root().newRole()
	holder := c.newUser(object{"roles": list{role}, "grants": grants("iam/groups:read")})
	token = c.login(front, holder)
	c.as(bearer(token)).get("/v1/groups").wantDenied("not_administrator")
	settings("administrators:\n  roles:\n    \"" + role + "\": true\n")
	c.eventually(swapWithin, func() { c.get("/v1/groups").wantStatus(200) })
	c.root().patch("/v1/users/"+holder.ID, object{"roles": list{}}).wantStatus(200)
	c.as(bearer(token)).get("/v1/groups").wantDenied("not_administrator")
}

// TestSeedP01BasicCanBeOff has the same application come with Basic where it is accepted and where it is not, and with a token.
func TestSeedP01BasicCanBeOff(t *testing.T) {
	for value, status := range map[string]int{"": 200, "true": 200, "false": 401} {
		s := fresh(t, Options{Env: map[string]string{"WRIT_ADMIN_BASIC": value}})
		c := story(t, s)
		root := app{ID: "root", Secret: s.Secret}
		c.root()
		a := c.newApp(object{"grants": grants("iam/groups:read")})
		for _, who := range []app{a, root} {
			c.as(basic(who.ID, who.Secret)).get("/v1/groups").wantStatus(status)
			if status == 401 {
				c.wantUnauthorized()
				c.get("/v1/me").wantUnauthorized()
			}
			c.expect("WRIT_ADMIN_BASIC=" + value + ", " + who.ID)
			c.as(bearer(c.token(who))).get("/v1/groups").wantStatus(200) // at the token endpoint Basic is the protocol's
		}
		c.expect("WRIT_ADMIN_BASIC=" + value)
	}
}

// TestSeedP06AudiencesAreConfiguration gives the planes names of the operator's: they fit by exact name, and the server's own fit no more,
// which an application has that registers none, root among them.
func TestSeedP06AudiencesAreConfiguration(t *testing.T) {
	const runtime, management = "https://api.example/pdp", "https://api.example/admin"
	dir := policyDir(t, map[string]string{"settings/data.yaml": "delete_requires_inactive: false\n"})
	s := fresh(t, Options{Args: []string{"--policies", dir}})
	c := story(t, s).root()
	with := func(audiences ...any) string {
		return bearer(c.token(c.newApp(object{"audiences": list(audiences), "grants": grants("iam/groups:read", "decisions:ask")})))
	}
	rows := []struct {
		name, credential string
		asks, manages    bool
	}{
		{"both", with(runtime, management), true, true},
		{"the one", with(runtime), true, false},
		{"the other", with(management), false, true},
		{"the server's own", with(s.Public+"/runtime", s.Public+"/management"), false, false},
		{"none registered", bearer(c.token(c.newApp(object{"grants": grants("iam/groups:read")}))), false, false},
		{"names that begin alike", with(runtime+"/v2", management+"/v2"), false, false},
		{"root", c.auth, false, false},
	}
	c.done()
	c.as(rows[0].credential).get("/v1/groups").wantRefused(401, "wrong_audience")
	write(t, filepath.Join(dir, "settings", "data.yaml"),
		"audiences:\n  runtime: {\""+runtime+"\": true}\n  management: {\""+management+"\": true}\n")
	c.eventually(swapWithin, func() { c.get("/v1/groups").wantStatus(200) })
	ask := question("application", "root", "read", "iam/groups", "1")
	for _, row := range rows {
		if c.as(row.credential).get("/v1/groups"); row.manages {
			c.wantStatus(200)
		} else {
			c.wantRefused(401, "wrong_audience")
		}
		if c.post("/access/v1/evaluation", ask); row.asks {
			c.wantStatus(200)
		} else {
			c.wantUnauthorized()
		}
		c.expect(row.name)
	}
}

func TestSeedP06AndSJ6AudienceFitsThePlane(t *testing.T) {
	c := story(t, shared(t)).root()
	both := c.newApp(object{"grants": grants("iam/groups:read")})
	management := c.newApp(object{"audiences": list{c.s.Public + "/management"}, "grants": grants("iam/groups:read")})
	runtime := c.newApp(object{"audiences": list{c.s.Public + "/runtime"}, "grants": grants("iam/groups:read")})
	ask := func(a app) object { return question("application", a.ID, "read", "iam/groups", "1") }

	c.as(bearer(c.token(both))).get("/v1/groups").wantStatus(200)
	c.decides(ask(both), true)
	c.root().as(bearer(c.token(management))).get("/v1/groups").wantStatus(200)
	c.post("/access/v1/evaluation", ask(management)).wantUnauthorized()
	c.as(bearer(c.token(runtime))).get("/v1/groups").wantUnauthorized().wantNaming("wrong_audience")
	c.decides(ask(runtime), true)
}
