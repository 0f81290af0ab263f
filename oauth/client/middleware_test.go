package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/writ-authz/writ/oauth/client"
	"github.com/writ-authz/writ/oauth/client/clienttest"
)

func account(id string) client.Resource { return client.Resource{Type: "ledger/accounts", ID: id} }

// service is a service whose accounts are guarded; it says whom it served.
func service(c *client.Client) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /accounts/{id}", c.Require("read", client.PathValue("ledger/accounts", "id"))(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			token, ok := client.TokenFrom(r.Context())
			if !ok {
				panic("there is no token")
			}
			_, _ = w.Write([]byte("for " + token.Subject))
		})))
	mux.Handle("GET /odd/{kind}", c.Require("read", func(r *http.Request) (client.Resource, error) {
		switch r.PathValue("kind") {
		case "missing":
			return client.Resource{}, client.ErrNotFound
		case "unavailable":
			return account("1"), client.ErrUnavailable
		case "broken":
			return account("1"), errors.New("a bug")
		default:
			return client.Resource{}, nil
		}
	})(http.NotFoundHandler()))
	return mux
}

func get(h http.Handler, path string, authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMiddleware(t *testing.T) {
	w := clienttest.Start(t)
	w.Allow("ada", "read", account("1"))
	w.Deny("bob", "read", account("1"), "not_granted")
	h := service(w.Client(ledger))
	ada := "Bearer " + w.Issue(clienttest.Token{Subject: "ada", Audience: ledger})
	opaque := "bearer  " + w.Issue(clienttest.Token{Subject: "ada", Audience: ledger, Opaque: true})
	bob := "Bearer " + w.Issue(clienttest.Token{Subject: "bob", Audience: ledger})
	late := "Bearer " + w.Issue(clienttest.Token{Subject: "ada", Audience: ledger, Life: -1})
	foreign := "Bearer " + w.Issue(clienttest.Token{Subject: "ada", Audience: "https://other.example"})
	gone := w.Issue(clienttest.Token{Subject: "ada", Audience: ledger})
	w.Revoke(gone)
	const realm = `Bearer realm="` + ledger + `"`
	for name, c := range map[string]struct {
		path      string
		sent      []string
		status    int
		challenge string
		code      string
	}{
		"permitted":                 {"/accounts/1", []string{ada}, 200, "", ""},
		"permitted, opaque":         {"/accounts/1", []string{opaque}, 200, "", ""},
		"denied":                    {"/accounts/1", []string{bob}, 403, realm + `, error="insufficient_scope"`, "insufficient_scope"},
		"revoked, seen by decision": {"/accounts/1", []string{"Bearer " + gone}, 403, realm + `, error="insufficient_scope"`, "insufficient_scope"},
		"no token":                  {"/accounts/1", nil, 401, realm, "unauthorized"},
		"another scheme":            {"/accounts/1", []string{"Basic YTpi"}, 401, realm, "unauthorized"},
		"an empty token":            {"/accounts/1", []string{"Bearer "}, 401, realm + `, error="invalid_token"`, "invalid_token"},
		"no good token":             {"/accounts/1", []string{"Bearer a.b.c"}, 401, realm + `, error="invalid_token"`, "invalid_token"},
		"expired":                   {"/accounts/1", []string{late}, 401, realm + `, error="invalid_token"`, "invalid_token"},
		"for somebody else":         {"/accounts/1", []string{foreign}, 401, realm + `, error="invalid_token"`, "invalid_token"},
		"two tokens":                {"/accounts/1", []string{ada, bob}, 400, realm + `, error="invalid_request"`, "invalid_request"},
		"one more in the query":     {"/accounts/1?access_token=x", []string{ada}, 400, realm + `, error="invalid_request"`, "invalid_request"},
		"names nothing":             {"/odd/nothing", []string{ada}, 400, "", "invalid_request"},
		"names what is not there":   {"/odd/missing", []string{ada}, 404, "", "not_found"},
		"cannot name it now":        {"/odd/unavailable", []string{ada}, 503, "", "temporarily_unavailable"},
		"fails to name it":          {"/odd/broken", []string{ada}, 500, "", "server_error"},
	} {
		t.Run(name, func(t *testing.T) {
			got := get(h, c.path, c.sent...)
			if got.Code != c.status || got.Header().Get("WWW-Authenticate") != c.challenge {
				t.Fatalf("%d %v %s", got.Code, got.Header(), got.Body)
			}
			if c.status == 200 {
				if got.Body.String() != "for ada" {
					t.Errorf("served %s", got.Body)
				}
				return
			}
			var said struct {
				Code   string
				Status int
			}
			if err := json.Unmarshal(got.Body.Bytes(), &said); err != nil || said.Code != c.code || said.Status != c.status ||
				got.Header().Get("Content-Type") != "application/problem+json" || got.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%v %s", got.Header(), got.Body)
			}
		})
	}
	w.Stop()
	for name, sent := range map[string]string{"a JWT, its keys known": ada, "an opaque token": opaque} {
		if got := get(h, "/accounts/1", sent); got.Code != 503 || got.Header().Get("Retry-After") != "1" || got.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s, in an outage: %d %v", name, got.Code, got.Header())
		}
	}
	w.Resume()
	if got := get(h, "/accounts/1", ada); got.Code != 200 {
		t.Errorf("after the outage: %d", got.Code)
	}
}

// TestATokenIsForOneClient: what one client found good is no word for another one, which has an audience of its own.
func TestATokenIsForOneClient(t *testing.T) {
	w := clienttest.Start(t)
	one, other := w.Client(ledger), w.Client("https://other.example")
	h := one.Authenticated(other.Authenticated(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it is let through") })))
	if got := get(h, "/", "Bearer "+w.Issue(clienttest.Token{Subject: "ada", Audience: ledger})); got.Code != 401 {
		t.Errorf("got %d", got.Code)
	}
	if _, ok := client.TokenFrom(t.Context()); ok {
		t.Error("there is a token in an empty context")
	}
}

// TestARefusedServiceIsNoDenial: the service's secret is wrong, which its caller cannot help.
func TestARefusedServiceIsNoDenial(t *testing.T) {
	w := clienttest.Start(t)
	config := w.Config(ledger)
	config.ClientSecret = "wrong"
	var seen error
	var c *client.Client
	config.WriteError = func(rw http.ResponseWriter, r *http.Request, err error) {
		seen = err
		c.WriteError(rw, r, err)
	}
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	got := get(service(c), "/accounts/1", "Bearer "+w.Issue(clienttest.Token{Subject: "ada", Audience: ledger}))
	if got.Code != 500 || got.Header().Get("WWW-Authenticate") != "" || !errors.Is(seen, client.ErrRefused) {
		t.Errorf("got %d, %v", got.Code, seen)
	}
}

func TestTheAddressIsToldIfItIsKnown(t *testing.T) {
	w := clienttest.Start(t)
	w.Allow("ada", "read", account("1"))
	config := w.Config(ledger)
	config.ClientIP = func(r *http.Request) netip.Addr {
		ip, _ := netip.ParseAddr(strings.TrimPrefix(r.URL.RawQuery, "ip="))
		return ip
	}
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	raw := "Bearer " + w.Issue(clienttest.Token{Subject: "ada", Audience: ledger})
	for _, path := range []string{"/accounts/1?ip=::ffff:203.0.113.9", "/accounts/1"} {
		if got := get(service(c), path, raw); got.Code != 200 {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	asked := w.Asked()
	if len(asked) != 2 || asked[0].Context["ip"] != "203.0.113.9" || asked[1].Context != nil {
		t.Errorf("asked %+v", asked)
	}
}
