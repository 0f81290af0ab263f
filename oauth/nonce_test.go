package oauth_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// settled opens the rules with settings of an operator.
func settled(tb testing.TB, settings string) change {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "settings"), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "settings", "data.yaml"), []byte(settings), 0o600); err != nil {
		tb.Fatal(err)
	}
	pdp, err := policies.Open(tb.Context(), policies.Config{Dir: dir, Now: time.Now, Deadline: 5 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	return func(e *enforce.Config, o *oauth.Config) { e.PDP, o.PDP = pdp, pdp }
}

func (w *world) nonce(off time.Duration) []string {
	return []string{"timestamp_nonce", strconv.FormatInt(w.now().Add(off).Unix(), 10)}
}

// wantReplayed fails unless the reply is that of a nonce that is not taken.
func (w *world) wantReplayed(r reply) {
	w.tb.Helper()
	w.want(r, http.StatusBadRequest, "invalid_request")
	if !strings.Contains(r.text("error_description"), "replayed") {
		w.tb.Fatalf("the reply does not say why: %s", r.Body)
	}
}

func TestSeedG15ANonceIsTakenOnceAndInItsWindow(t *testing.T) {
	w := peopled(t)
	w.application("a", nil)
	w.application("b", nil)

	w.want(w.machine("a", w.nonce(0)...), http.StatusOK, "")
	w.wantReplayed(w.machine("a", w.nonce(0)...))
	w.want(w.machine("b", w.nonce(0)...), http.StatusOK, "") // once per application
	w.want(w.machine("a"), http.StatusOK, "")                // and optional
	w.want(w.machine("a"), http.StatusOK, "")
	w.want(w.machine("a", "timestamp_nonce", ""), http.StatusOK, "") // an empty parameter is none (RFC 6749, section 3.2)
	w.want(w.person("portal", "ada", w.nonce(0)...), http.StatusOK, "")
	w.wantReplayed(w.person("portal", "ada", w.nonce(0)...))

	const window = 300 * time.Second // as the shipped settings have it
	for _, edge := range []time.Duration{-window, window} {
		w.want(w.machine("a", w.nonce(edge)...), http.StatusOK, "")
		w.wantReplayed(w.machine("a", w.nonce(edge)...))
		w.wantReplayed(w.machine("a", w.nonce(edge+edge/window*time.Second)...))
	}
	w.wantReplayed(w.machine("a", "timestamp_nonce", "0"))
	for _, bad := range []string{
		"now", "1.5", "-1", "+1", "1e9", " 1", "01", "0x10", "1 ", "253402300800", strings.Repeat("9", 30), "1\u0661",
	} {
		r := w.want(w.machine("a", "timestamp_nonce", bad), http.StatusBadRequest, "invalid_request")
		if strings.Contains(r.text("error_description"), "replayed") {
			t.Errorf("%q counts as replayed: %s", bad, r.Body)
		}
	}

	// A restart remembers, and so does a clock that went on: what is out of the window needs no memory.
	used := w.nonce(0)
	w.build()
	w.wantReplayed(w.machine("a", used...))
	w.advance(window)
	w.wantReplayed(w.machine("a", used...))
	w.advance(time.Second)
	w.wantReplayed(w.machine("a", used...))
}

// A request that gets nothing spends no nonce, and where the store cannot say whether one was used, nothing is issued.
func TestSeedG15ANonceIsSpentByWhatIsIssuedAlone(t *testing.T) {
	w := newWorld(t)
	w.application("a", nil, func(a *storage.Application) { a.Scopes = []string{"ledger:read"} })
	nonce := w.nonce(0)
	w.want(w.send("/oauth2/token", "grant_type=client_credentials&timestamp_nonce="+nonce[1], "Authorization", basic("a", "wrong")),
		http.StatusUnauthorized, "invalid_client")
	w.want(w.machine("a", append(nonce, "scope", "jobs:read")...), http.StatusBadRequest, "invalid_scope")
	w.store.down.Store(true)
	r := w.want(w.machine("a", nonce...), http.StatusServiceUnavailable, "temporarily_unavailable")
	if r.Header().Get("Retry-After") == "" {
		t.Error("an outage says when to come again")
	}
	w.store.down.Store(false)
	w.want(w.machine("a", nonce...), http.StatusOK, "")
	w.wantReplayed(w.machine("a", nonce...))
}

func TestSeedG15OfManyUsesAtOnceOneWins(t *testing.T) {
	w := newWorld(t)
	w.application("a", nil)
	for round := range 4 {
		nonce := w.nonce(time.Duration(round) * time.Second)
		replies := make([]reply, 16)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range replies {
			all.Go(func() {
				<-begin
				replies[i] = w.machine("a", nonce...)
			})
		}
		close(begin)
		all.Wait()
		won := 0
		for _, r := range replies {
			if r.Code == http.StatusOK {
				won++
				continue
			}
			w.wantReplayed(r)
		}
		if won != 1 {
			t.Fatalf("round %d: %d uses won, want one", round, won)
		}
	}
}

func TestSeedG15PolicyDataDemandsANonce(t *testing.T) {
	w := newWorld(t, settled(t, "token: {nonce_required: true, nonce_window_seconds: 30}\n"))
	w.application("a", nil)
	w.wantReplayed(w.machine("a"))
	w.wantReplayed(w.machine("a", w.nonce(31*time.Second)...))
	w.wantReplayed(w.machine("a", w.nonce(-31*time.Second)...))
	w.want(w.machine("a", w.nonce(30*time.Second)...), http.StatusOK, "")
}

// byPassword is a login with an application's own id and secret.
func (w *world) byPassword(front, id, secret string) reply {
	w.tb.Helper()
	return w.token(front, "grant_type", "password", "username", id, "password", secret)
}

func TestSeedG14ApplicationsLogInWherePolicyDataSaysSo(t *testing.T) {
	const chosen = "secret of a"
	made := madeSecret(7)
	furnish := func(w *world) {
		w.application("front", nil, bothGrants)
		w.application("a", []string{"ledger:read"}, bothGrants)
		w.application("made", []string{"ledger:read"}, bothGrants, func(a *storage.Application) { a.Secrets[0].Verifier = verifier(made) })
		w.application("plain", nil, func(a *storage.Application) { a.Secrets[0].Verifier = verifier(made) })
	}

	w := newWorld(t)
	furnish(w)
	w.want(w.byPassword("front", "made", made), http.StatusBadRequest, "unauthorized_client")
	w.want(w.machine("a"), http.StatusOK, "")

	w = newWorld(t, settled(t, "token: {application_password: true}\n"))
	furnish(w)
	r := w.want(w.byPassword("front", "made", made), http.StatusOK, "")
	claims := part(t, r.text("access_token"), 1)
	if claims["sub"] != "made" || claims["client_id"] != "made" || claims["sid"] != nil || r.text("refresh_token") != "" || r.text("scope") != "ledger:read" {
		t.Errorf("the token is not the application's own: %v %s", claims, r.Body)
	}
	for name, pair := range map[string][2]string{
		"a wrong secret":                     {"made", madeSecret(8)},
		"one that does not list the grant":   {"plain", made},
		"nobody":                             {"none", made},
		"a text that is no secret of its":    {"made", "a password of a person"},
		"the secret of another, well chosen": {"made", chosen},
	} {
		t.Run(name, func(t *testing.T) {
			w.tb = t
			w.want(w.byPassword("front", pair[0], pair[1]), http.StatusBadRequest, "invalid_grant")
		})
	}
	w.tb = t
	w.application("made", nil, bothGrants, func(a *storage.Application) { a.Secrets[0].Verifier, a.IsActive = verifier(made), false })
	w.want(w.byPassword("front", "made", made), http.StatusBadRequest, "invalid_grant")
	w.want(w.send("/oauth2/token", "grant_type=client_credentials", "Authorization", basic("made", made)), http.StatusUnauthorized, "invalid_client")
}

// madeSecret has the form of a secret that the server made.
func madeSecret(n int) string { return "writ_cs_" + strings.Repeat(strconv.Itoa(n), 49) }
