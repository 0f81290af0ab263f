package oauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// Each epoch alone ends a token, and none of them comes back.
func TestEpochsEndTokens(t *testing.T) {
	for name, end := range map[string]func(*world){
		"global":                 func(w *world) { w.directory.global++ },
		"application":            func(w *world) { portal(w, func(a *storage.Application) { a.Epoch++ }) },
		"user":                   func(w *world) { w.directory.users[ada] = raised(w.directory.users[ada]) },
		"secret revoked":         func(w *world) { portal(w, func(a *storage.Application) { a.Secrets[0].RevokedAt = w.at(0) }) },
		"secret gone":            func(w *world) { portal(w, func(a *storage.Application) { a.Secrets[0].ID = "s2" }) },
		"secret expired":         func(w *world) { portal(w, func(a *storage.Application) { a.Secrets[0].ExpiresAt = w.at(0) }) },
		"application inactive":   func(w *world) { portal(w, func(a *storage.Application) { a.IsActive = false }) },
		"application's end":      func(w *world) { portal(w, func(a *storage.Application) { a.NotAfter = w.at(0) }) },
		"application deleted":    func(w *world) { delete(w.directory.applications, "portal") },
		"application's tenant":   func(w *world) { w.directory.disableTenant("portal") },
		"user deleted":           func(w *world) { delete(w.directory.users, ada) },
		"user suspended":         func(w *world) { w.user(ada, "ada", nil, func(i *policies.Identity) { i.Active = false }) },
		"user outside window":    func(w *world) { w.user(ada, "ada", nil, func(i *policies.Identity) { i.NotBefore = w.now().Add(1) }) },
		"user's tenant disabled": func(w *world) { w.user(ada, "ada", nil, func(i *policies.Identity) { i.TenantEnabled = false }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := peopled(t)
			token := w.person("portal", "ada").text("access_token")
			if !w.live(token) {
				t.Fatal("dead from the start")
			}
			end(w)
			if w.live(token) {
				t.Fatal("still accepted")
			}
		})
	}
}

func portal(w *world, adjust func(*storage.Application)) {
	w.application("portal", nil, func(a *storage.Application) { a.GrantTypes = []string{"password"} }, adjust)
}

func raised(s *enforce.Subject) *enforce.Subject {
	next := *s
	next.Epoch++
	return &next
}

// An application that was deleted and created anew starts above the old epoch: its new tokens live, the old ones do not.
func TestRecreatedApplication(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, func(a *storage.Application) { a.Epoch = 3 })
	old := w.machine("app").text("access_token")
	w.application("app", nil, func(a *storage.Application) { a.Epoch = 4 })
	fresh := w.machine("app").text("access_token")
	if w.live(old) || !w.live(fresh) {
		t.Fatal("the epoch does not go on")
	}
}

func TestStaleMirrorIsAnOutage(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	w.directory.stale = storage.ErrUnavailable
	if _, err := w.server.Token(t.Context(), token); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, enforce.ErrUnauthenticated) {
		t.Fatalf("%v", err)
	}
}

func TestCaller(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"acme ledger:read"}, func(a *storage.Application) { a.Tenant = "acme" })
	token := w.machine("app").text("access_token")
	request := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
	request.Header.Set("Authorization", "bEaReR "+token)
	caller, err := w.server.Authenticator(policies.PlaneManagement, true).Authenticate(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	claims := part(t, token, 1)
	if caller.Type != "application" || caller.ID != "app" || caller.ClientID != "app" || caller.SecretID != "s1" || !caller.Scoped ||
		!slices.Equal(caller.Scopes.List(), []string{"ledger:read"}) || caller.Scope != "ledger:read" || caller.Tenant != "acme" ||
		len(caller.Audiences) != 2 || caller.JTI != claims["jti"] || !caller.AuthTime.IsZero() || caller.UserToken || caller.Basic ||
		caller.Address != netip.MustParseAddr("192.0.2.1") || caller.AddressFact != policies.AddressAllowed ||
		!caller.ExpiresAt.Equal(w.now().Add(time.Hour)) {
		t.Fatalf("%+v", caller)
	}
}

func TestB03TransportsOfAToken(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	token := w.machine("app").text("access_token")
	for name, c := range map[string]struct {
		target string
		header http.Header
		status int
	}{
		"header":                    {"/v1/me", http.Header{"Authorization": {bearer(token)}}, 0},
		"nothing":                   {"/v1/me", nil, 401},
		"query alone":               {"/v1/me?access_token=" + token, nil, 401},
		"query beside a header":     {"/v1/me?access_token=" + token, http.Header{"Authorization": {bearer(token)}}, 400},
		"two headers":               {"/v1/me", http.Header{"Authorization": {bearer(token), bearer(token)}}, 400},
		"Basic and Bearer":          {"/v1/me", http.Header{"Authorization": {basic("app", "secret of app"), bearer(token)}}, 400},
		"the header Authorize":      {"/v1/me", http.Header{"Authorize": {bearer(token)}}, 401},
		"X-User":                    {"/v1/me", http.Header{"X-User": {"app"}}, 401},
		"another scheme":            {"/v1/me", http.Header{"Authorization": {"Foo " + token}}, 401},
		"two tokens in one header":  {"/v1/me", http.Header{"Authorization": {bearer(token + " " + token)}}, 401},
		"no scheme":                 {"/v1/me", http.Header{"Authorization": {token}}, 401},
		"a secret instead of a JWT": {"/v1/me", http.Header{"Authorization": {bearer("writ_cs_x")}}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodGet, c.target, nil)
			request.Header = c.header
			_, err := w.server.Authenticator(policies.PlaneRuntime, false).Authenticate(t.Context(), request)
			var protocol *enforce.ProtocolError
			var unknown *enforce.AuthenticationError
			got := 0
			switch {
			case errors.As(err, &protocol):
				got = protocol.Status
			case errors.As(err, &unknown):
				got = 401
			case err != nil:
				got = 500
			}
			if got != c.status {
				t.Fatalf("want %d, got %d: %v", c.status, got, err)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Fatal("the error repeats the token")
			}
		})
	}
}

func TestB01Challenges(t *testing.T) {
	w := newWorld(t)
	authenticate := func(basic bool, header string) *enforce.AuthenticationError {
		t.Helper()
		request := httptest.NewRequest(http.MethodGet, "/v1/users", nil)
		if header != "" {
			request.Header.Set("Authorization", header)
		}
		_, err := w.server.Authenticator(policies.PlaneManagement, basic).Authenticate(t.Context(), request)
		var unknown *enforce.AuthenticationError
		if !errors.As(err, &unknown) {
			t.Fatalf("%v", err)
		}
		return unknown
	}
	both := authenticate(true, "")
	if both.Code != "" || len(both.Challenges) != 2 || !strings.HasPrefix(both.Challenges[0], "Bearer ") ||
		!strings.HasPrefix(both.Challenges[1], "Basic ") || strings.Contains(both.Challenges[0], "error") {
		t.Fatalf("%+v", both)
	}
	if one := authenticate(false, ""); len(one.Challenges) != 1 {
		t.Fatalf("%+v", one)
	}
	if bad := authenticate(true, "Bearer x"); bad.Code != "invalid_token" || !strings.Contains(bad.Challenges[0], `error="invalid_token"`) {
		t.Fatalf("%+v", bad)
	}
	if again := authenticate(true, ""); strings.Contains(again.Challenges[0], "error") {
		t.Fatal("a refusal stuck to the challenges")
	}
}

func TestBasicOnTheAdminAPI(t *testing.T) {
	w := newWorld(t)
	management := issuer + "/management"
	for name, c := range map[string]struct {
		adjust func(*storage.Application)
		secret string
		ok     bool
	}{
		"an application":        {func(*storage.Application) {}, "secret of app", true},
		"with a ceiling":        {func(a *storage.Application) { a.Scopes = []string{"iam:read"} }, "secret of app", true},
		"wrong secret":          {func(*storage.Application) {}, "wrong", false},
		"inactive":              {func(a *storage.Application) { a.IsActive = false }, "secret of app", false},
		"password only":         {func(a *storage.Application) { a.GrantTypes = []string{"password"} }, "secret of app", false},
		"for another audience":  {func(a *storage.Application) { a.Audiences = []string{issuer + "/runtime"} }, "secret of app", false},
		"for this audience":     {func(a *storage.Application) { a.Audiences = []string{management} }, "secret of app", true},
		"proven by keys":        {func(a *storage.Application) { a.TokenEndpointAuthMethod = "private_key_jwt" }, "secret of app", false},
		"public":                {func(a *storage.Application) { a.TokenEndpointAuthMethod = "none" }, "secret of app", false},
		"registered for a body": {func(a *storage.Application) { a.TokenEndpointAuthMethod = "client_secret_post" }, "secret of app", false},
	} {
		t.Run(name, func(t *testing.T) {
			w.application("app", []string{"iam:*"}, c.adjust)
			request := httptest.NewRequest(http.MethodGet, "/v1/users", nil)
			request.Header.Set("Authorization", basic("app", c.secret))
			if _, err := w.server.Authenticator(policies.PlaneManagement, false).Authenticate(t.Context(), request); err == nil {
				t.Fatal("Basic was taken where it is off")
			}
			caller, err := w.server.Authenticator(policies.PlaneManagement, true).Authenticate(t.Context(), request)
			if (err == nil) != c.ok {
				t.Fatalf("%+v %v", caller, err)
			}
			if err != nil {
				if !errors.Is(err, enforce.ErrUnauthenticated) {
					t.Fatalf("%v", err)
				}
				return
			}
			if !caller.Basic || caller.ID != "app" || caller.Scoped != (name == "with a ceiling") || !slices.Contains(caller.Audiences, management) {
				t.Fatalf("%+v", caller)
			}
		})
	}
}

// S-J7: a credential too long to be one is refused before anything is split.
func TestSJ07HugeCredentialsCostNothing(t *testing.T) {
	w := newWorld(t)
	huge := strings.Repeat(".", 1<<20)
	if allocs := testing.AllocsPerRun(100, func() { w.live(huge) }); allocs > 4 {
		t.Fatalf("%v allocations", allocs)
	}
}

// A signature is remembered; whether the token lives is asked each time.
func TestRememberedTokensStillDie(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	token := w.machine("app").text("access_token")
	for range 3 {
		if !w.live(token) {
			t.Fatal("dead")
		}
	}
	w.advance(time.Hour)
	if w.live(token) {
		t.Fatal("outlived its exp")
	}
	w.advance(-time.Hour)
	if !w.live(token) {
		t.Fatal("dead within its time")
	}
	w.directory.global++
	if w.live(token) {
		t.Fatal("outlived the global epoch")
	}
}
