package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// prover is an application's private key. It is written from RFC 7515, 7517 and 7523 alone.
type prover struct {
	private *ecdsa.PrivateKey
	kid     string
}

func newProver(t *testing.T) prover {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return prover{private: private, kid: unique("key")}
}

// public is the JWK set of the public halves.
func public(t *testing.T, keys ...prover) object {
	t.Helper()
	set := list{}
	for _, k := range keys {
		point, err := k.private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, object{
			"kty": "EC", "crv": "P-256", "kid": k.kid, "use": "sig", "alg": "ES256",
			"x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:]),
		})
	}
	return object{"keys": set}
}

// assertion is a fresh one for the server of a scenario, with these changes to its claims.
func (k prover) assertion(c *scenario, id string, changes object) string {
	issuer := once(c, "issuer", func() string {
		c.get("/.well-known/oauth-authorization-server").wantStatus(200)
		return c.text("/issuer")
	})
	now := time.Now()
	claims := merge(object{
		"iss": id, "sub": id, "aud": issuer, "jti": unique("jti"), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}, changes)
	text := unsigned(object{"alg": "ES256", "kid": k.kid, "typ": "JWT"}, claims)
	sum := sha256.Sum256([]byte(text[:len(text)-1]))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		c.fail("sign: %v", err)
		return ""
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return canary(text + b64.EncodeToString(signature))
}

// assert sends an assertion to an endpoint, with further parameters.
func (c *scenario) assert(path, assertion string, pairs ...string) *scenario {
	return c.as("").form(path, fields(append(pairs, "client_assertion", assertion,
		"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")...))
}

// askProven asks for a token with a fresh assertion.
func (c *scenario) askProven(k prover, id string, pairs ...string) *scenario {
	if len(pairs) == 0 {
		pairs = []string{"grant_type", "client_credentials"}
	}
	return c.assert("/oauth2/token", k.assertion(c, id, nil), pairs...)
}

// newProven creates an application that has keys and no secret, and returns its id.
func (c *scenario) newProven(body object) string {
	c.post("/v1/applications", merge(object{"name": unique("app"), "token_endpoint_auth_method": "private_key_jwt"}, body)).
		wantStatus(201).wantAbsent("/secret")
	return c.text("/id")
}

// inParallel sends one assertion sixteen times at once, by turns to the servers, and demands one success.
func inParallel(t *testing.T, assertion string, servers ...*Server) {
	t.Helper()
	var won, lost atomic.Int64
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			one := &scenario{t: t, s: servers[n%len(servers)], next: http.Header{}}
			one.assert("/oauth2/token", assertion, "grant_type", "client_credentials")
			if one.err == nil && one.last.status == 200 {
				won.Add(1)
				return
			}
			if one.wantOAuthError(401, "invalid_client"); one.err != nil {
				t.Error(one.err)
				return
			}
			lost.Add(1)
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Errorf("%d won and %d were refused", won.Load(), lost.Load())
	}
}

// TestA01AssertionJourney is the life of an application that has no secret: rows A01 to A04, F-06, S-T8 and S-T16 from outside.
func TestA01AssertionJourney(t *testing.T) {
	c := story(t, shared(t)).root()
	first, second := newProver(t), newProver(t)

	c.step("F-06: the method and its keys fit each other, and there is no secret")
	body := object{"name": unique("app"), "token_endpoint_auth_method": "private_key_jwt"}
	c.post("/v1/applications", body).wantProblem(400, "/jwks")
	c.post("/v1/applications", merge(body, object{"jwks": object{"keys": list{object{"kty": "oct", "k": "AAAA"}}}})).
		wantProblem(400, "/jwks/keys/0/k")
	id := c.newProven(object{
		"jwks": public(t, first), "grants": grants("ledger:read"),
		"grant_types": list{"client_credentials", "password", "refresh_token"}, "scopes": list{"ledger:read"},
	})
	path := "/v1/applications/" + id
	c.get(path).wantStatus(200).want("/token_endpoint_auth_method", "private_key_jwt").want("/jwks/keys/0/kid", first.kid)

	c.step("A01: an assertion is as good as a secret, at each endpoint and with each grant type")
	c.askProven(first, id).wantStatus(200).want("/scope", "ledger:read")
	token := c.text("/access_token")
	c.root().live(token)
	c.assert("/oauth2/introspect", first.assertion(c, id, nil), "token", token).wantStatus(200).want("/active", true)
	u := c.root().newUser(object{"grants": grants("ledger:read")})
	c.askProven(first, id, "grant_type", "password", "username", u.Username, "password", u.Password).wantStatus(200)
	refresh, login := c.text("/refresh_token"), c.text("/access_token")
	c.askProven(first, id, "grant_type", "refresh_token", "refresh_token", refresh).wantStatus(200)
	refresh = c.text("/refresh_token")

	c.step("A02, A04: it is for this server alone, and of this application")
	for name, changes := range map[string]object{
		"the token endpoint": {"aud": c.s.Public + "/oauth2/token"}, "two servers": {"aud": list{c.s.Public, "https://other.example.com"}},
		"expired": {"exp": 1}, "for long": {"exp": time.Now().Add(time.Hour).Unix()}, "another issuer": {"iss": "root"},
		"without an id": {"jti": ""}, "of root": {"iss": "root", "sub": "root"},
	} {
		c.assert("/oauth2/token", first.assertion(c, id, changes), "grant_type", "client_credentials").
			wantOAuthError(401, "invalid_client")
		c.expect(name)
	}
	c.askProven(second, id).wantOAuthError(401, "invalid_client")
	wrong := c.last
	c.with("Authorization", basic("nobody", "wrong")).form("/oauth2/token", fields("grant_type", "client_credentials")).wantSame(wrong)
	c.with("Authorization", basic(id, "")).form("/oauth2/token", fields("grant_type", "client_credentials")).wantSame(wrong)

	c.step("A03, S-T8: it is used once")
	used := first.assertion(c, id, nil)
	c.assert("/oauth2/token", used, "grant_type", "client_credentials").wantStatus(200)
	c.assert("/oauth2/token", used, "grant_type", "client_credentials").wantSame(wrong)
	c.assert("/oauth2/introspect", used, "token", token).wantSame(wrong)
	inParallel(t, first.assertion(c, id, nil), c.s)

	c.step("a rotation: the second key beside the first ends nothing, the first one's removal ends what was had")
	c.root().patch(path, object{"jwks": public(t, first, second)}).wantStatus(200)
	c.live(token).live(login)
	c.askProven(second, id).wantStatus(200)
	c.root().patch(path, object{"jwks": public(t, second)}).wantStatus(200)
	c.dead(token).dead(login)
	c.askProven(first, id).wantOAuthError(401, "invalid_client")
	c.askProven(second, id, "grant_type", "refresh_token", "refresh_token", refresh).wantOAuthError(400, "invalid_grant")
	c.askProven(second, id).wantStatus(200)
	token = c.text("/access_token")

	c.step("V01: it revokes its token")
	c.assert("/oauth2/revoke", second.assertion(c, id, nil), "token", token).wantStatus(200)
	c.root().dead(token)

	c.step("S-T16: deactivated, it proves nothing")
	c.askProven(second, id).wantStatus(200)
	token = c.text("/access_token")
	c.root().patch(path, object{"is_active": false}).wantStatus(200)
	c.dead(token)
	c.askProven(second, id).wantOAuthError(401, "invalid_client")
	c.assert("/oauth2/introspect", second.assertion(c, id, nil), "token", token).wantOAuthError(401, "invalid_client")
}

// TestF10KeysByReference rotates keys at a URI and looks at how often they are fetched.
func TestF10KeysByReference(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "its key server is on this machine's loopback: E2E_RUNNER=process runs it")
	old, fresh, stranger := newProver(t), newProver(t), newProver(t)
	var published atomic.Pointer[object]
	var fetches atomic.Int64
	serve := func(set object) { published.Store(&set) }
	serve(public(t, old))
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		if err := json.NewEncoder(w).Encode(published.Load()); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(keys.Close)
	c := story(t, shared(t)).root()
	fetched := func(want int64) {
		if got := fetches.Load(); c.err == nil && got != want {
			c.fail("%d fetches, want %d", got, want)
		}
	}

	c.step("where keys may be")
	body := object{"name": unique("app"), "token_endpoint_auth_method": "private_key_jwt"}
	for _, uri := range []string{"http://keys.example.com/", "https://user@keys.example.com/", "ftp://127.0.0.1/", "keys"} {
		c.post("/v1/applications", merge(body, object{"jwks_uri": uri})).wantProblem(400, "/jwks_uri")
	}
	id := c.newProven(object{"jwks_uri": keys.URL + "/keys"})

	c.step("they are fetched once, and for nobody unknown")
	c.askProven(old, unique("nobody")).wantOAuthError(401, "invalid_client")
	fetched(0)
	c.askProven(old, id).wantStatus(200)
	c.askProven(old, id).wantStatus(200)
	fetched(1)

	c.step("a rotation there is noticed by the new key id, once")
	serve(public(t, fresh))
	c.askProven(fresh, id).wantStatus(200)
	token := c.text("/access_token")
	c.askProven(old, id).wantOAuthError(401, "invalid_client")
	for range 5 {
		c.askProven(stranger, id).wantOAuthError(503, "temporarily_unavailable") // it may have come since, for all one knows
	}
	fetched(2)

	c.step("another URI ends what was had with the keys of this one")
	c.root().live(token)
	c.patch("/v1/applications/"+id, object{"jwks_uri": keys.URL + "/others"}).wantStatus(200)
	c.dead(token)
}

// TestA03NodesTakeAnAssertionOnce sends one assertion to both nodes at the same moment.
func TestA03NodesTakeAnAssertionOnce(t *testing.T) {
	onMongoDB(t)
	nodes := startTogether(t, newCluster(suite.db), Options{}, Options{})
	k := newProver(t)
	c := story(t, nodes[0]).root()
	id := c.newProven(object{"jwks": public(t, k)})
	c.done()
	there := story(t, nodes[1])
	there.eventually(bindsWithin, func() { there.askProven(k, id).wantStatus(200) })
	there.done()
	for round := range 5 {
		c.step(fmt.Sprintf("round %d", round))
		inParallel(t, k.assertion(c, id, nil), nodes...)
	}
}
