package oauth_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// revoke revokes a token, with Basic authentication of id. Pairs are further form parameters.
func (w *world) revoke(id, token string, pairs ...string) reply {
	w.tb.Helper()
	form := url.Values{"token": {token}}
	for n := 0; n < len(pairs); n += 2 {
		form.Add(pairs[n], pairs[n+1])
	}
	return w.send("/oauth2/revoke", form.Encode(), "Authorization", basic(id, "secret of "+id))
}

// wantRevoked fails unless the reply is RFC 7009's success: 200 with no body.
func (w *world) wantRevoked(r reply) {
	w.tb.Helper()
	if r.Code != http.StatusOK || r.Body.Len() != 0 || r.Header().Get("Decision-Id") == "" || r.Header().Get("Cache-Control") != "no-store" {
		w.tb.Fatalf("want revoked, got %d %v %s", r.Code, r.Header(), r.Body)
	}
}

func TestV01RevokeTheOwnToken(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token, other := w.machine("app").text("access_token"), w.machine("app").text("access_token")
	w.wantRevoked(w.revoke("app", token))
	w.wantInactive(w.introspect("app", token))
	if w.live(token) || !w.live(other) {
		t.Errorf("after the revocation of one of two: %v %v", w.live(token), w.live(other))
	}
	jti, _ := part(t, token, 1)["jti"].(string)
	for _, entry := range []string{"intent application:app tokens:revoke tokens/" + jti, "ok application:app tokens:revoke tokens/" + jti} {
		if !slices.Contains(w.auditor.entries, entry) {
			t.Errorf("%q is not among %q", entry, w.auditor.entries)
		}
	}
	w.wantRevoked(w.revoke("app", token))
	w.build()
	if w.live(token) || !w.live(other) {
		t.Errorf("after a restart: %v %v", w.live(token), w.live(other))
	}
}

func TestV02UnknownTokensAndHints(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	w.wantRevoked(w.revoke("app", "garbage"))
	w.wantRevoked(w.revoke("app", token[:len(token)-2]))
	if !w.live(token) {
		t.Fatal("a truncated token revoked the whole one")
	}
	w.wantRevoked(w.revoke("app", token, "token_type_hint", "nonsense"))
	if w.live(token) {
		t.Error("the token lives")
	}
	old := w.machine("app").text("access_token")
	w.advance(2 * time.Hour)
	w.wantRevoked(w.revoke("app", old))
}

func TestV03AndF17ForeignTokens(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	w.application("stranger", nil)
	w.application("guard", []string{"tokens:revoke"})
	token := w.machine("app").text("access_token")
	w.want(w.revoke("stranger", token), http.StatusBadRequest, "unauthorized_client")
	if !w.live(token) {
		t.Fatal("a stranger revoked the token")
	}
	w.wantRevoked(w.revoke("guard", token))
	if w.live(token) {
		t.Error("the right to revoke did nothing")
	}
}

func TestV04AndF18NoTokenOrNoClient(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	for _, body := range []string{"", "token=", "token_type_hint=access_token", "token=a&token=b"} {
		w.want(w.send("/oauth2/revoke", body, "Authorization", basic("app", "secret of app")), http.StatusBadRequest, "invalid_request")
	}
	for name, authorization := range map[string]string{
		"nothing": "", "wrong secret": basic("app", "x"), "unknown": basic("nobody", "x"), "bearer": bearer(token),
	} {
		r := w.want(w.send("/oauth2/revoke", "token="+token, "Authorization", authorization), http.StatusUnauthorized, "invalid_client")
		if !strings.HasPrefix(r.Header().Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: challenge %q", name, r.Header().Get("WWW-Authenticate"))
		}
	}
	if !w.live(token) {
		t.Error("a refused request revoked the token")
	}
}

// S-T7: what was not written is not acknowledged.
func TestV05AndF17AndST7StoreDown(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	wantOutage := func() {
		t.Helper()
		r := w.want(w.revoke("app", token), http.StatusServiceUnavailable, "temporarily_unavailable")
		if r.Header().Get("Retry-After") == "" || !w.live(token) {
			t.Errorf("Retry-After %q, token lives: %v", r.Header().Get("Retry-After"), w.live(token))
		}
	}
	w.store.down.Store(true)
	wantOutage()
	w.store.down.Store(false)
	w.auditor.down = errors.New("disk full")
	wantOutage()
	w.auditor.down = nil
	w.wantRevoked(w.revoke("app", token))
}

func TestV06PublicClient(t *testing.T) {
	w := newWorld(t)
	w.application("public", nil, method("none"), forPeople)
	w.application("other", nil, method("none"), forPeople)
	w.user("u1", "ada", nil)
	token := w.token("", "client_id", "public", "grant_type", "password", "username", "ada", "password", "password of ada").text("access_token")
	if !w.live(token) {
		t.Fatal("no token")
	}
	w.want(w.send("/oauth2/revoke", "client_id=other&token="+token), http.StatusBadRequest, "unauthorized_client")
	if !w.live(token) {
		t.Fatal("another public client revoked the token")
	}
	w.wantRevoked(w.send("/oauth2/revoke", "client_id=public&token="+token))
	if w.live(token) {
		t.Error("the token lives")
	}
}
