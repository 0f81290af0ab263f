package oauth_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"os"
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

// refreshing is a world with an application of which people's logins are refreshed, and another one.
func refreshing(t *testing.T, changes ...change) *world {
	w := newWorld(t, changes...)
	for _, id := range []string{"portal", "other"} {
		w.application(id, nil, func(a *storage.Application) { a.GrantTypes = []string{"password", "refresh_token"} })
	}
	w.user(ada, "ada", []string{"ledger/accounts:read", "ledger/accounts:write"})
	return w
}

func (w *world) refresh(id, token string, pairs ...string) reply {
	w.tb.Helper()
	return w.token(id, append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

// login is a person's first reply, which has a refresh token.
func (w *world) login(pairs ...string) reply {
	w.tb.Helper()
	r := w.want(w.person("portal", "ada", pairs...), http.StatusOK, "")
	if !strings.HasPrefix(r.text("refresh_token"), "writ_rt_") {
		w.tb.Fatalf("no refresh token: %s", r.Body)
	}
	return r
}

// refreshed is a refresh that must succeed.
func (w *world) refreshed(token string, pairs ...string) reply {
	w.tb.Helper()
	r := w.want(w.refresh("portal", token, pairs...), http.StatusOK, "")
	if !w.live(r.text("access_token")) {
		w.tb.Fatal("the access token of a refresh is dead")
	}
	return r
}

func (w *world) sessionOf(r reply) *storage.Session {
	w.tb.Helper()
	session, err := storage.Get[storage.Session](w.tb.Context(), w.store, part(w.tb, r.text("access_token"), 1)["sid"].(string))
	if err != nil {
		w.tb.Fatal(err)
	}
	return session
}

func TestR01RefreshRotates(t *testing.T) {
	w := refreshing(t)
	first := w.login()
	calls := w.store.calls.Load()
	second := w.refreshed(first.text("refresh_token"))
	if got := w.store.calls.Load() - calls; got != 2 {
		t.Fatalf("a rotation costs %d store calls, want one read and one write", got)
	}
	if first.text("refresh_token") == second.text("refresh_token") || second.text("scope") != first.text("scope") {
		t.Fatalf("%s\n%s", first.Body, second.Body)
	}
	before, after := part(t, first.text("access_token"), 1), part(t, second.text("access_token"), 1)
	if before["sid"] != after["sid"] || before["sub"] != after["sub"] || before["jti"] == after["jti"] {
		t.Fatalf("%v\n%v", before, after)
	}
	w.advance(oauth.DefaultRefreshGrace)
	w.want(w.refresh("portal", first.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

// PO-06: a rotation is one write, whatever comes before or after it; a retry, a forged token and a stranger's cost none.
func TestPO06ARotationIsOneWrite(t *testing.T) {
	w := refreshing(t)
	writes := func(name string, want int64, act func()) {
		t.Helper()
		before := w.store.writes.Load()
		act()
		if got := w.store.writes.Load() - before; got != want {
			t.Errorf("%s: %d writes, want %d", name, got, want)
		}
	}
	token := w.login().text("refresh_token")
	writes("three rotations", 3, func() {
		for range 3 {
			token = w.refreshed(token, "scope", "ledger/accounts:read").text("refresh_token")
			w.advance(time.Minute)
		}
	})
	last := token
	writes("the last of them", 1, func() { token = w.refreshed(last).text("refresh_token") })
	writes("its retry", 0, func() { w.refreshed(last) })
	writes("a forged one", 0, func() { w.want(w.refresh("portal", token+"A"), http.StatusBadRequest, "invalid_grant") })
	writes("a stranger's", 0, func() { w.want(w.refresh("other", token), http.StatusBadRequest, "invalid_grant") })
	writes("a wider one", 0, func() {
		w.want(w.refresh("portal", token, "scope", "ledger/invoices:read"), http.StatusBadRequest, "invalid_scope")
	})
}

func TestRefreshKeepsTheTimeOfTheLogin(t *testing.T) {
	w := refreshing(t)
	login := w.now()
	token := w.login().text("refresh_token")
	w.advance(time.Hour)
	r := w.refreshed(token)
	caller, err := w.server.Token(t.Context(), r.text("access_token"))
	if err != nil || !caller.AuthTime.Equal(login) || !caller.UserToken {
		t.Fatalf("%+v %v", caller, err)
	}
	if iat := part(t, r.text("access_token"), 1)["iat"]; iat != float64(w.now().Unix()) {
		t.Fatalf("iat is %v (F-21)", iat)
	}
}

func TestRefreshTokenIsStoredAsHashOnly(t *testing.T) {
	w := refreshing(t, func(_ *enforce.Config, c *oauth.Config) { c.RefreshGrace = 0 })
	first := w.login()
	second := w.refreshed(first.text("refresh_token"))
	session := w.sessionOf(second)
	if session.Head == "" || session.Prev == "" || session.SealedSuccessor != nil || session.Generation != 1 {
		t.Fatalf("%+v", session)
	}
	for _, token := range []string{first.text("refresh_token"), second.text("refresh_token")} {
		for n, piece := range strings.Split(token, ".") {
			if n > 0 && (strings.Contains(session.Head+session.Prev, piece) || strings.Contains(w.logged.String(), piece)) {
				t.Fatal("a refresh token lies in the store or a log")
			}
		}
	}
}

func TestRefreshTokenComesIfTheDecisionSaysSo(t *testing.T) {
	w := refreshing(t)
	w.application("plain", nil, func(a *storage.Application) { a.GrantTypes = []string{"password"} })
	w.application("machine", nil, func(a *storage.Application) { a.GrantTypes = []string{"client_credentials", "refresh_token"} })
	w.user("018f4e7a-0000-7000-8000-000000000003", "tim", nil, func(i *policies.Identity) { i.TemporaryPassword = true })
	for name, r := range map[string]reply{
		"not listed": w.person("plain", "ada"), "T01 client_credentials": w.machine("machine"), "temporary": w.person("portal", "tim"),
	} {
		w.want(r, http.StatusOK, "")
		if _, there := r.JSON["refresh_token"]; there {
			t.Errorf("%s: %s", name, r.Body)
		}
	}
	w.want(w.refresh("plain", w.login().text("refresh_token")), http.StatusBadRequest, "unauthorized_client")
	w.want(w.token("portal", "grant_type", "refresh_token"), http.StatusBadRequest, "invalid_request")
}

func TestR02AndF15NarrowerScope(t *testing.T) {
	w := refreshing(t)
	first := w.login()
	narrow := w.refreshed(first.text("refresh_token"), "scope", "ledger/accounts:read")
	if narrow.text("scope") != "ledger/accounts:read" {
		t.Fatalf("scope %q", narrow.text("scope"))
	}
	if full := w.refreshed(narrow.text("refresh_token")); full.text("scope") != first.text("scope") {
		t.Fatalf("scope %q, at the login %q", full.text("scope"), first.text("scope"))
	}
}

func TestR03AndF15WiderScope(t *testing.T) {
	w := refreshing(t)
	token := w.login("scope", "ledger/accounts:read").text("refresh_token")
	for _, wider := range []string{
		"ledger/accounts:write", "ledger/accounts:read ledger/accounts:write", "ledger:read", "ledger/accounts:*", "nonsense",
	} {
		w.want(w.refresh("portal", token, "scope", wider), http.StatusBadRequest, "invalid_scope")
	}
	if r := w.refreshed(token); r.text("scope") != "ledger/accounts:read" {
		t.Fatalf("scope %q", r.text("scope"))
	}
	t.Run("audience", func(t *testing.T) {
		token := w.login("audience", issuer+"/runtime").text("refresh_token")
		w.want(w.refresh("portal", token, "audience", issuer+"/management"), http.StatusBadRequest, "invalid_target")
		if aud := part(t, w.refreshed(token).text("access_token"), 1)["aud"].([]any); !slices.Equal(aud, []any{issuer + "/runtime"}) {
			t.Fatalf("aud %v", aud)
		}
	})
}

func TestR04ReuseEndsTheSession(t *testing.T) {
	for name, reuse := range map[string]struct {
		grace time.Duration
		act   func(w *world, first, second string)
	}{
		"after the grace": {oauth.DefaultRefreshGrace, func(w *world, _, _ string) { w.advance(oauth.DefaultRefreshGrace) }},
		"once the successor was used": {oauth.DefaultRefreshGrace, func(w *world, _, second string) {
			w.refreshed(second)
		}},
		"without a grace": {0, func(*world, string, string) {}},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshing(t, func(_ *enforce.Config, c *oauth.Config) { c.RefreshGrace = reuse.grace })
			bystander := w.login()
			first := w.login()
			second := w.refreshed(first.text("refresh_token"))
			reuse.act(w, first.text("refresh_token"), second.text("refresh_token"))
			w.want(w.refresh("portal", first.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
			if w.live(first.text("access_token")) || w.live(second.text("access_token")) {
				t.Fatal("access tokens of the family live")
			}
			w.want(w.refresh("portal", second.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
			if want := "ok application:portal tokens:reuse sessions/" + w.sessionOf(first).ID; !slices.Contains(w.auditor.entries, want) {
				t.Fatalf("audit: %v", w.auditor.entries)
			}
			w.refreshed(bystander.text("refresh_token"))
		})
	}
	t.Run("ST10 after a restart", func(t *testing.T) {
		w := refreshing(t)
		first := w.login()
		second := w.refreshed(first.text("refresh_token"))
		w.build()
		w.refreshed(second.text("refresh_token"))
		w.want(w.refresh("portal", first.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
		if w.live(second.text("access_token")) {
			t.Fatal("the session lives")
		}
	})
	t.Run("without audit nothing ends and nothing is given", func(t *testing.T) {
		w := refreshing(t)
		first := w.login()
		second := w.refreshed(first.text("refresh_token"))
		w.advance(oauth.DefaultRefreshGrace)
		w.auditor.down = errors.New("full")
		w.want(w.refresh("portal", first.text("refresh_token")), http.StatusServiceUnavailable, "temporarily_unavailable")
		w.auditor.down = nil
		w.refreshed(second.text("refresh_token"))
	})
}

func TestR05RetryInsideTheGraceGetsTheSameSuccessor(t *testing.T) {
	w := refreshing(t)
	first := w.login()
	second := w.refreshed(first.text("refresh_token"))
	for _, later := range []time.Duration{0, oauth.DefaultRefreshGrace - time.Millisecond} {
		w.advance(later)
		retry := w.refreshed(first.text("refresh_token"))
		if retry.text("refresh_token") != second.text("refresh_token") || retry.text("access_token") == second.text("access_token") {
			t.Fatalf("%s\n%s", second.Body, retry.Body)
		}
	}
	if got := w.sessionOf(first).Generation; got != 1 {
		t.Fatalf("generation %d", got)
	}
	w.refreshed(second.text("refresh_token"))
}

func TestR06AndST11ForeignClient(t *testing.T) {
	w := refreshing(t)
	token := w.login().text("refresh_token")
	w.want(w.refresh("other", token), http.StatusBadRequest, "invalid_grant")
	second := w.refreshed(token)
	w.advance(time.Minute)
	w.want(w.refresh("other", token), http.StatusBadRequest, "invalid_grant") // would be reuse, but not of its owner
	w.refreshed(second.text("refresh_token"))
}

func TestR07AndF16ForgedTokensHarmNobodyAndCostNoRead(t *testing.T) {
	w := refreshing(t)
	token := w.login().text("refresh_token")
	head, mac, _ := strings.Cut(strings.TrimPrefix(token, "writ_rt_"), ".")
	body, mac, _ := strings.Cut(mac, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	forged := base64.RawURLEncoding.EncodeToString(raw)
	for name, bad := range map[string]string{
		"forged": "writ_rt_" + head + "." + forged + "." + mac, "truncated": token[:len(token)-1], "appended": token + "A",
		"another key": "writ_rt_00000000." + body + "." + mac, "no mac": "writ_rt_" + head + "." + body, "garbage": "garbage",
		"padded": token + "=", "huge": token + strings.Repeat("A", 4096), "access token": w.login().text("access_token"),
	} {
		calls := w.store.calls.Load()
		w.want(w.refresh("portal", bad), http.StatusBadRequest, "invalid_grant")
		if got := w.store.calls.Load() - calls; got != 0 {
			t.Errorf("%s: %d store calls (F-30)", name, got)
		}
	}
	w.refreshed(token)
}

// race uses one refresh token many times at once and returns the successors that came of it.
func (w *world) race(token string, parallel int) (successors []string, refusals int) {
	w.tb.Helper()
	replies := make([]reply, parallel)
	var all sync.WaitGroup
	for n := range parallel {
		all.Go(func() { replies[n] = w.refresh("portal", token) })
	}
	all.Wait()
	for _, r := range replies {
		switch {
		case r.Code == http.StatusOK:
			successors = append(successors, r.text("refresh_token"))
		case r.Code == http.StatusBadRequest && r.text("error") == "invalid_grant":
			refusals++
		default:
			w.tb.Fatalf("%d %s", r.Code, r.Body)
		}
	}
	return successors, refusals
}

func TestR08ParallelRefreshesGiveOneSuccessor(t *testing.T) {
	w := refreshing(t)
	r := w.login()
	successors, refusals := w.race(r.text("refresh_token"), 50)
	slices.Sort(successors)
	if refusals > 0 || len(slices.Compact(slices.Clone(successors))) != 1 || w.sessionOf(r).Generation != 1 {
		t.Fatalf("%d refusals, generation %d, successors %v", refusals, w.sessionOf(r).Generation, successors)
	}
	w.refreshed(successors[0])
}

// longVariable, set to 1, runs what takes minutes at full length.
const longVariable = "WRIT_TEST_LONG"

// TestRotationNeverForks is the history check of R08: in each generation one successor, and never two heads; then a reuse ends it all.
func TestRotationNeverForks(t *testing.T) {
	rounds := 20
	if os.Getenv(longVariable) == "1" {
		rounds = 1000
	}
	t.Logf("%d rounds of 16 refreshes at once; %s=1 makes it 1000", rounds, longVariable)
	w := refreshing(t)
	r := w.login()
	head := r.text("refresh_token")
	seen := map[string]bool{head: true}
	for round := range rounds {
		successors, refusals := w.race(head, 16)
		slices.Sort(successors)
		if successors = slices.Compact(successors); refusals > 0 || len(successors) != 1 || seen[successors[0]] {
			t.Fatalf("round %d: %d refusals, %d successors", round, refusals, len(successors))
		}
		head = successors[0]
		seen[head] = true
		if got := w.sessionOf(r).Generation; got != int64(round+1) {
			t.Fatalf("generation %d after round %d", got, round)
		}
	}
	w.want(w.refresh("portal", r.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
	w.want(w.refresh("portal", head), http.StatusBadRequest, "invalid_grant")
	if session := w.sessionOf(r); session.EndedAt == nil || session.EndedBy != storage.EndReuse || w.live(r.text("access_token")) {
		t.Fatal("the session survived a reuse")
	}
}

func TestST9WithoutGraceOneOfManyWins(t *testing.T) {
	w := refreshing(t, func(_ *enforce.Config, c *oauth.Config) { c.RefreshGrace = 0 })
	r := w.login()
	successors, refusals := w.race(r.text("refresh_token"), 16)
	if len(successors) > 1 || refusals < 15 || w.sessionOf(r).EndedAt == nil {
		t.Fatalf("%d successors, %d refusals, session %+v", len(successors), refusals, w.sessionOf(r))
	}
}

func TestR09RefreshSeesTheRightsOfNow(t *testing.T) {
	for name, row := range map[string]struct {
		change func(w *world)
		code   string
		scope  string
	}{
		"user suspended": {func(w *world) {
			w.user(ada, "ada", nil, func(i *policies.Identity) { i.Active = false })
		}, "invalid_grant", ""},
		"user outside the window": {func(w *world) {
			w.user(ada, "ada", nil, func(i *policies.Identity) { i.NotAfter = w.now() })
		}, "invalid_grant", ""},
		"user gone": {func(w *world) {
			w.directory.mu.Lock()
			defer w.directory.mu.Unlock()
			delete(w.directory.users, ada)
		}, "invalid_grant", ""},
		"tenant of the user disabled": {func(w *world) {
			w.user(ada, "ada", nil, func(i *policies.Identity) { i.TenantEnabled = false })
		}, "invalid_grant", ""},
		"password changed": {func(w *world) {
			w.directory.mu.Lock()
			defer w.directory.mu.Unlock()
			w.directory.users[ada].Epoch++
		}, "invalid_grant", ""},
		"role taken (ST17)": {func(w *world) { w.user(ada, "ada", []string{"ledger/accounts:read"}) }, "", "ledger/accounts:read"},
		"role given":        {func(w *world) { w.user(ada, "ada", []string{"*:*"}) }, "", "ledger/accounts:read ledger/accounts:write"},
		"nothing left":      {func(w *world) { w.user(ada, "ada", nil) }, "", ""},
		"application disabled (ST16)": {func(w *world) {
			w.application("portal", nil, func(a *storage.Application) {
				a.GrantTypes, a.IsActive = []string{"password", "refresh_token"}, false
			})
		}, "invalid_client", ""},
		"tokens of the application revoked": {func(w *world) {
			w.application("portal", nil, func(a *storage.Application) {
				a.GrantTypes, a.Epoch = []string{"password", "refresh_token"}, 1
			})
		}, "invalid_grant", ""},
		"application narrowed": {func(w *world) {
			w.application("portal", nil, func(a *storage.Application) {
				a.GrantTypes, a.Scopes = []string{"password", "refresh_token"}, []string{"ledger/accounts:write"}
			})
		}, "", "ledger/accounts:write"},
		"everything revoked (SJ10)": {func(w *world) { w.directory.global = 1 }, "invalid_grant", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshing(t)
			token := w.login().text("refresh_token")
			row.change(w)
			r := w.refresh("portal", token)
			if row.code == "invalid_client" {
				w.want(r, http.StatusUnauthorized, row.code)
				return
			}
			if row.code != "" {
				w.want(r, http.StatusBadRequest, row.code)
				return
			}
			if w.want(r, http.StatusOK, ""); r.text("scope") != row.scope {
				t.Fatalf("scope %q, want %q", r.text("scope"), row.scope)
			}
		})
	}
}

func TestR10SessionsEnd(t *testing.T) {
	lifetimes := func(_ *enforce.Config, c *oauth.Config) {
		c.RefreshTokenLifetime, c.SessionLifetime = 2*time.Hour, 5*time.Hour
	}
	t.Run("unused", func(t *testing.T) {
		w := refreshing(t, lifetimes)
		token := w.login().text("refresh_token")
		w.advance(2 * time.Hour)
		w.want(w.refresh("portal", token), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("used for ever", func(t *testing.T) {
		w := refreshing(t, lifetimes)
		token := w.login().text("refresh_token")
		for range 4 {
			w.advance(70 * time.Minute)
			r := w.refreshed(token)
			token = r.text("refresh_token")
			if exp := part(t, r.text("access_token"), 1)["exp"].(float64); int64(exp) > w.sessionOf(r).ExpiresAt.Unix() {
				t.Fatal("an access token outlives its session")
			}
		}
		w.advance(20 * time.Minute)
		w.want(w.refresh("portal", token), http.StatusBadRequest, "invalid_grant")
	})
}

func TestRefreshWithoutRotation(t *testing.T) {
	w := refreshing(t)
	still := false
	for id, method := range map[string]string{"still": "", "public": "none"} {
		w.application(id, nil, func(a *storage.Application) {
			a.GrantTypes, a.RefreshRotation, a.TokenEndpointAuthMethod = []string{"password", "refresh_token"}, &still, method
		})
	}
	first := w.want(w.person("still", "ada"), http.StatusOK, "").text("refresh_token")
	for range 3 {
		w.advance(20 * time.Hour) // each use puts off the end
		if r := w.want(w.refresh("still", first), http.StatusOK, ""); r.text("refresh_token") != first {
			t.Fatalf("%s", r.Body)
		}
	}
	login := []string{"client_id", "public", "grant_type", "password", "username", "ada", "password", "password of ada"}
	first = w.want(w.token("", login...), http.StatusOK, "").text("refresh_token")
	second := w.want(w.token("", "client_id", "public", "grant_type", "refresh_token", "refresh_token", first), http.StatusOK, "")
	if second.text("refresh_token") == first {
		t.Fatal("the refresh token of a public client did not change")
	}
}

func TestRefreshInAnOutage(t *testing.T) {
	w := refreshing(t)
	token := w.login().text("refresh_token")
	w.store.down.Store(true)
	r := w.want(w.refresh("portal", token), http.StatusServiceUnavailable, "temporarily_unavailable")
	if r.Header().Get("Retry-After") == "" {
		t.Fatalf("%v", r.Header())
	}
	w.store.down.Store(false)
	w.refreshed(token)
}
