package oauth_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

func TestT01ClientCredentialsWithBasic(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger/accounts:read"})
	r := w.want(w.machine("app"), http.StatusOK, "")
	if r.text("access_token") == "" || r.text("token_type") != "Bearer" || r.text("scope") != "ledger/accounts:read" {
		t.Fatalf("reply: %s", r.Body)
	}
	if !strings.Contains(r.Body.String(), `"expires_in":3600`) {
		t.Fatalf("expires_in is no integer of an hour: %s", r.Body)
	}
	if _, there := r.JSON["refresh_token"]; there {
		t.Fatal("client_credentials gave a refresh token")
	}
	if r.Header().Get("Cache-Control") != "no-store" || r.Header().Get("Pragma") != "no-cache" || r.Header().Get("Decision-Id") == "" {
		t.Fatalf("headers: %v", r.Header())
	}
	for _, path := range []string{"/connect/token", "/token"} {
		w.want(w.send(path, "grant_type=client_credentials", "Authorization", basic("app", "secret of app")), http.StatusOK, "")
	}
}

func TestT02FormEncodedBasic(t *testing.T) {
	w := newWorld(t)
	const id, secret = "a:p+p%1 é", "s:e+c%2 é\u00df"
	w.application(id, nil, func(a *storage.Application) { a.Secrets[0].Verifier = verifier(secret) })
	w.want(w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", basic(id, secret)), http.StatusOK, "")
}

func TestT03MethodIsEnforced(t *testing.T) {
	for _, c := range []struct {
		registered, used string
		status           int
	}{
		{"", "post", 200},
		{"client_secret_post", "post", 200},
		{"client_secret_basic", "post", 401},
		{"", "basic", 200},
		{"client_secret_basic", "basic", 200},
		{"client_secret_post", "basic", 401},
		{"private_key_jwt", "basic", 401},
		{"none", "basic", 401},
		{"none", "post", 401},
	} {
		t.Run(c.used+" for "+c.registered, func(t *testing.T) {
			w := newWorld(t)
			w.application("app", nil, func(a *storage.Application) { a.TokenEndpointAuthMethod = c.registered })
			var r reply
			if c.used == "basic" {
				r = w.machine("app")
			} else {
				r = w.machine("", "client_id", "app", "client_secret", "secret of app")
			}
			code := ""
			if c.status != 200 {
				code = "invalid_client"
			}
			w.want(r, c.status, code)
		})
	}
}

func TestT04AndST5SecretInTheQueryIsNone(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, func(a *storage.Application) { a.Secrets[0].Verifier = verifier("canary-in-query") })
	path := "/oauth2/token?client_id=app&client_secret=canary-in-query&grant_type=client_credentials"
	w.want(w.send(path, "grant_type=client_credentials"), http.StatusUnauthorized, "invalid_client")
	w.want(w.send(path, "grant_type=client_credentials&client_id=app"), http.StatusUnauthorized, "invalid_client")
	w.want(w.send(path, "x=1"), http.StatusBadRequest, "invalid_request")
	if strings.Contains(w.logged.String(), "canary") {
		t.Fatal("the secret is in a log")
	}
}

func TestT05OtherMethods(t *testing.T) {
	w := newWorld(t)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		r := w.want(w.do(httptest.NewRequest(method, "/oauth2/token", nil)), http.StatusMethodNotAllowed, "invalid_request")
		if r.Header().Get("Allow") != http.MethodPost {
			t.Fatalf("Allow: %v", r.Header())
		}
	}
}

func TestT06OtherMediaTypes(t *testing.T) {
	temporary := t.TempDir()
	w := newWorld(t)
	w.application("app", nil)
	t.Setenv("TMPDIR", temporary)
	file := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 1<<19) +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--b--\r\n"
	for media, body := range map[string]string{
		"multipart/form-data; boundary=b": file,
		"text/plain":                      "grant_type=client_credentials",
		"application/json":                `{"grant_type":"client_credentials"}`,
		"":                                "grant_type=client_credentials",
	} {
		r := w.send("/oauth2/token", body, "Content-Type", "", "Content-Type", media, "Authorization", basic("app", "secret of app"))
		w.want(r, http.StatusBadRequest, "invalid_request")
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Fatalf("temporary files: %v %v", left, err)
	}
}

func TestT07RepeatedParameters(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"a:read", "b:read"}, bothGrants)
	for _, body := range []string{
		"grant_type=client_credentials&grant_type=client_credentials",
		"grant_type=client_credentials&scope=a:read&scope=b:read",
		"grant_type=client_credentials&scope=&scope=",
		"grant_type=client_credentials&client_id=app&client_id=app",
		"grant_type=password&username=ada&username=eve&password=x",
		"grant_type=client_credentials&x=1&x=2",
	} {
		w.want(w.send("/oauth2/token", body, "Authorization", basic("app", "secret of app")), http.StatusBadRequest, "invalid_request")
	}
}

func TestT08NoGrantType(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	for _, body := range []string{"", "scope=a:read", "grant_type="} {
		w.want(w.send("/oauth2/token", body, "Authorization", basic("app", "secret of app")), http.StatusBadRequest, "invalid_request")
	}
}

func TestT09AndF01AndST4UnknownGrantTypes(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	for _, grant := range []string{
		"foo", "authorization_code", "Password", "password client_credentials", " client_credentials", "implicit",
	} {
		w.want(w.token("app", "grant_type", grant), http.StatusBadRequest, "unsupported_grant_type")
	}
}

func TestT10UnknownParametersAndEmptyScope(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"a:read"})
	w.want(w.machine("app", "timestamp", "1", "resource_owner", "x"), http.StatusOK, "")
	if r := w.want(w.machine("app", "scope", ""), http.StatusOK, ""); r.text("scope") != "a:read" {
		t.Fatalf("an empty scope is not an omitted one: %s", r.Body)
	}
}

func TestT11UnknownClient(t *testing.T) {
	w := newWorld(t)
	r := w.want(w.machine("nobody"), http.StatusUnauthorized, "invalid_client")
	if got := r.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, `Basic realm="`) {
		t.Fatalf("WWW-Authenticate: %q", got)
	}
}

func TestT12WrongSecretLooksAndCostsLikeUnknownClient(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	cost := func(id string) (reply, [3]int64) {
		hashes, calls, lookups := w.secrets.hashes.Load(), w.store.calls.Load(), w.directory.lookups.Load()
		r := w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", basic(id, "wrong"))
		w.want(r, http.StatusUnauthorized, "invalid_client")
		return r, [3]int64{w.secrets.hashes.Load() - hashes, w.store.calls.Load() - calls, w.directory.lookups.Load() - lookups}
	}
	unknown, unknownCost := cost("nobody")
	wrong, wrongCost := cost("app")
	if !bytes.Equal(unknown.Body.Bytes(), wrong.Body.Bytes()) || !sameHeaders(unknown.Header(), wrong.Header()) {
		t.Fatalf("replies differ:\n%s %v\n%s %v", unknown.Body, unknown.Header(), wrong.Body, wrong.Header())
	}
	if unknownCost != wrongCost || unknownCost[0] != 1 || unknownCost[1] != 0 {
		t.Fatalf("hashes, store calls and look-ups: unknown %v, wrong %v", unknownCost, wrongCost)
	}
}

func TestT13NoAuthentication(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	w.want(w.machine(""), http.StatusUnauthorized, "invalid_client")
	w.want(w.machine("", "client_id", "app"), http.StatusUnauthorized, "invalid_client")
	w.want(w.machine("", "client_secret", "secret of app"), http.StatusUnauthorized, "invalid_client")
}

func TestT14TwoAuthentications(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	w.application("other", nil)
	for name, pairs := range map[string][]string{
		"Basic and secret":     {"client_secret", "secret of app"},
		"Basic and other pair": {"client_id", "other", "client_secret", "secret of other"},
		"Basic and other id":   {"client_id", "other"},
		"Basic and assertion":  {"client_assertion", "x"},
	} {
		t.Run(name, func(t *testing.T) { w.want(w.machine("app", pairs...), http.StatusBadRequest, "invalid_request") })
	}
	w.want(w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", basic("app", "secret of app"),
		"Authorization", basic("other", "secret of other")), http.StatusBadRequest, "invalid_request")
	w.want(w.machine("app", "client_id", "app"), http.StatusOK, "")
}

func TestT15MalformedAuthorization(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	for _, header := range []string{"Basic !!!", "Basic " + "YXBw", "Basic", "Basic ", "Foo x", "Bearer x", "Basic YXBwOg==", "Basic JTpz"} {
		r := w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", header)
		w.want(r, http.StatusUnauthorized, "invalid_client")
		if !strings.HasPrefix(r.Header().Get("WWW-Authenticate"), "Basic ") {
			t.Fatalf("%s: %v", header, r.Header())
		}
	}
}

func TestT16AndF14PublicClientUsesClientCredentials(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, func(a *storage.Application) { a.TokenEndpointAuthMethod, a.Secrets = "none", nil })
	w.want(w.machine("", "client_id", "app"), http.StatusBadRequest, "unauthorized_client")
}

func TestT17GrantNotListed(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, func(a *storage.Application) { a.GrantTypes = []string{"password"} })
	w.want(w.machine("app"), http.StatusBadRequest, "unauthorized_client")
}

func TestT18ApplicationNotUsable(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	wrong := w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", basic("app", "wrong"))
	w.want(wrong, http.StatusUnauthorized, "invalid_client")
	for name, spoil := range map[string]func(){
		"inactive":        func() { w.application("app", nil, func(a *storage.Application) { a.IsActive = false }) },
		"before window":   func() { w.application("app", nil, func(a *storage.Application) { a.NotBefore = w.at(time.Second) }) },
		"at window's end": func() { w.application("app", nil, func(a *storage.Application) { a.NotAfter = w.at(0) }) },
		"tenant disabled": func() { w.application("app", nil); w.directory.disableTenant("app") },
	} {
		spoil()
		r := w.machine("app")
		if !bytes.Equal(r.Body.Bytes(), wrong.Body.Bytes()) || !sameHeaders(r.Header(), wrong.Header()) || r.Code != wrong.Code {
			t.Fatalf("%s: %d %s", name, r.Code, r.Body)
		}
	}
	t.Run("a tenant that is not the application's looks the same", func(t *testing.T) {
		w.application("app", nil, func(a *storage.Application) { a.Tenant = "acme" })
		if r := w.machine("app", "tenant", "globex"); !bytes.Equal(r.Body.Bytes(), wrong.Body.Bytes()) || r.Code != wrong.Code {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	})
	t.Run("and so does what is no tenant", func(t *testing.T) {
		w.application("app", []string{"* ledger:read"})
		for _, tenant := range []string{"*", "a b", "\u00e9", strings.Repeat("x", 129)} {
			if r := w.machine("app", "tenant", tenant); !bytes.Equal(r.Body.Bytes(), wrong.Body.Bytes()) || r.Code != wrong.Code {
				t.Fatalf("%q: %d %s", tenant, r.Code, r.Body)
			}
		}
	})
	t.Run("and so does an address that is not allowed", func(t *testing.T) {
		w.application("app", nil)
		w.directory.refused = netip.MustParseAddr("192.0.2.1")
		if r := w.machine("app"); !bytes.Equal(r.Body.Bytes(), wrong.Body.Bytes()) || r.Code != wrong.Code {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	})
}

func TestT19SecretWindows(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, func(a *storage.Application) {
		a.Secrets = []storage.Secret{
			{ID: "old", Verifier: verifier("old"), ExpiresAt: w.at(2 * time.Hour)},
			{ID: "new", Verifier: verifier("new"), NotBefore: w.at(time.Hour)},
		}
	})
	try := func(secret string) reply {
		return w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", basic("app", secret))
	}
	w.want(try("new"), http.StatusUnauthorized, "invalid_client")
	w.want(try("old"), http.StatusOK, "")
	w.advance(90 * time.Minute)
	w.want(try("new"), http.StatusOK, "")
	r := w.want(try("old"), http.StatusOK, "")
	if got := r.JSON["expires_in"]; got != float64(1800) {
		t.Fatalf("a token outlives its secret: expires_in %v", got)
	}
	w.advance(30 * time.Minute)
	w.want(try("old"), http.StatusUnauthorized, "invalid_client")
	w.want(try("new"), http.StatusOK, "")
}

func TestT20ScopeOutsideTheRegisteredCeiling(t *testing.T) {
	w := newWorld(t)
	w.application("some", []string{"ledger:read", "ledger:write"}, func(a *storage.Application) { a.Scopes = []string{"ledger:read"} })
	w.application("nothing", []string{"ledger:read"}, func(a *storage.Application) { a.Scopes = []string{} })
	w.application("any", []string{"ledger:read"})
	w.want(w.machine("some", "scope", "ledger:write"), http.StatusBadRequest, "invalid_scope")
	w.want(w.machine("some", "scope", "ledger:read ledger:write"), http.StatusBadRequest, "invalid_scope")
	w.want(w.machine("nothing", "scope", "ledger:read"), http.StatusBadRequest, "invalid_scope")
	w.want(w.machine("any", "scope", "ledger:read"), http.StatusOK, "")
	if r := w.want(w.machine("nothing"), http.StatusOK, ""); r.text("scope") != "" {
		t.Fatalf("an empty ceiling gave %q", r.text("scope"))
	}
}

func TestT21NamedScopes(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger/accounts:read", "ledger/accounts:write", "crm:read"}, func(a *storage.Application) {
		a.Scopes = []string{"ledger:*", "crm:write"}
	})
	for asked, want := range map[string]string{
		"ledger/accounts:read":   "ledger/accounts:read",
		"ledger:read":            "ledger/accounts:read",
		"ledger:*":               "ledger/accounts:read ledger/accounts:write",
		"*:*":                    "ledger/accounts:read ledger/accounts:write",
		"ledger/accounts/7:read": "ledger/accounts/7:read",
		"ledger/accounts:read ledger/accounts:pay": "ledger/accounts:read",
		"ledger/accounts:read me:read":             "ledger/accounts:read",
		"me:read":                                  "",
	} {
		if r := w.want(w.machine("app", "scope", asked), http.StatusOK, ""); r.text("scope") != want {
			t.Errorf("asked %q: want %q, got %q", asked, want, r.text("scope"))
		}
	}
	w.want(w.machine("app", "scope", "ledger/invoices:read"), http.StatusBadRequest, "invalid_scope")
	w.want(w.machine("app", "scope", "crm:write"), http.StatusBadRequest, "invalid_scope")
}

func TestT22OmittedScope(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read", "crm:read", "acme vault:read", "* jobs:read"}, func(a *storage.Application) {
		a.Scopes = []string{"ledger:*", "vault:read", "jobs:read"}
	})
	w.application("empty", nil)
	if r := w.want(w.machine("app"), http.StatusOK, ""); r.text("scope") != "jobs:read ledger:read" {
		t.Fatalf("registered and held: %q", r.text("scope"))
	}
	if r := w.want(w.machine("app", "tenant", "acme"), http.StatusOK, ""); r.text("scope") != "jobs:read ledger:read vault:read" {
		t.Fatalf("in a tenant: %q", r.text("scope"))
	}
	if r := w.want(w.machine("empty"), http.StatusOK, ""); r.JSON["scope"] != "" {
		t.Fatalf("nothing held: %s", r.Body)
	}
	var many []string
	for n := range 300 {
		many = append(many, "ledger/"+strings.Repeat("x", n%7)+"segment"+string(rune('a'+n%26))+strings.Repeat("y", n/26)+":read")
	}
	w.application("many", many)
	r := w.want(w.machine("many"), http.StatusBadRequest, "invalid_scope")
	if !strings.Contains(r.text("error_description"), "Name the scopes") {
		t.Fatalf("no advice: %s", r.Body)
	}
	w.want(w.machine("many", "scope", many[0]), http.StatusOK, "")
	w.want(w.machine("many", "scope", strings.Repeat("ledger:read ", 400)), http.StatusBadRequest, "invalid_scope")
}

func TestT23MalformedScope(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	for _, scope := range []string{"é\"\\\x01\x7f", "ledger", "ledger:read:", "ledger//x:read", "led*:read", ":", "ledger:read\tx:read"} {
		w.want(w.machine("app", "scope", scope), http.StatusBadRequest, "invalid_scope")
	}
	w.want(w.send("/oauth2/token", "grant_type=client_credentials&scope=%ff", "Authorization", basic("app", "secret of app")),
		http.StatusBadRequest, "invalid_request")
}

func TestT24StoreDown(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"}, bothGrants)
	w.user("018f4e7a-0000-7000-8000-000000000001", "ada", nil)
	w.store.down.Store(true)
	w.want(w.machine("app"), http.StatusOK, "")
	r := w.want(w.person("app", "ada"), http.StatusServiceUnavailable, "temporarily_unavailable")
	if r.Header().Get("Retry-After") == "" {
		t.Fatal("503 without Retry-After")
	}
	w.directory.stale = storage.ErrUnavailable
	w.want(w.machine("app"), http.StatusServiceUnavailable, "temporarily_unavailable")
	w.directory.stale = nil
	w.secrets.err = storage.ErrUnavailable
	w.want(w.machine("app"), http.StatusServiceUnavailable, "temporarily_unavailable")
}

func TestT26ParallelRequests(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	var group sync.WaitGroup
	replies := make([]reply, 200)
	for n := range replies {
		group.Go(func() { replies[n] = w.machine("app") })
	}
	group.Wait()
	seen := map[any]bool{}
	for _, r := range replies {
		w.want(r, http.StatusOK, "")
		seen[part(t, r.text("access_token"), 1)["jti"]] = true
	}
	if len(seen) != len(replies) {
		t.Fatalf("%d distinct jti in %d replies", len(seen), len(replies))
	}
}

// PO-05: a token for a machine is made from memory.
func TestPO05ClientCredentialsTouchesNoStore(t *testing.T) {
	w := newWorld(t)
	w.application("app", []string{"ledger:read"})
	w.store.down.Store(true)
	before := w.store.calls.Load()
	r := w.want(w.machine("app"), http.StatusOK, "")
	if !w.live(r.text("access_token")) {
		t.Fatal("the token is not accepted")
	}
	if calls := w.store.calls.Load() - before; calls != 0 {
		t.Fatalf("%d store calls", calls)
	}
}

func TestDecisionErrorsAre503AndNothingElse(t *testing.T) {
	w := newWorld(t, decider(func(d *policies.Decision) error { return policies.ErrUndecided }))
	w.application("app", nil, func(a *storage.Application) { a.GrantTypes = []string{"password"} })
	w.user("018f4e7a-0000-7000-8000-000000000001", "ada", nil)
	w.want(w.person("app", "ada"), http.StatusServiceUnavailable, "temporarily_unavailable")
	sessions, err := w.store.List(context.Background(), storage.SessionKind, storage.Query{Limit: 1})
	if err != nil || len(sessions) != 0 {
		t.Fatalf("sessions: %v %v", sessions, err)
	}
}

func TestUnknownErrorsSayNothing(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	w.secrets.err = errors.New("canary: disk on fire")
	r := w.want(w.machine("app"), http.StatusInternalServerError, "server_error")
	if strings.Contains(r.Body.String(), "canary") {
		t.Fatalf("%s", r.Body)
	}
}

func TestEveryReasonHasAReply(t *testing.T) {
	// The codes are read where writ/token's refusals are listed, so that a new one without a row fails here.
	listed, err := os.ReadFile("../policies/rego/writ/why/token.rego")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`"code": "([a-z_]+)"`).FindAllStringSubmatch(string(listed), -1)
	if len(codes) == 0 {
		t.Fatal("writ/token refuses with no code")
	}
	for _, code := range codes {
		for _, grant := range []string{"password", "client_credentials", "refresh_token"} {
			got := oauth.DenialCode(grant, code[1])
			refusals := []string{"invalid_client", "invalid_grant", "invalid_scope", "invalid_target", "unauthorized_client"}
			if code[1] == "replayed" || code[1] == "tenant_required" { // nothing is wrong with who asks
				refusals = []string{"invalid_request"}
			}
			if !slices.Contains(refusals, got) {
				t.Errorf("%s for %s gives %q", code[1], grant, got)
			}
		}
	}
	if got := oauth.DenialCode("password", "no_such_reason"); got != "" {
		t.Errorf("a code of nobody gives %q", got)
	}
	for _, code := range []string{"not_usable", "outside_validity", "tenant_mismatch", "address_not_allowed"} {
		if oauth.DenialCode("password", code) != "invalid_grant" || oauth.DenialCode("client_credentials", code) != "invalid_client" {
			t.Errorf("%s does not look like a wrong credential", code)
		}
	}
}

func TestF25AudienceIsExact(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil, func(a *storage.Application) { a.Audiences = []string{"https://a.example", "https://b.example"} })
	aud := func(r reply) string { return strings.Join(texts(part(t, r.text("access_token"), 1)["aud"]), " ") }
	if got := aud(w.want(w.machine("app"), http.StatusOK, "")); got != "https://a.example https://b.example" {
		t.Fatal(got)
	}
	if got := aud(w.want(w.machine("app", "audience", "https://b.example"), http.StatusOK, "")); got != "https://b.example" {
		t.Fatal(got)
	}
	both := w.want(w.machine("app", "audience", "https://b.example", "audience", "https://a.example"), http.StatusOK, "")
	if got := aud(both); got != "https://b.example https://a.example" {
		t.Fatal(got)
	}
	for _, foreign := range []string{"https://a.example/below", "https://A.example", "https://auth.example.com/runtime"} {
		w.want(w.machine("app", "audience", foreign), http.StatusBadRequest, "invalid_target")
	}
	w.want(w.machine("app", "audience", "https://a.example", "audience", "https://c.example"), http.StatusBadRequest, "invalid_target")
	many := "grant_type=client_credentials" + strings.Repeat("&audience=https://a.example", 33)
	w.want(w.send("/oauth2/token", many, "Authorization", basic("app", "secret of app")), http.StatusBadRequest, "invalid_target")
}

func bothGrants(a *storage.Application) { a.GrantTypes = []string{"client_credentials", "password"} }

func texts(list any) []string {
	var out []string
	for _, item := range list.([]any) {
		out = append(out, item.(string))
	}
	return out
}

// decider lets a test answer in the place of the rules.
func decider(answer func(*policies.Decision) error) change {
	return func(e *enforce.Config, o *oauth.Config) { e.PDP = scripted{e.PDP, answer} }
}

type scripted struct {
	enforce.Decider
	answer func(*policies.Decision) error
}

func (s scripted) Decide(_ context.Context, _ *policies.Question) (policies.Decision, error) {
	d := policies.Decision{Allow: true}
	err := s.answer(&d)
	return d, err
}
