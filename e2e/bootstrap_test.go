package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const bootstrapFile = `tenants:
  - {id: acme, name: Acme, enabled: true}
roles:
  - key: ops:viewer
    description: Looks at everything of the ledger
    grants: [{resource: ledger, action: read}]
groups:
  - {id: viewers, name: Viewers, roles: ["ops:viewer"]}
users:
  - {username: bo, email: bo@example.com, name: Bo, password: "PASSWORD", groups: [viewers]}
applications:
  - id: Default_Client_Credential
    name: Default Client Credential
    grant_types: [client_credentials]
  - id: mo-ssh-microservice-communication-key
    name: mo-ssh-microservice-communication-key
    grant_types: [client_credentials]
    protected: true
`

// TestSeedM09TheUndeletableCredential declares seed 001's two default credentials; the second cannot be deleted, edited or
// deactivated by anybody, by any route.
func TestSeedM09TheUndeletableCredential(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bootstrap.yaml")
	bo := user{Username: "bo", Password: password()}
	write(t, file, strings.ReplaceAll(bootstrapFile, "PASSWORD", bo.Password))
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"WRIT_BOOTSTRAP_FILE": file}
	s := fresh(t, Options{Env: env})
	c := story(t, s).root()
	const key = "mo-ssh-microservice-communication-key"
	path := "/v1/applications/" + key
	before := c.get(path).wantStatus(200).want("/protected", true).header("ETag")

	c.step("what was declared is there")
	bo.ID = c.get("/v1/users?group=viewers").wantStatus(200).text("/items/0/id")
	c.decides(question("user", bo.ID, "read", "ledger", "1"), true)
	c.login(c.front(), bo)
	other := "/v1/applications/Default_Client_Credential"
	c.get(other).wantStatus(200)

	c.step("protected, by every route")
	for name, attempt := range map[string]func(){
		"delete": func() { c.delete(path) },
		"bulk": func() {
			c.post("/v1/applications/bulk-delete", object{"ids": list{
				"Default_Client_Credential",
				key,
			}})
		},
		"patch":      func() { c.patch(path, object{"name": "x"}) },
		"put":        func() { c.put(path, object{"name": "x"}) },
		"deactivate": func() { c.patch(path, object{"is_active": false}) },
		"unprotect":  func() { c.patch(path, object{"protected": false}) },
		"scopes":     func() { c.put(path+"/scopes", object{"scopes": list{}}) },
		"roles":      func() { c.patch(path, object{"roles": list{"ops:viewer"}}) },
	} {
		attempt()
		c.wantDenied("system_protected")
		c.expect(name)
	}
	c.post("/v1/applications/bulk-delete", object{"ids": list{"Default_Client_Credential", key}}).wantNaming(key)
	c.get(other).wantStatus(200)
	c.get(path).wantHeader("ETag", before)

	c.step("its secrets may be rotated, by a full administrator")
	c.post(path+"/secrets", object{"label": "rotated"}).wantStatus(201)
	rotated := app{ID: key, Secret: c.text("/value"), SecretID: c.text("/id")}
	c.token(rotated)
	limited := c.newApp(object{"grants": grants("iam/applications:*@*")})
	c.as(bearer(c.token(limited))).post(path+"/secrets", object{"label": "x"}).wantDenied("system_protected")

	c.step("the other one can be deleted")
	c.root().delete(other).wantStatus(204)
	c.get("/v1/roles/ops:viewer").wantStatus(200)
	etag := c.header("ETag")
	c.done()

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	c = story(t, fresh(t, Options{From: s, Env: env})).root()
	c.step("applied twice it changes nothing")
	c.get("/v1/roles/ops:viewer").wantHeader("ETag", etag)
	c.get("/v1/users?group=viewers").wantItems("id", bo.ID)
	c.token(rotated)
	c.login(c.front(), bo)
}
