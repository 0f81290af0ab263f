package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests of this file are the rows of what happens when things fail: the database, the audit, a policy candidate, a policy that runs
// long, a flood of passwords, SIGTERM. The last row, kill -9, is in kill_test.go.

// spread is how long things took: in the middle, for one in a hundred, and at the most.
func spread(took []time.Duration) string {
	if len(took) == 0 {
		return "nothing"
	}
	slices.Sort(took)
	at := func(percent int) string {
		return fmt.Sprintf("%.1f ms", float64(took[min(len(took)-1, len(took)*percent/100)].Microseconds())/1000)
	}
	return "p50 " + at(50) + ", p99 " + at(99) + ", max " + at(100)
}

// metric is a sample of the node's metrics, by its name with its labels.
func (c *scenario) metric(name string) float64 {
	c.as("").get("/metrics").wantStatus(200)
	for line := range strings.Lines(string(c.last.body)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				c.fail("%s is %q", name, value)
			}
			return v
		}
	}
	c.fail("there is no metric %s", name)
	return 0
}

// quickly is far more than a refusal needs, and far less than a driver waits before it gives up.
const quickly = time.Second

// TestDegradedDatabaseDown: JWKS, metadata and /livez serve; password, refresh, revocation and administration are 503 with Retry-After at
// once, however many ask; client_credentials, introspection and decisions are answered from memory within WRIT_MAX_STALENESS, then 503.
func TestDegradedDatabaseDown(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	const bound = 10 * time.Second
	db := ownStandIn(t)
	s := startTogether(t, newCluster(db), Options{Strict: true, Env: map[string]string{"WRIT_MAX_STALENESS": bound.String()}})[0]
	c := story(t, s).root()
	root := c.auth
	u := c.newUser(object{"grants": grants("ledger:read")})
	a := c.newApp(object{"grants": grants("ledger:read", "tokens:introspect")})
	front := c.refreshing()
	token := c.token(a)
	c.askLogin(front, u).wantStatus(200)
	refresh, person := c.text("/refresh_token"), c.text("/access_token")
	as := func(w *scenario) *scenario { return w.as(root) }
	memory := map[string]func(w *scenario){
		"client_credentials": func(w *scenario) { w.ask(a, "grant_type", "client_credentials") },
		"introspection": func(w *scenario) {
			w.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/introspect", fields("token", token))
		},
		"a decision": func(w *scenario) {
			as(w).post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1"))
		},
		"a question about oneself": func(w *scenario) {
			w.as(bearer(person)).post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1"))
		},
	}
	refused := map[string]func(w *scenario){
		"password":   func(w *scenario) { w.askLogin(front, u) },
		"refresh":    func(w *scenario) { w.askRefresh(front, refresh) },
		"revocation": func(w *scenario) { w.revoke(a, token) },
		"administration, a change": func(w *scenario) {
			as(w).patch("/v1/applications/"+a.ID, object{"description": "changed"})
		},
		"administration, a new object": func(w *scenario) {
			as(w).post("/v1/applications", object{"name": unique("x"), "grant_types": list{"client_credentials"}})
		},
		"administration, a list": func(w *scenario) { as(w).get("/v1/users") },
		"a secret is read": func(w *scenario) {
			as(w).post("/v1/applications/"+a.ID+"/secrets/"+a.SecretID+"/reveal", object{"reason": "x"})
		},
	}
	always := map[string]func(w *scenario){
		"JWKS":     func(w *scenario) { w.as("").get("/.well-known/jwks.json") },
		"metadata": func(w *scenario) { w.as("").get("/.well-known/oauth-authorization-server") },
		"/livez":   func(w *scenario) { w.as("").get("/livez") },
	}
	for _, attempt := range memory { // what a node has never met is not in its memory
		attempt(c)
		c.wantStatus(200)
	}
	c.done()
	// one runs an attempt by itself and returns how long it took.
	one := func(attempt func(w *scenario)) (*scenario, time.Duration) {
		w := &scenario{t: t, s: s, next: http.Header{}}
		began := time.Now()
		attempt(w)
		return w, time.Since(began)
	}
	outage := func(what string, w *scenario) {
		w.wantStatus(503)
		w.header("Retry-After")
		w.expect(what)
	}

	if err := db.kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	c.eventually(bindsWithin, func() {
		as(c).get("/v1/users").wantStatus(503)
		if c.metric("writ_store_away") != 1 {
			c.fail("the store does not count as away")
		}
	})
	known := time.Since(killed)
	c.done()

	c.step("at once, one after the other and many together")
	var took, burst []time.Duration
	for what, attempt := range refused {
		for range 20 {
			w, d := one(attempt)
			outage(what, w)
			took = append(took, d)
		}
	}
	if slices.Sort(took); took[len(took)/2] > quickly {
		t.Errorf("an outage is told in %s", spread(took))
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 20 {
		for what, attempt := range refused {
			all.Go(func() {
				w, d := one(attempt)
				w.wantStatus(503)
				w.header("Retry-After")
				w.expect(what + ", of many")
				mu.Lock()
				burst = append(burst, d)
				mu.Unlock()
			})
		}
	}
	all.Wait()

	c.step("from memory, until that is too old")
	served, last := 0, time.Duration(0)
	for left := len(memory); left > 0 && c.err == nil; {
		for what, attempt := range memory {
			sent := time.Since(killed)
			w, _ := one(attempt)
			switch {
			case w.last.status == 200 && sent <= bound:
				served, last = served+1, max(last, sent)
				switch what {
				case "introspection":
					w.want("/active", true)
				case "a decision", "a question about oneself":
					w.want("/decision", true)
				}
			case w.last.status == 503 && time.Since(killed) > bound/2:
				outage(what, w)
				left--
				delete(memory, what)
			default:
				w.fail("status %d %s after the database went", w.last.status, sent)
			}
			w.expect(what)
		}
		for what, attempt := range always {
			w, _ := one(attempt)
			w.wantStatus(200).expect(what)
		}
		if time.Since(killed) > bindsWithin {
			c.fail("memory is served for too long")
		}
		time.Sleep(pollEvery)
	}
	if served == 0 {
		t.Error("nothing was served from memory")
	}
	for what, attempt := range always {
		w, _ := one(attempt)
		w.wantStatus(200).expect(what + ", when the memory is too old")
	}
	for what, attempt := range refused {
		w, _ := one(attempt)
		outage(what+", when the memory is too old", w)
	}
	c.as("").get("/readyz").wantStatus(503).wantNaming("store")
	outages, turned := c.metric("writ_store_outages_total"), c.metric("writ_store_refused_total")
	if outages != 1 || turned < float64(len(took)) {
		c.fail("%v outages and %v refused calls are counted", outages, turned)
	}
	c.done()

	c.step("the database is back")
	if err := db.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	c.eventually(bindsWithin, func() { as(c).get("/v1/users").wantStatus(200) })
	healed := time.Since(back)
	as(c).get("/v1/applications/" + a.ID).wantStatus(200)
	if value, _ := at(c.last.value(), "/description"); value == "changed" {
		c.fail("a change that was refused took place")
	}
	c.live(token).askRefresh(front, refresh).wantStatus(200)
	c.step("and said to be")
	if c.metric("writ_store_away") != 0 {
		c.fail("the store counts as away")
	}
	c.done()
	figure(t, "database down", "known after %s; then 503 with Retry-After in %s, %d at once in %s; %d requests served from memory, the last %s "+
		"after (bound %s); served again %s after the database was back", known.Round(time.Millisecond), spread(took), len(burst), spread(burst),
		served, last.Round(time.Millisecond), bound, healed.Round(time.Millisecond))
}

// TestDegradedAuditSinkDown takes away what the audit is written to, and nothing else: writing it fails, or hangs. Mutations and the
// retrieval of secrets are 503, nothing is changed and nothing decrypted; everything else goes on.
func TestDegradedAuditSinkDown(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	nodes, proxies := behindProxies(t, newCluster(suite.db), 1, Options{})
	s, proxy := nodes[0], proxies[0]
	c := story(t, s).root()
	a := c.newApp(object{"grants": grants("ledger:read"), "description": "before"})
	token := c.token(a)
	front := c.front()
	owner := bearer(c.login(front, c.newUser(object{"roles": list{"system:owner"}})))
	reveal := "/v1/applications/" + a.ID + "/secrets/" + a.SecretID + "/reveal"
	var took []time.Duration
	for name, f := range map[string]fault{"fails": cutCommand, "hangs": halfOpen} {
		c.step("the audit " + name)
		proxy.always(faultRule{"insert", "audit", f})
		for what, attempt := range map[string]func(){
			"a change":        func() { c.root().patch("/v1/applications/"+a.ID, object{"description": "after"}) },
			"a new object":    func() { c.root().put("/v1/roles/e2e:unaudited", object{"grants": grants("ledger:read")}) },
			"a deletion":      func() { c.root().delete("/v1/applications/" + a.ID) },
			"a bulk":          func() { c.root().post("/v1/applications/bulk-delete", object{"ids": list{a.ID}}) },
			"a secret":        func() { c.as(owner).post(reveal, object{"reason": "x"}) },
			"a new secret":    func() { c.root().post("/v1/applications/"+a.ID+"/secrets", object{"label": "x"}) },
			"a denied change": func() { c.as(bearer(token)).patch("/v1/applications/"+a.ID, object{"description": "after"}) },
		} {
			began := time.Now()
			attempt()
			took = append(took, time.Since(began))
			c.wantStatus(503).wantNoSecret(a.Secret)
			c.header("Retry-After")
			c.expect(what + " while the audit " + name)
		}
		c.step("everything else goes on while the audit " + name)
		c.root().get("/v1/applications/"+a.ID).wantStatus(200).want("/description", "before")
		c.get("/v1/roles/e2e:unaudited").wantStatus(404)
		c.token(a)
		c.live(token)
		c.decides(question("application", a.ID, "read", "ledger", "1"), true)
		c.as("").get("/readyz").wantStatus(200)
		proxy.always()
		c.step("after the audit " + name)
		c.root().eventually(bindsWithin, func() { c.patch("/v1/applications/"+a.ID, object{"description": "before"}).wantStatus(200) })
		c.as(owner).post(reveal, object{"reason": "x"}).wantStatus(200).want("/value", a.Secret)
		c.done()
	}
	report := auditVerifies(t, nodes)
	figure(t, "audit sink down", "%d changes and retrievals, all 503 with nothing changed and nothing decrypted, in %s (an audit that hangs is waited "+
		"for 2 s); %d chains verify", len(took), spread(took), len(report.Chains))
}

// TestDegradedBadPolicyCandidate: the last good set serves, and /readyz says what is wrong with the other.
func TestDegradedBadPolicyCandidate(t *testing.T) {
	dir := policyDir(t, document("read"))
	file := filepath.Join(dir, "apps", "e2edoc", "policy.rego")
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	u := c.newUser(object{})
	ask := func(action string) object { return question("user", u.ID, action, "e2edoc", "1") }
	c.decides(ask("read"), true).post("/access/v1/evaluation", withReasons(ask("read"))).wantStatus(200)
	good := c.text("/context/policy_revision")
	refused := 0
	for name, text := range map[string]string{
		"it does not parse":      "package apps.e2edoc\n\npermit contains \"e2edoc.anybody\" if {\n",
		"it asks the network":    strings.Replace(document("read")["apps/e2edoc/policy.rego"], `input.action.name == "read"`, `http.send({"method": "get", "url": "http://127.0.0.1"}).status_code == 200`, 1),
		"its tests fail":         strings.Replace(document("read")["apps/e2edoc/policy.rego"], `input.action.name == "read"`, `input.action.name == "nothing"`, 1),
		"it has no such builtin": strings.Replace(document("read")["apps/e2edoc/policy.rego"], `input.action.name == "read"`, `no_such(input.action.name)`, 1),
	} {
		c.step(name)
		write(t, file, text)
		c.eventually(swapWithin, func() { c.as("").get("/readyz").wantStatus(200).want("/status", "degraded").wantNaming("policies") })
		for range 20 {
			c.root().decides(ask("read"), true).decides(ask("write"), false)
		}
		c.post("/access/v1/evaluation", withReasons(ask("read"))).want("/context/policy_revision", good)
		if c.metric("writ_policy_degraded") != 1 {
			c.fail("the metrics do not say so")
		}
		c.step(name + ": healed")
		write(t, file, document("read")["apps/e2edoc/policy.rego"])
		c.eventually(swapWithin, func() { c.as("").get("/readyz").wantStatus(200).want("/status", "ready") })
		refused++
	}
	c.done()
	figure(t, "bad policy candidate", "%d kinds refused, each named on /readyz; the last good revision decided all questions meanwhile", refused)
}

// TestDegradedPolicyRunsLong: an evaluation ends at its deadline, as an error and not as a denial, and is counted; others are not held up.
func TestDegradedPolicyRunsLong(t *testing.T) {
	files := documentPolicy("e2eslow", "e2eslow.anybody",
		"count([1 | some a in data.apps.e2eslow.xs; some b in data.apps.e2eslow.xs; some c in data.apps.e2eslow.xs; a + b + c == 0]) == input.now")
	files["apps/e2eslow/data.yaml"] = "xs: [" + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + "]\n"
	files["apps/e2eslow/policy_test.rego"] = strings.Replace(files["apps/e2eslow/policy_test.rego"],
		"with input as nothing", "with input as nothing with data.apps.e2eslow.xs as [1]", 1)
	c := story(t, fresh(t, Options{
		Args: []string{"--policies", policyDir(t, files)}, Env: map[string]string{"WRIT_POLICY_DEADLINE": "500ms"},
	})).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	var took, others []time.Duration
	const asked = 10
	done := make(chan struct{})
	var beside sync.WaitGroup
	root := c.auth
	c.done()
	beside.Go(func() {
		w := &scenario{t: t, s: c.s, next: http.Header{}, auth: root}
		for {
			began := time.Now()
			w.decides(question("user", u.ID, "read", "ledger", "1"), true)
			others = append(others, time.Since(began))
			select {
			case <-done:
				w.expect("a quick decision beside a slow one")
				return
			default:
			}
		}
	})
	for range asked {
		began := time.Now()
		c.post("/access/v1/evaluation", question("user", u.ID, "read", "e2eslow", "1")).wantStatus(503)
		c.header("Retry-After")
		took = append(took, time.Since(began))
	}
	close(done)
	beside.Wait()
	if n := c.metric("writ_decision_deadline_exceeded_total"); n != asked {
		c.fail("%v evaluations that ran long are counted, want %d", n, asked)
	}
	if n := c.metric(`writ_decisions_total{entrypoint="writ/decision",result="error"}`); n != asked {
		c.fail("%v errors are counted, want %d", n, asked)
	}
	c.done()
	figure(t, "policy runs long", "%d evaluations, all 503 and counted, in %s (deadline 500 ms); decisions beside them in %s", asked, spread(took),
		spread(others))
}

// TestDegradedPasswordFlood sends more passwords than can be hashed: each is answered or put off, nobody is denied who is right, and
// everything else is served meanwhile.
func TestDegradedPasswordFlood(t *testing.T) {
	s := fresh(t, Options{Strict: true})
	c := story(t, s).root()
	front := c.front()
	people := make([]user, 8)
	for i := range people {
		people[i] = c.newUser(object{"grants": grants("ledger:read")})
	}
	token := c.token(c.newApp(object{}))
	root := c.auth
	c.done()
	const floods = 200
	var all sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	flooding := make(chan struct{})
	for i := range floods {
		all.Go(func() {
			w := &scenario{t: t, s: s, next: http.Header{}}
			w.askLogin(front, people[i%len(people)])
			if w.err == nil && w.last.status != 200 {
				w.header("Retry-After")
				if w.last.status != 429 {
					w.wantOAuthError(503, "temporarily_unavailable")
				}
			}
			w.expect("a login of many")
			mu.Lock()
			defer mu.Unlock()
			statuses[w.last.status]++
		})
	}
	go func() { all.Wait(); close(flooding) }()
	var took []time.Duration
	for over := false; !over; {
		for what, attempt := range map[string]func(w *scenario){
			"/livez":     func(w *scenario) { w.get("/livez").wantStatus(200) },
			"JWKS":       func(w *scenario) { w.get("/.well-known/jwks.json").wantStatus(200) },
			"a bearer":   func(w *scenario) { w.live(token) },
			"a decision": func(w *scenario) { w.as(root).decides(question("user", people[0].ID, "read", "ledger", "1"), true) },
		} {
			w := &scenario{t: t, s: s, next: http.Header{}}
			began := time.Now()
			attempt(w)
			took = append(took, time.Since(began))
			w.expect(what + " beside a flood")
		}
		select {
		case <-flooding:
			over = true
		default:
		}
	}
	if statuses[200] == 0 || statuses[200] == floods {
		t.Errorf("statuses %v: it was no flood, or nobody got through", statuses)
	}
	c.eventually(bindsWithin, func() { c.askLogin(front, people[0]).wantStatus(200) })
	c.done()
	figure(t, "password flood", "%d right passwords at once: %d logins, %d put off with 503 or 429; %d other requests meanwhile, all served, in %s",
		floods, statuses[200], statuses[503]+statuses[429], len(took), spread(took))
}

// TestDegradedSIGTERM ends a node under load: readiness goes off, every request that was begun is answered, and what was decided is in the log
// (which the end of each test counts, line by line).
func TestDegradedSIGTERM(t *testing.T) {
	s := fresh(t, Options{Strict: true, Env: map[string]string{"WRIT_SHUTDOWN_DELAY": "1s"}})
	c := story(t, s).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	root := c.auth
	c.done()
	var all sync.WaitGroup
	var mu sync.Mutex
	answered, refused := 0, 0
	began := make(chan struct{})
	var once sync.Once
	for range 8 {
		all.Go(func() {
			for {
				w := &scenario{t: t, s: s, next: http.Header{}, auth: root}
				w.decides(question("user", u.ID, "read", "ledger", "1"), true)
				mu.Lock()
				if w.err == nil {
					if answered++; answered == 50 {
						once.Do(func() { close(began) })
					}
					mu.Unlock()
					continue
				}
				gone := w.last.status == 0 // there was no reply: the listener is closed
				if refused++; !gone {
					t.Errorf("a request under way: %v\n%s", w.err, w.last)
				}
				mu.Unlock()
				return
			}
		})
	}
	select {
	case <-began:
	case <-time.After(bindsWithin):
		t.Fatal("no load came about")
	}
	ready := make(chan bool, 1)
	go func() {
		w := &scenario{t: t, s: s, next: http.Header{}}
		off := false
		for w.get("/readyz"); w.err == nil && !off; w.get("/readyz") {
			off = w.last.status == 503
		}
		ready <- off
	}()
	stopped := time.Now()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(stopped)
	all.Wait()
	if !<-ready {
		t.Error("readiness did not go off before the listeners closed")
	}
	s.guests = true // a reply that came to nobody, as its connection was closed when the request arrived
	figure(t, "SIGTERM under load", "%d requests answered, none cut off in the middle, %d found the door closed; ended well after %s (delay 1 s)",
		answered, refused, took.Round(time.Millisecond))
}

// TestDegradedWritesHang makes the database answer reads and nothing that writes, as a primary does that has lost its majority and does not
// know yet. Once the node knows, what needs a write is 503 at once; decisions, tokens of applications and reads go on for as long as it takes.
func TestDegradedWritesHang(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	nodes, proxies := behindProxies(t, newCluster(suite.db), 1, Options{})
	s, proxy := nodes[0], proxies[0]
	c := story(t, s).root()
	a := c.newApp(object{"grants": grants("ledger:read"), "description": "before"})
	front := c.front()
	u := c.newUser(object{})
	token := c.token(a)
	c.live(token).done()
	var hang []faultRule
	for _, command := range []string{"insert", "update", "delete", "findAndModify", "commitTransaction"} {
		hang = append(hang, faultRule{command, anything, halfOpen})
	}
	change := func(w *scenario) { w.root().patch("/v1/applications/"+a.ID, object{"description": "after"}) }

	proxy.always(hang...)
	gone := time.Now()
	w := &scenario{t: t, s: s, next: http.Header{}}
	change(w)
	w.wantStatus(503)
	w.header("Retry-After")
	w.expect("the first change")
	c.eventually(bindsWithin, func() {
		if c.metric("writ_store_writes_away") != 1 {
			c.fail("writes do not count as away")
		}
	})
	known := time.Since(gone)
	c.done()
	var took, logins []time.Duration
	refused := c.metric("writ_store_refused_total")
	for range 20 {
		for what, attempt := range map[string]struct {
			does func(w *scenario)
			took *[]time.Duration
		}{
			"a change": {change, &took},
			"a login":  {func(w *scenario) { w.askLogin(front, u) }, &logins}, // its password is hashed before
		} {
			w := &scenario{t: t, s: s, next: http.Header{}}
			began := time.Now()
			attempt.does(w)
			*attempt.took = append(*attempt.took, time.Since(began))
			w.wantStatus(503)
			w.header("Retry-After")
			w.expect(what + " while writes hang")
		}
		c.step("what needs no write, while writes hang")
		c.token(a)
		c.live(token)
		c.root().decides(question("application", a.ID, "read", "ledger", "1"), true)
		c.get("/v1/applications/"+a.ID).wantStatus(200).want("/description", "before")
		c.get("/v1/users").wantStatus(200)
		c.as("").get("/readyz").wantStatus(200)
		c.done()
	}
	// Nobody waits: whatever was asked for was refused without a look at the database.
	if more := c.metric("writ_store_refused_total") - refused; more < float64(len(took)+len(logins)) || c.metric("writ_store_away") != 0 {
		t.Errorf("%v calls were refused while %d requests were answered 503", more, len(took)+len(logins))
	}

	proxy.always()
	back := time.Now()
	c.root().eventually(bindsWithin, func() { change(c); c.wantStatus(200) })
	healed := time.Since(back)
	c.askLogin(front, u).wantStatus(200)
	if c.metric("writ_store_writes_away") != 0 || c.metric("writ_store_outages_total") != 1 {
		c.fail("the outage is not over, or was more than one")
	}
	c.done()
	report := auditVerifies(t, nodes)
	figure(t, "a database that hangs in writes", "known after %s; then 503 with Retry-After in %s, logins in %s; reads and decisions served all the time; taken "+
		"again %s after the database took writes; %d chains verify", known.Round(time.Millisecond), spread(took), spread(logins), healed.Round(time.Millisecond), len(report.Chains))
}
