package identity_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"
)

type jwk map[string]string

func (k jwk) with(pairs ...string) jwk {
	k = maps.Clone(k)
	for i := 0; i < len(pairs); i += 2 {
		k[pairs[i]] = pairs[i+1]
	}
	return k
}

func encoded(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func ecKey(t testing.TB, curve elliptic.Curve) jwk {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(t, err)
	point, err := private.PublicKey.Bytes()
	must(t, err)
	half := len(point) / 2
	return jwk{"kty": "EC", "crv": curve.Params().Name, "x": encoded(point[1 : 1+half]), "y": encoded(point[1+half:])}
}

func edKey(t testing.TB) jwk {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return jwk{"kty": "OKP", "crv": "Ed25519", "x": encoded(public)}
}

func rsaKey(t testing.TB) jwk {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	return jwk{"kty": "RSA", "n": encoded(private.N.Bytes()), "e": "AQAB"}
}

func setOf(t testing.TB, keys ...jwk) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": keys})
	must(t, err)
	return string(raw)
}

// proving is the JSON of an application that proves itself with keys.
func proving(more string) string {
	return `{"name":"x","token_endpoint_auth_method":"private_key_jwt"` + more + `}`
}

func TestA01KeysAreRegisteredInOneSpelling(t *testing.T) {
	w := newWorld(t)
	ec, ed, rs := ecKey(t, elliptic.P256()), edKey(t), rsaKey(t)
	given := []jwk{
		ec.with("kid", "one", "alg", "ES256", "use", "sig", "x5u", "https://x.example/", "n", "AA"), ed.with("alg", "EdDSA"),
		rs.with("alg", "PS256", "e", "AAEAAQ"),
	}
	r := w.root().put("/v1/applications/a", proving(`,"jwks":`+setOf(t, given...))).is(201)
	equal(t, "a secret", r.value("secret") == nil, true)
	got, err := json.Marshal(w.root().get("/v1/applications/a").is(200).value("jwks"))
	must(t, err)
	want := setOf(t, ec.with("kid", "one", "alg", "ES256", "use", "sig"), ed.with("alg", "EdDSA"), rs.with("alg", "PS256"))
	equal(t, "keys", string(got), want)
	before := w.root().get("/v1/applications/a").value("updated_at")
	w.root().put("/v1/applications/a", proving(`,"jwks":`+want)).is(200)
	equal(t, "epoch after the same again", w.epoch("a"), 0)
	equal(t, "time", w.root().get("/v1/applications/a").value("updated_at") == before, true)
	r = w.root().put("/v1/applications/b", proving(`,"jwks_uri":"https://keys.example.com/b.json?v=1","token_endpoint_auth_signing_alg":"RS256"`)).is(201)
	equal(t, "URI and algorithm", r.text("jwks_uri")+" "+r.text("token_endpoint_auth_signing_alg"), "https://keys.example.com/b.json?v=1 RS256")
}

func TestA04OnlyPublicKeysOfGoodStrengthAreRegistered(t *testing.T) {
	w := newWorld(t)
	ec, ed, rs := ecKey(t, elliptic.P256()), edKey(t), rsaKey(t)
	small := new(big.Int).Lsh(big.NewInt(1), 1023)
	off := ec.with("y", ecKey(t, elliptic.P256())["y"])
	for name, c := range map[string]struct {
		jwks, pointer string
	}{
		"no object":               {`[]`, ""},
		"no keys":                 {`{}`, ""},
		"keys in another case":    {`{"Keys":[{}]}`, ""},
		"none":                    {`{"keys":[]}`, ""},
		"too many":                {setOf(t, make([]jwk, 17)...), ""},
		"a text":                  {`{"keys":["x"]}`, "/keys/0"},
		"null":                    {`{"keys":[null]}`, "/keys/0"},
		"the second is at fault":  {setOf(t, ec, jwk{"kty": "EC"}), "/keys/1/crv"},
		"private EC":              {setOf(t, ec.with("d", "AA")), "/keys/0/d"},
		"private by a null":       {`{"keys":[{"kty":"EC","d":null}]}`, "/keys/0/d"},
		"private RSA, primes":     {setOf(t, rs.with("p", "AA")), "/keys/0/p"},
		"private RSA, exponent":   {setOf(t, rs.with("dp", "AA")), "/keys/0/dp"},
		"private RSA, inverse":    {setOf(t, rs.with("qi", "AA")), "/keys/0/qi"},
		"private RSA, more":       {setOf(t, rs.with("oth", "AA")), "/keys/0/oth"},
		"symmetric":               {setOf(t, jwk{"kty": "oct", "k": "AA"}), "/keys/0/k"},
		"symmetric without a key": {setOf(t, jwk{"kty": "oct"}), "/keys/0/kty"},
		"no type":                 {setOf(t, jwk{"crv": "P-256"}), "/keys/0/kty"},
		"a type that is no text":  {`{"keys":[{"kty":1}]}`, "/keys/0/kty"},
		"P-384":                   {setOf(t, ecKey(t, elliptic.P384())), "/keys/0/crv"},
		"P-384 as P-256":          {setOf(t, ecKey(t, elliptic.P384()).with("crv", "P-256")), "/keys/0/x"},
		"off the curve":           {setOf(t, off), "/keys/0/y"},
		"padding":                 {setOf(t, ec.with("x", ec["x"]+"=")), "/keys/0/x"},
		"X25519":                  {setOf(t, ed.with("crv", "X25519")), "/keys/0/crv"},
		"a short Ed25519":         {setOf(t, ed.with("x", ed["x"][:40])), "/keys/0/x"},
		"a short modulus":         {setOf(t, rs.with("n", encoded(small.SetBit(small, 0, 1).Bytes()))), "/keys/0/n"},
		"a long modulus":          {setOf(t, rs.with("n", encoded(new(big.Int).SetBit(big.NewInt(1), 8192, 1).Bytes()))), "/keys/0/n"},
		"an even modulus":         {setOf(t, rs.with("n", encoded(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes()))), "/keys/0/n"},
		"the exponent 1":          {setOf(t, rs.with("e", "AQ")), "/keys/0/e"},
		"an even exponent":        {setOf(t, rs.with("e", "BA")), "/keys/0/e"},
		"a long exponent":         {setOf(t, rs.with("e", "AQAAAAE")), "/keys/0/e"},
		"for encryption":          {setOf(t, rs.with("use", "enc")), "/keys/0/use"},
		"to sign":                 {`{"keys":[{"kty":"EC","key_ops":["sign"]}]}`, "/keys/0/key_ops"},
		"another algorithm":       {setOf(t, rs.with("alg", "RS512")), "/keys/0/alg"},
		"another key's algorithm": {setOf(t, rs.with("alg", "ES256")), "/keys/0/alg"},
		"an empty id":             {setOf(t, ec.with("kid", "")), "/keys/0/kid"},
		"an id with a zero":       {setOf(t, ec.with("kid", "a\x00b")), "/keys/0/kid"},
		"two of one id":           {setOf(t, ec.with("kid", "a"), ed.with("kid", "a")), "/keys/1/kid"},
		"too long":                {setOf(t, ec.with("x5c", strings.Repeat("A", 64<<10))), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.root().post("/v1/applications", proving(`,"jwks":`+c.jwks)).bad("/jwks" + c.pointer)
		})
	}
}

func TestF06MethodAndKeysFitEachOther(t *testing.T) {
	w := newWorld(t)
	keys := `,"jwks":` + setOf(t, ecKey(t, elliptic.P256()))
	const uri, alg = `,"jwks_uri":"https://keys.example.com/"`, `,"token_endpoint_auth_signing_alg":`
	for body, pointer := range map[string]string{
		proving(""):                       "/jwks",
		proving(keys + uri):               "/jwks_uri",
		proving(keys + alg + `"HS256"`):   "/token_endpoint_auth_signing_alg",
		proving(keys + alg + `"none"`):    "/token_endpoint_auth_signing_alg",
		proving(keys + alg + `"RS256"`):   "/token_endpoint_auth_signing_alg",
		`{"name":"x"` + keys + `}`:        "/jwks",
		`{"name":"x"` + uri + `}`:         "/jwks_uri",
		`{"name":"x"` + alg + `"ES256"}`:  "/token_endpoint_auth_signing_alg",
		proving(keys + `,"scopes":["x"]`): "/scopes/0",
		`{"name":"x","token_endpoint_auth_method":"client_secret_basic"` + keys + `}`: "/jwks",
		`{"name":"x","token_endpoint_auth_method":"none"` + uri + `}`:                 "/jwks_uri",
	} {
		w.root().post("/v1/applications", body).bad(pointer)
	}
	w.root().put("/v1/applications/a", proving(keys+alg+`"ES256"`)).is(201)
	const path = "/v1/applications/a"
	w.root().patch(path, `{"jwks":null}`).bad("/jwks")
	w.root().patch(path, `{"token_endpoint_auth_method":null}`).bad("/jwks")
	w.root().patch(path, `{"token_endpoint_auth_method":null,"jwks":null}`).bad("/token_endpoint_auth_signing_alg")
	w.root().patch(path, `{"name":"renamed"}`).is(200)
	w.root().patch(path, `{"token_endpoint_auth_method":null,"jwks":null,"token_endpoint_auth_signing_alg":null}`).is(200)
}

func TestF10WhereKeysMayBe(t *testing.T) {
	const local, malformed = true, false
	uris := map[string]bool{
		"http://127.0.0.1:1/keys": local, "http://localhost/": local, "https://[::1]:8443/k": local, "http://LOCALHOST:1/": local,
		"ftp://127.0.0.1/": malformed, "http://keys.example.com/": malformed, "https://user@keys.example.com/": malformed,
		"https://keys.example.com/#": malformed, "https:///keys": malformed, "https:keys": malformed, "keys": malformed, "": malformed,
		"https://keys.example.com/" + strings.Repeat("x", 2048): malformed, "http://192.0.2.1/": malformed, "https://%zz/": malformed,
	}
	for _, isLocal := range []bool{true, false} {
		w := newWorldWith(t, func(c *config) { c.Local = isLocal })
		for uri, where := range uris {
			r := w.root().post("/v1/applications", proving(`,"jwks_uri":"`+uri+`"`))
			if where == local && isLocal {
				r.is(201)
			} else {
				r.bad("/jwks_uri")
			}
		}
	}
}

// What an application had with a key ends with the key; what it had with others does not.
func TestST16TokensOfARemovedKeyEnd(t *testing.T) {
	one, two, three := ecKey(t, elliptic.P256()), edKey(t), rsaKey(t)
	keys := func(keys ...jwk) string { return `"jwks":` + setOf(t, keys...) }
	const uri = `"jwks_uri":"https://keys.example.com/a"`
	for name, c := range map[string]struct {
		before, change string
		ends           bool
	}{
		"a key more":                     {keys(one), keys(one, two), false},
		"another order and other ids":    {keys(one.with("kid", "a"), two), keys(two.with("alg", "EdDSA"), one), false},
		"a key less":                     {keys(one, two), keys(two), true},
		"a key in the place of another":  {keys(one.with("kid", "a")), keys(two.with("kid", "a")), true},
		"from value to URI":              {keys(one), `"jwks":null,` + uri, true},
		"from URI to value":              {uri, `"jwks_uri":null,` + keys(one), true},
		"another URI":                    {uri, `"jwks_uri":"https://keys.example.com/b"`, true},
		"to a secret":                    {keys(one), `"jwks":null,"token_endpoint_auth_method":"client_secret_basic"`, true},
		"to nothing":                     {keys(one), `"jwks":null,"token_endpoint_auth_method":"none"`, true},
		"one algorithm":                  {keys(one, three), `"token_endpoint_auth_signing_alg":"ES256"`, true},
		"any algorithm":                  {uri + `,"token_endpoint_auth_signing_alg":"ES256"`, `"token_endpoint_auth_signing_alg":null`, false},
		"something else":                 {keys(one), `"name":"renamed","token_lifetime":60`, false},
		"the same":                       {keys(one), keys(one), false},
		"from a secret":                  {"", `"token_endpoint_auth_method":"private_key_jwt",` + keys(one), true},
		"from a secret to nothing":       {"", `"token_endpoint_auth_method":"none"`, true},
		"from a secret to it in a body":  {"", `"token_endpoint_auth_method":"client_secret_post"`, false},
		"another name of who has secret": {"", `"name":"renamed"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			body := `{"name":"x"}`
			if c.before != "" {
				body = proving("," + c.before)
			}
			w.root().put("/v1/applications/a", body).is(201)
			w.root().patch("/v1/applications/a", "{"+c.change+"}").is(200)
			equal(t, "raised", w.epoch("a") > 0, c.ends)
		})
	}
}

// To write keys is as good as to make a secret: who may not do one may not do the other.
func TestKeysAreWrittenByWhoMayMakeSecrets(t *testing.T) {
	w := newWorld(t)
	keys, others := `"jwks":`+setOf(t, ecKey(t, elliptic.P256())), `"jwks":`+setOf(t, edKey(t))
	const grants = `,"grants":[{"resource":"ledger","action":"read"},{"resource":"iam/applications","action":"write"},` +
		`{"resource":"iam/applications","action":"read"}]`
	w.root().put("/v1/applications/strong", proving(grants+","+keys)).is(201)
	w.application("peer", grants)
	w.application("weak", `,"grants":[{"resource":"iam/applications","action":"write"},{"resource":"iam/applications","action":"read"}]`)
	w.application("reader", `,"grants":[{"resource":"iam/applications","action":"read"},{"resource":"ledger","action":"read"}]`)
	for caller, want := range map[string]int{
		"application:weak":   403,
		"application:reader": 403,
		"application:strong,scope=iam/applications:write+iam/applications:read": 403, // of itself
		"application:peer,scope=iam/applications:write":                         403,
		"application:peer,scope=iam/applications:write+iam/applications:read":   403,
		"application:peer": 200,
		"application:strong,scope=ledger:read+iam/applications:write+iam/applications:read": 200, // of itself, with all that it is
		"application:root": 200,
		"application:root,scope=iam/applications:write+iam/applications:read+x:try": 403,
	} {
		for _, change := range []string{others, keys} {
			r := w.as(caller).patch("/v1/applications/strong", "{"+change+"}").is(want)
			if want == 403 && caller != "application:reader" {
				r.refused("delegation_exceeds_actor")
			}
		}
		if want == 200 {
			want = 201
		}
		w.as(caller).post("/v1/applications/strong/secrets", "{}").is(want)
	}
	w.root().patch("/v1/applications/root", proving(","+keys)).refused("system_protected")
	w.as("application:strong").put("/v1/me", "{"+others+"}").bad("/jwks")
}

func (w *world) epoch(id string) int {
	w.t.Helper()
	a, err := w.room.Application(id)
	must(w.t, err)
	return int(a.Epoch)
}
