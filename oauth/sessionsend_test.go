package oauth_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

func (w *world) end(token, hint string) reply {
	w.tb.Helper()
	body := ""
	if hint != "" {
		body = url.Values{"token": {hint}}.Encode()
	}
	if token == "" {
		return w.send("/oauth2/sessions/end", body)
	}
	return w.send("/oauth2/sessions/end", body, "Authorization", bearer(token))
}

func TestSeedL13EndSession(t *testing.T) {
	w := peopled(t)
	first, second := w.person("portal", "ada").text("access_token"), w.person("portal", "ada").text("access_token")
	r := w.want(w.end(first, ""), http.StatusNoContent, "")
	if r.Body.Len() != 0 || r.Header().Get("Decision-Id") == "" {
		t.Fatalf("%s %v", r.Body, r.Header())
	}
	if w.live(first) || !w.live(second) {
		t.Fatal("the wrong session ended")
	}
	again := w.want(w.end(first, ""), http.StatusUnauthorized, "invalid_token")
	if !strings.HasPrefix(again.Header().Get("WWW-Authenticate"), "Bearer ") {
		t.Fatalf("%v", again.Header())
	}
	w.want(w.end("", first), http.StatusBadRequest, "invalid_request")
	w.want(w.end("", second), http.StatusNoContent, "")
	w.want(w.end("", second), http.StatusBadRequest, "invalid_request")
	sid := part(t, first, 1)["sid"].(string)
	want := []string{"intent user:" + ada + " tokens:end sessions/" + sid, "ok user:" + ada + " tokens:end sessions/" + sid}
	if !slices.Equal(w.auditor.entries[2:4], want) {
		t.Fatalf("audit: %v", w.auditor.entries)
	}
	t.Run("an ended session stays ended over a restart", func(t *testing.T) {
		w.build()
		if w.live(first) || w.live(second) {
			t.Fatal("ended sessions live again")
		}
	})
}

func TestSeedL14EndingIsNeverASilentNoOp(t *testing.T) {
	w := peopled(t)
	w.application("machine", nil)
	w.user("018f4e7a-0000-7000-8000-000000000002", "eve", nil)
	token, eve := w.person("portal", "ada").text("access_token"), w.person("portal", "eve").text("access_token")
	machine := w.machine("machine").text("access_token")
	w.want(w.end("", ""), http.StatusBadRequest, "invalid_request")
	w.want(w.end("", "garbage"), http.StatusBadRequest, "invalid_request")
	w.want(w.end("", token+"A"), http.StatusBadRequest, "invalid_request")
	w.want(w.end("garbage", ""), http.StatusUnauthorized, "invalid_token")
	w.want(w.end("garbage", token), http.StatusUnauthorized, "invalid_token")
	w.want(w.end("", machine), http.StatusBadRequest, "invalid_request")
	w.want(w.end(machine, ""), http.StatusBadRequest, "invalid_request")
	w.want(w.end(eve, token), http.StatusBadRequest, "invalid_request")
	w.want(w.end(machine, token), http.StatusBadRequest, "invalid_request")
	if !w.live(token) || !w.live(eve) {
		t.Fatal("a refused request ended a session")
	}
	w.advance(90 * time.Minute)
	if w.live(token) {
		t.Fatal("the token has not expired")
	}
	w.want(w.end(token, ""), http.StatusUnauthorized, "invalid_token")
	w.want(w.end("", token), http.StatusNoContent, "")
	w.want(w.end("", token), http.StatusBadRequest, "invalid_request")
	w.advance(48 * time.Hour)
	w.want(w.end("", eve), http.StatusBadRequest, "invalid_request")
}

// L-14: expired is not revoked. A token that was revoked proves nothing, also when it has expired since and no node remembers it.
func TestSeedL14ARevokedTokenEndsNoSessionEvenAfterItHasExpired(t *testing.T) {
	w := refreshing(t)
	login := w.login()
	revoked, refresh := login.text("access_token"), login.text("refresh_token")
	fresh := w.refreshed(refresh)
	w.wantRevoked(w.revoke("portal", revoked))
	w.want(w.end("", revoked), http.StatusBadRequest, "invalid_request")
	w.want(w.end(revoked, ""), http.StatusUnauthorized, "invalid_token")
	w.advance(90 * time.Minute)
	w.want(w.end("", revoked), http.StatusBadRequest, "invalid_request")
	if _, err := w.store.Purge(t.Context(), w.now()); err != nil {
		t.Fatal(err)
	}
	w.build() // which forgets what was revoked and has expired
	w.want(w.end("", revoked), http.StatusBadRequest, "invalid_request")
	w.want(w.end(revoked, ""), http.StatusUnauthorized, "invalid_token")
	next := w.refreshed(fresh.text("refresh_token"))
	t.Run("an outage is not taken for never revoked", func(t *testing.T) {
		w.store.down.Store(true)
		w.want(w.end("", revoked), http.StatusServiceUnavailable, "temporarily_unavailable")
		w.store.down.Store(false)
	})
	// The one that only expired does end it, which its refresh token then notices.
	w.want(w.end("", fresh.text("access_token")), http.StatusNoContent, "")
	w.want(w.refresh("portal", next.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
	w.want(w.end("", fresh.text("access_token")), http.StatusBadRequest, "invalid_request")
}

// L-14: a token seldom outlives the secret that it was had with, so most expired tokens are of expired secrets. Time ends neither the
// session nor the right to end it; who revokes the secret takes that back.
func TestSeedL14AnExpiredSecretIsNotARevokedOne(t *testing.T) {
	for name, revoked := range map[string]bool{"expired": false, "expired, and revoked since": true} {
		t.Run(name, func(t *testing.T) {
			w := refreshing(t)
			app := w.directory.applications["portal"].record
			app.Secrets = append(app.Secrets, storage.Secret{ID: "s2", Verifier: verifier("the second")})
			app.Secrets[0].ExpiresAt = w.at(30 * time.Minute)
			login := w.login()
			token := login.text("access_token")
			w.advance(30 * time.Minute)
			if w.live(token) {
				t.Fatal("a token outlives its secret")
			}
			w.want(w.end(token, ""), http.StatusUnauthorized, "invalid_token")
			if session := w.sessionOf(login); session.EndedAt != nil {
				t.Fatal("a dead bearer ended a session")
			}
			if revoked {
				app.Secrets[0].RevokedAt = w.at(0)
				w.want(w.end("", token), http.StatusBadRequest, "invalid_request")
				if session := w.sessionOf(login); session.EndedAt != nil {
					t.Fatal("a token of a revoked secret ended a session")
				}
				return
			}
			w.want(w.end("", token), http.StatusNoContent, "")
			if session := w.sessionOf(login); session.EndedAt == nil {
				t.Fatal("the session lives")
			}
			w.want(w.end("", token), http.StatusBadRequest, "invalid_request")
		})
	}
}

func TestSessionsEndWithoutAuditEndsNothing(t *testing.T) {
	w := peopled(t)
	token := w.person("portal", "ada").text("access_token")
	w.auditor.down = errors.New("disk full")
	w.want(w.end(token, ""), http.StatusServiceUnavailable, "temporarily_unavailable")
	if !w.live(token) {
		t.Fatal("ended without an audit")
	}
	w.auditor.down = nil
	w.store.down.Store(true)
	w.want(w.end(token, ""), http.StatusServiceUnavailable, "temporarily_unavailable")
	w.store.down.Store(false)
	if !w.live(token) {
		t.Fatal("an outage was a success")
	}
}

func TestSessionsEndIsDecided(t *testing.T) {
	w := peopled(t)
	w.user(ada, "ada", nil, func(i *policies.Identity) { i.TemporaryPassword = true })
	token := w.person("portal", "ada").text("access_token")
	w.want(w.end(token, ""), http.StatusForbidden, "insufficient_scope")
	if !w.live(token) {
		t.Fatal("a denial ended the session")
	}
}

func TestOneOfManyEnds(t *testing.T) {
	w := peopled(t)
	token := w.person("portal", "ada").text("access_token")
	var group sync.WaitGroup
	codes := make([]int, 8)
	for n := range codes {
		group.Go(func() { codes[n] = w.end(token, "").Code })
	}
	group.Wait()
	slices.Sort(codes)
	if codes[0] != http.StatusNoContent || codes[1] != http.StatusUnauthorized || codes[7] != http.StatusUnauthorized {
		t.Fatalf("codes: %v", codes)
	}
}

func TestEndSessions(t *testing.T) {
	w := peopled(t)
	w.user("018f4e7a-0000-7000-8000-000000000002", "eve", nil)
	first, second := w.person("portal", "ada").text("access_token"), w.person("portal", "ada").text("access_token")
	eve := w.person("portal", "eve").text("access_token")
	if n, err := w.server.EndSessions(t.Context(), ada, "", storage.EndIdentity); n != 2 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	if w.live(first) || w.live(second) || !w.live(eve) {
		t.Fatal("the wrong sessions ended")
	}
	if n, err := w.server.EndSessions(t.Context(), ada, "", storage.EndIdentity); n != 0 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	for _, sid := range []string{"nowhere", part(t, first, 1)["sid"].(string)} {
		if err := w.server.EndSession(t.Context(), sid, storage.EndSignOut); !errors.Is(err, oauth.ErrNoSession) || !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("%s: %v", sid, err)
		}
	}
}

func TestSeedL14ARefreshTokenEndsItsSession(t *testing.T) {
	w := refreshing(t)
	first, other := w.login(), w.login()
	used := first.text("refresh_token")
	next := w.refreshed(used)
	successor := next.text("refresh_token")
	w.refreshed(successor) // ends the grace of the first one
	for name, token := range map[string]string{
		"used up": used, "forged": otherAt(successor, len(successor)-2), "truncated": successor[:len(successor)-1], "bare": "writ_rt_",
	} {
		t.Run(name, func(t *testing.T) { w.want(w.end("", token), http.StatusBadRequest, "invalid_request") })
	}
	if !w.live(next.text("access_token")) {
		t.Fatal("a token that names no live session ended one")
	}
	w.want(w.end(other.text("access_token"), other.text("refresh_token")), http.StatusNoContent, "")
	w.want(w.end("", other.text("refresh_token")), http.StatusBadRequest, "invalid_request")
	w.want(w.refresh("portal", other.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
	if w.live(other.text("access_token")) || !w.live(next.text("access_token")) {
		t.Fatal("the wrong session ended")
	}
	t.Run("an outage is none of these", func(t *testing.T) {
		third := w.login()
		w.store.down.Store(true)
		w.want(w.end("", third.text("refresh_token")), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
}

func TestWhatOneNodeRevokesIsDeadOnAnotherAfterItsNextRound(t *testing.T) {
	w := peopled(t)
	first, second := w.person("portal", "ada").text("access_token"), w.person("portal", "ada").text("access_token")
	other := w.server
	lives := func(token string) bool { _, err := other.Token(t.Context(), token); return err == nil }
	w.build() // a second node on the same store
	follower := storage.Follow(w.store, w.now, 0, other)
	w.want(w.end(first, ""), http.StatusNoContent, "")
	if w.live(first) || !lives(first) {
		t.Fatal("the end is known where it was not told, or unknown where it was")
	}
	w.advance(25 * time.Second) // as slow as a clock or a write may be
	if err := follower.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lives(first) || !lives(second) {
		t.Fatal("the wrong session is dead on the other node")
	}
	w.want(w.send("/oauth2/revoke", url.Values{"token": {second}}.Encode(), "Authorization", basic("portal", "secret of portal")),
		http.StatusOK, "")
	if w.live(second) || !lives(second) {
		t.Fatal("the revocation is known where it was not told, or unknown where it was")
	}
	if err := follower.CatchUp(t.Context()); err != nil || lives(second) {
		t.Fatalf("a revoked token lives on the other node: %v", err)
	}
	w.store.down.Store(true)
	if err := follower.CatchUp(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a round that cannot read revocations is not current: %v", err)
	}
	w.store.down.Store(false)
}
