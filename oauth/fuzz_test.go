package oauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth"
)

// Whatever arrives as header and body is answered with RFC 6749's words, and nothing but the right secret gets a token.
func FuzzTokenRequest(f *testing.F) {
	w := newWorld(f)
	w.application("app", []string{"ledger:read"})
	for _, header := range []string{"", "Basic YXBwOng=", "Basic !!!", "bAsIc YTpi", "Bearer x", "Basic JSU6JSU="} {
		for _, body := range []string{
			"grant_type=client_credentials", "grant_type=client_credentials&client_id=app",
			"grant_type=client_credentials&client_id=app&client_secret=x",
			"grant_type=%zz", "a;b", "scope=a&scope=b", "grant_type=password&username=a&password=b", "\xff", "audience=a&audience=b&tenant=*",
		} {
			f.Add(header, body)
		}
	}
	f.Fuzz(func(t *testing.T, header, body string) {
		w.tb = t // fuzz targets of one process run one after another
		r := w.send("/oauth2/token", body, "Authorization", header)
		switch r.text("error") {
		case "invalid_request", "invalid_client", "invalid_scope", "invalid_target", "unauthorized_client", "unsupported_grant_type":
			w.want(r, r.Code, r.text("error"))
			if r.Code != http.StatusBadRequest && r.Code != http.StatusUnauthorized && r.Code != http.StatusRequestEntityTooLarge {
				t.Fatalf("%d %s", r.Code, r.Body)
			}
		default:
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	})
}

// No text but the token itself is the token. In a seed OWN is that token, HEAD, BODY and MAC its three parts, and KID the id of its key.
func FuzzToken(f *testing.F) {
	w := newWorld(f)
	w.application("app", []string{"ledger:read"})
	good := w.machine("app").text("access_token")
	parts := strings.Split(good, ".")
	kid, _ := part(f, good, 0)["kid"].(string)
	own := strings.NewReplacer("OWN", good, "HEAD", parts[0], "BODY", parts[1], "MAC", parts[2], "KID", kid)
	f.Fuzz(func(t *testing.T, token string) {
		token = own.Replace(token)
		if _, err := w.server.Token(t.Context(), token); (err == nil) != (token == good) {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// A sealed token has one spelling, and nothing that is not made here costs a read. In a seed OWN is the token, KID the id of its key, TEXT what
// stands behind both, FORGED a token of the right key that names no associated data, and ALIEN one of another key.
func FuzzSealedToken(f *testing.F) {
	w := newWorld(f)
	good := w.opaqueToken()
	kid, key := w.secretKey("opaque")
	own := strings.NewReplacer("OWN", good, "KID", kid, "TEXT", good[13:], "FORGED", sealedBy(f, key, kid, "", []byte("{}")),
		"ALIEN", sealedBy(f, make([]byte, 32), kid, "sat_"+kid+"_", []byte("{}")))
	f.Add(good[:13] + strings.Repeat("A", 16<<10))
	for cut := 1; cut < len(good); cut += 7 {
		f.Add(good[:cut])
	}
	f.Fuzz(func(t *testing.T, token string) {
		token = own.Replace(token)
		before := w.store.calls.Load()
		if _, err := w.server.Token(t.Context(), token); (err == nil) != (token == good) {
			t.Fatalf("%q: %v", token, err)
		}
		if calls := w.store.calls.Load() - before; calls != 0 {
			t.Fatalf("%q: %d store calls", token, calls)
		}
	})
}

// Whatever is sent as an assertion is answered like a wrong secret, and nothing that was not signed with the key is a client. In a seed USED
// is an assertion that was taken once, and HEAD, BODY and MAC are its three parts.
func FuzzAssertion(f *testing.F) {
	w := newWorld(f)
	k := newProof(f, jose.ES256, "current")
	w.application("app", []string{"ledger:read"}, provenBy(f, k))
	good := k.sign(f, w.payload("app", nil), nil)
	w.want(w.assert("/oauth2/token", good), http.StatusOK, "") // used up, so that it is none any more
	parts := strings.Split(good, ".")
	own := strings.NewReplacer("USED", good, "HEAD", parts[0], "BODY", parts[1], "MAC", parts[2])
	for _, header := range []doc{
		{"alg": "none"},
		{"alg": "HS256"},
		{"kid": "x"},
		{"crit": []string{"exp"}},
		{"jwk": doc{"kty": "EC"}},
		{"jku": "http://127.0.0.1/"},
		{"alg": "PBES2-HS256+A128KW", "p2c": 1 << 30},
		{"zip": "DEF"},
		{"kid": doc{"$ne": nil}},
	} {
		f.Add(newProof(f, jose.ES256, "current").sign(f, w.payload("app", nil), header), assertionType, "app")
	}
	for _, payload := range []doc{
		{"aud": []string{issuer, "x"}}, {"exp": -1}, {"sub": "other"}, {"jti": strings.Repeat("x", 300)}, {"iat": 1e9},
	} {
		f.Add(k.sign(f, w.payload("app", payload), nil), assertionType, "other")
	}
	f.Fuzz(func(t *testing.T, assertion, kind, id string) {
		w.tb = t // fuzz targets of one process run one after another
		r := w.assert("/oauth2/token", own.Replace(assertion), "client_assertion_type", kind, "client_id", id)
		switch r.text("error") {
		case "invalid_request", "invalid_client":
			w.want(r, r.Code, r.text("error"))
		default:
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	})
}

// No text but what the issuer signed is a token of its.
func FuzzExternalToken(f *testing.F) {
	p := newIDP(f)
	w := newWorld(f, p.trusted())
	w.user(ada, "ada", nil)
	good := p.token(w, nil)
	parts := strings.Split(good, ".")
	for _, seed := range []string{
		good, good + "=", parts[0] + "." + parts[1] + ".", "eyJhbGciOiJub25lIn0." + parts[1] + "." + parts[2], good + ".e30",
		`{"payload":"` + parts[1] + `"}`, "..", p.token(w, map[string]any{"aud": []any{"writ.runtime", 7}}),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := w.server.Token(t.Context(), token); (err == nil) != (token == good) {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// Whatever is published as a key set gives keys that verify, or an error.
func FuzzKeySet(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","key_ops":["verify"]}]}`, `{"keys":[null,7]}`,
		`{"keys":[{"kty":"oct","k":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","x5c":["AA"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := oauth.ParseKeySet(body)
		for _, key := range keys {
			if err != nil || !key.Valid() || !key.IsPublic() {
				t.Fatalf("%+v %v", key, err)
			}
		}
	})
}
