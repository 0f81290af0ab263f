package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneLinePerDecision counts: every server of this package is held to "one line per Decision-Id, none without" when it
// stops;
// here the lines themselves are read.
func TestOneLinePerDecision(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	type wanted struct {
		parent, allow bool
		code          string
	}
	want := map[string]wanted{}
	nobody := c.newApp(object{})
	c.get("/v1/users/" + u.ID).wantStatus(200)
	want[c.header("Decision-Id")] = wanted{allow: true}
	c.get("/v1/users/" + uuid()).wantStatus(404)
	want[c.header("Decision-Id")] = wanted{allow: true}
	c.ask(nobody, "grant_type", "client_credentials").wantStatus(200)
	want[c.header("Decision-Id")] = wanted{allow: true}
	c.ask(nobody, "grant_type", "client_credentials", "scope", "ledger:read").wantStatus(400)
	token := c.token(nobody)
	c.as(bearer(token)).get("/v1/users").wantDenied("not_granted")
	want[c.header("Decision-Id")] = wanted{allow: false, code: "not_granted"}
	c.get("/v1/users/" + u.ID).wantStatus(404)
	want[c.header("Decision-Id")] = wanted{allow: false}
	c.post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1")).wantStatus(403)
	want[c.header("Decision-Id")] = wanted{allow: false}
	c.root().post("/access/v1/evaluation", withReasons(question("user", u.ID, "write", "ledger", "1"))).wantStatus(200)
	asked, parent := c.text("/context/decision_id"), c.header("Decision-Id")
	want[parent] = wanted{allow: true}
	want[asked] = wanted{parent: true, allow: false, code: "not_granted"}
	if asked == parent {
		c.fail("the question and the right to ask it share the id %s", asked)
	}
	c.as("").get("/v1/users").wantUnauthorized()
	if c.err == nil && c.last.header.Get("Decision-Id") != "" {
		c.fail("a request without a caller has a Decision-Id")
	}
	c.done()

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	lines, err := s.decisionLog()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]logLine{}
	for _, line := range lines {
		found[line.DecisionID] = line
		if line.Allow == nil || line.Entrypoint == "" || len(line.Input) == 0 || line.RequestID == "" {
			t.Errorf("line %s lacks allow, entrypoint, request_id or input", line.DecisionID)
		}
	}
	for id, w := range want {
		line, ok := found[id]
		if !ok || line.Allow == nil || *line.Allow != w.allow || (line.ParentID != "") != w.parent {
			t.Errorf("line %s is %+v, want %+v", id, line, w)
		}
		if w.parent && line.ParentID != parent {
			t.Errorf("the asked question's parent is %s, want %s", line.ParentID, parent)
		}
		if w.code != "" && (len(line.Reasons) == 0 || line.Reasons[0].Code != w.code) {
			t.Errorf("line %s has reasons %v, want %s", id, line.Reasons, w.code)
		}
	}
}

// conflicts make two answers for one id and none for any other: such a set loads, and errs when it is asked. Lists follow the one rule
// "result" of the admin entrypoint, so there it is the obligations that are two, and the usual case, which has none, is not for that id.
var conflicts = map[string]string{
	"admin": `
obligations := {"filter": {}} if input.resource.id == "e2e-conflict"

obligations := {"filter": {"tenants": []}} if input.resource.id == "e2e-conflict"
`,
	"decision": `
result := {"allow": true, "reasons": [], "obligations": {}} if input.resource.id == "e2e-conflict"

result := {"allow": false, "reasons": [], "obligations": {}} if input.resource.id == "e2e-conflict"
`,
}

// TestEvaluationErrorIs503AndNothingElse injects an evaluation error through a replaced core.
func TestEvaluationErrorIs503AndNothingElse(t *testing.T) {
	core := filepath.Join(t.TempDir(), "core")
	if out := suite.runner.Command(t.Context(), Options{}, "policy", "eject", core); out.Code != 0 {
		t.Fatalf("writ policy eject: exit code %d: %s", out.Code, out.Stderr)
	}
	withoutTests(t, core)
	for entrypoint, conflict := range conflicts {
		if !appendToPackage(t, core, entrypoint, conflict) {
			t.Fatalf("no file of package writ.%s in the ejected core", entrypoint)
		}
	}
	usual := filepath.Join(core, "writ", "admin", "plain.rego")
	b, err := os.ReadFile(usual)
	if err != nil {
		t.Fatal(err)
	}
	const reading = "plain if {\n\tinput.action.name == \"read\"\n"
	if !bytes.Contains(b, []byte(reading)) {
		t.Fatalf("%s has no %q", usual, reading)
	}
	b = bytes.Replace(b, []byte(reading), []byte(reading+"\tinput.resource.id != \"e2e-conflict\"\n"), 1)
	if err := os.WriteFile(usual, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := fresh(t, Options{Args: []string{"--policies-core", core}})
	c := story(t, s).root()
	u := c.newUser(object{"grants": grants("ledger:read")})

	c.step("the admin API")
	var failed []string
	for _, attempt := range []func(){
		func() { c.get("/v1/applications/e2e-conflict") },
		func() {
			c.put("/v1/applications/e2e-conflict", object{"name": "x", "grant_types": list{"client_credentials"}})
		},
		func() { c.patch("/v1/applications/e2e-conflict", object{"name": "x"}) },
		func() { c.delete("/v1/applications/e2e-conflict") },
		func() { c.put("/v1/groups/e2e-conflict", object{"name": "x"}) },
	} {
		attempt()
		c.wantProblem(503, "")
		c.header("Retry-After")
		failed = append(failed, c.header("Decision-Id"))
		c.expect(c.last.request)
	}
	c.get("/v1/applications?limit=100").wantStatus(200)
	if c.itemWith("id", "e2e-conflict") != nil {
		c.fail("a refused request stored something")
	}
	c.get("/v1/groups").wantStatus(200).wantItems("id")

	c.step("a decision")
	c.post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "e2e-conflict")).wantStatus(503)
	c.header("Retry-After")
	if bytes.Contains(c.last.body, []byte(`"decision"`)) {
		c.fail("an error is shown as a decision")
	}
	c.decides(question("user", u.ID, "read", "ledger", "other"), true)

	c.step("the log says error, once each")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	lines, err := s.decisionLog()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range failed {
		n := 0
		for _, line := range lines {
			if line.DecisionID != id {
				continue
			}
			n++
			if line.Error == nil || line.Error == "" || line.Allow != nil && *line.Allow {
				t.Errorf("line %s does not say that evaluation failed: %+v", id, line)
			}
		}
		if n != 1 {
			t.Errorf("%d lines for %s, want 1", n, id)
		}
	}
}

// withoutTests removes the tests of rules from a directory: they are no matter of the test, and run for half a minute at the start.
func withoutTests(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.rego") {
			return err
		}
		return os.Remove(path)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// appendToPackage adds rules to a file that defines the result of an entrypoint of the core.
func appendToPackage(t *testing.T, dir, entrypoint, rules string) bool {
	t.Helper()
	done := false
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".rego" || filepath.Base(filepath.Dir(path)) != entrypoint ||
			done {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte("package writ."+entrypoint+"\n")) || !bytes.Contains(b,
			[]byte("\nresult ")) &&
			!bytes.Contains(b, []byte("\ndefault result")) {
			return err
		}
		done = true
		return os.WriteFile(path, append(b, rules...), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// TestDecisionLogThatCannotBeWrittenIsAStartError: a log that cannot be opened stops the server from starting. (A log that is full
// is proven in policies and policies/enforce.)
func TestDecisionLogThatCannotBeWrittenIsAStartError(t *testing.T) {
	binaryOnly(t)
	out := suite.runner.Command(t.Context(), Options{Env: startEnv(t, map[string]string{
		"WRIT_DECISION_LOG": filepath.Join(t.TempDir(), "no", "such", "directory", "log"),
	})}, "serve")
	wantStartError(t, out, 0, "decision_log")
}
