package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/storage"
)

// signingKey is the world's active key, unsealed: what an attacker would like to have.
func (w *world) signingKey() jose.JSONWebKey {
	w.tb.Helper()
	records, err := storage.List[storage.Key](w.tb.Context(), w.store, storage.Query{Equal: map[string][]string{"ring": {"access"}}, Limit: 10})
	if err != nil || len(records) != 1 {
		w.tb.Fatalf("keys: %d %v", len(records), err)
	}
	raw, err := sealer{}.Open(records[0].Sealed, "signing-key|access|"+records[0].ID)
	if err != nil {
		w.tb.Fatal(err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(raw); err != nil {
		w.tb.Fatal(err)
	}
	return key
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

func TestJ01Header(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	header := part(t, w.machine("app").text("access_token"), 0)
	kid, _ := header["kid"].(string)
	published := w.jwks()
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" || len(published.Key(kid)) != 1 || len(header) != 3 {
		t.Fatalf("header: %v", header)
	}
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
	key := w.signingKey()
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
	r := w.get("/.well-known/jwks.json")
	etag := r.Header().Get("ETag")
	if r.Code != http.StatusOK || etag == "" || !strings.Contains(r.Header().Get("Cache-Control"), "max-age=") {
		t.Fatalf("%d %v", r.Code, r.Header())
	}
	var raw struct{ Keys []map[string]any }
	if err := json.Unmarshal(r.Body.Bytes(), &raw); err != nil || len(raw.Keys) != 1 {
		t.Fatalf("%s %v", r.Body, err)
	}
	for name := range raw.Keys[0] {
		if !slices.Contains([]string{"kty", "crv", "x", "y", "kid", "use", "alg"}, name) {
			t.Errorf("member %q is published", name)
		}
	}
	key := w.jwks().Keys[0]
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil || key.KeyID != base64.RawURLEncoding.EncodeToString(sum) || key.Use != "sig" || key.Algorithm != "ES256" {
		t.Fatalf("%+v %v", key, err)
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
	if got := w.auditor.entries; len(got) != 4 || !strings.HasPrefix(got[0], "intent system keys:write keys/") {
		t.Fatalf("audit: %v", got)
	}
}

func TestKeysAreSealedAndBoundToTheirPlace(t *testing.T) {
	w := newWorld(t)
	records, err := storage.List[storage.Key](t.Context(), w.store, storage.Query{Equal: map[string][]string{"ring": {"access"}}, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	private := w.signingKey().Key.(*ecdsa.PrivateKey)
	if strings.Contains(string(records[0].Public), `"d"`) || !private.PublicKey.Equal(w.jwks().Keys[0].Key) {
		t.Fatal("the public half is not the public half")
	}
	// Another node's key encryption key opens nothing: the start is refused, and no new key takes the place of the old one.
	config := oauth.Config{
		Issuer: issuer, Store: w.store, Sealer: stranger{}, Directory: w.directory, Passwords: w.passwords, Secrets: w.secrets,
		Auditor: w.auditor, PDP: rules(t), Now: w.now, Logger: discard(),
	}
	if _, err := oauth.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "key encryption key") {
		t.Fatalf("opened: %v", err)
	}
}

// Keys of other nodes arrive through the feed: they verify at once, and the newest active one signs.
func TestKeysFollowTheFeed(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	other := newWorld(t)
	old := w.machine("app").text("access_token")
	records, err := storage.List[storage.Key](t.Context(), other.store, storage.Query{Equal: map[string][]string{"ring": {"access"}}, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	key := records[0]
	key.Meta = storage.Meta{ID: key.ID}
	key.ActiveAt = w.at(time.Second)
	err = w.store.Txn(t.Context(), insertAuthority(key))
	if err != nil {
		t.Fatal(err)
	}
	change := storage.Change{Items: []storage.ChangeItem{{Kind: "keys", ID: key.ID}}}
	if err := w.server.Apply(t.Context(), w.store, change); err != nil {
		t.Fatal(err)
	}
	fresh := w.machine("app").text("access_token")
	if part(t, fresh, 0)["kid"] != key.ID || !w.live(fresh) || !w.live(old) || len(w.jwks().Keys) != 2 {
		t.Fatalf("signed by %v", part(t, fresh, 0))
	}
	key.State = "retired"
	err = w.store.Txn(t.Context(), updateAuthority(key))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.Apply(t.Context(), w.store, change); err != nil {
		t.Fatal(err)
	}
	if w.live(fresh) || !w.live(old) {
		t.Fatal("a retired key still verifies, or takes others with it")
	}
}
