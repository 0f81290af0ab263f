package storagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

const (
	feedWriters = 4 // on each store
	feedCommits = 25
)

// Feed proves that the change feed is dense for whoever reads it: writers work through two stores on one database, some of
// them cut off in the middle of a transaction, and a follower on each store must neither skip nor repeat a change, and end
// where the other ends. open returns the two stores, fresh; where a database cannot be opened twice, the same one twice.
func Feed(t *testing.T, open func(t *testing.T, kinds []storage.Kind, now func() time.Time) (a, b storage.Store)) {
	t.Helper()
	clock := newClock()
	a, b := open(t, []storage.Kind{ItemKind, GuardedKind}, clock.Now)
	if a == b {
		t.Logf("one store serves as both: %s", a.Describe())
	} else {
		t.Logf("two stores on one database: %s and %s", a.Describe(), b.Describe())
	}
	l := &ledger{}
	l.run(t.Context(), a, b, clock.Now)
	t.Logf("%d transactions committed, %d cut off before the commit and %d in it", len(l.committed), len(l.cut), len(l.unknown))
	for _, finding := range l.findings {
		t.Error(finding)
	}
}

// ledger is what the writers know about their transactions, and what turned out to be wrong.
type ledger struct {
	mu sync.Mutex
	// committed and cut are those that certainly were and were not; unknown those that were cut off in their commit.
	committed, cut, unknown []string
	findings                []string
}

// run lets writers and followers work on two stores, and compares what they have in the end.
func (l *ledger) run(ctx context.Context, a, b storage.Store, now func() time.Time) {
	stores := []storage.Store{a, b}
	readers := []*reader{{present: map[string]bool{}}, {present: map[string]bool{}}}
	written := make(chan struct{})
	var writers, followers sync.WaitGroup
	for n := range feedWriters * len(stores) {
		writers.Go(func() {
			for commit := range feedCommits {
				fate := [...]int{whole, whole, whole, returned, before, during}[rand.IntN(6)]
				if err := l.write(ctx, stores[n%2], fmt.Sprintf("%d-%02d", n, commit), fate); err != nil {
					l.note(&l.findings, err.Error())
				}
			}
		})
	}
	for n, store := range stores {
		followers.Go(func() {
			if err := readers[n].follow(ctx, store, now, written); err != nil {
				l.note(&l.findings, fmt.Sprintf("follower %d: %v", n, err))
			}
		})
	}
	writers.Wait()
	// After one more change none of those that were cut off in their commit can come through any more.
	if err := l.write(ctx, a, "last", whole); err != nil {
		l.note(&l.findings, err.Error())
	}
	close(written)
	followers.Wait()
	for n, r := range readers {
		l.account(ctx, stores[n], r)
	}
	if diff := cmp.Diff(readers[0].present, readers[1].present); diff != "" {
		l.note(&l.findings, "the followers have applied different sets: "+diff)
	}
}

var errCut = errors.New("cut off")

// The fates of a transaction.
const (
	whole    = iota
	returned // its function fails
	before   // its context ends before the commit
	during   // its context ends at any moment of the commit
)

// write inserts two authority records in one transaction that has this fate.
func (l *ledger) write(ctx context.Context, store storage.Store, name string, fate int) error {
	for {
		limited, cancel := context.WithCancel(ctx)
		var late sync.WaitGroup
		reached := false
		err := change(limited, store, func(tx storage.Tx) error {
			for _, part := range []string{"-x", "-y"} {
				if err := tx.Insert(limited, guarded(name+part)); err != nil {
					return err
				}
			}
			pause()
			reached = true
			switch fate {
			case returned:
				return errCut
			case before:
				cancel()
			case during:
				late.Go(func() {
					if rand.IntN(2) == 0 {
						pause()
					}
					cancel()
				})
			}
			return nil
		})
		late.Wait()
		cancel()
		switch {
		case errors.Is(err, storage.ErrStale):
			continue
		case err == nil && (fate == whole || fate == during):
			l.note(&l.committed, name)
			return nil
		case reached && fate == returned && errors.Is(err, errCut), reached && fate == before && errors.Is(err, context.Canceled):
			l.note(&l.cut, name)
			return nil
		case reached && fate == during && errors.Is(err, storage.ErrUnavailable):
			l.note(&l.unknown, name)
			return nil
		}
		return fmt.Errorf("transaction %s with fate %d: %w", name, fate, err)
	}
}

func (l *ledger) note(list *[]string, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, name)
}

// account holds what a follower has applied, and what its store has, against what the writers know.
func (l *ledger) account(ctx context.Context, store storage.Store, r *reader) {
	at, err := store.Sequence(ctx)
	if err != nil || int64(len(r.sequences)) != at {
		l.note(&l.findings, fmt.Sprintf("%d changes were applied, the authority sequence is %d: %v", len(r.sequences), at, err))
	}
	left := maps.Clone(r.present)
	settle := func(names []string, may, must bool) {
		for _, name := range names {
			x, y := left[name+"-x"], left[name+"-y"]
			if x != y || x && !may || !x && must {
				l.note(&l.findings, fmt.Sprintf("transaction %s: its records were applied %v and %v", name, x, y))
			}
			delete(left, name+"-x")
			delete(left, name+"-y")
		}
	}
	settle(l.committed, true, true)
	settle(l.cut, false, false)
	settle(l.unknown, true, false)
	if len(left) > 0 {
		l.note(&l.findings, fmt.Sprintf("nobody wrote %v", left))
	}
	stored, err := store.List(ctx, GuardedKind, storage.Query{Limit: 1 << 12})
	if err != nil {
		l.note(&l.findings, err.Error())
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(r.present)), ids(stored)); diff != "" {
		l.note(&l.findings, "applied and stored differ: "+diff)
	}
}

// reader is the subscriber of one follower.
type reader struct {
	sequences []int64
	present   map[string]bool
}

// Apply implements storage.Subscriber.
func (r *reader) Apply(ctx context.Context, from storage.Reader, change storage.Change) error {
	if want := int64(len(r.sequences) + 1); change.Sequence != want {
		return fmt.Errorf("told of change %d, want %d", change.Sequence, want)
	}
	for _, i := range change.Items {
		// A follower may be behind what it reads, never ahead.
		if err := from.Get(ctx, new(Guarded), i.ID); err != nil || i.Deleted || i.Kind != GuardedKind.Name {
			return fmt.Errorf("change %d names %+v, which reads as %w", change.Sequence, i, err)
		}
		if r.present[i.ID] {
			return fmt.Errorf("change %d names %s again", change.Sequence, i.ID)
		}
		r.present[i.ID] = true
	}
	r.sequences = append(r.sequences, change.Sequence)
	return nil
}

// follow catches up at odd moments, now and then as a new follower that goes on where the old one stood, until done is closed
// and everything is read.
func (r *reader) follow(ctx context.Context, store storage.Store, now func() time.Time, done <-chan struct{}) error {
	f := storage.Follow(store, now, 0, r)
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
			pause()
		}
		if err := f.CatchUp(ctx); err != nil {
			return err
		}
		if rand.IntN(4) == 0 {
			f = storage.Follow(store, now, f.Sequence(), r)
		}
	}
	return nil
}

// pause lets others go first, for a moment of no particular length.
func pause() { time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) }
