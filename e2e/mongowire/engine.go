package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// state is everything that is stored, at one point of time.
type state struct {
	sequence    uint64
	time        primitive.Timestamp
	collections *btree.Map[string, *collection]
}

func (s *state) collection(ns string) *collection {
	c, _ := s.collections.Get(ns)
	return c
}

// engine holds the newest state and lets one writer at a time make the next one.
type engine struct {
	lifetime time.Duration // of a transaction

	mu      sync.Mutex // the writer lock
	head    *state
	open    map[*transaction]struct{}
	intents *btree.BTreeG[intent]

	durable  atomic.Pointer[state] // what is on disk, or head where there is no disk
	log      *log                  // nil: memory only
	sessions sessions

	pinning sync.Mutex
	pins    map[primitive.Timestamp]*pin
}

// intent says that an open transaction has written a document (the index _id_), has taken or freed a key of a unique index,
// or is the one that makes a collection (no index).
type intent struct {
	ns    string
	index string
	key   []any
	owner *transaction
}

func newEngine(lifetime time.Duration) *engine {
	less := func(a, b intent) bool {
		if a.ns != b.ns {
			return a.ns < b.ns
		}
		if a.index != b.index {
			return a.index < b.index
		}
		if order := compareKeys(a.key, b.key, nil); order != 0 {
			return order < 0
		}
		return len(a.key) < len(b.key)
	}
	e := &engine{
		lifetime: lifetime,
		head:     &state{collections: new(btree.Map[string, *collection])},
		open:     map[*transaction]struct{}{},
		intents:  btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}),
		pins:     map[primitive.Timestamp]*pin{},
		sessions: sessions{byID: map[string]*session{}},
	}
	e.durable.Store(e.head)
	return e
}

// tick is the time of the next state: later than the last one, also over a restart.
func (e *engine) tick() primitive.Timestamp {
	now := uint32(time.Now().Unix())
	if last := e.head.time; now <= last.T {
		return primitive.Timestamp{T: last.T, I: last.I + 1}
	}
	return primitive.Timestamp{T: now, I: 1}
}

// commit makes an edit the newest state and returns the sequence number that must be durable before anybody is told. An edit that changed
// nothing depends on what it has read, so on the newest state. The writer lock is held.
func (e *engine) commit(d *edit, outcome *outcome) uint64 {
	if len(d.ops) == 0 {
		return e.head.sequence
	}
	next := &state{sequence: e.head.sequence + 1, time: e.tick(), collections: d.collections}
	e.head = next
	if e.log == nil {
		e.durable.Store(next)
	} else {
		e.log.append(encodeRecord(next, d.ops, outcome), next)
	}
	return next.sequence
}

// settle waits until a sequence number is on disk.
func (e *engine) settle(sequence uint64) error {
	if e.log == nil {
		return nil
	}
	return e.log.wait(sequence)
}

const (
	maxPins  = 1000
	pinnedIn = 5 * time.Minute // as long as MongoDB keeps snapshots
)

type pin struct {
	state *state
	used  time.Time
}

// pin keeps the durable state for later reads at its time.
func (e *engine) pin() *state {
	e.pinning.Lock()
	defer e.pinning.Unlock()
	now := e.durable.Load()
	if len(e.pins) >= maxPins {
		oldest := now.time
		for at, p := range e.pins {
			if first := e.pins[oldest]; first == nil || p.used.Before(first.used) {
				oldest = at
			}
		}
		delete(e.pins, oldest)
	}
	e.pins[now.time] = &pin{state: now, used: time.Now()}
	return now
}

// pinned returns the state of a time that pin has given out.
func (e *engine) pinned(at primitive.Timestamp) (*state, error) {
	e.pinning.Lock()
	defer e.pinning.Unlock()
	p := e.pins[at]
	if p == nil {
		return nil, fail(codeSnapshotTooOld, "the snapshot at %d.%d is not kept", at.T, at.I)
	}
	p.used = time.Now()
	return p.state, nil
}

// sweep ends what has outlived its time: transactions, snapshots, sessions.
func (e *engine) sweep(now time.Time) {
	e.mu.Lock()
	for t := range e.open {
		if now.Sub(t.started) > e.lifetime {
			e.finish(t, aborted)
		}
	}
	e.mu.Unlock()
	e.pinning.Lock()
	for at, p := range e.pins {
		if now.Sub(p.used) > pinnedIn {
			delete(e.pins, at)
		}
	}
	e.pinning.Unlock()
	e.sessions.sweep(now)
}
