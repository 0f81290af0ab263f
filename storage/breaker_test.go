package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-authz/writ/storage"
)

// moody is a store that answers, fails or hangs.
type moody struct {
	storage.Store
	calls, pings, beats atomic.Int64
	mu                  sync.Mutex
	call, ping, beat    func(ctx context.Context) error
	closed              bool
}

func (m *moody) does(call, ping func(ctx context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.call, m.ping, m.beat = call, ping, ping
}

// writes makes it take writes in another way than it answers.
func (m *moody) writes(does func(ctx context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beat = does
}

func (m *moody) Update(ctx context.Context, _ storage.Record) error {
	m.mu.Lock()
	beat := m.beat
	m.mu.Unlock()
	return beat(ctx)
}

func (m *moody) Beat(ctx context.Context) error {
	m.beats.Add(1)
	return m.Update(ctx, nil)
}

func (m *moody) Get(ctx context.Context, _ storage.Record, _ string) error {
	m.calls.Add(1)
	m.mu.Lock()
	call := m.call
	m.mu.Unlock()
	return call(ctx)
}

func (m *moody) Ping(ctx context.Context) error {
	m.pings.Add(1)
	m.mu.Lock()
	ping := m.ping
	m.mu.Unlock()
	return ping(ctx)
}

func (m *moody) Close() error { m.closed = true; return nil }

func answers(context.Context) error { return nil }
func fails(context.Context) error   { return fmt.Errorf("cut: %w", storage.ErrUnavailable) }

// hangs as a store does whose packets are dropped.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", storage.ErrUnavailable, ctx.Err())
}

const (
	patience = 300 * time.Millisecond
	probe    = 1700 * time.Millisecond
	pause    = 100 * time.Millisecond
)

// broken runs a test with a breaker in front of a moody store, on a clock that is not the world's.
func broken(t *testing.T, test func(t *testing.T, m *moody, get func(ctx context.Context) error, b *storage.Breaker, told *[]storage.Serves)) {
	synctest.Test(t, func(t *testing.T) {
		m, told := &moody{call: answers, ping: answers, beat: answers}, []storage.Serves{}
		b := storage.NewBreaker(t.Context(), m, storage.BreakerConfig{
			Patience: patience, Probe: probe, Pause: pause, Report: func(s storage.Serves) { told = append(told, s) },
		})
		defer func() {
			if err := b.Close(); err != nil || !m.closed {
				t.Errorf("close: %v, the store is closed: %v", err, m.closed)
			}
		}()
		get := func(ctx context.Context) error { return b.Get(ctx, new(storage.Tenant), "x") }
		test(t, m, get, b, &told)
	})
}

func TestABreakerIsInNobodysWayWhileTheStoreAnswers(t *testing.T) {
	broken(t, func(t *testing.T, m *moody, get func(ctx context.Context) error, b *storage.Breaker, told *[]storage.Serves) {
		for _, answer := range []error{nil, storage.ErrNotFound, storage.ErrStale, storage.ErrConflict} {
			m.does(func(context.Context) error { return answer }, answers)
			if err := get(t.Context()); !errors.Is(err, answer) {
				t.Errorf("got %v, want %v", err, answer)
			}
		}
		synctest.Wait()
		if m.pings.Load() != 0 {
			t.Error("it asks a store that answers")
		}
		// A call that fails makes it ask, once; one that takes long too, and is left alone.
		m.does(fails, answers)
		if err := get(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		m.does(func(ctx context.Context) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, answers)
		if err := get(t.Context()); err != nil {
			t.Errorf("a long call: %v", err)
		}
		if m.pings.Load() != 2 || m.beats.Load() != 0 || b.Serves() != storage.ServesAll || b.Outages() != 0 || b.Refused() != 0 || len(*told) != 0 {
			t.Errorf("%d questions, serves %v, %d outages, %d refused, told %v", m.pings.Load(), b.Serves(), b.Outages(), b.Refused(), *told)
		}
		// A caller who gives up says nothing about the store.
		m.does(hangs, answers)
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		if err := get(ctx); !errors.Is(err, context.DeadlineExceeded) || m.pings.Load() != 2 {
			t.Errorf("got %v and %d questions", err, m.pings.Load())
		}
	})
}

func TestABreakerLetsGoOfAStoreThatIsAway(t *testing.T) {
	broken(t, func(t *testing.T, m *moody, get func(ctx context.Context) error, b *storage.Breaker, told *[]storage.Serves) {
		m.does(hangs, hangs)
		began := time.Now()
		var all sync.WaitGroup
		for i := range 50 { // whoever came while nobody knew is let go together
			all.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
				err := get(t.Context())
				if !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.Canceled) {
					t.Errorf("call %d: %v", i, err)
				}
				if took := time.Since(began); took != patience+probe {
					t.Errorf("call %d was let go after %s, want %s", i, took, patience+probe)
				}
			})
		}
		all.Wait()
		calls := m.calls.Load()
		now := time.Now()
		for range 1000 {
			if err := get(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
		}
		if err := b.Ping(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("ping: %v", err)
		}
		if took := time.Since(now); took != 0 || m.calls.Load() != calls {
			t.Errorf("1000 calls took %s, and %d of them reached the store", took, m.calls.Load()-calls)
		}
		// It is asked again and again, by nobody's request, one question at a time.
		pings := m.pings.Load()
		time.Sleep(10 * (probe + pause))
		if asked := m.pings.Load() - pings; asked < 9 || asked > 11 || m.calls.Load() != calls {
			t.Errorf("%d questions in the time of ten, and %d calls", asked, m.calls.Load()-calls)
		}
		if b.Serves() != storage.ServesNothing || b.Outages() != 1 || b.Refused() != 1001 {
			t.Errorf("serves %v, %d outages, %d refused", b.Serves(), b.Outages(), b.Refused())
		}
		m.does(answers, answers)
		time.Sleep(probe + pause + 1)
		if err := get(t.Context()); err != nil || b.Serves() != storage.ServesAll {
			t.Errorf("after it is back: %v, serves %v", err, b.Serves())
		}
		// What is under way in the next outage is let go of as well.
		m.does(hangs, fails)
		began = time.Now()
		if err := get(t.Context()); !errors.Is(err, storage.ErrUnavailable) || time.Since(began) != patience {
			t.Errorf("the next outage: %v after %s", err, time.Since(began))
		}
		want := []storage.Serves{storage.ServesNothing, storage.ServesAll, storage.ServesNothing}
		if !slices.Equal(*told, want) || b.Outages() != 2 {
			t.Errorf("told %v, want %v; %d outages", *told, want, b.Outages())
		}
	})
}

// TestABreakerTellsWhoItCancelsThatTheStoreIsAway: a store that finishes something after its caller has gone need not wait for it.
func TestABreakerTellsWhoItCancelsThatTheStoreIsAway(t *testing.T) {
	broken(t, func(t *testing.T, m *moody, get func(ctx context.Context) error, _ *storage.Breaker, _ *[]storage.Serves) {
		var cause error
		m.does(func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return nil // it took place all the same
		}, hangs)
		if err := get(t.Context()); err != nil || !errors.Is(cause, storage.ErrUnavailable) {
			t.Errorf("got %v, the cause is %v", err, cause)
		}
	})
}

func TestAClosedBreakerAsksNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{call: fails, ping: hangs, beat: hangs}
		b := storage.NewBreaker(t.Context(), m, storage.BreakerConfig{Patience: patience, Probe: probe, Pause: pause})
		if err := b.Get(t.Context(), new(storage.Tenant), "x"); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		began := time.Now()
		if err := b.Close(); err != nil || time.Since(began) != 0 {
			t.Errorf("close: %v after %s", err, time.Since(began))
		}
		pings := m.pings.Load()
		_ = b.Get(t.Context(), new(storage.Tenant), "x")
		time.Sleep(time.Minute)
		if m.pings.Load() != pings {
			t.Error("it asks on")
		}
	}) // fails if anything is left running
}

// TestABreakerLetsGoOfWritesThatHang: a primary that has lost its majority answers reads and hangs in writes. Reads go on.
func TestABreakerLetsGoOfWritesThatHang(t *testing.T) {
	broken(t, func(t *testing.T, m *moody, get func(ctx context.Context) error, b *storage.Breaker, told *[]storage.Serves) {
		put := func() error { return b.Update(t.Context(), new(storage.Tenant)) }
		for range 3 {
			if err := put(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Hour)
		if m.beats.Load() != 0 || m.pings.Load() != 0 {
			t.Error("a store that takes writes is asked")
		}
		m.writes(hangs)
		began := time.Now()
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				if err := put(); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.Canceled) {
					t.Errorf("write %d: %v", i, err)
				}
				if took := time.Since(began); took != patience+probe {
					t.Errorf("write %d was let go after %s, want %s", i, took, patience+probe)
				}
				if err := get(t.Context()); err != nil {
					t.Errorf("a read beside: %v", err)
				}
			})
		}
		all.Wait()
		now := time.Now()
		for range 100 {
			if err := put(); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			if err := errors.Join(get(t.Context()), b.Ping(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(now); took != 0 || b.Serves() != storage.ServesReads || b.Outages() != 1 || b.Refused() != 100 {
			t.Errorf("100 writes took %s, serves %v, %d outages, %d refused", took, b.Serves(), b.Outages(), b.Refused())
		}
		beats := m.beats.Load()
		time.Sleep(10 * (probe + pause))
		if asked := m.beats.Load() - beats; asked < 9 || asked > 11 {
			t.Errorf("%d questions in the time of ten", asked)
		}
		// Worse, and better again, by steps.
		m.does(hangs, hangs)
		if err := get(t.Context()); !errors.Is(err, storage.ErrUnavailable) || b.Serves() != storage.ServesNothing {
			t.Errorf("everything hangs: %v, serves %v", err, b.Serves())
		}
		m.does(answers, answers)
		m.writes(hangs)
		time.Sleep(probe + pause + 1)
		if err := get(t.Context()); err != nil || b.Serves() != storage.ServesReads || !errors.Is(put(), storage.ErrUnavailable) {
			t.Errorf("reads are back: %v, serves %v", err, b.Serves())
		}
		m.writes(answers)
		time.Sleep(probe + pause + 1)
		if err := put(); err != nil || b.Serves() != storage.ServesAll {
			t.Errorf("writes are back: %v, serves %v", err, b.Serves())
		}
		want := []storage.Serves{storage.ServesReads, storage.ServesNothing, storage.ServesReads, storage.ServesAll}
		if !slices.Equal(*told, want) {
			t.Errorf("told %v, want %v", *told, want)
		}
		beats = m.beats.Load()
		time.Sleep(time.Hour)
		if m.beats.Load() != beats {
			t.Error("it writes at rest")
		}
	})
}

// TestAStoreThatIsAwayIsOneOutage: that writes hang too is said by nobody.
func TestAStoreThatIsAwayIsOneOutage(t *testing.T) {
	for name, ping := range map[string]func(context.Context) error{"hangs": hangs, "fails": fails} {
		broken(t, func(t *testing.T, m *moody, get func(ctx context.Context) error, b *storage.Breaker, told *[]storage.Serves) {
			m.does(ping, ping)
			if err := b.Update(t.Context(), new(storage.Tenant)); !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(10 * probe)
			m.does(answers, answers)
			time.Sleep(probe + pause + 1)
			if err := errors.Join(get(t.Context()), b.Update(t.Context(), new(storage.Tenant))); err != nil {
				t.Errorf("%s: after it is back: %v", name, err)
			}
			if !slices.Equal(*told, []storage.Serves{storage.ServesNothing, storage.ServesAll}) || b.Outages() != 1 {
				t.Errorf("%s: told %v, %d outages", name, *told, b.Outages())
			}
		})
	}
}

// TestWritesThatAreSlowAreNotAway: a store that takes the writes of others while one question takes too long is busy.
func TestWritesThatAreSlowAreNotAway(t *testing.T) {
	broken(t, func(t *testing.T, m *moody, _ func(ctx context.Context) error, b *storage.Breaker, told *[]storage.Serves) {
		m.writes(func(ctx context.Context) error {
			select {
			case <-time.After(probe + pause):
				return nil
			case <-ctx.Done():
				return hangs(ctx)
			}
		})
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * patience)
				if err := b.Update(t.Context(), new(storage.Tenant)); err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			})
		}
		all.Wait()
		if len(*told) != 0 || m.beats.Load() == 0 {
			t.Errorf("told %v, asked %d times", *told, m.beats.Load())
		}
	})
}
