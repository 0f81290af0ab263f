package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSeedP13SystemLevelIsReadOnlyInsideATenant(t *testing.T) {
	c := story(t, shared(t)).root()
	mine, theirs := c.newTenant(), c.newTenant()
	system, foreign, own := c.newRole("jobs:read"), "e2e:"+unique("r"), "e2e:"+unique("r")
	c.put("/v1/roles/"+foreign, object{"tenant": theirs}).wantStatus(201)
	a := c.newApp(object{"tenant": mine, "grants": grants("iam/roles:*@"+mine, "jobs:*@"+mine)})
	narrowed := c.newApp(object{"grants": grants("iam/roles:*@"+mine, "jobs:*@"+mine)})
	for name, token := range map[string]string{"an identity of it": c.token(a), "a token for it": c.token(narrowed, "tenant", mine)} {
		c.as(bearer(token))
		key := own + unique(":x")

		c.put("/v1/roles/"+key, object{"tenant": mine, "grants": grants("jobs:read@" + mine)}).wantStatus(201)
		c.patch("/v1/roles/"+key, object{"description": "mine"}).wantStatus(200)
		c.expect(name + ": a role of it")

		c.get("/v1/roles/"+system).wantStatus(200).want("/key", system)
		c.patch("/v1/roles/"+system, object{"description": "ours"}).wantDenied("system_level_readonly")
		c.put("/v1/roles/"+system, object{"grants": list{}}).wantDenied("system_level_readonly")
		c.delete("/v1/roles/" + system).wantDenied("system_level_readonly")
		c.put("/v1/roles/e2e:"+unique("r"), object{"grants": list{}}).wantStatus(404)
		c.patch("/v1/roles/"+key, object{"tenant": nil})
		c.wantDenied("system_level_readonly")
		c.expect(name + ": one of no tenant")

		for _, attempt := range []func(string) *scenario{
			func(key string) *scenario { return c.get("/v1/roles/" + key) },
			func(key string) *scenario { return c.patch("/v1/roles/"+key, object{"description": "x"}) },
			func(key string) *scenario { return c.delete("/v1/roles/" + key) },
		} {
			attempt(foreign).wantProblem(404, "")
			hidden := c.last
			attempt("e2e:"+unique("none")).wantProblem(404, "").wantSame(hidden)
			c.expect(name + ": one of another tenant")
		}
		c.delete("/v1/roles/" + key).wantStatus(204)
		c.expect(name + ": the end")
	}
	c.root().get("/v1/roles/"+system).want("/description", "for a test")
}

func TestSeedP14OnlyFullAdministratorsMakeAdministrators(t *testing.T) {
	boss := unique("boss")
	file := filepath.Join(t.TempDir(), "bootstrap.yaml")
	write(t, file, "users:\n  - {username: "+boss+", email: "+boss+"@example.com, name: Boss, password: '"+password()+
		"', roles: ['ops:admin'], protected: true}\nroles:\n  - {key: 'ops:admin', description: Administers, "+
		"grants: [{resource: iam, action: '*'}]}\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := policyDir(t, map[string]string{"settings/data.yaml": "administrators:\n  roles:\n    \"ops:admin\": true\n"})
	s := fresh(t, Options{Args: []string{"--policies", dir}, Env: map[string]string{"WRIT_BOOTSTRAP_FILE": file}})
	c := story(t, s).root()
	c.get("/v1/users?role=ops:admin").wantStatus(200)
	protected := c.text("/items/0/id")
	admin := c.newUser(object{"roles": list{"ops:admin"}})
	plain := c.newUser(object{})
	group := c.newGroup()

	c.step("another administrator tries, by each way")
	c.as(bearer(c.login(c.front(), admin)))
	for name, attempt := range map[string]func(){
		"PATCH": func() { c.patch("/v1/users/"+plain.ID, object{"roles": list{"ops:admin"}}) },
		"PUT":   func() { c.put("/v1/users/"+plain.ID, object{"roles": list{"ops:admin"}}) },
		"a new user": func() {
			name := unique("n")
			c.post("/v1/users", object{"username": name, "email": name + "@example.com", "password": password(), "roles": list{"ops:admin"}})
		},
		"a group":   func() { c.patch("/v1/groups/"+group, object{"roles": list{"ops:admin"}}) },
		"a new one": func() { c.put("/v1/groups/"+unique("g"), object{"name": "g", "roles": list{"ops:admin"}}) },
		"a role that inherits it": func() {
			c.put("/v1/roles/ops:"+unique("r"), object{"inherits": list{"ops:admin"}})
		},
		"an application": func() {
			c.post("/v1/applications", object{"name": "x", "grant_types": list{"client_credentials"}, "roles": list{"ops:admin"}})
		},
	} {
		attempt()
		c.wantDenied("root_only")
		c.expect(name)
	}
	c.patch("/v1/users/"+plain.ID, object{"name": "what else there is to do"}).wantStatus(200)

	c.step("the one that the bootstrap declares protected")
	c.delete("/v1/users/" + protected).wantDenied("system_protected")
	c.root().delete("/v1/users/" + protected).wantDenied("system_protected")

	c.step("a full administrator may")
	c.patch("/v1/users/"+plain.ID, object{"roles": list{"ops:admin"}}).wantStatus(200)
	c.delete("/v1/users/" + admin.ID).wantStatus(204)
}
