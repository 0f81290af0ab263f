package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/writ-authz/writ/oauth/client"
	"github.com/writ-authz/writ/oauth/client/clienttest"
)

// example stands in for the *testing.T of a test of your own.
type example struct{ ended []func() }

func (*example) Helper()                           {}
func (e *example) Cleanup(f func())                { e.ended = append(e.ended, f) }
func (*example) Errorf(format string, args ...any) { fmt.Printf("FAIL: "+format+"\n", args...) }

func (e *example) end() {
	for _, f := range e.ended {
		f()
	}
}

// A service whose accounts may be read by whoever the server permits.
func Example() {
	t := &example{}
	defer t.end()
	writ := clienttest.Start(t)
	accounts, err := newService(writ.Config("https://ledger.example.com"))
	if err != nil {
		log.Fatal(err)
	}
	writ.Allow("ada", "read", client.Resource{Type: "ledger/accounts", ID: "123"})
	writ.Deny("ada", "read", client.Resource{Type: "ledger/accounts", ID: "456"})
	token := writ.Issue(clienttest.Token{Subject: "ada", Audience: "https://ledger.example.com"})
	for _, path := range []string{"/accounts/123", "/accounts/456"} {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		accounts.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 account 123, for ada
	// 403 {"type":"about:blank","title":"Forbidden","status":403,"code":"insufficient_scope"}
}

// newService is the service under test.
func newService(config client.Config) (http.Handler, error) {
	writ, err := client.New(config)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mayRead := writ.Require("read", client.PathValue("ledger/accounts", "id"))
	mux.Handle("GET /accounts/{id}", mayRead(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			token, _ := client.TokenFrom(r.Context())
			fmt.Fprintf(w, "account %s, for %s\n", r.PathValue("id"), token.Subject)
		})))
	return mux, nil
}

// One question about somebody else, which takes the right decisions:ask.
func ExampleClient_Check() {
	t := &example{}
	defer t.end()
	double := clienttest.Start(t)
	double.Deny("ada", "close", client.Resource{Type: "ledger/accounts", ID: "123"}, "not_granted")
	writ, ctx := double.Client("https://ledger.example.com"), context.Background()

	err := writ.Check(ctx, client.Question{
		Subject:  client.Subject{Type: "user", ID: "ada"},
		Action:   client.Action{Name: "close"},
		Resource: client.Resource{Type: "ledger/accounts", ID: "123"},
		Reasons:  true,
	})
	switch {
	case err == nil:
		fmt.Println("close it")
	case errors.Is(err, client.ErrDenied):
		fmt.Println(err)
	case errors.Is(err, client.ErrUnavailable):
		fmt.Println("try again later") // 503: neither yes nor no
	default:
		fmt.Println("for the operator:", err) // 500: this service is refused, or asks nonsense
	}
	// Output: denied: user/ada may not close ledger/accounts/123 (not_granted)
}

// Which of many may be shown: one call for all of them.
func ExampleClient_EvaluateAll() {
	t := &example{}
	defer t.end()
	double := clienttest.Start(t)
	for id, allow := range map[string]bool{"1": true, "2": false, "3": true} {
		if account := (client.Resource{Type: "ledger/accounts", ID: id}); allow {
			double.Allow("ada", "read", account)
		} else {
			double.Deny("ada", "read", account)
		}
	}
	writ, ctx, ids := double.Client("https://ledger.example.com"), context.Background(), []string{"1", "2", "3"}

	batch := client.Batch{Defaults: client.Question{
		Subject: client.Subject{Type: "user", ID: "ada"}, Action: client.Action{Name: "read"},
	}}
	for _, id := range ids {
		batch.Questions = append(batch.Questions, client.Question{Resource: client.Resource{Type: "ledger/accounts", ID: id}})
	}
	answers, err := writ.EvaluateAll(ctx, batch)
	if err != nil {
		log.Fatal(err)
	}
	for i, answer := range answers {
		fmt.Println(ids[i], answer.Allowed, answer.Err) // an item that could not be decided is not allowed, and has Err
	}
	// Output:
	// 1 true <nil>
	// 2 false <nil>
	// 3 true <nil>
}

// TestAccounts is a test of a service with the double.
func TestAccounts(t *testing.T) {
	writ := clienttest.Start(t)
	service, err := newService(writ.Config("https://ledger.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	writ.Allow("ada", "read", client.Resource{Type: "ledger/accounts", ID: "123"})
	token := writ.Issue(clienttest.Token{Subject: "ada", Audience: "https://ledger.example.com"})

	for _, outage := range []bool{false, true} {
		want := http.StatusOK
		if outage {
			writ.Stop()
			want = http.StatusServiceUnavailable
		}
		r := httptest.NewRequest(http.MethodGet, "/accounts/123", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("outage %t: status %d, want %d", outage, w.Code, want)
		}
	}
}
