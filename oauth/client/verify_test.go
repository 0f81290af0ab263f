package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth/client"
)

func TestAGoodTokenIsTaken(t *testing.T) {
	s := newServer(t)
	c := s.client(func(c *client.Config) { c.ClientID, c.ClientSecret = "", "" })
	for _, id := range []string{"es", "rs", "ed"} {
		token, err := c.Verify(t.Context(), s.token(id, s.claims(nil)))
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if token.Subject != "ada" || token.ClientID != "portal" || token.Tenant != "acme" || token.Session != "s1" || token.ID != "t1" ||
			!reflect.DeepEqual(token.Scopes, []string{"ledger:read", "ledger:write"}) || !token.Person() ||
			!reflect.DeepEqual(token.Roles, []string{"ops:viewer"}) || token.Claims["department"] != "books" ||
			!token.ExpiresAt.Equal(s.now.Add(time.Hour)) || !token.IssuedAt.Equal(s.now) {
			t.Errorf("%s: %#v", id, token)
		}
	}
	if n := s.count("/.well-known/jwks.json"); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	one := s.token("es", s.claims(object{"aud": ledger, "sub": "portal", "nbf": nil, "tenant": nil}))
	token, err := c.Verify(t.Context(), one)
	if err != nil || token.Person() {
		t.Errorf("an audience that is one text, of a machine: %+v, %v", token, err)
	}
}

func TestAnyOtherTokenIsRefused(t *testing.T) {
	s := newServer(t)
	c := s.client(func(c *client.Config) { c.ClientID, c.ClientSecret = "", "" })
	typed := func(name string) func(*jose.SignerOptions) {
		return func(o *jose.SignerOptions) { o.WithType(jose.ContentType(name)) }
	}
	good := s.token("es", s.claims(nil))
	part := strings.Split(good, ".")
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := key{private: stranger, algorithm: jose.ES256}
	// A symmetric signature whose key is the public one, as text (RFC 8725, section 2.1).
	confused := key{private: []byte("the public key, as text, of 32 bytes or more"), algorithm: jose.HS256}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt","kid":"es"}`)) + "." + part[1] + "."
	for name, raw := range map[string]string{
		"nothing":                         "",
		"no JWT":                          "sat_abc",
		"two parts":                       part[0] + "." + part[1],
		"a space":                         good + " ",
		"a line break":                    part[0] + ".\n" + part[1] + "." + part[2],
		"too long":                        s.token("es", s.claims(object{"pad": strings.Repeat("x", 17<<10)})),
		"no signature":                    part[0] + "." + part[1] + ".",
		"other claims":                    part[0] + "." + strings.Split(s.token("es", s.claims(object{"sub": "root"})), ".")[1] + "." + part[2],
		"algorithm none":                  none,
		"a symmetric algorithm":           sign(t, confused, "es", s.claims(nil)),
		"a stranger's key":                sign(t, forged, "es", s.claims(nil)),
		"a stranger's key, sent along":    sign(t, forged, "es", s.claims(nil), func(o *jose.SignerOptions) { o.EmbedJWK = true }),
		"an algorithm that is another's":  sign(t, ringOnce()["rs"], "es", s.claims(nil)),
		"no key id":                       sign(t, ringOnce()["es"], "", s.claims(nil)),
		"the type JWT":                    s.token("es", s.claims(nil), typed("JWT")),
		"a signed introspection reply":    s.token("es", s.claims(nil), typed("token-introspection+jwt")),
		"an extension that is not known":  s.token("es", s.claims(nil), func(o *jose.SignerOptions) { o.WithCritical("future") }),
		"another issuer":                  s.token("es", s.claims(object{"iss": issuer + "/"})),
		"for somebody else":               s.token("es", s.claims(object{"aud": []string{"https://other.example"}})),
		"for nobody":                      s.token("es", s.claims(object{"aud": nil})),
		"for something that is no text":   s.token("es", s.claims(object{"aud": 7})),
		"expired":                         s.token("es", s.claims(object{"exp": s.now.Unix()})),
		"without an end":                  s.token("es", s.claims(object{"exp": nil})),
		"an end that is text":             s.token("es", s.claims(object{"exp": "never"})),
		"not yet":                         s.token("es", s.claims(object{"nbf": s.now.Add(6 * time.Second).Unix()})),
		"issued in the future":            s.token("es", s.claims(object{"iat": s.now.Add(6 * time.Second).Unix()})),
		"without a subject":               s.token("es", s.claims(object{"sub": nil})),
		"without a client":                s.token("es", s.claims(object{"client_id": nil})),
		"without an id":                   s.token("es", s.claims(object{"jti": nil})),
		"without a time of issue":         s.token("es", s.claims(object{"iat": nil})),
		"claims that are no object":       s.token("es", `[]`),
		"a claim that is there twice":     s.token("es", strings.Replace(jsonText(t, s.claims(nil)), `"sub"`, `"sub":"root","sub"`, 1)),
		"a claim under a name that folds": s.token("es", strings.Replace(jsonText(t, s.claims(nil)), `"sub"`, `"SUB"`, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			token, err := c.Verify(t.Context(), raw)
			if token != nil || !errors.Is(err, client.ErrInvalidToken) || errors.Is(err, client.ErrUnavailable) {
				t.Errorf("got %v, %v", token, err)
			}
		})
	}
}

func TestOnlyTheListedAlgorithmsAreTaken(t *testing.T) {
	s := newServer(t)
	c := s.client(func(c *client.Config) { c.Algorithms = []string{"ES256"} })
	if _, err := c.Verify(t.Context(), s.token("es", s.claims(nil))); err != nil {
		t.Error(err)
	}
	if _, err := c.Verify(t.Context(), s.token("rs", s.claims(nil))); !errors.Is(err, client.ErrInvalidToken) {
		t.Errorf("RS256: %v", err)
	}
}

func TestATokenIsNotPrinted(t *testing.T) {
	s := newServer(t)
	raw := s.token("es", s.claims(nil))
	token, err := s.client().Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	asked := token.Asked()
	if asked.ID != raw {
		t.Fatalf("asked about %q", asked.ID)
	}
	denied := &client.DeniedError{Question: client.Question{Subject: asked}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", *token, "same", token, "asked", asked, "error", denied)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s", token, token, token, token), fmt.Sprintf("%v %+v %#v", *token, *token, *token),
		fmt.Sprintf("%v %+v %#v %s", asked, asked, asked, asked), fmt.Sprintf("%v %+v %#v", denied.Question, denied.Question, denied.Question),
		denied.Error(), log.String(),
	} {
		if strings.Contains(text, raw[:20]) {
			t.Errorf("printed: %s", text)
		}
	}
}
