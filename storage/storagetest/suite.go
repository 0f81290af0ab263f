package storagetest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

// Factory returns a fresh, empty store that keeps these kinds and whose clock is now. It must see to it that the store is
// closed when the test ends; the suite may have closed it before.
type Factory func(t *testing.T, kinds []storage.Kind, now func() time.Time) storage.Store

// Kinds lists the collections that the suite needs: all of Writ's, and its own.
func Kinds() []storage.Kind { return append(storage.Kinds(), ItemKind, GuardedKind) }

// Run proves the contract for the stores that open returns.
func Run(t *testing.T, open Factory) {
	t.Helper()
	s := &suite{open: open, rounds: briefRounds}
	ran, all := 0, 0
	for _, properties := range [][]property{
		inserting(), reading(), conflicts(), versions(), aliasing(), ordering(), filtering(), expiring(), cancelling(),
		transactions(), authority(), feed(), races(), roundTrips(), restoring(), closing(),
	} {
		all += len(properties)
		for _, p := range properties {
			t.Run(p.name, func(t *testing.T) {
				ran++
				p.holds(t, s)
			})
		}
	}
	if ran == all { // with -run, not all methods can have been called
		s.calls.account(t)
	}
}

// property is one sentence of the contract and its proof.
type property struct {
	name  string
	holds func(t *testing.T, s *suite)
}

type suite struct {
	open  Factory
	calls calls
	// rounds is how often each race is run.
	rounds int
}

// fresh opens a store for one test.
func (s *suite) fresh(t *testing.T) (storage.Store, *clock) {
	t.Helper()
	c := newClock()
	store := s.open(t, Kinds(), c.Now)
	return &recorder{Store: store, calls: &s.calls}, c
}

// store opens a store for a test that has no use for its clock.
func (s *suite) store(t *testing.T) storage.Store {
	t.Helper()
	store, _ := s.fresh(t)
	return store
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

// newClock returns a clock that is far ahead, so that a database that removes expired records by the real time keeps its
// hands off what the suite has yet to read.
func newClock() *clock { return &clock{now: time.Date(2126, 3, 4, 5, 6, 7, 89_000_000, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// calls counts the methods of the contract that the properties called.
type calls struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *calls) note(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[method]++
}

// account fails the test for each method of the contract that was never called.
func (c *calls) account(t *testing.T) {
	t.Helper()
	for _, contract := range []reflect.Type{reflect.TypeFor[storage.Store](), reflect.TypeFor[storage.Tx]()} {
		for i := range contract.NumMethod() {
			if method := contract.Name() + "." + contract.Method(i).Name; c.seen[method] == 0 {
				t.Errorf("no property of the suite calls %s (or recorder.go does not record it)", method)
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// wantRefused demands an error that no caller can take for an answer about the data.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error for a call that the contract forbids")
	}
	for _, answer := range []error{storage.ErrNotFound, storage.ErrConflict, storage.ErrStale} {
		if errors.Is(err, answer) {
			t.Fatalf("got error %v, which is %v, for a call that the contract forbids", err, answer)
		}
	}
}

// change runs fn in a transaction that advances the authority sequence.
func change(ctx context.Context, store storage.Store, fn func(tx storage.Tx) error) error {
	at, err := store.Sequence(ctx)
	if err != nil {
		return err
	}
	return store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, at); err != nil {
			return err
		}
		return fn(tx)
	})
}
