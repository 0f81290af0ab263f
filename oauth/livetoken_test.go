package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

func TestI07RefreshTokens(t *testing.T) {
	w := refreshing(t)
	w.application("asker", []string{"tokens:introspect"})
	first := w.login()
	session := w.sessionOf(first)
	want := map[string]any{
		"active": true, "client_id": "portal", "sub": ada, "username": "ada", "scope": first.text("scope"), "iss": issuer,
		"exp": float64(session.ExpiresAt.Unix()), "sid": session.ID,
	}
	for _, caller := range []string{"portal", "asker"} {
		for _, hint := range []string{"refresh_token", "access_token"} {
			r := w.introspect(caller, first.text("refresh_token"), "token_type_hint", hint)
			if diff := cmp.Diff(want, r.JSON); diff != "" || r.Code != http.StatusOK {
				t.Fatalf("%s, %s: %d (-want +got)\n%s", caller, hint, r.Code, diff)
			}
		}
	}
	if want := w.now().Add(oauth.DefaultRefreshTokenLifetime).Unix(); session.ExpiresAt.Unix() != want {
		t.Fatalf("the session ends at %v", session.ExpiresAt)
	}
	w.advance(time.Hour)
	second := w.refreshed(first.text("refresh_token"))
	r := w.introspect("portal", second.text("refresh_token"))
	if r.JSON["exp"] != float64(w.now().Add(oauth.DefaultRefreshTokenLifetime).Unix()) {
		t.Errorf("after a refresh: %s", r.Body)
	}
	if r := w.introspect("portal", first.text("refresh_token")); r.JSON["active"] != true {
		t.Errorf("inside the grace: %s", r.Body)
	}
	w.advance(oauth.DefaultRefreshGrace)
	w.wantInactive(w.introspect("portal", first.text("refresh_token")))
	w.refreshed(second.text("refresh_token")) // looking at a used one is no use of it
	w.advance(oauth.DefaultRefreshTokenLifetime + time.Second)
	w.wantInactive(w.introspect("portal", second.text("refresh_token")))
}

// A refresh token concerns its client and this server; that an application serves the audience of its access tokens is nothing.
func TestI07RefreshTokensOfOthers(t *testing.T) {
	w := refreshing(t)
	w.application("api", nil, serving(issuer+"/runtime", issuer+"/management"))
	w.application("narrow", []string{"tokens:introspect"}, func(a *storage.Application) { a.Scopes = []string{"ledger:read"} })
	first := w.login()
	if r := w.introspect("api", first.text("access_token")); r.JSON["active"] != true {
		t.Fatalf("the access token: %s", r.Body)
	}
	for _, caller := range []string{"api", "other", "narrow"} {
		w.wantInactive(w.introspect(caller, first.text("refresh_token")))
	}
	w.refreshed(first.text("refresh_token"))
}

func TestI07DeadRefreshTokensAreInactive(t *testing.T) {
	for name, kill := range map[string]func(w *world, first reply){
		"session ended": func(w *world, first reply) { w.want(w.end(first.text("access_token"), ""), http.StatusNoContent, "") },
		"user inactive": func(w *world, _ reply) {
			w.user(ada, "ada", nil, func(i *policies.Identity) { i.Active = false })
		},
		"epoch of the user": func(w *world, _ reply) { w.user(ada, "ada", nil).Epoch = 1 },
		"epoch of the client": func(w *world, _ reply) {
			w.application("portal", nil, func(a *storage.Application) { a.GrantTypes, a.Epoch = []string{"password", "refresh_token"}, 1 })
		},
		"epoch of all": func(w *world, _ reply) { w.directory.global = 1 },
		"user gone":    func(w *world, _ reply) { delete(w.directory.users, ada) },
		"the client refreshes no more": func(w *world, _ reply) {
			w.application("portal", nil, func(a *storage.Application) { a.GrantTypes = []string{"password"} })
		},
		"revoked": func(w *world, first reply) {
			w.wantRevoked(w.revoke("portal", first.text("refresh_token")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshing(t)
			w.application("asker", []string{"tokens:introspect"})
			first := w.login()
			kill(w, first)
			w.wantInactive(w.introspect("asker", first.text("refresh_token")))
			w.wantInactive(w.introspect("portal", first.text("refresh_token")))
		})
	}
}

// S-T12, S-T13: what this server did not make costs no read and looks like what is not there.
func TestI07ForgedRefreshTokensCostNoRead(t *testing.T) {
	w := refreshing(t)
	token := w.login().text("refresh_token")
	for n, forged := range forgeries(token) {
		calls := w.store.calls.Load()
		w.wantInactive(w.introspect("portal", forged))
		w.wantRevoked(w.revoke("portal", forged))
		if got := w.store.calls.Load() - calls; got != 0 {
			t.Errorf("%d: %d store calls", n, got)
		}
	}
	w.refreshed(token)
}

// forgeries are texts that look like a refresh token.
func forgeries(token string) []string {
	parts := strings.Split(token, ".")
	return []string{
		"writ_rt_", token[:len(token)-1], token + "A", token + ".", parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		parts[0] + "." + strings.Repeat("A", len(parts[1])) + "." + parts[2], "writ_rt_" + token, strings.ToUpper(token),
	}
}

func TestI07NoOutageIsInactive(t *testing.T) {
	w := refreshing(t)
	token := w.login().text("refresh_token")
	w.store.down.Store(true)
	for _, r := range []reply{w.introspect("portal", token), w.revoke("portal", token)} {
		if w.want(r, http.StatusServiceUnavailable, "temporarily_unavailable"); r.Header().Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	w.store.down.Store(false)
	w.directory.stale = fmt.Errorf("the feed is cut: %w", storage.ErrUnavailable)
	w.want(w.introspect("portal", token), http.StatusServiceUnavailable, "temporarily_unavailable")
	w.directory.stale = nil
	w.refreshed(token)
}

func TestV01RevokeARefreshToken(t *testing.T) {
	w := refreshing(t)
	first, bystander := w.login(), w.login()
	second := w.refreshed(first.text("refresh_token"))
	w.wantRevoked(w.revoke("portal", second.text("refresh_token"), "token_type_hint", "access_token"))
	for _, token := range []string{first.text("access_token"), second.text("access_token")} {
		if w.live(token) {
			t.Error("an access token of the session lives")
		}
		w.wantInactive(w.introspect("portal", token))
	}
	w.want(w.refresh("portal", second.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
	w.wantInactive(w.introspect("portal", second.text("refresh_token")))
	target := "application:portal tokens:revoke sessions/" + w.sessionOf(first).ID
	for _, entry := range []string{"intent " + target, "ok " + target} {
		if !slices.Contains(w.auditor.entries, entry) {
			t.Errorf("%q is not among %q", entry, w.auditor.entries)
		}
	}
	w.wantRevoked(w.revoke("portal", second.text("refresh_token"))) // it is unknown now
	if !w.live(bystander.text("access_token")) {
		t.Error("another session of the user ended")
	}
	w.refreshed(bystander.text("refresh_token"))
	w.build()
	if w.live(second.text("access_token")) || !w.live(bystander.text("access_token")) {
		t.Error("a restart forgot the revocation, or revoked more")
	}
}

// A client that lost the reply of a refresh has only the old token to say that all is over.
func TestV01AnExchangedRefreshTokenRevokesItsSession(t *testing.T) {
	w := refreshing(t)
	first := w.login()
	second := w.refreshed(first.text("refresh_token"))
	w.advance(oauth.DefaultRefreshGrace)
	w.wantRevoked(w.revoke("portal", first.text("refresh_token")))
	if w.live(second.text("access_token")) {
		t.Error("the access token lives")
	}
	w.want(w.refresh("portal", second.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

func TestV03ForeignRefreshTokens(t *testing.T) {
	w := refreshing(t)
	w.application("guard", []string{"tokens:revoke"})
	first := w.login()
	w.want(w.revoke("other", first.text("refresh_token")), http.StatusBadRequest, "unauthorized_client")
	if !w.live(first.text("access_token")) {
		t.Fatal("a stranger ended the session")
	}
	second := w.refreshed(first.text("refresh_token"))
	w.wantRevoked(w.revoke("guard", second.text("refresh_token")))
	if w.live(second.text("access_token")) {
		t.Error("the right to revoke did nothing")
	}
	w.wantRevoked(w.revoke("other", second.text("refresh_token"))) // nobody's now
}

func TestV05RefreshTokensAndTheAuditLog(t *testing.T) {
	w := refreshing(t)
	first := w.login()
	w.auditor.down = fmt.Errorf("disk full")
	r := w.want(w.revoke("portal", first.text("refresh_token")), http.StatusServiceUnavailable, "temporarily_unavailable")
	if r.Header().Get("Retry-After") == "" || !w.live(first.text("access_token")) {
		t.Errorf("%v", r.Header())
	}
	w.auditor.down = nil
	w.refreshed(first.text("refresh_token"))
}

func TestV06PublicClientRevokesItsRefreshToken(t *testing.T) {
	w := refreshing(t)
	w.application("public", nil, method("none"), func(a *storage.Application) { a.GrantTypes = []string{"password", "refresh_token"} })
	first := w.want(w.token("", "client_id", "public", "grant_type", "password", "username", "ada", "password", "password of ada"),
		http.StatusOK, "")
	form := url.Values{"client_id": {"public"}, "token": {first.text("refresh_token")}}
	w.wantRevoked(w.send("/oauth2/revoke", form.Encode()))
	if w.live(first.text("access_token")) {
		t.Error("the access token lives")
	}
}

// What a window or a disabled tenant keeps from being accepted now may be accepted later: revoked is revoked.
func TestV01ATokenThatSleepsIsRevoked(t *testing.T) {
	w := refreshing(t)
	token := w.login().text("access_token")
	w.user(ada, "ada", nil, func(i *policies.Identity) { i.NotAfter = w.now() })
	if w.live(token) {
		t.Fatal("accepted outside the window of its user")
	}
	w.want(w.revoke("other", token), http.StatusBadRequest, "unauthorized_client")
	w.wantRevoked(w.revoke("portal", token))
	w.user(ada, "ada", nil)
	if w.live(token) {
		t.Error("accepted again, after it was revoked")
	}
}

// A node that could not read the store for longer than the clocks may be apart misses nothing of what others revoked meanwhile.
func TestRevocationsOfALongOutageAreNotMissed(t *testing.T) {
	w := refreshing(t)
	w.application("app", nil)
	token, first := w.machine("app").text("access_token"), w.login()
	other, err := oauth.Open(t.Context(), w.config())
	if err != nil {
		t.Fatal(err)
	}
	poll := func() {
		t.Helper()
		if err := other.Poll(t.Context(), w.store); err != nil {
			t.Fatal(err)
		}
	}
	accepts := func(token string) bool {
		_, err := other.Token(t.Context(), token)
		return err == nil
	}
	poll()
	w.wantRevoked(w.revoke("app", token))
	w.wantRevoked(w.revoke("portal", first.text("refresh_token")))
	w.advance(10 * time.Minute)
	if !accepts(token) || !accepts(first.text("access_token")) {
		t.Fatal("the other node knows already")
	}
	w.store.down.Store(true)
	if err := other.Poll(t.Context(), w.store); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("a poll in the outage: %v", err)
	}
	w.store.down.Store(false)
	poll()
	if accepts(token) || accepts(first.text("access_token")) {
		t.Error("what was revoked in the outage is accepted after it")
	}
}

// Nodes stamp what they revoke by their own clocks. However far these are apart, each takes in what the others revoke in its next round.
func TestRevocationsReachNodesWhoseClocksDiffer(t *testing.T) {
	w := peopled(t)
	for _, tc := range []struct {
		name          string
		first, second time.Duration // the offsets of two nodes that revoke
	}{
		{"behind", 0, -10 * time.Minute},
		{"ahead", 0, 10 * time.Minute},
		{"far behind", 0, -3 * time.Hour},
		{"one behind, one ahead", 40 * time.Minute, -time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reader, first, second := w.peer(), w.peer(), w.peer()
			nodes := []*world{reader, first, second}
			poll := func(nodes ...*world) {
				t.Helper()
				for _, node := range nodes {
					if err := node.server.Poll(t.Context(), w.store); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 3 {
				for range 12 { // so long that what was read before is left behind
					for _, node := range nodes {
						node.advance(5 * time.Second)
					}
					w.advance(5 * time.Second)
					poll(nodes...)
				}
				for n, writer := range []*world{first, second} {
					access := w.person("portal", "ada").text("access_token")
					session := w.person("portal", "ada").text("access_token")
					offset := []time.Duration{tc.first, tc.second}[n]
					writer.advance(offset) // the clock that stamps; the tokens are good by either
					if err := writer.server.EndSession(t.Context(), part(t, session, 1)["sid"].(string), storage.EndSignOut); err != nil {
						t.Fatal(err)
					}
					w.wantRevoked(writer.revoke("portal", access))
					writer.advance(-offset)
					if !reader.live(access) || !reader.live(session) {
						t.Fatal("not live before: this proves nothing")
					}
					poll(reader, first, second)
					for _, token := range []string{access, session} {
						if reader.live(token) || first.live(token) || second.live(token) {
							t.Error("what one node revoked is accepted on another")
						}
					}
				}
			}
		})
	}
}

// What was read is not read again for ever: half a minute back, and no more.
func TestRevocationsAreNotReadForEver(t *testing.T) {
	w := peopled(t)
	follower := w.peer()
	for range 30 {
		w.want(w.end("", w.person("portal", "ada").text("access_token")), http.StatusNoContent, "")
		w.advance(10 * time.Second)
		follower.advance(10 * time.Second)
		if err := follower.server.Poll(t.Context(), w.store); err != nil {
			t.Fatal(err)
		}
	}
	read := &listed{Reader: w.store}
	if err := follower.server.Poll(t.Context(), read); err != nil || read.records > 4 || read.records == 0 {
		t.Errorf("%d notices were read again, %v", read.records, err)
	}
}

// listed counts the records that were listed.
type listed struct {
	storage.Reader
	records int
}

func (l *listed) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	records, err := l.Reader.List(ctx, kind, q)
	l.records += len(records)
	return records, err
}
