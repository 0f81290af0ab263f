package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// bindsWithin bounds the wait for a change on one node to bind on another, and for an outage to be noticed or to end. What is
// promised of the first is publishedBound; a busy machine gets more time, and the time taken is printed.
const (
	bindsWithin    = 60 * time.Second
	publishedBound = time.Second
)

// startTogether starts the nodes of a cluster at the same moment.
func startTogether(t *testing.T, shares *cluster, options ...Options) []*Server {
	t.Helper()
	nodes, errs := make([]*Server, len(options)), make([]error, len(options))
	var all sync.WaitGroup
	for i, o := range options {
		o.Among = shares
		all.Go(func() { nodes[i], errs[i] = suite.runner.Start(t.Context(), o) })
	}
	all.Wait()
	for i, s := range nodes {
		if errs[i] != nil {
			t.Errorf("start node %d: %v", i, errs[i])
			continue
		}
		held(t, s)
	}
	if t.Failed() {
		t.FailNow()
	}
	return nodes
}

// TestNodesThatStartAtOnceAgree starts three nodes on an empty database, several times over: all come up, there is one root, and
// each accepts what another issued.
func TestNodesThatStartAtOnceAgree(t *testing.T) {
	onMongoDB(t)
	for round := range 3 {
		nodes := startTogether(t, newCluster(suite.db), Options{}, Options{}, Options{})
		var made []app
		for i, s := range nodes {
			c := story(t, s).root()
			c.step(fmt.Sprintf("round %d: node %d", round, i))
			c.get("/v1/applications").wantStatus(200).wantItems("id", "root")
			c.done()
		}
		for _, s := range nodes {
			made = append(made, story(t, s).root().newApp(object{"grants": grants("ledger:read")}))
		}
		for i, s := range nodes {
			token := story(t, s).token(made[i])
			for j, other := range nodes {
				c := story(t, other)
				c.step(fmt.Sprintf("round %d: a token of node %d on node %d", round, i, j))
				c.eventually(bindsWithin, func() { c.live(token) })
				c.get("/.well-known/jwks.json").wantStatus(200)
				if _, err := verify(token, c.last.value()); err != nil {
					c.fail("%v", err)
				}
				c.token(made[i])
				c.done()
			}
		}
	}
}

// TestAChangeOnOneNodeBindsOnAnother makes each kind of change on one node and looks for it on the other.
func TestAChangeOnOneNodeBindsOnAnother(t *testing.T) {
	onMongoDB(t)
	nodes := startTogether(t, newCluster(suite.db), Options{}, Options{})
	rounds := 4
	if os.Getenv(longVariable) == "1" {
		rounds = 10
	}
	t.Logf("%d rounds of each change; %s=1 makes it 10", rounds, longVariable)
	bindOn(t, nodes[0], nodes[1], rounds)
}

// bindOn makes each kind of change on one node, so many times, and looks for it on another. Nobody else uses the two; every token has ended
// after it.
func bindOn(t *testing.T, here, there *Server, rounds int) {
	t.Helper()
	for _, row := range []struct {
		name string
		// prepare makes what is changed and returns the change, what holds on the other node before it, and what after it.
		prepare func(a, b *scenario) (change, before, after func())
	}{
		{"an application is deleted", func(a, b *scenario) (change, before, after func()) {
			made := a.newApp(object{})
			token := a.token(made)
			return func() { a.delete("/v1/applications/" + made.ID).wantStatus(204) },
				func() { b.live(token) }, func() { b.dead(token) }
		}},
		{"a user is suspended", func(a, b *scenario) (change, before, after func()) {
			u := a.newUser(object{})
			token := a.login(a.front(), u)
			return func() { a.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200) },
				func() { b.live(token) }, func() { b.dead(token) }
		}},
		{"a session is ended", func(a, b *scenario) (change, before, after func()) {
			token := a.login(a.front(), a.newUser(object{}))
			return func() { a.as(bearer(token)).form("/oauth2/sessions/end", fields()).wantStatus(204) },
				func() { b.live(token) }, func() { b.dead(token) }
		}},
		{"a token is revoked", func(a, b *scenario) (change, before, after func()) {
			made := a.newApp(object{})
			token := a.token(made)
			return func() {
				a.with("Authorization", basic(made.ID, made.Secret)).form("/oauth2/revoke", fields("token", token)).wantStatus(200)
			}, func() { b.live(token) }, func() { b.dead(token) }
		}},
		{"a role loses a grant", func(a, b *scenario) (change, before, after func()) {
			role := a.newRole("ledger:read")
			u := a.newUser(object{"roles": list{role}})
			ask := func(want bool) func() {
				return func() { b.decides(question("user", u.ID, "read", "ledger", "1"), want) }
			}
			return func() { a.put("/v1/roles/"+role, object{"grants": grants("jobs:read")}).wantStatus(200) }, ask(true), ask(false)
		}},
		{"a secret is revoked", func(a, b *scenario) (change, before, after func()) {
			made := a.newApp(object{})
			a.post("/v1/applications/"+made.ID+"/secrets", object{"label": "second"}).wantStatus(201)
			second := app{ID: made.ID, Secret: a.text("/value"), SecretID: a.text("/id")}
			return func() { a.delete("/v1/applications/" + made.ID + "/secrets/" + second.SecretID).wantStatus(204) },
				func() { b.token(second) },
				func() { b.ask(second, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client") }
		}},
		{"a secret is revoked: its tokens, and no others", func(a, b *scenario) (change, before, after func()) {
			made := a.newApp(object{})
			a.post("/v1/applications/"+made.ID+"/secrets", object{"label": "second"}).wantStatus(201)
			second := app{ID: made.ID, Secret: a.text("/value"), SecretID: a.text("/id")}
			kept, gone := a.token(made), a.token(second)
			return func() { a.delete("/v1/applications/" + made.ID + "/secrets/" + second.SecretID).wantStatus(204) },
				func() { b.live(gone).live(kept) }, func() { b.dead(gone).live(kept) }
		}},
		{"an application's tokens are revoked", func(a, b *scenario) (change, before, after func()) {
			made := a.newApp(object{})
			token := a.token(made)
			return func() { a.delete("/v1/applications/" + made.ID + "/tokens").wantStatus(204) },
				func() { b.live(token) }, func() { b.dead(token) }
		}},
		{"a key is rotated at once", func(a, b *scenario) (change, before, after func()) {
			made, old, fresh := a.newApp(object{}), a.activeKey("access", "ES256"), ""
			return func() {
				a.post("/v1/keys", object{"ring": "access", "alg": "ES256", "now": true}).wantStatus(201)
				fresh = a.text("/kid")
			}, func() { b.signedBy(made, old) }, func() { b.live(b.signedBy(made, fresh)) }
		}},
		{"a key is retired", func(a, b *scenario) (change, before, after func()) {
			a.as(basic("root", a.s.Secret)) // a token of the old key ends with it
			made, old := a.newApp(object{}), a.activeKey("access", "ES256")
			token, fresh := "", ""
			return func() {
					a.delete("/v1/keys/" + old).wantStatus(204)
					fresh = a.activeKey("access", "ES256")
				}, func() { token = b.signedBy(made, old); b.live(token) },
				func() { b.dead(token); b.live(b.signedBy(made, fresh)) }
		}},
		{"every token is revoked", func(a, b *scenario) (change, before, after func()) { // last: root's cached ones, too
			a.as(basic("root", a.s.Secret))
			token := a.token(a.newApp(object{}))
			return func() { a.delete("/v1/tokens").wantStatus(204) }, func() { b.live(token) }, func() { b.dead(token) }
		}},
	} {
		var took []time.Duration
		for range rounds {
			a, b := story(t, here).root(), story(t, there).root()
			a.step(row.name)
			b.step(row.name + ", on the other node")
			change, before, after := row.prepare(a, b)
			a.done()
			b.eventually(bindsWithin, before)
			b.done()
			change()
			a.done()
			changed := time.Now()
			b.eventually(bindsWithin, after)
			b.done()
			took = append(took, time.Since(changed))
		}
		report(t, row.name, took)
	}
	clear(here.cache)
	clear(there.cache)
}

// TestI09IntrospectionOnAnotherNode disables an application and a user on one node and introspects on the other: the token is inactive
// there, and when the database is away for longer than the bound the other node does not know, and says so.
func TestI09IntrospectionOnAnotherNode(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	db := ownStandIn(t)
	bound := Options{Strict: true, Env: map[string]string{"WRIT_MAX_STALENESS": "2s"}}
	nodes := startTogether(t, newCluster(db), bound, bound)
	a, b := story(t, nodes[0]).root(), story(t, nodes[1])
	asker := a.newApp(object{"grants": grants("tokens:introspect")})
	front := a.refreshing()
	lives := func(token string, want bool) func() {
		return func() { b.introspect(asker, token).want("/active", want) }
	}
	const rounds = 10
	for _, disabled := range []string{"an application is disabled", "a user is disabled"} {
		var took []time.Duration
		for range rounds {
			a.step(disabled)
			b.step(disabled + ", on the other node")
			path, change := "", object{"is_active": false}
			var tokens []string
			if disabled == "a user is disabled" {
				u := a.newUser(object{})
				path, change = "/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}
				a.askLogin(front, u).wantStatus(200)
				tokens = []string{a.text("/access_token"), a.text("/refresh_token")}
			} else {
				made := a.newApp(object{})
				path, tokens = "/v1/applications/"+made.ID, []string{a.token(made)}
			}
			a.done()
			for _, token := range tokens {
				b.eventually(bindsWithin, lives(token, true))
			}
			a.patch(path, change).wantStatus(200)
			a.done()
			changed := time.Now()
			b.eventually(bindsWithin, lives(tokens[0], false))
			took = append(took, time.Since(changed))
			for _, token := range tokens {
				lives(token, false)()
			}
			b.done()
		}
		report(t, disabled, took)
	}

	a.step("the feed is cut")
	made := a.newApp(object{})
	token := a.token(made)
	a.done()
	b.step("the feed is cut, on the other node")
	b.eventually(bindsWithin, lives(token, true))
	b.done()
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	served := 0
	for b.err == nil && time.Since(ended) < bindsWithin {
		b.with("Authorization", basic(asker.ID, asker.Secret)).form("/oauth2/introspect", fields("token", token))
		if b.err == nil && b.last.status == 503 {
			break
		}
		b.wantStatus(200).want("/active", true) // what it knew a moment ago; never that the token is dead
		served++
		time.Sleep(pollEvery)
	}
	b.wantOAuthError(503, "temporarily_unavailable")
	b.header("Retry-After")
	t.Logf("%d introspections were served from memory, until %s after the database went", served, time.Since(ended).Round(time.Millisecond))
	if err := db.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.done()
	b.step("the feed is back")
	b.eventually(bindsWithin, func() {
		b.with("Authorization", basic(asker.ID, asker.Secret)).form("/oauth2/introspect", fields("token", token)).wantStatus(200).
			want("/active", true)
	})
}

// report prints a distribution, and how much of it lies beyond what is promised.
func report(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	beyond := len(took) - slices.IndexFunc(append(took, publishedBound+1), func(d time.Duration) bool { return d > publishedBound })
	t.Logf("%s: it bound on the other node after %s at the least, %s in the middle, %s at the most; %d of %d after more than %s",
		what, took[0].Round(time.Millisecond), took[len(took)/2].Round(time.Millisecond),
		took[len(took)-1].Round(time.Millisecond), beyond, len(took), publishedBound)
}

// TestTheFeedNeverSkips kills a node in the middle of its commits, which the database takes its time for, while another node
// follows: the other never misses a change and never sees a gap, and a node that starts afterwards says the same.
func TestTheFeedNeverSkips(t *testing.T) {
	onMongoDB(t)
	db := ownStandIn(t, "--delay-commit", "20ms", "--transaction-lifetime", "3s")
	shares := newCluster(db)
	nodes := startTogether(t, shares, Options{}, Options{})
	dying, following := nodes[0], nodes[1]
	for _, s := range nodes {
		s.guests = true // some requests are decided and logged, and their replies are cut off
	}
	for round := range 3 {
		acknowledged := writeUntilKilled(t, dying, following, 30)
		killed := time.Now()
		c := story(t, following).root()
		c.eventually(bindsWithin, func() {
			// What the dead node had under way is in the way of every change until the database gives it up: an outage, no denial.
			if c.newApp(object{}); c.last.status/100 == 5 {
				c.wantStatus(503)
				c.header("Retry-After")
			}
		})
		c.done()
		t.Logf("round %d: %d applications were acknowledged by the node that was killed; the other took a change %s later", round,
			len(acknowledged), time.Since(killed).Round(time.Millisecond))
		late := fresh(t, Options{Among: shares})
		for _, s := range []*Server{following, late} {
			c := story(t, s).root()
			for _, a := range acknowledged {
				c.eventually(bindsWithin, func() { c.token(a) })
				c.get("/v1/applications/" + a.ID).wantStatus(200)
				c.done()
			}
		}
		wantSameApplications(t, following, late)
		dying = late
		dying.guests = true
	}
	for line := range strings.Lines(following.text(following.stderr())) {
		var event struct{ Msg, Level string }
		if json.Unmarshal([]byte(line), &event) == nil && event.Msg == "change feed" && event.Level == "ERROR" {
			t.Errorf("the other node's feed failed: %s", line)
		}
	}
}

// writeUntilKilled lets writers on both nodes go on until the first has acknowledged n applications, kills that one in the middle of
// what it does, and returns what it acknowledged.
func writeUntilKilled(t *testing.T, dying, other *Server, n int) []app {
	t.Helper()
	auth := map[*Server]string{}
	for _, s := range []*Server{dying, other} {
		c := story(t, s).root()
		c.done()
		auth[s] = c.auth
	}
	var mu sync.Mutex
	var acknowledged []app
	var writers sync.WaitGroup
	enough, killed := make(chan struct{}), make(chan struct{})
	for i := range 6 {
		s := []*Server{dying, other}[i%2]
		writers.Go(func() {
			for {
				select {
				case <-killed:
					return
				default:
				}
				w := &scenario{t: t, s: s, next: http.Header{}, auth: auth[s]}
				a := w.newApp(object{})
				if s == dying && w.err != nil && w.last.status/100 != 5 {
					return // the node is gone
				}
				if w.err != nil || s != dying {
					continue // lost against the others too often, which is an outage and no denial
				}
				mu.Lock()
				if acknowledged = append(acknowledged, a); len(acknowledged) == n {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(2 * bindsWithin):
		t.Errorf("the node acknowledged less than %d applications", n)
	}
	dying.Kill()
	close(killed)
	writers.Wait()
	return acknowledged
}

// wantSameApplications demands that two nodes list the same applications, page by page.
func wantSameApplications(t *testing.T, one, two *Server) {
	t.Helper()
	listed := func(s *Server) []string {
		c := story(t, s).root()
		var ids []string
		for after := ""; ; {
			c.get("/v1/applications?limit=100" + after).wantStatus(200)
			ids = append(ids, c.items("id")...)
			next, _ := at(c.last.value(), "/next")
			text, _ := next.(string)
			if c.done(); text == "" {
				return ids
			}
			after = "&after=" + text
		}
	}
	if a, b := listed(one), listed(two); !slices.Equal(a, b) {
		t.Errorf("the nodes list different applications:\n%v\n%v", a, b)
	}
}

// ownStandIn is a database that a test has for itself and may stop. It is the stand-in in any case.
func ownStandIn(t *testing.T, flags ...string) database {
	t.Helper()
	db, err := suite.runner.StandIn(t.Context(), flags...)
	if err != nil {
		t.Fatalf("start a stand-in: %v", err)
	}
	t.Cleanup(func() {
		for _, problem := range db.close() {
			if problem != nil {
				t.Error(problem)
			}
		}
	})
	return db
}

// TestAnOutageOfTheDatabaseIsNoDenial stops the database under a node, by SIGTERM and by kill -9: until it is back, nothing is denied
// and nothing succeeds that cannot; then everything is as it was.
func TestAnOutageOfTheDatabaseIsNoDenial(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	db := ownStandIn(t)
	s := startTogether(t, newCluster(db), Options{Strict: true, Env: map[string]string{"WRIT_MAX_STALENESS": "2s"}})[0]
	c := story(t, s).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	a := c.newApp(object{"grants": grants("ledger:read")})
	front := c.refreshing()
	token := c.token(a)
	c.askLogin(front, u).wantStatus(200)
	refresh := c.text("/refresh_token")
	c.done()
	for name, end := range map[string]func() error{"SIGTERM": db.stop, "kill -9": db.kill} {
		c.step("before " + name)
		admin := func() {
			c.post("/v1/users", object{"username": unique("x"), "email": unique("x") + "@example.com", "name": "x"})
		}
		ask := func() { c.post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1")) }
		// serves demands that an attempt is either as on a good day or an outage, and says which.
		serves := func(attempt func(), status int) bool {
			attempt()
			if c.err == nil && c.last.status != status {
				c.wantStatus(503)
				c.header("Retry-After")
				return false
			}
			return true
		}
		serves(ask, 200) // a subject that the node has not met is not in its memory
		c.done()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		ended := time.Now()

		c.step("after " + name + ": administration is out at once, decisions when the view is too old")
		refused := make(chan time.Duration, 1)
		var outage error
		go func() {
			w := &scenario{t: t, s: s, next: http.Header{}, auth: c.auth}
			w.post("/v1/users", object{"username": unique("x"), "email": unique("x") + "@example.com", "name": "x"}).wantStatus(503)
			w.header("Retry-After")
			outage = w.err
			refused <- time.Since(ended)
		}()
		writing := map[string]func(w *scenario){
			"a login":      func(w *scenario) { w.askLogin(front, u) },
			"a refresh":    func(w *scenario) { w.askRefresh(front, refresh) },
			"a revocation": func(w *scenario) { w.revoke(a, token) },
		}
		var atOnce sync.WaitGroup
		for what, attempt := range writing {
			atOnce.Go(func() {
				w := &scenario{t: t, s: s, next: http.Header{}}
				attempt(w)
				w.wantOAuthError(503, "temporarily_unavailable")
				w.header("Retry-After")
				w.expect(what + " after " + name)
			})
		}
		served := 0
		for c.err == nil && serves(ask, 200) {
			c.want("/decision", true)
			served++
			if time.Since(ended) > bindsWithin {
				c.fail("decisions are still taken %s after the database went", bindsWithin)
			}
			time.Sleep(pollEvery)
		}
		t.Logf("%s: %d decisions were served from memory, until %s after the end", name, served,
			time.Since(ended).Round(time.Millisecond))
		t.Logf("%s: administration was refused after %s", name, (<-refused).Round(time.Millisecond))
		if outage != nil {
			c.fail("administration without a database: %v", outage)
		}
		atOnce.Wait()
		c.as("").get("/readyz").wantStatus(503)
		c.get("/livez").wantStatus(200)
		c.get("/.well-known/jwks.json").wantStatus(200)
		c.root()
		for what, attempt := range map[string]func(){
			"a list":       func() { c.get("/v1/users") },
			"a token":      func() { c.ask(a, "grant_type", "client_credentials") },
			"a bearer":     func() { c.as(bearer(token)).get("/v1/me"); c.root() },
			"a login":      func() { c.askLogin(front, u) },
			"a refresh":    func() { c.askRefresh(front, refresh) },
			"a revocation": func() { c.revoke(a, token) },
		} {
			attempt()
			c.wantStatus(503)
			c.header("Retry-After")
			c.expect(what + " after " + name)
		}

		c.step("after the database is back")
		if err := db.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		c.eventually(bindsWithin, func() {
			serves(ask, 200)
			c.wantStatus(200).want("/decision", true)
		})
		t.Logf("%s: decisions were taken again after %s", name, time.Since(back).Round(time.Millisecond))
		c.eventually(bindsWithin, func() {
			serves(admin, 201)
			c.wantStatus(201)
		})
		c.token(a)
		c.live(token) // nobody was told that it was revoked
		c.askRefresh(front, refresh).wantStatus(200)
		refresh = c.text("/refresh_token")
		c.get("/v1/users/" + u.ID).wantStatus(200)
		c.as("").get("/readyz").wantStatus(200)
		c.root().done()
	}
}
