package e2e

import (
	"strings"
	"testing"
)

// TestSeed004RestrictionsJourney is seed 004 with its four restrictions, with the order "inactive before it is deleted"
// switched
// on by policy data.
func TestSeed004RestrictionsJourney(t *testing.T) {
	dir := policyDir(t, map[string]string{"settings/data.yaml": "delete_requires_inactive: true\n"})
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()

	c.step("set up credentials with tighter controls than root's")
	manager := c.newApp(object{"grants": grants("iam/applications:read", "iam/applications:write",
		"iam/applications:write_scopes",
		"iam/applications:delete", "jobs:read@"+c.newTenant())})
	token := c.token(manager)

	c.step("me: view and update the own details")
	c.as(bearer(token)).get("/v1/me").wantStatus(200).want("/id", manager.ID)
	c.put("/v1/me", object{"name": "the manager"}).wantStatus(200)
	c.get("/v1/me").want("/application/name", "the manager")

	c.step("1: cannot change the own is_active to false")
	c.put("/v1/me", object{"is_active": false}).wantStatus(403)
	c.patch("/v1/applications/"+manager.ID, object{"is_active": false}).wantDenied("self_lockout")

	c.step("2: must be inactive before it can be deleted")
	target := c.newApp(object{})
	c.delete("/v1/applications/"+target.ID).wantRefused(409, "must_be_inactive")
	c.patch("/v1/applications/"+target.ID, object{"is_active": false}).wantStatus(200)
	c.delete("/v1/applications/" + target.ID).wantStatus(204)
	c.get("/v1/applications/" + target.ID).wantStatus(404)
	c.delete("/v1/applications/" + target.ID).wantStatus(404)

	c.step("3: no less restrictive access than its own")
	body := object{"name": "x", "grant_types": list{"client_credentials"}}
	c.post("/v1/applications", merge(body, object{"grants": grants("jobs:read@*")})).wantDenied("delegation_exceeds_actor")
	c.post("/v1/applications", merge(body, object{"grants": grants("jobs:read")})).wantDenied("delegation_exceeds_actor")
	c.post("/v1/applications", merge(body, object{"grants": grants("*:*@*")})).wantDenied("delegation_exceeds_actor")

	c.step("4: only a subset of its own permissions: WRITE CREDENTIALS cannot give READ CONTENT")
	c.post("/v1/applications", merge(body, object{"grants": grants("content:read")})).wantDenied("delegation_exceeds_actor")
	c.post("/v1/applications", merge(body, object{"grants": grants("iam/applications:write", "content:read")})).
		wantDenied("delegation_exceeds_actor")
	given := c.newApp(object{"grants": grants("iam/applications:write")})
	c.patch("/v1/applications/"+given.ID, object{"grants": grants("content:read")}).wantDenied("delegation_exceeds_actor")
	c.get("/v1/applications/"+given.ID).want("/grants/0/resource", "iam/applications")
}

// TestAddressesBindWhereATokenIsMadeAndWhereItIsUsed limits an application and a person to networks that the test comes from, and to others.
func TestAddressesBindWhereATokenIsMadeAndWhereItIsUsed(t *testing.T) {
	c := story(t, shared(t)).root()
	front := c.front()
	here, elsewhere := object{"addresses": list{"0.0.0.0/0", "::/0"}}, object{"addresses": list{"192.0.2.0/24"}}

	c.step("an application")
	machine := c.newApp(here)
	token := c.token(machine)
	c.live(token)
	c.patch("/v1/applications/"+machine.ID, elsewhere).wantStatus(200)
	c.ask(machine, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.as(bearer(token)).get("/v1/me").wantDenied("address_not_allowed")
	c.with("Authorization", basic(machine.ID, machine.Secret)).get("/v1/me").wantDenied("address_not_allowed")
	c.root().patch("/v1/applications/"+machine.ID, object{"addresses": nil}).wantStatus(200)
	c.live(c.token(machine))

	c.step("a person")
	ada := c.newUser(merge(here, object{"grants": grants("ledger:read")}))
	token = c.login(front, ada)
	c.live(token)
	c.patch("/v1/users/"+ada.ID, elsewhere).wantStatus(200)
	c.askLogin(front, ada).wantOAuthError(400, "invalid_grant")
	c.as(bearer(token)).get("/v1/me").wantDenied("address_not_allowed")

	c.step("a service that says where the person is")
	from := func(ip string) object {
		q := question("user", ada.ID, "read", "ledger", "1")
		q["context"] = object{"ip": ip}
		return q
	}
	c.root().decides(from("192.0.2.7"), true).decides(from("203.0.113.9"), false)
	c.decides(question("user", ada.ID, "read", "ledger", "1"), true) // nothing is said, so nothing is judged
}

func TestSeedG02IdsKeepToTheirGrammar(t *testing.T) {
	c := story(t, shared(t)).root()
	for _, id := range []string{
		"me", "ME", "Me", "a:b", "a%00b", "a%20b", "a%0Ab", "%C3%A9", strings.Repeat("a", 129),
		uuid(),
	} {
		c.put("/v1/applications/"+id, object{"name": "x", "grant_types": list{"client_credentials"}}).wantStatus(400)
		c.expect(id)
	}
	c.put("/v1/applications/a%2Fb", object{"name": "x"}).wantStatus(404)
	longest := unique("b")
	longest += strings.Repeat("b", 128-len(longest))
	c.put("/v1/applications/"+longest, object{"name": "x"}).wantStatus(201)
}

func TestSeedG03GrantsCollapseAndTenantsAreCaseSensitive(t *testing.T) {
	c := story(t, shared(t)).root()
	lower, upper := unique("case"), ""
	upper = strings.ToUpper(lower)
	for _, id := range []string{lower, upper} {
		c.put("/v1/tenants/"+id, object{"name": id, "enabled": true}).wantStatus(201)
	}
	a := c.newApp(object{"grants": grants("jobs:read@"+lower, "jobs:read@"+lower, "jobs:read@"+upper)})
	c.get("/v1/applications/" + a.ID).wantStatus(200)
	if v, _ := at(c.last.value(), "/grants"); c.err == nil && len(v.([]any)) != 2 {
		c.fail("grants %v, want two", v)
	}
	body := object{"name": "x", "grant_types": list{"client_credentials"}}
	c.post("/v1/applications", merge(body, object{"grants": grants("jobs:read@" + unique("no"))})).
		wantProblem(400, "/grants/0/tenant")
	c.post("/v1/applications", merge(body, object{"grants": grants("jobs:read", "iam/nothing:read")})).
		wantProblem(400, "/grants/1/resource")
	c.post("/v1/applications", merge(body, object{"grants": grants("iam/users:fly")})).wantProblem(400, "/grants/0/action")
}

// TestSeedG04AndSA07WriteCredentialsCannotGiveReadContent is the table of the fourth restriction for POST, PUT and PATCH.
func TestSeedG04AndSA07WriteCredentialsCannotGiveReadContent(t *testing.T) {
	c := story(t, shared(t)).root()
	actor := c.newApp(object{"grants": grants("iam/applications:write", "iam/applications:write_scopes")})
	reader := c.newApp(object{"grants": grants("iam/applications:read")})
	token, look := c.token(actor), c.token(reader)
	for name, row := range map[string]struct {
		give list
		ok   bool
	}{
		"content:read": {grants("content:read"), false},
		"write":        {grants("iam/applications:write"), true},
		"write_scopes": {grants("iam/applications:write_scopes"), true},
		"both":         {grants("iam/applications:write", "iam/applications:write_scopes"), true},
		"nothing":      {list{}, true},
		"both and content:read": {grants("iam/applications:write", "iam/applications:write_scopes",
			"content:read"), false},
		"iam/applications:*":            {grants("iam/applications:*"), false},
		"iam:write":                     {grants("iam:write"), false},
		"everything":                    {grants("*:*"), false},
		"write in every tenant":         {grants("iam/applications:write@*"), false},
		"reveal, which is explicit":     {grants("iam/applications:reveal"), false},
		"reading what it only writes":   {grants("iam/applications:read"), false},
		"something narrower of its own": {grants("iam/applications/one:write"), true},
	} {
		id := unique("given")
		body := object{"name": "x", "grant_types": list{"client_credentials"}, "grants": row.give}
		target := c.root().newApp(object{})
		c.as(bearer(token))
		for _, try := range []func() int{
			func() int { c.post("/v1/applications", body); return 201 },
			func() int { c.put("/v1/applications/"+id, body); return 201 },
			func() int { c.patch("/v1/applications/"+target.ID, object{"grants": row.give}); return 200 },
			func() int { c.put("/v1/applications/"+target.ID, body); return 200 },
		} {
			if status := try(); row.ok {
				c.wantStatus(status)
			} else {
				c.wantDenied("delegation_exceeds_actor")
			}
			c.expect(name)
		}
		c.as(bearer(look)).get("/v1/applications/" + target.ID).wantStatus(200)
		if v, _ := at(c.last.value(), "/grants"); !row.ok && c.err == nil && len(v.([]any)) != 0 {
			c.fail("a refused update changed the grants to %v", v)
		}
		if !row.ok {
			c.get("/v1/applications/" + id).wantStatus(404)
		}
		c.expect(name)
	}
}

func TestSeedG05TenantsAreGivenOnNeverWidened(t *testing.T) {
	c := story(t, shared(t)).root()
	one, two := c.newTenant(), c.newTenant()
	manage := []string{"iam/applications:write", "iam/applications:write_scopes"}
	everywhere := c.newApp(object{"grants": grants(append(manage, "jobs:read@*")...)})
	inOne := c.newApp(object{"grants": grants(append(manage, "jobs:read@"+one)...)})
	body := object{"name": "x", "grant_types": list{"client_credentials"}}
	give := func(g string, ok bool) {
		c.post("/v1/applications", merge(body, object{"grants": grants(g)}))
		if ok {
			c.wantStatus(201)
		} else {
			c.wantDenied("delegation_exceeds_actor")
		}
		c.expect(g)
	}
	c.as(bearer(c.token(everywhere)))
	give("jobs:read@"+one, true)
	give("jobs:read@"+two, true)
	give("jobs:read", true)
	give("jobs:read@*", true)
	c.as(basic(inOne.ID, inOne.Secret)) // a token without a tenant would carry no right of a tenant
	give("jobs:read@"+one, true)
	give("jobs:read@"+two, false)
	give("jobs:read@*", false)
	give("jobs:read", false)
}

func TestSeedG06AndSA06NoDetourGainsARight(t *testing.T) {
	c := story(t, shared(t)).root()
	strong := c.newApp(object{"grants": grants("content:read")})
	strongUser := c.newUser(object{"grants": grants("content:read")})
	role := c.newRole("content:read")
	group := c.newGroup(role)
	own := c.newRole()
	nested := "e2e:" + unique("nested")
	c.put("/v1/roles/"+nested, object{"inherits": list{role}}).wantStatus(201)
	team := c.newGroup()
	actor := c.newApp(object{"grants": append(grants("iam:*"), object{
		"resource": "jobs", "action": "read",
		"not_after": "2089-01-01T00:00:00Z",
	})})
	mine := c.newUser(object{})
	serving := c.newApp(object{"grant_types": list{"password"}, "scopes": list{"iam/users:read"}})
	capped := c.newApp(object{"grants": grants("content:read"), "scopes": list{"iam/users:read"}})
	c.as(bearer(c.token(actor)))
	for name, attempt := range map[string]func(){
		"an application": func() {
			c.post("/v1/applications", object{"name": "a", "grant_types": list{"client_credentials"}, "grants": grants("content:read")})
		},
		"an application with a role": func() {
			c.put("/v1/applications/"+unique("a"), object{"name": "a", "grant_types": list{"client_credentials"}, "roles": list{role}})
		},
		"an application with a group": func() {
			c.post("/v1/applications", object{"name": "a", "grant_types": list{"client_credentials"}, "groups": list{group}})
		},
		"the scopes of one that serves people": func() {
			c.put("/v1/applications/"+serving.ID+"/scopes", object{"scopes": list{"iam/users:read", "content:read"}})
		},
		"the scopes of one that holds more": func() { c.put("/v1/applications/"+capped.ID+"/scopes", object{"scopes": list{"content:read"}}) },
		"the scopes of one, with the rest":  func() { c.patch("/v1/applications/"+capped.ID, object{"name": "a", "scopes": list{"*:*"}}) },
		"a group that has members":          func() { c.patch("/v1/groups/"+team, object{"roles": list{role}}) },
		"a role through another of its own": func() { c.put("/v1/roles/e2e:"+unique("r"), object{"inherits": list{nested}}) },
		"a stronger one's secret":           func() { c.post("/v1/applications/"+strong.ID+"/secrets", object{"label": "x"}) },
		"its first secret's end":            func() { c.delete("/v1/applications/" + strong.ID + "/secrets/" + strong.SecretID) },
		"a stronger one's password":         func() { c.post("/v1/users/"+strongUser.ID+"/password/reset", nil) },
		"its grants":                        func() { c.patch("/v1/users/"+strongUser.ID, object{"grants": list{}}) },
		"its scopes":                        func() { c.put("/v1/applications/"+strong.ID+"/scopes", object{"scopes": list{}}) },
		"its status":                        func() { c.patch("/v1/applications/"+strong.ID, object{"is_active": false}) },
		"its end":                           func() { c.delete("/v1/applications/" + strong.ID) },
		"through a role":                    func() { c.patch("/v1/users/"+mine.ID, object{"roles": list{role}}) },
		"through a group":                   func() { c.patch("/v1/users/"+mine.ID, object{"groups": list{group}}) },
		"through a role of its own":         func() { c.patch("/v1/roles/"+own, object{"grants": grants("content:read")}) },
		"through inheritance":               func() { c.patch("/v1/roles/"+own, object{"inherits": list{role}}) },
		"through a new role": func() {
			c.put("/v1/roles/e2e:"+unique("r"),
				object{"grants": grants("content:read")})
		},
		"through a new group":      func() { c.put("/v1/groups/"+unique("g"), object{"name": "g", "roles": list{role}}) },
		"everything":               func() { c.patch("/v1/users/"+mine.ID, object{"grants": grants("*:*@*")}) },
		"a window that ends later": func() { c.patch("/v1/users/"+mine.ID, object{"grants": grants("jobs:read")}) },
		"an explicit action": func() {
			c.patch("/v1/users/"+mine.ID,
				object{"grants": grants("iam/applications:reveal")})
		},
		"a system role": func() { c.patch("/v1/users/"+mine.ID, object{"roles": list{"system:owner"}}) },
		"attributes of the stronger": func() {
			c.patch("/v1/users/"+strongUser.ID,
				object{"attributes": object{"admin": true}})
		},
	} {
		attempt()
		c.wantDenied("delegation_exceeds_actor")
		c.expect(name)
	}
	c.patch("/v1/users/"+mine.ID, object{"grants": list{object{
		"resource": "jobs", "action": "read",
		"not_after": "2088-01-01T00:00:00Z",
	}}}).
		wantStatus(200)
	c.root().token(strong)
	c.askLogin(c.front(), strongUser).wantStatus(200)
}

// A credential that carries less than its identity holds gives no more than it carries, in whatever form it comes, and does not become
// a wider one.
func TestST20ANarrowCredentialMintsNoWiderOne(t *testing.T) {
	c := story(t, shared(t)).root()
	narrow := []string{"iam/applications:write", "iam/applications:write_scopes", "iam/groups:read"}
	holds := grants(append(narrow, "iam/users:*", "ledger:read")...)
	ceiling := list{}
	for _, scope := range narrow {
		ceiling = append(ceiling, scope)
	}
	wide := c.newApp(object{"grants": holds})
	capped := c.newApp(object{"grants": holds, "scopes": ceiling})
	body := object{"name": "x", "grant_types": list{"client_credentials"}}
	wider := merge(body, object{"grants": grants("ledger:read")})
	reader := c.newApp(object{"grants": grants("iam/groups:read")})
	for name, credential := range map[string]string{
		"a narrowed token":                 bearer(c.token(wide, "scope", strings.Join(narrow, " "))),
		"a token of a capped application":  bearer(c.token(capped)),
		"its id and secret, through Basic": basic(capped.ID, capped.Secret),
	} {
		c.as(credential).get("/v1/groups").wantStatus(200)
		c.post("/v1/applications", body).wantStatus(201)
		c.expect(name + ": what it may")
		c.get("/v1/users").wantDenied("insufficient_scope")
		c.expect(name + ": a right that it does not carry")
		c.post("/v1/applications", wider).wantDenied("delegation_exceeds_actor")
		c.expect(name + ": an application with it")
		c.patch("/v1/applications/"+reader.ID, object{"grants": grants("ledger:read")}).wantDenied("delegation_exceeds_actor")
		c.expect(name + ": another application with it")
		for _, a := range []app{wide, capped} {
			c.post("/v1/applications/"+a.ID+"/secrets", object{}).wantDenied("delegation_exceeds_actor")
			c.expect(name + ": a secret of one that may more")
		}
		c.put("/v1/applications/"+capped.ID+"/scopes", object{"scopes": list{"*:*"}}).wantDenied("delegation_exceeds_actor")
		c.expect(name + ": its own ceiling")
		if strings.HasPrefix(credential, "Bearer ") { // Basic presents the secret with each request
			c.post("/v1/me/password", object{}).wantDenied("proof_required")
			c.expect(name + ": its own secret")
		}
	}
	c.as(bearer(c.token(wide))).post("/v1/applications", wider).wantStatus(201)
	c.expect("the whole token: an application with it")

	front, person := c.front(), c.root().newUser(object{"grants": grants("ledger:read", "jobs:read")})
	c.as(bearer(c.login(front, person, "scope", "jobs:read me:write"))).
		post("/v1/me/password", object{"new_password": password()}).wantDenied("proof_required")
	c.expect("a password without the present one")
	c.askLogin(front, person).wantStatus(200)
}

func TestSeedG08NobodyEndsTheOwnUsability(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("iam/applications:*")})
	path := "/v1/applications/" + a.ID
	c.as(bearer(c.token(a)))
	for name, attempt := range map[string]func(){
		"by the own id":    func() { c.patch(path, object{"is_active": false}) },
		"by PUT":           func() { c.put(path, object{"name": "x", "is_active": false}) },
		"in a bulk":        func() { c.post("/v1/applications/bulk-delete", object{"ids": list{a.ID}}) },
		"by a later start": func() { c.patch(path, object{"not_before": "2090-01-01T00:00:00Z"}) },
		"by DELETE":        func() { c.delete(path) },
	} {
		attempt()
		c.wantDenied("self_lockout")
		c.expect(name)
	}
	c.put("/v1/me", object{"is_active": false}).wantStatus(403)
	c.patch(path, object{"is_active": nil}).wantStatus(400)
	c.get("/v1/me").wantStatus(200)
	c.root().patch(path, object{"is_active": false}).wantStatus(200)
}

func TestSeedG10InactiveIsDeadAtOnce(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	token := c.token(a)
	c.patch("/v1/applications/"+a.ID, object{"is_active": false}).wantStatus(200)
	c.dead(token)
	c.ask(a, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.patch("/v1/applications/"+a.ID, object{"is_active": nil}).wantProblem(400, "/is_active")
	c.patch("/v1/applications/"+a.ID, object{"is_active": true}).wantStatus(200)
	c.live(c.token(a)).dead(token)
}

func TestSeedG11MeNeedsNoRight(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read", "jobs:read")})
	c.as(bearer(c.token(a)))
	c.put("/v1/me", object{"name": "mine", "description": "own", "properties": object{"colour": "red"}}).wantStatus(200)
	c.get("/v1/me").want("/application/name", "mine").want("/application/properties", object{"colour": "red"})
	c.put("/v1/me", object{"grants": grants("ledger:read")}).wantStatus(200)
	c.decides(question("application", a.ID, "read", "ledger", "1"), true)
	c.decides(question("application", a.ID, "read", "jobs", "1"), false)
	c.put("/v1/me", object{"grants": grants("ledger:read", "payroll:read")}).wantDenied("delegation_exceeds_actor")
	c.put("/v1/me", object{"is_active": false}).wantStatus(403)
	c.put("/v1/me", object{"id": "another"}).wantProblem(400, "/id")
	for _, member := range []string{"verified", "_id", "passwordHash", "createdAt"} {
		c.put("/v1/me", object{member: "x"}).wantProblem(400, "/"+member)
		c.expect(member)
	}
	for member, value := range (object{
		"roles": list{"system:owner"}, "attributes": object{"admin": true},
		"tenant": "acme",
	}) {
		c.put("/v1/me", object{member: value})
		if c.err == nil && c.last.status != 400 && c.last.status != 403 {
			c.fail("PUT /v1/me with %s: status %d", member, c.last.status)
		}
		c.expect(member)
	}
}

func TestSeedG12GuessingIdsTellsNothing(t *testing.T) {
	c := story(t, shared(t)).root()
	there, gone := c.newApp(object{}), unique("app_none")
	person := c.newUser(object{})
	nobody := c.newApp(object{})
	role, group, tenant := c.newRole(), c.newGroup(), c.newTenant()
	c.as(bearer(c.token(nobody)))
	for _, collection := range []string{"users", "groups", "roles", "applications", "tenants", "sessions"} {
		c.get("/v1/" + collection).wantDenied("not_granted")
		c.expect(collection)
	}
	for existing, missing := range map[string]string{
		"/v1/applications/" + there.ID:              "/v1/applications/" + gone,
		"/v1/applications/" + there.ID + "/scopes":  "/v1/applications/" + gone + "/scopes",
		"/v1/applications/" + there.ID + "/secrets": "/v1/applications/" + gone + "/secrets",
		"/v1/users/" + person.ID:                    "/v1/users/" + uuid(),
		"/v1/roles/" + role:                         "/v1/roles/e2e:" + unique("none"),
		"/v1/groups/" + group:                       "/v1/groups/" + unique("none"),
		"/v1/tenants/" + tenant:                     "/v1/tenants/" + unique("none"),
	} {
		c.get(existing).wantStatus(404)
		first := c.last
		c.get(missing).wantStatus(404).wantSame(first)
		c.expect("GET " + existing)
		if strings.HasSuffix(existing, "/scopes") || strings.HasSuffix(existing, "/secrets") {
			continue
		}
		c.delete(existing).wantStatus(404)
		first = c.last
		c.delete(missing).wantStatus(404).wantSame(first)
		c.expect("DELETE " + existing)
	}
}

func TestSeedG13RightsInATenantStayThere(t *testing.T) {
	c := story(t, shared(t)).root()
	one, two := c.newTenant(), c.newTenant()
	a := c.newApp(object{"tenant": one, "grants": grants("jobs:read@"+one, "iam/groups:read@"+one)})
	mine, theirs := unique("g"), unique("g")
	c.put("/v1/groups/"+mine, object{"name": "g", "tenant": one}).wantStatus(201)
	c.put("/v1/groups/"+theirs, object{"name": "g", "tenant": two}).wantStatus(201)
	c.as(bearer(c.token(a)))
	in := func(q object, tenant string) object {
		q["resource"].(object)["tenant"] = tenant
		return q
	}
	ask := func(action string) object { return question("application", a.ID, action, "jobs", "1") }
	c.decides(in(ask("read"), one), true).decides(in(ask("write"), one), false)
	c.expect("in its tenant")
	c.decides(in(ask("read"), two), false)
	c.expect("in another tenant")
	c.decides(in(ask("read"), unique("no")), false)
	c.expect("in a tenant that is not")
	c.decides(ask("read"), false)
	c.expect("in none")
	c.get("/v1/groups/" + mine).wantStatus(200)
	c.get("/v1/groups/" + theirs).wantStatus(404)
}

func TestSeedG16DisabledTenantRefusesWrites(t *testing.T) {
	c := story(t, shared(t)).root()
	tenant := c.newTenant()
	group := unique("g")
	c.put("/v1/groups/"+group, object{"name": "g", "tenant": tenant}).wantStatus(201)
	member := c.newApp(object{"tenant": tenant, "grants": grants("jobs:read@" + tenant)})
	token := c.token(member)
	c.patch("/v1/tenants/"+tenant, object{"enabled": false}).wantStatus(200)
	c.dead(token)
	c.ask(member, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.get("/v1/groups/" + group).wantStatus(200)
	c.patch("/v1/groups/"+group, object{"name": "h"}).wantRefused(409, "tenant_disabled")
	c.delete("/v1/groups/"+group).wantRefused(409, "tenant_disabled")
	c.put("/v1/groups/"+unique("g"), object{"name": "g", "tenant": tenant}).wantRefused(409, "tenant_disabled")
	c.get("/v1/tenants/" + unique("none")).wantStatus(404)
	c.patch("/v1/tenants/"+tenant, object{"enabled": true}).wantStatus(200)
	c.patch("/v1/groups/"+group, object{"name": "h"}).wantStatus(200)
}

// TestSeedG17 needs a restart and stands in restart_test.go.
