package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Remote is a Store that can be away.
type Remote interface {
	Store
	// Beat returns nil if the store takes writes now: it must write something that no reader sees, as lasting as any write. It is asked
	// only when there is doubt.
	Beat(ctx context.Context) error
}

// Serves is how much of a store there is.
type Serves int

// The store answers; it answers reads and no writes; it does not answer.
const (
	ServesAll Serves = iota
	ServesReads
	ServesNothing
)

// BreakerConfig says how long a store may take before it counts as away.
type BreakerConfig struct {
	// Patience is how long a call may take before the store is asked whether it is there; it must be positive.
	Patience time.Duration
	// Probe is how long the store may take to say so, and Pause how long it is left alone before it is asked again; both must be positive.
	Probe, Pause time.Duration
	// Report, if not nil, is told how much of the store there is when that changes.
	Report func(Serves)
}

// Breaker is a Store that refuses calls at once while the store behind it is away, so that requests do not pile up behind one that does
// not answer.
//
// Whether it is away is said by [Store.Ping] alone, and whether its writes are by [Remote.Beat] alone, never by the failure of a call: a call
// that fails or takes longer than Patience only makes the breaker ask, about writes only where the call was one. If there is no answer
// the store, or what writes in it, is away: whatever is under way of that is cancelled, with a cause that is an ErrUnavailable, and each
// such call is an ErrUnavailable until a later question is answered. So no call is ever the one that tries whether the store is back.
// While only writes are away, reads go on.
type Breaker struct {
	store  Remote
	config BreakerConfig
	// life ends with Close, and with it whatever asks.
	life    context.Context
	end     context.CancelFunc
	asking  sync.WaitGroup
	refused atomic.Int64
	// written counts writes that the store has acknowledged.
	written atomic.Int64

	mu     sync.Mutex
	closed bool
	// all is the store as a whole, writes what writes in it.
	all, writes part
	told        Serves
	telling     sync.Mutex
}

// part of a store is there or away.
type part struct {
	away, probing bool
	outages       int64
	// era is done, with errAway, when the part goes away; there is a new one when it is back.
	era    context.Context
	endEra context.CancelCauseFunc
}

var _ Store = (*Breaker)(nil)

// errAway is what a call gets while the store is away.
var errAway = fmt.Errorf("the store is away: %w", ErrUnavailable)

// NewBreaker puts a breaker in front of a store, which it closes with itself. The store counts as there until it does not answer.
func NewBreaker(ctx context.Context, store Remote, config BreakerConfig) *Breaker {
	b := &Breaker{store: store, config: config}
	b.life, b.end = context.WithCancel(context.WithoutCancel(ctx))
	b.all.begin(b.life)
	b.writes.begin(b.life)
	return b
}

func (p *part) begin(ctx context.Context) {
	p.away = false
	p.era, p.endEra = context.WithCancelCause(ctx)
}

// Serves is how much of the store there is now.
func (b *Breaker) Serves() Serves {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.serves()
}

func (b *Breaker) serves() Serves {
	switch {
	case b.all.away:
		return ServesNothing
	case b.writes.away:
		return ServesReads
	}
	return ServesAll
}

// Refused is how many calls were refused.
func (b *Breaker) Refused() int64 { return b.refused.Load() }

// Outages is how often the store, or what writes in it, went away.
func (b *Breaker) Outages() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.outages + b.writes.outages
}

// read runs a call of the store that writes nothing.
func (b *Breaker) read(ctx context.Context, call func(ctx context.Context) error) error {
	return b.guard(ctx, call, &b.all)
}

// write runs one that writes.
func (b *Breaker) write(ctx context.Context, call func(ctx context.Context) error) error {
	err := b.guard(ctx, call, &b.all, &b.writes)
	if err == nil {
		b.written.Add(1)
	}
	return err
}

// guard runs one call, which needs these parts of the store.
func (b *Breaker) guard(ctx context.Context, call func(ctx context.Context) error, needs ...*part) error {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	eras := make([]context.Context, 0, 2)
	b.mu.Lock()
	for _, p := range needs {
		if !p.away {
			eras = append(eras, p.era)
		}
	}
	b.mu.Unlock()
	if len(eras) < len(needs) {
		b.refused.Add(1)
		return errAway
	}
	for _, era := range eras {
		defer context.AfterFunc(era, func() { cancel(errAway) })()
	}
	suspect := func() {
		for _, p := range needs {
			b.suspect(p)
		}
	}
	defer time.AfterFunc(b.config.Patience, suspect).Stop()
	err := call(within)
	if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	if errors.Is(context.Cause(within), errAway) {
		return errAway // and not that somebody cancelled it
	}
	suspect()
	return err
}

// suspect asks whether a part of the store is there, unless that is being asked already.
func (b *Breaker) suspect(p *part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.probing || b.closed {
		return
	}
	p.probing = true
	probe := b.probe
	if p == &b.writes {
		probe = b.probeWrites
	}
	b.asking.Go(probe)
}

// answers asks one question.
func (b *Breaker) answers(question func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(b.life, b.config.Probe)
	defer cancel()
	return question(ctx) == nil
}

func (b *Breaker) pause() {
	select {
	case <-time.After(b.config.Pause):
	case <-b.life.Done():
	}
}

// probe asks until there is an answer.
func (b *Breaker) probe() {
	for !b.heard(&b.all, b.answers(b.store.Ping)) {
		b.pause()
	}
}

// probeWrites asks whether the store takes writes until it does. That it does not is believed where the store has taken none of anybody
// meanwhile, and answers all the same: if it does not, that is another's to say.
func (b *Breaker) probeWrites() {
	for {
		b.mu.Lock()
		outages, written := b.all.outages, b.written.Load()
		b.mu.Unlock()
		answered := b.answers(b.store.Beat) || b.written.Load() != written
		if !answered && (!b.answers(b.store.Ping) || b.otherwise(outages)) {
			b.mu.Lock()
			known := b.writes.away && !b.closed
			b.writes.probing = known
			b.mu.Unlock()
			if !known {
				return
			}
		} else if b.heard(&b.writes, answered) {
			return
		}
		b.pause()
	}
}

// otherwise says whether the whole store is away, or was since it had been so many times.
func (b *Breaker) otherwise(outages int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.away || b.all.outages != outages
}

// heard draws the conclusion from an answer or its absence, and says whether to stop asking.
func (b *Breaker) heard(p *part, answered bool) (enough bool) {
	b.mu.Lock()
	switch {
	case b.closed, p.away != answered:
	case answered:
		p.begin(b.life)
	default:
		p.away = true
		p.outages++
		p.endEra(errAway)
	}
	enough = answered || b.closed
	if enough {
		p.probing = false
	}
	b.mu.Unlock()
	b.tell()
	return enough
}

// tell reports what has changed, one change after the other.
func (b *Breaker) tell() {
	b.telling.Lock()
	defer b.telling.Unlock()
	b.mu.Lock()
	now, before := b.serves(), b.told
	b.told = now
	changed := now != before && !b.closed
	b.mu.Unlock()
	if changed && b.config.Report != nil {
		b.config.Report(now)
	}
}

// Get implements Reader.
func (b *Breaker) Get(ctx context.Context, into Record, id string) error {
	return b.read(ctx, func(ctx context.Context) error { return b.store.Get(ctx, into, id) })
}

// Lookup implements Reader.
func (b *Breaker) Lookup(ctx context.Context, into Record, index, value string) error {
	return b.read(ctx, func(ctx context.Context) error { return b.store.Lookup(ctx, into, index, value) })
}

// List implements Reader.
func (b *Breaker) List(ctx context.Context, kind Kind, q Query) (records []Record, err error) {
	err = b.read(ctx, func(ctx context.Context) (err error) { records, err = b.store.List(ctx, kind, q); return err })
	return records, err
}

// Sequence implements Reader.
func (b *Breaker) Sequence(ctx context.Context) (sequence int64, err error) {
	err = b.read(ctx, func(ctx context.Context) (err error) { sequence, err = b.store.Sequence(ctx); return err })
	return sequence, err
}

// Insert implements Writer.
func (b *Breaker) Insert(ctx context.Context, r Record) error {
	return b.write(ctx, func(ctx context.Context) error { return b.store.Insert(ctx, r) })
}

// Update implements Writer.
func (b *Breaker) Update(ctx context.Context, r Record) error {
	return b.write(ctx, func(ctx context.Context) error { return b.store.Update(ctx, r) })
}

// Delete implements Writer.
func (b *Breaker) Delete(ctx context.Context, kind Kind, id string, version int64) error {
	return b.write(ctx, func(ctx context.Context) error { return b.store.Delete(ctx, kind, id, version) })
}

// Txn implements Store.
func (b *Breaker) Txn(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return b.write(ctx, func(ctx context.Context) error { return b.store.Txn(ctx, fn) })
}

// Changes implements Store.
func (b *Breaker) Changes(ctx context.Context, after int64, limit int) (changes []Change, err error) {
	err = b.read(ctx, func(ctx context.Context) (err error) { changes, err = b.store.Changes(ctx, after, limit); return err })
	return changes, err
}

// Restore implements Store.
func (b *Breaker) Restore(ctx context.Context, records []Record, sequence int64) error {
	return b.write(ctx, func(ctx context.Context) error { return b.store.Restore(ctx, records, sequence) })
}

// Purge implements Store.
func (b *Breaker) Purge(ctx context.Context, now time.Time) (n int, err error) {
	err = b.write(ctx, func(ctx context.Context) (err error) { n, err = b.store.Purge(ctx, now); return err })
	return n, err
}

// Ping implements Store.
func (b *Breaker) Ping(ctx context.Context) error { return b.read(ctx, b.store.Ping) }

// Describe implements Store.
func (b *Breaker) Describe() string { return b.store.Describe() }

// Close implements Store. Calls after it are those of a closed store.
func (b *Breaker) Close() error {
	b.mu.Lock()
	b.closed, b.all.away, b.writes.away = true, false, false
	b.mu.Unlock()
	b.end()
	b.asking.Wait()
	return b.store.Close()
}
