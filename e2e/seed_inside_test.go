package e2e

import (
	"maps"
	"slices"
	"testing"
)

// TestC04AndSeedP13WhatIsNoKindFromInside stands inside a tenant as the walk over the kinds does, and goes to the rows that this leaves
// out: tenants, sessions, the access review, the audit, and PUT. What is another tenant's cannot be told from what is not there.
func TestC04AndSeedP13WhatIsNoKindFromInside(t *testing.T) {
	c := story(t, shared(t)).root()
	one, two := c.newTenant(), c.newTenant()
	own, foreign := c.placed(one), c.placed(two)
	here, there := c.newUser(inTenant(one)), c.newUser(inTenant(two))
	front := c.front()
	session := func(u user) string {
		claims, _ := part(c.login(front, u), 1)
		sid, _ := claims["sid"].(string)
		return sid
	}
	hereSession, thereSession := session(here), session(there)
	const all = "one that may all, and is inside"
	rights := grants("iam:*@"+one, "audit:*@"+one, "tokens:*@"+one)
	callers := map[string]string{
		"an identity of the tenant":      c.token(c.newApp(object{"tenant": one, "grants": rights})),
		"a token narrowed to the tenant": c.token(c.newApp(object{"grants": rights}), "tenant", one),
		all:                              c.token(c.newApp(object{"tenant": one, "roles": list{"system:owner"}})),
	}
	c.done()
	bodies := func(kind string) object {
		name := unique("n")
		switch kind {
		case "roles":
			return object{"grants": list{}}
		case "users":
			return object{"username": name, "email": name + "@example.com", "name": "N", "password": password()}
		}
		return object{"name": name}
	}
	for _, name := range slices.Sorted(maps.Keys(callers)) {
		c.as(bearer(callers[name]))
		same := func(method, hidden, absent string, body any) {
			c.send(method, absent, body)
			missing := c.last
			c.send(method, hidden, body).wantSame(missing)
			if method != "GET" && c.err == nil && c.last.status/100 == 2 && c.last.status != 204 {
				c.fail("status %d", c.last.status)
			}
			c.expect(name + ": " + method + " " + hidden)
		}
		// Tenants are objects of no tenant: who may read at system level reads all of them, and changes none from inside.
		switch c.get("/v1/tenants/" + two); {
		case name == all:
			c.wantStatus(200)
			c.patch("/v1/tenants/"+two, object{"name": "T"}).wantDenied("system_level_readonly")
			c.put("/v1/tenants/"+two, object{"name": "T"}).wantDenied("system_level_readonly")
			c.delete("/v1/tenants/" + two).wantDenied("system_level_readonly")
			c.put("/v1/tenants/"+unique("tenant"), object{"name": "T"}).wantProblem(404, "")
			c.get("/v1/tenants?limit=100").wantStatus(200)
		default:
			same("GET", "/v1/tenants/"+two, "/v1/tenants/"+unique("tenant"), nil)
			same("PATCH", "/v1/tenants/"+two, "/v1/tenants/"+unique("tenant"), object{"name": "T"})
			same("PUT", "/v1/tenants/"+two, "/v1/tenants/"+unique("tenant"), object{"name": "T"})
			same("DELETE", "/v1/tenants/"+two, "/v1/tenants/"+unique("tenant"), nil)
			c.get("/v1/tenants?limit=100").wantItems("id")
		}
		c.expect(name + ": tenants")

		same("DELETE", "/v1/sessions/"+thereSession, "/v1/sessions/"+unique("none"), nil)
		same("DELETE", "/v1/sessions?subject="+there.ID, "/v1/sessions?subject="+uuid(), nil)
		same("GET", "/v1/sessions?subject="+there.ID, "/v1/sessions?subject="+uuid(), nil)
		same("GET", "/v1/access-review?type=user&tenant="+two, "/v1/access-review?type=user&tenant="+unique("tenant"), nil)
		same("GET", "/v1/audit?target=users/"+there.ID, "/v1/audit?target=users/"+uuid(), nil)

		for _, list := range []struct{ path, member, own, foreign string }{
			{"/v1/sessions?limit=100&subject=" + here.ID, "id", hereSession, thereSession},
			{"/v1/access-review?type=user&limit=100&tenant=" + one, "id", here.ID, there.ID},
			{"/v1/audit?limit=100&target=users/" + here.ID, "target", "users/" + here.ID, "users/" + there.ID},
		} {
			c.get(list.path).wantStatus(200)
			if found := c.items(list.member); c.err == nil && (!slices.Contains(found, list.own) || slices.Contains(found, list.foreign)) {
				c.fail("%s has %q", list.path, found)
			}
			c.expect(name + ": GET " + list.path)
		}

		for _, kind := range slices.Sorted(maps.Keys(own)) {
			at := "/v1/" + kind + "/"
			c.put(at+foreign[kind], bodies(kind))
			if c.err == nil && c.last.status/100 == 2 {
				c.fail("status %d", c.last.status)
			}
			c.expect(name + ": PUT " + at + " of another tenant")
			body := merge(bodies(kind), inTenant(one))
			delete(body, "password") // which PUT sets for a new user alone
			c.put(at+own[kind], body).wantStatus(200)
			c.expect(name + ": PUT " + at + " of the tenant")
		}
	}
	c.root()
	for kind, id := range foreign {
		c.get("/v1/"+kind+"/"+id).wantStatus(200).want("/tenant", two)
	}
	c.get("/v1/tenants/"+two).wantStatus(200).want("/name", two)
	c.get("/v1/sessions?ended=false&subject="+there.ID).wantStatus(200).wantItems("id", thereSession)
	c.expect("what was refused changed nothing")
}
