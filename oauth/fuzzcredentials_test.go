package oauth_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// The processes of one fuzz run have each a world of their own, with keys of their own. So what depends on a key stands in the
// corpus as a marker in capitals, which each process replaces.

// FuzzBasicHeader: whatever stands in an Authorization header, the token endpoint and the admin API take it for the
// application exactly if it is the one spelling in base64 of its id and secret, form-encoded (RFC 6749, section 2.3.1).
func FuzzBasicHeader(f *testing.F) {
	const id, secret = "app:é", "a b+c%d:é/"
	w := newWorld(f)
	w.application(id, []string{"ledger:read"}, func(a *storage.Application) { a.Secrets[0].Verifier = verifier(secret) })
	w.application("app", nil)
	admin := w.server.Authenticator(true)
	f.Fuzz(func(t *testing.T, header string) {
		w.tb = t // fuzz targets of one process run one after another
		want := spellsBasic(header, id, secret)
		r := w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", header)
		switch {
		case r.Code == http.StatusOK && want:
			if sub := part(t, r.text("access_token"), 1)["sub"]; sub != id {
				t.Fatalf("a token for %v", sub)
			}
		case r.Code == http.StatusUnauthorized && !want:
			w.want(r, http.StatusUnauthorized, "invalid_client")
		default:
			t.Fatalf("%q: %d %s", header, r.Code, r.Body)
		}
		request := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
		request.Header.Set("Authorization", header)
		caller, err := admin.Authenticate(t.Context(), request)
		switch {
		case want && err == nil && caller.ID == id:
		case !want && isRefusal(err):
		default:
			t.Fatalf("%q: the admin API says %v, %v", header, caller, err)
		}
	})
}

// spellsBasic reports whether a header is HTTP Basic with this id and secret: what parseBasic must come to, by way of encoding anew.
func spellsBasic(header, id, secret string) bool {
	scheme, encoded, _ := strings.Cut(header, " ")
	encoded = strings.TrimLeft(encoded, " ")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !strings.EqualFold(scheme, "basic") || base64.StdEncoding.EncodeToString(raw) != encoded {
		return false
	}
	halves := strings.SplitN(string(raw), ":", 2)
	if len(halves) != 2 {
		return false
	}
	for n, want := range []string{id, secret} {
		if got, err := url.QueryUnescape(halves[n]); err != nil || got != want {
			return false
		}
	}
	return true
}

// isRefusal reports whether an API answers 400 or 401.
func isRefusal(err error) bool {
	var unknown *enforce.AuthenticationError
	var refused *enforce.ProtocolError
	return errors.As(err, &unknown) || (errors.As(err, &refused) && refused.Status == http.StatusBadRequest)
}

// FuzzTokenForm: an application that proves itself gets for a form what the form says and the policy grants, or an error in
// RFC 6749's words; and nothing but the right password or a living refresh token stands for a person. REFRESH in a form is the
// refresh token that was issued last.
func FuzzTokenForm(f *testing.F) {
	const ada = "0193d4c2-7f00-7000-8000-0000000000aa"
	held := []string{"ledger:read", "ledger/accounts:write", "notes:*"}
	w := newWorld(f)
	w.application("app", held, func(a *storage.Application) {
		a.GrantTypes = []string{"client_credentials", "password", "refresh_token"}
		a.Scopes = held
	})
	w.user(ada, "ada", held)
	var living string
	login := func() {
		living = w.want(w.person("app", "ada"), http.StatusOK, "").text("refresh_token")
		if living == "" {
			w.tb.Fatal("no refresh token came with the login")
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		w.tb = t
		if strings.Contains(body, "REFRESH") {
			login()
		}
		body = strings.ReplaceAll(body, "REFRESH", living)
		r := w.send("/oauth2/token", body, "Authorization", basic("app", "secret of app"))
		if r.Code != http.StatusOK {
			codes := []string{"invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "invalid_target", "unauthorized_client", "unsupported_grant_type"}
			if !slices.Contains(codes, r.text("error")) {
				t.Fatalf("%d %s", r.Code, r.Body)
			}
			w.want(r, r.Code, r.text("error"))
			return
		}
		form, err := url.ParseQuery(body)
		if err != nil {
			t.Fatalf("a malformed form is served: %v", err)
		}
		for name, values := range form {
			if len(values) != 1 && name != "audience" {
				t.Fatalf("%s is given %d times", name, len(values))
			}
		}
		claims, subject := part(t, r.text("access_token"), 1), "app"
		switch form.Get("grant_type") {
		case "client_credentials":
		case "password":
			if subject = ada; form.Get("username") != "ada" || form.Get("password") != "password of ada" {
				t.Fatal("a wrong password is served")
			}
		case "refresh_token":
			if subject = ada; form.Get("refresh_token") != living {
				t.Fatal("a refresh token that nobody has is served")
			}
		default:
			t.Fatalf("the grant type %q is served", form.Get("grant_type"))
		}
		if claims["sub"] != subject || claims["client_id"] != "app" || claims["iss"] != issuer {
			t.Fatalf("claims %v", claims)
		}
		for _, scope := range strings.Fields(r.text("scope")) {
			if !within(scope, held) || (form.Get("scope") != "" && !within(scope, strings.Fields(form.Get("scope")))) {
				t.Fatalf("scope %s is granted", scope)
			}
		}
		for _, audience := range claims["aud"].([]any) {
			if audience != issuer+"/runtime" && audience != issuer+"/management" {
				t.Fatalf("audience %v", audience)
			}
		}
		if !w.live(r.text("access_token")) {
			t.Fatal("the token is dead")
		}
	})
}

// within reports whether one of these scopes covers a scope, as DESIGN says it: by segments, and * for all.
func within(scope string, all []string) bool {
	resource, action, _ := strings.Cut(scope, ":")
	return slices.ContainsFunc(all, func(wide string) bool {
		r, a, _ := strings.Cut(wide, ":")
		return (r == "*" || r == resource || strings.HasPrefix(resource, r+"/")) && (a == "*" || a == action)
	})
}

// FuzzBearer: a token whose header is not the server's own, or whose signature is not the right one in its one spelling, is
// nobody. One that the server's key did sign is somebody only if its claims name a living application or user, and now. KID in a header
// is the key's id; SIGNED in a signature is the right one.
func FuzzBearer(f *testing.F) {
	const ada = "0193d4c2-7f00-7000-8000-0000000000aa"
	w := newWorld(f)
	w.application("app", []string{"ledger:read"})
	w.application("off", nil, func(a *storage.Application) { a.IsActive = false })
	w.user(ada, "ada", []string{"ledger:read"})
	own := strings.Split(w.machine("app").text("access_token"), ".")
	kid, key := signingKey(f, w)
	mint := func(head, payload, signature string) string {
		signed := head + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		sum := sha256.Sum256([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			w.tb.Fatal(err)
		}
		right := make([]byte, 64)
		r.FillBytes(right[:32])
		s.FillBytes(right[32:])
		return signed + "." + strings.ReplaceAll(signature, "SIGNED", base64.RawURLEncoding.EncodeToString(right))
	}
	payload, err := base64.RawURLEncoding.DecodeString(own[1])
	if err != nil || !w.live(mint(own[0], string(payload), "SIGNED")) {
		f.Fatalf("the server does not know its own signature: %v", err)
	}
	api := w.server.Authenticator(true)
	f.Fuzz(func(t *testing.T, header, payload, signature string) {
		w.tb = t
		head := base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(header, "KID", kid)))
		token := mint(head, payload, signature)
		caller, err := w.server.Token(t.Context(), token)
		if err != nil && !errors.Is(err, enforce.ErrUnauthenticated) {
			t.Fatal(err)
		}
		request := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
		request.Header.Set("Authorization", bearer(token))
		if _, again := api.Authenticate(t.Context(), request); (again == nil) != (err == nil) || (again != nil && !isRefusal(again)) {
			t.Fatalf("the API says %v, and the server %v", again, err)
		}
		if err != nil {
			return
		}
		if head != own[0] || signature != "SIGNED" {
			t.Fatalf("accepted: header %q, signature %q", header, signature)
		}
		var c struct {
			Issuer    string   `json:"iss"`
			Subject   string   `json:"sub"`
			ClientID  string   `json:"client_id"`
			Audience  []string `json:"aud"`
			ExpiresAt int64    `json:"exp"`
			NotBefore int64    `json:"nbf"`
			ID        string   `json:"jti"`
		}
		if err := json.Unmarshal([]byte(payload), &c); err != nil {
			t.Fatal(err)
		}
		now := w.now().Unix()
		switch {
		case c.Issuer != issuer, len(c.Audience) == 0, c.ID == "", now >= c.ExpiresAt, c.NotBefore > now+5:
			t.Fatalf("accepted: %s", payload)
		case c.ClientID != "app", c.Subject != "app" && c.Subject != ada:
			t.Fatalf("accepted: %s", payload)
		case caller.ID != c.Subject, caller.ClientID != c.ClientID, caller.UserToken != (c.Subject == ada), !caller.Scoped, caller.Basic:
			t.Fatalf("%s stands for %+v", payload, caller)
		}
	})
}

// signingKey is the key with which the world's server signs access tokens, as its sealer wrote it down.
func signingKey(tb testing.TB, w *world) (kid string, private *ecdsa.PrivateKey) {
	tb.Helper()
	records, err := storage.List[storage.Key](tb.Context(), w.store.Store, storage.Query{
		Equal: map[string][]string{"ring": {"access"}}, Limit: 100,
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, record := range records {
		if record.Algorithm != string(jose.ES256) || record.State != "active" {
			continue
		}
		var box sealed
		var stored jose.JSONWebKey
		if err := errors.Join(json.Unmarshal(record.Sealed, &box), json.Unmarshal(box.Plain, &stored)); err != nil {
			tb.Fatal(err)
		}
		return record.ID, stored.Key.(*ecdsa.PrivateKey)
	}
	tb.Fatal("there is no key that signs")
	return "", nil
}
