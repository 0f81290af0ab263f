package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flood is requests that are sent again and again, each by so many at once, until all of them have been turned away.
type flood struct {
	name  string
	hands int
	send  func(w *scenario)
	calm  int // the status that it has otherwise
	// shape holds a refusal to the language of its route.
	shape func(w *scenario)
	seen  atomic.Int64
}

// TestWhatCannotBeServedSoonIsTurnedAway floods a server of one core that lets one request wait, with questions that take long. Each kind
// of route turns away in its own language, before it knows who asks, and takes no decision. What needs none is served throughout, and
// when the flood ends everything is.
func TestWhatCannotBeServedSoonIsTurnedAway(t *testing.T) {
	env := dialectSettings("lerian")
	env["GOMAXPROCS"], env["WRIT_OVERLOAD_QUEUE"] = "1", "1"
	s := fresh(t, Options{Strict: true, Env: env})
	c := story(t, s).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	a := c.newApp(object{})
	root := c.auth
	c.done()
	many := make(list, 50)
	for i := range many {
		many[i] = question("user", u.ID, "read", "ledger", fmt.Sprint(i))
	}
	floods := []*flood{
		{
			name: "decisions", hands: 24, calm: 200,
			send:  func(w *scenario) { w.as(root).post("/access/v1/evaluations", object{"evaluations": many}) },
			shape: func(w *scenario) { w.wantNaming("there are more requests than can be served now") },
		},
		{
			name: "forward-auth", hands: 2, calm: 403,
			send:  func(w *scenario) { w.as(root).forward("GET", "/ledger") },
			shape: func(w *scenario) { w.wantProblem(503, "").want("/code", "overloaded").wantIdentity() },
		},
		{
			name: "a dialect", hands: 2, calm: 404,
			send: func(w *scenario) {
				w.as(root).onPublic().post("/lerian/v1/authorize", object{"sub": "x", "resource": "accounts", "action": "get"})
			},
			shape: func(w *scenario) { w.want("/code", "AUT-0008") },
		},
		{
			name: "tokens", hands: 12, calm: 200,
			send:  func(w *scenario) { w.ask(a, "grant_type", "client_credentials") },
			shape: func(w *scenario) { w.wantOAuthError(503, "temporarily_unavailable") },
		},
		{
			name: "management", hands: 12, calm: 200,
			send:  func(w *scenario) { w.as(root).get("/v1/users?limit=5") },
			shape: func(w *scenario) { w.wantProblem(503, "").want("/code", "overloaded") },
		},
		{
			name: "nobody", hands: 2, calm: 401,
			send:  func(w *scenario) { w.as("").get("/v1/users") },
			shape: func(w *scenario) { w.wantProblem(503, "").want("/code", "overloaded") },
		},
	}
	var over atomic.Bool
	var refused atomic.Int64
	var all sync.WaitGroup
	for _, f := range floods {
		for range f.hands {
			all.Go(func() {
				for !over.Load() {
					w := &scenario{t: t, s: s, next: http.Header{}}
					f.send(w)
					if w.err == nil && w.last.status == http.StatusServiceUnavailable {
						refused.Add(1)
						f.seen.Add(1)
						f.shape(w)
						if id := w.last.header.Get("Decision-Id"); w.err == nil && (id != "" || w.header("Retry-After") != "1") {
							w.fail("a refusal has the decision %q, and is to be tried again after %q", id, w.last.header.Get("Retry-After"))
						}
					} else {
						w.wantStatus(f.calm)
					}
					if w.err != nil {
						over.Store(true)
						w.expect(f.name)
					}
				}
			})
		}
	}
	missing := func() string {
		for _, f := range floods {
			if f.seen.Load() == 0 {
				return f.name
			}
		}
		return ""
	}
	most, looked := 0.0, 0
	for began := time.Now(); !over.Load() && (missing() != "" || looked < 5); looked++ {
		w := &scenario{t: t, s: s, next: http.Header{}}
		for _, path := range []string{"/livez", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"} {
			w.onPublic().get(path).wantStatus(200)
		}
		w.onAdmin().get("/livez").wantStatus(200)
		w.get("/readyz").wantStatus(200)
		most = max(most, w.metric("process_resident_memory_bytes"))
		w.expect("what is never turned away")
		if time.Since(began) > 2*time.Minute {
			t.Errorf("no request of %s is turned away", missing())
			break
		}
	}
	over.Store(true)
	all.Wait()
	for _, f := range floods {
		w := &scenario{t: t, s: s, next: http.Header{}}
		f.send(w)
		w.wantStatus(f.calm).expect(f.name + " after the flood")
	}
	turned := 0.0
	for _, of := range []string{"decisions", "tokens", "management"} {
		turned += c.metric(`writ_shed_total{of="` + of + `"}`)
	}
	if c.done(); turned != float64(refused.Load()) {
		t.Errorf("%.0f are said to be turned away, and %d were", turned, refused.Load())
	}
	for began := time.Now(); c.metric("writ_overloaded") != 0; time.Sleep(pollEvery) {
		if c.done(); time.Since(began) > time.Minute {
			t.Fatal("the overload does not end")
		}
	}
	c.done()
	log := s.text(s.stderr())
	begun, ended := strings.Count(log, "overload: what cannot be served"), strings.Count(log, "the overload is over")
	if begun == 0 || begun != ended {
		t.Errorf("the log has %d beginnings and %d ends of an overload", begun, ended)
	}
	if strings.Count(log, `"status":503`) != 0 {
		t.Error("what is turned away has lines in the log")
	}
	if most > 1<<30 {
		t.Errorf("the node takes %.0f MiB", most/(1<<20))
	}
}

// TestConnectionsThatSayNothingGiveWay: with a bound on connections, those that are open and say nothing keep nobody out.
func TestConnectionsThatSayNothingGiveWay(t *testing.T) {
	s := fresh(t, Options{Strict: true, Env: map[string]string{"WRIT_MAX_CONNECTIONS": "20"}})
	c := story(t, s).root()
	var silent []net.Conn
	for range 60 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.Public, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	// Whoever forwards connections, such as Docker, has them before the server has. Until it has them all it may close one of ours, too, while
	// that says nothing.
	for began := time.Now(); c.metric("writ_connections_closed_total") < 40 && time.Since(began) < time.Minute; time.Sleep(pollEvery) {
		c.done()
	}
	c.root()
	for range 5 {
		c.newApp(object{})
		c.decides(question("application", "root", "read", "ledger", "1"), true)
		c.onPublic().get("/livez").wantStatus(200)
	}
	c.done()
	for _, conn := range silent[:30] {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("one of the first connections is open: %v", err)
		}
	}
	if closed := c.metric("writ_connections_closed_total"); closed < 40 {
		t.Errorf("%.0f connections were closed, want 40 of 60 at the least", closed)
	}
	c.done()
}

// TestBoundsThatAreNone: with 0 nothing is turned away and no connection closed, and less is no setting.
func TestBoundsThatAreNone(t *testing.T) {
	binaryOnly(t)
	for _, key := range []string{"overload_queue", "max_connections"} {
		out := suite.runner.Command(t.Context(), Options{Env: map[string]string{"WRIT_" + strings.ToUpper(key): "-1"}}, "config", "validate")
		if out.Code == 0 || !strings.Contains(out.Stdout+out.Stderr, key) {
			t.Errorf("exit code %d: %s%s", out.Code, out.Stdout, out.Stderr)
		}
		out = suite.runner.Command(t.Context(), Options{Env: map[string]string{"WRIT_" + strings.ToUpper(key): "0"}}, "config", "validate")
		if out.Code != 0 {
			t.Errorf("exit code %d: %s%s", out.Code, out.Stdout, out.Stderr)
		}
	}
}
