package oauth_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// S-T19: what one way to a token checks, each of its siblings checks too, and where they look at the same thing they say the same.
func TestST19EveryCheckIsOnEveryPath(t *testing.T) {
	grantTypes := []string{"client_credentials", "password", "refresh_token"}
	application := func(w *world, change func(*storage.Application)) {
		w.application("portal", []string{"ledger:read"}, func(a *storage.Application) { a.GrantTypes = grantTypes }, change)
	}
	user := func(w *world, change func(*policies.Identity)) { w.user(ada, "ada", []string{"ledger:read"}, change) }
	for name, c := range map[string]struct {
		spoil func(w *world)
		code  string // of the ways for people
		own   string // of client_credentials; empty where it is no business of theirs
	}{
		"application inactive": {
			func(w *world) { application(w, func(a *storage.Application) { a.IsActive = false }) }, "invalid_client", "invalid_client",
		},
		"application before its window": {
			func(w *world) { application(w, func(a *storage.Application) { a.NotBefore = w.at(time.Hour) }) }, "invalid_client", "invalid_client",
		},
		"application after its window": {
			func(w *world) { application(w, func(a *storage.Application) { a.NotAfter = w.at(0) }) }, "invalid_client", "invalid_client",
		},
		"application's tenant disabled": {func(w *world) { w.directory.disableTenant("portal") }, "invalid_client", "invalid_client"},
		"application gone": {
			func(w *world) { delete(w.directory.applications, "portal") }, "invalid_client", "invalid_client",
		},
		"secret revoked": {
			func(w *world) { application(w, func(a *storage.Application) { a.Secrets[0].RevokedAt = w.at(0) }) }, "invalid_client", "invalid_client",
		},
		"guessing is slowed down": {
			func(w *world) {
				w.secrets.err = &enforce.ProtocolError{Status: http.StatusTooManyRequests, Code: "too_many_attempts", Detail: "later"}
			}, "temporarily_unavailable", "temporarily_unavailable",
		},
		"address": {func(w *world) { w.directory.refused = netip.MustParseAddr("192.0.2.1") }, "invalid_grant", "invalid_client"},
		"no grant type listed": {
			func(w *world) { application(w, func(a *storage.Application) { a.GrantTypes = []string{} }) }, "unauthorized_client", "unauthorized_client",
		},
		"audience down": {
			func(w *world) {
				w.directory.down = map[string]bool{issuer + "/runtime": true, issuer + "/management": true}
			}, "invalid_target", "invalid_target",
		},
		"mirror out of date": {func(w *world) { w.directory.stale = storage.ErrUnavailable }, "temporarily_unavailable", "temporarily_unavailable"},
		"user inactive": {
			func(w *world) { user(w, func(i *policies.Identity) { i.Active = false }) }, "invalid_grant", "",
		},
		"user outside the window": {
			func(w *world) { user(w, func(i *policies.Identity) { i.NotAfter = w.now() }) }, "invalid_grant", "",
		},
		"user's tenant disabled": {
			func(w *world) { user(w, func(i *policies.Identity) { i.TenantEnabled = false }) }, "invalid_grant", "",
		},
		"user gone": {
			func(w *world) { delete(w.directory.users, ada) }, "invalid_grant", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			application(w, func(*storage.Application) {})
			user(w, func(*policies.Identity) {})
			refresh := w.want(w.person("portal", "ada"), http.StatusOK, "").text("refresh_token")
			c.spoil(w)
			for path, ask := range map[string]func() reply{
				"client_credentials": func() reply { return w.machine("portal") },
				"password":           func() reply { return w.person("portal", "ada") },
				"refresh_token":      func() reply { return w.refresh("portal", refresh) },
			} {
				r, code := ask(), c.code
				if path == "client_credentials" {
					code = c.own
				}
				if code == "" {
					w.want(r, http.StatusOK, "")
				} else if r.text("error") != code || r.JSON["access_token"] != nil {
					t.Errorf("%s: want %s, got %d %s", path, code, r.Code, r.Body)
				}
			}
		})
	}
}
