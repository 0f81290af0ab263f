package oauth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

const signedMedia = "application/token-introspection+jwt"

// introspectSigned asks for the signed form, and returns its claims when the published keys have verified it.
func (w *world) introspectSigned(id, token string) map[string]any {
	w.tb.Helper()
	r := w.send("/oauth2/introspect", url.Values{"token": {token}}.Encode(),
		"Authorization", basic(id, "secret of "+id), "Accept", signedMedia)
	if r.Code != http.StatusOK || r.Header().Get("Content-Type") != signedMedia || r.Header().Get("Cache-Control") != "no-store" ||
		r.Header().Get("Vary") != "Accept" || r.Header().Get("Decision-Id") == "" {
		w.tb.Fatalf("%d %v %s", r.Code, r.Header(), r.Body)
	}
	return w.verifySigned(r.Body.String())
}

func (w *world) verifySigned(raw string) map[string]any {
	w.tb.Helper()
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		w.tb.Fatal(err)
	}
	header := parsed.Signatures[0].Header
	if header.ExtraHeaders[jose.HeaderType] != "token-introspection+jwt" {
		w.tb.Fatalf("header %v", header)
	}
	published := w.jwks()
	keys := published.Key(header.KeyID)
	if len(keys) != 1 || keys[0].Algorithm != "ES256" || keys[0].Use != "sig" {
		w.tb.Fatalf("%d keys have the id %s", len(keys), header.KeyID)
	}
	payload, err := parsed.Verify(keys[0])
	if err != nil {
		w.tb.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		w.tb.Fatal(err)
	}
	return claims
}

func TestI08SignedIntrospection(t *testing.T) {
	w := refreshing(t)
	w.application("app", []string{"ledger:read"}, meantFor("urn:ledger"))
	w.application("ledger", nil, serving("urn:ledger"))
	machine, person := w.machine("app").text("access_token"), w.login()
	w.advance(time.Minute)
	for name, c := range map[string]struct{ caller, token string }{
		"own":           {"app", machine},
		"served":        {"ledger", machine},
		"a person's":    {"portal", person.text("access_token")},
		"refresh token": {"portal", person.text("refresh_token")},
	} {
		t.Run(name, func(t *testing.T) {
			w.tb = t
			want := map[string]any{
				"iss": issuer, "aud": []any{c.caller}, "iat": float64(w.now().Unix()), "token_introspection": w.introspect(c.caller, c.token).JSON,
			}
			if diff := cmp.Diff(want, w.introspectSigned(c.caller, c.token)); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
		})
	}
}

// S-T14: the signed form says no more of a token that is dead, foreign, or not there.
func TestST14SignedIntrospectionLeaksNothing(t *testing.T) {
	w := refreshing(t)
	w.application("app", []string{"ledger:read"})
	w.application("stranger", nil)
	token, refresh := w.machine("app").text("access_token"), w.login().text("refresh_token")
	revoked := w.machine("app").text("access_token")
	w.wantRevoked(w.revoke("app", revoked))
	for name, asked := range map[string]string{
		"foreign": token, "foreign refresh token": refresh, "garbage": "garbage", "truncated": token[:len(token)-2], "revoked": revoked,
	} {
		want := map[string]any{
			"iss": issuer, "aud": []any{"stranger"}, "iat": float64(w.now().Unix()), "token_introspection": map[string]any{"active": false},
		}
		if diff := cmp.Diff(want, w.introspectSigned("stranger", asked)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	own := w.introspectSigned("app", revoked)
	if diff := cmp.Diff(map[string]any{"active": false}, own["token_introspection"]); diff != "" {
		t.Errorf("the own one that is dead (-want +got)\n%s", diff)
	}
}

// The reply is no access token, however much it looks like one.
func TestSignedIntrospectionIsNoCredential(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	token := w.machine("app").text("access_token")
	r := w.send("/oauth2/introspect", url.Values{"token": {token}}.Encode(),
		"Authorization", basic("app", "secret of app"), "Accept", signedMedia)
	signed := r.Body.String()
	if w.live(signed) {
		t.Error("it is accepted as a bearer token")
	}
	w.wantInactive(w.introspect("app", signed))
}

func TestSignedIntrospectionIsAskedForByName(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	for accept, signed := range map[string]bool{
		signedMedia:                                   true,
		"text/html, " + signedMedia + ";q=0.5":        true,
		"application/json, " + signedMedia:            true,
		"application/json;q=0.5, " + signedMedia:      true,
		"Application/Token-Introspection+JWT":         true,
		"application/json, " + signedMedia + ";q=0.9": false,
		signedMedia + ";q=0":                          false,
		signedMedia + ";q=NaN":                        false,
		signedMedia + ";q=2":                          false,
		"*/*":                                         false,
		"application/*":                               false,
		"application/jwt":                             false,
		"":                                            false,
		",;,=":                                        false,
	} {
		r := w.send("/oauth2/introspect", "token="+token, "Authorization", basic("app", "secret of app"), "Accept", accept)
		want := "application/json"
		if signed {
			want = signedMedia
		}
		if got := r.Header().Get("Content-Type"); r.Code != http.StatusOK || got != want {
			t.Errorf("%q: %d %s", accept, r.Code, got)
		}
	}
	// An error is RFC 6749's, whatever is accepted.
	r := w.send("/oauth2/introspect", "token="+token, "Authorization", basic("app", "wrong"), "Accept", signedMedia)
	w.want(r, http.StatusUnauthorized, "invalid_client")
	if listed := texts(w.get("/.well-known/oauth-authorization-server").JSON["introspection_signing_alg_values_supported"]); len(listed) != 1 ||
		listed[0] != "ES256" {
		t.Errorf("metadata lists %v", listed)
	}
}

func TestADeniedClientGetsNoSignedReply(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	w.application("app", nil, func(a *storage.Application) { a.NotBefore = w.at(time.Hour) })
	r := w.send("/oauth2/introspect", "token="+token, "Authorization", basic("app", "secret of app"), "Accept", signedMedia)
	w.want(r, http.StatusUnauthorized, "invalid_client")
	w.application("asker", []string{"tokens:introspect"}, func(a *storage.Application) { a.Scopes = []string{"ledger:read"} })
	if claims := w.introspectSigned("asker", token); cmp.Diff(claims["token_introspection"], map[string]any{"active": false}) != "" {
		t.Errorf("%v", claims)
	}
}
