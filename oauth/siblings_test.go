package oauth_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// way is a way in which an application proves itself.
type way struct {
	registered func(*storage.Application)
	// ask sends a token request of the application portal; pairs are form parameters.
	ask func(w *world, pairs ...string) reply
}

// ways are those that have something to prove. Assertions are signed with key, unless one is given: that is then sent each time.
func ways(t *testing.T, key proofKey, sent *string) map[string]way {
	return map[string]way{
		"client_secret_basic": {
			func(*storage.Application) {}, func(w *world, pairs ...string) reply { return w.token("portal", pairs...) },
		},
		"client_secret_post": {
			func(a *storage.Application) { a.TokenEndpointAuthMethod = "client_secret_post" },
			func(w *world, pairs ...string) reply {
				return w.token("", append(pairs, "client_id", "portal", "client_secret", "secret of portal")...)
			},
		},
		"private_key_jwt": {
			provenBy(t, key), func(w *world, pairs ...string) reply {
				text := *sent
				if text == "" {
					text = key.sign(t, w.payload("portal", nil), nil)
				}
				return w.assert("/oauth2/token", text, pairs...)
			},
		},
	}
}

// sibling is something that is wrong, and what each way to a token says of it.
type sibling struct {
	spoil func(w *world)
	code  string // of the ways for people
	own   string // of client_credentials; empty where it is no business of theirs
	// proof is the one kind of proof that it is about, secret or key; empty for all.
	proof string
}

func siblings(t *testing.T, application func(*world, func(*storage.Application)), key proofKey, sent *string) map[string]sibling {
	user := func(w *world, change func(*policies.Identity)) { w.user(ada, "ada", []string{"ledger:read"}, change) }
	invalidClient := func(spoil func(w *world), proof string) sibling {
		return sibling{spoil: spoil, code: "invalid_client", own: "invalid_client", proof: proof}
	}
	ofApplication := func(proof string, change func(w *world, a *storage.Application)) sibling {
		return invalidClient(func(w *world) { application(w, func(a *storage.Application) { change(w, a) }) }, proof)
	}
	ofUser := func(change func(w *world, i *policies.Identity)) sibling {
		return sibling{spoil: func(w *world) { user(w, func(i *policies.Identity) { change(w, i) }) }, code: "invalid_grant"}
	}
	throttled := func(w *world) {
		w.secrets.err = &enforce.ProtocolError{Status: http.StatusTooManyRequests, Code: "too_many_attempts", Detail: "later"}
	}
	down := map[string]bool{issuer + "/runtime": true, issuer + "/management": true}
	return map[string]sibling{
		"application inactive":          ofApplication("", func(_ *world, a *storage.Application) { a.IsActive = false }),
		"application before its window": ofApplication("", func(w *world, a *storage.Application) { a.NotBefore = w.at(time.Hour) }),
		"application after its window":  ofApplication("", func(w *world, a *storage.Application) { a.NotAfter = w.at(0) }),
		"application's tenant disabled": invalidClient(func(w *world) { w.directory.disableTenant("portal") }, ""),
		"application gone":              invalidClient(func(w *world) { delete(w.directory.applications, "portal") }, ""),
		"another way registered":        ofApplication("", func(_ *world, a *storage.Application) { a.TokenEndpointAuthMethod = "none" }),
		"secret revoked":                ofApplication("secret", func(w *world, a *storage.Application) { a.Secrets[0].RevokedAt = w.at(0) }),
		"secret before its window":      ofApplication("secret", func(w *world, a *storage.Application) { a.Secrets[0].NotBefore = w.at(time.Hour) }),
		"secret expired":                ofApplication("secret", func(w *world, a *storage.Application) { a.Secrets[0].ExpiresAt = w.at(0) }),
		"key replaced": ofApplication("key", func(_ *world, a *storage.Application) {
			a.JWKS = set(t, newProof(t, jose.ES256, "another"))
		}),
		"another algorithm registered": ofApplication("key", func(_ *world, a *storage.Application) { a.TokenEndpointAuthSigningAlg = "EdDSA" }),
		"assertion used before": invalidClient(func(w *world) {
			*sent = key.sign(t, w.payload("portal", nil), nil)
			w.want(w.assert("/oauth2/token", *sent), http.StatusOK, "")
		}, "key"),
		"assertion expired": invalidClient(func(w *world) {
			*sent = key.sign(t, w.payload("portal", doc{"exp": w.now().Add(-time.Minute).Unix()}), nil)
		}, "key"),
		"assertion for another server": invalidClient(func(w *world) {
			*sent = key.sign(t, w.payload("portal", doc{"aud": "https://other.example.com"}), nil)
		}, "key"),
		"guessing is slowed down": {
			spoil: throttled, code: "temporarily_unavailable", own: "temporarily_unavailable", proof: "secret",
		},
		// A signature cannot be guessed, so no guess slows it down (ADR 0014).
		"guessing of secrets is slowed down": {spoil: throttled, proof: "key"},
		"address": {
			spoil: func(w *world) { w.directory.refused = netip.MustParseAddr("192.0.2.1") }, code: "invalid_grant", own: "invalid_client",
		},
		"no grant type listed": {
			spoil: func(w *world) { application(w, func(a *storage.Application) { a.GrantTypes = []string{} }) },
			code:  "unauthorized_client", own: "unauthorized_client",
		},
		"audience down": {spoil: func(w *world) { w.directory.down = down }, code: "invalid_target", own: "invalid_target"},
		"mirror out of date": {
			spoil: func(w *world) { w.directory.stale = storage.ErrUnavailable }, code: "temporarily_unavailable", own: "temporarily_unavailable",
		},
		"user inactive":           ofUser(func(_ *world, i *policies.Identity) { i.Active = false }),
		"user outside the window": ofUser(func(w *world, i *policies.Identity) { i.NotAfter = w.now() }),
		"user's tenant disabled":  ofUser(func(_ *world, i *policies.Identity) { i.TenantEnabled = false }),
		"user gone":               {spoil: func(w *world) { delete(w.directory.users, ada) }, code: "invalid_grant"},
	}
}

// S-T19: what one way to a token checks, each of its siblings checks too, however the client proves itself; and where they look at the
// same thing they say the same.
func TestST19EveryCheckIsOnEveryPath(t *testing.T) {
	key, sent := newProof(t, jose.ES256, "one"), ""
	for method, by := range ways(t, key, &sent) {
		application := func(w *world, change func(*storage.Application)) {
			w.application("portal", []string{"ledger:read"}, func(a *storage.Application) {
				a.GrantTypes = []string{"client_credentials", "password", "refresh_token"}
			}, by.registered, change)
		}
		for name, c := range siblings(t, application, key, &sent) {
			if c.proof != "" && (c.proof == "key") != (method == "private_key_jwt") {
				continue
			}
			t.Run(method+"/"+name, func(t *testing.T) {
				sent = ""
				w := newWorld(t)
				application(w, func(*storage.Application) {})
				w.user(ada, "ada", []string{"ledger:read"})
				login := []string{"grant_type", "password", "username", "ada", "password", "password of ada"}
				refresh := w.want(by.ask(w, login...), http.StatusOK, "").text("refresh_token")
				c.spoil(w)
				for path, pairs := range map[string][]string{
					"client_credentials": {"grant_type", "client_credentials"}, "password": login,
					"refresh_token": {"grant_type", "refresh_token", "refresh_token", refresh},
				} {
					r, code := by.ask(w, pairs...), c.code
					if path == "client_credentials" {
						code = c.own
					}
					if code == "" {
						w.want(r, http.StatusOK, "")
					} else if w.want(r, r.Code, code); r.Code == http.StatusOK || r.JSON["access_token"] != nil {
						t.Errorf("%s: want %s, got %d %s", path, code, r.Code, r.Body)
					}
				}
			})
		}
	}
}
