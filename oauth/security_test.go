package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// wantForged fails unless a token is refused wherever one is shown: on both APIs with 401 invalid_token, at introspection as inactive;
// and unless that costs no store call.
func (w *world) wantForged(name, token string) {
	w.tb.Helper()
	calls := w.store.calls.Load()
	if w.live(token) {
		w.tb.Errorf("%s: accepted", name)
	}
	for _, plane := range []string{policies.PlaneRuntime, policies.PlaneManagement} {
		request := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
		request.Header["Authorization"] = []string{bearer(token)}
		caller, err := w.server.Authenticator(true).Authenticate(w.tb.Context(), request)
		var refused *enforce.AuthenticationError
		if !errors.As(err, &refused) || refused.Code != "invalid_token" {
			w.tb.Errorf("%s: on the %s API: %+v %v", name, plane, caller, err)
		}
	}
	w.wantInactive(w.introspect("asker", token))
	if got := w.store.calls.Load() - calls; got != 0 {
		w.tb.Errorf("%s: %d store calls", name, got)
	}
}

// forging is a world with a good token, which is also a control: what a test changes about it is why it is refused.
func forging(t *testing.T) (w *world, key jose.JSONWebKey, claims, header map[string]any) {
	t.Helper()
	w = newWorld(t)
	w.application("app", []string{"ledger:read"})
	w.application("asker", []string{"tokens:introspect"})
	key, claims = w.signingKey("access"), part(t, w.machine("app").text("access_token"), 1)
	header = map[string]any{"kid": key.KeyID, "typ": "at+jwt"}
	if !w.live(forge(t, jose.ES256, key.Key, claims, header)) {
		t.Fatal("the control is not accepted: the table proves nothing")
	}
	return w, key, claims, header
}

func with(object map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(object)
	changed[name] = value
	return changed
}

// compact joins parts that are JSON or bytes.
func compact(t *testing.T, parts ...any) string {
	t.Helper()
	var encoded []string
	for _, p := range parts {
		raw, ok := p.([]byte)
		if !ok {
			var err error
			if raw, err = json.Marshal(p); err != nil {
				t.Fatal(err)
			}
		}
		encoded = append(encoded, base64.RawURLEncoding.EncodeToString(raw))
	}
	return strings.Join(encoded, ".")
}

func TestSJ1AlgNone(t *testing.T) {
	w, key, claims, header := forging(t)
	signature := strings.Split(forge(t, jose.ES256, key.Key, claims, header), ".")[2]
	for _, alg := range []any{"none", "None", "NONE", "nOnE", "", nil, []string{"ES256"}, "es256", "ES256\x00"} {
		unsigned := compact(t, with(header, "alg", alg), claims, []byte{})
		w.wantForged("unsigned", unsigned)
		w.wantForged("with a signature", unsigned+signature)
	}
	w.wantForged("no alg", compact(t, header, claims, []byte{}))
	w.wantForged("two parts", compact(t, with(header, "alg", "none"), claims))
}

func TestSJ2HMACKeyedWithThePublicKey(t *testing.T) {
	w, key, claims, header := forging(t)
	der, err := x509.MarshalPKIXPublicKey(key.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk, err := key.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	published := w.get("/.well-known/jwks.json").Body.Bytes()
	for name, secret := range map[string][]byte{
		"DER": der, "PEM": text, "PEM without its last line break": text[:len(text)-1], "JWK": jwk, "JWKS": published,
		"kid": []byte(key.KeyID),
	} {
		for _, alg := range []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512} {
			if len(secret) >= map[jose.SignatureAlgorithm]int{jose.HS256: 32, jose.HS384: 48, jose.HS512: 64}[alg] {
				w.wantForged(string(alg)+" "+name, forge(t, alg, secret, claims, header))
			}
		}
	}
}

func TestSJ3AKeyThatTheHeaderNamesOrCarries(t *testing.T) {
	w, key, claims, header := forging(t)
	evil, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKey{Key: evil.Public(), KeyID: key.KeyID, Algorithm: "ES256", Use: "sig"}
	var requests atomic.Int64
	lure := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_ = json.NewEncoder(out).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	}))
	defer lure.Close()
	der, err := x509.MarshalPKIXPublicKey(evil.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"jku": lure.URL, "x5u": lure.URL, "jwk": public, "x5c": []string{base64.StdEncoding.EncodeToString(der)}, "iss": lure.URL,
	} {
		w.wantForged(name+", signed by its key", forge(t, jose.ES256, evil, claims, with(header, name, value)))
		w.wantForged(name+", signed by ours", forge(t, jose.ES256, key.Key, claims, with(header, name, value)))
	}
	w.wantForged("another key under our kid", forge(t, jose.ES256, evil, claims, header))
	w.wantForged("iss", forge(t, jose.ES256, evil, with(claims, "iss", lure.URL), with(header, "jku", lure.URL+"/.well-known/jwks.json")))
	if got := requests.Load(); got != 0 {
		t.Errorf("%d outbound requests", got)
	}
}

func TestSJ4AKidThatIsNone(t *testing.T) {
	w, key, claims, header := forging(t)
	for name, kid := range map[string]any{
		"a path": "../../x", "an absolute path": "/dev/null", "a query": map[string]any{"$ne": nil}, "SQL": "x' OR '1'='1", "10 KB": strings.Repeat("k", 10<<10),
		"NUL": key.KeyID + "\x00", "a list": []string{key.KeyID}, "a number": 0, "null": nil, "empty": "", "another case": strings.ToUpper(key.KeyID),
		"a URL": "http://127.0.0.1:1/key",
	} {
		w.wantForged(name, forge(t, jose.ES256, key.Key, claims, with(header, "kid", kid)))
	}
	without := maps.Clone(header)
	delete(without, "kid")
	w.wantForged("none at all", forge(t, jose.ES256, key.Key, claims, without))
}

func TestSJ6AnAudienceIsThere(t *testing.T) {
	w, key, claims, header := forging(t)
	for name, aud := range map[string]any{
		"an empty list": []string{}, "null": nil, "a text": issuer + "/runtime", "a number": 7, "an object": map[string]any{issuer + "/runtime": true},
	} {
		w.wantForged(name, forge(t, jose.ES256, key.Key, with(claims, "aud", aud), header))
	}
	without := maps.Clone(claims)
	delete(without, "aud")
	w.wantForged("none at all", forge(t, jose.ES256, key.Key, without, header))
}

// A JWE is five parts of someone else's choosing: whatever it would cost to open is not spent.
func TestSJ8EncryptedTokensAreNotOpened(t *testing.T) {
	w, key, claims, header := forging(t)
	plain, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encrypt := func(plain []byte, to jose.Recipient, options *jose.EncrypterOptions) string {
		t.Helper()
		to.KeyID = key.KeyID
		encrypter, err := jose.NewEncrypter(jose.A256GCM, to, options)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := encrypter.Encrypt(plain)
		if err != nil {
			t.Fatal(err)
		}
		text, err := sealed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	typed := (&jose.EncrypterOptions{}).WithType("at+jwt")
	zipped := (&jose.EncrypterOptions{Compression: jose.DEFLATE}).WithType("at+jwt")
	toKey := jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: key.Public().Key}
	huge := compact(t, map[string]any{"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 1 << 31, "p2s": "AAAAAAAAAAA", "kid": key.KeyID},
		[]byte("key"), []byte("iv"), []byte("text"), []byte("tag"))
	ours := strings.Split(forge(t, jose.ES256, key.Key, claims, header), ".")
	for name, token := range map[string]string{
		"to the published key":        encrypt(plain, toKey, typed),
		"a signed one inside":         encrypt([]byte(strings.Join(ours, ".")), toKey, typed),
		"a bomb":                      encrypt(make([]byte, 8<<20), toKey, zipped),
		"p2c of two thousand million": huge, "an empty key": encrypt(plain, toKey, typed)[:40] + "....", "five empty parts": "....",
		"our header and five parts": strings.Join(append([]string{ours[0]}, ours[1], ours[2], "x", "y"), "."),
	} {
		if len(token) > 64<<10 {
			t.Fatalf("%s is no bomb: it has %d bytes", name, len(token))
		}
		w.wantForged(name, token)
	}
	if allocs := testing.AllocsPerRun(100, func() { w.live(huge) }); allocs > 4 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestSJ9TheEdgesOfTime(t *testing.T) {
	w, key, claims, header := forging(t)
	now := w.now().Unix()
	for name, c := range map[string]struct {
		claim string
		value any
	}{
		"expired a second ago": {"exp", now - 1}, "expires now": {"exp", now}, "a fraction": {"exp", float64(now) + 60.5},
		"an exponent": {"exp", json.RawMessage("1e12")}, "beyond integers": {"exp", json.RawMessage("1e300")},
		"beyond 64 bits": {"exp", json.RawMessage("99999999999999999999")}, "negative": {"exp", -1}, "zero": {"exp", 0},
		"a text": {"exp", "9999999999"}, "null": {"exp", nil}, "true": {"exp", true}, "a list": {"exp", []int64{now + 60}},
		"not yet": {"nbf", now + 60}, "nbf of a text": {"nbf", "1"}, "nbf of a fraction": {"nbf", float64(now) - 0.5}, "negative nbf": {"nbf", -1},
		"issued in the future": {"iat", now + 60}, "iat of a text": {"iat", "1"},
	} {
		w.wantForged(name, forge(t, jose.ES256, key.Key, with(claims, c.claim, c.value), header))
	}
	if !w.live(forge(t, jose.ES256, key.Key, with(claims, "exp", now+1), header)) {
		t.Error("a token with a second to live is refused")
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		without := maps.Clone(claims)
		delete(without, name)
		w.wantForged("no "+name, forge(t, jose.ES256, key.Key, without, header))
	}
}

// Who may not act gets no token by any grant, and what was issued before is dead wherever it is shown.
func TestST16TheDisabledThroughEveryGrant(t *testing.T) {
	listing := func(a *storage.Application) {
		a.GrantTypes = []string{"client_credentials", "password", "refresh_token"}
	}
	for name, c := range map[string]struct {
		disable func(*world)
		machine bool // whether the application's own token ends as well
	}{
		"user suspended": {func(w *world) { w.user(ada, "ada", nil, func(i *policies.Identity) { i.Active = false }) }, false},
		"user's tenant":  {func(w *world) { w.user(ada, "ada", nil, func(i *policies.Identity) { i.TenantEnabled = false }) }, false},
		"user's end":     {func(w *world) { w.user(ada, "ada", nil, func(i *policies.Identity) { i.NotAfter = w.now() }) }, false},
		"application": {func(w *world) {
			w.application("portal", nil, listing, func(a *storage.Application) { a.IsActive = false })
		}, true},
		"application's end": {func(w *world) {
			w.application("portal", nil, listing, func(a *storage.Application) { a.NotAfter = w.at(0) })
		}, true},
		"application's tenant": {func(w *world) { w.directory.disableTenant("portal") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshing(t)
			w.application("portal", nil, listing)
			w.application("asker", []string{"tokens:introspect"})
			login, machine := w.login(), w.want(w.machine("portal"), http.StatusOK, "").text("access_token")
			c.disable(w)
			for grant, r := range map[string]reply{
				"password": w.person("portal", "ada"), "refresh_token": w.refresh("portal", login.text("refresh_token")),
			} {
				if r.Code/100 != 4 || r.text("access_token") != "" {
					t.Errorf("%s: %d %s", grant, r.Code, r.Body)
				}
			}
			w.wantForged("the user's token", login.text("access_token"))
			if !c.machine {
				w.want(w.machine("portal"), http.StatusOK, "")
				return
			}
			w.want(w.machine("portal"), http.StatusUnauthorized, "invalid_client")
			w.want(w.send("/oauth2/token", "grant_type=client_credentials&client_id=portal&client_secret=secret+of+portal"),
				http.StatusUnauthorized, "invalid_client")
			w.wantForged("the application's token", machine)
		})
	}
}
