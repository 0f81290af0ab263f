package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// builtDialects are those that this version serves.
func builtDialects() []string {
	return []string{"hantera", "lerian", "miniorange", "policyserver", "rustici"}
}

// dialectSettings switches dialects on.
func dialectSettings(names ...string) map[string]string {
	set := map[string]string{}
	for _, name := range names {
		set["WRIT_DIALECTS_"+strings.ToUpper(name)+"_ENABLED"] = "true"
	}
	return set
}

// spoken returns the server on which every dialect is on. All tests of dialects share it.
func spoken(t *testing.T) *Server {
	t.Helper()
	suite.mu.Lock()
	defer suite.mu.Unlock()
	if suite.spoken == nil {
		s, err := suite.runner.Start(t.Context(), Options{Env: dialectSettings(builtDialects()...)})
		if err != nil {
			t.Fatalf("start a server: %v", err)
		}
		suite.spoken = s
	}
	return suite.spoken
}

// part is one part of a JWT, undone.
func (c *scenario) part(token string, n int) object {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		c.fail("the token is no JWT")
		return nil
	}
	raw, err := b64.DecodeString(parts[n])
	var read object
	if err == nil {
		err = json.Unmarshal(raw, &read)
	}
	if err != nil {
		c.fail("the token is no JWT: %v", err)
	}
	return read
}

func (c *scenario) jose(token string) object   { return c.part(token, 0) }
func (c *scenario) claims(token string) object { return c.part(token, 1) }

// TestADialectIsOffUnlessItIsOn asks for routes of each dialect where none is on.
func TestADialectIsOffUnlessItIsOn(t *testing.T) {
	c := story(t, shared(t))
	for _, path := range []string{"/lerian/health", "/lerian/v1/groups", "/rustici/", "/hantera/x", "/policyserver/x", "/miniorange/x"} {
		for _, on := range []func() *scenario{c.onPublic, c.onAdmin} {
			on().get(path).wantProblem(http.StatusNotFound, "")
		}
	}
	c.root().get("/v1/applications/dialect-lerian").wantStatus(http.StatusNotFound)
}

// TestADialectHasAnAddressOfItsOwn serves the two planes of one on two addresses, and nowhere else.
func TestADialectHasAnAddressOfItsOwn(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "a container publishes the two addresses of Writ alone: E2E_RUNNER=process runs it")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	set := dialectSettings("lerian")
	set["WRIT_DIALECTS_LERIAN_LISTEN"], set["WRIT_DIALECTS_LERIAN_ADMIN_LISTEN"] = public, admin
	s := fresh(t, Options{Env: set})
	c := story(t, s)
	c.host = "http://" + public
	c.get("/health").wantStatus(http.StatusOK)
	if string(c.last.body) != "healthy" {
		c.fail("the body is %q", c.last.body)
	}
	for host, path := range map[string]string{
		s.Public: "/lerian/health", "http://" + admin: "/health", "http://" + public + "/lerian": "/health", s.Admin: "/lerian/v1/groups",
	} {
		c.host = host
		c.get(path).wantStatus(http.StatusNotFound)
	}
	c.host = "http://" + public
	c.form("/oauth2/token", fields("grant_type", "client_credentials")).wantStatus(http.StatusNotFound)
}

// TestSettingsOfDialectsThatCannotBe are fatal before anything listens.
func TestSettingsOfDialectsThatCannotBe(t *testing.T) {
	binaryOnly(t)
	for name, c := range map[string]struct {
		set  map[string]string
		says string
	}{
		"an own path of Writ's": {map[string]string{"PATH": "/v1/lerian"}, "Writ does not use itself"},
		"the root":              {map[string]string{"PATH": "/"}, "is not a path"},
		"no slash":              {map[string]string{"PATH": "lerian"}, "is not a path"},
		"a port alone":          {map[string]string{"LISTEN": "4000"}, "is not host:port"},
		"one address for both":  {map[string]string{"LISTEN": "127.0.0.1:4000", "ADMIN_LISTEN": "127.0.0.1:4000"}, "an address of its own"},
		"the address of Writ":   {map[string]string{"LISTEN": "127.0.0.1:8081"}, "is the address of admin_listen"},
		"off loopback":          {map[string]string{"LISTEN": "0.0.0.0:4000"}, "has no TLS"},
	} {
		set := dialectSettings("lerian")
		for key, value := range c.set {
			set["WRIT_DIALECTS_LERIAN_"+key] = value
		}
		out := suite.runner.Command(t.Context(), Options{Env: set}, "config", "validate")
		if out.Code != 1 || !strings.Contains(out.Stdout+out.Stderr, c.says) {
			t.Errorf("%s: %d %s%s", name, out.Code, out.Stdout, out.Stderr)
		}
	}
}

// TestNobodySetsTheDialectOfAQuestion asks with a context that claims one; the rules see the server's.
func TestNobodySetsTheDialectOfAQuestion(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	q := question("application", "root", "read", "ledger", "1")
	q["context"] = object{"dialect": "rustici", "note": "kept"}
	c.post("/access/v1/evaluation", q).wantStatus(http.StatusOK)
	id := c.header("Decision-Id")
	c.eventually(stopWithin, func() {
		lines, err := s.decisionLog()
		if err != nil {
			c.fail("%v", err)
			return
		}
		for _, line := range lines {
			if line.ParentID == id {
				if text := string(line.Input); !strings.Contains(text, `"dialect":""`) || !strings.Contains(text, `"note":"kept"`) || strings.Contains(text, "rustici") {
					c.t.Fatalf("the input is %s", text)
				}
				return
			}
		}
		c.fail("no line has the parent %s", id)
	})
}
