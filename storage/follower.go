package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Subscriber is told of committed authority changes, one at a time and in order. It must be idempotent: it reads the state
// of the records named, which may be newer than the change. An error stops the follower until the next round.
type Subscriber interface {
	Apply(ctx context.Context, r Reader, change Change) error
}

// Poller is a Subscriber that also follows what is not in the feed, because it changes without the authority sequence. It is asked in each
// round, after the changes; an error is an error of the round.
type Poller interface {
	Poll(ctx context.Context, r Reader) error
}

// Follower reads the change feed and hands each change to every subscriber. It is the one place where freshness is known.
type Follower struct {
	store       Store
	now         func() time.Time
	subscribers []Subscriber

	mu       sync.Mutex
	sequence atomic.Int64
	checked  atomic.Int64 // UnixNano of the start of the last round that succeeded
}

const feedPage = 500

// Follow returns a follower that stands at sequence at: the subscribers have loaded the state of at or later.
func Follow(store Store, now func() time.Time, at int64, subscribers ...Subscriber) *Follower {
	f := &Follower{store: store, now: now, subscribers: subscribers}
	f.sequence.Store(at)
	f.checked.Store(now().UnixNano())
	return f
}

// Sequence is the authority sequence up to which the subscribers are current.
func (f *Follower) Sequence() int64 { return f.sequence.Load() }

// Age is how long ago the subscribers were last known to be current.
func (f *Follower) Age() time.Duration { return time.Duration(f.now().UnixNano() - f.checked.Load()) }

// CatchUp applies everything committed before the call. A gap in the feed is an error: nothing behind it is applied.
func (f *Follower) CatchUp(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	started := f.now().UnixNano()
	for {
		changes, err := f.store.Changes(ctx, f.sequence.Load(), feedPage)
		if err != nil {
			return fmt.Errorf("read changes: %w", err)
		}
		for _, change := range changes {
			if want := f.sequence.Load() + 1; change.Sequence != want {
				return fmt.Errorf("change feed has a gap: want sequence %d, got %d: %w", want, change.Sequence, ErrUnavailable)
			}
			for _, s := range f.subscribers {
				if err := s.Apply(ctx, f.store, change); err != nil {
					return fmt.Errorf("apply change %d: %w", change.Sequence, err)
				}
			}
			f.sequence.Store(change.Sequence)
		}
		if len(changes) < feedPage {
			for _, s := range f.subscribers {
				if p, ok := s.(Poller); ok {
					if err := p.Poll(ctx, f.store); err != nil {
						return fmt.Errorf("poll: %w", err)
					}
				}
			}
			f.checked.Store(started)
			return nil
		}
	}
}

// Run catches up every interval until ctx is done. report is told of each round that failed, and with nil of the first good
// one after a failure.
func (f *Follower) Run(ctx context.Context, interval time.Duration, report func(error)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := f.CatchUp(ctx)
		switch {
		case err != nil && !errors.Is(err, context.Canceled):
			failing = true
			report(err)
		case err == nil && failing:
			failing = false
			report(nil)
		}
	}
}
