package oauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/storage"
)

// keyRecords are the keys of a ring, as the store has them.
func (w *world) keyRecords(ring string) []*storage.Key {
	w.tb.Helper()
	q := storage.Query{Equal: map[string][]string{"ring": {ring}}, Limit: 100}
	records, err := storage.List[storage.Key](w.tb.Context(), w.store, q)
	if err != nil {
		w.tb.Fatal(err)
	}
	return records
}

// signingKey is the world's one key of a ring, unsealed: what an attacker would like to have.
func (w *world) signingKey(ring string) jose.JSONWebKey {
	w.tb.Helper()
	records := w.keyRecords(ring)
	if len(records) != 1 {
		w.tb.Fatalf("%d keys of the ring %s", len(records), ring)
	}
	raw, err := sealer{}.Open(records[0].Sealed, "key|"+ring+"|"+records[0].ID)
	if err != nil {
		w.tb.Fatal(err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(raw); err != nil {
		w.tb.Fatal(err)
	}
	return key
}

// foreignKey is a new active key, as another node would make it.
func foreignKey(tb testing.TB, ring, algorithm string) *storage.Key {
	tb.Helper()
	other := newWorld(tb)
	if ring == "access" {
		other.signed("app", algorithm)
	}
	for _, record := range other.keyRecords(ring) {
		if record.Algorithm == algorithm {
			record.Meta = storage.Meta{ID: record.ID}
			return record
		}
	}
	tb.Fatalf("no key for %s of the ring %s", algorithm, ring)
	return nil
}

// insertKey and setState change the store's keys, as another node would, and let the feed tell of it.
func (w *world) insertKey(key *storage.Key) {
	w.tb.Helper()
	w.told(insertAuthority(key), key.ID)
}

func (w *world) setState(kid, state string) {
	w.tb.Helper()
	record, err := storage.Get[storage.Key](w.tb.Context(), w.store, kid)
	if err != nil {
		w.tb.Fatal(err)
	}
	if record.State = state; state == "active" {
		record.ActiveAt = w.at(0)
	}
	w.told(updateAuthority(record), kid)
}

func (w *world) told(write func(context.Context, storage.Tx) error, kid string) {
	w.tb.Helper()
	if err := w.store.Txn(w.tb.Context(), write); err != nil {
		w.tb.Fatal(err)
	}
	change := storage.Change{Items: []storage.ChangeItem{{Kind: "keys", ID: kid}}}
	if err := w.server.Apply(w.tb.Context(), w.store, change); err != nil {
		w.tb.Fatal(err)
	}
}

// forge signs a payload with any header.
func forge(tb testing.TB, algorithm jose.SignatureAlgorithm, key any, payload any, header map[string]any) string {
	tb.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := signer.Sign(raw)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// get fetches a public document.
func (w *world) get(path string, headers ...string) reply {
	w.tb.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	for n := 0; n < len(headers); n += 2 {
		request.Header.Add(headers[n], headers[n+1])
	}
	return w.do(request)
}

func (w *world) jwks() jose.JSONWebKeySet {
	w.tb.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(w.get("/.well-known/jwks.json").Body.Bytes(), &set); err != nil {
		w.tb.Fatal(err)
	}
	return set
}

// signed makes an application whose tokens are signed with an algorithm, and returns one.
func (w *world) signed(id, algorithm string) string {
	w.tb.Helper()
	w.application(id, []string{"ledger:read"}, func(a *storage.Application) { a.TokenSigningAlg = algorithm })
	return w.want(w.machine(id), http.StatusOK, "").text("access_token")
}

func TestJ01Header(t *testing.T) {
	w := newWorld(t)
	for asked, want := range map[string]string{"": "ES256", "ES256": "ES256", "RS256": "RS256", "EdDSA": "EdDSA"} {
		t.Run("asked for "+asked, func(t *testing.T) {
			w.tb = t
			token := w.signed("app_"+asked, asked)
			header := part(t, token, 0)
			kid, _ := header["kid"].(string)
			set := w.jwks()
			published := set.Key(kid)
			if header["typ"] != "at+jwt" || header["alg"] != want || len(header) != 3 || len(published) != 1 {
				t.Fatalf("header: %v", header)
			}
			// A stranger verifies it with the published key alone.
			parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(want)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Verify(published[0]); err != nil || published[0].Algorithm != want {
				t.Fatalf("%v, published for %q", err, published[0].Algorithm)
			}
			if !w.live(token) {
				t.Fatal("the server does not accept it")
			}
			if again := part(t, w.signed("app_"+asked, asked), 0)["kid"]; again != kid {
				t.Fatalf("signed by %s, then by %s", kid, again)
			}
		})
	}
	w.tb = t
}

func TestJ02AndF21Claims(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"}, func(a *storage.Application) { a.Roles = []storage.RoleKey{"ops:viewer"} })
	token := w.machine("app").text("access_token")
	claims := part(t, token, 1)
	now := float64(w.now().Unix())
	for name, want := range map[string]any{
		"iss": issuer, "sub": "app", "client_id": "app", "scope": "ledger:read", "iat": now, "nbf": now, "exp": now + 3600,
	} {
		if claims[name] != want {
			t.Errorf("%s: want %v, got %v", name, want, claims[name])
		}
	}
	if got := texts(claims["aud"]); !slices.Equal(got, []string{issuer + "/runtime", issuer + "/management"}) {
		t.Errorf("aud: %v", got)
	}
	if got := texts(claims["roles"]); !slices.Equal(got, []string{"ops:viewer"}) || len(claims["jti"].(string)) < 22 {
		t.Errorf("roles %v, jti %v", got, claims["jti"])
	}
	known := []string{"iss", "sub", "aud", "client_id", "iat", "nbf", "exp", "jti", "scope", "roles", "writ"}
	for name := range maps.Keys(claims) {
		if !slices.Contains(known, name) {
			t.Errorf("unexpected claim %q", name)
		}
	}
	t.Run("a stranger verifies it with the published key alone", func(t *testing.T) {
		parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(w.jwks()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestJ03SubjectOfAMachine(t *testing.T) {
	w := newWorld(t)
	w.application("app_x", nil)
	claims := part(t, w.machine("app_x").text("access_token"), 1)
	if claims["sub"] != "app_x" || claims["sub"] != claims["client_id"] || claims["sid"] != nil {
		t.Fatalf("claims: %v", claims)
	}
}

func TestJ04ForgedTokens(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	good := w.machine("app").text("access_token")
	if !w.live(good) {
		t.Fatal("the good one is not accepted")
	}
	key := w.signingKey("access")
	claims := part(t, good, 1)
	parts := strings.Split(good, ".")
	encode := func(header string) string { return base64.RawURLEncoding.EncodeToString([]byte(header)) }
	kid := map[string]any{"kid": key.KeyID, "typ": "at+jwt"}
	with := func(name string, value any) map[string]any {
		header := maps.Clone(kid)
		header[name] = value
		return header
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	asJWK, err := key.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	forged := map[string]string{
		"alg none":            encode(`{"alg":"none","kid":"`+key.KeyID+`","typ":"at+jwt"}`) + "." + parts[1] + ".",
		"alg nOnE":            encode(`{"alg":"nOnE","kid":"`+key.KeyID+`","typ":"at+jwt"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with the PEM":  forge(t, jose.HS256, asPEM, claims, kid),
		"HS256 with the JWK":  forge(t, jose.HS256, asJWK, claims, kid),
		"unknown crit":        forge(t, jose.ES256, key.Key, claims, with("crit", []string{"x"})),
		"jku":                 forge(t, jose.ES256, key.Key, claims, with("jku", "http://127.0.0.1:1/")),
		"x5u":                 forge(t, jose.ES256, key.Key, claims, with("x5u", "http://127.0.0.1:1/")),
		"jwk":                 forge(t, jose.ES256, key.Key, claims, with("jwk", key.Public())),
		"typ JWT":             forge(t, jose.ES256, key.Key, claims, map[string]any{"kid": key.KeyID, "typ": "JWT"}),
		"typ introspection":   forge(t, jose.ES256, key.Key, claims, map[string]any{"kid": key.KeyID, "typ": "token-introspection+jwt"}),
		"no typ":              forge(t, jose.ES256, key.Key, claims, map[string]any{"kid": key.KeyID}),
		"kid of a path":       forge(t, jose.ES256, key.Key, claims, map[string]any{"kid": "../../x", "typ": "at+jwt"}),
		"kid that is no text": forge(t, jose.ES256, key.Key, claims, map[string]any{"kid": map[string]any{"$ne": nil}, "typ": "at+jwt"}),
		"payload changed":     parts[0] + "." + parts[1][:len(parts[1])-4] + "AAAA." + parts[2],
		"signature cut":       good[:len(good)-1],
		"signature longer":    good + "A",
		"padding":             good + "=",
		"line break":          parts[0] + "." + parts[1] + "." + parts[2][:8] + "\n" + parts[2][8:],
		"fourth part":         good + ".x",
		"five parts":          parts[0] + "....",
		"empty":               "",
		"dots":                strings.Repeat(".", 1<<20),
	}
	for name, token := range forged {
		if w.live(token) {
			t.Errorf("%s: accepted", name)
		}
	}
	t.Run("spare bits of the last character", func(t *testing.T) {
		last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])
		other := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last^1]
		if w.live(good[:len(good)-1] + string(other)) {
			t.Fatal("two spellings of one token")
		}
	})
	t.Run("our own key and header with other claims", func(t *testing.T) {
		for name, spoil := range map[string]func(map[string]any){
			"other issuer":    func(c map[string]any) { c["iss"] = "https://evil.example" },
			"expired":         func(c map[string]any) { c["exp"] = w.now().Unix() - 1 },
			"expires now":     func(c map[string]any) { c["exp"] = w.now().Unix() },
			"not yet":         func(c map[string]any) { c["nbf"] = w.now().Unix() + 60 },
			"from the future": func(c map[string]any) { c["iat"] = w.now().Unix() + 60 },
			"float exp":       func(c map[string]any) { c["exp"] = float64(w.now().Unix()) + 60.5 },
			"text exp":        func(c map[string]any) { c["exp"] = "9999999999" },
			"negative exp":    func(c map[string]any) { c["exp"] = -1 },
			"no exp":          func(c map[string]any) { delete(c, "exp") },
			"no aud":          func(c map[string]any) { c["aud"] = []string{} },
			"aud is a text":   func(c map[string]any) { c["aud"] = issuer + "/runtime" },
			"no client":       func(c map[string]any) { delete(c, "client_id") },
			"other subject":   func(c map[string]any) { c["sub"] = "nobody" },
			"bad scope":       func(c map[string]any) { c["scope"] = "no permission" },
		} {
			changed := maps.Clone(claims)
			spoil(changed)
			if w.live(forge(t, jose.ES256, key.Key, changed, kid)) {
				t.Errorf("%s: accepted", name)
			}
		}
		if !w.live(forge(t, jose.ES256, key.Key, claims, kid)) {
			t.Fatal("the control is not accepted: the table proves nothing")
		}
	})
}

func TestJ06JWKS(t *testing.T) {
	w := newWorld(t)
	w.signed("rsa", "RS256")
	w.signed("edwards", "EdDSA")
	r := w.get("/.well-known/jwks.json")
	etag := r.Header().Get("ETag")
	if r.Code != http.StatusOK || etag == "" || !strings.Contains(r.Header().Get("Cache-Control"), "max-age=") {
		t.Fatalf("%d %v", r.Code, r.Header())
	}
	var raw struct{ Keys []map[string]any }
	if err := json.Unmarshal(r.Body.Bytes(), &raw); err != nil || len(raw.Keys) != 4 {
		t.Fatalf("%s %v", r.Body, err)
	}
	members := map[string][]string{"EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}, "RSA": {"n", "e"}}
	for _, key := range raw.Keys {
		for name := range key {
			if !slices.Contains(append([]string{"kty", "kid", "use", "alg"}, members[key["kty"].(string)]...), name) {
				t.Errorf("member %q of a %s key is published", name, key["kty"])
			}
		}
	}
	var algorithms []string
	for _, key := range w.jwks().Keys {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil || key.KeyID != base64.RawURLEncoding.EncodeToString(sum) || key.Use != "sig" {
			t.Fatalf("%+v %v", key, err)
		}
		algorithms = append(algorithms, key.Algorithm)
	}
	// Two of ES256: one for access tokens, one for introspection replies. No secret key is among them.
	if slices.Sort(algorithms); !slices.Equal(algorithms, []string{"ES256", "ES256", "EdDSA", "RS256"}) {
		t.Fatalf("algorithms: %v", algorithms)
	}
	again := w.get("/.well-known/jwks.json", "If-None-Match", `"x", W/`+etag)
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Fatalf("If-None-Match: %d", again.Code)
	}
	w.store.down.Store(true)
	if down := w.get("/.well-known/jwks.json"); down.Code != http.StatusOK {
		t.Fatalf("with the store down: %d", down.Code)
	}
}

func TestKeysSurviveARestart(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	before := w.get("/.well-known/jwks.json").Body.String()
	w.build()
	if !w.live(token) || w.get("/.well-known/jwks.json").Body.String() != before {
		t.Fatal("a restart changed the keys")
	}
	if got := w.auditor.entries; !slices.Equal(got, []string{"intent system keys:write keys", "ok system keys:write keys"}) {
		t.Fatalf("audit: %v", got)
	}
}

func TestKeysAreSealedAndBoundToTheirPlace(t *testing.T) {
	w := newWorld(t)
	records := w.keyRecords("access")
	private, set := w.signingKey("access").Key.(*ecdsa.PrivateKey), w.jwks()
	if strings.Contains(string(records[0].Public), `"d"`) || !private.PublicKey.Equal(set.Key(records[0].ID)[0].Key) {
		t.Fatal("the public half is not the public half")
	}
	// Another node's key encryption key opens nothing: the start is refused, and no new key takes the place of the old one.
	config := w.config()
	config.Sealer = stranger{}
	if _, err := oauth.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "key encryption key") {
		t.Fatalf("opened: %v", err)
	}
}

// F-24: any number of keys, of each algorithm and ring. Those of other nodes arrive through the feed; what is not retired verifies and
// is published, and the newest active one signs.
func TestF24KeysFollowTheFeed(t *testing.T) {
	for _, algorithm := range []string{"ES256", "RS256", "EdDSA", "XC20P"} {
		t.Run(algorithm, func(t *testing.T) {
			w := newWorld(t)
			ring := "access"
			fresh := func() (token, kid string) {
				if ring == "opaque" {
					token = w.opaqueToken()
					return token, token[4:12]
				}
				token = w.signed("app", algorithm)
				return token, part(t, token, 0)["kid"].(string)
			}
			if algorithm == "XC20P" {
				ring = "opaque"
			}
			published := func(kid string) bool {
				set := w.jwks()
				return len(set.Key(kid)) == 1
			}
			old, oldKid := fresh()
			key := foreignKey(t, ring, algorithm)
			key.State, key.ActiveAt = "next", nil
			w.insertKey(key)
			if _, kid := fresh(); kid != oldKid || published(key.ID) != (ring == "access") {
				t.Fatalf("next: signed by %s, published %v", kid, published(key.ID))
			}
			w.advance(time.Second)
			w.setState(key.ID, "active")
			young, kid := fresh()
			if kid != key.ID || !w.live(young) || !w.live(old) {
				t.Fatalf("two active: signed by %s, live %v and %v", kid, w.live(young), w.live(old))
			}
			w.setState(oldKid, "retiring")
			if _, kid := fresh(); kid != key.ID || !w.live(old) || published(oldKid) != (ring == "access") {
				t.Fatalf("retiring: signed by %s, live %v, published %v", kid, w.live(old), published(oldKid))
			}
			w.setState(oldKid, "retired")
			if w.live(old) || !w.live(young) || published(oldKid) {
				t.Fatalf("retired: live %v and %v, published %v", w.live(old), w.live(young), published(oldKid))
			}
			w.build()
			if _, kid := fresh(); kid != key.ID || w.live(old) || !w.live(young) {
				t.Fatalf("after a restart: signed by %s, live %v and %v", kid, w.live(old), w.live(young))
			}
		})
	}
}

// A state without an active key in a place that is always needed is not taken over; what was there serves on.
func TestKeysWithoutAnActiveOneAreNotTakenOver(t *testing.T) {
	for _, ring := range []string{"access", "introspection", "opaque", "refresh"} {
		w := newWorld(t)
		w.application("app", nil)
		record := w.keyRecords(ring)[0]
		record.State = "retired"
		if err := w.store.Txn(t.Context(), updateAuthority(record)); err != nil {
			t.Fatal(err)
		}
		change := storage.Change{Items: []storage.ChangeItem{{Kind: "keys", ID: record.ID}}}
		if err := w.server.Apply(t.Context(), w.store, change); err == nil || !strings.Contains(err.Error(), ring) {
			t.Errorf("%s: %v", ring, err)
		}
		if token := w.machine("app").text("access_token"); !w.live(token) {
			t.Errorf("%s: the tokens are dead", ring)
		}
		w.build() // a restart fills the place
		if token := w.machine("app").text("access_token"); !w.live(token) || len(w.keyRecords(ring)) != 2 {
			t.Errorf("%s: %d keys after a restart", ring, len(w.keyRecords(ring)))
		}
	}
}

// What one ring's key signed is nothing to another: the key of the introspection replies, though published beside, makes no token.
func TestRingsAreApart(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	claims := part(t, w.machine("app").text("access_token"), 1)
	access, other := w.signingKey("access"), w.signingKey("introspection")
	header := func(kid string) map[string]any { return map[string]any{"kid": kid, "typ": "at+jwt"} }
	if !w.live(forge(t, jose.ES256, access.Key, claims, header(access.KeyID))) {
		t.Fatal("the control is not accepted: the table proves nothing")
	}
	set := w.jwks()
	if len(set.Key(other.KeyID)) != 1 {
		t.Fatal("the key of the replies is not published")
	}
	for _, kid := range []string{other.KeyID, access.KeyID} {
		if w.live(forge(t, jose.ES256, other.Key, claims, header(kid))) {
			t.Fatal("the key of the replies made a token")
		}
	}
	// A sealed key that is carried over to another ring is not opened there.
	w.insertKey(foreignKey(t, "introspection", "ES256")) // so that no place is empty
	moved, err := storage.Get[storage.Key](t.Context(), w.store, other.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	moved.Ring, moved.ActiveAt = "access", w.at(time.Second)
	if err := w.store.Txn(t.Context(), updateAuthority(moved)); err != nil {
		t.Fatal(err)
	}
	change := storage.Change{Items: []storage.ChangeItem{{Kind: "keys", ID: moved.ID}}}
	if err := w.server.Apply(t.Context(), w.store, change); err == nil || !strings.Contains(err.Error(), "unsealed") {
		t.Fatalf("a key moved to another ring: %v", err)
	}
}

// F-29: a secret key of another length than 32 bytes is none, though its first 32 would do.
func TestF29SecretKeysHaveTheirLength(t *testing.T) {
	for _, ring := range []string{"opaque", "refresh"} {
		for _, length := range []int{0, 16, 31, 33, 64} {
			w := newWorld(t)
			record := w.keyRecords(ring)[0]
			var err error
			if record.Sealed, err = (sealer{}).Seal(make([]byte, length), "key|"+ring+"|"+record.ID); err != nil {
				t.Fatal(err)
			}
			if err := w.store.Txn(t.Context(), updateAuthority(record)); err != nil {
				t.Fatal(err)
			}
			if _, err := oauth.Open(t.Context(), w.config()); err == nil || !strings.Contains(err.Error(), "32") {
				t.Errorf("%s of %d bytes: %v", ring, length, err)
			}
		}
	}
}

// A key that is not what its record says keeps the server from starting.
func TestKeysAreWhatTheySay(t *testing.T) {
	for name, spoil := range map[string]func(w *world, key *storage.Key){
		"another algorithm":         func(_ *world, key *storage.Key) { key.Algorithm = "EdDSA" },
		"an unknown algorithm":      func(_ *world, key *storage.Key) { key.Algorithm = "none" },
		"another public half":       func(w *world, key *storage.Key) { key.Public = w.keyRecords("introspection")[0].Public },
		"no public half":            func(_ *world, key *storage.Key) { key.Public = json.RawMessage(`{"kty":"oct","k":"AA"}`) },
		"another private half":      func(w *world, key *storage.Key) { key.Sealed = reseal(w, w.signingKey("introspection"), key) },
		"no private half":           func(w *world, key *storage.Key) { key.Sealed = reseal(w, publicHalf(w.signingKey("access")), key) },
		"a private half to publish": func(w *world, key *storage.Key) { key.Public = plain(w, w.signingKey("access")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			key := w.keyRecords("access")[0]
			spoil(w, key)
			// Another active one, so that the place is not empty.
			if err := w.store.Txn(t.Context(), insertAuthority(foreignKey(t, "access", "ES256"))); err != nil {
				t.Fatal(err)
			}
			key.ActiveAt = w.at(time.Second)
			if err := w.store.Txn(t.Context(), updateAuthority(key)); err != nil {
				t.Fatal(err)
			}
			if _, err := oauth.Open(t.Context(), w.config()); err == nil || !strings.Contains(err.Error(), key.ID) {
				t.Fatalf("opened: %v", err)
			}
		})
	}
}

func publicHalf(key jose.JSONWebKey) jose.JSONWebKey { return key.Public() }

func plain(w *world, key jose.JSONWebKey) []byte {
	w.tb.Helper()
	raw, err := key.MarshalJSON()
	if err != nil {
		w.tb.Fatal(err)
	}
	return raw
}

func reseal(w *world, key jose.JSONWebKey, record *storage.Key) []byte {
	w.tb.Helper()
	sealed, err := sealer{}.Seal(plain(w, key), "key|"+record.Ring+"|"+record.ID)
	if err != nil {
		w.tb.Fatal(err)
	}
	return sealed
}

// The first tokens of an algorithm, asked for on many nodes at once, come from one key.
func TestOneKeyPerAlgorithmHoweverManyAskFirst(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, func(a *storage.Application) { a.TokenSigningAlg = "EdDSA" })
	nodes := []http.Handler{w.handler}
	for range 2 {
		w.build()
		nodes = append(nodes, w.handler)
	}
	replies := make([]reply, 12)
	var group sync.WaitGroup
	for n := range replies {
		group.Go(func() {
			node := &world{tb: t, handler: nodes[n%len(nodes)]}
			replies[n] = node.machine("app")
		})
	}
	group.Wait()
	kids := map[any]bool{}
	for _, r := range replies {
		w.want(r, http.StatusOK, "")
		kids[part(t, r.text("access_token"), 0)["kid"]] = true
	}
	if len(kids) != 1 || len(w.keyRecords("access")) != 3 {
		t.Fatalf("signed by %v, %d keys", kids, len(w.keyRecords("access")))
	}
}

// A key that cannot be made is an outage of those who want it, before anything of theirs is spent, and of nobody else.
func TestNoKeyInAnOutage(t *testing.T) {
	for name, cut := range map[string]func(w *world, down bool){
		"store": func(w *world, down bool) { w.store.down.Store(down) },
		"audit": func(w *world, down bool) {
			if w.auditor.down = nil; down {
				w.auditor.down = errors.New("disk full")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.application("plain", nil)
			edwards := func(a *storage.Application) { a.TokenSigningAlg = "EdDSA" }
			w.application("edwards", nil, edwards)
			cut(w, true)
			r := w.want(w.machine("edwards"), http.StatusServiceUnavailable, "temporarily_unavailable")
			if r.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			w.want(w.machine("plain"), http.StatusOK, "")
			cut(w, false)
			if len(w.keyRecords("access")) != 1 {
				t.Error("a key was stored")
			}
			w.want(w.machine("edwards"), http.StatusOK, "")
		})
	}
	t.Run("a refresh token is not spent", func(t *testing.T) {
		w := peopled(t)
		refreshing := func(a *storage.Application) { a.GrantTypes = []string{"password", "refresh_token"} }
		w.application("portal", nil, refreshing)
		first := w.person("portal", "ada").text("refresh_token")
		w.application("portal", nil, refreshing, func(a *storage.Application) { a.TokenSigningAlg = "EdDSA" })
		w.auditor.down = errors.New("disk full")
		w.want(w.token("portal", "grant_type", "refresh_token", "refresh_token", first), http.StatusServiceUnavailable, "temporarily_unavailable")
		w.auditor.down = nil
		sessions, err := storage.List[storage.Session](t.Context(), w.store, storage.Query{Limit: 10})
		if err != nil || len(sessions) != 1 || sessions[0].Generation != 0 {
			t.Fatalf("%d sessions, %v", len(sessions), err)
		}
		r := w.want(w.token("portal", "grant_type", "refresh_token", "refresh_token", first), http.StatusOK, "")
		if part(t, r.text("access_token"), 0)["alg"] != "EdDSA" {
			t.Fatal("another algorithm")
		}
	})
}
