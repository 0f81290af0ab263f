package identity_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/writ-authz/writ/storage"
)

func TestAChangeThatLosesTheSequenceIsResolvedAndDecidedAnew(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"}]`)
	w.application("admin", `,"grants":[{"resource":"iam/groups","action":"*"},{"resource":"ledger","action":"read"}]`)
	// Between the decision and the commit, the role grows beyond what the actor holds.
	w.store.inTxn = func() {
		role, err := storage.Get[storage.Role](t.Context(), w.store.Store, "ops:viewer")
		must(t, err)
		role.Grants = append(role.Grants, storage.Grant{Resource: "ledger", Action: "write"})
		w.write(role)
	}
	w.as("application:admin").put("/v1/groups/g1", `{"name":"x","roles":["ops:viewer"]}`).refused("delegation_exceeds_actor")
	w.root().get("/v1/groups/g1").is(404)
	before := len(w.chain("authority"))
	w.as("application:admin").put("/v1/groups/g1", `{"name":"x"}`).is(201)
	equal(t, "outcomes", len(w.chain("authority"))-before, 1)
}

func TestH05OfTwoWritersWithOneETagOneWins(t *testing.T) {
	w := newWorld(t)
	tag := w.root().put("/v1/groups/g1", `{"name":"x"}`).is(201).header.Get("ETag")
	statuses := race(2, func(n int) int {
		return w.root().with("If-Match", tag).put("/v1/groups/g1", fmt.Sprintf(`{"name":"n%d"}`, n)).status
	})
	equal(t, "won", statuses[200], 1)
	equal(t, "lost", statuses[412], 1)
}

func race(n int, f func(n int) int) map[int]int {
	var group sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range n {
		group.Go(func() {
			status := f(i)
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	group.Wait()
	return statuses
}

func TestConcurrentChangesAllArrive(t *testing.T) {
	w := newWorld(t)
	statuses := race(8, func(n int) int { return w.root().put(fmt.Sprintf("/v1/groups/g%d", n), `{"name":"x"}`).status })
	equal(t, "made", statuses[201], 8)
}

// Without If-Match a change is held against the version that it read: of changes of different fields that meet, none is lost.
func TestSA15WithoutATagNoUpdateIsLost(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/groups/g1", `{"name":"x","description":"y"}`).is(201)
	w.store.inTxn = func() {
		w.store.inTxn = nil
		w.root().patch("/v1/groups/g1", `{"description":"came between"}`).is(200)
	}
	before := w.root().get("/v1/groups/g1").is(200)
	w.root().put("/v1/groups/g1", `{"name":"new"}`).is(200)
	after := w.root().get("/v1/groups/g1").is(200)
	equal(t, "both changes", after.text("name")+", "+after.text("description"), "new, came between")
	equal(t, "versions", fmt.Sprint(before.value("version"), after.value("version")), "1 3")
}

func TestH13TwoOwnersWhoRemoveEachOtherLeaveOne(t *testing.T) {
	w := newWorld(t)
	ids := []string{w.user("one", `,"roles":["system:owner"]`), w.user("two", `,"roles":["system:owner"]`)}
	statuses := race(2, func(n int) int { return w.as("user:"+ids[n]).patch("/v1/users/"+ids[1-n], `{"roles":[]}`).status })
	equal(t, "removed", statuses[200], 1)
	left := 0
	for _, id := range ids {
		if s, err := w.room.Subject(t.Context(), "user", id); err == nil && len(s.Facts.Identity().Roles) > 0 {
			left++
		}
	}
	equal(t, "owners", left, 1)
}

func TestAnOutageIsNeitherADenialNorASuccess(t *testing.T) {
	w := newWorld(t)
	w.store.away.Store(true)
	for _, r := range []*reply{
		w.root().get("/v1/users"), w.root().put("/v1/groups/g", `{"name":"x"}`), w.root().del("/v1/applications/root"),
		w.root().get("/v1/users/0193d4c2-7f00-7000-8000-000000000001"),
	} {
		r.want(503, "unavailable")
		equal(t, "Retry-After", r.header.Get("Retry-After"), "1")
	}
	w.root().get("/v1/applications/root").is(200)
	w.root().get("/v1/roles/system:owner").is(200)
	w.store.away.Store(false)
	w.root().get("/v1/groups/g").is(404)
}

func TestAChangeThatTheNodeCannotFollowIsNotReportedAsDone(t *testing.T) {
	w := newWorld(t)
	feed := &cut{Follower: w.follower}
	w.room.Join(feed, w.sessions)
	w.store.inTxn = func() { feed.broken = true }
	w.root().put("/v1/groups/g", `{"name":"x"}`).is(503)
	feed.broken = false
	must(t, w.follow())
	w.root().get("/v1/groups/g").is(200)
}

// cut is a follower that can lose the store.
type cut struct {
	*storage.Follower
	broken bool
}

func (c *cut) CatchUp(ctx context.Context) error {
	if c.broken {
		return errors.New("the feed is cut")
	}
	return c.Follower.CatchUp(ctx)
}
