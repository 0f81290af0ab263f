package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
)

// site is one store that a server can be started on, with the key encryption key and the issuer that all sites of a test share.
type site struct {
	shares *cluster
	env    map[string]string
}

// start starts a server on the site, or goes on with one that has stopped.
func (p site) start(t *testing.T, from *Server) *Server {
	t.Helper()
	return fresh(t, Options{Among: p.shares, Env: p.env, From: from})
}

// sites returns what makes empty sites of each store.
func sites(t *testing.T) map[string]func() site {
	kek, secret := newKEK(), canary(bootstrapSecret())
	file := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(file, []byte(kek), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(c *cluster, env map[string]string) site {
		c.secret, c.issuer, c.kek = secret, "https://writ.example.com", kek
		env["WRIT_ISSUER"], env["WRIT_KEK_FILE"] = c.issuer, file
		return site{shares: c, env: env}
	}
	all := map[string]func() site{"embedded": func() site {
		return with(&cluster{}, map[string]string{"WRIT_DATA_DIR": filepath.Join(t.TempDir(), "data")})
	}}
	if suite.store == "mongo" {
		all["MongoDB"] = func() site {
			c := newCluster(suite.db)
			return with(c, map[string]string{"WRIT_MONGODB_URI": c.db.local(c.name)})
		}
	}
	return all
}

// TestABackupIsRestoredOnEitherStore: what a backup holds is there after a restore, on the store that it was made on and on the other.
// What was revoked after it was made stays revoked, because all tokens end.
func TestABackupIsRestoredOnEitherStore(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "it takes stores on this machine: E2E_RUNNER=process runs it")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	all := sites(t)
	for from, makes := range all {
		for to, makesOther := range all {
			if suite.store == "mongo" && from == "embedded" && to == "embedded" {
				continue // E2E_STORE=sqlite runs it
			}
			t.Run(from+" to "+to, func(t *testing.T) { backUpAndRestore(t, makes(), makesOther(), identity) })
		}
	}
}

func backUpAndRestore(t *testing.T, from, to site, identity *age.X25519Identity) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "writ.backup"), filepath.Join(dir, "key.txt")
	if err := os.WriteFile(key, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// writ runs a command on a site and decodes what it prints.
	writ := func(p site, code int, into any, args ...string) Output {
		t.Helper()
		out := suite.runner.Command(t.Context(), Options{Env: p.env}, args...)
		if out.Code != code {
			t.Fatalf("writ %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.Code, code, out.Stdout, out.Stderr)
		}
		if into != nil {
			if err := json.Unmarshal([]byte(out.Stdout), into); err != nil {
				t.Fatalf("%v in %s", err, out.Stdout)
			}
		}
		return out
	}
	s := from.start(t, nil)
	s.guests = true
	c := story(t, s).root()
	role := c.newRole("ledger:read")
	u := c.newUser(object{"groups": list{c.newGroup(role)}})
	c.patch("/v1/users/"+u.ID, object{"name": "Renamed"}).wantStatus(200)
	version := c.header("ETag")
	a := c.newApp(object{"roles": list{role}, "retrievable": true})
	front := c.refreshing()
	revoked := c.token(a)
	c.askLogin(front, u).wantStatus(200)
	alive, refresh := c.text("/access_token"), c.text("/refresh_token")
	c.live(revoked).live(alive)

	c.step("the backup: beside the server on MongoDB, while others write; after it on the embedded store")
	var others sync.WaitGroup
	if from.shares.db != nil {
		others.Go(func() {
			other := story(t, s).root()
			for range 30 {
				other.newUser(object{"roles": list{role}})
			}
			other.done()
		})
	} else {
		c.done()
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	type manifest struct {
		Sequence int64          `json:"sequence"`
		Records  map[string]int `json:"records"`
	}
	var made manifest
	writ(from, 0, &made, "backup", "--recipient", identity.Recipient().String(), "--file", file, "--no-progress", "--output", "json")
	others.Wait()
	if made.Sequence == 0 || made.Records["users"] == 0 || made.Records["audit"] == 0 {
		t.Errorf("the backup holds %v at sequence %d", made.Records, made.Sequence)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if from.shares.db == nil {
		s = from.start(t, s)
		s.guests = true
		c = story(t, s).root()
	}
	c.revoke(a, revoked).wantStatus(200)
	c.dead(revoked).done()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	c.step("it is proven, and nothing is changed")
	var proven struct {
		Manifest manifest
		Revoked  bool
		Audit    struct{ Chains []struct{ Entries int } }
	}
	writ(to, 0, &proven, "restore", file, "--identity", key, "--verify", "--no-progress", "--output", "json")
	if proven.Revoked || proven.Manifest.Sequence != made.Sequence || len(proven.Audit.Chains) == 0 {
		t.Errorf("got %+v", proven)
	}

	c.step("it is restored")
	writ(to, 0, &proven, "restore", file, "--identity", key, "--no-progress", "--output", "json")
	if !proven.Revoked || !maps.Equal(proven.Manifest.Records, made.Records) {
		t.Errorf("got %+v, made was %+v", proven, made)
	}
	if out := writ(to, 1, nil, "restore", file, "--identity", key, "--no-progress"); !strings.Contains(out.Stderr, "not empty") {
		t.Errorf("into what is not empty: %s", out.Stderr)
	}
	writ(to, 0, nil, "audit", "verify")

	s = to.start(t, nil)
	s.guests = true
	c = story(t, s).root()
	c.step("what was revoked after the backup, and every other token of before, is dead")
	c.dead(revoked).dead(alive)
	c.askRefresh(front, refresh).wantOAuthError(400, "invalid_grant")
	c.step("who is there proves himself as before and may do the same")
	c.live(c.token(a)).live(c.login(front, u))
	c.get("/v1/users/"+u.ID).wantStatus(200).want("/name", "Renamed")
	if is := c.header("ETag"); is != version {
		t.Errorf("the version is %s, was %s", is, version)
	}
	c.decides(question("user", u.ID, "read", "ledger", "1"), true)
	c.with("If-Match", version).patch("/v1/users/"+u.ID, object{"name": "Renamed again"}).wantStatus(200)
	c.newUser(object{"roles": list{role}})
	c.done()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	writ(to, 0, nil, "audit", "verify")
}

// TestWhatIsNoBackupIsNotRestored: every file that is not what was written is refused before anything is.
func TestWhatIsNoBackupIsNotRestored(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "it takes stores on this machine: E2E_RUNNER=process runs it")
	leftOut(t, suite.store != "sqlite", "files are the same for both stores: E2E_STORE=sqlite runs it")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("key.txt", []byte(identity.String()+"\n"))
	p := sites(t)["embedded"]()
	if err := p.start(t, nil).Stop(); err != nil {
		t.Fatal(err)
	}
	from, kek := p.env, p.env["WRIT_KEK_FILE"]
	run := func(env map[string]string, args ...string) Output {
		return suite.runner.Command(t.Context(), Options{Env: env}, args...)
	}
	good := filepath.Join(dir, "good")
	if out := run(from, "backup", "--recipient", identity.Recipient().String(), "--file", good, "--no-progress"); out.Code != 0 {
		t.Fatal(out.Stderr)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), content...)
	flipped[len(flipped)/2] ^= 1
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ file, key, kek, want string }{
		"cut off":                 {write("cut", content[:len(content)/2]), key, kek, "no backup of writ"},
		"one bit":                 {write("flipped", flipped), key, kek, "no backup of writ"},
		"another's":               {good, write("other.txt", []byte(other.String()+"\n")), kek, "decrypt"},
		"not encrypted":           {write("plain", []byte("{}\n")), key, kek, "decrypt"},
		"without its key":         {good, key, filepath.Join(dir, "nowhere"), "nowhere"},
		"with another master key": {good, key, write("kek", []byte(newKEK())), "kek"},
	} {
		into := filepath.Join(t.TempDir(), "into")
		out := run(map[string]string{"WRIT_DATA_DIR": into, "WRIT_KEK_FILE": c.kek}, "restore", c.file, "--identity", c.key, "--no-progress")
		if out.Code != 1 || !strings.Contains(out.Stderr, c.want) {
			t.Errorf("%s: exit code %d: %s", name, out.Code, out.Stderr)
		}
		if _, err := os.Stat(into); !os.IsNotExist(err) {
			t.Errorf("%s: something was written: %v", name, err)
		}
	}
	for _, args := range [][]string{{"backup", "--file", "x"}, {"backup", "--recipient", identity.Recipient().String()}, {"restore", good}} {
		if out := run(from, args...); out.Code != 2 {
			t.Errorf("writ %s: exit code %d: %s", strings.Join(args, " "), out.Code, out.Stderr)
		}
	}
}
