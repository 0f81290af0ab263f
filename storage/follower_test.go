package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

func TestFollowerHandsEachChangeToEachSubscriberInOrder(t *testing.T) {
	feed := &fakeFeed{}
	feed.commit(7)
	first, second := &listener{}, &listener{}
	f := storage.Follow(feed, time.Now, 2, first, second)
	if f.Sequence() != 2 {
		t.Errorf("it begins at %d", f.Sequence())
	}
	catchUp(t, f)
	feed.commit(2)
	catchUp(t, f)
	catchUp(t, f)
	for n, l := range []*listener{first, second} {
		if diff := cmp.Diff([]int64{3, 4, 5, 6, 7, 8, 9}, l.applied); diff != "" {
			t.Errorf("subscriber %d: %s", n, diff)
		}
	}
	if f.Sequence() != 9 {
		t.Errorf("it stands at %d", f.Sequence())
	}
}

func TestFollowerReadsMoreThanAPage(t *testing.T) {
	feed, l := &fakeFeed{}, &listener{}
	feed.commit(1234)
	f := storage.Follow(feed, time.Now, 0, l)
	catchUp(t, f)
	if f.Sequence() != 1234 || len(l.applied) != 1234 || !slices.IsSorted(l.applied) {
		t.Errorf("it stands at %d after %d changes", f.Sequence(), len(l.applied))
	}
}

func TestFollowerStopsAtAGap(t *testing.T) {
	feed, l := &fakeFeed{}, &listener{}
	feed.commit(5)
	feed.changes = slices.Delete(feed.changes, 3, 4)
	f := storage.Follow(feed, time.Now, 0, l)
	for range 2 {
		if err := f.CatchUp(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, l.applied); diff != "" || f.Sequence() != 3 {
		t.Errorf("it stands at %d: %s", f.Sequence(), diff)
	}
}

func TestFollowerStopsAtASubscriberThatFailsAndGoesOnFromThere(t *testing.T) {
	feed, first, second := &fakeFeed{}, &listener{}, &listener{}
	feed.commit(3)
	f := storage.Follow(feed, time.Now, 0, first, second)
	second.fails = 2
	if err := f.CatchUp(t.Context()); !errors.Is(err, errListener) {
		t.Fatalf("got %v", err)
	}
	if f.Sequence() != 1 {
		t.Errorf("it stands at %d, behind a change that was not applied", f.Sequence())
	}
	second.fails = 0
	catchUp(t, f)
	// The first subscriber sees change 2 again: that is why Apply must be idempotent.
	if diff := cmp.Diff([]int64{1, 2, 2, 3}, first.applied); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, second.applied); diff != "" {
		t.Error(diff)
	}
}

func TestFollowerAgeIsCountedFromTheStartOfTheLastGoodRound(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	feed, l := &fakeFeed{}, &listener{}
	f := storage.Follow(feed, func() time.Time { return clock }, 0, l)
	clock = clock.Add(3 * time.Second)
	if f.Age() != 3*time.Second {
		t.Errorf("age is %v", f.Age())
	}
	feed.down = true
	if err := f.CatchUp(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if f.Age() != 3*time.Second {
		t.Errorf("a round that failed made age %v", f.Age())
	}
	feed.down = false
	feed.commit(1)
	l.during = func() { clock = clock.Add(time.Second) }
	catchUp(t, f)
	if f.Age() != time.Second {
		t.Errorf("age is %v, want the second that the round took", f.Age())
	}
}

func TestFollowerRunsUntilItsContextEndsAndReportsFailureAndRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, l := &fakeFeed{}, &listener{}
		f := storage.Follow(feed, time.Now, 0, l)
		ctx, cancel := context.WithCancel(t.Context())
		var reports []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Run(ctx, 200*time.Millisecond, func(err error) { reports = append(reports, err) })
		}()
		feed.commit(1)
		time.Sleep(time.Second)
		synctest.Wait()
		if f.Sequence() != 1 || len(reports) != 0 || f.Age() > 200*time.Millisecond {
			t.Errorf("after a second: at %d, age %v, reported %v", f.Sequence(), f.Age(), reports)
		}
		feed.set(true)
		time.Sleep(450 * time.Millisecond)
		synctest.Wait()
		feed.set(false)
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		if len(reports) != 3 || !errors.Is(reports[0], storage.ErrUnavailable) || reports[2] != nil {
			t.Errorf("reported %v, want two failures and a recovery", reports)
		}
		cancel()
		<-done
	})
}

func TestFollowerFollowsAStore(t *testing.T) {
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	m := &mirror{tenants: map[string]string{}}
	f := storage.Follow(store, time.Now, 0, m)
	// Writers and the follower work at once; what is committed before a round is applied by it.
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			for round := range 5 {
				if err := rename(t.Context(), store, fmt.Sprint(n), fmt.Sprint(round)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for f.Sequence() < 20 && !t.Failed() {
		catchUp(t, f)
	}
	writers.Wait()
	if diff := cmp.Diff(map[string]string{"0": "4", "1": "4", "2": "4", "3": "4"}, m.tenants); diff != "" {
		t.Error(diff)
	}
}

func catchUp(t *testing.T, f *storage.Follower) {
	t.Helper()
	if err := f.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rename inserts or updates a tenant under the authority sequence.
func rename(ctx context.Context, store storage.Store, id, name string) error {
	for {
		at, err := store.Sequence(ctx)
		if err != nil {
			return err
		}
		err = store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
			if err := tx.Advance(ctx, at); err != nil {
				return err
			}
			tenant, err := storage.Get[storage.Tenant](ctx, tx, id)
			if errors.Is(err, storage.ErrNotFound) {
				return tx.Insert(ctx, &storage.Tenant{Meta: storage.Meta{ID: id}, Name: name})
			}
			if err != nil {
				return err
			}
			tenant.Name = name
			return tx.Update(ctx, tenant)
		})
		if !errors.Is(err, storage.ErrStale) {
			return err
		}
	}
}

// mirror keeps the names of tenants.
type mirror struct{ tenants map[string]string }

func (m *mirror) Apply(ctx context.Context, r storage.Reader, change storage.Change) error {
	for _, item := range change.Items {
		tenant, err := storage.Get[storage.Tenant](ctx, r, item.ID)
		if err != nil {
			return err
		}
		m.tenants[item.ID] = tenant.Name
	}
	return nil
}

var errListener = errors.New("the listener fails")

// listener remembers the sequences it was told of, and fails at one of them.
type listener struct {
	applied []int64
	fails   int64
	during  func()
}

func (l *listener) Apply(_ context.Context, _ storage.Reader, change storage.Change) error {
	if change.Sequence == l.fails {
		return errListener
	}
	if l.during != nil {
		l.during()
	}
	l.applied = append(l.applied, change.Sequence)
	return nil
}

// fakeFeed is a store of which only the feed exists.
type fakeFeed struct {
	storage.Store
	mu      sync.Mutex
	changes []storage.Change
	down    bool
}

func (f *fakeFeed) commit(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.changes = append(f.changes, storage.Change{Sequence: int64(len(f.changes) + 1)})
	}
}

func (f *fakeFeed) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fakeFeed) Changes(_ context.Context, after int64, limit int) ([]storage.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, storage.ErrUnavailable
	}
	var page []storage.Change
	for _, c := range f.changes {
		if c.Sequence > after && len(page) < limit {
			page = append(page, c)
		}
	}
	return page, nil
}
