package oauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// proofKey is what an application proves itself with.
type proofKey struct {
	algorithm jose.SignatureAlgorithm
	private   crypto.Signer
	kid       string
}

var rsaProof = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newProof(tb testing.TB, algorithm jose.SignatureAlgorithm, kid string) proofKey {
	tb.Helper()
	k := proofKey{algorithm: algorithm, kid: kid}
	var err error
	switch algorithm {
	case jose.ES256:
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		k.private, err = rsaProof()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// set is the JWK set of the public halves.
func set(tb testing.TB, keys ...proofKey) json.RawMessage {
	tb.Helper()
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		public.Keys = append(public.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.kid})
	}
	raw, err := json.Marshal(public)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// provenBy registers public keys by value.
func provenBy(tb testing.TB, keys ...proofKey) func(*storage.Application) {
	return func(a *storage.Application) {
		a.TokenEndpointAuthMethod, a.Secrets, a.JWKS = "private_key_jwt", nil, set(tb, keys...)
	}
}

// doc is a header or a payload. A nil value removes a member.
type doc map[string]any

func (d doc) with(changes doc) doc {
	d = maps.Clone(d)
	for name, value := range changes {
		if d[name] = value; value == nil {
			delete(d, name)
		}
	}
	return d
}

// payload is a good assertion of an application. Each has another jti.
func (w *world) payload(id string, changes doc) doc {
	w.tb.Helper()
	return doc{
		"iss": id, "sub": id, "aud": issuer, "jti": rand.Text(), "iat": w.now().Unix(), "exp": w.now().Add(time.Minute).Unix(),
	}.with(changes)
}

// sign writes the compact form by hand, so that any header can be had.
func (k proofKey) sign(tb testing.TB, payload doc, header doc) string {
	tb.Helper()
	whole := doc{"alg": string(k.algorithm)}
	if k.kid != "" {
		whole["kid"] = k.kid
	}
	return k.signText(tb, encode(tb, whole.with(header)), encode(tb, payload))
}

func (k proofKey) signText(tb testing.TB, header, payload string) string {
	tb.Helper()
	text := header + "." + payload
	return text + "." + base64.RawURLEncoding.EncodeToString(rawSignature(tb, k, []byte(text)))
}

func rawSignature(tb testing.TB, k proofKey, text []byte) []byte {
	tb.Helper()
	hash := crypto.SHA256.New()
	hash.Write(text)
	sum := hash.Sum(nil)
	var signature []byte
	var err error
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, failed := ecdsa.Sign(rand.Reader, private, sum)
		if failed != nil {
			tb.Fatal(failed)
		}
		signature = make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, text)
	case *rsa.PrivateKey:
		if k.algorithm == jose.PS256 {
			signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum)
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	return signature
}

func encode(tb testing.TB, d doc) string {
	tb.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		tb.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// assert sends an assertion to an endpoint. Pairs are further parameters; an empty value removes one.
func (w *world) assert(path, assertion string, pairs ...string) reply {
	w.tb.Helper()
	form := url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	if path == "/oauth2/token" {
		form.Set("grant_type", "client_credentials")
	}
	for n := 0; n < len(pairs); n += 2 {
		if form.Set(pairs[n], pairs[n+1]); pairs[n+1] == "" {
			form.Del(pairs[n])
		}
	}
	return w.send(path, form.Encode())
}

// asserted gets a token for a good assertion with these changes.
func (w *world) asserted(k proofKey, id string, payload, header doc, pairs ...string) reply {
	w.tb.Helper()
	return w.assert("/oauth2/token", k.sign(w.tb, w.payload(id, payload), header), pairs...)
}

// wantAsWrongSecret holds a reply to the bytes of the one to a wrong secret.
func (w *world) wantAsWrongSecret(r reply) {
	w.tb.Helper()
	w.want(r, http.StatusUnauthorized, "invalid_client")
	wrong := w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", basic("nobody", "wrong"))
	if !bytes.Equal(r.Body.Bytes(), wrong.Body.Bytes()) || !sameHeaders(r.Header(), wrong.Header()) {
		w.tb.Fatalf("unlike the reply to a wrong secret:\n%v %s\n%v %s", r.Header(), r.Body, wrong.Header(), wrong.Body)
	}
}

func TestA01ClientAssertions(t *testing.T) {
	w := newWorld(t)
	metadata := w.get("/.well-known/oauth-authorization-server").JSON
	algorithms := texts(metadata["token_endpoint_auth_signing_alg_values_supported"])
	if strings.Join(algorithms, " ") != "ES256 EdDSA PS256 RS256" {
		t.Fatalf("algorithms: %v", algorithms)
	}
	for _, algorithm := range algorithms {
		k := newProof(t, jose.SignatureAlgorithm(algorithm), "current")
		other := newProof(t, jose.ES256, "other")
		for _, registered := range []string{"", algorithm} {
			w.application("app", []string{"ledger:read"}, provenBy(t, other, k), func(a *storage.Application) {
				a.TokenEndpointAuthSigningAlg = registered
			})
			for name, c := range map[string]struct {
				payload, header doc
				pairs           []string
			}{
				"plain":                     {},
				"with a client_id":          {pairs: []string{"client_id", "app"}},
				"one audience in an array":  {payload: doc{"aud": []string{issuer}}},
				"of the common type":        {header: doc{"typ": "JWT"}},
				"of its own type":           {header: doc{"typ": "client-authentication+jwt"}},
				"without a key id":          {header: doc{"kid": nil}},
				"without iat":               {payload: doc{"iat": nil}},
				"with nbf":                  {payload: doc{"nbf": w.now().Unix()}},
				"by a clock that is behind": {payload: doc{"exp": w.now().Add(-4 * time.Second).Unix()}},
				"by a clock that is ahead": {payload: doc{
					"iat": w.now().Add(5 * time.Second).Unix(), "nbf": w.now().Add(5 * time.Second).Unix(),
					"exp": w.now().Add(305 * time.Second).Unix(),
				}},
				"with more than is asked for": {payload: doc{"scope": "x", "client_id": "other"}, header: doc{"x": 1}},
			} {
				r := w.want(w.asserted(k, "app", c.payload, c.header, c.pairs...), http.StatusOK, "")
				if !w.live(r.text("access_token")) || r.text("scope") != "ledger:read" {
					t.Fatalf("%s %s: %s", algorithm, name, r.Body)
				}
				if _, there := part(t, r.text("access_token"), 1)["writ"].(map[string]any)["k"]; there {
					t.Fatal("the token names a secret")
				}
			}
		}
	}
	if w.secrets.hashes.Load() != 0 {
		t.Fatal("an assertion cost a hash")
	}
}

func TestA01AKeyWithoutAnIDIsFoundByAny(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	other := newProof(t, jose.ES256, "other")
	s := newKeyServer(t, other, k)
	w.application("value", nil, provenBy(t, other, k))
	w.application("reference", nil, s.at)
	for _, id := range []string{"value", "reference"} {
		for _, kid := range []any{nil, "", "thumbprint"} {
			w.want(w.asserted(k, id, nil, doc{"kid": kid}), http.StatusOK, "")
		}
		w.wantAsWrongSecret(w.asserted(k, id, nil, doc{"alg": "EdDSA", "kid": "other"}))
	}
	s.want(t, 1)
}

func TestA02TheAudienceIsTheIssuerAlone(t *testing.T) {
	const endpoint = issuer + "/oauth2/token"
	for _, compatible := range []bool{false, true} {
		w := newWorld(t, func(_ *enforce.Config, o *oauth.Config) { o.AssertionAudienceTokenEndpoint = compatible })
		k := newProof(t, jose.ES256, "")
		w.application("app", nil, provenBy(t, k))
		for name, c := range map[string]struct {
			aud  any
			good bool
		}{
			"issuer":                     {issuer, true},
			"token endpoint":             {endpoint, compatible},
			"token endpoint in an array": {[]string{endpoint}, compatible},
			"both":                       {[]string{issuer, endpoint}, false},
			"two servers":                {[]string{issuer, "https://other.example.com"}, false},
			"twice the same":             {[]string{issuer, issuer}, false},
			"none":                       {[]string{}, false},
			"no text":                    {[]any{1}, false},
			"null":                       {json.RawMessage("null"), false},
			"absent":                     {nil, false},
			"with a slash":               {issuer + "/", false},
			"in upper case":              {strings.ToUpper(issuer), false},
			"another endpoint":           {issuer + "/oauth2/introspect", false},
			"an alias of the endpoint":   {issuer + "/token", false},
			"another server":             {"https://other.example.com", false},
		} {
			before := w.store.calls.Load()
			r := w.asserted(k, "app", doc{"aud": c.aud}, nil)
			if c.good {
				w.want(r, http.StatusOK, "")
				continue
			}
			w.wantAsWrongSecret(r)
			if got := w.store.calls.Load() - before; got != 0 {
				t.Errorf("%s: %d calls of the store before the audience was judged (F-09)", name, got)
			}
		}
	}
}

// At each endpoint, the same assertion twice, and then 16 times at once.
func TestST8AnAssertionIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	w.application("app", nil, provenBy(t, k))
	w.application("other", nil, provenBy(t, k))
	endpoints := map[string][]string{
		"/oauth2/token": nil, "/oauth2/introspect": {"token", "x"}, "/oauth2/revoke": {"token", "x"},
	}
	for path, pairs := range endpoints {
		one := k.sign(t, w.payload("app", nil), nil)
		w.want(w.assert(path, one, pairs...), http.StatusOK, "")
		for again, pairs := range endpoints {
			w.wantAsWrongSecret(w.assert(again, one, pairs...))
		}
		parallel := k.sign(t, w.payload("app", nil), nil)
		var won atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				switch r := w.assert(path, parallel, pairs...); {
				case r.Code == http.StatusOK:
					won.Add(1)
				case r.Code != http.StatusUnauthorized || r.text("error") != "invalid_client":
					t.Errorf("%d %s", r.Code, r.Body)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%s: %d of 16 won", path, won.Load())
		}
	}
}

func TestA03AReplayIsOneOfTheSameApplication(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	w.application("app", nil, provenBy(t, k))
	w.application("other", nil, provenBy(t, k))
	jti := doc{"jti": strings.Repeat("j", 256)}
	w.want(w.asserted(k, "app", jti, nil), http.StatusOK, "")
	w.want(w.asserted(k, "other", jti, nil), http.StatusOK, "")
	// Another assertion with the jti of one is a replay as long as that one could live, whatever node's clock tells.
	for range 6 {
		w.wantAsWrongSecret(w.asserted(k, "app", jti, nil))
		w.advance(time.Minute)
	}
	w.advance(time.Minute)
	w.want(w.asserted(k, "app", jti, nil), http.StatusOK, "")
	// A second node on the same store knows of it.
	one := k.sign(t, w.payload("app", nil), nil)
	w.want(w.assert("/oauth2/token", one), http.StatusOK, "")
	w.build()
	w.wantAsWrongSecret(w.assert("/oauth2/token", one))
}

func TestA04WrongAssertions(t *testing.T) {
	w := newWorld(t)
	k, stranger := newProof(t, jose.ES256, "current"), newProof(t, jose.ES256, "current")
	rs, weak := newProof(t, jose.RS256, "rsa"), newProof(t, jose.RS256, "weak")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak.private = small
	w.application("app", nil, provenBy(t, k, rs, weak))
	w.application("only", nil, provenBy(t, k, rs), func(a *storage.Application) { a.TokenEndpointAuthSigningAlg = "ES256" })
	w.application("secret", nil)
	w.application("keyless", nil, provenBy(t), func(a *storage.Application) { a.JWKS = nil })
	w.application("none", nil, method("none"))
	good := func() doc { return w.payload("app", nil) }
	at := func(d time.Duration) int64 { return w.now().Add(d).Unix() }
	signed := func(payload, header doc) func() string {
		return func() string { return k.sign(t, w.payload("app", payload), header) }
	}
	for name, c := range map[string]struct {
		assertion func() string
		pairs     []string
	}{
		"expired":                      {signed(doc{"exp": at(-5 * time.Second)}, nil), nil},
		"long expired":                 {signed(doc{"exp": 1}, nil), nil},
		"beyond the maximum age":       {signed(doc{"exp": at(306 * time.Second)}, nil), nil},
		"without an end":               {signed(doc{"exp": nil}, nil), nil},
		"an end of nothing":            {signed(doc{"exp": json.RawMessage("null")}, nil), nil},
		"an end that is a text":        {signed(doc{"exp": "1772366460"}, nil), nil},
		"an end that is a fraction":    {signed(doc{"exp": json.RawMessage("1772366460.5")}, nil), nil},
		"an end beyond numbers":        {signed(doc{"exp": json.RawMessage("1e30")}, nil), nil},
		"a negative end":               {signed(doc{"exp": -1}, nil), nil},
		"nbf in the future":            {signed(doc{"nbf": at(6 * time.Second)}, nil), nil},
		"iat in the future":            {signed(doc{"iat": at(6 * time.Second)}, nil), nil},
		"iat long ago":                 {signed(doc{"iat": at(-306 * time.Second)}, nil), nil},
		"iat at the beginning":         {signed(doc{"iat": 0}, nil), nil},
		"iss is not sub":               {signed(doc{"iss": "secret"}, nil), nil},
		"sub is not iss":               {signed(doc{"sub": "secret"}, nil), nil},
		"no iss":                       {signed(doc{"iss": nil}, nil), nil},
		"no sub":                       {signed(doc{"sub": nil}, nil), nil},
		"names in another case":        {signed(doc{"sub": nil, "Sub": "app"}, nil), nil},
		"no jti":                       {signed(doc{"jti": nil}, nil), nil},
		"an empty jti":                 {signed(doc{"jti": ""}, nil), nil},
		"a jti that is a number":       {signed(doc{"jti": 7}, nil), nil},
		"a long jti":                   {signed(doc{"jti": strings.Repeat("j", 257)}, nil), nil},
		"another client_id":            {signed(nil, nil), []string{"client_id", "only"}},
		"an unknown application":       {func() string { return k.sign(t, w.payload("nobody", nil), nil) }, nil},
		"an application of a secret":   {func() string { return k.sign(t, w.payload("secret", nil), nil) }, nil},
		"a public application":         {func() string { return k.sign(t, w.payload("none", nil), nil) }, nil},
		"an application without keys":  {func() string { return k.sign(t, w.payload("keyless", nil), nil) }, nil},
		"a long id":                    {func() string { return k.sign(t, w.payload(strings.Repeat("a", 129), nil), nil) }, nil},
		"another algorithm":            {func() string { return rs.sign(t, w.payload("only", nil), nil) }, nil},
		"another key":                  {func() string { return stranger.sign(t, good(), nil) }, nil},
		"another key, unnamed":         {func() string { return stranger.sign(t, good(), doc{"kid": nil}) }, nil},
		"a weak key":                   {func() string { return weak.sign(t, good(), nil) }, nil},
		"an unknown kid":               {signed(nil, doc{"kid": "../../current"}), nil},
		"a kid of another key":         {signed(nil, doc{"kid": "rsa"}), nil},
		"a kid that is an object":      {signed(nil, doc{"kid": doc{"$ne": nil}}), nil},
		"a kid with a zero":            {signed(nil, doc{"kid": "current\x00"}), nil},
		"a long kid":                   {signed(nil, doc{"kid": strings.Repeat("k", 10<<10)}), nil},
		"something critical":           {signed(nil, doc{"crit": []string{"exp"}}), nil},
		"nothing critical":             {signed(nil, doc{"crit": []string{}}), nil},
		"an unencoded payload":         {signed(nil, doc{"b64": false, "crit": []string{"b64"}}), nil},
		"no algorithm":                 {signed(nil, doc{"alg": nil}), nil},
		"an algorithm in another case": {signed(nil, doc{"alg": "es256"}), nil},
		"ES384":                        {signed(nil, doc{"alg": "ES384"}), nil},
		"RS256 in the place of PS256":  {func() string { return rs.sign(t, good(), doc{"alg": "PS256"}) }, nil},
		"an access token's type":       {signed(nil, doc{"typ": "at+jwt"}), nil},
		"a type that is no text":       {signed(nil, doc{"typ": 1}), nil},
		"two algorithms": {func() string {
			header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","alg":"ES256","kid":"current"}`))
			return k.signText(t, header, encode(t, good()))
		}, nil},
		"a changed payload": {func() string {
			parts := strings.Split(signed(nil, nil)(), ".")
			return parts[0] + "." + encode(t, good()) + "." + parts[2]
		}, nil},
		"two parts":    {func() string { return "e30.e30" }, nil},
		"four parts":   {func() string { return signed(nil, nil)() + ".e30" }, nil},
		"five parts":   {func() string { return "e30.e30.e30.e30.e30" }, nil},
		"no signature": {func() string { a := signed(nil, nil)(); return a[:strings.LastIndexByte(a, '.')+1] }, nil},
		"padding":      {func() string { return signed(nil, nil)() + "=" }, nil},
		"a list":       {func() string { return "W10.W10.AA" }, nil},
		"null":         {func() string { return "bnVsbA.bnVsbA.AA" }, nil},
		"dots (S-J7)":  {func() string { return strings.Repeat(".", 900<<10) }, nil},
		"too long":     {signed(doc{"x": strings.Repeat("x", 16<<10)}, nil), nil},
		"another type": {signed(nil, nil), []string{"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}},
		"no type":      {signed(nil, nil), []string{"client_assertion_type", ""}},
		"a type alone": {signed(nil, nil), []string{"client_assertion", "", "client_id", "app"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.tb = t
			before := w.store.calls.Load()
			w.wantAsWrongSecret(w.assert("/oauth2/token", c.assertion(), c.pairs...))
			if got := w.store.calls.Load() - before; got != 0 {
				t.Errorf("%d calls of the store", got)
			}
		})
	}
	w.tb = t
	w.want(w.assert("/oauth2/token", signed(nil, nil)()), http.StatusOK, "")
}

func TestA04TheMaximumAgeIsConfigured(t *testing.T) {
	w := newWorld(t, func(_ *enforce.Config, o *oauth.Config) { o.AssertionMaxAge = time.Hour })
	k := newProof(t, jose.ES256, "")
	w.application("app", nil, provenBy(t, k))
	long := doc{"exp": w.now().Add(time.Hour).Unix(), "iat": w.now().Add(-time.Hour).Unix(), "jti": "one"}
	w.want(w.asserted(k, "app", long, nil), http.StatusOK, "")
	w.advance(time.Hour - time.Second)
	w.wantAsWrongSecret(w.asserted(k, "app", doc{"jti": "one"}, nil)) // for as long as it could live
	w.wantAsWrongSecret(w.asserted(k, "app", doc{"exp": w.now().Add(2 * time.Hour).Unix()}, nil))
	w.wantAsWrongSecret(w.asserted(k, "app", doc{"iat": w.now().Add(-2 * time.Hour).Unix()}, nil))
}

func TestSJ1AndSJ2UnsignedAndSymmetricAssertions(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.RS256, "")
	w.application("app", nil, provenBy(t, k))
	for _, none := range []string{"none", "None", "nOnE", "NONE", ""} {
		text := encode(t, doc{"alg": none}) + "." + encode(t, w.payload("app", nil)) + "."
		w.wantAsWrongSecret(w.assert("/oauth2/token", text))
		w.wantAsWrongSecret(w.assert("/oauth2/token", text+"AA"))
	}
	registered := set(t, k)
	for _, secret := range [][]byte{registered, k.private.(*rsa.PrivateKey).N.Bytes(), []byte("secret of app"), make([]byte, 32)} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: append(secret, make([]byte, 32)...)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := json.Marshal(w.payload("app", nil))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		w.wantAsWrongSecret(w.assert("/oauth2/token", text))
	}
}

// keyServer publishes keys and counts who asks.
type keyServer struct {
	*httptest.Server
	hits atomic.Int64
	body atomic.Pointer[[]byte]
}

func newKeyServer(tb testing.TB, keys ...proofKey) *keyServer {
	tb.Helper()
	s := &keyServer{}
	s.publish(tb, keys...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.hits.Add(1)
		if body := s.body.Load(); body != nil {
			_, _ = w.Write(*body)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	tb.Cleanup(s.Close)
	return s
}

func (s *keyServer) publish(tb testing.TB, keys ...proofKey) {
	tb.Helper()
	raw := []byte(set(tb, keys...))
	s.body.Store(&raw)
}

// want fails unless it was asked so many times.
func (s *keyServer) want(tb testing.TB, hits int64) {
	tb.Helper()
	if got := s.hits.Load(); got != hits {
		tb.Fatalf("asked %d times, not %d", got, hits)
	}
}

// at registers keys by reference.
func (s *keyServer) at(a *storage.Application) {
	a.TokenEndpointAuthMethod, a.Secrets, a.JWKSURI = "private_key_jwt", nil, s.URL+"/keys"
}

func TestSJ3KeysThatAnAssertionBringsAreNotLookedAt(t *testing.T) {
	w := newWorld(t)
	k, own := newProof(t, jose.ES256, "current"), newProof(t, jose.ES256, "mine")
	s := newKeyServer(t, own)
	w.application("app", nil, provenBy(t, k))
	var jwk doc
	if err := json.Unmarshal(set(t, own), &jwk); err != nil {
		t.Fatal(err)
	}
	public := jwk["keys"].([]any)[0]
	for _, header := range []doc{
		{"jku": s.URL},
		{"x5u": s.URL},
		{"jwk": public},
		{"jku": s.URL, "kid": "current"},
		{"jwk": public, "kid": "current"},
		{"jwk": public, "kid": nil},
		{"x5c": []string{"AA"}},
	} {
		w.wantAsWrongSecret(w.asserted(own, "app", nil, header))
	}
	s.want(t, 0)
}

func TestF06AssertionsAreForThoseWhoRegisteredKeys(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	for _, registered := range []string{"", "client_secret_basic", "client_secret_post", "none", "private_key_jwt"} {
		w.application("app", nil, func(a *storage.Application) { a.TokenEndpointAuthMethod, a.JWKS = registered, set(t, k) })
		for path, pairs := range map[string][]string{
			"/oauth2/token": nil, "/oauth2/introspect": {"token", "x"}, "/oauth2/revoke": {"token", "x"},
		} {
			assertion := k.sign(t, w.payload("app", nil), nil)
			if r := w.assert(path, assertion, pairs...); registered == "private_key_jwt" {
				w.want(r, http.StatusOK, "")
			} else {
				w.wantAsWrongSecret(r)
			}
			if registered != "private_key_jwt" {
				continue
			}
			form := url.Values{"grant_type": {"client_credentials"}}
			for n := 0; n < len(pairs); n += 2 {
				form.Set(pairs[n], pairs[n+1])
			}
			w.wantAsWrongSecret(w.send(path, form.Encode(), "Authorization", basic("app", "secret of app")))
			w.wantAsWrongSecret(w.send(path, form.Encode()+"&client_id=app&client_secret=secret+of+app"))
			w.wantAsWrongSecret(w.send(path, form.Encode()+"&client_id=app"))
		}
	}
}

func TestF07AnEmptySecretIsNone(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	for name, secrets := range map[string][]storage.Secret{"none": nil, "one without a verifier": {{ID: "s1"}}} {
		w.application("app", nil, provenBy(t, k), func(a *storage.Application) { a.Secrets = secrets })
		before, refusals := w.secrets.hashes.Load(), int64(0)
		for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
			const form = "grant_type=client_credentials&token=x"
			w.wantAsWrongSecret(w.send(path, form, "Authorization", basic("app", "")))
			w.wantAsWrongSecret(w.send(path, form+"&client_id=app", "Authorization", basic("app", "")))
			w.wantAsWrongSecret(w.send(path, form+"&client_id=app&client_secret="))
			refusals += 3
		}
		if w.secrets.hashes.Load()-before != refusals { // those are of the wrong secrets that the replies are compared with
			t.Fatalf("%s: an empty secret was compared", name)
		}
	}
}

func TestT14AssertionBesideAnotherWay(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	w.application("app", nil, provenBy(t, k))
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		assertion := k.sign(t, w.payload("app", nil), nil)
		form := url.Values{
			"grant_type": {"client_credentials"}, "token": {"x"}, "client_assertion_type": {assertionType}, "client_assertion": {assertion},
		}
		w.want(w.send(path, form.Encode(), "Authorization", basic("app", "x")), http.StatusBadRequest, "invalid_request")
		w.want(w.send(path, form.Encode(), "Authorization", "Bearer x"), http.StatusBadRequest, "invalid_request")
		w.want(w.send(path, form.Encode()+"&client_id=app&client_secret=x"), http.StatusBadRequest, "invalid_request")
		w.want(w.send(path, form.Encode()+"&client_assertion="+assertion), http.StatusBadRequest, "invalid_request")
		form.Del("client_assertion")
		w.want(w.send(path, form.Encode(), "Authorization", basic("app", "x")), http.StatusBadRequest, "invalid_request")
		w.want(w.assert(path, assertion, "token", "x"), http.StatusOK, "")
	}
}

// Nobody is authenticated because something could not be told, and nobody is refused for it.
func TestF09AnOutageIsNoReplay(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	w.application("app", nil, provenBy(t, k))
	one := k.sign(t, w.payload("app", nil), nil)
	for path, pairs := range map[string][]string{
		"/oauth2/token": nil, "/oauth2/introspect": {"token", "x"}, "/oauth2/revoke": {"token", "x"},
	} {
		w.store.down.Store(true)
		r := w.want(w.assert(path, one, pairs...), http.StatusServiceUnavailable, "temporarily_unavailable")
		if r.Header().Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
		w.store.down.Store(false)
	}
	w.want(w.assert("/oauth2/token", one), http.StatusOK, "")
}

// losing is a store that loses some compare-and-swaps.
type losing struct {
	oauth.Store
	times atomic.Int64
}

func (l *losing) Update(ctx context.Context, r storage.Record) error {
	if l.times.Add(-1) >= 0 {
		return storage.ErrStale
	}
	return l.Store.Update(ctx, r)
}

func TestF09ALostSwapIsNoReplay(t *testing.T) {
	store := &losing{}
	w := newWorld(t, func(_ *enforce.Config, o *oauth.Config) { store.Store, o.Store = o.Store, store })
	k := newProof(t, jose.ES256, "")
	w.application("portal", []string{"ledger:read"}, provenBy(t, k), func(a *storage.Application) {
		a.GrantTypes, a.Scopes = []string{"password", "refresh_token"}, []string{"ledger:read"}
	})
	w.user("u1", "ada", []string{"ledger:read"})
	first := w.want(w.asserted(k, "portal", nil, nil, "grant_type", "password", "username", "ada", "password", "password of ada"),
		http.StatusOK, "")
	store.times.Store(2)
	again := k.sign(t, w.payload("portal", nil), nil)
	second := w.want(w.assert("/oauth2/token", again, "grant_type", "refresh_token", "refresh_token", first.text("refresh_token")),
		http.StatusOK, "")
	if store.times.Load() >= 0 {
		t.Fatal("no swap was lost")
	}
	w.wantAsWrongSecret(w.assert("/oauth2/token", again, "grant_type", "refresh_token", "refresh_token", second.text("refresh_token")))
}

func TestF10KeysByReference(t *testing.T) {
	w := newWorld(t)
	old, fresh, forged := newProof(t, jose.ES256, "2026-01"), newProof(t, jose.EdDSA, "2026-02"), newProof(t, jose.ES256, "2026-03")
	s := newKeyServer(t, old)
	w.application("app", nil, s.at)
	w.application("basic", nil)
	w.wantAsWrongSecret(w.asserted(old, "nobody", nil, nil))
	w.wantAsWrongSecret(w.asserted(old, "basic", nil, nil))
	w.wantAsWrongSecret(w.asserted(old, "app", doc{"aud": "https://other.example.com"}, nil))
	s.want(t, 0) // nothing is fetched for what is wrong anyway
	w.want(w.asserted(old, "app", nil, nil), http.StatusOK, "")
	w.want(w.asserted(old, "app", nil, doc{"kid": nil}), http.StatusOK, "")
	s.want(t, 1)
	// A rotation there: the new key id is fetched for, once.
	s.publish(t, fresh)
	w.want(w.asserted(fresh, "app", nil, nil), http.StatusOK, "")
	s.want(t, 2)
	w.wantAsWrongSecret(w.asserted(old, "app", nil, nil))
	for range 10 { // they may have published it since
		w.want(w.asserted(forged, "app", nil, nil), http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	s.want(t, 2)
	w.advance(time.Minute)
	for range 10 {
		w.wantAsWrongSecret(w.asserted(forged, "app", nil, nil))
	}
	s.want(t, 3)
	// When they cannot be had any more, the last ones serve; whether there is a new one cannot be told.
	s.body.Store(nil)
	w.advance(time.Minute)
	w.want(w.asserted(forged, "app", nil, nil), http.StatusServiceUnavailable, "temporarily_unavailable")
	w.want(w.asserted(fresh, "app", nil, nil), http.StatusOK, "")
	w.application("new", nil, s.at, func(a *storage.Application) { a.JWKSURI += "/never-seen" })
	w.want(w.asserted(fresh, "new", nil, nil), http.StatusServiceUnavailable, "temporarily_unavailable")
}

func TestST16AnEndedApplicationProvesNothing(t *testing.T) {
	k := newProof(t, jose.ES256, "")
	for name, end := range map[string]func(*world, *storage.Application){
		"deactivated":     func(_ *world, a *storage.Application) { a.IsActive, a.Epoch = false, 1 },
		"before its time": func(w *world, a *storage.Application) { a.NotBefore = w.at(time.Minute) },
		"after its time":  func(w *world, a *storage.Application) { a.NotAfter = w.at(0) },
		"without keys":    func(_ *world, a *storage.Application) { a.JWKS, a.Epoch = set(t, newProof(t, jose.ES256, "")), 1 },
		"by a secret now": func(_ *world, a *storage.Application) { a.TokenEndpointAuthMethod, a.Epoch = "", 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			adjust := func(a *storage.Application) {
				a.GrantTypes, a.Scopes = []string{"client_credentials", "password", "refresh_token"}, []string{"ledger:read"}
			}
			w.application("app", []string{"ledger:read"}, provenBy(t, k), adjust)
			w.application("asker", []string{"tokens:introspect"})
			w.user("u1", "ada", []string{"ledger:read"})
			person := []string{"grant_type", "password", "username", "ada", "password", "password of ada"}
			own := w.want(w.asserted(k, "app", nil, nil), http.StatusOK, "").text("access_token")
			login := w.want(w.asserted(k, "app", nil, nil, person...), http.StatusOK, "")
			w.application("app", []string{"ledger:read"}, provenBy(t, k), adjust, func(a *storage.Application) { end(w, a) })
			before := w.store.calls.Load()
			for _, pairs := range [][]string{nil, person, {"grant_type", "refresh_token", "refresh_token", login.text("refresh_token")}} {
				w.wantAsWrongSecret(w.asserted(k, "app", nil, nil, pairs...))
			}
			for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
				w.wantAsWrongSecret(w.assert(path, k.sign(t, w.payload("app", nil), nil), "token", own))
			}
			if got := w.store.calls.Load() - before; got != 0 {
				t.Errorf("%d calls of the store", got)
			}
			for _, token := range []string{own, login.text("access_token")} {
				if w.live(token) {
					t.Error("an old token lives")
				}
				w.wantInactive(w.introspect("asker", token))
			}
		})
	}
}

// An assertion is no token, and a token is no assertion, even of an application whose keys are the server's.
func TestSJ5AssertionsAndTokensAreNotEachOther(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.ES256, "")
	w.application("app", []string{"ledger:read"}, provenBy(t, k))
	assertion := k.sign(t, w.payload("app", nil), nil)
	if w.live(assertion) {
		t.Fatal("an assertion is an access token")
	}
	token := w.want(w.assert("/oauth2/token", assertion), http.StatusOK, "").text("access_token")
	w.application("mirror", nil, func(a *storage.Application) {
		a.TokenEndpointAuthMethod, a.JWKS = "private_key_jwt", w.get("/.well-known/jwks.json").Body.Bytes()
	})
	w.wantAsWrongSecret(w.assert("/oauth2/token", token))
	w.wantAsWrongSecret(w.assert("/oauth2/token", token, "client_id", "mirror"))
}

func TestAssertionsAtIntrospectionAndRevocation(t *testing.T) {
	w := newWorld(t)
	k := newProof(t, jose.PS256, "")
	w.application("app", []string{"ledger:read"}, provenBy(t, k))
	token := w.want(w.asserted(k, "app", nil, nil), http.StatusOK, "").text("access_token")
	ask := func() reply {
		return w.want(w.assert("/oauth2/introspect", k.sign(t, w.payload("app", nil), nil), "token", token), http.StatusOK, "")
	}
	if r := ask(); r.JSON["active"] != true || r.text("client_id") != "app" {
		t.Fatalf("%s", r.Body)
	}
	w.want(w.assert("/oauth2/revoke", k.sign(t, w.payload("app", nil), nil), "token", token), http.StatusOK, "")
	if r := ask(); r.JSON["active"] != false || w.live(token) {
		t.Fatalf("%s", r.Body)
	}
	if strings.Contains(w.logged.String(), token) {
		t.Fatal("a token is in a log")
	}
}
