package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// outsider is an authorization server of somebody else: it publishes metadata and one key, and signs access tokens.
type outsider struct {
	t    *testing.T
	name string

	mu    sync.Mutex
	kid   string
	key   *ecdsa.PrivateKey
	down  bool
	asked map[string]int
}

func newOutsider(t *testing.T) *outsider {
	t.Helper()
	o := &outsider{t: t, asked: map[string]int{}}
	o.rotate("first")
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.name = server.URL
	return o
}

func (o *outsider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked[r.URL.Path]++
	if o.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(object{"issuer": o.name, "jwks_uri": o.name + "/keys", "token_endpoint": o.name + "/token"})
	case "/keys":
		point, err := o.key.PublicKey.Bytes() // uncompressed: 4, x, y
		if err != nil {
			o.t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(object{"keys": list{object{
			"kty": "EC", "crv": "P-256", "use": "sig", "kid": o.kid, "x": encode(point[1:33]), "y": encode(point[33:]),
		}}})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// rotate replaces the key.
func (o *outsider) rotate(kid string) {
	o.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kid, o.key = kid, key
}

func (o *outsider) fail(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

func (o *outsider) keysAsked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked["/keys"]
}

// token signs claims that are good for both APIs, with some replaced.
func (o *outsider) token(set object) string {
	o.t.Helper()
	now := time.Now()
	claims := object{
		"iss": o.name, "aud": list{"writ.runtime", "writ.management"}, "client_id": "portal", "jti": unique("jti"),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, set)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sign(object{"alg": "ES256", "typ": "at+jwt", "kid": o.kid}, claims)
}

func (o *outsider) sign(header, claims object) string {
	o.t.Helper()
	var parts [2]string
	for n, part := range []object{header, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			o.t.Fatal(err)
		}
		parts[n] = encode(raw)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s, err := ecdsa.Sign(rand.Reader, o.key, sum[:])
	if err != nil {
		o.t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return canary(parts[0] + "." + parts[1] + "." + encode(signature))
}

// trusting is the configuration of a server that takes the issuer's tokens.
func (o *outsider) trusting() string {
	return fmt.Sprintf("external_issuers:\n  - issuer: %s\n    runtime_audience: writ.runtime\n    management_audience: writ.management\n", o.name)
}

func issuersOnLoopback(t *testing.T) {
	t.Helper()
	leftOut(t, suite.runner.Name() != "process", "the issuer listens on this machine's loopback, which containers do not reach: "+
		"E2E_RUNNER=process runs it")
}

func TestSeedP05UserTokensOfAnExternalIssuer(t *testing.T) {
	issuersOnLoopback(t)
	o := newOutsider(t)
	dir := policyDir(t, map[string]string{"settings/data.yaml": "delete_requires_inactive: false\n"})
	s := fresh(t, Options{Config: o.trusting(), Args: []string{"--policies", dir}})
	c := story(t, s).root()
	plain := c.newUser(object{"grants": grants("iam/groups:read", "ledger:read")})
	admin := c.newUser(object{"roles": list{"system:owner"}})
	another := c.newUser(object{"roles": list{"system:owner"}})
	machine := c.newApp(object{"grants": grants("iam/groups:read")})
	as := func(sub string) string { return bearer(o.token(object{"sub": sub})) }

	c.step("a user who is no administrator")
	c.as(as(plain.ID)).get("/v1/groups").wantDenied("not_administrator")
	c.get("/v1/me").wantStatus(200).want("/user/id", plain.ID).want("/client_id", "portal")
	c.decides(question("user", plain.ID, "read", "ledger", "1"), true)

	c.step("administrators, by role and by id")
	c.as(as(admin.ID)).get("/v1/groups").wantStatus(200)
	c.as(as(another.Username)).get("/v1/me").wantStatus(200).want("/id", another.ID)
	write(t, filepath.Join(dir, "settings", "data.yaml"), "administrators:\n  ids:\n    "+plain.ID+": true\n")
	c.as(as(plain.ID)).eventually(swapWithin, func() { c.get("/v1/groups").wantStatus(200) })
	c.get("/v1/users").wantDenied("not_granted")

	c.step("an application, without a user behind it")
	c.as(bearer(o.token(object{"client_id": machine.ID}))).get("/v1/groups").wantStatus(200)
	c.get("/v1/me").wantStatus(200).want("/type", "application").want("/id", machine.ID)
	c.as(bearer(o.token(object{"client_id": "root"}))).get("/v1/groups").wantRefused(401, "not_usable")

	c.step("nobody that is known here")
	c.as(as("auth0|5f7c")).get("/v1/groups").wantRefused(401, "not_usable")
	c.get("/v1/me").wantRefused(401, "not_usable")

	c.step("within the scopes of the token")
	c.as(bearer(o.token(object{"sub": admin.ID, "scope": "openid iam/groups:read"}))).get("/v1/groups").wantStatus(200)
	c.get("/v1/users").wantStatus(403)
	c.as(bearer(o.token(object{"sub": admin.ID, "scope": "openid profile"}))).get("/v1/groups").wantStatus(403)

	c.step("no secret is shown for it, whatever it may do")
	c.as(as(admin.ID)).post("/v1/applications/"+machine.ID+"/secrets/"+machine.SecretID+"/reveal", object{"reason": "test"}).wantStatus(403)

	c.step("the rules about oneself hold")
	c.as(as(admin.ID)).patch("/v1/users/"+admin.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantDenied("self_lockout")
	c.delete("/v1/me/sessions").wantStatus(204)

	c.step("suspended and removed: refused at once")
	c.root().patch("/v1/users/"+admin.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.as(as(admin.ID)).get("/v1/groups").wantRefused(401, "not_usable")
	c.root().patch("/v1/applications/"+machine.ID, object{"is_active": false}).wantStatus(200)
	c.as(bearer(o.token(object{"client_id": machine.ID}))).get("/v1/groups").wantRefused(401, "not_usable")
	c.root().delete("/v1/users/" + plain.ID).wantStatus(204)
	c.as(as(plain.ID)).get("/v1/groups").wantRefused(401, "not_usable")
}

func TestSeedP06AudiencesOfAnExternalIssuer(t *testing.T) {
	issuersOnLoopback(t)
	o := newOutsider(t)
	s := fresh(t, Options{Config: o.trusting()})
	c := story(t, s).root()
	machine := c.newApp(object{"grants": grants("iam/groups:read", "decisions:ask")})
	ask := question("application", machine.ID, "read", "iam/groups", "1")
	with := func(audiences ...any) string {
		return bearer(o.token(object{"client_id": machine.ID, "aud": list(audiences)}))
	}

	c.as(with("writ.runtime", "writ.management")).get("/v1/groups").wantStatus(200)
	c.decides(ask, true)
	c.as(with("writ.management")).get("/v1/groups").wantStatus(200)
	c.post("/access/v1/evaluation", ask).wantUnauthorized()
	c.as(with("writ.runtime")).get("/v1/groups").wantRefused(401, "wrong_audience")
	c.decides(ask, true)
	c.get("/v1/me").wantStatus(200)
	for _, audience := range []string{"portal", s.Public + "/management", ""} {
		c.as(with(audience)).get("/v1/groups").wantUnauthorized()
		c.post("/access/v1/evaluation", ask).wantUnauthorized()
	}

	c.step("a service asks about a token that it received")
	c.as(with("writ.runtime")).decides(object{
		"subject":  object{"type": "token", "id": o.token(object{"client_id": machine.ID, "scope": "iam/groups:read"})},
		"action":   object{"name": "read"},
		"resource": object{"type": "iam/groups", "id": "1"},
	}, true)
}

func TestSeedP07ExternalIssuer(t *testing.T) {
	issuersOnLoopback(t)
	o := newOutsider(t)
	s := fresh(t, Options{Config: o.trusting()})
	c := story(t, s).root()
	machine := c.newApp(object{"grants": grants("iam/groups:read")})
	with := func(set object) string { return bearer(o.token(merge(object{"client_id": machine.ID}, set))) }
	c.as(with(nil)).get("/v1/groups").wantStatus(200)

	c.step("any mismatch is 401")
	for name, set := range map[string]object{
		"another issuer": {"iss": "https://idp.example.com"}, "iss with a slash": {"iss": o.name + "/"}, "another audience": {"aud": "x"},
		"expired": {"exp": time.Now().Add(-time.Second).Unix()}, "from the future": {"iat": time.Now().Add(time.Minute).Unix()},
		"an ID token": {"nonce": "n"},
	} {
		c.as(with(set)).get("/v1/groups").wantUnauthorized()
		if c.err != nil {
			t.Fatal(name)
		}
	}
	c.as(bearer(other(t, o).token(object{"iss": o.name, "client_id": machine.ID}))).get("/v1/groups").wantUnauthorized()

	c.step("an unknown key is looked for once")
	asked := o.keysAsked()
	o.rotate("second")
	second := with(nil)
	c.as(second).get("/v1/groups").wantStatus(200)
	for n := range 5 {
		o.rotate(fmt.Sprint("attack", n))
		c.as(with(nil)).get("/v1/groups").wantProblem(503, "").wantNaming("unavailable") // they are published, but not fetched again yet
	}
	if got := o.keysAsked(); got != asked+1 {
		t.Errorf("the keys were asked for %d times more", got-asked)
	}

	c.step("the issuer is down: cached keys")
	o.fail(true)
	c.as(second).get("/v1/groups").wantStatus(200)
	c.as("").get("/readyz?verbose").wantStatus(200).wantNaming("external_issuers")

	c.step("a server that starts meanwhile: 503, and never open")
	c = story(t, fresh(t, Options{Config: o.trusting()})).root()
	c.newApp(object{"grants": grants("iam/groups:read")})
	c.get("/v1/groups").wantStatus(200)
	for range 2 {
		c.as(second).get("/v1/groups").wantProblem(503, "").wantNaming("unavailable")
		if c.header("Retry-After") == "" {
			c.fail("no Retry-After")
		}
		c.post("/access/v1/evaluation", question("application", machine.ID, "read", "iam/groups", "1")).wantStatus(503)
	}
	c.as(bearer(o.token(object{"aud": "x"}))).get("/v1/groups").wantUnauthorized()
	c.as("").get("/readyz").wantStatus(200).wantNaming("degraded").wantNaming(o.name)
	c.get("/metrics").wantStatus(200).wantNaming("writ_fetch_failures_total 1")
	if !strings.Contains(c.s.text(c.s.stderr()), "external issuer cannot be asked") {
		t.Error("the log does not say that the issuer is down")
	}
}

// other is an attacker's issuer with a key of the same id.
func other(t *testing.T, o *outsider) *outsider {
	t.Helper()
	a := newOutsider(t)
	a.rotate(o.kid)
	return a
}

// TestTheExternalIssuersOfTheGuide holds the operations guide's example to what a server would start with.
func TestTheExternalIssuersOfTheGuide(t *testing.T) {
	binaryOnly(t)
	text, _ := guide(t, "docs/operations.md")
	found := regexp.MustCompile("(?s)```yaml\n(external_issuers:.*?)```").FindStringSubmatch(text)
	if found == nil {
		t.Fatal("the guide has no example")
	}
	out := suite.runner.Command(t.Context(), Options{Config: found[1]}, "config", "validate")
	if out.Code != 0 || out.Stderr != "" {
		t.Errorf("exit code %d: %s", out.Code, out.Stderr)
	}
}

func TestSeedP08ExternalIssuersThatWillNotDo(t *testing.T) {
	binaryOnly(t)
	o := newOutsider(t)
	entry := func(issuer string) string {
		return `[{"issuer":"` + issuer + `","runtime_audience":"r","management_audience":"m"}]`
	}
	for name, row := range map[string]struct {
		env    string
		config string
		naming []string
	}{
		"plain http":        {env: entry("http://example.com"), naming: []string{"external_issuers", "http://example.com", "https"}},
		"no discovery":      {env: entry(o.name + "/nothing"), naming: []string{"external_issuers", o.name + "/nothing", "metadata"}},
		"another's name":    {env: entry(o.name + "/"), naming: []string{"external_issuers", "another issuer"}},
		"no audience":       {env: `[{"issuer":"` + o.name + `","runtime_audience":"r"}]`, naming: []string{"management_audience"}},
		"an empty audience": {env: `[{"issuer":"` + o.name + `","runtime_audience":"","management_audience":"m"}]`, naming: []string{"runtime_audience"}},
		"a wrong key":       {env: `[{"isuer":"x"}]`, naming: []string{"isuer", "issuer"}},
		"no list":           {env: o.name, naming: []string{"external_issuers", "runtime_audience"}},
		"twice":             {config: o.trusting() + strings.SplitN(o.trusting(), "\n", 2)[1], naming: []string{"twice"}},
		"a mapping":         {config: "external_issuers:\n  issuer: x\n", naming: []string{"external_issuers_issuer"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := map[string]string{}
			if row.env != "" {
				set["WRIT_EXTERNAL_ISSUERS"] = row.env
			}
			out := suite.runner.Command(t.Context(), Options{Env: startEnv(t, set), Config: row.config}, "serve")
			wantStartError(t, out, 0, row.naming...)
		})
	}
}
