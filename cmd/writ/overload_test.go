package main_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	writ "github.com/writ-authz/writ/cmd/writ"
	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// gated is a gate with a queue of 64 for each of two cores, and what it is told of them.
type gated struct {
	*writ.Gate
	t        *testing.T
	runnable int64
	log      bytes.Buffer
	others   func() // what happens while a request lets others go first
}

func newGated(t *testing.T, queue int) *gated {
	g := &gated{t: t, others: func() {}}
	g.Gate = writ.NewGate(queue, func() (int64, int64) { return g.runnable, 2 }, func() { g.others() },
		slog.New(slog.NewTextHandler(&g.log, nil)))
	return g
}

// look takes n looks at so much that waits, while so many requests come.
func (g *gated) look(n int, runnable int64, requests int) {
	g.t.Helper()
	g.runnable = runnable
	for range n {
		g.Look(g.t.Context(), 1)
		for range requests {
			if !g.Admit(writ.Decisions) {
				g.t.Fatal("a request that comes alone is turned away")
			}
		}
	}
}

// atOnce is how many of n requests that come at the same moment are served.
func (g *gated) atOnce(n int, c writ.Class) (served int) {
	come := 0
	all := func() {
		for come < n {
			come++
			if g.Admit(c) {
				served++
			}
		}
	}
	g.others = all
	all()
	g.others = func() {}
	return served
}

func (g *gated) want(overloaded bool, when string) {
	g.t.Helper()
	if g.Overloaded() != overloaded {
		g.t.Errorf("overloaded is %v %s", !overloaded, when)
	}
}

func TestABurstThatDrainsIsServed(t *testing.T) {
	g := newGated(t, 64)
	for range 20 {
		g.look(10, 1000, 100)
		g.look(1, 128, 100) // as much as may wait
	}
	g.want(false, "between bursts")
	g.look(10_000, 1000, 0)
	g.look(511, 1000, 1)
	g.want(false, "in a process that gets no core, before a burst could have drained")
	g.look(2, 1000, 1)
	g.want(true, "when the queue has lasted")
	if g.TurnedAway() != 0 {
		t.Errorf("%d turned away", g.TurnedAway())
	}
}

func TestInAnOverloadAFewOfEachClassWait(t *testing.T) {
	g := newGated(t, 64)
	if served := g.atOnce(5000, writ.Decisions); served != 5000 {
		t.Errorf("%d of 5000 are served while all is well", served)
	}
	g.look(11, 129, 100)
	g.want(true, "after the queue has lasted")
	if served := g.atOnce(500, writ.Decisions); served != 6 {
		t.Errorf("%d of 500 at once are served, want a twentieth of the queue of two cores", served)
	}
	g.others = func() { // who comes while a flood of decisions waits
		g.others = func() {}
		for class, want := range map[writ.Class]int{writ.Exempt: 500, writ.Tokens: 6, writ.Management: 6} {
			if served := g.atOnce(500, class); served != want {
				t.Errorf("%d of 500 of %s are served, want %d", served, class, want)
			}
		}
	}
	g.Admit(writ.Decisions)
	if want := int64(3 * (500 - 6)); g.TurnedAway() != want {
		t.Errorf("%d turned away, want %d", g.TurnedAway(), want)
	}
	if served := g.atOnce(6, writ.Decisions); served != 6 {
		t.Errorf("%d of 6 are served: places are lost", served)
	}
}

func TestAnOverloadEndsWhenTheCoresKeepUp(t *testing.T) {
	g := newGated(t, 64)
	for range 2 {
		g.look(11, 1000, 100)
		g.want(true, "after the queue has lasted")
		for range 10 {
			g.look(24, 2, 1)
			g.look(76, 3, 1)
			g.want(true, "while more waits than there are cores, at three looks of four")
		}
		for range 25 { // bursts with nothing between them
			g.want(true, "before a quarter of the looks saw nothing wait")
			g.atOnce(7, writ.Decisions)
			g.look(1, 0, 1)
		}
		g.want(false, "whatever was turned away")
		if served := g.atOnce(500, writ.Decisions); served != 500 {
			t.Errorf("%d of 500 are served after the overload", served)
		}
		g.look(10, 1000, 100)
		g.want(false, "before the queue has lasted again")
		g.look(1, 0, 0)
	}
	if lines := strings.Count(g.log.String(), "\n"); lines != 4 || strings.Count(g.log.String(), "turned_away=25") != 2 {
		t.Errorf("the log has %d lines, want one for each beginning and each end:\n%s", lines, &g.log)
	}
}

func TestASmallQueueKeepsAPlace(t *testing.T) {
	g := newGated(t, 1)
	g.look(11, 3, 1)
	g.want(true, "with a queue of one")
	if served := g.atOnce(5, writ.Tokens); served != 1 {
		t.Errorf("%d of 5 are served, want 1", served)
	}
}

// TestTheRuntimeTellsWhatWaits: the figure that the gate goes by is there, and is what it is taken for.
func TestTheRuntimeTellsWhatWaits(t *testing.T) {
	const many = 200
	load := writ.RuntimeLoad()
	var over atomic.Bool
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			for !over.Load() {
				runtime.Gosched()
			}
		})
	}
	most := int64(0)
	for range 1000 {
		runnable, cores := load()
		if int(cores) != runtime.GOMAXPROCS(0) {
			t.Fatalf("%d cores, want %d", cores, runtime.GOMAXPROCS(0))
		}
		if most = max(most, runnable); most > many/2 {
			break
		}
		runtime.Gosched()
	}
	over.Store(true)
	all.Wait()
	if most <= many/2 {
		t.Errorf("at most %d waited while %d could run", most, many)
	}
}

func TestWhatIsTurnedAwayIsNotReadAndNotLogged(t *testing.T) {
	g := newGated(t, 1)
	g.look(11, 1000, 1)
	var log bytes.Buffer
	served := 0
	var handler http.Handler
	ask := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, unreadable{t})
		r.Header.Set("X-Request-ID", "mine")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	handler = writ.Gated(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }), g.Gate,
		slog.New(slog.NewTextHandler(&log, nil)), time.Now)
	g.others = func() {
		g.others = func() { t.Error("what is exempt or turned away lets nobody go first") }
		w := ask("/access/v1/evaluation")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("X-Request-ID") != "mine" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if w := ask("/livez"); w.Code != http.StatusOK {
			t.Errorf("/livez: %d", w.Code)
		}
	}
	if w := ask("/access/v1/evaluation"); w.Code != http.StatusOK {
		t.Errorf("the first: %d", w.Code)
	}
	if lines := strings.Count(log.String(), "\n"); served != 2 || lines != 2 {
		t.Errorf("%d served, want 2; %d lines, want 2:\n%s", served, lines, &log)
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) { u.t.Error("a body is read"); return 0, io.EOF }

func TestWhatIsExemptAndWhatSharesPlaces(t *testing.T) {
	for _, row := range []struct {
		listener, path string
		want           writ.Class
	}{
		{"public", "/livez", writ.Exempt},
		{"admin", "/readyz", writ.Exempt},
		{"admin", "/metrics", writ.Exempt},
		{"public", "/.well-known/jwks.json", writ.Exempt},
		{"public", "/.well-known/oauth-authorization-server", writ.Exempt},
		{"public", "/.well-known/authzen-configuration", writ.Exempt},
		{"public", "/access/v1/evaluation", writ.Decisions},
		{"public", "/v1/data/apps/helpdesk/permit", writ.Decisions},
		{"public", "/v1/permissions", writ.Decisions},
		{"public", "/forward-auth", writ.Decisions},
		{"public", "/nothing/here", writ.Decisions},
		{"public", "/lerian/v1/authorize", writ.Decisions},
		{"lerian public", "/v1/auth/me", writ.Decisions},
		{"public", "/oauth2/token", writ.Tokens},
		{"public", "/oauth2/introspect", writ.Tokens},
		{"public", "/connect/token", writ.Tokens},
		{"public", "/oauth2/revoke", writ.Management},
		{"public", "/oauth2/sessions/end", writ.Management},
		{"public", "/v1/me/sessions", writ.Management},
		{"public", "/v1/users", writ.Management}, // where the listeners are one
		{"admin", "/v1/users", writ.Management},
		{"admin", "/nothing", writ.Management},
		{"hantera admin", "/resources/x", writ.Management},
	} {
		if got := writ.ClassOf(row.listener, row.path); got != row.want {
			t.Errorf("%s %s: %s, want %s", row.listener, row.path, got, row.want)
		}
	}
}

// TestEveryDialectSaysThatItIsOverloaded: on each row of each dialect a native 503 is a 503 that says when to come back.
func TestEveryDialectSaysThatItIsOverloaded(t *testing.T) {
	for _, dialect := range writ.BuiltDialects() {
		m := &dialects.Mounted{Dialect: dialect, Base: "/there", Native: map[dialects.Plane]http.Handler{
			dialects.Public: http.NotFoundHandler(), dialects.Admin: http.NotFoundHandler(),
		}, Now: time.Now}
		for _, row := range dialect.Routes {
			path := "/there" + strings.NewReplacer("{", "", "}", "", "...", "").Replace(row.Path)
			w := httptest.NewRecorder()
			m.Refuse(w, httptest.NewRequest(row.Method, path, unreadable{t}), func(native http.ResponseWriter) {
				native.Header().Set("Retry-After", "1")
				native.Header().Set("Content-Type", "application/problem+json")
				native.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(native, `{"code":"overloaded","detail":"later"}`)
			})
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s: %s %s: %d %v %s", dialect.Name, row.Method, row.Path, w.Code, w.Header(), w.Body)
			}
		}
	}
}
