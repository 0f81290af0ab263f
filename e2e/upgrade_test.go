package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// previous is the version before this one, whose data and configuration this one takes over.
const previous = "094f1c4cb45a05d8b96e653c85e988709f178606"

// previousRunner starts the version before this one, which it builds once out of the history of the repository.
func previousRunner(t *testing.T) Runner {
	t.Helper()
	r := &processRunner{binary: filepath.Join(filepath.Dir(suite.binary), "writ-before"), work: t.TempDir(), db: suite.db, version: previous}
	if _, err := os.Stat(r.binary); err == nil {
		return r
	}
	source := t.TempDir()
	archive := exec.CommandContext(t.Context(), "git", "archive", "--format=tar", previous)
	archive.Dir = ".."
	tar, err := archive.Output()
	leftOut(t, err != nil, "the history of the repository does not have the version before this one here, to build it")
	unpack := exec.CommandContext(t.Context(), "tar", "-x", "-C", source)
	unpack.Stdin = bytes.NewReader(tar)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	if err := goBuild(t.Context(), source, r.binary, "./cmd/writ"); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDataAndConfigurationGoToTheNextVersionAndBack: this version goes on where the one before it stopped, with its data, keys and
// configuration, and that one goes on where this one stopped.
func TestDataAndConfigurationGoToTheNextVersionAndBack(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "it is about binaries on this machine: E2E_RUNNER=process runs it")
	before := previousRunner(t)
	const config = "access_token_lifetime: 30m\nrefresh_grace: 2s\npassword_minimum: 14\npoll_interval: 100ms\naudit_anchor: anchor.jsonl\n"
	s, err := before.Start(t.Context(), Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	c := story(t, s).root()
	c.step("made by the version before")
	tenant := c.newTenant()
	role := c.newRole("ledger:read", "ledger:write@"+tenant)
	group := c.newGroup(role)
	u := c.newUser(object{"groups": list{group}, "properties": object{"colour": "blue"}})
	owner := c.newUser(object{"roles": list{"system:owner"}})
	front := c.newApp(object{"grant_types": list{"password", "refresh_token"}})
	sealed := c.newApp(object{"token_format": "opaque", "roles": list{role}})
	c.askLogin(front, u).wantStatus(200).want("/scope", "ledger:read")
	access, refresh := c.text("/access_token"), c.text("/refresh_token")
	opaque, revoked := c.token(sealed), c.token(sealed)
	c.with("Authorization", basic(sealed.ID, sealed.Secret)).form("/oauth2/revoke", fields("token", revoked)).wantStatus(200)
	c.get("/v1/users/" + u.ID).wantStatus(200)
	etag := c.header("ETag")
	c.done()

	// holds is what each version must find of what the other left.
	holds := func(by string) {
		c = story(t, s).root()
		c.step(by)
		c.get("/v1/users/"+u.ID).wantStatus(200).want("/properties/colour", "blue").want("/groups/0", group)
		if got := c.header("ETag"); got != etag {
			c.fail("the user has the ETag %s, want %s", got, etag)
		}
		c.introspect(front, access).want("/active", true).want("/scope", "ledger:read")
		c.introspect(sealed, opaque).want("/active", true)
		c.introspect(sealed, revoked).want("/active", false)
		c.askRefresh(front, refresh).wantStatus(200).want("/scope", "ledger:read").want("/expires_in", 1800)
		refresh = c.text("/refresh_token")
		c.post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1")).wantStatus(200).want("/decision", true)
		c.post("/access/v1/evaluation", question("user", u.ID, "write", "ledger", "1")).wantStatus(200).want("/decision", false)
		c.as(bearer(c.login(front, owner)))
		c.post("/v1/applications/"+sealed.ID+"/secrets/"+sealed.SecretID+"/reveal", object{"reason": by}).wantStatus(200).want("/value", sealed.Secret)
		c.root().post("/v1/users", object{"username": unique("ada"), "email": unique("ada") + "@example.com", "name": "Ada", "password": "thirteen char"}).
			wantStatus(400) // the configuration says fourteen
		c.done()
	}
	follow := func(by Runner) {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if s, err = by.Start(t.Context(), Options{Config: config, From: s}); err != nil {
			t.Fatal(err)
		}
	}
	follow(suite.runner)
	holds("this version")

	c.step("made by this version")
	c.root().patch("/v1/users/"+u.ID, object{"name": "Ada of this version"}).wantStatus(200)
	etag = c.header("ETag")
	opaque = c.token(sealed)
	c.done()
	follow(before)
	holds("the version before, again")
	c.root().get("/v1/users/"+u.ID).wantStatus(200).want("/name", "Ada of this version")
	c.done()

	follow(suite.runner)
	held(t, s)
	holds("this version, again")
	if s.shares.db == nil {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	out := suite.runner.Command(t.Context(), Options{Env: s.storeEnv()}, "audit", "verify", "--anchor", filepath.Join(s.Dir, "anchor.jsonl"))
	if out.Code != 0 {
		text, _ := os.ReadFile(filepath.Join(s.Dir, "anchor.jsonl"))
		t.Errorf("writ audit verify: exit code %d: %s%s (%d lines in the anchor)", out.Code, out.Stdout, out.Stderr, strings.Count(string(text), "\n"))
	}
}

// TestTwoVersionsServeOneDatabase has a node of the version before this one and a node of this one on one database, as a rolling upgrade
// does: what one issues the other takes, what is changed on one binds on the other, and the audit of both verifies.
func TestTwoVersionsServeOneDatabase(t *testing.T) {
	onMongoDB(t)
	leftOut(t, suite.runner.Name() != "process", "it is about binaries on this machine: E2E_RUNNER=process runs it")
	shares := newCluster(suite.db)
	start := func(by Runner) *Server {
		s, err := by.Start(t.Context(), Options{Among: shares})
		if err != nil {
			t.Fatal(err)
		}
		held(t, s)
		return s
	}
	before := start(previousRunner(t))
	this := start(suite.runner)
	for _, pair := range [][2]*Server{{before, this}, {this, before}} {
		bindOn(t, pair[0], pair[1], 1)
	}

	a, b := story(t, before).root(), story(t, this).root()
	role := a.newRole("ledger:read")
	u := a.newUser(object{"roles": list{role}})
	front := a.refreshing()
	a.done()
	b.eventually(bindsWithin, func() { b.get("/v1/users/" + u.ID).wantStatus(200) })
	b.done()
	a.askLogin(front, u).wantStatus(200)
	refresh := a.text("/refresh_token")
	for range 3 { // a session goes from node to node
		for _, c := range []*scenario{b, a} {
			c.eventually(bindsWithin, func() { c.introspect(front, refresh).want("/active", true) })
			c.askRefresh(front, refresh).wantStatus(200).want("/scope", "ledger:read")
			refresh = c.text("/refresh_token")
			c.done()
		}
	}

	// An object that both change: the ETag of one version is that of the other, and nothing that either wrote is lost.
	for _, turn := range []struct {
		by, then *scenario
		change   object
	}{{a, b, object{"name": "Ada"}}, {b, a, object{"properties": object{"colour": "blue"}}}, {a, b, object{"groups": list{}}}} {
		turn.by.get("/v1/users/" + u.ID).wantStatus(200)
		etag := turn.by.header("ETag")
		turn.by.done()
		turn.then.eventually(bindsWithin, func() {
			turn.then.get("/v1/users/" + u.ID).wantStatus(200)
			if got := turn.then.header("ETag"); got != etag {
				turn.then.fail("the ETag is %s, want %s", got, etag)
			}
		})
		turn.then.with("If-Match", etag).patch("/v1/users/"+u.ID, turn.change).wantStatus(200)
		turn.then.done()
		turn.by.with("If-Match", etag).patch("/v1/users/"+u.ID, turn.change).wantStatus(412)
		turn.by.done()
	}
	for _, c := range []*scenario{a, b} {
		c.eventually(bindsWithin, func() {
			c.get("/v1/users/"+u.ID).wantStatus(200).want("/name", "Ada").want("/properties/colour", "blue").want("/roles/0", role)
		})
		c.done()
	}
	out := suite.runner.Command(t.Context(), Options{Env: this.storeEnv()}, "audit", "verify")
	if out.Code != 0 {
		t.Errorf("writ audit verify: exit code %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
}
