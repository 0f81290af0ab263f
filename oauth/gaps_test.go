package oauth_test

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// The tests of this file hold the server to what fosite would do otherwise, at each endpoint at which clients authenticate. Gaps that
// a conformance row proves as well are named there.

// endpoint is one at which clients authenticate, with a request that it accepts.
type endpoint struct {
	path string
	form url.Values
}

// endpoints are all of them. The token is nobody's.
func endpoints() []endpoint {
	return []endpoint{
		{"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}},
		{"/oauth2/introspect", url.Values{"token": {"garbage"}}},
		{"/oauth2/revoke", url.Values{"token": {"garbage"}}},
	}
}

// with is the form with more of it.
func (e endpoint) with(pairs ...string) string {
	form := maps.Clone(e.form)
	for n := 0; n < len(pairs); n += 2 {
		form[pairs[n]] = append(slices.Clone(form[pairs[n]]), pairs[n+1])
	}
	return form.Encode()
}

// everywhere runs a test at each endpoint, in a world of its own with the confidential applications app and other.
func everywhere(t *testing.T, test func(w *world, e endpoint), changes ...change) {
	t.Helper()
	for _, e := range endpoints() {
		t.Run(e.path, func(t *testing.T) {
			w := newWorld(t, changes...)
			w.application("app", []string{"ledger:read"})
			w.application("other", nil)
			test(w, e)
		})
	}
}

func TestF02EveryRefusalOfAClientCarriesAChallenge(t *testing.T) {
	everywhere(t, func(w *world, e endpoint) {
		for _, authorization := range []string{basic("app", "wrong"), basic("nobody", "wrong"), "Basic !!!", "Bearer x", ""} {
			r := w.want(w.send(e.path, e.with(), "Authorization", authorization), http.StatusUnauthorized, "invalid_client")
			if got := r.Header().Values("WWW-Authenticate"); len(got) != 1 || !strings.HasPrefix(got[0], `Basic realm="`) {
				t.Errorf("%q: WWW-Authenticate %q", authorization, got)
			}
		}
	})
}

func TestF03NoCredentialsAreInvalidClient(t *testing.T) {
	everywhere(t, func(w *world, e endpoint) {
		w.want(w.send(e.path, e.with()), http.StatusUnauthorized, "invalid_client")
		w.want(w.send(e.path, e.with("client_id", "app")), http.StatusUnauthorized, "invalid_client")
		w.want(w.send(e.path, e.with("client_secret", "secret of app")), http.StatusUnauthorized, "invalid_client")
	})
}

// unreachable is a directory that cannot tell which applications there are.
type unreachable struct{ *directory }

func (unreachable) Application(string) (*storage.Application, error) {
	return nil, storage.ErrUnavailable
}

func TestF04AClientThatCannotBeLookedUpIsAnOutage(t *testing.T) {
	cut := func(_ *enforce.Config, c *oauth.Config) { c.Directory = unreachable{c.Directory.(*directory)} }
	everywhere(t, func(w *world, e endpoint) {
		for _, id := range []string{"app", "nobody"} {
			r := w.want(w.send(e.path, e.with(), "Authorization", basic(id, "secret of "+id)), http.StatusServiceUnavailable,
				"temporarily_unavailable")
			if r.Header().Get("Retry-After") == "" || r.Header().Get("WWW-Authenticate") != "" {
				t.Errorf("%s: %v", id, r.Header())
			}
		}
	}, cut)
}

func TestF05AndST2TwoAuthenticationsAreRefused(t *testing.T) {
	everywhere(t, func(w *world, e endpoint) {
		for name, pairs := range map[string][]string{
			"its secret in the body": {"client_secret", "secret of app"},
			"its id and secret":      {"client_id", "app", "client_secret", "secret of app"},
			"another application":    {"client_id", "other", "client_secret", "secret of other"},
			"another id":             {"client_id", "other"},
			"an unknown id":          {"client_id", "nobody"},
			"an assertion": {
				"client_assertion", "x", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			},
		} {
			r := w.send(e.path, e.with(pairs...), "Authorization", basic("app", "secret of app"))
			if w.want(r, http.StatusBadRequest, "invalid_request"); w.secrets.hashes.Load() != 0 {
				t.Errorf("%s: a secret was looked at", name)
			}
		}
	})
}

func TestF06TheRegisteredMethodIsEnforced(t *testing.T) {
	everywhere(t, func(w *world, e endpoint) {
		for _, registered := range []string{"", "client_secret_basic", "client_secret_post", "private_key_jwt", "none"} {
			w.application("app", nil, method(registered))
			for used, r := range map[string]reply{
				"client_secret_basic": w.send(e.path, e.with(), "Authorization", basic("app", "secret of app")),
				"client_secret_post":  w.send(e.path, e.with("client_id", "app", "client_secret", "secret of app")),
			} {
				if registered == "" || registered == used {
					w.want(r, http.StatusOK, "")
				} else {
					w.want(r, http.StatusUnauthorized, "invalid_client")
				}
			}
		}
	})
}

// An application without a secret has no verifier. What compares the two must never find them equal, and is not even asked.
func TestF07AnEmptySecretMatchesNothing(t *testing.T) {
	everywhere(t, func(w *world, e endpoint) {
		for _, registered := range []string{"", "client_secret_basic", "client_secret_post", "private_key_jwt"} {
			w.application("app", nil, method(registered), func(a *storage.Application) {
				a.Secrets = []storage.Secret{{ID: "s1"}}
			})
			for _, r := range []reply{
				w.send(e.path, e.with(), "Authorization", basic("app", "")),
				w.send(e.path, e.with("client_id", "app", "client_secret", "")),
				w.send(e.path, e.with("client_secret", ""), "Authorization", basic("app", "")),
			} {
				w.want(r, http.StatusUnauthorized, "invalid_client")
			}
		}
		if got := w.secrets.hashes.Load(); got != 0 {
			t.Errorf("%d empty secrets were compared", got)
		}
	})
}

func TestF11AndST3OnlyFormsAreRead(t *testing.T) {
	temporary := t.TempDir()
	everywhere(t, func(w *world, e endpoint) {
		t.Setenv("TMPDIR", temporary)
		var parts strings.Builder
		for name, values := range e.form {
			parts.WriteString("--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + values[0] + "\r\n")
		}
		parts.WriteString("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 1<<19) + "\r\n--b--\r\n")
		for media, body := range map[string]string{
			"multipart/form-data; boundary=b": parts.String(), "text/plain": e.with(), "": e.with(),
			"application/json": `{"grant_type":"client_credentials","token":"garbage"}`,
		} {
			r := w.send(e.path, body, "Content-Type", "", "Content-Type", media, "Authorization", basic("app", "secret of app"))
			if w.want(r, http.StatusBadRequest, "invalid_request"); w.secrets.hashes.Load() != 0 {
				t.Errorf("%q was read as far as the client", media)
			}
		}
	})
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Fatalf("temporary files: %v %v", left, err)
	}
}

func TestF12AndST1AParameterTwiceIsRefused(t *testing.T) {
	everywhere(t, func(w *world, e endpoint) {
		authorized := []string{"Authorization", basic("app", "secret of app")}
		for _, name := range []string{
			"grant_type", "scope", "username", "password", "refresh_token", "tenant", "client_id", "token", "token_type_hint", "unknown",
		} {
			for _, values := range [][2]string{{"app", "app"}, {"app", "other"}, {"", ""}} {
				body := e.with(name, values[0])
				if !e.form.Has(name) {
					body = e.with(name, values[0], name, values[1])
				}
				w.want(w.send(e.path, body, authorized...), http.StatusBadRequest, "invalid_request")
			}
		}
		w.want(w.send(e.path, e.with("client_id", "app", "client_id", "other", "client_secret", "secret of app")),
			http.StatusBadRequest, "invalid_request")
		w.want(w.send(e.path, e.with(), authorized...), http.StatusOK, "")
	})
	t.Run("but audience may", func(t *testing.T) {
		w := newWorld(t)
		w.application("app", nil)
		w.want(w.machine("app", "audience", issuer+"/runtime", "audience", issuer+"/management"), http.StatusOK, "")
	})
}

// A description is printable ASCII without quotation marks and backslashes, whatever was sent, and repeats none of it.
func TestF13DescriptionsAreASCIIAndRepeatNothing(t *testing.T) {
	const hostile = "canary\u00e9\"\\\r\n\x00\x7f<script>"
	everywhere(t, func(w *world, e endpoint) {
		w.application("public", nil, method("none"), forPeople)
		authorized := []string{"Authorization", basic("app", "secret of app")}
		errors := 0
		for _, r := range []reply{
			w.send(e.path, e.with("scope", hostile), authorized...),
			w.send(e.path, e.with("audience", hostile), authorized...),
			w.send(e.path, e.with("tenant", hostile), authorized...),
			w.send(e.path, e.with("token_type_hint", hostile, "token_type_hint", hostile), authorized...),
			w.send(e.path, url.Values{"grant_type": {hostile}, "token": {""}}.Encode(), authorized...),
			w.send(e.path, e.with("client_id", hostile), authorized...),
			w.send(e.path, e.with("client_id", hostile, "client_secret", hostile)),
			w.send(e.path, e.with(hostile, "1", hostile, "2"), authorized...),
			w.send(e.path, e.with(), "Authorization", basic(hostile, hostile)),
			w.send(e.path, e.with(), "Authorization", "Basic "+strings.Trim(hostile, "\r\n\x00")),
			w.send(e.path, "grant_type=password&client_id=public&username="+url.QueryEscape(hostile)+"&password="+url.QueryEscape(hostile)),
			w.send(e.path, "grant_type=refresh_token&token=&refresh_token="+url.QueryEscape(hostile), authorized...),
		} {
			if strings.Contains(r.Body.String(), "canary") || strings.Contains(r.Header().Get("WWW-Authenticate"), "canary") {
				t.Errorf("repeated: %v %s", r.Header(), r.Body)
			}
			if r.Code == http.StatusOK {
				continue
			}
			if w.want(r, r.Code, r.text("error")); r.text("error") == "" || r.Code >= 500 {
				t.Errorf("%d %s", r.Code, r.Body)
			}
			errors++
		}
		if errors < 7 {
			t.Errorf("%d of the requests were refused", errors)
		}
	})
}

func TestF22AudiencesAreArraysAndReadAsArrays(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, meantFor("urn:first", "urn:second"))
	w.application("first", nil, serving("urn:first"))
	w.application("second", nil, serving("urn:second"))
	for asked, want := range map[string][]string{"": {"urn:first", "urn:second"}, "urn:second": {"urn:second"}} {
		pairs := []string{"audience", asked}
		if asked == "" {
			pairs = nil
		}
		token := w.want(w.machine("app", pairs...), http.StatusOK, "").text("access_token")
		if got := texts(part(t, token, 1)["aud"]); !slices.Equal(got, want) {
			t.Errorf("%q: aud %v", asked, got)
		}
		caller, err := w.server.Token(t.Context(), token)
		if err != nil || !slices.Equal(caller.Audiences, want) {
			t.Errorf("%q: read as %v (%v)", asked, caller, err)
		}
		// Whoever serves any one of them is who the token was meant for.
		for id, audience := range map[string]string{"first": "urn:first", "second": "urn:second"} {
			r := w.introspect(id, token)
			if sees := r.JSON["active"] == true; sees != slices.Contains(want, audience) {
				t.Errorf("%q: %s sees it: %t", asked, id, sees)
			} else if sees && !slices.Equal(texts(r.JSON["aud"]), want) {
				t.Errorf("%q: %s", asked, r.Body)
			}
		}
	}
}

// What else the server's own key may have signed is no access token, anywhere.
func TestF23TheTypeOfATokenIsAsked(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	good := w.machine("app").text("access_token")
	key, claims := w.signingKey("access"), part(t, good, 1)
	typed := func(typ string) string {
		header := map[string]any{"kid": key.KeyID, "typ": typ}
		if typ == "" {
			delete(header, "typ")
		}
		return forge(t, jose.ES256, key.Key, claims, header)
	}
	if !w.live(typed("at+jwt")) {
		t.Fatal("the control is not accepted: the table proves nothing")
	}
	for _, typ := range []string{"", "JWT", "jwt", "id+jwt", "AT+JWT", "application/at+jwt", "token-introspection+jwt", "dpop+jwt", "logout+jwt"} {
		token := typed(typ)
		if w.live(token) {
			t.Errorf("%q is accepted", typ)
		}
		w.wantInactive(w.introspect("app", token))
		w.wantRevoked(w.revoke("app", token)) // as what is not there, so that it touches nothing
	}
	if !w.live(good) {
		t.Error("a token of another type revoked the access token with its jti")
	}
}

func TestF26ScopesMatchExactly(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger/accounts:read"})
	w.application("capital", []string{"ledger/accounts:read"}, func(a *storage.Application) { a.Scopes = []string{"Ledger/accounts:read"} })
	w.application("exact", []string{"ledger/accounts:read"}, func(a *storage.Application) { a.Scopes = []string{"ledger/accounts:read"} })
	w.want(w.machine("app", "scope", "ledger/accounts:read"), http.StatusOK, "")
	w.want(w.machine("exact", "scope", "ledger/accounts:read"), http.StatusOK, "")
	for _, asked := range []string{
		"Ledger/accounts:read", "ledger/accounts:READ", "ledger/account:read", "ledger/accounts2:read", "ledger.accounts:read", "ledger/accounts:rea",
	} {
		w.want(w.machine("app", "scope", asked), http.StatusBadRequest, "invalid_scope")
		w.want(w.machine("exact", "scope", asked), http.StatusBadRequest, "invalid_scope")
	}
	w.want(w.machine("capital", "scope", "ledger/accounts:read"), http.StatusBadRequest, "invalid_scope")
	if r := w.want(w.machine("capital"), http.StatusOK, ""); r.text("scope") != "" {
		t.Errorf("a ceiling in capitals gave %q", r.text("scope"))
	}
	w.application("grants", nil, func(a *storage.Application) { a.GrantTypes = []string{"Client_Credentials"} })
	w.want(w.machine("grants"), http.StatusBadRequest, "unauthorized_client")
}
