package oauth_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const ada = "018f4e7a-0000-7000-8000-000000000001"

func peopled(t *testing.T, changes ...change) *world {
	w := newWorld(t, changes...)
	w.application("portal", nil, func(a *storage.Application) { a.GrantTypes = []string{"password"} })
	w.user(ada, "ada", []string{"ledger/accounts:read"})
	return w
}

func TestP01RightPassword(t *testing.T) {
	w := peopled(t)
	r := w.want(w.person("portal", "ada"), http.StatusOK, "")
	claims := part(t, r.text("access_token"), 1)
	if claims["sub"] != ada || claims["client_id"] != "portal" || claims["sid"] == nil || claims["scope"] != "ledger/accounts:read" {
		t.Fatalf("claims: %v", claims)
	}
	if _, there := r.JSON["refresh_token"]; there {
		t.Fatal("a refresh token that nobody decided on")
	}
	caller, err := w.server.Token(t.Context(), r.text("access_token"))
	if err != nil || caller.Type != "user" || !caller.UserToken || !caller.AuthTime.Equal(w.now()) || caller.SID != claims["sid"] {
		t.Fatalf("caller: %+v %v", caller, err)
	}
	session, err := storage.Get[storage.Session](t.Context(), w.store, caller.SID)
	if err != nil || session.Subject != ada || session.Client != "portal" || session.IP != "192.0.2.1" {
		t.Fatalf("session: %+v %v", session, err)
	}
}

// A password that is changed while its hash is computed raises the user's epoch; the token that comes of it is dead on arrival.
func TestPasswordChangedDuringTheHashYieldsNoLiveToken(t *testing.T) {
	w := peopled(t)
	w.directory.mu.Lock()
	w.directory.users[ada].Epoch = 1
	w.directory.mu.Unlock()
	raced := w.want(w.person("portal", "ada"), http.StatusOK, "") // the port still saw epoch 0
	if _, err := w.server.Token(t.Context(), raced.text("access_token")); !errors.Is(err, enforce.ErrUnauthenticated) {
		t.Errorf("the token of the old password: %v", err)
	}
	w.passwords.epoch = 1
	later := w.want(w.person("portal", "ada"), http.StatusOK, "")
	if _, err := w.server.Token(t.Context(), later.text("access_token")); err != nil {
		t.Errorf("the token of the new password: %v", err)
	}
}

func TestP01PublicClient(t *testing.T) {
	w := peopled(t)
	w.application("spa", nil, func(a *storage.Application) {
		a.GrantTypes, a.TokenEndpointAuthMethod, a.Secrets = []string{"password"}, "none", nil
	})
	r := w.token("", "grant_type", "password", "client_id", "spa", "username", "ada", "password", "password of ada")
	w.want(r, http.StatusOK, "")
	caller, err := w.server.Token(t.Context(), r.text("access_token"))
	if err != nil || !caller.Public || caller.SecretID != "" {
		t.Fatalf("caller: %+v %v", caller, err)
	}
}

func TestP02WrongPasswords(t *testing.T) {
	w := peopled(t)
	w.user("018f4e7a-0000-7000-8000-000000000002", "eve", nil)
	w.passwords.suspended = map[string]bool{"eve": true}
	type outcome struct {
		reply  reply
		hashes int
		calls  int64
	}
	try := func(name, password string) outcome {
		hashes, calls := w.passwords.hashes, w.store.calls.Load()
		r := w.token("portal", "grant_type", "password", "username", name, "password", password)
		w.want(r, http.StatusBadRequest, "invalid_grant")
		return outcome{r, w.passwords.hashes - hashes, w.store.calls.Load() - calls}
	}
	wrong := try("ada", "wrong")
	for name, other := range map[string]outcome{"unknown": try("nobody", "wrong"), "suspended": try("eve", "password of eve")} {
		if !bytes.Equal(wrong.reply.Body.Bytes(), other.reply.Body.Bytes()) || !sameHeaders(wrong.reply.Header(), other.reply.Header()) {
			t.Errorf("%s: %s", name, other.reply.Body)
		}
		if wrong.hashes != other.hashes || wrong.calls != other.calls {
			t.Errorf("%s costs %d hashes and %d calls, a wrong password %d and %d", name, other.hashes, other.calls, wrong.hashes, wrong.calls)
		}
	}
	t.Run("a user who is refused by the rules looks the same", func(t *testing.T) {
		w.user(ada, "ada", nil, func(i *policies.Identity) { i.Active = false })
		if r := w.person("portal", "ada"); !bytes.Equal(r.Body.Bytes(), wrong.reply.Body.Bytes()) {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	})
	if strings.Contains(w.logged.String(), "password of") {
		t.Fatal("a password is in a log")
	}
}

// Logins are audited where passwords are checked, with the application by which somebody tries.
func TestAFailedLoginNamesItsClient(t *testing.T) {
	w := peopled(t)
	body := "grant_type=password&username=nobody&password=wrong"
	request := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", basic("portal", "secret of portal"))
	event := &enforce.Event{}
	w.want(w.do(request.WithContext(enforce.WithEvent(t.Context(), event))), http.StatusBadRequest, "invalid_grant")
	if w.passwords.client != "portal" || event.Client != "portal" || event.Subject != "" {
		t.Fatalf("the check was told of client %q; the event has client %q and subject %q", w.passwords.client, event.Client, event.Subject)
	}
}

func TestP03MissingParts(t *testing.T) {
	w := peopled(t)
	for _, pairs := range [][]string{
		{"username", "ada"}, {"password", "x"}, {"username", "", "password", "x"}, {"username", "ada", "password", ""}, {},
	} {
		w.want(w.token("portal", append([]string{"grant_type", "password"}, pairs...)...), http.StatusBadRequest, "invalid_request")
	}
	if w.passwords.hashes != 0 {
		t.Fatalf("%d hashes", w.passwords.hashes)
	}
}

func TestP05PasswordsArriveWhole(t *testing.T) {
	w := peopled(t)
	long := strings.Repeat("x", 89)
	w.passwords.byName["ada"] = [2]string{ada, long + "1"}
	w.want(w.token("portal", "grant_type", "password", "username", "ada", "password", long+"2"), http.StatusBadRequest, "invalid_grant")
	w.want(w.token("portal", "grant_type", "password", "username", "ada", "password", long+"1"), http.StatusOK, "")
	w.want(w.token("portal", "grant_type", "password", "username", "ada", "password", " é+% \t"), http.StatusBadRequest, "invalid_grant")
	if got := w.passwords.seen[len(w.passwords.seen)-1]; got != " é+% \t" {
		t.Fatalf("the password arrived as %q", got)
	}
}

func TestP06GrantNotListed(t *testing.T) {
	w := peopled(t)
	w.application("machine", nil)
	w.want(w.person("machine", "ada"), http.StatusBadRequest, "unauthorized_client")
	if w.passwords.hashes != 0 {
		t.Fatalf("%d hashes", w.passwords.hashes)
	}
}

func TestP07UserTokensAreNotApplicationTokens(t *testing.T) {
	w := peopled(t)
	w.application("app", nil)
	person, err := w.server.Token(t.Context(), w.person("portal", "ada").text("access_token"))
	if err != nil || !person.UserToken {
		t.Fatalf("%+v %v", person, err)
	}
	machine, err := w.server.Token(t.Context(), w.machine("app").text("access_token"))
	if err != nil || machine.UserToken {
		t.Fatalf("%+v %v", machine, err)
	}
}

func TestTemporaryPasswordGivesOneScope(t *testing.T) {
	w := peopled(t)
	w.user(ada, "ada", []string{"* *:*"}, func(i *policies.Identity) { i.TemporaryPassword = true })
	if r := w.want(w.person("portal", "ada"), http.StatusOK, ""); r.text("scope") != "me:password" {
		t.Fatalf("scope %q", r.text("scope"))
	}
}

func TestTenantOfTokens(t *testing.T) {
	w := peopled(t)
	w.user(ada, "ada", []string{"acme ledger:read", "globex ledger:write", "catalogue:read"})
	for tenant, want := range map[string]string{
		"": "catalogue:read", "acme": "catalogue:read ledger:read", "globex": "catalogue:read ledger:write",
	} {
		r := w.want(w.person("portal", "ada", "tenant", tenant), http.StatusOK, "")
		claim, _ := part(t, r.text("access_token"), 1)["tenant"].(string)
		if r.text("scope") != want || claim != tenant {
			t.Errorf("tenant %q: scope %q, claim %q", tenant, r.text("scope"), claim)
		}
	}
	w.want(w.person("portal", "ada", "tenant", "nowhere"), http.StatusBadRequest, "invalid_grant")
	w.user(ada, "ada", []string{"acme ledger:read"}, func(i *policies.Identity) { i.Tenant = "acme" })
	if claims := part(t, w.person("portal", "ada").text("access_token"), 1); claims["tenant"] != "acme" {
		t.Fatalf("claims: %v", claims)
	}
	w.want(w.person("portal", "ada", "tenant", "globex"), http.StatusBadRequest, "invalid_grant")
}

func TestLifetimeEndsWithWhatTheTokenCarries(t *testing.T) {
	w := newWorld(t)
	expires := func(r reply) float64 { return w.want(r, http.StatusOK, "").JSON["expires_in"].(float64) }
	w.application("app", []string{"ledger:read", "ledger/accounts:read", "crm:read"}, func(a *storage.Application) {
		a.Grants[1].NotAfter = w.at(time.Minute)
		a.Grants[2].NotAfter = w.at(10 * time.Minute)
	})
	if got := expires(w.machine("app")); got != 600 {
		t.Errorf("the nearest end of a grant that nothing else carries: %v", got)
	}
	if got := expires(w.machine("app", "scope", "ledger/accounts:read")); got != 3600 {
		t.Errorf("covered by a grant without an end: %v", got)
	}
	w.advance(10 * time.Minute)
	if r := w.machine("app"); r.text("scope") != "ledger:read" || expires(r) != 3600 {
		t.Errorf("after the end: %s", r.Body)
	}
	w.application("app", nil, func(a *storage.Application) { a.NotAfter, a.TokenLifetime = w.at(5*time.Second), 7200 })
	if got := expires(w.machine("app")); got != 5 {
		t.Errorf("the application's end: %v", got)
	}
	w.application("app", nil, func(a *storage.Application) { a.TokenLifetime = 7200 })
	if got := expires(w.machine("app")); got != 7200 {
		t.Errorf("the application's lifetime: %v", got)
	}
	w.application("app", nil, func(a *storage.Application) { a.TokenLifetime = 1 << 40 })
	if got := expires(w.machine("app")); got != 86400 {
		t.Errorf("the cap: %v", got)
	}
	w.application("app", nil, func(a *storage.Application) { a.NotAfter = w.at(time.Millisecond) })
	w.want(w.machine("app"), http.StatusUnauthorized, "invalid_client")
}
