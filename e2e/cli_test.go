package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestClientCommands gets a token, asks a decision and looks at the identity, with the binary's own client.
func TestClientCommands(t *testing.T) {
	s := fresh(t, Options{})
	s.guests = true
	c := story(t, s).root()
	a := c.newApp(object{"name": "cli", "grants": grants("ledger:read")})
	u := c.newUser(object{"grants": grants("ledger:read")})
	front := c.front()
	c.done()
	machine := map[string]string{"WRIT_URL": s.Public, "WRIT_CLIENT_ID": a.ID, "WRIT_CLIENT_SECRET": a.Secret}
	person := map[string]string{
		"WRIT_URL": s.Public, "WRIT_CLIENT_ID": front.ID, "WRIT_CLIENT_SECRET": front.Secret, "WRIT_USERNAME": u.Username,
		"WRIT_PASSWORD": u.Password,
	}
	run := func(env map[string]string, code int, args ...string) string {
		t.Helper()
		out := suite.runner.Command(t.Context(), Options{Env: env}, args...)
		if out.Code != code || strings.Contains(out.Stderr, "Usage:") && code != 2 {
			t.Errorf("writ %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.Code, code, out.Stdout, out.Stderr)
		}
		return out.Stdout
	}

	for name, env := range map[string]map[string]string{a.ID: machine, u.ID: person} {
		token := canary(strings.TrimSpace(run(env, 0, "token")))
		if claims, err := part(token, 1); err != nil || claims["sub"] != name {
			t.Errorf("writ token: claims %v (%v), want sub %s", claims, err, name)
		}
		if who := run(map[string]string{"WRIT_URL": s.Public, "WRIT_TOKEN": token}, 0, "whoami", "--output",
			"json"); !strings.Contains(who, name) {
			t.Errorf("writ whoami: %s, want %s", who, name)
		}
	}
	var full map[string]any
	if err := json.Unmarshal([]byte(run(machine, 0, "token", "--output", "json")), &full); err != nil ||
		full["token_type"] != "Bearer" {
		t.Errorf("writ token --output json: %v (%v)", full, err)
	}
	harvest(any(full))
	self := "application:" + a.ID
	run(machine, 0, "decide", self, "read", "ledger:1", "--exit-code")
	if out := run(machine, 1, "decide", self, "write", "ledger:1", "--exit-code"); !strings.Contains(out, "not_granted") {
		t.Errorf("writ decide does not say why: %s", out)
	}
	run(machine, 0, "decide", self, "write", "ledger:1")
	run(machine, 1, "decide", "user:"+u.ID, "read", "ledger:1")
	run(machine, 2, "decide", "nonsense")
	machine["WRIT_CLIENT_SECRET"] = "writ_cs_wrong-secret-of-some-length"
	run(machine, 1, "token")
	run(map[string]string{
		"WRIT_LISTEN":       strings.TrimPrefix(s.Public, "http://"),
		"WRIT_ADMIN_LISTEN": strings.TrimPrefix(s.Admin, "http://"),
	}, 0, "healthcheck")
	run(map[string]string{"WRIT_ADMIN_LISTEN": "127.0.0.1:1"}, 1, "healthcheck")
}

// TestRecoverGivesRootANewSecret runs on the data of a stopped server; beside a running one where the store is for several.
func TestRecoverGivesRootANewSecret(t *testing.T) {
	s := fresh(t, Options{})
	story(t, s).root()
	env := s.storeEnv()
	if s.shares.db == nil {
		if out := suite.runner.Command(t.Context(), Options{Env: env}, "recover"); out.Code == 0 {
			t.Error("writ recover works while the server has the data directory")
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	out := suite.runner.Command(t.Context(), Options{Env: env}, "recover", "--output", "json")
	if out.Code != 0 {
		t.Fatalf("writ recover: exit code %d: %s", out.Code, out.Stderr)
	}
	i := strings.Index(out.Stdout, "writ_cs_")
	if i < 0 {
		t.Fatalf("writ recover prints no secret: %s", out.Stdout)
	}
	secret := canary(strings.FieldsFunc(out.Stdout[i:], func(r rune) bool { return strings.ContainsRune("\" \n,}", r) })[0])
	if s.shares.db == nil {
		s = fresh(t, Options{From: s})
	}
	c := story(t, s)
	c.eventually(bindsWithin, func() { c.ask(app{ID: "root", Secret: secret}, "grant_type", "client_credentials").wantStatus(200) })
	c.ask(app{ID: "root", Secret: s.Secret}, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
}

// TestPolicyCommands checks a policy author's directory as the server would.
func TestPolicyCommands(t *testing.T) {
	binaryOnly(t)
	tested := document("read")
	tested["apps/e2edoc/policy_test.rego"] += "\ntest_reading_is_permitted if count(e2edoc.permit) == 1 with input as {\"action\": {\"name\": \"read\"}}\n"
	good := policyDir(t, tested)
	broken, failing := document("read"), document("read")
	broken["apps/e2edoc/policy.rego"] = "package apps.e2edoc\n\npermit contains \"x\" if {\n"
	failing["apps/e2edoc/policy_test.rego"] += "\ntest_wrong if count(e2edoc.permit) == 1 with input as nothing\n"
	for name, row := range map[string]struct {
		args []string
		code int
	}{
		"a good set checks":     {[]string{"policy", "check", good}, 0},
		"a rule half tested":    {[]string{"policy", "check", policyDir(t, document("read"))}, 1},
		"a broken set does not": {[]string{"policy", "check", policyDir(t, broken)}, 3},
		"a failing test":        {[]string{"policy", "test", policyDir(t, failing)}, 4},
		"a set that is not":     {[]string{"policy", "check", good + "/none"}, 1},
		"the embedded set":      {[]string{"policy", "check"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			out := suite.runner.Command(t.Context(), Options{}, row.args...)
			if out.Code != row.code && !(row.code == 1 && out.Code > 0) {
				t.Errorf("writ %s: exit code %d, want %d\n%s%s", strings.Join(row.args, " "), out.Code, row.code,
					out.Stdout, out.Stderr)
			}
		})
	}
}
