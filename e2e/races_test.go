package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// rounds is how often a race is run: few times in make test, a thousand times where there is time.
func rounds(t *testing.T, few int) int {
	t.Helper()
	n := few
	if os.Getenv(longVariable) == "1" {
		n = 1000
	}
	t.Logf("%d rounds; %s=1 makes it 1000", n, longVariable)
	return n
}

// racing are the servers that a race is run on: one on the embedded store, two nodes on MongoDB.
func racing(t *testing.T) []*Server {
	t.Helper()
	if suite.store != "mongo" {
		return []*Server{fresh(t, Options{})}
	}
	return startTogether(t, newCluster(suite.db), Options{}, Options{})
}

// racer acts on one of the servers, by turns, with a credential; what it meets it keeps for itself.
func racer(t *testing.T, servers []*Server, i int, auth string) *scenario {
	t.Helper()
	return &scenario{t: t, s: servers[i%len(servers)], next: http.Header{}, auth: auth}
}

// atOnce runs n racers together and returns the statuses of what they met last.
func atOnce(t *testing.T, servers []*Server, n int, auth func(i int) string, run func(i int, w *scenario)) []int {
	t.Helper()
	status, faults := make([]int, n), make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			w := racer(t, servers, i, auth(i))
			<-start
			run(i, w)
			status[i], faults[i] = w.last.status, w.err
		})
	}
	close(start)
	all.Wait()
	for _, err := range faults {
		if err != nil {
			t.Fatal(err)
		}
	}
	return status
}

// count is how many of the statuses are each; one that is none of those is a fault, and an outage says only that somebody else was
// faster too often.
func count(t *testing.T, what string, statuses []int, wanted ...int) map[int]int {
	t.Helper()
	n := map[int]int{}
	for _, status := range statuses {
		if n[status]++; !slices.Contains(wanted, status) {
			t.Fatalf("%s: statuses %v, want some of %v", what, statuses, wanted)
		}
	}
	return n
}

// TestSeedH05AndSA15ETagRacesHaveOneWinner lets writers with one ETag meet, on as many nodes as there are.
func TestSeedH05AndSA15ETagRacesHaveOneWinner(t *testing.T) {
	servers := racing(t)
	c := story(t, servers[0]).as(basic("root", servers[0].Secret))
	a, root := c.newApp(object{"description": "one"}), c.auth
	etag := c.get("/v1/applications/" + a.ID).header("ETag")
	c.done()
	for round := range rounds(t, 100) {
		tags := make([]string, 4)
		statuses := atOnce(t, servers, len(tags), func(int) string { return root }, func(i int, w *scenario) {
			w.with("If-Match", etag).patch("/v1/applications/"+a.ID, object{"description": fmt.Sprintf("%d by %d", round, i)})
			w.waits = true
			w.patient(http.StatusOK)
			tags[i] = w.last.header.Get("ETag")
		})
		if n := count(t, fmt.Sprint("round ", round), statuses, 200, 412); n[200] != 1 {
			t.Fatalf("round %d: statuses %v, want one 200", round, statuses)
		}
		winner := slices.Index(statuses, 200)
		c.eventually(bindsWithin, func() {
			c.get("/v1/applications/"+a.ID).wantStatus(200).wantHeader("ETag", tags[winner])
		})
		c.want("/description", fmt.Sprintf("%d by %d", round, winner)).done()
		etag = tags[winner]
	}
}

// TestSeedG07AndSA14NoChangeAfterTheRightIsRevoked takes a right from an administrator who uses it all the while: what is acknowledged after the
// revocation was not done by that right. The node that took the right follows the authority sequence up to the revocation before it
// acknowledges, and past it when the right is given back, so the object's version there tells what was committed in between: nothing.
func TestSeedG07AndSA14NoChangeAfterTheRightIsRevoked(t *testing.T) {
	servers := racing(t)
	c := story(t, servers[0]).as(basic("root", servers[0].Secret))
	root := c.auth
	role := c.newRole("iam/applications:*", "shop:read")
	victim := c.newApp(object{})
	actor := c.newApp(object{"roles": list{role}})
	acts := basic(actor.ID, actor.Secret)
	c.done()
	for _, s := range servers {
		known := story(t, s).as(acts)
		known.eventually(bindsWithin, func() { known.get("/v1/applications/" + victim.ID).wantStatus(200) })
		known.done()
	}
	takes := []func(w *scenario) (give func(w *scenario)){
		func(w *scenario) func(*scenario) { // from the administrator
			w.patch("/v1/applications/"+actor.ID, object{"roles": list{}}).wantStatus(200)
			return func(w *scenario) { w.patch("/v1/applications/"+actor.ID, object{"roles": list{role}}).wantStatus(200) }
		},
		func(w *scenario) func(*scenario) { // from the role
			w.patch("/v1/roles/"+role, object{"grants": grants("iam/applications:read")}).wantStatus(200)
			return func(w *scenario) {
				w.patch("/v1/roles/"+role, object{"grants": grants("iam/applications:*", "shop:read")}).wantStatus(200)
			}
		},
	}
	changes, refusals := 0, 0
	for round := range rounds(t, 50) {
		var order sync.Mutex
		revoked, done := false, make(chan struct{})
		var late []string
		last := int64(0) // the version of the last change that was acknowledged
		var writers sync.WaitGroup
		for i := range 3 {
			writers.Go(func() {
				for n := 0; ; n++ {
					w := racer(t, servers, i, acts)
					order.Lock()
					after := revoked // the request is sent after the acknowledgement
					order.Unlock()
					w.patch("/v1/applications/"+victim.ID, object{"description": fmt.Sprintf("%d by %d at %d", round, i, n), "grants": grants("shop:read")})
					order.Lock()
					switch {
					case w.err != nil:
						late = append(late, w.err.Error())
					case w.last.status == 200:
						changes++
						last = max(last, version(w))
						if after {
							late = append(late, "a change that was asked for after the revocation is done: "+w.last.String())
						}
					case w.last.status != 403 && w.last.status != 404 && w.last.status != 503:
						late = append(late, w.last.String())
					default:
						refusals++
					}
					order.Unlock()
					select {
					case <-done:
						if after {
							return
						}
					default:
					}
				}
			})
		}
		w := racer(t, servers, round, root)
		var give func(*scenario)
		w.retried(func() { give = takes[round%len(takes)](w) })
		if w.err != nil {
			close(done)
			t.Fatalf("round %d: %v", round, w.err)
		}
		order.Lock()
		revoked = true
		order.Unlock()
		at := racer(t, servers, round, root)
		at.get("/v1/applications/" + victim.ID).wantStatus(200)
		before := version(at) // on the node that took the right, what was done before it is known
		close(done)
		writers.Wait()
		w.retried(func() { give(w) })
		after := racer(t, servers, round, root)
		after.get("/v1/applications/" + victim.ID).wantStatus(200)
		for _, err := range []error{at.err, w.err, after.err} {
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if len(late) > 0 || version(after) != before || last > before {
			t.Fatalf("round %d: %v; version %d when the right was taken, %d in the end, %d acknowledged", round, late, before, version(after), last)
		}
	}
	t.Logf("%d changes before, %d refusals after", changes, refusals)
	if changes == 0 || refusals == 0 {
		t.Errorf("%d changes and %d refusals: they say little", changes, refusals)
	}
}

// version is the version of the object in the last reply.
func version(c *scenario) int64 {
	v, _ := at(c.last.value(), "/version")
	number, _ := v.(interface{ Int64() (int64, error) })
	if number == nil {
		c.fail("the reply has no version")
		return 0
	}
	n, err := number.Int64()
	if err != nil {
		c.fail("%v", err)
	}
	return n
}

// retried repeats what lost against others too often.
func (c *scenario) retried(attempt func()) {
	for range 50 {
		c.err = nil
		if attempt(); c.err == nil || c.last.status != 503 {
			return
		}
	}
}

// TestSeedH13OwnersWhoRemoveEachOther lets sixteen requests meet in which two owners remove each other in every way: one stays, and is
// usable.
func TestSeedH13OwnersWhoRemoveEachOther(t *testing.T) {
	servers := racing(t)
	c := story(t, servers[0]).root()
	root := c.auth
	var front app
	var last user
	c.retried(func() { front = c.newApp(object{"grant_types": list{"password"}}) })
	c.retried(func() { last = c.newUser(object{"roles": list{"system:owner"}}) })
	for round := range rounds(t, 4) {
		var pair [2]user
		var auth [2]string
		for i := range pair { // a machine that is busy with something else may put off whoever needs a hash
			c.retried(func() { pair[i] = c.newUser(object{"roles": list{"system:owner"}}) })
			c.retried(func() { auth[i] = bearer(c.login(front, pair[i])) })
		}
		c.delete("/v1/users/" + last.ID).wantStatus(204)
		for _, s := range servers {
			other := story(t, s).as(auth[0])
			other.eventually(bindsWithin, func() { other.get("/v1/me").wantStatus(200) })
			other.as(auth[1]).eventually(bindsWithin, func() { other.get("/v1/me").wantStatus(200) })
			other.done()
		}
		c.done()
		atOnce(t, servers, 16, func(i int) string { return auth[i/2%2] }, func(i int, w *scenario) {
			path := "/v1/users/" + pair[1-i/2%2].ID
			switch i / 4 {
			case 0:
				w.delete(path)
			case 1:
				w.patch(path, object{"suspended_at": yearly(2020)})
			case 2:
				w.patch(path, object{"roles": list{}})
			default:
				w.patch(path, object{"not_before": yearly(2090)})
			}
			if !slices.Contains([]int{200, 204, 401, 403, 404, 409, 503}, w.last.status) {
				w.fail("round %d: %s", round, w.last)
			}
		})
		var left []user
		for _, u := range pair {
			c.get("/v1/users/" + u.ID)
			v := c.last.value()
			suspended, _ := at(v, "/suspended_at")
			begins, _ := at(v, "/not_before")
			roles, _ := at(v, "/roles")
			held, _ := roles.([]any)
			if c.last.status == 200 && suspended == nil && begins == nil && len(held) == 1 {
				left = append(left, u)
			}
		}
		c.done()
		if len(left) != 1 {
			t.Fatalf("round %d: %d of two owners are left, want one", round, len(left))
		}
		for i := range 2 {
			w := racer(t, servers, i, root)
			w.eventually(bindsWithin, func() { w.delete("/v1/users/"+left[0].ID).wantRefused(409, "last_owner") })
			if w.err != nil {
				t.Fatalf("round %d: %v", round, w.err)
			}
		}
		last = left[0]
	}
}

// TestSeedL04NamesAreUniqueAmongParallelWriters lets sixteen writers want one username, or one e-mail address, in different letters.
func TestSeedL04NamesAreUniqueAmongParallelWriters(t *testing.T) {
	servers := racing(t)
	root := basic("root", servers[0].Secret)
	c := story(t, servers[0]).as(root)
	for round := range rounds(t, 20) {
		name := unique("race")
		key := []string{"username", "email"}[round%2]
		statuses := atOnce(t, servers, 16, func(int) string { return root }, func(i int, w *scenario) {
			body := object{"username": unique("u"), "email": unique("u") + "@example.com", "name": "x", "password_hash": raceHash}
			wanted := name
			if i%2 == 0 {
				wanted = upper(name)
			}
			if body[key] = wanted; key == "email" {
				body[key] = wanted + "@example.com"
			}
			for range 20 {
				if w.post("/v1/users", body); w.last.status != 503 { // it lost against the others too often
					break
				}
			}
			if w.last.status == 409 {
				w.wantProblem(409, "/"+key)
			}
		})
		if n := count(t, fmt.Sprint("round ", round), statuses, 201, 409); n[201] != 1 {
			t.Fatalf("round %d: statuses %v, want one 201", round, statuses)
		}
	}
	c.done()
}

// raceHash is a verifier of no password in particular: making one takes time.
const raceHash = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

// TestSeedG17ManyStartsMakeOneRoot starts nodes on an empty database at once: one root, whose secret works on each.
func TestSeedG17ManyStartsMakeOneRoot(t *testing.T) {
	onMongoDB(t)
	nodes := startTogether(t, newCluster(suite.db), make([]Options, 16)...)
	for i, s := range nodes {
		c := story(t, s).as(basic("root", s.Secret))
		c.step(fmt.Sprintf("node %d", i))
		for range 100 { // sixteen nodes on few cores may not keep up with the feed at once: that is 503, never another answer
			if c.get("/v1/applications"); c.last.status != 503 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		c.wantStatus(200).wantItems("id", "root")
		c.get("/v1/applications/root/secrets").wantStatus(200)
		if n := len(c.items("id")); n != 1 {
			c.fail("root has %d secrets, want one", n)
		}
		c.get("/v1/roles").wantStatus(200).wantItems("key", "system:owner")
		c.done()
	}
}
