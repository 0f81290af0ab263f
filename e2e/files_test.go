package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// desk is the command line of somebody who administers a server.
type desk struct {
	t   *testing.T
	env map[string]string
	dir string
}

// newDesk is the command line of an application, root unless one is named.
func newDesk(t *testing.T, s *Server, as ...app) *desk {
	t.Helper()
	s.guests = true
	who := app{ID: "root", Secret: s.Secret}
	if len(as) > 0 {
		who = as[0]
	}
	return &desk{t: t, dir: t.TempDir(), env: map[string]string{
		"WRIT_URL": s.Public, "WRIT_ADMIN_URL": s.Admin, "WRIT_CLIENT_ID": who.ID, "WRIT_CLIENT_SECRET": who.Secret,
	}}
}

// file writes a file and returns its path.
func (d *desk) file(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// run runs writ and returns what it printed.
func (d *desk) run(code int, args ...string) Output {
	d.t.Helper()
	out := suite.runner.Command(d.t.Context(), Options{Env: d.env}, args...)
	if out.Code != code {
		d.t.Fatalf("writ %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.Code, code, out.Stdout, out.Stderr)
	}
	return out
}

// counts is what an import says it did.
type counts struct {
	DryRun                               bool `json:"dry_run"`
	Created, Changed, Unchanged, Skipped int
	LeftOut                              []string `json:"left_out"`
}

// imports imports a file and returns what was done.
func (d *desk) imports(args ...string) counts {
	d.t.Helper()
	out := d.run(0, append([]string{"import", "--no-progress", "--output", "json"}, args...)...)
	if out.Stderr != "" {
		d.t.Errorf("writ import tells more than it was asked: %s", out.Stderr)
	}
	var done counts
	if err := json.Unmarshal([]byte(out.Stdout), &done); err != nil {
		d.t.Fatalf("%v\n%s", err, out.Stdout)
	}
	return done
}

func (c counts) String() string {
	return fmt.Sprintf("created %d, changed %d, unchanged %d, skipped %d, left out %d", c.Created, c.Changed, c.Unchanged, c.Skipped, len(c.LeftOut))
}

func (d *desk) want(got counts, want string) {
	d.t.Helper()
	if got.String() != want {
		d.t.Fatalf("%s, want %s (%q)", got, want, got.LeftOut)
	}
}

// office is a file of every kind; the marks are for what must be unique on a shared server.
func office(mark string) string {
	return strings.ReplaceAll(`tenants:
- {id: t%, name: Acme}
roles:
- key: ops%:lead
  inherits: [ops%:viewer]
  grants: [{tenant: t%, resource: ledger, action: write}]
- key: ops%:viewer
  grants:
  - resource: ledger
    action: read
groups:
- {id: g%, name: Desk, roles: ['ops%:lead']}
users:
- username: ada%
  email: ada%@example.com
  groups: [g%]
applications:
- id: billing%
  name: Billing
  roles: ['ops%:viewer']
`, "%", mark)
}

// TestB10AFileIsPlannedImportedAndExported goes once around: nothing, a plan, the objects, the same again, an export, the same again.
func TestB10AFileIsPlannedImportedAndExported(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	d := newDesk(t, s)
	file := d.file("office.yaml", office(""))
	d.want(d.imports(file, "--dry-run"), "created 6, changed 0, unchanged 0, skipped 0, left out 0")
	c.get("/v1/tenants/t").wantStatus(404).get("/v1/groups/g").wantStatus(404)
	d.want(d.imports(file), "created 6, changed 0, unchanged 0, skipped 0, left out 0")
	d.want(d.imports(file), "created 0, changed 0, unchanged 6, skipped 0, left out 0")
	c.get("/v1/groups/g").wantStatus(200).want("/roles/0", "ops:lead")
	c.post("/v1/import", object{"dry_run": true, "groups": list{object{"id": "g", "name": "Other", "roles": list{}}}}).wantStatus(200).
		want("/items/0/changes/0/to", "Other").want("/items/0/changes/1/from/0", "ops:lead")

	changed := d.file("changed.yaml", strings.Replace(office(""), "name: Billing", "name: Invoices", 1))
	plan := d.run(0, "import", changed, "--dry-run").Stdout
	if !strings.Contains(plan, `name: "Billing" -> "Invoices"`) {
		t.Errorf("the plan does not show the change:\n%s", plan)
	}
	d.want(d.imports(changed), "created 0, changed 1, unchanged 5, skipped 0, left out 0")
	c.get("/v1/applications/billing").want("/name", "Invoices")

	for _, format := range []string{"yaml", "json"} {
		exported := filepath.Join(d.dir, "exported."+format)
		out := d.run(0, "export", "--output", format, "--file", exported, "--no-progress")
		if !strings.Contains(out.Stderr, "2 protected objects were left out") {
			t.Errorf("writ export says nothing of root: %s", out.Stderr)
		}
		d.want(d.imports(exported), "created 0, changed 0, unchanged 6, skipped 0, left out 0")
		other := newDesk(t, fresh(t, Options{}))
		d.want(other.imports(exported), "created 6, changed 0, unchanged 0, skipped 0, left out 0")
		if again := other.run(0, "export", "--output", format, "--no-progress").Stdout; again != read(t, exported) {
			t.Errorf("an import of an export exports something else:\n%s\n%s", read(t, exported), again)
		}
	}
	events := d.run(0, "import", file).Stderr
	if !strings.Contains(events, `{"event":"done","phase":"plan","done":6,"total":6,"rate":`) {
		t.Errorf("no JSON events without a terminal: %s", events)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestB10WhatIsWrongWithAFileIsToldWithItsPlace spoils a good file in one place each; nothing is changed.
func TestB10WhatIsWrongWithAFileIsToldWithItsPlace(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	mark := strings.ToLower(unique("w"))
	d := newDesk(t, s)
	for name, row := range map[string]struct{ from, to, says string }{
		"a value":             {"ada%@example.com", "ada%", "bad.yaml:15:3: /users/0/email: malformed_email"},
		"a name inside":       {"resource: ledger\n", "resource: led ger\n", "bad.yaml:9:5: /roles/1/grants/0/resource: malformed_resource"},
		"an unknown field":    {"name: Billing", "nmae: Billing", "bad.yaml:19:3: /applications/0/nmae"},
		"an unknown section":  {"applications:", "aplications:", "bad.yaml:17:1: /aplications: unknown section"},
		"an unknown role":     {"['ops%:viewer']\n", "['ops%:none']\n", "bad.yaml:20:11: /applications/0/roles/0: unknown_role"},
		"a cycle":             {"  grants:\n", "  inherits: ['ops%:lead']\n  grants:\n", "/inherits/0: by way of"},
		"a key twice":         {"name: Billing", "name: Billing\n  name: B", "bad.yaml:20:3: /applications/0/name: the key stands twice"},
		"an object twice":     {"users:\n", "users:\n- {username: ADA%, email: x@example.com}\n", "bad.yaml:15:3: /users/1/username: the same username as at /users/0"},
		"an alias":            {"groups: [g%]", "groups: &g [g%]\n  roles: *g", "bad.yaml:17:10: /users/0/roles: aliases are not accepted"},
		"a password":          {"groups: [g%]", "password: tin-lantern-orbit-42", "bad.yaml:16:3: /users/0/password: not_here"},
		"an unknown verifier": {"groups: [g%]", "password_hash: tin-lantern", "bad.yaml:16:3: /users/0/password_hash: malformed_hash"},
		"no YAML":             {"tenants:", "tenants: [", "bad.yaml"},
	} {
		text := strings.ReplaceAll(strings.Replace(office("%"), row.from, row.to, 1), "%", mark)
		if text == office(mark) {
			t.Errorf("%s: nothing was spoilt", name)
		}
		for _, more := range [][]string{{"--dry-run"}, nil} {
			out := d.run(1, append([]string{"import", "--no-progress", d.file("bad.yaml", text)}, more...)...)
			if !strings.Contains(out.Stderr, row.says) {
				t.Errorf("%s: %s\nwant %s", name, out.Stderr, row.says)
			}
		}
	}
	c.get("/v1/tenants/t" + mark).wantStatus(404).get("/v1/groups/g" + mark).wantStatus(404)
	d.run(2, "import")
	d.run(1, "import", filepath.Join(d.dir, "absent.yaml"))
	d.run(2, "import", "-", "--resume")
}

// TestSA12AnImportThatEscalatesIsRefusedWhole is done by an administrator with few rights, in a file whose first batches are good.
func TestSA12AnImportThatEscalatesIsRefusedWhole(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	mark := strings.ToLower(unique("e"))
	d := newDesk(t, s, c.newApp(object{"grants": grants("iam:*", "ledger:read")}))
	var text strings.Builder
	text.WriteString("users:\n")
	for i := range 150 {
		fmt.Fprintf(&text, "- {username: %s-%d, email: %s-%d@example.com}\n", mark, i, mark, i)
	}
	bad := text.String() + fmt.Sprintf("- {username: %s-x, email: %s-x@example.com, roles: ['system:owner']}\n", mark, mark)
	out := d.run(1, "import", "--no-progress", d.file("bad.yaml", bad))
	if !strings.Contains(out.Stderr, "bad.yaml:152:3: /users/150: delegation_exceeds_actor") {
		t.Errorf("not refused by the rule: %s", out.Stderr)
	}
	if users := newDesk(t, s).run(0, "user", "list", "--output", "json").Stdout; strings.Contains(users, mark+"-0") {
		t.Error("something of a refused file was written")
	}
	d.want(d.imports(d.file("good.yaml", text.String())), "created 150, changed 0, unchanged 0, skipped 0, left out 0")
}

// TestAnImportThatIsKilledGoesOn kills the command while it writes, and goes on: everything is there once.
func TestAnImportThatIsKilledGoesOn(t *testing.T) {
	s := fresh(t, Options{})
	leftOut(t, suite.runner.Name() != "process", "a command is killed on this machine: E2E_RUNNER=process runs it")
	d := newDesk(t, s)
	const people = 1500
	var text strings.Builder
	text.WriteString("users:\n")
	for i := range people {
		fmt.Fprintf(&text, "- {username: user%d, email: user%d@example.com}\n", i, i)
	}
	file := d.file("people.yaml", text.String())
	kill := func(args ...string) int {
		cmd := exec.Command(suite.binary, append([]string{"import", file}, args...)...)
		cmd.Env = os.Environ()
		for name, value := range d.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(commandWithin)
		for before := batchesDone(file); batchesDone(file) < before+2; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the import does not get on")
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return batchesDone(file)
	}
	first := kill()
	if first == 0 || first*100 >= people {
		t.Fatalf("the import was at batch %d when it was killed", first)
	}
	second := kill("--resume")
	if second <= first {
		t.Fatalf("it was at batch %d again, after %d", second, first)
	}
	done := d.imports(file, "--resume")
	if done.Skipped != second*100 || done.Created+done.Unchanged+done.Skipped != people {
		t.Errorf("after %d batches: %s", second, done)
	}
	var users []struct{ Username string }
	if err := json.Unmarshal([]byte(d.run(0, "user", "list", "--output", "json").Stdout), &users); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, u := range users {
		seen[u.Username] = true
	}
	if len(users) != people || len(seen) != people {
		t.Errorf("%d users of %d names, want %d", len(users), len(seen), people)
	}
	if _, err := os.Stat(file + ".progress"); !os.IsNotExist(err) {
		t.Errorf("the note of an import that ended stays: %v", err)
	}
	// A file that is another by now is not resumed.
	d.file("people.yaml.progress", `{"sha256":"0","server":"`+s.Admin+`","batches":1}`)
	if out := d.run(1, "import", file, "--resume", "--no-progress"); !strings.Contains(out.Stderr, "has changed since") {
		t.Errorf("%s", out.Stderr)
	}
	d.want(d.imports(file), "created 0, changed 0, unchanged 1500, skipped 0, left out 0")
}

func batchesDone(file string) int {
	var noted struct{ Batches int }
	b, err := os.ReadFile(file + ".progress")
	if err != nil || json.Unmarshal(b, &noted) != nil {
		return 0
	}
	return noted.Batches
}

// TestVerifiersTravelEncrypted moves people and applications to another server, where they prove themselves as before.
func TestVerifiersTravelEncrypted(t *testing.T) {
	from, to := fresh(t, Options{}), fresh(t, Options{})
	c := story(t, from).root()
	a, u, front := c.newApp(object{}), c.newUser(object{}), c.front()
	c.done()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	d, there := newDesk(t, from), newDesk(t, to)
	key := d.file("key.txt", identity.String()+"\n")
	sealed := filepath.Join(d.dir, "all.age")
	d.run(0, "export", "--with-secrets", "--recipient", identity.Recipient().String(), "--file", sealed, "--no-progress")
	if text := read(t, sealed); !strings.HasPrefix(text, "-----BEGIN AGE ENCRYPTED FILE-----") || strings.Contains(text, u.Username) {
		t.Errorf("the file is not encrypted:\n%.200s", text)
	}
	d.run(2, "export", "--with-secrets")
	d.run(2, "export", "--recipient", identity.Recipient().String())
	d.run(2, "export", "--with-secrets", "--recipient", "age1nonsense")
	d.run(2, "import", sealed)
	wrong, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	there.run(1, "import", sealed, "--no-progress", "--identity", d.file("wrong.txt", wrong.String()))

	done := there.imports(sealed, "--identity", key)
	if done.Created < 3 || done.Changed != 0 {
		t.Fatalf("%s", done)
	}
	there.want(there.imports(sealed, "--identity", key), fmt.Sprintf("created 0, changed 0, unchanged %d, skipped 0, left out 0", done.Created))
	n := story(t, to)
	n.token(a)
	n.login(front, u)
	n.root().get("/v1/applications/" + a.ID + "/secrets").wantStatus(200).wantNoSecret(a.Secret)

	// Without secrets nobody comes along who could prove himself; and it takes a full administrator.
	plain := d.run(0, "export", "--no-progress").Stdout
	if strings.Contains(plain, "verifier") || strings.Contains(plain, "password_hash") {
		t.Error("an export without secrets has verifiers")
	}
	almost := newDesk(t, from, c.newApp(object{"grants": list{object{"tenant": "*", "resource": "iam", "action": "*"}}}))
	out := almost.run(1, "export", "--with-secrets", "--recipient", identity.Recipient().String(), "--no-progress", "--file", filepath.Join(d.dir, "no.age"))
	if !strings.Contains(out.Stderr, "root_only") {
		t.Errorf("%s", out.Stderr)
	}
	if _, err := os.Stat(filepath.Join(d.dir, "no.age")); !os.IsNotExist(err) {
		t.Errorf("a refused export leaves a file: %v", err)
	}
}

// TestSeedP11APolicyServerFileBecomesRolesAndPermissions takes the documented example.
func TestSeedP11APolicyServerFileBecomesRolesAndPermissions(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	doctor := c.newUser(object{})
	d := newDesk(t, s)
	example := `{"PolicyServer": {
  "roles": [
    {"name": "doctor", "subjects": ["1", "` + doctor.ID + `"], "identityRoles": ["surgeon"]},
    {"name": "nurse", "subjects": ["11", "12"], "identityRoles": ["RN"]},
    {"name": "patient", "identityRoles": ["patient"]}
  ],
  "permissions": [
    {"name": "SeePatients", "roles": ["doctor", "nurse"]},
    {"name": "PerformSurgery", "roles": ["doctor"]},
    {"name": "PrescribeMedication", "roles": ["doctor", "nurse"]},
    {"name": "RequestPainMedication", "roles": ["patient"]}
  ]
}}`
	file := d.file("policy.json", example)
	d.want(d.imports(file, "--from", "policyserver", "--dry-run"), "created 3, changed 1, unchanged 0, skipped 0, left out 6")
	done := d.imports(file, "--from", "policyserver")
	d.want(done, "created 3, changed 1, unchanged 0, skipped 0, left out 6")
	if told := strings.Join(done.LeftOut, "\n"); !strings.Contains(told, `"surgeon"`) || !strings.Contains(told, "user 11: there is none") {
		t.Errorf("what has no counterpart is not told: %s", told)
	}
	for permission, wanted := range map[string]bool{"SeePatients": true, "PerformSurgery": true, "RequestPainMedication": false} {
		c.decides(object{
			"subject": object{"type": "user", "id": doctor.ID}, "action": object{"name": permission}, "resource": object{"type": "policy", "id": "x"},
		}, wanted)
	}
	c.get("/v1/roles/policyserver:nurse").wantStatus(200).want("/grants/1/action", "PrescribeMedication")
	d.want(d.imports(file, "--from", "policyserver"), "created 0, changed 0, unchanged 4, skipped 0, left out 6")

	for name, text := range map[string]string{
		"no JSON": "{", "another object": `{"roles": []}`, "a role that is not there": strings.Replace(example, `["doctor"]}`, `["surgeon"]}`, 1),
		"an unknown key": strings.Replace(example, `"subjects"`, `"subject"`, 1), "a role twice": strings.Replace(example, `"nurse"`, `"Doctor"`, 1),
	} {
		if out := d.run(1, "import", "--no-progress", "--prefix", "bad", "--from", "policyserver", d.file("bad.json", text)); out.Stdout != "" {
			t.Errorf("%s: %s", name, out.Stdout)
		}
	}
	c.get("/v1/roles/bad:doctor").wantStatus(404)
	d.run(2, "import", file, "--from", "nonsense")
}

// TestB10CasbinRowsBecomeRolesAndGrants asks afterwards what Casbin would have answered.
func TestB10CasbinRowsBecomeRolesAndGrants(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	alice, bob := c.newUser(object{"username": "alice"}), c.newUser(object{"username": "bob"})
	d := newDesk(t, s)
	done := d.imports(d.file("policy.csv", `# roles, a hierarchy, and a right of alice alone
p, admin, data2, write
p, reader, /data1/*, read
p, alice, data3, read
p, reader, data4, read, deny
p, reader, ^data5.*$, (GET)|(POST)
p, manager, dom1, sheet, edit
g, alice, admin
g, admin, reader
g, bob, manager, dom1
g, carol, reader
`), "--from", "casbin")
	d.want(done, "created 4, changed 2, unchanged 0, skipped 0, left out 3")
	asked := func(u user, action, resource, id, tenant string) object {
		r := object{"type": resource, "id": id}
		if tenant != "" {
			r["tenant"] = tenant
		}
		return object{"subject": object{"type": "user", "id": u.ID}, "action": object{"name": action}, "resource": r}
	}
	for _, row := range []struct {
		u                        user
		action, resource, tenant string
		want                     bool
	}{
		{alice, "write", "data2", "", true},
		{alice, "read", "data1", "", true},
		{alice, "read", "data3", "", true},
		{alice, "read", "data4", "", false},
		{bob, "edit", "sheet", "dom1", true},
		{bob, "edit", "sheet", "", false},
		{bob, "read", "data1", "", false},
	} {
		c.decides(asked(row.u, row.action, row.resource, "1", row.tenant), row.want)
	}
	told := strings.Join(done.LeftOut, "\n")
	for _, wanted := range []string{"line 5: a deny of read data4", "line 6: (GET)|(POST)", "user carol: there is none"} {
		if !strings.Contains(told, wanted) {
			t.Errorf("nothing is told of %q: %s", wanted, told)
		}
	}
	for _, text := range []string{"p, a, b\n", "q, a, b, c\n", "\n", "g, a, a\n", "p, , b, c\n"} {
		d.run(1, "import", "--no-progress", "--from", "casbin", "--prefix", "bad", d.file("bad.csv", text))
	}
	d.want(d.imports(filepath.Join(d.dir, "policy.csv"), "--from", "casbin"), "created 0, changed 0, unchanged 6, skipped 0, left out 3")
}

// TestB10ACredentialListBecomesApplications imports credentials that go on with the passwords that they have.
func TestB10ACredentialListBecomesApplications(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	d := newDesk(t, s)
	secret := canary("a password of the list, 1 " + unique(""))
	text := `[
  {"id": "lms", "password": "` + secret + `", "is_active": true,
   "scopes": [{"verb": "READ", "subject": "JOBS"}], "tenants": {"Tenant1": [{"verb": "WRITE", "subject": "CONTENT"}]}},
  {"id": "admin", "is_active": false, "scopes": [{"verb": "WRITE", "subject": "CREDENTIALS"}]}
]`
	file := d.file("credentials.json", text)
	d.want(d.imports(file, "--from", "credentials", "--dry-run"), "created 3, changed 0, unchanged 0, skipped 0, left out 1")
	d.want(d.imports(file, "--from", "credentials"), "created 3, changed 0, unchanged 0, skipped 0, left out 1")
	d.want(d.imports(file, "--from", "credentials"), "created 0, changed 0, unchanged 3, skipped 0, left out 1")
	c.token(app{ID: "lms", Secret: secret})
	c.ask(app{ID: "lms", Secret: secret + "x"}, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	ask := func(action, resource, tenant string) object {
		return object{
			"subject": object{"type": "application", "id": "lms"}, "action": object{"name": action},
			"resource": object{"type": resource, "id": "1", "tenant": tenant},
		}
	}
	c.decides(ask("read", "jobs", "Tenant1"), true).decides(ask("write", "jobs", "Tenant1"), false)
	c.decides(ask("write", "content", "Tenant1"), true).decides(ask("write", "content", "other"), false)
	c.get("/v1/applications/admin").want("/is_active", false).want("/grants/1/action", "write_scopes")
	for _, bad := range []string{
		`[]`, `[{"id": "me/you"}]`, `[{"id": "a", "password": "short"}]`, `[{"id": "a"}, {"id": "a"}]`, `[{"id": "a", "admin": true}]`,
		`[{"id": "a", "scopes": [{"verb": "OWN", "subject": "JOBS"}]}]`,
	} {
		d.run(1, "import", "--no-progress", "--from", "credentials", d.file("bad.json", bad))
	}
}

// TestDailyCommands makes, lists, shows, edits and deletes an object of each kind.
func TestDailyCommands(t *testing.T) {
	s := fresh(t, Options{})
	leftOut(t, suite.runner.Name() != "process", "an editor runs on this machine: E2E_RUNNER=process runs it")
	c := story(t, s).root()
	d := newDesk(t, s)
	script := func(lines string) string {
		path := d.file("editor", "#!/bin/sh\nset -eu\n"+lines+"\n")
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, row := range []struct{ noun, plural, create, id, from, to, shows string }{
		{"tenant", "tenants", "id: acme\nname: Acme\n", "acme", "name: Acme", "name: Acme Ltd", "Acme Ltd"},
		{"role", "roles", "key: ops:viewer\ngrants: [{resource: ledger, action: read}]\n", "ops:viewer", "description: .*", "description: Sees all", "Sees all"},
		{"group", "groups", "id: desk\nname: Desk\nroles: ['ops:viewer']\n", "desk", "name: Desk", "name: The desk", "The desk"},
		{"user", "users", "username: ada\nemail: ada@example.com\nproperties: {a: 1, b: 2}\n", "ada", "  a: 1", "  c: 3", `{"b":2,"c":3}`},
		{"app", "applications", "id: billing\nname: Billing\n", "billing", "name: Billing", "name: Invoices", "Invoices"},
	} {
		file := d.file(row.noun+".yaml", row.create)
		made := d.run(0, row.noun, "create", "-f", file, "--output", "json")
		for _, member := range []string{"temporary_password", "value"} {
			if _, rest, ok := strings.Cut(made.Stdout, `"`+member+`": "`); ok {
				secret, _, _ := strings.Cut(rest, `"`)
				canary(secret)
			}
		}
		d.run(1, row.noun, "create", "-f", file)
		if out := d.run(0, row.noun, "list").Stdout; !strings.Contains(out, row.id) {
			t.Errorf("writ %s list does not show %s:\n%s", row.noun, row.id, out)
		}
		d.run(0, row.noun, "get", row.id, "--output", "yaml")
		d.run(1, row.noun, "get", "none:here")
		d.env["EDITOR"] = script("sed -i 's/^" + row.from + "$/" + row.to + "/' \"$1\"")
		d.run(0, row.noun, "edit", row.id)
		if out := d.run(0, row.noun, "get", row.id).Stdout; !strings.Contains(out, row.shows) {
			t.Errorf("writ %s edit changed nothing:\n%s", row.noun, out)
		}
		if out := d.run(0, row.noun, "edit", row.id); !strings.Contains(out.Stderr, "nothing was changed") {
			t.Errorf("an edit of nothing: %s", out.Stderr)
		}
		shown := d.run(0, "__complete", row.noun, "get", row.id[:2]).Stdout
		if !strings.Contains(shown, row.id) {
			t.Errorf("no completion of %s: %s", row.id, shown)
		}
	}
	// Somebody is faster: nothing is sent over it, and the text stays.
	rival := d.file("rival", "#!/bin/sh\nsed -i 's/Sees all/Theirs/' \"$1\"\n")
	if err := os.Chmod(rival, 0o700); err != nil {
		t.Fatal(err)
	}
	d.env["EDITOR"] = script("EDITOR='" + rival + "' " + suite.binary + " role edit ops:viewer\nsed -i 's/Sees all/Mine/' \"$1\"")
	out := d.run(1, "role", "edit", "ops:viewer")
	_, kept, _ := strings.Cut(strings.TrimSpace(out.Stderr), "your text is in ")
	if !strings.Contains(out.Stderr, "somebody else changed it meanwhile") || !strings.Contains(read(t, kept), "description: Mine") {
		t.Errorf("a lost race: %s", out.Stderr)
	}
	c.get("/v1/roles/ops:viewer").want("/description", "Theirs")

	d.env["EDITOR"] = script("sed -i 's/^description.*$/description: [1]/' \"$1\"")
	out = d.run(1, "role", "edit", "ops:viewer")
	if !strings.Contains(out.Stderr, ".yaml:1:1: 400 Bad Request: wrong_type") || !strings.Contains(out.Stderr, "your text is in ") {
		t.Errorf("a refused edit: %s", out.Stderr)
	}
	d.env["EDITOR"] = "false"
	d.run(1, "role", "edit", "ops:viewer")

	canary(strings.TrimSpace(cell(t, d.run(0, "user", "reset-password", "ada", "--output", "json").Stdout, "temporary_password")))
	d.run(1, "user", "reset-password", "nobody")
	second := d.run(0, "app", "secret", "add", "billing", "--label", "blue", "--output", "json").Stdout
	canary(cell(t, second, "value"))
	if list := d.run(0, "app", "secret", "list", "billing").Stdout; !strings.Contains(list, "blue") || strings.Contains(list, cell(t, second, "value")) {
		t.Errorf("the list of secrets:\n%s", list)
	}
	d.run(2, "app", "secret", "reveal", "billing", cell(t, second, "id"))
	if out := d.run(1, "app", "secret", "reveal", "billing", cell(t, second, "id"), "--reason", "test"); !strings.Contains(out.Stderr, "admin_only") {
		t.Errorf("root reveals: %s", out.Stderr)
	}
	front, boss := c.front(), c.newUser(object{"roles": list{"system:owner"}})
	c.done()
	people := newDesk(t, s, front)
	people.env["WRIT_USERNAME"], people.env["WRIT_PASSWORD"] = boss.Username, boss.Password
	if out := people.run(0, "app", "secret", "reveal", "billing", cell(t, second, "id"), "--reason", "test", "--output", "json").Stdout; cell(t, out, "value") != cell(t, second, "value") {
		t.Errorf("another secret was revealed")
	}
	d.run(0, "app", "secret", "revoke", "billing", cell(t, second, "id"))

	if out := d.run(1, "role", "delete", "ops:viewer"); !strings.Contains(out.Stderr, "role_in_use") {
		t.Errorf("%s", out.Stderr)
	}
	d.run(0, "role", "delete", "ops:viewer", "--force")
	for _, args := range [][]string{{"group", "desk"}, {"user", "ada"}, {"app", "billing"}, {"tenant", "acme"}} {
		d.run(0, args[0], "delete", args[1])
		d.run(1, args[0], "get", args[1])
	}
	d.env["WRIT_ADMIN_URL"] = "http://127.0.0.1:1"
	if out := d.run(0, "__complete", "role", "get", "").Stdout; strings.Contains(out, "127.0.0.1") {
		t.Errorf("a completion is not silent: %s", out)
	}
	d.run(1, "role", "list")
}

// cell is a member of a JSON object.
func cell(t *testing.T, text, name string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	s, _ := fields[name].(string)
	return s
}

// TestB10GroupsWithUsersAndRowsOfLerian asks afterwards what the rows said: letter by letter, so that users does not cover users/password.
func TestB10GroupsWithUsersAndRowsOfLerian(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	lin := c.newUser(object{"username": "lin"})
	d := newDesk(t, s)
	file := d.file("lerian.json", `{
  "groups": [
    {"id": "midaz-viewer-group", "name": "Viewers", "createdAt": "2024-01-15T10:30:00Z", "users": ["lerian/lin", "carol"]}
  ],
  "policies": [
    ["p", "viewer", "users", "patch"],
    "p, editor, users/password, patch",
    {"ptype": "g", "v0": "midaz-viewer-group", "v1": "viewer"}
  ]
}`)
	d.want(d.imports(file, "--from", "lerian", "--dry-run"), "created 3, changed 1, unchanged 0, skipped 0, left out 1")
	c.get("/v1/groups/midaz-viewer-group").wantStatus(404)
	done := d.imports(file, "--from", "lerian")
	d.want(done, "created 3, changed 1, unchanged 0, skipped 0, left out 1")
	if told := strings.Join(done.LeftOut, "\n"); !strings.Contains(told, "user carol: there is none") {
		t.Errorf("what has no counterpart is not told: %s", told)
	}
	for resource, wanted := range map[string]bool{"users": true, "users.password": false} {
		c.decides(object{
			"subject": object{"type": "user", "id": lin.ID}, "action": object{"name": "patch"}, "resource": object{"type": resource, "id": "1"},
		}, wanted)
	}
	d.want(d.imports(file, "--from", "lerian"), "created 0, changed 0, unchanged 4, skipped 0, left out 1")
	out := d.run(1, "import", "--no-progress", "--from", "lerian", d.file("bad.json", "{\n\"groups\": [{\"id\": \"g\"},\n{\"id\": \"a/b\"}]}"))
	if !strings.Contains(out.Stderr, "bad.json:3:2: /groups/1/id:") {
		t.Errorf("the fault has no place: %s", out.Stderr)
	}
	c.get("/v1/groups/g").wantStatus(404)
}

// TestB10ACapabilityListBecomesApplications imports client credentials that go on with the secrets, windows and capabilities that they have.
func TestB10ACapabilityListBecomesApplications(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	d := newDesk(t, s)
	secret := canary("a secret of the list, 1 " + unique(""))
	file := d.file("credentials.json", `[
  {"client_name": "My Application", "client_id": "my-app", "client_secret": "`+secret+`", "customer_id": "10001",
   "valid_from": "2024-01-15T10:30:00Z", "valid_till": "`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`",
   "capabilities": ["users.user.view", "assets.edit", "miscellaneous.ticket.view_ticket"]},
  {"client_name": "None", "client_id": 7, "capabilities": []},
  {"client_name": "mo-ssh-microservice-communication-key", "client_id": "ssh"}
]`)
	d.want(d.imports(file, "--from", "miniorange", "--dry-run"), "created 3, changed 0, unchanged 0, skipped 0, left out 2")
	d.want(d.imports(file, "--from", "miniorange"), "created 3, changed 0, unchanged 0, skipped 0, left out 2")
	d.want(d.imports(file, "--from", "miniorange"), "created 0, changed 0, unchanged 3, skipped 0, left out 2")
	c.get("/v1/applications/ssh").wantStatus(404)
	c.get("/v1/applications/7").wantStatus(200).want("/scopes", list{})
	c.get("/v1/applications/my-app").wantStatus(200).want("/name", "My Application").want("/tenant", "10001").
		want("/not_before", "2024-01-15T10:30:00Z").want("/scopes", list{"users/user:view", "assets:edit", "miscellaneous/ticket:view_ticket"})
	c.ask(app{ID: "my-app", Secret: secret + "x"}, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.as(bearer(c.token(app{ID: "my-app", Secret: secret})))
	for method, wanted := range map[string]int{"GET": 200, "POST": 403, "PUT": 403, "DELETE": 403} {
		c.forward(method, "/pam/apps/users/user/").wantStatus(wanted)
	}
	c.forward("PUT", "/pam/apps/assets/asset/").wantStatus(200).forward("GET", "/pam/apps/ticket/ticket/").wantStatus(200)

	c.root()
	for name, bad := range map[string][2]string{
		"an unknown key":       {`[{"client_id": "bad", "admin": true}]`, "/0/admin: unknown key"},
		"no capability":        {`[{"client_id": "bad", "capabilities": ["view"]}]`, `/0/capabilities/0: "view" is no capability`},
		"a time without zone":  {`[{"client_id": "bad", "valid_till": "2030-01-01 10:00"}]`, "bad.json:1:"},
		"a window that is bad": {`[{"client_id": "bad", "valid_from": "2030-01-01T00:00:00Z", "valid_till": "2029-01-01T00:00:00Z"}]`, "bad.json:1:"},
	} {
		if out := d.run(1, "import", "--no-progress", "--from", "miniorange", d.file("bad.json", bad[0])); !strings.Contains(out.Stderr, bad[1]) {
			t.Errorf("%s: %s", name, out.Stderr)
		}
	}
	c.get("/v1/applications/bad").wantStatus(404)
}

// TestB10PrincipalsClientsAndRolesOfHantera imports a file in both shapes of Hantera and asks what its roles give.
func TestB10PrincipalsClientsAndRolesOfHantera(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	d := newDesk(t, s)
	const john, lin = "0197a9a0-0000-7000-8000-000000000001", "0197a9a0-0000-7000-8000-000000000002"
	text := `{
  "roles": [
    {"key": "support:agent", "description": "Customer support representative", "acl": {"entries": [
      {"resource": "actors", "permission": "*"}, {"resource": "graph", "permission": "*"}, {"resource": "registry", "permission": "read"},
      {"resource": "orders", "permission": "read", "attributeKeys": ["region"]}]}},
    {"key": "system:portal:full", "acl": {"entries": [{"resource": "iam/principals", "permission": "write"}]}}
  ],
  "principals": [
    {"id": "` + john + `", "properties": {"name": "John Admin", "email": "john@example.com"}, "roles": ["system:portal:full"]},
    {"id": "` + lin + `", "name": "Lin", "email": "lin@example.com", "phone": "1", "roles": ["support:agent"], "suspendedAt": "2025-01-01T00:00:00Z"}
  ],
  "clients": [
    {"id": "mobile", "properties": {"name": "Mobile App", "redirectUris": ["myapp://callback"], "grantTypes": ["authorization_code", "refresh_token"]}, "roles": []},
    {"id": "agent", "name": "Agent", "grantTypes": ["client_credentials"], "roles": ["support:agent"]}
  ]
}`
	file := d.file("iam.json", text)
	d.want(d.imports(file, "--from", "hantera", "--dry-run"), "created 6, changed 0, unchanged 0, skipped 0, left out 4")
	c.get("/v1/users/" + john).wantStatus(404)
	d.want(d.imports(file, "--from", "hantera"), "created 6, changed 0, unchanged 0, skipped 0, left out 4")
	d.want(d.imports(file, "--from", "hantera"), "created 0, changed 0, unchanged 6, skipped 0, left out 4")
	c.get("/v1/users/"+john).wantStatus(200).want("/username", "john@example.com").want("/roles", list{"hantera:portal:full"})
	c.get("/v1/users/"+lin).wantStatus(200).want("/suspended_at", "2025-01-01T00:00:00Z").want("/properties/phone", "1")
	c.get("/v1/applications/mobile").wantStatus(200).want("/redirect_uris/0", "myapp://callback").want("/grant_types/0", "authorization_code")
	c.get("/v1/roles/hantera:portal:full").wantStatus(200).want("/grants/1/action", "reset_password")
	ask := func(resource, action string) object {
		return object{"subject": object{"type": "application", "id": "agent"}, "action": object{"name": action}, "resource": object{"type": resource, "id": "1"}}
	}
	c.decides(ask("actors/order", "close"), true).decides(ask("registry", "read"), true)
	c.decides(ask("registry", "write"), false).decides(ask("orders", "read"), false)

	for name, bad := range map[string][2]string{
		"an unknown role": {strings.Replace(text, `"roles": ["support:agent"], "susp`, `"roles": ["support:nobody"], "susp`, 1), "iam2.json:10:"},
		"no UUID":         {strings.Replace(text, lin, "lin", 1), "iam2.json:10:6: /principals/1/id: a principal has a UUID"},
		"two shapes":      {strings.Replace(text, `"name": "Agent"`, `"name": "Agent", "properties": {}`, 1), "/clients/1/name: stands beside properties"},
	} {
		out := d.run(1, "import", "--no-progress", "--prefix", "bad", "--from", "hantera", d.file("iam2.json", bad[0]))
		if !strings.Contains(out.Stderr, bad[1]) {
			t.Errorf("%s: %s", name, out.Stderr)
		}
	}
	c.get("/v1/roles/bad:portal:full").wantStatus(404)
}
