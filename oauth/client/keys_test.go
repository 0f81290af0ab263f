package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-authz/writ/oauth/client"
)

const jwks = "/.well-known/jwks.json"

// wants verifies a token and holds the error to what is wanted.
func wants(t *testing.T, c *client.Client, raw string, want error) {
	t.Helper()
	_, err := c.Verify(t.Context(), raw)
	if !errors.Is(err, want) || want != client.ErrInvalidToken && errors.Is(err, client.ErrInvalidToken) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// TestAnOutageOfTheKeysIsNoVerdict: while there are no keys, no token is good or bad.
func TestAnOutageOfTheKeysIsNoVerdict(t *testing.T) {
	s := newServer(t)
	c := s.client()
	good := s.token("es", s.claims(nil))
	for name, f := range map[string]func(*http.Request) (*http.Response, error){
		"no connection":        down,
		"an error":             s.says(500, `{}`),
		"not found":            s.says(404, `{}`),
		"a redirect":           redirected,
		"no JSON":              s.says(200, `<html>`),
		"no object":            s.says(200, `[]`),
		"too long":             s.says(200, strings.Repeat(" ", 5<<20)+`{"keys":[]}`),
		"another media type":   typed(s, "text/html"),
		"members are doubled":  s.says(200, `{"keys":[],"keys":[]}`),
		"keys that are no set": s.says(200, `{"keys":"none"}`),
	} {
		s.tell(jwks, f)
		s.pass(time.Minute)
		t.Run(name, func(t *testing.T) { wants(t, c, good, client.ErrUnavailable) })
	}
	s.tell(jwks, nil)
	s.pass(time.Minute)
	if _, err := c.Verify(t.Context(), good); err != nil {
		t.Error(err)
	}
}

func typed(s *server, media string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		response, err := s.well(r)
		response.Header.Set("Content-Type", media)
		return response, err
	}
}

// redirected sends the caller on; whoever follows finds good keys and is found out by the host.
func redirected(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusFound, Body: http.NoBody, Request: r,
		Header: http.Header{"Location": {"https://elsewhere.example/moved"}},
	}, nil
}

// TestKeysOutliveAnOutage: they are used until KeysFor is over, and the server is not asked by every request meanwhile.
func TestKeysOutliveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := s.client(func(c *client.Config) { c.KeysFor = 30 * time.Minute })
		raw := func() string { return s.token("es", s.claims(nil)) }
		fetched := func(want int) {
			t.Helper()
			settle()
			if n := s.count(jwks); n != want {
				t.Errorf("fetched %d times, want %d", n, want)
			}
		}
		wants(t, c, raw(), nil)
		s.tell(jwks, down)
		s.pass(6 * time.Minute)
		for range 10 {
			wants(t, c, raw(), nil)
		}
		fetched(3) // the first, and two attempts of one refresh
		s.pass(23 * time.Minute)
		wants(t, c, raw(), nil)
		fetched(5)
		s.pass(2 * time.Minute)
		wants(t, c, raw(), client.ErrUnavailable)
		before := s.count(jwks)
		wants(t, c, raw(), client.ErrUnavailable) // at once: it failed a moment ago
		if n := s.count(jwks); n != before {
			t.Errorf("a failed fetch is repeated at once: %d, then %d", before, n)
		}
		s.tell(jwks, nil)
		s.pass(time.Second)
		wants(t, c, raw(), nil)
	})
}

// settle returns when what the client does in the background has ended. The bubble's time goes on for it, and not the server's clock, which is
// the client's too.
func settle() {
	time.Sleep(time.Second) // longer than a call waits before its second attempt
	synctest.Wait()
}

// TestARotatedKeyIsFound: a token of a new key works at once, and inventing key ids does not make the service flood the server.
func TestARotatedKeyIsFound(t *testing.T) {
	s := newServer(t)
	c := s.client()
	wants(t, c, s.token("es", s.claims(nil)), nil)
	s.pass(11 * time.Second)
	s.mu.Lock()
	s.signed["new"] = s.signed["es"]
	s.mu.Unlock()
	wants(t, c, s.token("new", s.claims(nil)), nil)

	invented := func(n int) string { return sign(t, ringOnce()["es"], fmt.Sprint("invented-", n), s.claims(nil)) }
	s.pass(11 * time.Second)
	wants(t, c, invented(0), client.ErrInvalidToken) // fetched for it, and not there
	before := s.count(jwks)
	wants(t, c, invented(0), client.ErrInvalidToken)
	for n := 1; n < 200; n++ {
		wants(t, c, invented(n), client.ErrUnavailable) // it may be new
	}
	if n := s.count(jwks); n != before {
		t.Errorf("invented key ids made %d fetches", n-before)
	}
	wants(t, c, s.token("new", s.claims(nil)), nil)
	s.pass(11 * time.Second)
	s.tell(jwks, down)
	wants(t, c, invented(7), client.ErrUnavailable)
	wants(t, c, s.token("new", s.claims(nil)), nil)
}

// TestAWithdrawnKeyEnds: what the server no longer publishes is no good once the keys are fetched anew.
func TestAWithdrawnKeyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := s.client()
		old := s.token("rs", s.claims(nil))
		wants(t, c, old, nil)
		s.mu.Lock()
		delete(s.signed, "rs")
		s.mu.Unlock()
		s.pass(6 * time.Minute)
		wants(t, c, s.token("es", s.claims(nil)), nil) // begins the refresh
		settle()
		wants(t, c, old, client.ErrUnavailable) // the keys were fetched just now, and it may be of a new one
		if n := s.count(jwks); n != 2 {
			t.Errorf("fetched %d times, want 2", n)
		}
		s.pass(11 * time.Second)
		wants(t, c, old, client.ErrInvalidToken)
	})
}

// TestKeysThatAreNotForTokensArePassedOver: secret keys, weak ones, those for encryption, and an id that several have.
func TestKeysThatAreNotForTokensArePassedOver(t *testing.T) {
	s := newServer(t)
	c := s.client()
	es := ringOnce()["es"]
	public := jsonText(t, publicJWK(es, "good", "sig", "ES256"))
	for name, set := range map[string]string{
		"no keys":            `{"keys":[]}`,
		"for encryption":     `{"keys":[` + jsonText(t, publicJWK(es, "good", "enc", "ES256")) + `]}`,
		"another algorithm":  `{"keys":[` + jsonText(t, publicJWK(es, "good", "sig", "ES384")) + `]}`,
		"without algorithm":  `{"keys":[` + jsonText(t, publicJWK(es, "good", "sig", "")) + `]}`,
		"the same id twice":  `{"keys":[` + public + `,` + jsonText(t, publicJWK(ringOnce()["rs"], "good", "sig", "RS256")) + `]}`,
		"a secret key":       `{"keys":[{"kty":"oct","kid":"good","alg":"ES256","k":"c2VjcmV0"}]}`,
		"a type of tomorrow": `{"keys":[{"kty":"XX","kid":"good","alg":"ES256"}]}`,
	} {
		s.tell(jwks, s.says(200, set))
		s.pass(2 * time.Hour)
		t.Run(name, func(t *testing.T) {
			raw := sign(t, es, "good", s.claims(nil))
			if _, err := c.Verify(t.Context(), raw); err == nil {
				t.Error("it is taken")
			}
		})
	}
	s.tell(jwks, s.says(200, `{"keys":[{"kty":"XX","kid":"x"},7,`+public+`]}`))
	s.pass(2 * time.Hour)
	wants(t, c, sign(t, es, "good", s.claims(nil)), nil)
}

// TestOneFetchServesAll: many requests at once, before there are keys, fetch them once; one that gives up does not take the others along.
func TestOneFetchServesAll(t *testing.T) {
	s := newServer(t)
	c := s.client()
	release, begun := make(chan struct{}), make(chan struct{})
	s.tell(jwks, func(r *http.Request) (*http.Response, error) {
		close(begun)
		select {
		case <-release:
			return s.well(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
	raw := s.token("es", s.claims(nil))
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { _, err := c.Verify(ctx, raw); gone <- err }()
	<-begun
	cancel()
	if err := <-gone; !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Verify(t.Context(), raw); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	all.Wait()
	if n := s.count(jwks); n != 1 {
		t.Errorf("%d fetches", n)
	}
}
