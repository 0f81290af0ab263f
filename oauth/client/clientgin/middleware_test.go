package clientgin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/writ-authz/writ/oauth/client"
	"github.com/writ-authz/writ/oauth/client/clientgin"
	"github.com/writ-authz/writ/oauth/client/clienttest"
)

const ledger = "https://ledger.example.com"

// newRouter is a service whose accounts may be read by whoever the server permits.
func newRouter(writ *client.Client) *gin.Engine {
	router := gin.New()
	router.GET("/accounts/:id",
		clientgin.Require(writ, "read", clientgin.Param("ledger/accounts", "id")),
		func(g *gin.Context) {
			token, _ := clientgin.TokenFrom(g)
			g.String(http.StatusOK, "account %s, for %s\n", g.Param("id"), token.Subject)
		})
	return router
}

func TestMiddleware(t *testing.T) {
	gin.SetMode(gin.TestMode)
	w := clienttest.Start(t)
	w.Allow("ada", "read", client.Resource{Type: "ledger/accounts", ID: "1"})
	w.Deny("ada", "read", client.Resource{Type: "ledger/accounts", ID: "2"})
	c := w.Client(ledger)
	router := newRouter(c)
	served := 0
	router.GET("/me", clientgin.Authenticated(c), func(g *gin.Context) { served++; g.String(http.StatusOK, "me") })
	router.GET("/odd", clientgin.Authenticated(c), clientgin.Require(c, "read", func(g *gin.Context) (client.Resource, error) {
		if token, ok := clientgin.TokenFrom(g); !ok || token.Subject != "ada" {
			t.Error("the function sees no token")
		}
		return client.Resource{}, errors.New("a bug")
	}), func(*gin.Context) { t.Error("it is let through") })
	good := "Bearer " + w.Issue(clienttest.Token{Subject: "ada", Audience: ledger})
	get := func(path, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		reply := httptest.NewRecorder()
		router.ServeHTTP(reply, r)
		return reply
	}
	for _, tc := range []struct {
		path, sent string
		status     int
		challenge  string
	}{
		{"/accounts/1", good, 200, ""},
		{"/accounts/2", good, 403, `Bearer realm="` + ledger + `", error="insufficient_scope"`},
		{"/accounts/1", "", 401, `Bearer realm="` + ledger + `"`},
		{"/accounts/1", "Bearer x", 401, `Bearer realm="` + ledger + `", error="invalid_token"`},
		{"/me", good, 200, ""},
		{"/me", "", 401, `Bearer realm="` + ledger + `"`},
		{"/odd", good, 500, ""},
	} {
		reply := get(tc.path, tc.sent)
		if reply.Code != tc.status || reply.Header().Get("WWW-Authenticate") != tc.challenge {
			t.Errorf("%s with %.12q: %d %v %s", tc.path, tc.sent, reply.Code, reply.Header(), reply.Body)
		}
	}
	if served != 1 {
		t.Errorf("the handler ran %d times", served)
	}
	w.Stop()
	if reply := get("/accounts/1", good); reply.Code != 503 || reply.Header().Get("Retry-After") == "" {
		t.Errorf("in an outage: %d", reply.Code)
	}
}

// example stands in for the *testing.T of a test of your own.
type example struct{ end func() }

func (*example) Helper()                           {}
func (e *example) Cleanup(f func())                { e.end = f }
func (*example) Errorf(format string, args ...any) { fmt.Printf("FAIL: "+format+"\n", args...) }

func ExampleRequire() {
	gin.SetMode(gin.ReleaseMode)
	t := &example{}
	writ := clienttest.Start(t)
	defer t.end()
	writ.Allow("ada", "read", client.Resource{Type: "ledger/accounts", ID: "123"})
	r := httptest.NewRequest(http.MethodGet, "/accounts/123", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+writ.Issue(clienttest.Token{Subject: "ada", Audience: ledger}))
	w := httptest.NewRecorder()
	newRouter(writ.Client(ledger)).ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output: 200 account 123, for ada
}
