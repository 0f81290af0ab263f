package e2e

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestSeedG17AndSL04RootIsCreatedOnceAndKeysSurvive restarts a server with another bootstrap secret in its environment.
func TestSeedG17AndSL04RootIsCreatedOnceAndKeysSurvive(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	u := c.newUser(object{"grants": grants("jobs:read")})
	front := c.front()
	token, person := c.token(a), c.login(front, u)
	c.delete("/v1/applications/root").wantDenied("system_protected")
	c.patch("/v1/applications/root", object{"is_active": false}).wantDenied("system_protected")
	c.get("/.well-known/jwks.json").wantStatus(200)
	keys := c.last.value()
	secrets := c.get("/v1/applications/root/secrets").wantStatus(200).items("id")
	c.done()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	other := bootstrapSecret()
	again := fresh(t, Options{From: s, Env: map[string]string{"WRIT_BOOTSTRAP_SECRET": canary(other)}})
	c = story(t, again)
	c.step("tokens of before are still good")
	c.live(token).live(person)
	if _, err := verify(token, keys); err != nil {
		c.fail("%v", err)
	}
	c.get("/.well-known/jwks.json").want("", keys)

	c.step("root is the same: the first secret works, the new one does not")
	c.ask(app{ID: "root", Secret: s.Secret}, "grant_type", "client_credentials").wantStatus(200)
	c.ask(app{ID: "root", Secret: other}, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.root().get("/v1/applications/root/secrets").wantItems("id", secrets...)

	c.step("everything else is there, and logging in works")
	c.get("/v1/applications/"+a.ID).wantStatus(200).want("/grants/0/resource", "ledger")
	c.live(c.token(a)).live(c.login(front, u))
	c.decides(question("user", u.ID, "read", "jobs", "1"), true)
}

// TestKillKeepsWhatWasAcknowledged kills the server in the middle of writes.
func TestKillKeepsWhatWasAcknowledged(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	auth := c.auth
	c.done()
	var mu sync.Mutex
	var acknowledged []app
	var writers sync.WaitGroup
	enough := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for {
				w := &scenario{t: t, s: s, next: map[string][]string{}, auth: auth}
				a := w.newApp(object{})
				if w.err != nil {
					return // the server is gone
				}
				mu.Lock()
				acknowledged = append(acknowledged, a)
				if len(acknowledged) == 25 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	ended := make(chan struct{})
	go func() { writers.Wait(); close(ended) }()
	select {
	case <-enough:
	case <-ended:
		t.Fatal("the server stopped acknowledging before it was killed")
	}
	s.Kill()
	writers.Wait()

	again := fresh(t, Options{From: s})
	again.guests = true // some requests were decided and logged, and their replies were cut off
	c = story(t, again).root()
	for _, a := range acknowledged {
		c.get("/v1/applications/" + a.ID).wantStatus(200)
		c.token(a)
		c.done()
	}
	t.Logf("%d acknowledged applications survived kill -9", len(acknowledged))
}

// TestARestoredCopyRevivesNoToken puts an older copy of the data directory back.
func TestARestoredCopyRevivesNoToken(t *testing.T) {
	binaryOnly(t)
	s := fresh(t, Options{})
	reviveNothing(t, s, s.data(), func(change func()) {
		change()
		if err := os.Chmod(s.data()+"/kek", 0o600); err != nil {
			t.Fatal(err)
		}
	})
}

// TestARestoredDatabaseRevivesNoToken is the same with a database that several nodes can share: an older copy of what it keeps is put
// back while no node runs.
func TestARestoredDatabaseRevivesNoToken(t *testing.T) {
	onMongoDB(t)
	db, ours := ownStandIn(t).(*standIn)
	leftOut(t, !ours, "it copies what the stand-in keeps on this machine: E2E_RUNNER=process runs it")
	s := fresh(t, Options{Among: newCluster(db)})
	reviveNothing(t, s, filepath.Join(db.dir, "data"), func(change func()) {
		if err := db.stop(); err != nil {
			t.Fatal(err)
		}
		change()
		if err := db.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// reviveNothing replaces what a store keeps in a directory by an older copy of it. That has forgotten a revoked token, an ended session and
// even that every token was revoked; writ recover --revoke-tokens makes good for it before the server serves. While runs a change of the
// directory that nobody may look at meanwhile.
func reviveNothing(t *testing.T, s *Server, data string, while func(change func())) {
	t.Helper()
	c := story(t, s).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	u := c.newUser(object{"grants": grants("jobs:read")})
	front := c.refreshing()
	revoked := c.token(a)
	c.askLogin(front, u).wantStatus(200)
	ended, refresh := c.text("/access_token"), c.text("/refresh_token")
	c.done()
	backup := t.TempDir()
	stopAnd := func(s *Server, do func() error) {
		t.Helper()
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		while(func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		})
	}
	stopAnd(s, func() error { return os.CopyFS(backup, os.DirFS(data)) })

	s = fresh(t, Options{From: s})
	c = story(t, s)
	c.revoke(a, revoked).wantStatus(200)
	c.dead(revoked)
	c.revoke(front, refresh).wantStatus(200)
	c.dead(ended)
	c.root().delete("/v1/tokens").wantStatus(204)
	after := c.token(a) // its epoch is one that the copy has never seen
	c.live(after).done()
	stopAnd(s, func() error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		return os.CopyFS(data, os.DirFS(backup))
	})
	if out := suite.runner.Command(t.Context(), Options{Env: s.storeEnv()}, "recover", "--revoke-tokens"); out.Code != 0 {
		t.Fatalf("writ recover --revoke-tokens: exit code %d: %s", out.Code, out.Stderr)
	}

	s = fresh(t, Options{From: s})
	c = story(t, s)
	c.step("what was revoked, and what the copy has never seen, is dead")
	c.dead(revoked).dead(ended).dead(after)
	c.askRefresh(front, refresh).wantOAuthError(400, "invalid_grant")
	c.step("secrets and passwords are as they were")
	c.live(c.token(a)).live(c.login(front, u))
}
