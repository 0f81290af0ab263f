package oauth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func opaque(a *storage.Application) { a.TokenFormat = "opaque" }

// opaqueToken is one of the application "app", made here.
func (w *world) opaqueToken() string {
	w.tb.Helper()
	w.application("app", []string{"ledger:read"}, opaque)
	return w.want(w.machine("app"), http.StatusOK, "").text("access_token")
}

// secretKey is the one secret key of a ring, unsealed: what an attacker would like to have.
func (w *world) secretKey(ring string) (kid string, key []byte) {
	w.tb.Helper()
	records := w.keyRecords(ring)
	if len(records) != 1 {
		w.tb.Fatalf("%d keys of the ring %s", len(records), ring)
	}
	key, err := sealer{}.Open(records[0].Sealed, "key|"+ring+"|"+records[0].ID)
	if err != nil {
		w.tb.Fatal(err)
	}
	return records[0].ID, key
}

// sealedBy makes a token of the payload with any key, kid and associated data.
func sealedBy(tb testing.TB, key []byte, kid, associated string, payload []byte) string {
	tb.Helper()
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		tb.Fatal(err)
	}
	nonce := make([]byte, aead.NonceSize())
	return "sat_" + kid + "_" + base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, payload, []byte(associated)))
}

func TestJ02ClaimsOfAnOpaqueToken(t *testing.T) {
	w := newWorld(t)
	token := w.opaqueToken()
	if !regexp.MustCompile(`^sat_[0-9a-f]{8}_[A-Za-z0-9_-]+$`).MatchString(token) {
		t.Fatalf("form: %s", token)
	}
	if strings.Contains(token, base64.RawURLEncoding.EncodeToString([]byte("ledger:read"))) || !w.live(token) {
		t.Fatal("it is readable, or not accepted")
	}
	kid, key := w.secretKey("opaque")
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		t.Fatal(err)
	}
	head := "sat_" + kid + "_"
	sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, head))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := aead.Open(nil, sealed[:24], sealed[24:], []byte(head))
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	now := float64(w.now().Unix())
	for name, want := range map[string]any{
		"iss": issuer, "sub": "app", "client_id": "app", "scope": "ledger:read", "iat": now, "nbf": now, "exp": now + 3600,
	} {
		if claims[name] != want {
			t.Errorf("%s: want %v, got %v", name, want, claims[name])
		}
	}
	if got := texts(claims["aud"]); !slices.Equal(got, []string{issuer + "/runtime", issuer + "/management"}) {
		t.Errorf("aud: %v", got)
	}
	t.Run("no two are alike", func(t *testing.T) {
		again := w.machine("app").text("access_token")
		if again[:len(head)+32] == token[:len(head)+32] {
			t.Fatal("a nonce came twice")
		}
	})
	t.Run("it lives as long as it says and not longer", func(t *testing.T) {
		w.advance(3599e9)
		if !w.live(token) {
			t.Fatal("dead before its time")
		}
		w.advance(1e9)
		if w.live(token) {
			t.Fatal("alive after its time")
		}
	})
}

// otherAt is the token with another character at that place, whatever was there.
func otherAt(token string, n int) string {
	other := alphabet[(strings.IndexByte(alphabet, token[n])+1)%len(alphabet)]
	return token[:n] + string(other) + token[n+1:]
}

// S-T12 and F-30: what is not, bit for bit, a token that was made here is refused, and costs no read.
func TestST12ChangedOpaqueTokens(t *testing.T) {
	w := newWorld(t)
	good := w.opaqueToken()
	head, body := good[:13], good[13:]
	changed := map[string]string{
		"case of the prefix": "SAT" + good[3:], "case of the kid": "sat_" + strings.ToUpper(good[4:12]) + good[12:],
		"case of all": strings.ToUpper(good), "other case of all": strings.ToLower(good), "no body": head, "no kid": "sat__" + body,
		"only the prefix": "sat_", "kid of another length": "sat_" + good[5:], "no separator": good[:12] + "." + body,
		"other kid": "sat_00000000_" + body, "longer by a byte": good + "AA", "longer by bits": good + "A", "padding": good + "=",
		"twice": good + good, "line break": good + "\n", "line break inside": head + body[:8] + "\r\n" + body[8:],
		"space before": " " + good, "standard alphabet": head + strings.NewReplacer("-", "+", "_", "/").Replace(body) + "==",
		"with a header": "e30." + good, "as a JWT": good + "..", "nonce alone": head + base64.RawURLEncoding.EncodeToString(make([]byte, 24)),
		"nonce and tag": head + base64.RawURLEncoding.EncodeToString(make([]byte, 40)),
	}
	for n := 1; n < len(body); n++ {
		changed["cut by "+good[len(good)-n:]] = good[:len(good)-n]
	}
	for n := range good {
		changed["other character "+good[:n]] = otherAt(good, n)
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		flipped := slices.Clone(raw)
		flipped[bit/8] ^= 1 << (bit % 8)
		changed["bit "+string(rune('0'+bit%8))+good[:bit/8]] = head + base64.RawURLEncoding.EncodeToString(flipped)
	}
	if last := strings.IndexByte(alphabet, good[len(good)-1]); len(raw)%3 != 0 {
		changed["spare bits"] = good[:len(good)-1] + string(alphabet[last^1])
	}
	before := w.store.calls.Load()
	for name, token := range changed {
		if token != good && w.live(token) { // a kid of digits alone has no other case
			t.Errorf("%s: accepted", name)
		}
	}
	if calls := w.store.calls.Load() - before; calls != 0 {
		t.Fatalf("%d store calls for %d forged tokens", calls, len(changed))
	}
	if !w.live(good) {
		t.Fatal("the control is not accepted: the table proves nothing")
	}
	t.Run("at the introspection endpoint", func(t *testing.T) {
		w.tb = t
		for _, token := range []string{good[:len(good)-1], good + "AA", strings.ToLower(good), changed["case of the prefix"]} {
			r := w.introspect("app", token)
			if r.Code != http.StatusOK || strings.TrimSpace(r.Body.String()) != `{"active":false}` {
				t.Errorf("%d %s", r.Code, r.Body)
			}
		}
		if r := w.introspect("app", good); r.JSON["active"] != true {
			t.Fatalf("the control: %s", r.Body)
		}
	})
}

// A seal is of one type, one key and one ring.
func TestOpaqueTokensOfOtherKeys(t *testing.T) {
	w := newWorld(t)
	w.opaqueToken()
	now := w.now().Unix()
	payload, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": "app", "client_id": "app", "aud": []string{issuer + "/runtime"}, "iat": now, "nbf": now, "exp": now + 60,
		"jti": "forged", "scope": "ledger:read", "writ": map[string]any{"k": "s1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	kid, key := w.secretKey("opaque")
	refreshKid, refreshKey := w.secretKey("refresh")
	if !w.live(sealedBy(t, key, kid, "sat_"+kid+"_", payload)) {
		t.Fatal("the control is not accepted: the table proves nothing")
	}
	for name, token := range map[string]string{
		"no associated data":           sealedBy(t, key, kid, "", payload),
		"the kid alone":                sealedBy(t, key, kid, kid, payload),
		"another type":                 sealedBy(t, key, kid, "srt_"+kid+"_", payload),
		"another kid":                  sealedBy(t, key, kid, "sat_"+refreshKid+"_", payload),
		"the refresh key, its own kid": sealedBy(t, refreshKey, refreshKid, "sat_"+refreshKid+"_", payload),
		"the refresh key":              sealedBy(t, refreshKey, kid, "sat_"+kid+"_", payload),
		"a key of zeros":               sealedBy(t, make([]byte, 32), kid, "sat_"+kid+"_", payload),
		"another issuer": sealedBy(t, key, kid, "sat_"+kid+"_",
			[]byte(strings.Replace(string(payload), `"iss":"`+issuer, `"iss":"https://evil.example`, 1))),
		"no JSON": sealedBy(t, key, kid, "sat_"+kid+"_", []byte("sub=app")),
		"nothing": sealedBy(t, key, kid, "sat_"+kid+"_", nil),
	} {
		if w.live(token) {
			t.Errorf("%s: accepted", name)
		}
	}
}

// An opaque token has no row, and dies of all that a JWT dies of.
func TestOpaqueTokensWriteNothingAndEnd(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *world, string){
		"revoked": func(_ *testing.T, w *world, token string) { w.want(w.revoke("app", token), http.StatusOK, "") },
		"disabled": func(_ *testing.T, w *world, _ string) {
			w.application("app", nil, opaque, func(a *storage.Application) { a.IsActive = false })
		},
		"app's epoch": func(_ *testing.T, w *world, _ string) {
			w.application("app", nil, opaque, func(a *storage.Application) { a.Epoch++ })
		},
		"all revoked": func(_ *testing.T, w *world, _ string) { w.directory.global++ },
		"key retired": func(t *testing.T, w *world, _ string) {
			kid, _ := w.secretKey("opaque")
			w.insertKey(foreignKey(t, "opaque", "XC20P"))
			w.setState(kid, "retired")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.opaqueToken()
			before := w.store.calls.Load()
			token := w.machine("app").text("access_token")
			if !w.live(token) || w.store.calls.Load() != before {
				t.Fatalf("live %v, %d store calls", w.live(token), w.store.calls.Load()-before)
			}
			w.build() // and lives on over a restart
			if !w.live(token) {
				t.Fatal("a restart ended it")
			}
			if end(t, w, token); w.live(token) {
				t.Fatal("still accepted")
			}
			if r := w.introspect("app", token); r.JSON["active"] == true {
				t.Fatalf("introspection: %s", r.Body)
			}
		})
	}
}

// A policy chooses among the formats that there are, whatever the application says; anything else is no decision.
func TestThePolicyChoosesTheFormat(t *testing.T) {
	format := ""
	w := newWorld(t, decider(func(d *policies.Decision) error { d.Obligations.Format = format; return nil }))
	w.application("plain", nil)
	w.application("sealed", nil, opaque)
	for _, row := range []struct {
		app, format, prefix string
		status              int
	}{
		{"plain", "", "eyJ", http.StatusOK},
		{"plain", "jwt", "eyJ", http.StatusOK},
		{"plain", "opaque", "sat_", http.StatusOK},
		{"sealed", "", "sat_", http.StatusOK},
		{"sealed", "jwt", "eyJ", http.StatusOK},
		{"sealed", "opaque", "sat_", http.StatusOK},
		{"plain", "paseto", "", http.StatusServiceUnavailable},
		{"sealed", "JWT", "", http.StatusServiceUnavailable},
	} {
		format = row.format
		r := w.machine(row.app)
		if r.Code != row.status || !strings.HasPrefix(r.text("access_token"), row.prefix) || (row.prefix == "") != (r.text("access_token") == "") {
			t.Errorf("%s with %q: %d %s", row.app, row.format, r.Code, r.Body)
		}
	}
}

// The rules see the format that the application asks for and say it back.
func TestTheRulesSeeTheFormat(t *testing.T) {
	w := newWorld(t)
	w.application("sealed", []string{"ledger:read"}, opaque)
	if token := w.machine("sealed").text("access_token"); !strings.HasPrefix(token, "sat_") {
		t.Fatalf("token: %s", token)
	}
}
