package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-authz/writ/oauth/client"
)

const tokens = "/oauth2/token"

// numbered issues tokens that differ.
func numbered(s *server) func(*http.Request) (*http.Response, error) {
	var n atomic.Int64
	return func(*http.Request) (*http.Response, error) {
		return s.reply(200, fmt.Sprintf(`{"access_token":"sat_%d","token_type":"bearer","expires_in":1000}`, n.Add(1))), nil
	}
}

func wantToken(t *testing.T, c *client.Client, want string) {
	t.Helper()
	if got, err := c.Token(t.Context()); got != want || err != nil {
		t.Fatalf("got %q, %v, want %s", got, err, want)
	}
}

// TestTheOwnTokenIsKept: it is got anew before it ends, and used while that fails as long as it is good.
func TestTheOwnTokenIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		again := numbered(s)
		s.tell(tokens, again)
		c := s.client()
		wantToken(t, c, "sat_1")
		if got := s.bodies[0]; got != "audience=https%3A%2F%2Fwrit.example%2Fruntime&grant_type=client_credentials" {
			t.Errorf("sent %s", got)
		}
		s.pass(799 * time.Second)
		wantToken(t, c, "sat_1")
		s.tell(tokens, down)
		s.pass(2 * time.Second)
		wantToken(t, c, "sat_1")
		settle()
		if n := s.count(tokens); n != 3 { // the first, and both attempts of the renewal
			t.Errorf("asked %d times, want 3", n)
		}
		s.tell(tokens, again)
		s.pass(2 * time.Second)
		wantToken(t, c, "sat_1") // begins the next renewal
		settle()
		wantToken(t, c, "sat_2")
		s.tell(tokens, down)
		s.pass(951 * time.Second)
		if got, err := c.Token(t.Context()); !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("one that has ended: %q, %v", got, err)
		}
	})
}

func TestRefusedCredentialsAreNoOutage(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"invalid client":   {401, `{"error":"invalid_client"}`, client.ErrRefused},
		"not its grant":    {400, `{"error":"unauthorized_client"}`, client.ErrRefused},
		"an outage":        {503, `{"error":"temporarily_unavailable"}`, client.ErrUnavailable},
		"no token":         {200, `{"token_type":"Bearer","expires_in":3600}`, client.ErrUnavailable},
		"another type":     {200, `{"access_token":"a","token_type":"DPoP","expires_in":3600}`, client.ErrUnavailable},
		"no life":          {200, `{"access_token":"a","token_type":"Bearer"}`, client.ErrUnavailable},
		"ended already":    {200, `{"access_token":"a","token_type":"Bearer","expires_in":-1}`, client.ErrUnavailable},
		"no bearer token":  {200, `{"access_token":"a\r\nX: y","token_type":"Bearer","expires_in":3600}`, client.ErrUnavailable},
		"the body is HTML": {200, `<html>`, client.ErrUnavailable},
	} {
		s := newServer(t)
		s.tell(tokens, s.says(c.status, c.body))
		if err := s.client().Check(t.Context(), mayAdaRead()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if s.count(evaluation) != 0 {
			t.Errorf("%s: it asked", name)
		}
	}
}

// TestARevokedOwnTokenIsReplaced: the server no longer takes it; a new one is got, once.
func TestARevokedOwnTokenIsReplaced(t *testing.T) {
	s := newServer(t)
	s.tell(tokens, numbered(s))
	s.tell(evaluation, func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "Bearer sat_1" {
			return s.reply(401, `"no"`), nil
		}
		return s.reply(200, `{"decision":true}`), nil
	})
	c := s.client()
	wantToken(t, c, "sat_1")
	s.pass(time.Minute)
	if err := c.Check(t.Context(), mayAdaRead()); err != nil {
		t.Error(err)
	}
	s.tell(evaluation, s.says(401, `"no"`))
	s.pass(time.Minute)
	before := s.count(tokens)
	for range 5 {
		if err := c.Check(t.Context(), mayAdaRead()); !errors.Is(err, client.ErrRefused) {
			t.Error(err)
		}
	}
	if n := s.count(tokens) - before; n != 1 {
		t.Errorf("%d tokens for five refusals", n)
	}
}

// TestTheSecretFileIsReadAnew: a secret that is exchanged is used without a restart.
func TestTheSecretFileIsReadAnew(t *testing.T) {
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "secret")
	var got []string
	s.tell(introspect, func(r *http.Request) (*http.Response, error) {
		_, secret, _ := r.BasicAuth()
		got = append(got, secret)
		return s.reply(200, `{"active":false}`), nil
	})
	c := s.client(func(c *client.Config) { c.ClientSecret, c.ClientSecretFile = "", file })
	for _, secret := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wants(t, c, "sat_opaque", client.ErrInvalidToken)
	}
	if len(got) != 2 || got[0] != "one" || got[1] != "two" {
		t.Errorf("sent %q", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	wants(t, c, "sat_opaque", client.ErrUnavailable)
}
