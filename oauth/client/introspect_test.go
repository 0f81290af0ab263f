package client_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-authz/writ/oauth/client"
)

const introspect = "/oauth2/introspect"

func TestIntrospection(t *testing.T) {
	s := newServer(t)
	live := func(change object) string {
		body := s.claims(object{"active": true, "token_type": "Bearer", "username": "Ada"})
		for name, value := range change {
			if body[name] = value; value == nil {
				delete(body, name)
			}
		}
		return jsonText(t, body)
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"live":                      {200, live(nil), nil},
		"not live":                  {200, `{"active":false}`, client.ErrInvalidToken},
		"not live, though it says":  {200, live(object{"active": false}), client.ErrInvalidToken},
		"for somebody else":         {200, live(object{"aud": []string{"https://other.example"}}), client.ErrInvalidToken},
		"another issuer":            {200, live(object{"iss": "https://other.example"}), client.ErrInvalidToken},
		"a refresh token":           {200, live(object{"token_type": nil}), client.ErrInvalidToken},
		"expired by our clock":      {200, live(object{"exp": s.now.Unix() - 1}), client.ErrInvalidToken},
		"active is text":            {200, live(object{"active": "true"}), client.ErrUnavailable},
		"active is missing":         {200, live(object{"active": nil}), client.ErrUnavailable},
		"active under another name": {200, `{"Active":true}`, client.ErrUnavailable},
		"no JSON":                   {200, `active`, client.ErrUnavailable},
		"we are not known":          {401, `{"error":"invalid_client"}`, client.ErrRefused},
		"we may not":                {403, `{}`, client.ErrRefused},
		"an outage":                 {503, `{"error":"temporarily_unavailable"}`, client.ErrUnavailable},
		"an error":                  {500, live(nil), client.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s.tell(introspect, s.says(c.status, c.body))
			token, err := s.client().Verify(t.Context(), "sat_opaque")
			if !errors.Is(err, c.want) || (token != nil) != (c.want == nil) {
				t.Fatalf("got %v, %v, want %v", token, err, c.want)
			}
			if token != nil && (token.Username != "Ada" || token.Asked().ID != "sat_opaque") {
				t.Errorf("got %#v", token)
			}
		})
	}
	if n := s.count(jwks); n != 0 {
		t.Errorf("introspection fetched keys %d times", n)
	}
}

// TestWhoIntrospectsSeesARevocation: with Introspect, a JWT too is asked about.
func TestWhoIntrospectsSeesARevocation(t *testing.T) {
	s := newServer(t)
	s.tell(introspect, s.says(200, `{"active":false}`))
	raw := s.token("es", s.claims(nil))
	wants(t, s.client(), raw, nil)
	asking := s.client(func(c *client.Config) { c.Introspect = true })
	wants(t, asking, raw, client.ErrInvalidToken)
	// What is neither opaque nor signed by the server is not asked about.
	before := s.count(introspect)
	for _, forged := range []string{raw[:len(raw)-20] + strings.Repeat("A", 20), "a.b.c", "writ_cs_x"} {
		wants(t, asking, forged, client.ErrInvalidToken)
	}
	if n := s.count(introspect); n != before {
		t.Errorf("%d questions about forged tokens", n-before)
	}
}

func TestTheSecretTravelsEncoded(t *testing.T) {
	s := newServer(t)
	s.tell(introspect, func(r *http.Request) (*http.Response, error) {
		id, secret, _ := r.BasicAuth()
		if id != "a%3Ab" || secret != "%C3%A9%2B%25+x" {
			t.Errorf("sent %q, %q", id, secret)
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Get("token") != "sat_opaque" || r.PostForm.Has("client_secret") {
			t.Errorf("form %v, %v", r.PostForm, err)
		}
		return s.reply(200, `{"active":false}`), nil
	})
	c := s.client(func(c *client.Config) { c.ClientID, c.ClientSecret = "a:b", "é+% x" })
	wants(t, c, "sat_opaque", client.ErrInvalidToken)
}
