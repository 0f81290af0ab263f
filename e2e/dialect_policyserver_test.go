package e2e

import (
	"fmt"
	"slices"
	"testing"
)

// policyServer is a server that speaks as PolicyServer does.
func policyServer(t *testing.T, o Options) *Server {
	t.Helper()
	env := map[string]string{"WRIT_DIALECTS_POLICYSERVER_ENABLED": "true"}
	for name, value := range o.Env {
		env[name] = value
	}
	o.Env = env
	return fresh(t, o)
}

const (
	manages = "/policyserver/management"
	runs    = "/policyserver/runtime"
	// psAdministrator is the role of an administrator of PolicyServer.
	psAdministrator = "dialect:policyserver:administrator"
)

// firm plants a tree by the management API: a boss by subject, a clerk by a role of the issuer, a lead and an auditor below.
func (c *scenario) firm(boss string) *scenario {
	for _, row := range []struct {
		path string
		body object
	}{
		{"/policies", object{"name": "firm"}},
		{"/policies/firm/policies", object{"name": "sales"}},
		{"/policies/firm/policies", object{"name": "audit"}},
		{"/policies/firm~sales/policies", object{"name": "north"}},
		{"/policies/firm/roles", object{"name": "boss", "subjects": list{boss}}},
		{"/policies/firm/roles", object{"name": "clerk", "identityRoles": list{"issuer:clerk"}}},
		{"/policies/firm~sales/roles", object{"name": "lead", "claims": object{"team": list{"sales"}}}},
		{"/policies/firm/permissions", object{"name": "see", "roles": list{"boss", "clerk"}}},
		{"/policies/firm/permissions", object{"name": "fire", "roles": list{"boss"}}},
		{"/policies/firm~sales/permissions", object{"name": "discount", "roles": list{"lead"}}},
	} {
		c.post(manages+row.path, row.body).wantStatus(201)
		c.header("Location")
		c.header("Decision-Id")
	}
	return c
}

// claimsOf is the body of a question of the runtime API: types and values by turns.
func claimsOf(pairs ...string) object {
	all := list{}
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, object{"Type": pairs[i], "Value": pairs[i+1]})
	}
	return object{"Claims": all}
}

// policyAt asks what holds at a policy.
func (c *scenario) policyAt(path string, pairs ...string) *scenario {
	return c.onPublic().post(runs+"/policy/"+path, claimsOf(pairs...))
}

func (c *scenario) wantPolicy(roles, permissions []string) *scenario {
	return c.wantStatus(200).wantSet("/roles", roles...).wantSet("/permissions", permissions...)
}

// wantErrors demands an error in PolicyServer's own shape.
func (c *scenario) wantErrors(status int) *scenario {
	c.wantStatus(status)
	if v, ok := at(c.last.value(), "/errors"); c.err == nil {
		if texts, isList := v.([]any); !ok || !isList || len(texts) == 0 {
			c.fail("the reply has no errors")
		}
	}
	return c
}

// wantRefusedLater is a refusal by one of several native calls: the header has the first decision, the body the one that refused.
func (c *scenario) wantRefusedLater(status int, code string) *scenario {
	c.wantStatus(status).want("/code", code).want("/reasons/0/code", code)
	c.header("Decision-Id")
	c.text("/decision_id")
	return c
}

// wantBearerOnly is a 401 that speaks of bearer tokens and of nothing else.
func (c *scenario) wantBearerOnly() *scenario {
	c.wantUnauthorized()
	for _, challenge := range c.last.header.Values("WWW-Authenticate") {
		if c.err == nil && len(challenge) >= 5 && challenge[:5] == "Basic" {
			c.fail("there is a challenge %q", challenge)
		}
	}
	return c
}

func TestDialectP01AnonymousAndBasicAreNobody(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	a := c.newApp(object{"grants": grants("policies:*", "decisions:ask")})
	u := c.newUser(object{"roles": list{"system:owner"}})
	c.firm("ada")
	for name, credential := range map[string]string{
		"nobody": "", "an application by Basic": basic(a.ID, a.Secret), "root by Basic": basic("root", c.s.Secret), "a user by Basic": basic(u.Username, u.Password),
		"a wrong secret by Basic": basic(a.ID, "wrong"), "nonsense": "nonsense", "a bad token": "Bearer nonsense", "a digest": "Digest username=root",
	} {
		c.as(credential)
		c.get(manages).wantBearerOnly()
		c.get(manages + "/policies").wantBearerOnly()
		c.post(manages+"/policies", object{"name": "x"}).wantBearerOnly()
		c.get(manages + "/tenants").wantBearerOnly()
		c.onPublic().get(runs).wantBearerOnly()
		c.policyAt("firm", "sub", "ada").wantBearerOnly()
		c.expect(name)
	}
	c.as(basic(a.ID, a.Secret)).get("/v1/policy-data").wantStatus(200) // Writ's own admin API takes it
	c.as(bearer(c.token(a)))
	c.get(manages + "/policies").wantStatus(200)
	c.policyAt("firm", "sub", "ada").wantStatus(200)

	c.step("each plane has its listener, and a dialect that is off is not there")
	c.onPublic().get(manages + "/policies").wantStatus(404)
	c.onAdmin().get(runs).wantStatus(404)
	off := story(t, shared(t)).root()
	off.get(manages + "/policies").wantStatus(404)
	off.onPublic().get(runs).wantStatus(404)
}

func TestDialectP03TheTokenEndpoint(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	a := c.newApp(object{"grants": grants("policies/data:read")})
	form := func(pairs ...string) *scenario {
		return c.onPublic().form("/policyserver/connect/token", fields(pairs...))
	}
	c.as("")
	for _, path := range []string{"/policyserver/connect/token", "/policyserver/token"} {
		c.onPublic().form(path, fields("grant_type", "client_credentials", "client_id", a.ID, "client_secret", a.Secret)).wantStatus(200).
			want("/expires_in", 3600).want("/token_type", "Bearer").wantHeader("Cache-Control", "no-store").wantHeader("Pragma", "no-cache")
		c.header("Decision-Id")
		token := c.text("/access_token")
		c.as(bearer(token)).get(manages + "/policies").wantStatus(200)
		c.as("").onPublic().with("Authorization", basic(a.ID, a.Secret)).form(path, fields("grant_type", "client_credentials")).wantStatus(200).
			want("/token_type", "Bearer")
		c.onPublic().get(path).wantStatus(405).wantHeader("Allow", "POST")
		c.expect(path)
	}
	c.step("bad")
	form("grant_type", "client_credentials", "client_id", a.ID, "client_secret", "wrong").wantOAuthError(401, "invalid_client")
	form("grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	form("grant_type", "implicit", "client_id", a.ID, "client_secret", a.Secret).wantOAuthError(400, "unsupported_grant_type")
	form("grant_type", "client_credentials", "client_id", a.ID, "client_id", a.ID, "client_secret", a.Secret).wantOAuthError(400, "invalid_request")
	c.with("Authorization", basic(a.ID, a.Secret))
	form("grant_type", "client_credentials", "client_id", a.ID, "client_secret", a.Secret).wantOAuthError(400, "invalid_request")
	c.onPublic().post("/policyserver/connect/token", object{"grant_type": "client_credentials"}).wantOAuthError(400, "invalid_request")
	c.onAdmin().form("/policyserver/connect/token", fields("grant_type", "client_credentials")).wantStatus(404)
}

func TestDialectP05UserTokensNeedAnAdministrator(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	c.put("/v1/roles/"+psAdministrator, object{"description": "Administers policies", "grants": grants("policies/data:*")}).wantStatus(201)
	front := c.front()
	plain := c.newUser(object{"grants": grants("policies/data:*")})
	admin := c.newUser(object{"roles": list{psAdministrator}})
	owner := c.newUser(object{"roles": list{"system:owner"}})
	machine := c.newApp(object{"grants": grants("policies/data:*")})

	c.as(bearer(c.login(front, plain)))
	c.get(manages).wantRefusedLater(403, "not_administrator")
	c.get(manages+"/policies").wantRefusedLater(403, "not_administrator")
	c.post(manages+"/policies", object{"name": "x"}).wantRefusedLater(403, "not_administrator")
	c.get("/v1/policy-data").wantStatus(200) // natively the right is enough, unless policy data says otherwise
	c.expect("a user who is none")

	for name, token := range map[string]string{
		"an administrator": c.login(front, admin), "a full administrator": c.login(front, owner), "a machine": c.token(machine),
	} {
		c.as(bearer(token)).get(manages + "/policies").wantStatus(200)
		c.post(manages+"/policies", object{"name": unique("p")}).wantStatus(201)
		c.expect(name)
	}
	c.step("removed: refused at once")
	token := bearer(c.login(front, admin))
	c.root().patch("/v1/users/"+admin.ID, object{"roles": list{}, "grants": grants("policies/data:*")}).wantStatus(200)
	c.as(token).get(manages+"/policies").wantRefusedLater(403, "not_administrator")
}

func TestDialectP06TheAudienceFitsThePlane(t *testing.T) {
	s := policyServer(t, Options{})
	c := story(t, s).root()
	with := func(audiences ...string) string {
		body := object{"grants": grants("policies/data:*", "decisions:ask")}
		if len(audiences) > 0 {
			given := list{}
			for _, a := range audiences {
				given = append(given, s.Public+"/"+a)
			}
			body["audiences"] = given
		}
		return bearer(c.token(c.newApp(body)))
	}
	c.firm("ada")
	both, runtime, management := with(), with("runtime"), with("management")
	for _, row := range []struct {
		name, credential string
		runs, manages    int
	}{
		{"both", both, 200, 200}, {"the runtime", runtime, 200, 401}, {"the management", management, 401, 200},
	} {
		c.as(row.credential).get(manages + "/policies").wantStatus(row.manages)
		c.get(manages).wantStatus(row.manages)
		c.policyAt("firm", "sub", "ada").wantStatus(row.runs)
		c.onPublic().get(runs).wantStatus(row.runs)
		c.expect(row.name)
	}
}

func TestDialectP09RolesAndPermissionsAtAPolicy(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	boss := c.newUser(object{})
	c.firm(boss.ID)
	c.onPublic().get(runs).wantStatus(200)
	version := c.text("/version")

	c.policyAt("firm", "sub", boss.ID).wantPolicy([]string{"boss"}, []string{"fire", "see"})
	c.policyAt("firm/sales", "sub", boss.ID).wantPolicy([]string{"boss"}, []string{"fire", "see"})
	c.policyAt("firm/sales", "sub", boss.ID, "team", "sales").wantPolicy([]string{"boss", "lead"}, []string{"discount", "fire", "see"})
	c.policyAt("firm/audit", "sub", boss.ID, "team", "sales").wantPolicy([]string{"boss"}, []string{"fire", "see"})
	c.policyAt("firm", "sub", uuid(), "role", "issuer:clerk").wantPolicy([]string{"clerk"}, []string{"see"})
	c.onPublic().post(runs+"/policy/firm?version="+version, claimsOf("sub", boss.ID)).wantPolicy([]string{"boss"}, []string{"fire", "see"})
	c.header("Decision-Id")
	c.onPublic().post(runs+"/policy/firm", `{"claims": [{"type": "sub", "value": "`+boss.ID+`"}]}`).wantPolicy([]string{"boss"}, []string{"fire", "see"})

	c.step("who may not act has nothing")
	c.patch("/v1/users/"+boss.ID, object{"suspended_at": "2026-01-01T00:00:00Z"}).wantStatus(200)
	c.policyAt("firm", "sub", boss.ID).wantPolicy(nil, nil)
	c.patch("/v1/users/"+boss.ID, object{"suspended_at": nil}).wantStatus(200)

	c.step("bad: an unknown path, or one in another case")
	for _, path := range []string{"none", "Firm", "firm/Sales", "firm/none", "sales", "firm/"} {
		c.policyAt(path, "sub", boss.ID).wantErrors(404)
		c.expect(path)
	}
	c.step("bad: asking about others without the right, or with another method")
	c.onPublic().get(runs + "/policy/firm").wantStatus(405)
	c.as(bearer(c.token(c.newApp(object{})))).policyAt("firm", "sub", boss.ID).wantRefusedLater(403, "not_granted")
}

func TestDialectP10ClaimsAreWhoIsAskedAbout(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	tenant := c.newTenant()
	c.firm("ada").policyAt("firm").wantPolicy(nil, nil)
	c.policyAt("firm", "role", "issuer:clerk").wantPolicy([]string{"clerk"}, []string{"see"})
	c.policyAt("firm", "role", "x", "role", "issuer:clerk").wantPolicy([]string{"clerk"}, []string{"see"})
	c.policyAt("firm/sales", "team", "x", "team", "sales", "unknown", "").wantPolicy([]string{"lead"}, []string{"discount"})
	c.policyAt("firm", "tenant", tenant, "role", "issuer:clerk").wantPolicy([]string{"clerk"}, []string{"see"})

	c.step("bad")
	for name, body := range map[string]any{
		"two subjects": claimsOf("sub", "a", "sub", "b"), "the same subject twice": claimsOf("sub", "a", "sub", "a"),
		"two tenants": claimsOf("tenant", "a", "tenant", "b"), "an empty subject": claimsOf("sub", ""), "no claims": object{}, "a list": list{},
		"null": object{"Claims": nil}, "a claim without a type": object{"Claims": list{object{"Value": "a"}}},
		"a claim with more": object{"Claims": list{object{"Type": "a", "Value": "b", "Issuer": "c"}}}, "a number": object{"Claims": list{object{"Type": "a", "Value": 1}}},
		"more than claims": object{"Claims": list{}, "sub": "ada"}, "both spellings": object{"Claims": list{}, "claims": list{}}, "no JSON": "{",
		"a key twice": `{"Claims": [], "Claims": []}`,
	} {
		c.onPublic().with("Content-Type", "application/json").post(runs+"/policy/firm", body).wantErrors(400)
		c.expect(name)
	}
	c.onPublic().form(runs+"/policy/firm", fields("Claims", "")).wantStatus(415)
	c.onPublic().post(runs+"/policy/firm?subject=ada", claimsOf()).wantErrors(400)
}

func TestDialectP12EditingTheTree(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	c.get(manages + "/policies").wantStatus(200)
	c.firm("ada")
	c.get(manages+"/policies").wantStatus(200).want("/0/name", "firm").wantAbsent("/1")
	tag := c.header("ETag")
	c.with("If-None-Match", tag).get(manages + "/policies").wantStatus(304)
	c.with("If-None-Match", tag).get(manages).wantStatus(200).wantHeader("ETag", "")
	c.with("If-Match", tag).put(manages+"/policies/firm", object{}).wantStatus(200)

	c.step("bad: changes nothing")
	c.get("/v1/policy-data/apps/policytree/nodes").wantStatus(200)
	before := string(c.last.body)
	for _, row := range []struct {
		name, method, path string
		body               any
		status             int
	}{
		{"a sibling of the name", "POST", "/policies/firm/policies", object{"name": "sales"}, 409},
		{"another root of the name", "POST", "/policies", object{"name": "firm"}, 409},
		{"a name with a slash", "POST", "/policies", object{"name": "a/b"}, 400},
		{"a name with a space", "POST", "/policies/firm/roles", object{"name": "a b"}, 400},
		{"below itself", "PUT", "/policies/firm", object{"parentId": "firm~sales"}, 400},
		{"below its grandchild", "PUT", "/policies/firm", object{"parentId": "firm~sales~north"}, 400},
		{"below nothing", "PUT", "/policies/firm~sales", object{"parentId": "none"}, 404},
		{"a name that is taken", "PUT", "/policies/firm~sales", object{"name": "audit"}, 409},
		{"a parent, unconfirmed", "DELETE", "/policies/firm", nil, 409},
		{"a role twice", "POST", "/policies/firm/roles", object{"name": "boss"}, 409},
		{"a permission for no role", "POST", "/policies/firm/permissions", object{"name": "x", "roles": list{"nobody"}}, 400},
		{"a permission that is the action itself", "POST", "/policies/firm/permissions", object{"name": "evaluate"}, 400},
		{"a policy that takes roles of its parent along", "PUT", "/policies/firm~sales", object{"name": "a b"}, 400},
		{"an unknown field", "POST", "/policies", object{"name": "a", "tenant": "x"}, 400},
	} {
		c.send(row.method, manages+row.path, row.body).wantErrors(row.status)
		c.get("/v1/policy-data/apps/policytree/nodes").wantStatus(200)
		if c.err == nil && string(c.last.body) != before {
			c.fail("the tree is another one: %s", c.last.body)
		}
		c.expect(row.name)
	}
	c.delete(manages+"/policies/firm").wantErrors(409).want("/count", 4)
	c.get(manages + "/policies/none").wantErrors(404)
	c.with("If-Match", `"1"`).post(manages+"/policies", object{"name": "late"}).wantStatus(412)

	c.step("what moves takes along what is below it")
	c.post(manages+"/policies", object{"name": "branch"}).wantStatus(201)
	c.put(manages+"/policies/firm~sales", object{"parentId": "branch", "name": "trade"}).wantStatus(200).want("/path", "branch/trade")
	c.get(manages+"/policies/branch~trade/policies").wantStatus(200).want("/0/path", "branch/trade/north")
	c.policyAt("branch/trade/north", "team", "sales").wantPolicy([]string{"lead"}, []string{"discount"})
	c.policyAt("firm/sales", "team", "sales").wantErrors(404)

	c.step("assignments count at once")
	c.policyAt("branch", "sub", "bob").wantPolicy(nil, nil)
	c.post(manages+"/roles/branch~trade:lead/subjects", object{"subject": "bob"}).wantStatus(201)
	c.policyAt("branch/trade", "sub", "bob").wantPolicy([]string{"lead"}, []string{"discount"})
	c.delete(manages + "/roles/branch~trade:lead/subjects/bob").wantStatus(204)
	c.policyAt("branch/trade", "sub", "bob").wantPolicy(nil, nil)

	c.step("what is deleted is gone for good, with what is below it")
	c.delete(manages+"/policies/branch?confirm=true").wantStatus(200).want("/deleted", 3)
	c.policyAt("branch/trade/north", "team", "sales").wantErrors(404)
	c.delete(manages + "/roles/firm:clerk").wantStatus(204)
	c.get(manages+"/permissions/firm:see").wantStatus(200).want("/roles", list{"boss"})
	c.delete(manages + "/permissions/firm:see").wantStatus(204)
	c.delete(manages + "/policies/firm~audit").wantStatus(204)
	c.get("/v1/policy-data/apps/policytree/nodes").wantStatus(200).wantAbsent("/firm~1audit").want("/firm/permissions", object{"fire": object{"boss": true}})
}

// TestDialectP12WritersAtOnce: each write is made for a version of the tree, and none is lost.
func TestDialectP12WritersAtOnce(t *testing.T) {
	s := policyServer(t, Options{})
	c := story(t, s).root()
	c.post(manages+"/policies", object{"name": "root"}).wantStatus(201)
	names := []string{"a", "b", "c", "d"}
	made := make(chan string, len(names))
	for _, name := range names {
		go func() {
			one := &scenario{t: t, s: s, next: map[string][]string{}, auth: c.auth}
			one.post(manages+"/policies/root/policies", object{"name": name}).wantStatus(201)
			if one.err != nil {
				made <- fmt.Sprint(name, ": ", one.err, one.last)
				return
			}
			made <- ""
		}()
	}
	for range names {
		if text := <-made; text != "" {
			t.Error(text)
		}
	}
	c.get(manages + "/policies/root/policies").wantStatus(200)
	for i, name := range names {
		c.want(fmt.Sprintf("/%d/name", i), name)
	}
}

func TestDialectP13InsideATenantTheSystemLevelIsReadOnly(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	mine := c.newTenant()
	a := c.newApp(object{"tenant": mine, "grants": grants("policies/data:*@"+mine, "policies/data:*", "iam/tenants:*@"+mine)})
	narrowed := c.newApp(object{"grants": grants("policies/data:*@" + mine)})
	c.firm("ada")
	for name, token := range map[string]string{"an identity of it": c.token(a), "a token for it": c.token(narrowed, "tenant", mine)} {
		c.as(bearer(token))
		c.get(manages+"/policies").wantStatus(200).want("/0/name", "firm")
		c.get(manages+"/roles/firm:boss").wantStatus(200).want("/subjects", list{"ada"})
		c.get(manages+"/permissions/firm:see").wantStatus(200).want("/roles", list{"boss", "clerk"})
		for _, row := range [][2]string{
			{"PUT", "/roles/firm:boss"},
			{"DELETE", "/roles/firm:boss"},
			{"PUT", "/permissions/firm:see"},
			{"DELETE", "/permissions/firm:see"},
			{"DELETE", "/policies/firm~audit"},
			{"PUT", "/policies/firm"},
		} {
			var body any
			if row[0] == "PUT" {
				body = object{}
			}
			c.send(row[0], manages+row[1], body).wantRefusedLater(403, "system_level_readonly")
			c.expect(name + " " + row[0] + " " + row[1])
		}
		c.post(manages+"/policies", object{"name": "x"}).wantRefusedLater(403, "system_level_readonly")
		c.post(manages+"/roles/firm:boss/subjects", object{"subject": "eve"}).wantRefusedLater(403, "system_level_readonly")
		c.expect(name)
	}
	c.root().get(manages+"/roles/firm:boss").wantStatus(200).want("/subjects", list{"ada"})

	c.step("natively, a right in a tenant shows no document of no tenant")
	c.as(bearer(c.token(narrowed, "tenant", mine))).get("/v1/policy-data/apps/policytree/nodes").wantStatus(403)

	c.step("tenants themselves")
	c.root().post(manages+"/tenants", object{"id": "psone", "name": "One"}).wantStatus(201).want("/enabled", true)
	c.post(manages+"/tenants", object{"id": "psone"}).wantErrors(409)
	c.post(manages+"/tenants", object{"name": "no id"}).wantErrors(400)
	c.post(manages+"/tenants", object{"id": "a/b"}).wantErrors(400)
	c.put(manages+"/tenants/psone", object{"enabled": false}).wantStatus(200).want("/enabled", false).want("/name", "One")
	c.put(manages+"/tenants/psone", object{"id": "other"}).wantErrors(400)
	c.get(manages+"/tenants/psone").wantStatus(200).want("/name", "One")
	c.get(manages + "/tenants/none").wantStatus(404)
	c.delete(manages + "/tenants/psone").wantStatus(204)
	c.get(manages + "/tenants/psone").wantStatus(404)
}

func TestDialectP14OnlyRootMakesAdministrators(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	c.put("/v1/roles/"+psAdministrator, object{"grants": append(grants("policies/data:*", "iam/users:*"), grants("iam/roles:read")...)}).wantStatus(201)
	front, plain := c.front(), c.newUser(object{})
	admin := c.newUser(object{"roles": list{psAdministrator}})

	c.as(bearer(c.login(front, admin)))
	c.get(manages+"/administrators").wantStatus(200).want("/0/subject", admin.ID).wantAbsent("/1")
	c.post(manages+"/administrators", object{"subject": plain.ID}).wantRefusedLater(403, "root_only")
	c.root().get(manages + "/administrators").wantStatus(200).wantAbsent("/1")

	c.step("root may")
	c.post(manages+"/administrators", object{"subject": plain.ID}).wantStatus(201).want("/subject", plain.ID)
	c.post(manages+"/administrators", object{"subject": plain.ID}).wantErrors(409)
	token := bearer(c.login(front, plain))
	c.as(token).get(manages + "/policies").wantStatus(200)
	c.root().delete(manages + "/administrators/" + plain.ID).wantStatus(204)
	c.as(token).get(manages + "/policies").wantStatus(403)

	c.step("bad")
	c.root().delete(manages + "/administrators/" + plain.ID).wantErrors(404)
	c.post(manages+"/administrators", object{"subject": uuid()}).wantStatus(404)
	c.post(manages+"/administrators", object{"subject": ""}).wantErrors(400)
	c.post(manages+"/administrators", object{"subject": plain.Username}).wantErrors(400)
	c.post(manages+"/administrators", object{}).wantErrors(400)
}

func TestDialectP15ChildrenAndDescendantsThatMeanSomething(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	boss := c.newUser(object{}).ID
	c.firm(boss)
	c.post(manages+"/policies/firm~audit/roles", object{"name": "auditor", "claims": object{"team": list{"audit"}}}).wantStatus(201)
	found := func(kind, path string, pairs ...string) []string {
		c.onPublic().post(runs+"/"+kind+"/"+path, claimsOf(pairs...)).wantStatus(200)
		paths := []string{}
		items, _ := c.last.value().([]any)
		for _, item := range items {
			path, _ := at(item, "/path")
			paths = append(paths, fmt.Sprint(path))
		}
		return paths
	}
	all := []string{"firm/audit", "firm/sales", "firm/sales/north"}
	for _, tc := range []struct {
		name, path            string
		claims                []string
		children, descendants []string
	}{
		{"the boss", "firm", []string{"sub", boss}, []string{"firm/audit", "firm/sales"}, all},
		{"the boss, further below", "firm/sales", []string{"sub", boss}, []string{"firm/sales/north"}, []string{"firm/sales/north"}},
		{"by a claim", "firm", []string{"team", "sales"}, []string{"firm/sales"}, []string{"firm/sales", "firm/sales/north"}},
		{"a role without permissions counts", "firm", []string{"team", "audit"}, []string{"firm/audit"}, []string{"firm/audit"}},
		{"by a role of the issuer", "firm", []string{"role", "issuer:clerk"}, []string{"firm/audit", "firm/sales"}, all},
		{"nothing", "firm", nil, []string{}, []string{}},
		{"a leaf", "firm/audit", []string{"sub", boss}, []string{}, []string{}},
	} {
		for kind, want := range map[string][]string{"children": tc.children, "descendants": tc.descendants} {
			got := found(kind, tc.path, tc.claims...)
			if c.err == nil && !slices.Equal(got, want) {
				c.fail("found %v, want %v", got, want)
			}
			c.expect(tc.name + ": " + kind)
			// Exactly those where evaluation is not empty.
			for _, path := range all {
				c.policyAt(path, tc.claims...).wantStatus(200)
				roles, _ := at(c.last.value(), "/roles")
				permissions, _ := at(c.last.value(), "/permissions")
				means := len(roles.([]any))+len(permissions.([]any)) > 0
				if kind == "descendants" && tc.path == "firm" && c.err == nil && means != slices.Contains(got, path) {
					c.fail("%s means something: %t", path, means)
				}
			}
			c.expect(tc.name + ": evaluation")
		}
	}
	c.step("bad")
	for _, kind := range []string{"children", "descendants"} {
		for _, path := range []string{"none", "Firm", "firm/none"} {
			c.onPublic().post(runs+"/"+kind+"/"+path, claimsOf("sub", boss)).wantErrors(404)
		}
		c.onPublic().post(runs+"/"+kind+"/firm", claimsOf("sub", boss, "sub", boss)).wantErrors(400)
		c.expect(kind)
	}
}

// TestDialectPTheRootDocument has only the links that the token may follow.
func TestDialectPTheRootDocument(t *testing.T) {
	c := story(t, policyServer(t, Options{})).root()
	for name, row := range map[string]struct {
		grants list
		links  []string
	}{
		"all":      {grants("policies/data:*", "iam/tenants:read", "iam/users:read"), []string{"policies", "tenants", "administrators"}},
		"policies": {grants("policies/data:read"), []string{"policies"}},
		"tenants":  {grants("iam/tenants:read"), []string{"tenants"}},
	} {
		c.as(bearer(c.root().token(c.newApp(object{"grants": row.grants})))).get(manages).wantStatus(200)
		c.header("Decision-Id")
		for _, link := range []string{"policies", "tenants", "administrators"} {
			if slices.Contains(row.links, link) {
				c.want("/links/"+link+"/href", manages+"/"+link)
			} else {
				c.wantAbsent("/links/" + link)
			}
		}
		c.expect(name)
		for _, link := range []string{"policies", "tenants", "administrators"} {
			status := 403
			if slices.Contains(row.links, link) {
				status = 200
			}
			c.get(manages + "/" + link).wantStatus(status)
			c.expect(name + ": " + link)
		}
	}
	c.as(bearer(c.root().token(c.newApp(object{})))).get(manages).wantRefusedLater(403, "not_granted")
}

// TestDialectTranscriptPolicyServer is written from the product document alone: its requests in its order, the token service of Writ first, then one's own, whose
// configuration it shows.
func TestDialectTranscriptPolicyServer(t *testing.T) {
	issuersOnLoopback(t)
	authority := newOutsider(t)
	// "externalTokenIssuer": {"authority": ..., "runtimeApiAudience": "policyserver.runtime", "managementApiAudience": "policyserver.management"}
	config := fmt.Sprintf("external_issuers:\n  - issuer: %s\n    runtime_audience: policyserver.runtime\n    management_audience: policyserver.management\n", authority.name)
	s := policyServer(t, Options{Config: config})
	c := story(t, s).root()
	a := c.newApp(object{"grants": grants("policies/data:read")})
	host := app{ID: "portal"}
	c.put("/v1/applications/"+host.ID, object{"name": "portal", "grant_types": list{"client_credentials"}, "grants": grants("policies/data:read", "decisions:ask")}).wantStatus(201)
	c.firm("ada")
	c.as("")

	c.step("Requesting a Token")
	for _, path := range []string{"/connect/token", "/token"} { // the text has the one, the sample the other
		c.onPublic().with("Content-Type", "application/x-www-form-urlencoded").
			send("POST", "/policyserver"+path, []byte("grant_type=client_credentials&client_id="+a.ID+"&client_secret="+a.Secret)).wantStatus(200).
			wantHeader("Cache-Control", "no-store").wantHeader("Pragma", "no-cache").want("/expires_in", 3600)
	}
	token := bearer(c.text("/access_token"))
	c.onPublic().with("Authorization", basic(a.ID, a.Secret)).form("/policyserver/token", fields("grant_type", "client_credentials")).wantStatus(200)

	c.step("Using the Access Token")
	c.with("Authorization", token).get("/policyserver/management/policies").wantStatus(200).want("/0/name", "firm")
	c.get("/policyserver/management/policies").wantBearerOnly()

	c.step("Using your own Token Service")
	own := func(set object) string {
		return bearer(authority.token(merge(object{"client_id": host.ID, "sub": host.ID}, set)))
	}
	machine := func(set object) string { return bearer(authority.token(set)) }
	for name, row := range map[string]struct {
		audience      any
		manages, runs int
	}{
		"policyserver.management": {list{"policyserver.management"}, 200, 401},
		"policyserver.runtime":    {list{"policyserver.runtime"}, 401, 200},
		"both":                    {list{"policyserver.runtime", "policyserver.management"}, 200, 200},
		"neither":                 {list{"another"}, 401, 401},
	} {
		c.with("Authorization", machine(object{"aud": row.audience})).get("/policyserver/management/policies").wantStatus(row.manages)
		c.expect(name)
		c.with("Authorization", machine(object{"aud": row.audience})).policyAt("firm", "role", "issuer:clerk").wantStatus(row.runs)
		c.expect(name + ", at the runtime")
	}

	c.step("If the access token contains a sub claim the call will be unauthorized if the caller is not an authorized administrator")
	plain := c.as(basic("root", s.Secret)).newUser(object{"grants": grants("policies/data:read")})
	c.as("").with("Authorization", own(object{"sub": plain.ID, "aud": "policyserver.management"})).get("/policyserver/management/policies").wantStatus(403)
	c.as(basic("root", s.Secret)).put("/v1/roles/"+psAdministrator, object{"grants": grants("policies/data:read")}).wantStatus(201)
	c.patch("/v1/users/"+plain.ID, object{"roles": list{psAdministrator}}).wantStatus(200)
	c.as("").with("Authorization", own(object{"sub": plain.ID, "aud": "policyserver.management"})).get("/policyserver/management/policies").wantStatus(200)
}
