package e2e

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestANodeThatIsCutOffFailsClosedAndHeals takes the database away from one of two nodes, in the two ways in which a network does: dialling
// is refused, or whatever is sent is swallowed. What the other node takes back meanwhile is served no longer than WRIT_MAX_STALENESS; until
// the node is back it denies nothing, and then it follows by itself.
func TestANodeThatIsCutOffFailsClosedAndHeals(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	const bound = 2 * time.Second
	nodes, proxies := behindProxies(t, newCluster(suite.db), 2, Options{Env: map[string]string{"WRIT_MAX_STALENESS": bound.String()}})
	for name, cut := range map[string]func(){"refused": proxies[0].sever, "swallowed": proxies[0].silence} {
		a, b := story(t, nodes[0]), story(t, nodes[1]).root()
		a.step(name)
		b.step(name + ", on the other node")
		made, kept := b.newApp(object{}), b.newApp(object{})
		token, lasting := b.token(made), b.token(kept)
		b.done()
		a.eventually(bindsWithin, func() { a.live(token).live(lasting) })
		a.eventually(bindsWithin, func() { a.as(basic("root", a.s.Secret)).get("/v1/users").wantStatus(200) })
		a.done()

		cut()
		gone := time.Now()
		b.delete("/v1/applications/" + made.ID).wantStatus(204)
		b.dead(token).done()
		refused := make(chan time.Duration, 1)
		go func() {
			w := &scenario{t: t, s: nodes[0], next: map[string][]string{}, auth: basic("root", nodes[0].Secret)}
			w.post("/v1/applications", object{"name": unique("cut"), "grant_types": list{"client_credentials"}}).wantStatus(503)
			w.header("Retry-After")
			w.expect("administration of the node that is cut off")
			refused <- time.Since(gone)
		}()
		served, last := 0, time.Duration(0)
		for a.err == nil {
			sent := time.Since(gone)
			a.as(bearer(token)).onPublic().get("/v1/me")
			if a.err == nil && a.last.status == 503 {
				a.header("Retry-After")
				break
			}
			a.wantStatus(200) // what it knew; never that the token is dead
			if served, last = served+1, sent; sent > bound {
				a.fail("a token is accepted that was asked about %s after the node was cut off", sent)
			}
			time.Sleep(pollEvery)
		}
		closed := time.Since(gone)
		for range 20 { // it stays so
			a.as(bearer(lasting)).onPublic().get("/v1/me").wantStatus(503)
			a.ask(made, "grant_type", "client_credentials").wantOAuthError(503, "temporarily_unavailable")
			a.as("").get("/readyz").wantStatus(503)
			a.get("/livez").wantStatus(200)
			a.get("/.well-known/jwks.json").wantStatus(200)
		}
		a.done()
		b.live(lasting).done()

		proxies[0].heal()
		healed := time.Now()
		a.eventually(bindsWithin, func() { a.live(lasting) })
		back := time.Since(healed)
		a.dead(token)
		a.ask(made, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
		a.eventually(bindsWithin, func() { a.as("").get("/readyz").wantStatus(200) })
		a.as(basic("root", a.s.Secret)).eventually(bindsWithin, func() { a.newApp(object{}) })
		a.done()
		figure(t, "a node cut off from the database ("+name+")", "administration 503 after %s; %d requests served from memory, the last sent %s "+
			"after the cut (bound %s), 503 from %s on; served again %s after the network was back", (<-refused).Round(time.Millisecond), served,
			last.Round(time.Millisecond), bound, closed.Round(time.Millisecond), back.Round(time.Millisecond))
	}
}

// TestNodesThatAreCutOffUnderWritesLoseNothing takes the database away from one of two nodes in the middle of its writes, by turns and in both
// ways, and gives it back: what either acknowledged is there, once, and the other goes on meanwhile. What the node had under way is in its
// way until the database gives it up.
func TestNodesThatAreCutOffUnderWritesLoseNothing(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	cuts := 4
	if long() {
		cuts = 40
	}
	t.Logf("%d cuts; %s=1 makes it 40", cuts, longVariable)
	seed := seeded(t)
	nodes, proxies := behindProxies(t, newCluster(ownStandIn(t, "--transaction-lifetime", "3s")), 2, Options{})
	l := newLedger()
	var over atomic.Bool
	working := make(chan struct{})
	go func() { defer close(working); l.work(t, nodes, 3, seed, over.Load) }()
	var others, back []time.Duration
	for cut := range cuts {
		p := proxies[cut%2]
		if !l.grows(15) {
			t.Errorf("cut %d: nothing is acknowledged before it", cut)
			break
		}
		if cut%4 < 2 {
			p.silence()
		} else {
			p.sever()
		}
		gone := time.Now()
		if !l.grows(10) {
			t.Errorf("cut %d: the other node acknowledges nothing", cut)
			break
		}
		others = append(others, time.Since(gone))
		if cut%3 > 0 { // the node finds out, and not only somebody who was in the middle of something
			w := &scenario{t: t, s: nodes[cut%2], next: map[string][]string{}}
			w.eventually(bindsWithin, func() {
				if w.metric("writ_store_away") != 1 {
					w.fail("the store does not count as away")
				}
			})
			w.expect("a node that is cut off")
		}
		p.heal()
		healed := time.Now()
		if !l.grows(10) {
			t.Errorf("cut %d: nothing is acknowledged after it", cut)
			break
		}
		back = append(back, time.Since(healed))
	}
	for _, p := range proxies {
		p.heal()
	}
	over.Store(true)
	<-working
	settle(t, nodes)
	o := l.audit(t, nodes[0])
	sameEverywhere(t, nodes)
	feedsAreDense(t, nodes)
	report := auditVerifies(t, nodes)
	if o.unknown+o.uncertain == 0 {
		t.Error("no cut struck a write")
	}
	figure(t, "a node cut off in the middle of writes", "%d cuts: %d acknowledged writes, %d lost, %d done twice; %d bulk deletions, %d half-applied; "+
		"%d histories of %d requests (%d of unknown outcome), all linearizable; %d chains verify; ten writes of the other node took %s, ten of both after the "+
		"network was back %s (transactions of a node that is gone end after 3 s)", len(back), len(l.decisions), o.lost, o.doubled, o.bulks, o.half,
		o.histories, o.operations, o.unknown, len(report.Chains), spread(others), spread(back))
}

// TestAChangeThatWasInterruptedIsInNobodysWay loses a connection in the middle of a change, and then what the node sends to give the change
// up: for so long the database keeps it, and all nodes refuse changes as an outage. It would do so for a day, so that all of them go on
// is the doing of the node that asks again.
func TestAChangeThatWasInterruptedIsInNobodysWay(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	nodes, proxies := behindProxies(t, newCluster(ownStandIn(t, "--transaction-lifetime", "24h")), 2, Options{})
	a, b := story(t, nodes[0]).root(), story(t, nodes[1]).root()
	app := b.newApp(object{"description": "before"})
	change := func(c *scenario, to string) *scenario {
		return c.patch("/v1/applications/"+app.ID, object{"description": to})
	}
	a.eventually(bindsWithin, func() { a.get("/v1/applications/" + app.ID).wantStatus(200) })
	proxies[0].always(faultRule{"insert", "changes", cutCommand}, faultRule{"abortTransaction", "", cutCommand})
	change(a, "interrupted").wantStatus(503)
	a.header("Retry-After")
	a.done()
	change(b, "refused").wantStatus(503)
	b.header("Retry-After")
	b.get("/v1/applications/"+app.ID).wantStatus(200).want("/description", "before")
	b.done()
	proxies[0].always()
	gone := time.Now()
	b.eventually(bindsWithin, func() { change(b, "after").wantStatus(200) })
	took := time.Since(gone)
	a.eventually(bindsWithin, func() { change(a, "last").wantStatus(200) })
	a.done()
	b.done()
	figure(t, "a change that was interrupted", "the other node changes something %s after the network was back", took.Round(time.Millisecond))
}
