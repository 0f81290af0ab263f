package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth"
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
	caller, err := w.server.Authenticator(true).Authenticate(t.Context(), request)
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
			_, err := w.server.Authenticator(false).Authenticate(t.Context(), request)
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
		_, err := w.server.Authenticator(basic).Authenticate(t.Context(), request)
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
		"an application": {func(*storage.Application) {}, "secret of app", true},
		"with a ceiling": {func(a *storage.Application) { a.Scopes = []string{"iam:read"} }, "secret of app", true},
		"wrong secret":   {func(*storage.Application) {}, "wrong", false},
		"inactive":       {func(a *storage.Application) { a.IsActive = false }, "secret of app", false},
		// What an application may do so is a rule: basic_not_accepted, wrong_audience.
		"password only":         {func(a *storage.Application) { a.GrantTypes = []string{"password"} }, "secret of app", true},
		"for another audience":  {func(a *storage.Application) { a.Audiences = []string{issuer + "/runtime"} }, "secret of app", true},
		"for this audience":     {func(a *storage.Application) { a.Audiences = []string{management} }, "secret of app", true},
		"proven by keys":        {func(a *storage.Application) { a.TokenEndpointAuthMethod = "private_key_jwt" }, "secret of app", false},
		"public":                {func(a *storage.Application) { a.TokenEndpointAuthMethod = "none" }, "secret of app", false},
		"registered for a body": {func(a *storage.Application) { a.TokenEndpointAuthMethod = "client_secret_post" }, "secret of app", false},
	} {
		t.Run(name, func(t *testing.T) {
			w.application("app", []string{"iam:*"}, c.adjust)
			request := httptest.NewRequest(http.MethodGet, "/v1/users", nil)
			request.Header.Set("Authorization", basic("app", c.secret))
			if _, err := w.server.Authenticator(false).Authenticate(t.Context(), request); err == nil {
				t.Fatal("Basic was taken where it is off")
			}
			caller, err := w.server.Authenticator(true).Authenticate(t.Context(), request)
			if (err == nil) != c.ok {
				t.Fatalf("%+v %v", caller, err)
			}
			if err != nil {
				if !errors.Is(err, enforce.ErrUnauthenticated) {
					t.Fatalf("%v", err)
				}
				return
			}
			if !caller.Basic || caller.ID != "app" || caller.Scoped != (name == "with a ceiling") ||
				slices.Contains(caller.Audiences, management) != (name != "for another audience") {
				t.Fatalf("%+v", caller)
			}
		})
	}
}

// S-J7: a credential too long to be one is refused before anything is split.
func TestSJ7HugeCredentialsCostNothing(t *testing.T) {
	w := newWorld(t)
	head := w.opaqueToken()[:13]
	for _, huge := range []string{strings.Repeat(".", 1<<20), head + strings.Repeat("A", 1<<20)} {
		if allocs := testing.AllocsPerRun(100, func() { w.live(huge) }); allocs > 4 {
			t.Fatalf("%s...: %v allocations", huge[:13], allocs)
		}
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

// S-J5: what is genuine as something else is no access token, at an API and at introspection.
func TestSJ05OtherTokensAreNoAccessTokens(t *testing.T) {
	w := peopled(t)
	w.application("portal", []string{"ledger:read"}, func(a *storage.Application) {
		a.GrantTypes = []string{"password", "refresh_token", "client_credentials"}
	})
	login := w.person("portal", "ada")
	access, refresh := login.text("access_token"), login.text("refresh_token")
	if access == "" || refresh == "" {
		t.Fatalf("%s", login.Body)
	}
	key, now := w.signingKey("access"), w.now().Unix()
	of := func(typ string) map[string]any { return map[string]any{"kid": key.KeyID, "typ": typ} }
	claims := part(t, access, 1)
	signedReply, err := oauth.SignIntrospection(w.server, payload(t, claims))
	if err != nil || part(t, signedReply, 0)["typ"] != "token-introspection+jwt" {
		t.Fatalf("%s: %v", signedReply, err)
	}
	identity := map[string]any{
		"iss": issuer, "sub": ada, "aud": "portal", "azp": "portal", "iat": now, "nbf": now, "exp": now + 60, "jti": "j", "nonce": "n",
	}
	assertion := map[string]any{"iss": "portal", "sub": "portal", "aud": issuer, "iat": now, "nbf": now, "exp": now + 60, "jti": "j"}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kid, opaqueKey := w.secretKey("opaque")
	_, refreshKey := w.secretKey("refresh")
	for name, token := range map[string]string{
		"a refresh token":                                      refresh,
		"a refresh token that calls itself sealed":             "sat_" + strings.TrimPrefix(refresh, "writ_rt_"),
		"a refresh token with the prefix of the other":         "sat_" + kid + "_" + strings.Split(refresh, ".")[1],
		"an ID token of our own key":                           forge(t, jose.ES256, key.Key, identity, of("JWT")),
		"an ID token that calls itself an access one":          forge(t, jose.ES256, key.Key, identity, of("at+jwt")),
		"access claims in an ID token":                         forge(t, jose.ES256, key.Key, claims, of("JWT")),
		"access claims in a logout token":                      forge(t, jose.ES256, key.Key, claims, of("logout+jwt")),
		"access claims in an introspection reply":              signedReply,
		"a client assertion":                                   forge(t, jose.ES256, private, assertion, map[string]any{"kid": "of the client", "typ": "JWT"}),
		"a client assertion that calls itself an access token": forge(t, jose.ES256, private, claims, of("at+jwt")),
		"a client assertion of our own key":                    forge(t, jose.ES256, key.Key, assertion, of("at+jwt")),
		"access claims sealed with the refresh key":            sealedBy(t, refreshKey, kid, "sat_"+kid+"_", payload(t, claims)),
		"a refresh token, sealed":                              sealedBy(t, opaqueKey, kid, "sat_"+kid+"_", []byte(refresh)),
	} {
		if r := w.end(token, ""); r.Code != http.StatusUnauthorized || r.text("error") != "invalid_token" {
			t.Errorf("%s as a bearer: %d %s", name, r.Code, r.Body)
		}
		if name == "a refresh token" {
			continue // introspection may know it as what it is
		}
		if r := w.introspect("portal", token); strings.TrimSpace(r.Body.String()) != `{"active":false}` {
			t.Errorf("%s at introspection: %d %s", name, r.Code, r.Body)
		}
	}
	if r := w.introspect("portal", access); r.JSON["active"] != true {
		t.Fatalf("the control: %s", r.Body)
	}
	w.want(w.end(access, ""), http.StatusNoContent, "")
}

// F-30: nothing that was not made here costs a read, whatever form it has, and wherever it is shown.
func TestF30UnknownTokensCostNoRead(t *testing.T) {
	w := peopled(t)
	w.application("portal", []string{"ledger:read"}, func(a *storage.Application) { a.GrantTypes = []string{"password", "refresh_token"} })
	login := w.person("portal", "ada")
	signed, refresh, sealed := login.text("access_token"), login.text("refresh_token"), w.opaqueToken()
	random := make([]byte, 400)
	_, _ = rand.Read(random)
	noise := base64.RawURLEncoding.EncodeToString(random)
	header, body, _ := strings.Cut(signed, ".")
	claims, _, _ := strings.Cut(body, ".")
	before := w.store.calls.Load()
	for name, token := range map[string]string{
		"a JWT of our header and claims":   header + "." + claims + "." + noise[:86],
		"a JWT of our header":              header + "." + noise + "." + noise[:86],
		"a JWT of another header":          noise[:40] + "." + claims + "." + noise[:86],
		"a sealed token of our kid":        sealed[:13] + noise,
		"a sealed token of another kid":    "sat_00000000_" + noise,
		"a refresh token of our kid":       refresh[:len("writ_rt_")+9] + noise[:64] + "." + noise[:43],
		"a refresh token of our session":   refresh[:strings.LastIndexByte(refresh, '.')+1] + noise[:43],
		"a refresh token of another kid":   "writ_rt_00000000." + noise[:64] + "." + noise[:43],
		"what a stored token would be":     noise[:43],
		"an identifier with an injection":  `{"$ne": null}`,
		"the id of a session":              part(t, signed, 1)["sid"].(string),
		"the id of a token":                part(t, signed, 1)["jti"].(string),
		"nothing of any form, but of size": strings.Repeat("sat_", 1000),
	} {
		if r := w.introspect("portal", token); strings.TrimSpace(r.Body.String()) != `{"active":false}` {
			t.Errorf("%s: %d %s", name, r.Code, r.Body)
		}
		w.want(w.revoke("portal", token), http.StatusOK, "")
		w.want(w.end(token, ""), http.StatusUnauthorized, "invalid_token")
		w.want(w.token("portal", "grant_type", "refresh_token", "refresh_token", token), http.StatusBadRequest, "invalid_grant")
		if calls := w.store.calls.Load() - before; calls != 0 {
			t.Fatalf("%s: %d store calls", name, calls)
		}
	}
	for _, token := range []string{signed, sealed} {
		if !w.live(token) {
			t.Fatal("a control is not accepted: the table proves nothing")
		}
	}
	w.want(w.token("portal", "grant_type", "refresh_token", "refresh_token", refresh), http.StatusOK, "")
}

func payload(tb testing.TB, claims map[string]any) []byte {
	tb.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}
