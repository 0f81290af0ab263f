package oauth_test

import (
	"net/http"
	"strings"
	"testing"
)

// Whatever arrives as header and body is answered with RFC 6749's words, and nothing but the right secret gets a token.
func FuzzTokenRequest(f *testing.F) {
	w := newWorld(f)
	w.application("app", []string{"ledger:read"})
	for _, header := range []string{"", "Basic YXBwOng=", "Basic !!!", "bAsIc YTpi", "Bearer x", "Basic JSU6JSU="} {
		for _, body := range []string{
			"grant_type=client_credentials", "grant_type=client_credentials&client_id=app",
			"grant_type=client_credentials&client_id=app&client_secret=x",
			"grant_type=%zz", "a;b", "scope=a&scope=b", "grant_type=password&username=a&password=b", "\xff", "audience=a&audience=b&tenant=*",
		} {
			f.Add(header, body)
		}
	}
	f.Fuzz(func(t *testing.T, header, body string) {
		w.tb = t // fuzz targets of one process run one after another
		r := w.send("/oauth2/token", body, "Authorization", header)
		switch r.text("error") {
		case "invalid_request", "invalid_client", "invalid_scope", "invalid_target", "unauthorized_client", "unsupported_grant_type":
			w.want(r, r.Code, r.text("error"))
			if r.Code != http.StatusBadRequest && r.Code != http.StatusUnauthorized && r.Code != http.StatusRequestEntityTooLarge {
				t.Fatalf("%d %s", r.Code, r.Body)
			}
		default:
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	})
}

// No text but the token itself is the token.
func FuzzToken(f *testing.F) {
	w := newWorld(f)
	w.application("app", []string{"ledger:read"})
	good := w.machine("app").text("access_token")
	f.Add(good + "=")
	f.Add(good[:len(good)-2])
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := w.server.Token(t.Context(), token); (err == nil) != (token == good) {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// A sealed token has one spelling, and nothing that is not made here costs a read.
func FuzzSealedToken(f *testing.F) {
	w := newWorld(f)
	good := w.opaqueToken()
	kid, key := w.secretKey("opaque")
	for _, seed := range []string{
		good, good + "=", good + "A", good + "AA", good[:len(good)-1], good[:13], good[:12], "sat_", "sat_" + kid, "sat__", "SAT" + good[3:],
		"sat_00000000" + good[12:], good[:13] + "\n" + good[13:], good[:30] + "A" + good[31:], good + good, " " + good,
		sealedBy(f, key, kid, "", []byte("{}")), sealedBy(f, make([]byte, 32), kid, "sat_"+kid+"_", []byte("{}")),
		good[:13] + strings.Repeat("A", 54), good[:13] + strings.Repeat("A", 16<<10),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		before := w.store.calls.Load()
		if _, err := w.server.Token(t.Context(), token); (err == nil) != (token == good) {
			t.Fatalf("%q: %v", token, err)
		}
		if calls := w.store.calls.Load() - before; calls != 0 {
			t.Fatalf("%q: %d store calls", token, calls)
		}
	})
}
