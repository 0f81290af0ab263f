package oauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// idp is another authorization server: metadata and keys, and what it signs.
type idp struct {
	tb         testing.TB
	server     *httptest.Server
	name       string
	described  atomic.Int64 // requests for its metadata
	published  atomic.Int64 // requests for its keys
	down       atomic.Bool
	metadata   atomic.Pointer[string]
	atPath     atomic.Pointer[string] // of the metadata
	keys       atomic.Pointer[jose.JSONWebKeySet]
	privates   map[string]crypto.Signer
	algorithms map[string]jose.SignatureAlgorithm
}

func newIDP(tb testing.TB) *idp {
	tb.Helper()
	p := &idp{tb: tb, privates: map[string]crypto.Signer{}, algorithms: map[string]jose.SignatureAlgorithm{}}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	tb.Cleanup(p.server.Close)
	p.name = p.server.URL
	p.describe("/.well-known/openid-configuration", `{"issuer":"`+p.name+`","jwks_uri":"`+p.name+`/keys"}`)
	p.keys.Store(&jose.JSONWebKeySet{})
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	p.publish("es", jose.ES256, elliptical)
	return p
}

func (p *idp) describe(path, metadata string) {
	p.atPath.Store(&path)
	p.metadata.Store(&metadata)
}

func (p *idp) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.down.Load():
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Path == *p.atPath.Load():
		p.described.Add(1)
		_, _ = w.Write([]byte(*p.metadata.Load()))
	case r.URL.Path == "/keys":
		p.published.Add(1)
		_ = json.NewEncoder(w).Encode(p.keys.Load())
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// publish adds a key to its set.
func (p *idp) publish(kid string, algorithm jose.SignatureAlgorithm, private crypto.Signer) {
	next := &jose.JSONWebKeySet{Keys: slices.Clone(p.keys.Load().Keys)}
	next.Keys = append(next.Keys, jose.JSONWebKey{Key: private.Public(), KeyID: kid, Use: "sig"})
	p.keys.Store(next)
	p.privates[kid], p.algorithms[kid] = private, algorithm
}

// claims are those of a token that is good for both APIs, with some replaced; nil removes one.
func (p *idp) claims(w *world, set map[string]any) map[string]any {
	c := map[string]any{
		"iss": p.name, "aud": []string{"writ.runtime", "writ.management"}, "sub": ada, "client_id": "spa",
		"iat": w.now().Unix(), "exp": w.now().Add(time.Hour).Unix(), "jti": "1",
	}
	maps.Copy(c, set)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

// sign makes a token with one of its keys.
func (p *idp) sign(kid string, claims any, header map[string]any) string {
	all := map[string]any{"kid": kid, "typ": "at+jwt"}
	maps.Copy(all, header)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return forge(p.tb, p.algorithms[kid], p.privates[kid], claims, all)
}

func (p *idp) token(w *world, set map[string]any) string {
	return p.sign("es", p.claims(w, set), nil)
}

func (p *idp) trusted() change {
	return func(_ *enforce.Config, c *oauth.Config) {
		c.ExternalIssuers = append(c.ExternalIssuers, oauth.ExternalIssuer{
			Issuer: p.name, RuntimeAudience: "writ.runtime", ManagementAudience: "writ.management",
		})
	}
}

// status is what an API answers to a token before anything is decided: 0 for a caller.
func (w *world) status(token string) (int, *enforce.Caller) {
	w.tb.Helper()
	request := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
	request.Header.Set("Authorization", bearer(token))
	caller, err := w.server.Authenticator(true).Authenticate(context.Background(), request)
	var unknown *enforce.AuthenticationError
	switch {
	case err == nil:
		return 0, caller
	case errors.As(err, &unknown):
		if unknown.Code != "invalid_token" {
			w.tb.Fatalf("the code is %q", unknown.Code)
		}
		return http.StatusUnauthorized, nil
	case errors.Is(err, storage.ErrUnavailable):
		return http.StatusServiceUnavailable, nil
	default:
		w.tb.Fatal(err)
		return 0, nil
	}
}

func TestP07AnExternalTokenIsTakenForTheIdentityThatWritKnows(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", []string{"ledger:read", "acme ledger:write"}, func(i *policies.Identity) { i.Tenant = "acme" })
	w.application("billing", []string{"ledger:read"})
	w.application("root", []string{"* *:*"}, func(a *storage.Application) { a.Protected = true })
	w.directory.users["ADA"] = w.directory.users[ada]
	w.directory.users["ada"] = w.directory.users[ada]
	for name, tc := range map[string]struct {
		set      map[string]any
		kind, id string
		exists   bool
		person   bool
	}{
		"a user by id":             {nil, "user", ada, true, true},
		"a user by username":       {map[string]any{"sub": "ada"}, "user", ada, true, true},
		"by another's case":        {map[string]any{"sub": "ADA"}, "user", "ADA", false, true},
		"nobody":                   {map[string]any{"sub": "auth0|5f7c"}, "user", "auth0|5f7c", false, true},
		"an application":           {map[string]any{"sub": nil, "client_id": "billing"}, "application", "billing", true, false},
		"by azp":                   {map[string]any{"sub": nil, "client_id": nil, "azp": "billing"}, "application", "billing", true, false},
		"by both":                  {map[string]any{"sub": nil, "client_id": "billing", "azp": "billing"}, "application", "billing", true, false},
		"an unknown application":   {map[string]any{"sub": nil}, "application", "spa", false, false},
		"sub is a client's":        {map[string]any{"sub": "billing", "client_id": "billing"}, "user", "billing", false, true},
		"a protected application":  {map[string]any{"sub": nil, "client_id": "root"}, "application", "root", false, false},
		"a user without a client":  {map[string]any{"client_id": nil}, "user", ada, true, true},
		"the tenant claim is idle": {map[string]any{"tenant": "globex"}, "user", ada, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			status, caller := w.status(p.token(w, tc.set))
			if status != 0 {
				t.Fatal(status)
			}
			if caller.Type != tc.kind || caller.ID != tc.id || caller.Facts.Identity().Exists != tc.exists || caller.UserToken != tc.person {
				t.Errorf("%+v, exists %t", caller, caller.Facts.Identity().Exists)
			}
			if !caller.External || caller.Scoped || caller.SecretID != "" || caller.SID != "" || !caller.AuthTime.IsZero() || caller.Basic ||
				caller.Tenant != caller.Facts.Identity().Tenant || !caller.ExpiresAt.Equal(w.now().Add(time.Hour)) ||
				caller.Address != netip.MustParseAddr("192.0.2.1") || caller.AddressFact != policies.AddressAllowed {
				t.Errorf("%+v", caller)
			}
		})
	}
	if p.described.Load() != 1 || p.published.Load() != 1 {
		t.Errorf("%d and %d requests", p.described.Load(), p.published.Load())
	}
	// Each token is its own, whatever it says in jti.
	_, one := w.status(p.token(w, map[string]any{"scope": "ledger:read"}))
	_, other := w.status(p.token(w, map[string]any{"scope": "ledger:write"}))
	if one.JTI == other.JTI {
		t.Error("two tokens count as one")
	}
}

func TestP07AnyMismatchIs401(t *testing.T) {
	p := newIDP(t)
	other := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", []string{"ledger:read"})
	now := w.now()
	for name, set := range map[string]map[string]any{
		"another issuer":               {"iss": other.name},
		"iss with a slash":             {"iss": p.name + "/"},
		"iss in capitals":              {"iss": strings.ToUpper(p.name)},
		"no iss":                       {"iss": nil},
		"our own iss":                  {"iss": issuer},
		"another audience":             {"aud": "writ"},
		"an audience's prefix":         {"aud": []string{"writ.runtime.x", "writ.run"}},
		"our own audience":             {"aud": []string{issuer + "/management"}},
		"no audience":                  {"aud": nil},
		"an empty audience":            {"aud": ""},
		"an empty list":                {"aud": []string{}},
		"an audience that is no text":  {"aud": 7},
		"an audience in an object":     {"aud": map[string]any{"writ.runtime": true}},
		"expired":                      {"exp": now.Unix()},
		"no exp":                       {"exp": nil},
		"exp as text":                  {"exp": "9999999999"},
		"exp in milliseconds":          {"exp": now.UnixMilli() * 1000},
		"exp without end":              {"exp": json.RawMessage("1e300")},
		"not yet":                      {"nbf": now.Add(6 * time.Second).Unix()},
		"from the future":              {"iat": now.Add(6 * time.Second).Unix()},
		"iat as text":                  {"iat": "1"},
		"an ID token":                  {"nonce": "n"},
		"an ID token with a hash":      {"at_hash": "x"},
		"an ID token with a code":      {"c_hash": "x"},
		"a logout token":               {"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
		"bound to a key":               {"cnf": map[string]any{"jkt": "x"}},
		"an empty sub":                 {"sub": ""},
		"a sub that is no text":        {"sub": 7},
		"a long sub":                   {"sub": strings.Repeat("a", 256)},
		"a sub with a NUL":             {"sub": "ada\x00"},
		"neither sub nor client":       {"sub": nil, "client_id": nil},
		"two clients":                  {"azp": "another"},
		"an empty client":              {"client_id": ""},
		"a scope that is no text":      {"scope": 7},
		"a scope that is a list":       {"scope": []string{"ledger:read"}},
		"a scp that is an object":      {"scp": map[string]any{}},
		"a client that is in a list":   {"client_id": []string{"spa"}},
		"an issuer that is in a list":  {"iss": []string{p.name}},
		"a sub that is in a list":      {"sub": []string{ada}},
		"an azp that is a number only": {"azp": 7},
	} {
		t.Run(name, func(t *testing.T) {
			if status, caller := w.status(p.token(w, set)); status != http.StatusUnauthorized {
				t.Fatalf("%d %+v", status, caller)
			}
		})
	}
	// Those that must pass, so that the above fail for the reason they name.
	for name, set := range map[string]map[string]any{
		"one audience as text":    {"aud": "writ.runtime"},
		"among others":            {"aud": []string{"x", "writ.management"}},
		"fractions":               {"exp": float64(now.Unix()) + 0.5, "iat": float64(now.Unix()) - 0.25},
		"clocks apart":            {"iat": now.Add(5 * time.Second).Unix(), "nbf": now.Add(5 * time.Second).Unix()},
		"neither iat nor nbf":     {"iat": nil},
		"a name of another case":  {"Nonce": "n", "AUD": "x"},
		"a null":                  {"nonce": json.RawMessage("null")},
		"claims that mean naught": {"roles": []string{"system:owner"}, "writ": map[string]any{"g": 9}, "groups": 7},
	} {
		if status, _ := w.status(p.token(w, set)); status != 0 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if other.described.Load()+other.published.Load() != 0 {
		t.Error("an issuer that is not trusted was asked")
	}
}

func TestP07TwoClaimsOfOneNameAre401(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	payload, err := json.Marshal(p.claims(w, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, twice := range []string{`"sub":"x"`, `"aud":"writ.runtime"`, `"exp":1`} {
		raw := json.RawMessage(strings.Replace(string(payload), "{", "{"+twice+",", 1))
		if status, _ := w.status(rawToken(t, p, raw)); status != http.StatusUnauthorized {
			t.Errorf("%s twice: %d", twice, status)
		}
	}
	if status, _ := w.status(rawToken(t, p, payload)); status != 0 {
		t.Errorf("once: %d", status)
	}
}

// rawToken signs bytes as they are.
func rawToken(tb testing.TB, p *idp, payload []byte) string {
	tb.Helper()
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: p.privates["es"]}, (&jose.SignerOptions{}).WithHeader("kid", "es"),
	)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func TestSJ03KeysThatATokenNamesAreNotTrusted(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	attacker := newIDP(t) // with a key of the same id, its certificate and its URL
	attacker.privates["es"] = mustKey(t)
	own := jose.JSONWebKey{Key: attacker.privates["es"].Public(), KeyID: "es", Use: "sig"}
	attacker.keys.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{own}})
	for name, header := range map[string]map[string]any{
		"nothing":    {},
		"jku":        {"jku": attacker.name + "/keys"},
		"x5u":        {"x5u": attacker.name + "/keys"},
		"jwk":        {"jwk": own},
		"kid a URL":  {"kid": attacker.name + "/keys"},
		"all of it":  {"jku": attacker.name + "/keys", "x5u": attacker.name + "/keys", "jwk": own, "kid": nil},
		"crit a jku": {"jku": attacker.name + "/keys", "crit": []string{"jku"}},
	} {
		if status, _ := w.status(attacker.sign("es", p.claims(w, nil), header)); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	// The issuer's own signature with such headers is good: they are not looked at.
	if status, _ := w.status(p.sign("es", p.claims(w, nil), map[string]any{"jku": attacker.name + "/keys"})); status != 0 {
		t.Errorf("with a jku, by the issuer: %d", status)
	}
	if attacker.described.Load()+attacker.published.Load() != 0 {
		t.Error("the token made the server ask")
	}
}

// Two issuers that are both trusted, with a key id, a subject and an audience in common.
func TestSO07TwoIssuersAreNotConfused(t *testing.T) {
	one, other := newIDP(t), newIDP(t)
	w := newWorld(t, one.trusted(), func(_ *enforce.Config, c *oauth.Config) {
		c.ExternalIssuers = append(c.ExternalIssuers, oauth.ExternalIssuer{
			Issuer: other.name, RuntimeAudience: "writ.management", ManagementAudience: "writ.runtime",
		})
	})
	w.user(ada, "ada", nil)
	for range 2 { // the second time with everything fetched
		for name, tc := range map[string]struct {
			token string
			want  []string // audiences; nil: 401
		}{
			"one's":               {one.token(w, map[string]any{"aud": "writ.runtime"}), []string{issuer + "/runtime", "writ.runtime"}},
			"the other's":         {other.token(w, map[string]any{"aud": "writ.runtime"}), []string{issuer + "/management", "writ.runtime"}},
			"one's by the other":  {other.sign("es", one.claims(w, nil), nil), nil},
			"the other's by one":  {one.sign("es", other.claims(w, nil), nil), nil},
			"names run together":  {one.token(w, map[string]any{"iss": one.name + other.name}), nil},
			"both names, by one":  {one.token(w, map[string]any{"iss": []string{one.name, other.name}}), nil},
			"our own, by another": {one.token(w, map[string]any{"iss": issuer, "aud": []string{issuer + "/management"}}), nil},
		} {
			status, caller := w.status(tc.token)
			switch {
			case tc.want == nil && status != http.StatusUnauthorized:
				t.Errorf("%s: %d", name, status)
			case tc.want != nil && (status != 0 || !slices.Equal(caller.Audiences, tc.want)):
				t.Errorf("%s: %d %+v", name, status, caller)
			}
		}
	}
}

func mustKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func TestP07HeadersOfExternalTokens(t *testing.T) {
	p := newIDP(t)
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.publish("rs", jose.RS256, strong)
	p.publish("ps", jose.PS256, strong)
	p.publish("rs512", jose.RS512, strong)
	p.publish("ed", jose.EdDSA, edwards)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	for name, tc := range map[string]struct {
		kid    string
		header map[string]any
		want   int
	}{
		"ES256":                  {"es", nil, 0},
		"RS256":                  {"rs", nil, 0},
		"PS256":                  {"ps", nil, 0},
		"EdDSA":                  {"ed", nil, 0},
		"RS512":                  {"rs512", nil, 401},
		"no typ":                 {"es", map[string]any{"typ": nil}, 0},
		"typ JWT":                {"es", map[string]any{"typ": "JWT"}, 0},
		"typ in full":            {"es", map[string]any{"typ": "application/AT+JWT"}, 0},
		"a logout token":         {"es", map[string]any{"typ": "logout+jwt"}, 401},
		"a proof":                {"es", map[string]any{"typ": "dpop+jwt"}, 401},
		"an introspection":       {"es", map[string]any{"typ": "token-introspection+jwt"}, 401},
		"a typ that is no text":  {"es", map[string]any{"typ": 7}, 401},
		"crit":                   {"es", map[string]any{"crit": []string{"x"}, "x": 1}, 401},
		"b64":                    {"es", map[string]any{"b64": true}, 401},
		"one key without kid":    {"ed", map[string]any{"kid": nil}, 0},
		"several without kid":    {"rs", map[string]any{"kid": nil}, 401},
		"another key's kid":      {"es", map[string]any{"kid": "rs"}, 401},
		"SJ04 a path":            {"es", map[string]any{"kid": "../../es"}, 401},
		"SJ04 a query":           {"es", map[string]any{"kid": map[string]any{"$ne": nil}}, 401},
		"SJ04 a list":            {"es", map[string]any{"kid": []string{"es"}}, 401},
		"SJ04 ten kilobytes":     {"es", map[string]any{"kid": strings.Repeat("k", 10<<10)}, 401},
		"SJ04 more than a token": {"es", map[string]any{"kid": strings.Repeat("k", 20<<10)}, 401},
		"SJ04 a NUL":             {"es", map[string]any{"kid": "es\x00"}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "SJ04 a path" || name == "SJ04 a NUL" {
				w.advance(time.Minute) // an unknown id is looked for once a minute
			}
			status, _ := w.status(p.sign(tc.kid, p.claims(w, nil), tc.header))
			if status != tc.want {
				t.Fatalf("%d, not %d", status, tc.want)
			}
		})
	}
	if got := p.published.Load(); got != 3 {
		t.Errorf("the keys were fetched %d times: at first, and once for each unknown id", got)
	}
}

// A signature that is made with the public key as a shared secret, or by nobody.
func TestP07ForgedSignatures(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	good := p.token(w, nil)
	parts := strings.Split(good, ".")
	public, err := p.keys.Load().Keys[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(parts[2])
	flipped[0] ^= 1
	header := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, token := range map[string]string{
		"HS256 with the public key": forge(t, jose.HS256, public, p.claims(w, nil), map[string]any{"kid": "es"}),
		"none":                      header(`{"alg":"none","kid":"es"}`) + "." + parts[1] + ".",
		"none, with a signature":    header(`{"alg":"none","kid":"es"}`) + "." + parts[1] + "." + parts[2],
		"two algorithms":            header(`{"alg":"ES256","alg":"none","kid":"es"}`) + "." + parts[1] + "." + parts[2],
		"no signature":              parts[0] + "." + parts[1] + ".",
		"another payload":           parts[0] + "." + strings.Split(p.token(w, map[string]any{"sub": "x"}), ".")[1] + "." + parts[2],
		"a flipped bit":             parts[0] + "." + parts[1] + "." + string(flipped),
		"padding":                   good + "==",
		"a line break":              parts[0] + "." + parts[1] + "\n." + parts[2],
		"four parts":                good + ".e30",
		"two parts":                 parts[0] + "." + parts[1],
		"five parts":                good + ".e30.e30",
		"JSON":                      `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"too long":                  good + strings.Repeat("A", 16<<10),
	} {
		if status, _ := w.status(token); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _ := w.status(good); status != 0 {
		t.Errorf("the one that is good: %d", status)
	}
}

func TestP07AudiencesStandForOurs(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	for aud, want := range map[string][]string{
		"writ.runtime":    {issuer + "/runtime", "writ.runtime"},
		"writ.management": {issuer + "/management", "writ.management"},
	} {
		_, caller := w.status(p.token(w, map[string]any{"aud": []string{aud, issuer + "/runtime", issuer + "/management", "x"}}))
		if caller == nil || !slices.Equal(caller.Audiences, want) {
			t.Errorf("%s: %+v", aud, caller)
		}
	}
}

func TestP07ScopesOfExternalTokens(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	for name, tc := range map[string]struct {
		set    map[string]any
		scoped bool
		want   []string
	}{
		"none":                 {nil, false, nil},
		"empty":                {map[string]any{"scope": ""}, true, nil},
		"ours":                 {map[string]any{"scope": "ledger:read  iam/users:*"}, true, []string{"ledger:read", "iam/users:*"}},
		"others' give nothing": {map[string]any{"scope": "openid profile"}, true, nil},
		"both":                 {map[string]any{"scope": "openid ledger:read"}, true, []string{"ledger:read"}},
		"scp as a list":        {map[string]any{"scp": []string{"ledger:read"}}, true, []string{"ledger:read"}},
		"scp as text":          {map[string]any{"scp": "ledger:read ledger:write"}, true, []string{"ledger:read", "ledger:write"}},
		"scp empty":            {map[string]any{"scp": []string{}}, true, nil},
		"each limits":          {map[string]any{"scope": "a:read b:read", "scp": []string{"b:read", "c:read"}}, true, []string{"b:read"}},
	} {
		status, caller := w.status(p.token(w, tc.set))
		if status != 0 || caller.Scoped != tc.scoped || !slices.Equal(caller.Scopes.List(), tc.want) || caller.Scope != strings.Join(tc.want, " ") {
			t.Errorf("%s: %d %+v %v", name, status, caller, caller.Scopes.List())
		}
	}
}

func TestP07AnIssuerThatIsDown(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	p.down.Store(true)
	w.advance(time.Hour)
	token := p.token(w, map[string]any{"exp": w.now().Add(48 * time.Hour).Unix()})
	unknown := p.sign("es", p.claims(w, nil), map[string]any{"kid": "new"})
	if status, _ := w.status(token); status != 0 {
		t.Errorf("with cached keys: %d", status)
	}
	if down := w.server.ExternalIssuersDown(t.Context()); !slices.Equal(down, []string{p.name}) {
		t.Errorf("down: %v", down)
	}
	if status, _ := w.status(unknown); status != http.StatusServiceUnavailable {
		t.Errorf("a key that may be new: %d", status)
	}
	w.advance(24 * time.Hour)
	if status, _ := w.status(token); status != http.StatusServiceUnavailable {
		t.Errorf("with keys that are too old: %d", status)
	}
	// What cannot be good is refused, issuer or not.
	if status, _ := w.status(p.token(w, map[string]any{"aud": "x"})); status != http.StatusUnauthorized {
		t.Errorf("another audience: %d", status)
	}

	// A server that starts meanwhile serves, and takes the tokens as soon as the issuer answers.
	w.build(p.trusted())
	if status, _ := w.status(token); status != http.StatusServiceUnavailable {
		t.Errorf("fresh: %d", status)
	}
	w.application("app", nil)
	w.want(w.machine("app"), 200, "")
	if !strings.Contains(w.logged.String(), "external issuer cannot be asked") {
		t.Error("the log says nothing")
	}
	p.down.Store(false)
	if status, _ := w.status(token); status != http.StatusServiceUnavailable {
		t.Errorf("left alone: %d", status)
	}
	w.advance(10 * time.Second)
	if status, _ := w.status(token); status != 0 {
		t.Errorf("back: %d", status)
	}
	if down := w.server.ExternalIssuersDown(t.Context()); len(down) != 0 {
		t.Errorf("down: %v", down)
	}
	if succeeded, failed := w.server.Fetches(); succeeded != 2 || failed != 1 {
		t.Errorf("counted %d and %d", succeeded, failed)
	}
}

func TestP07AKeyThatIsWithdrawn(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	token := p.token(w, nil)
	if status, _ := w.status(token); status != 0 {
		t.Fatal(status)
	}
	p.keys.Store(&jose.JSONWebKeySet{})
	p.publish("es2", jose.ES256, mustKey(t))
	if status, _ := w.status(p.sign("es2", p.claims(w, nil), nil)); status != 0 {
		t.Errorf("the new key, at once: %d", status)
	}
	if status, _ := w.status(token); status != http.StatusUnauthorized {
		t.Errorf("the one that is gone: %d", status)
	}
}

// A stranger's token with an invented key id uses up the fetch of a minute. The issuer's next key is not refused because of that.
func TestP07AnInventedKeyIDDeniesNobody(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	invented := p.sign("es", p.claims(w, nil), map[string]any{"kid": "invented"})
	if status, _ := w.status(invented); status != http.StatusUnauthorized {
		t.Fatalf("invented: %d", status)
	}
	p.publish("es2", jose.ES256, mustKey(t))
	fresh := p.sign("es2", p.claims(w, nil), nil)
	if status, _ := w.status(fresh); status != http.StatusServiceUnavailable {
		t.Errorf("a key that came since: %d, want cannot tell", status)
	}
	if status, _ := w.status(invented); status != http.StatusUnauthorized {
		t.Errorf("invented, again: %d", status)
	}
	if got := p.published.Load(); got != 2 {
		t.Errorf("the keys were fetched %d times", got)
	}
	w.advance(time.Minute)
	if status, _ := w.status(fresh); status != 0 {
		t.Errorf("the new key, a minute later: %d", status)
	}
}

func TestP08MetadataIsHeldToTheIssuer(t *testing.T) {
	for name, tc := range map[string]struct {
		path, metadata string // %: the issuer
		want           string // of the error at the start; empty for none
	}{
		"OpenID":         {"/.well-known/openid-configuration", `{"issuer":"%","jwks_uri":"%/keys"}`, ""},
		"RFC 8414":       {"/.well-known/oauth-authorization-server", `{"issuer":"%","jwks_uri":"%/keys"}`, ""},
		"none":           {"/.well-known/nothing", `{"issuer":"%","jwks_uri":"%/keys"}`, "there is none at"},
		"another issuer": {"/.well-known/openid-configuration", `{"issuer":"https://x.example","jwks_uri":"%/keys"}`, "another issuer's"},
		"with a slash":   {"/.well-known/openid-configuration", `{"issuer":"%/","jwks_uri":"%/keys"}`, "another issuer's"},
		"without keys":   {"/.well-known/openid-configuration", `{"issuer":"%"}`, "no jwks_uri"},
		"keys over http": {"/.well-known/openid-configuration", `{"issuer":"%","jwks_uri":"http://x.example/keys"}`, "must be https"},
		"keys elsewhere": {"/.well-known/openid-configuration", `{"issuer":"%","jwks_uri":"https://x.example/keys"}`, "loopback"},
		"issuer names twice": {
			"/.well-known/openid-configuration", `{"issuer":"https://x.example","issuer":"%","jwks_uri":"%/keys"}`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t)
			p.describe(tc.path, strings.ReplaceAll(tc.metadata, "%", p.name))
			w := newWorld(t)
			config := oauth.Config{
				Issuer: issuer, Store: w.store, Sealer: sealer{}, Directory: w.directory, Passwords: w.passwords, Secrets: w.secrets,
				Auditor: w.auditor, PDP: rules(t), Now: w.now, Logger: discard(),
			}
			p.trusted()(nil, &config)
			server, err := oauth.Open(t.Context(), config)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), p.name) {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// A document that is no JSON object may be a page of an issuer that is down: its tokens are 503.
			w.server = server
			want := 0
			if name == "issuer names twice" {
				want = http.StatusServiceUnavailable
			}
			if status, _ := w.status(p.token(w, nil)); status != want {
				t.Errorf("%d", status)
			}
		})
	}
}

func TestP08AnIssuerWithAPath(t *testing.T) {
	for _, path := range []string{"/realms/a", "/realms/a/"} {
		p := newIDP(t)
		p.name += path
		metadata := `{"issuer":"` + p.name + `","jwks_uri":"` + p.server.URL + `/keys"}`
		for _, at := range []string{"/realms/a/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/realms/a"} {
			p.describe(at, metadata)
			w := newWorld(t, p.trusted())
			w.user(ada, "ada", nil)
			if status, _ := w.status(p.token(w, nil)); status != 0 {
				t.Errorf("%s at %s: %d", p.name, at, status)
			}
		}
	}
}

// A public issuer must not send the server to its own loopback, where other things listen.
func TestP08WhatIsRefusedAtTheStart(t *testing.T) {
	good := oauth.ExternalIssuer{Issuer: "https://idp.example.com", RuntimeAudience: "r", ManagementAudience: "m"}
	with := func(adjust func(*oauth.ExternalIssuer)) []oauth.ExternalIssuer {
		bad := good
		adjust(&bad)
		return []oauth.ExternalIssuer{bad}
	}
	for name, tc := range map[string]struct {
		list []oauth.ExternalIssuer
		want string
	}{
		"nothing":             {nil, ""},
		"one":                 {[]oauth.ExternalIssuer{good}, ""},
		"with a slash":        {with(func(e *oauth.ExternalIssuer) { e.Issuer += "/" }), ""},
		"loopback":            {with(func(e *oauth.ExternalIssuer) { e.Issuer = "http://127.0.0.1:9000" }), ""},
		"plain http":          {with(func(e *oauth.ExternalIssuer) { e.Issuer = "http://example.com" }), "must be https"},
		"no issuer":           {with(func(e *oauth.ExternalIssuer) { e.Issuer = "" }), "no issuer"},
		"no URL":              {with(func(e *oauth.ExternalIssuer) { e.Issuer = "idp" }), "must be absolute"},
		"a password":          {with(func(e *oauth.ExternalIssuer) { e.Issuer = "https://u:secret@idp.example.com" }), "without user"},
		"a query":             {with(func(e *oauth.ExternalIssuer) { e.Issuer += "?tenant=secret" }), "no query"},
		"no runtime audience": {with(func(e *oauth.ExternalIssuer) { e.RuntimeAudience = "" }), "runtime_audience"},
		"no other audience":   {with(func(e *oauth.ExternalIssuer) { e.ManagementAudience = "" }), "management_audience"},
		"one audience":        {with(func(e *oauth.ExternalIssuer) { e.ManagementAudience = "r" }), "one audience for both"},
		"twice":               {[]oauth.ExternalIssuer{good, good}, "twice"},
		"our own":             {with(func(e *oauth.ExternalIssuer) { e.Issuer = issuer }), "own"},
		"too many":            {make([]oauth.ExternalIssuer, 33), "more than 32"},
	} {
		err := oauth.CheckExternalIssuers(issuer, tc.list)
		switch {
		case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v", name, err)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error tells a secret", name)
		}
	}
	w := newWorld(t)
	config := oauth.Config{
		Issuer: issuer, Store: w.store, Sealer: sealer{}, Directory: w.directory, Passwords: w.passwords, Secrets: w.secrets,
		Auditor: w.auditor, PDP: rules(t), Now: w.now, Logger: discard(),
		ExternalIssuers: with(func(e *oauth.ExternalIssuer) { e.ManagementAudience = "" }),
	}
	if _, err := oauth.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "management_audience") {
		t.Errorf("opened: %v", err)
	}
}

// Our own tokens and those of others do not touch: an external one is unknown to introspection and revocation.
func TestP07ExternalTokensAreNoneOfOurEndpoints(t *testing.T) {
	p := newIDP(t)
	w := newWorld(t, p.trusted())
	w.user(ada, "ada", nil)
	w.application("api", []string{"tokens:introspect"})
	token := p.token(w, nil)
	r := w.want(w.send("/oauth2/introspect", "token="+token, "Authorization", basic("api", "secret of api")), 200, "")
	if r.JSON["active"] != false {
		t.Errorf("introspection: %s", r.Body)
	}
	w.want(w.send("/oauth2/revoke", "token="+token, "Authorization", basic("api", "secret of api")), 200, "")
	if status, _ := w.status(token); status != 0 {
		t.Errorf("afterwards: %d", status)
	}
	w.directory.stale = storage.ErrUnavailable
	if status, _ := w.status(token); status != http.StatusServiceUnavailable {
		t.Errorf("with a stale view: %d", status)
	}
}
