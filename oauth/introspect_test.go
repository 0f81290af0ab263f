package oauth_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

// introspect asks about a token, with Basic authentication of id. Pairs are further form parameters.
func (w *world) introspect(id, token string, pairs ...string) reply {
	w.tb.Helper()
	form := url.Values{"token": {token}}
	for n := 0; n < len(pairs); n += 2 {
		form.Add(pairs[n], pairs[n+1])
	}
	return w.send("/oauth2/introspect", form.Encode(), "Authorization", basic(id, "secret of "+id))
}

// wantInactive fails unless the reply is RFC 7662's for a token that is not there, and nothing besides.
func (w *world) wantInactive(r reply) reply {
	w.tb.Helper()
	if r.Code != http.StatusOK || r.Body.String() != `{"active":false}` || r.Header().Get("Decision-Id") == "" ||
		r.Header().Get("Cache-Control") != "no-store" {
		w.tb.Fatalf("want an inactive token, got %d %v %s", r.Code, r.Header(), r.Body)
	}
	return r
}

func serving(audiences ...string) func(*storage.Application) {
	return func(a *storage.Application) { a.Serves = audiences }
}

func meantFor(audiences ...string) func(*storage.Application) {
	return func(a *storage.Application) { a.Audiences = audiences }
}

func method(name string) func(*storage.Application) {
	return func(a *storage.Application) { a.TokenEndpointAuthMethod = name }
}

func forPeople(a *storage.Application) { a.GrantTypes = []string{"password"} }

func TestI01AndF20Introspection(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	w.application("front", nil, forPeople)
	w.user("u1", "ada", []string{"ledger:read"})
	for name, c := range map[string]struct {
		id    string
		issue func() reply
		extra map[string]any
	}{
		"of a machine": {"app", func() reply { return w.machine("app") }, map[string]any{}},
		"of a person":  {"front", func() reply { return w.person("front", "ada") }, map[string]any{"username": "ada"}},
	} {
		t.Run(name, func(t *testing.T) {
			issued := w.want(c.issue(), http.StatusOK, "")
			token := issued.text("access_token")
			want := map[string]any{"active": true, "token_type": "Bearer"}
			for name, value := range part(t, token, 1) {
				want[name] = value
			}
			delete(want, "writ")
			for name, value := range c.extra {
				want[name] = value
			}
			first := w.introspect(c.id, token)
			if diff := cmp.Diff(want, first.JSON); diff != "" || first.Code != http.StatusOK {
				t.Fatalf("%d (-want +got)\n%s", first.Code, diff)
			}
			if again := w.introspect(c.id, token); again.Body.String() != first.Body.String() {
				t.Errorf("the second answer differs: %s", again.Body)
			}
			if first.Header().Get("Cache-Control") != "no-store" || first.Header().Get("Decision-Id") == "" {
				t.Errorf("headers: %v", first.Header())
			}
		})
	}
}

func TestI02DeadTokensAreInactive(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	w.application("asker", []string{"tokens:introspect"})
	token := w.machine("app").text("access_token")
	for name, dead := range map[string]string{
		"garbage": "garbage", "truncated": token[:len(token)-1], "appended": token + "A", "another's header": "e30" + token[3:],
		"too long": strings.Repeat("x", 20<<10),
	} {
		t.Run(name, func(t *testing.T) {
			w.tb = t
			w.wantInactive(w.introspect("app", dead))
			w.wantInactive(w.introspect("asker", dead))
		})
	}
	w.tb = t
	off := w.application("off", []string{"ledger:read"})
	ended := w.machine("off").text("access_token")
	off.IsActive = false
	w.directory.put(off)
	w.wantInactive(w.introspect("asker", ended))
	w.advance(2 * time.Hour)
	w.wantInactive(w.introspect("app", token))
}

func TestI03AndF19TheCallerAuthenticates(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	w.application("public", nil, method("none"), forPeople)
	w.application("posting", nil, method("client_secret_post"))
	token := w.machine("app").text("access_token")
	body := url.Values{"token": {token}}.Encode()
	unknown := w.want(w.send("/oauth2/introspect", body, "Authorization", basic("nobody", "x")), http.StatusUnauthorized, "invalid_client")
	for name, r := range map[string]reply{
		"nothing":       w.send("/oauth2/introspect", body),
		"wrong secret":  w.send("/oauth2/introspect", body, "Authorization", basic("app", "x")),
		"public client": w.send("/oauth2/introspect", body+"&client_id=public"),
		"bearer":        w.send("/oauth2/introspect", body, "Authorization", bearer(token)),
		"wrong method":  w.send("/oauth2/introspect", body, "Authorization", basic("posting", "secret of posting")),
	} {
		w.want(r, http.StatusUnauthorized, "invalid_client")
		if r.Body.String() != unknown.Body.String() || !sameHeaders(r.Header(), unknown.Header()) {
			t.Errorf("%s differs from an unknown client: %v %s", name, r.Header(), r.Body)
		}
		if !strings.HasPrefix(r.Header().Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: challenge %q", name, r.Header().Get("WWW-Authenticate"))
		}
	}
	w.want(w.send("/oauth2/introspect", body+"&client_id=app&client_secret=x", "Authorization", basic("app", "secret of app")),
		http.StatusBadRequest, "invalid_request")
	w.wantInactive(w.send("/oauth2/introspect", body+"&client_id=posting&client_secret="+url.QueryEscape("secret of posting")))
}

func TestI04AndF18NoToken(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	for _, body := range []string{"", "token=", "token_type_hint=access_token", "token=a&token=b", "token=%zz"} {
		w.want(w.send("/oauth2/introspect", body, "Authorization", basic("app", "secret of app")), http.StatusBadRequest, "invalid_request")
	}
	w.want(w.send("/oauth2/introspect", `{"token":"x"}`, "Authorization", basic("app", "secret of app"), "Content-Type", ""),
		http.StatusBadRequest, "invalid_request")
}

func TestI05AWrongHintLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	for _, hint := range []string{"access_token", "refresh_token", "nonsense"} {
		if r := w.introspect("app", token, "token_type_hint", hint); r.JSON["active"] != true {
			t.Errorf("%s: %s", hint, r.Body)
		}
	}
}

// S-T13: what the caller may not see and what is not there have the same bytes.
func TestI06AndF19AndST13TokensOfOthers(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, meantFor("urn:ledger"))
	w.application("stranger", nil, serving("urn:other"))
	w.application("ledger", nil, serving("urn:ledger"))
	w.application("asker", []string{"tokens:introspect"})
	w.application("narrow", []string{"tokens:introspect"}, func(a *storage.Application) { a.Scopes = []string{"ledger:read"} })
	token := w.machine("app").text("access_token")
	for id, sees := range map[string]bool{"app": true, "stranger": false, "ledger": true, "asker": true, "narrow": false} {
		r, dead := w.introspect(id, token), w.wantInactive(w.introspect(id, token[:len(token)-3]))
		if sees {
			if r.JSON["active"] != true {
				t.Errorf("%s does not see the token: %s", id, r.Body)
			}
			continue
		}
		w.wantInactive(r)
		if !sameHeaders(r.Header(), dead.Header()) {
			t.Errorf("%s: %v, of a dead token %v", id, r.Header(), dead.Header())
		}
	}
	if err := w.decisions.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.logged.String(), token) {
		t.Error("the token is in a log")
	}
	if got := strings.Count(w.logged.String(), `"route":"POST /oauth2/introspect"`); got != 10 {
		t.Errorf("10 requests made %d decisions", got)
	}
}

func TestPO05IntrospectionReadsNoStoreAndNoOutageIsInactive(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	before := w.store.calls.Load()
	w.store.down.Store(true)
	if r := w.introspect("app", token); r.JSON["active"] != true {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	w.wantInactive(w.introspect("app", "garbage"))
	if calls := w.store.calls.Load() - before; calls != 0 {
		t.Errorf("PO-05: %d store calls", calls)
	}
	w.directory.stale = fmt.Errorf("the feed is cut: %w", storage.ErrUnavailable)
	for _, asked := range []string{token, "garbage"} {
		r := w.want(w.introspect("app", asked), http.StatusServiceUnavailable, "temporarily_unavailable")
		if r.Header().Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
}

// FuzzIntrospection: whatever is asked, only a request with the whole token hears of an active one. In a seed OWN is that token.
func FuzzIntrospection(f *testing.F) {
	w := newWorld(f)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	f.Fuzz(func(t *testing.T, body string) {
		w.tb = t
		body = strings.ReplaceAll(body, "OWN", token)
		r := w.send("/oauth2/introspect", body, "Authorization", basic("app", "secret of app"))
		switch {
		case r.Code == http.StatusOK && strings.Contains(body, token):
		case r.Code == http.StatusOK:
			w.wantInactive(r)
		case r.text("error") == "invalid_scope" || r.text("error") == "invalid_target":
		default:
			w.want(r, r.Code, r.text("error"))
			if r.text("error") != "invalid_request" && r.text("error") != "invalid_client" {
				t.Fatalf("%d %s", r.Code, r.Body)
			}
		}
	})
}

// PO-05, for every kind of token: what is warm is answered from memory.
func TestPO05IntrospectionOfAnyTokenReadsNoStore(t *testing.T) {
	w := peopled(t)
	w.application("sealed", nil, opaque)
	tokens := map[string]string{"portal": w.person("portal", "ada").text("access_token"), "sealed": w.machine("sealed").text("access_token")}
	before := w.store.calls.Load()
	for id, token := range tokens {
		for range 2 {
			if r := w.introspect(id, token); r.JSON["active"] != true || w.store.calls.Load() != before {
				t.Errorf("%s: %s, %d store calls", id, r.Body, w.store.calls.Load()-before)
			}
		}
	}
}
