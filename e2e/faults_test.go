package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// seedVariable repeats a run: the plans of faults and the choices of the workers are made of it.
const seedVariable = "WRIT_TEST_SEED"

// figure prints what was measured, in the form that make faults collects: a promise, the figure, and what it was measured on.
func figure(t *testing.T, promise, format string, args ...any) {
	t.Helper()
	store := suite.store
	if suite.db != nil {
		store = suite.db.Describe()
	}
	if t.Failed() {
		promise = "FAILED: " + promise
	}
	t.Logf("figure: %s | %s | %s, %s", promise, fmt.Sprintf(format, args...), store, suite.runner.Name())
}

// long says whether a run is at full length.
func long() bool { return os.Getenv(longVariable) == "1" }

// seeded is a seed for a run, which is printed.
func seeded(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("%s=%s is no number", seedVariable, text)
		}
	}
	t.Logf("again with: %s=%d", seedVariable, seed)
	return seed
}

// ledger is what a run was told: which writes were acknowledged, and of which it cannot say whether they took place.
type ledger struct {
	began time.Time
	// mortal says that a node may be killed: a request without a reply is then one of unknown outcome.
	mortal bool

	mu        sync.Mutex
	made      map[string]string // names of applications that were acknowledged, with their ids
	attempted map[string]bool   // names whose creation was not acknowledged
	bulks     []bulk
	decisions []string // of acknowledged writes
	registers []*history
	retired   []*history
	statuses  map[int]int
	wrong     []string
	looks     int
}

// bulk is a bulk deletion: what it named and whether it was acknowledged.
type bulk struct {
	names, ids   []string
	acknowledged bool
}

func newLedger() *ledger {
	return &ledger{began: time.Now(), made: map[string]string{}, attempted: map[string]bool{}, statuses: map[int]int{}}
}

// took notes a reply and says whether it is one that a request may get while parts fail: the wanted answer, or an outage. Anything else
// is a denial that is really an outage, or worse.
func (l *ledger) took(w *scenario, wanted ...int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.err != nil && l.mortal {
		w.err, w.last = nil, reply{}
		l.statuses[0]++
		return false
	}
	if w.err != nil {
		l.wrong = append(l.wrong, w.err.Error())
		return false
	}
	l.statuses[w.last.status]++
	if slices.Contains(wanted, w.last.status) {
		if w.last.status < 300 && !strings.HasPrefix(w.last.request, http.MethodGet) {
			l.decisions = append(l.decisions, w.last.header.Get("Decision-Id"))
		}
		return true
	}
	if w.last.status != http.StatusServiceUnavailable || w.last.header.Get("Retry-After") == "" {
		l.wrong = append(l.wrong, w.last.String())
	}
	return false
}

// acknowledged is how many writes were.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.decisions)
}

// grows waits until so many writes more are acknowledged, and says whether they were before long.
func (l *ledger) grows(n int) bool {
	until := l.acknowledged() + n
	for begun := time.Now(); l.acknowledged() < until; time.Sleep(pollEvery) {
		if time.Since(begun) > bindsWithin {
			return false
		}
	}
	return true
}

// create makes an application of a name that no other has, and returns it if that was acknowledged.
func (l *ledger) create(w *scenario) (app, bool) {
	name := unique("fault")
	w.post("/v1/applications", object{"name": name, "grant_types": list{"client_credentials"}})
	ok := l.took(w, http.StatusCreated)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok {
		l.attempted[name] = true
		return app{}, false
	}
	a := app{ID: w.text("/id"), ETag: w.header("ETag")}
	l.made[name] = a.ID
	return a, true
}

// deleteMany makes some applications and deletes them with one request.
func (l *ledger) deleteMany(w *scenario, n int) {
	var b bulk
	for range n {
		if a, ok := l.create(w); ok {
			b.ids = append(b.ids, a.ID)
		}
	}
	if len(b.ids) < 2 {
		return
	}
	l.mu.Lock()
	for name, id := range l.made {
		if slices.Contains(b.ids, id) {
			b.names = append(b.names, name)
		}
	}
	l.mu.Unlock()
	w.post("/v1/applications/bulk-delete", object{"ids": b.ids})
	b.acknowledged = l.took(w, http.StatusNoContent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bulks = append(l.bulks, b)
}

const (
	registersAtOnce = 6  // objects that all workers meet on
	historySize     = 40 // requests about one of them
)

// register returns an object that many write to; one that has a long history is put aside for a new one.
func (l *ledger) register(w *scenario, random *rand.Rand) *history {
	l.mu.Lock()
	enough := len(l.registers) >= registersAtOnce
	l.mu.Unlock()
	if !enough {
		a, ok := l.create(w)
		if !ok {
			return nil
		}
		h := newHistory(a.ID, registerState{version: 1})
		h.tag = strings.TrimSuffix(a.ETag, `1"`)
		l.mu.Lock()
		l.registers = append(l.registers, h)
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := random.IntN(len(l.registers))
	h := l.registers[i]
	if h.size() >= historySize && len(l.registers) > 1 {
		l.registers = slices.Delete(l.registers, i, i+1)
		l.retired = append(l.retired, h)
		h = l.registers[random.IntN(len(l.registers))]
	}
	return h
}

// touch writes to an object in one of three ways, and notes what came of it.
func (l *ledger) touch(w *scenario, client int, random *rand.Rand) {
	h := l.register(w, random)
	if h == nil {
		return
	}
	in := registerInput{value: unique("value")}
	body := object{"description": in.value}
	switch random.IntN(5) {
	case 0: // whatever the version is
	case 1: // the value is read and another member is written
		body, in.value = object{"properties": object{"touched": in.value}}, ""
	default:
		in.at = h.version()
		w.with("If-Match", fmt.Sprintf(`%s%d"`, h.tag, in.at))
	}
	called := time.Since(l.began)
	w.patch("/v1/applications/"+h.id, body)
	returned := time.Since(l.began)
	var out registerOutput
	switch known := l.took(w, http.StatusOK, http.StatusPreconditionFailed); {
	case w.err != nil:
		return
	case !known:
		out.unknown = true
	case w.last.status == http.StatusPreconditionFailed:
		out.stale = true
	default:
		out.after = stateOf(w)
	}
	h.note(client, called, returned, in, out)
}

// stateOf is the object in the last reply.
func stateOf(w *scenario) registerState {
	value, _ := at(w.last.value(), "/description")
	text, _ := value.(string)
	return registerState{version(w), text}
}

// look reads an object on a node that has just acknowledged a change of it: the node shows that version or a later one.
func (l *ledger) look(w *scenario) {
	a, ok := l.create(w)
	if !ok {
		return
	}
	w.patch("/v1/applications/"+a.ID, object{"description": "seen"})
	if !l.took(w, http.StatusOK) {
		return
	}
	changed := version(w)
	w.get("/v1/applications/" + a.ID)
	if !l.took(w, http.StatusOK) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks++
	if seen := version(w); seen != changed {
		l.wrong = append(l.wrong, fmt.Sprintf("version %d was acknowledged and %d is shown: %s", changed, seen, w.last))
	}
}

// work lets workers write to the nodes until enough says so.
func (l *ledger) work(t *testing.T, nodes []*Server, each int, seed uint64, enough func() bool) {
	var workers sync.WaitGroup
	for i := range len(nodes) * each {
		s := nodes[i%len(nodes)]
		random := rand.New(rand.NewPCG(seed, uint64(i)+1))
		workers.Go(func() {
			for !enough() {
				w := &scenario{t: t, s: s, next: http.Header{}, auth: basic("root", s.Secret)}
				switch random.IntN(10) {
				case 0, 1:
					l.create(w)
				case 2:
					l.deleteMany(w, 3)
				case 3:
					l.look(w)
				default:
					l.touch(w, i, random)
				}
				if w.last.status == http.StatusServiceUnavailable || w.last.status == 0 {
					time.Sleep(20 * pollEvery) // as a client does that heeds Retry-After, in small
				}
			}
		})
	}
	workers.Wait()
}

// settle waits until every node serves again and shows what the others do.
func settle(t *testing.T, nodes []*Server) {
	t.Helper()
	for _, s := range nodes {
		c := story(t, s).as(basic("root", s.Secret))
		c.eventually(bindsWithin, func() { c.get("/readyz").wantStatus(200).want("/status", "ready") })
		c.eventually(bindsWithin, func() { c.patch("/v1/applications/root", object{"description": "x"}).wantDenied("system_protected") })
		c.done()
	}
}

// outcome is what a ledger comes to against what the store holds in the end.
type outcome struct {
	acknowledged, uncertain, lost, doubled, half, bulks, histories, operations, unknown int
}

// audit holds the ledger against what a node shows now. Every figure but the counts of what was done must be 0.
func (l *ledger) audit(t *testing.T, s *Server) outcome {
	t.Helper()
	c := story(t, s).as(basic("root", s.Secret))
	there := map[string][]string{} // ids by name
	present := map[string]bool{}
	for after := ""; ; {
		c.get("/v1/applications?limit=100" + after).wantStatus(200)
		names := c.items("name")
		for i, id := range c.items("id") {
			there[names[i]] = append(there[names[i]], id)
			present[id] = true
		}
		next, _ := at(c.last.value(), "/next")
		c.done()
		if next == nil {
			break
		}
		after = "&after=" + url.QueryEscape(next.(string))
	}
	var o outcome
	named := map[string]bool{} // by a bulk deletion
	for _, b := range l.bulks {
		o.bulks++
		left := 0
		for _, id := range b.ids {
			if present[id] {
				left++
			}
		}
		for _, name := range b.names {
			named[name] = true
		}
		if b.acknowledged && left > 0 || left > 0 && left < len(b.ids) {
			o.half++
			t.Errorf("of a bulk deletion (acknowledged: %v) of %d applications %d are there", b.acknowledged, len(b.ids), left)
		}
	}
	for name, id := range l.made {
		o.acknowledged++
		switch ids := there[name]; {
		case len(ids) > 1 || len(ids) == 1 && ids[0] != id:
			o.doubled++
			t.Errorf("application %s was made as %s once, and there are %v", name, id, ids)
		case len(ids) == 0 && !named[name]:
			o.lost++
			t.Errorf("application %s of the name %s was acknowledged and is lost", id, name)
		}
	}
	for name := range l.attempted {
		o.uncertain++
		if ids := there[name]; len(ids) > 1 {
			o.doubled++
			t.Errorf("application %s was asked for once, and there are %v", name, ids)
		}
	}
	for _, h := range append(l.retired, l.registers...) {
		called := time.Since(l.began)
		c.get("/v1/applications/" + h.id).wantStatus(200)
		c.done()
		h.note(0, called, time.Since(l.began), registerInput{look: true}, registerOutput{after: stateOf(c)})
		if err := h.judge(time.Minute); err != nil {
			t.Error(err)
		}
		o.histories++
		o.operations += h.size()
		o.unknown += h.unknown
	}
	for _, wrong := range l.wrong[:min(len(l.wrong), 5)] {
		t.Errorf("neither an answer nor an outage: %s", wrong)
	}
	l.audited(t, c, &o)
	return o
}

// audited demands one outcome in the audit for each acknowledged write: none is there without, and none was done twice.
func (l *ledger) audited(t *testing.T, c *scenario, o *outcome) {
	t.Helper()
	outcomes := map[string]int{}
	for after := ""; ; {
		c.get("/v1/audit?event=outcome&outcome=ok&limit=100" + after).wantStatus(200)
		chains := c.items("chain")
		for i, id := range c.items("decision_id") {
			if chains[i] == "authority" {
				outcomes[id]++
			}
		}
		next, _ := at(c.last.value(), "/next")
		c.done()
		if next == nil {
			break
		}
		after = "&after=" + url.QueryEscape(next.(string))
	}
	for _, id := range l.decisions {
		switch n := outcomes[id]; {
		case n == 0:
			o.lost++
			t.Errorf("decision %s was acknowledged and the audit has no outcome of it", id)
		case n > 1:
			o.doubled++
			t.Errorf("decision %s was carried out %d times", id, n)
		}
	}
}

// feedsAreDense demands that no node saw a gap in the feed.
func feedsAreDense(t *testing.T, nodes []*Server) {
	t.Helper()
	for _, s := range nodes {
		for line := range strings.Lines(s.text(s.stderr())) {
			var event struct{ Msg, Error string }
			if json.Unmarshal([]byte(line), &event) == nil && event.Msg == "change feed" && strings.Contains(event.Error, "gap") {
				t.Errorf("a gap in the feed: %s", line)
			}
		}
	}
}

// auditVerifies runs the verifier on the store; the nodes have stopped.
func auditVerifies(t *testing.T, nodes []*Server) auditReport {
	t.Helper()
	for _, s := range nodes {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	var report auditReport
	audit(t, nodes[0].storeEnv(), 0, &report, "verify")
	return report
}

// impatient is a database that soon gives up the transactions of a node that is gone, which are in the way of all others: MongoDB's own
// minute is too long here. A server that is not ours has its own bound.
func impatient(t *testing.T) database {
	t.Helper()
	if _, theirs := suite.db.(*external); theirs {
		return suite.db
	}
	return ownStandIn(t, "--transaction-lifetime", "2s")
}

// TestAcknowledgedWritesSurviveFaultsOnTheWire lets workers write to three nodes while the connections of each to the database are cut,
// reset, delayed and left half-open. In the end every acknowledged write is there, once; no bulk operation is half there; and the history
// of each object is one that a single object could have had.
func TestAcknowledgedWritesSurviveFaultsOnTheWire(t *testing.T) {
	onMongoDB(t)
	faults, acknowledged, within := 40, 120, 4*time.Minute
	if long() {
		faults, acknowledged, within = 1000, 1000, 25*time.Minute
	}
	t.Logf("%d faults; %s=1 makes it 1000", faults, longVariable)
	seed := seeded(t)
	nodes, proxies := behindProxies(t, newCluster(impatient(t)), 3, Options{})
	plans := make([]*faultPlan, len(proxies))
	for i, p := range proxies {
		plans[i] = newFaultPlan(seed+uint64(i), 250)
		p.arm(plans[i])
	}
	injected := func() (n int) {
		for _, p := range plans {
			n += p.count()
		}
		return n
	}
	l := newLedger()
	l.work(t, nodes, 3, seed, func() bool {
		return injected() >= faults && l.acknowledged() >= acknowledged || time.Since(l.began) > within
	})
	took := time.Since(l.began)
	for _, p := range proxies {
		p.arm(nil)
		p.heal()
	}
	kinds, commands := map[fault]int{}, map[string]int{}
	for _, p := range plans {
		p.told(kinds, commands)
	}
	total := injected()
	t.Logf("%d faults in %s: %s", total, took.Round(time.Second), counted(kinds))
	t.Logf("they struck: %s", counted(commands))
	t.Logf("replies: %v; %d reads of one's own write", l.statuses, l.looks)
	if total < faults || l.acknowledged() < acknowledged {
		t.Errorf("%d faults and %d acknowledged writes within %s, want %d and %d", total, l.acknowledged(), within, faults, acknowledged)
	}
	if len(kinds) < 8 {
		t.Errorf("only these kinds of faults came about: %s", counted(kinds))
	}
	if commands["commitTransaction"] == 0 {
		t.Error("no fault struck a commit")
	}
	settle(t, nodes)
	o := l.audit(t, nodes[0])
	sameEverywhere(t, nodes)
	feedsAreDense(t, nodes)
	report := auditVerifies(t, nodes)
	if l.statuses[200] == 0 || l.statuses[204] == 0 || l.statuses[412] == 0 || o.unknown == 0 {
		t.Errorf("the run says little: %v, %d of unknown outcome", l.statuses, o.unknown)
	}
	figure(t, "faults between node and database", "%d faults (%s); %d acknowledged writes, %d lost, %d done twice; %d bulk deletions, %d half-applied; "+
		"%d histories of %d requests (%d of unknown outcome), all linearizable; %d audit chains verify", total, counted(kinds), len(l.decisions),
		o.lost, o.doubled, o.bulks, o.half, o.histories, o.operations, o.unknown, len(report.Chains))
}

// sameEverywhere demands that the nodes show the same.
func sameEverywhere(t *testing.T, nodes []*Server) {
	t.Helper()
	for _, s := range nodes[1:] {
		wantSameApplications(t, nodes[0], s)
	}
}

// TestTheJudgesOfFaultsFindWhatTheyLookFor plants what they are for.
func TestTheJudgesOfFaultsFindWhatTheyLookFor(t *testing.T) {
	write := func(value string, version int64) porcupine.Operation {
		return porcupine.Operation{Input: registerInput{value: value}, Output: registerOutput{after: registerState{version, value}}}
	}
	swap := func(at int64, out registerOutput) porcupine.Operation {
		return porcupine.Operation{Input: registerInput{at: at, value: "c"}, Output: out}
	}
	look := func(version int64, value string) porcupine.Operation {
		return porcupine.Operation{Input: registerInput{look: true}, Output: registerOutput{after: registerState{version, value}}}
	}
	lost := porcupine.Operation{Input: registerInput{value: "d"}, Output: registerOutput{unknown: true}}
	for name, row := range map[string]struct {
		operations []porcupine.Operation
		legal      bool
	}{
		"one after the other":                      {[]porcupine.Operation{write("a", 2), write("b", 3), look(3, "b")}, true},
		"a lost write":                             {[]porcupine.Operation{write("a", 2), write("b", 3), look(2, "a")}, false},
		"a write that was done twice":              {[]porcupine.Operation{write("a", 2), look(3, "a")}, false},
		"two writers of one version":               {[]porcupine.Operation{swap(1, registerOutput{after: registerState{2, "c"}}), swap(1, registerOutput{after: registerState{2, "c"}})}, false},
		"a swap that lost against nobody":          {[]porcupine.Operation{swap(1, registerOutput{stale: true})}, false},
		"a swap that lost":                         {[]porcupine.Operation{write("a", 2), swap(1, registerOutput{stale: true})}, true},
		"an unknown write that took place":         {[]porcupine.Operation{lost, look(2, "d")}, true},
		"an unknown write that took place later":   {[]porcupine.Operation{lost, look(1, ""), look(2, "d")}, true},
		"an unknown write that did not":            {[]porcupine.Operation{lost, look(1, "")}, true},
		"an unknown write that took place twice":   {[]porcupine.Operation{lost, look(3, "d")}, false},
		"an unknown write that was taken back":     {[]porcupine.Operation{lost, look(2, "d"), look(1, "")}, false},
		"an unknown swap of another's version":     {[]porcupine.Operation{write("a", 2), swap(1, registerOutput{unknown: true}), look(3, "c")}, false},
		"a value that nobody wrote":                {[]porcupine.Operation{write("a", 2), look(2, "z")}, false},
		"a write that hid what another had made":   {[]porcupine.Operation{write("a", 2), write("b", 2)}, false},
		"a read of another member: the value is b": {[]porcupine.Operation{write("b", 2), {Output: registerOutput{after: registerState{3, "b"}}, Input: registerInput{}}}, true},
	} {
		h := newHistory("x", registerState{version: 1})
		for i, o := range row.operations {
			at := time.Duration(2*i) * time.Second
			h.note(0, at, at+time.Second, o.Input.(registerInput), o.Output.(registerOutput))
		}
		if err := h.judge(time.Minute); (err == nil) != row.legal {
			t.Errorf("%s: legal should be %v: %v", name, row.legal, err)
		}
	}
	// The plan of a seed is the same each time, and meets commits more often than anything else of its number.
	run := func(seed uint64) (faults []fault, plan *faultPlan) {
		plan = newFaultPlan(seed, 10)
		for range 200 {
			for _, command := range []string{"hello", "find", "insert", "commitTransaction"} {
				f, _ := plan.next(command)
				faults = append(faults, f)
			}
		}
		return faults, plan
	}
	one, plan := run(1)
	again, _ := run(1)
	other, _ := run(2)
	if !slices.Equal(one, again) || slices.Equal(one, other) {
		t.Error("a plan is not made by its seed")
	}
	if plan.struck["hello"] != 0 || plan.struck["commitTransaction"] <= plan.struck["find"] || len(plan.done) != 8 {
		t.Errorf("the plan struck %v with %v", plan.struck, slices.Sorted(maps.Keys(plan.done)))
	}
}
