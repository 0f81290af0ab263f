package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

// TestSecretsStaySecret puts a secret into every field that takes one, reads what can be read, does what fails, and then looks for all of them,
// and for all of the other tests of the run, in what an operator gets to see: metrics, spans, the audit, its export, a backup, an export of the
// directory, the replies that are errors, and the logs and the data of the server, where each server is searched when it stops.
func TestSecretsStaySecret(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "the collector and the files are on this machine: E2E_RUNNER=process runs it")
	sink := newCollector(t)
	s := fresh(t, Options{Env: map[string]string{"WRIT_OTLP_ENDPOINT": sink.URL, "WRIT_LOG_LEVEL": "debug"}})
	c := story(t, s).root()
	wrong := canary("wrong-" + password())
	u := c.newUser(object{"roles": list{"system:owner"}})
	front := c.newApp(object{"grant_types": list{"password", "refresh_token"}})
	other := c.newApp(object{"token_format": "opaque"})
	c.post("/v1/applications/"+other.ID+"/secrets", object{"label": "blue"}).wantStatus(201)
	c.askLogin(front, u).wantStatus(200)
	access, refresh := c.text("/access_token"), c.text("/refresh_token")
	c.askRefresh(front, refresh).wantStatus(200)
	c.token(other)

	var refusals bytes.Buffer
	refused := func(least int) {
		if c.err == nil && c.last.status < least {
			c.fail("it is not refused")
		}
		fmt.Fprintf(&refusals, "%d %v %s\n", c.last.status, c.last.header, c.last.body)
	}
	c.ask(app{ID: other.ID, Secret: wrong}, "grant_type", "client_credentials")
	refused(400)
	c.ask(front, "grant_type", "password", "username", u.Username, "password", wrong)
	refused(400)
	c.askRefresh(other, refresh)
	refused(400)
	c.as(bearer(access + "x")).get("/v1/me")
	refused(400)
	c.as(bearer(access)).post("/v1/me/password", object{"current_password": wrong, "new_password": wrong + "2"})
	refused(400)
	c.root().post("/v1/users", object{"username": "x y", "email": "nowhere", "name": "A", "password": wrong})
	refused(400)
	c.post("/v1/users", object{"username": unique("ada"), "pasword": wrong})
	refused(400)
	c.get("/v1/users?password=" + canary("query-canary-password"))
	refused(400)
	c.get("/v1/" + canary("path-canary-password"))
	refused(400)
	c.as(bearer(access)).post("/v1/applications/"+other.ID+"/secrets/"+other.SecretID+"/reveal", object{"reason": "to look for it everywhere"}).
		wantStatus(200).want("/value", other.Secret)
	changed := password()
	c.post("/v1/me/password", object{"current_password": u.Password, "new_password": changed}).wantStatus(204)
	c.root().post("/v1/users/"+u.ID+"/password/reset", object{}).wantStatus(200)
	c.done()

	shown := map[string][]byte{"the refusals": refusals.Bytes()}
	c.get("/metrics").wantStatus(200)
	shown["the metrics"] = bytes.Clone(c.last.body)
	c.root().get("/v1/audit?limit=100").wantStatus(200)
	shown["the audit"] = bytes.Clone(c.last.body)
	c.get("/v1/decisions?limit=100").wantStatus(200)
	shown["the recent decisions"] = bytes.Clone(c.last.body)
	c.done()
	dir := t.TempDir()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	client := map[string]string{"WRIT_URL": s.Public, "WRIT_ADMIN_URL": s.Admin, "WRIT_CLIENT_ID": "root", "WRIT_CLIENT_SECRET": s.Secret}
	s.guests = true
	command := func(env map[string]string, args ...string) string {
		t.Helper()
		out := suite.runner.Command(t.Context(), Options{Env: env}, args...)
		if out.Code != 0 {
			t.Fatalf("writ %v: exit code %d\n%s%s", args, out.Code, out.Stdout, out.Stderr)
		}
		return out.Stdout + out.Stderr
	}
	shown["writ audit export"] = []byte(command(client, "audit", "export"))
	shown["writ export"] = []byte(command(client, "export"))
	if s.shares.db == nil {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	backup := filepath.Join(dir, "writ.backup")
	shown["what writ backup prints"] = []byte(command(s.storeEnv(), "backup", "--recipient", identity.Recipient().String(), "--file", backup))
	shown["a backup, decrypted"] = decrypted(t, backup, identity)
	if err := s.Stop(); err != nil { // which sends the last spans
		t.Fatal(err)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	shown["the spans"] = sink.raw.Bytes()

	find := newFinder(knownCanaries())
	for _, secret := range []string{u.Password, changed, wrong, other.Secret, front.Secret, s.Secret} {
		if len(find.in([]byte("x"+secret+"x"))) == 0 {
			t.Error("a secret of this test would not be found")
		}
	}
	for what, text := range shown {
		if len(text) == 0 {
			t.Errorf("%s: there is nothing to look at", what)
		}
		for secret, at := range find.in(text) {
			t.Errorf("%s: a secret, %.6s…, is there in clear near %q", what, secret, text[max(0, at-80):at])
		}
	}
}

// decrypted is what a backup holds.
func decrypted(t *testing.T, file string, identity age.Identity) []byte {
	t.Helper()
	sealed, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	plain, err := age.Decrypt(sealed, identity)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := gzip.NewReader(plain)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
