package clienttest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth/client"
	"github.com/writ-authz/writ/oauth/client/clienttest"
)

const ledger = "https://ledger.example.com"

// recorder is a test that keeps its failures to itself.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) wantFailure(text string) {
	r.TB.Helper()
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], text) {
		r.TB.Errorf("failures %q, want one that says %q", r.failures, text)
	}
	r.failures = nil
}

func question(subject, action, id string) client.Question {
	return client.Question{
		Subject: client.Subject{Type: "user", ID: subject}, Action: client.Action{Name: action},
		Resource: client.Resource{Type: "ledger/accounts", ID: id},
	}
}

// TestAnUnexpectedQuestionFailsTheTest: and is no permit, whoever asks it.
func TestAnUnexpectedQuestionFailsTheTest(t *testing.T) {
	r := &recorder{TB: t}
	w := clienttest.Start(r)
	c := w.Client(ledger)
	w.Allow("ada", "read", client.Resource{Type: "ledger/accounts", ID: "1"})
	if err := c.Check(t.Context(), question("ada", "read", "1")); err != nil || len(r.failures) > 0 {
		t.Errorf("an expected one: %v, %q", err, r.failures)
	}
	for _, q := range []client.Question{question("bob", "read", "1"), question("ada", "write", "1"), question("ada", "read", "2")} {
		if err := c.Check(t.Context(), q); !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("%s: %v", q.Subject, err)
		}
		r.wantFailure("may " + q.Subject.ID + " " + q.Action.Name + " ledger/accounts/" + q.Resource.ID)
	}
	inTenant := question("ada", "read", "1")
	inTenant.Resource.Tenant = "acme"
	if err := c.Check(t.Context(), inTenant); !errors.Is(err, client.ErrUnavailable) {
		t.Error(err)
	}
	r.wantFailure("in acme")
	if _, err := c.Permissions(t.Context(), client.Subject{Type: "user", ID: "ada"}, ""); !errors.Is(err, client.ErrUnavailable) {
		t.Error(err)
	}
	r.wantFailure("what may ada do?")
	answers, err := c.EvaluateAll(t.Context(), client.Batch{Questions: []client.Question{question("ada", "read", "1"), question("bob", "read", "1")}})
	if err != nil || !answers[0].Allowed || answers[1].Allowed || !errors.Is(answers[1].Err, client.ErrUnavailable) {
		t.Errorf("%+v, %v", answers, err)
	}
	r.wantFailure("may bob read")
}

func TestBatchesEndAsTheServersDo(t *testing.T) {
	w := clienttest.Start(t)
	c := w.Client(ledger)
	account := client.Resource{Type: "ledger/accounts", ID: "1"}
	w.Allow("ada", "read", account)
	w.Deny("ada", "write", account, "not_granted")
	w.Hold("ada", client.Permission{Resource: "ledger/accounts", Action: "read", Via: []string{"own"}})
	w.Hold("bob")
	batch := client.Batch{
		Defaults:  client.Question{Subject: client.Subject{Type: "user", ID: "ada"}, Resource: account},
		Questions: []client.Question{{Action: client.Action{Name: "write"}}, {Action: client.Action{Name: "read"}}}, Reasons: true,
	}
	for semantic, want := range map[client.Semantic]int{"": 2, client.ExecuteAll: 2, client.DenyOnFirstDeny: 1, client.PermitOnFirstPermit: 2} {
		batch.Semantic = semantic
		answers, err := c.EvaluateAll(t.Context(), batch)
		if err != nil || len(answers) != want || answers[0].Allowed || answers[0].Reasons[0].Code != "not_granted" {
			t.Errorf("%s: %+v, %v", semantic, answers, err)
		}
	}
	for subject, want := range map[string]int{"ada": 1, "bob": 0} {
		held, err := c.Permissions(t.Context(), client.Subject{Type: "user", ID: subject}, client.AnyTenant)
		if err != nil || len(held) != want {
			t.Errorf("%s: %+v, %v", subject, held, err)
		}
	}
}

func TestTokensLiveAndEnd(t *testing.T) {
	w := clienttest.Start(t)
	config := w.Config(ledger)
	byKeys := w.Client(ledger)
	config.Introspect = true
	asking, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	raw := w.Issue(clienttest.Token{
		Subject: "ada", Audience: ledger, Tenant: "acme", Scopes: []string{"ledger:read"}, Roles: []string{"ops:viewer"},
		Groups: []string{"g1"}, Claims: map[string]any{"department": "books"},
	})
	for name, c := range map[string]*client.Client{"by the keys": byKeys, "by introspection": asking} {
		token, err := c.Verify(t.Context(), raw)
		if err != nil || token.Subject != "ada" || token.Tenant != "acme" || token.Scopes[0] != "ledger:read" ||
			token.Roles[0] != "ops:viewer" || token.Groups[0] != "g1" || token.Claims["department"] != "books" || token.ClientID != "portal" {
			t.Errorf("%s: %#v, %v", name, token, err)
		}
	}
	w.Revoke(raw)
	if _, err := byKeys.Verify(t.Context(), raw); err != nil {
		t.Errorf("a JWT is good until it expires: %v", err)
	}
	if _, err := asking.Verify(t.Context(), raw); !errors.Is(err, client.ErrInvalidToken) {
		t.Errorf("introspected, it is not: %v", err)
	}
	for name, token := range map[string]clienttest.Token{
		"expired": {Subject: "ada", Audience: ledger, Life: -time.Second}, "expired, opaque": {Subject: "ada", Audience: ledger, Life: -time.Second, Opaque: true},
	} {
		if _, err := byKeys.Verify(t.Context(), w.Issue(token)); !errors.Is(err, client.ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.RotateKey()
	rotated := w.Issue(clienttest.Token{Subject: "ada", Audience: ledger})
	if _, err := byKeys.Verify(t.Context(), rotated); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("signed with a key that may be new: %v", err)
	}
	if _, err := w.Client(ledger).Verify(t.Context(), rotated); err != nil {
		t.Errorf("signed with a new key: %v", err)
	}
}
