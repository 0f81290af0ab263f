package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// erring are the rules, which have no answer while they are told so.
type erring struct {
	enforce.Decider
	undecided *atomic.Bool
}

func (e erring) Decide(ctx context.Context, q *policies.Question) (policies.Decision, error) {
	d, err := e.Decider.Decide(ctx, q)
	if e.undecided.Load() {
		d.Allow, err = true, policies.ErrUndecided // what is beside an error is no answer
	}
	return d, err
}

// kept is everything that the store holds, by kind and id.
func (w *world) kept() map[string]storage.Record {
	w.tb.Helper()
	all := map[string]storage.Record{}
	for _, kind := range storage.Kinds() {
		page, err := w.store.List(context.Background(), kind, storage.Query{Limit: 1000})
		if err != nil {
			w.tb.Fatal(err)
		}
		for _, record := range page {
			all[kind.Name+"/"+record.RecordMeta().ID] = record
		}
	}
	return all
}

// TestC05ADecisionThatErrsIs503OnEveryRow sends the good request of each row while the rules have no answer: 503, nothing is written, and
// what the request would have used up still works afterwards.
func TestC05ADecisionThatErrsIs503OnEveryRow(t *testing.T) {
	undecided := &atomic.Bool{}
	w := peopled(t, func(e *enforce.Config, _ *oauth.Config) { e.PDP = erring{e.PDP, undecided} })
	w.application("portal", nil, func(a *storage.Application) { a.GrantTypes = []string{"password", "refresh_token"} })
	w.application("app", []string{"ledger:read"})
	login := w.want(w.person("portal", "ada"), http.StatusOK, "")
	access, refresh := login.text("access_token"), login.text("refresh_token")
	if refresh == "" {
		t.Fatal("no refresh token")
	}
	nonce := w.nonce(0)
	issue := func(path string) func() reply {
		return func() reply {
			return w.send(path, "grant_type=client_credentials&timestamp_nonce="+nonce[1], "Authorization", basic("app", "secret of app"))
		}
	}
	good := map[string][]func() reply{
		"POST /oauth2/token": {
			issue("/oauth2/token"),
			func() reply { return w.person("portal", "ada", nonce...) },
			func() reply { return w.refresh("portal", refresh, nonce...) },
		},
		"POST /connect/token":       {issue("/connect/token")},
		"POST /token":               {issue("/token")},
		"POST /oauth2/introspect":   {func() reply { return w.introspect("portal", access) }},
		"POST /oauth2/revoke":       {func() reply { return w.revoke("portal", access) }, func() reply { return w.revoke("portal", refresh) }},
		"POST /oauth2/sessions/end": {func() reply { return w.end(access, "") }, func() reply { return w.end("", access) }},
	}
	before, audited := w.kept(), len(w.auditor.entries)
	undecided.Store(true)
	for _, route := range w.server.Routes() {
		name := route.Method + " " + route.Path
		if len(good[name]) == 0 {
			t.Errorf("the row %s has no request here", name)
		}
		for i, send := range good[name] {
			r := w.want(send(), http.StatusServiceUnavailable, "temporarily_unavailable")
			if r.Header().Get("Retry-After") == "" || r.Header().Get("Decision-Id") == "" {
				t.Errorf("%s, request %d: %v", name, i, r.Header())
			}
			if diff := cmp.Diff(before, w.kept()); diff != "" {
				t.Fatalf("%s, request %d changed (-before +after):\n%s", name, i, diff)
			}
		}
	}
	if len(w.auditor.entries) != audited {
		t.Errorf("audit: %v", w.auditor.entries[audited:])
	}
	undecided.Store(false)
	if _, err := w.server.Token(t.Context(), access); err != nil && !errors.Is(err, enforce.ErrUnauthenticated) {
		t.Fatal(err)
	} else if err != nil {
		t.Error("the token died of what was not decided")
	}
	w.want(issue("/oauth2/token")(), http.StatusOK, "")
	w.want(w.refresh("portal", refresh, nonce...), http.StatusOK, "")
	if cmp.Equal(before, w.kept()) {
		t.Error("a change is not seen, so nothing above was")
	}
}
