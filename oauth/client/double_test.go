package client_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth/client"
)

const (
	issuer = "https://writ.example"
	ledger = "https://ledger.example.com"
)

var errDown = errors.New("connection refused")

// server is a server that misbehaves as it is told, without a network. What it is not told it does well.
type server struct {
	tb  testing.TB
	now time.Time

	mu     sync.Mutex
	calls  map[string]int
	told   map[string]func(*http.Request) (*http.Response, error)
	signed map[string]key // by key id
	bodies []string
	seen   []string // URLs
}

type key struct {
	private   any
	public    any
	algorithm jose.SignatureAlgorithm
}

// The keys of all tests: RSA takes a while.
var ringOnce = sync.OnceValue(func() map[string]key {
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	public, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]key{
		"es": {elliptic256, elliptic256.Public(), jose.ES256}, "rs": {rsa2048, rsa2048.Public(), jose.RS256},
		"ed": {edwards, public, jose.EdDSA},
	}
})

func newServer(tb testing.TB) *server {
	tb.Helper()
	return &server{
		tb: tb, now: time.Now().Truncate(time.Second), calls: map[string]int{}, signed: maps.Clone(ringOnce()),
		told: map[string]func(*http.Request) (*http.Response, error){},
	}
}

// client is a service of this server; change may alter its configuration.
func (s *server) client(change ...func(*client.Config)) *client.Client {
	s.tb.Helper()
	config := client.Config{
		Issuer: issuer, Audience: ledger, ClientID: "service", ClientSecret: "the secret", Transport: s, Now: s.clock,
	}
	for _, f := range change {
		f(&config)
	}
	c, err := client.New(config)
	if err != nil {
		s.tb.Fatal(err)
	}
	return c
}

func (s *server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *server) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// tell has a path answered by f; nil: well again.
func (s *server) tell(path string, f func(*http.Request) (*http.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[path] = f
}

func (s *server) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	s.mu.Lock()
	s.calls[r.URL.Path]++
	s.bodies = append(s.bodies, string(body))
	s.seen = append(s.seen, r.URL.String())
	f := s.told[r.URL.Path]
	s.mu.Unlock()
	if f == nil {
		f = s.well
	}
	response, err := f(r)
	if response != nil {
		response.Request = r
	}
	return response, err
}

func (s *server) well(r *http.Request) (*http.Response, error) {
	switch r.URL.Path {
	case "/.well-known/jwks.json":
		s.mu.Lock()
		defer s.mu.Unlock()
		var set jose.JSONWebKeySet
		for id, k := range s.signed {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.public, KeyID: id, Algorithm: string(k.algorithm), Use: "sig"})
		}
		return s.reply(200, set), nil
	case "/oauth2/token":
		return s.reply(200, `{"access_token":"sat_own","token_type":"Bearer","expires_in":3600,"scope":""}`), nil
	case "/access/v1/evaluation":
		return s.reply(200, `{"decision":true}`), nil
	default:
		return s.reply(404, `"no such endpoint"`), nil
	}
}

// reply is a reply with a JSON body: a text as it is, or a value.
func (s *server) reply(status int, body any) *http.Response {
	text, ok := body.(string)
	if !ok {
		raw, err := json.Marshal(body)
		if err != nil {
			s.tb.Error(err)
		}
		text = string(raw)
	}
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(strings.NewReader(text)), Header: http.Header{"Content-Type": {"application/json"}},
	}
}

func (s *server) says(status int, body any) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return s.reply(status, body), nil }
}

func down(*http.Request) (*http.Response, error) { return nil, errDown }

type object map[string]any

func jsonText(tb testing.TB, value any) string {
	tb.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

func publicJWK(k key, id, use, algorithm string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.public, KeyID: id, Use: use, Algorithm: algorithm}
}

// claims are those of a good token, changed; nil takes one away.
func (s *server) claims(change object) object {
	now := s.clock()
	all := object{
		"iss": issuer, "sub": "ada", "aud": []string{ledger, "https://other.example"}, "client_id": "portal", "jti": "t1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scope": "ledger:read ledger:write", "tenant": "acme",
		"roles": []string{"ops:viewer"}, "sid": "s1", "department": "books",
	}
	for name, value := range change {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

// token is a token signed with the key of this id, of the type at+jwt; header changes its header.
func (s *server) token(id string, claims any, header ...func(*jose.SignerOptions)) string {
	s.tb.Helper()
	s.mu.Lock()
	k := s.signed[id]
	s.mu.Unlock()
	return sign(s.tb, k, id, claims, header...)
}

func sign(tb testing.TB, k key, id string, claims any, header ...func(*jose.SignerOptions)) string {
	tb.Helper()
	options := (&jose.SignerOptions{}).WithType("at+jwt")
	for _, f := range header {
		f(options)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: jose.JSONWebKey{Key: k.private, KeyID: id}}, options)
	if err != nil {
		tb.Fatal(err)
	}
	payload, ok := claims.(string)
	if !ok {
		raw, err := json.Marshal(claims)
		if err != nil {
			tb.Fatal(err)
		}
		payload = string(raw)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// saysYes reads an answer token by token: one object, in which the member decision is there once and true.
func saysYes(body string) bool {
	decoder := json.NewDecoder(strings.NewReader(body))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return false
	}
	found := 0
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return false
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return false
		}
		if name == "decision" {
			if string(value) != "true" {
				return false
			}
			found++
		}
	}
	if _, err := decoder.Token(); err != nil {
		return false
	}
	_, err := decoder.Token()
	return found == 1 && errors.Is(err, io.EOF)
}
