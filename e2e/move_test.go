package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

// TestB10AnEmbeddedStoreMovesToMongoDB goes the way of docs/operations.md: a directory that was filled and lived in on the embedded store
// is exported with its verifiers and imported into a server on MongoDB. Who is there proves himself as before and may do the same.
func TestB10AnEmbeddedStoreMovesToMongoDB(t *testing.T) {
	onMongoDB(t)
	leftOut(t, suite.runner.Name() != "process", "it takes a server on the embedded store beside: E2E_RUNNER=process runs it")
	data := map[string]string{"WRIT_DATA_DIR": filepath.Join(t.TempDir(), "data")}
	if out := suite.runner.Command(t.Context(), Options{Env: data}, "seed", "--profile", "demo", "--no-progress"); out.Code != 0 {
		t.Fatalf("seed: exit code %d: %s", out.Code, out.Stderr)
	}
	embedded := &cluster{secret: canary(bootstrapSecret())}
	from, to := fresh(t, Options{Among: embedded, Env: data}), fresh(t, Options{})
	c, n := story(t, from).root(), story(t, to)

	c.step("what lives on the embedded store")
	tenant := c.newTenant()
	role := c.newRole("ledger:read", "ledger:write@"+tenant)
	group := c.newGroup(role)
	u := c.newUser(object{"groups": list{group}, "properties": object{"desk": "4"}})
	inside := c.newUser(object{"tenant": tenant, "roles": list{role}})
	gone := c.newUser(object{"suspended_at": "2020-01-01T00:00:00Z", "roles": list{role}})
	a := c.newApp(object{"roles": list{role}})
	c.post("/v1/applications/"+a.ID+"/secrets", object{"label": "second"}).wantStatus(201)
	second := app{ID: a.ID, Secret: c.text("/value")}
	c.post("/v1/applications/"+a.ID+"/secrets", object{"label": "third"}).wantStatus(201)
	revoked := app{ID: a.ID, Secret: c.text("/value")}
	c.delete("/v1/applications/" + a.ID + "/secrets/" + c.text("/id")).wantStatus(204)
	front := c.front()
	old := c.login(front, u)
	c.done()

	c.step("the move")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	here, there := newDesk(t, from), newDesk(t, to)
	sealed, key := filepath.Join(here.dir, "all.age"), here.file("key.txt", identity.String()+"\n")
	here.run(0, "export", "--with-secrets", "--recipient", identity.Recipient().String(), "--file", sealed, "--no-progress")
	plan := there.imports(sealed, "--identity", key, "--dry-run")
	done := there.imports(sealed, "--identity", key)
	if done.Created < 200 || done.Changed+done.Unchanged > 0 || done.Created != plan.Created {
		t.Fatalf("%s; planned was %s", done, plan)
	}
	there.want(there.imports(sealed, "--identity", key), fmt.Sprintf("created 0, changed 0, unchanged %d, skipped 0, left out 0", done.Created))
	if was, is := here.run(0, "export", "--no-progress").Stdout, there.run(0, "export", "--no-progress").Stdout; was != is {
		t.Errorf("the exports of both differ:\n%s\n%s", was, is)
	}

	c.step("what lives on MongoDB")
	n.live(n.login(front, u)).live(n.login(front, inside)).live(n.token(a)).live(n.token(second))
	n.ask(revoked, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	n.askLogin(front, gone).wantOAuthError(400, "invalid_grant")
	n.askLogin(front, user{Username: u.Username, Password: password()}).wantOAuthError(400, "invalid_grant")
	n.dead(old)
	for _, s := range []*scenario{c.root(), n.root()} {
		for _, who := range []struct {
			kind, id     string
			read, inside bool
		}{{"user", u.ID, true, true}, {"user", inside.ID, true, true}, {"user", gone.ID, false, false}, {"application", a.ID, true, true}} {
			q := question(who.kind, who.id, "read", "ledger", "1")
			s.decides(q, who.read)
			q = question(who.kind, who.id, "write", "ledger", "1")
			s.decides(q, false)
			q["resource"].(object)["tenant"] = tenant
			s.decides(q, who.inside)
		}
	}
	n.get("/v1/users/"+u.ID).wantStatus(200).want("/properties/desk", "4").want("/groups/0", group)
}
