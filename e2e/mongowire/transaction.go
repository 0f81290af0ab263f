package main

import (
	"time"
)

type phase int

const (
	open phase = iota
	committed
	aborted
)

// transaction reads the state at its first operation and its own writes. phase, intents and the end are under the writer lock; edit belongs
// to whoever holds the session.
type transaction struct {
	number  int64
	started time.Time
	phase   phase
	edit    *edit
	intents []intent
	settled uint64        // the sequence number that a commit has to wait for
	done    chan struct{} // closed at the end; nil for one that the log remembers
}

func (e *engine) begin(number int64) *transaction {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &transaction{number: number, started: time.Now(), done: make(chan struct{})}
	t.edit = e.edit(t)
	e.open[t] = struct{}{}
	return t
}

// alive returns the answer to a command on a transaction that has ended, nil for an open one.
func (e *engine) alive(t *transaction) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return t.ended()
}

func (t *transaction) ended() error {
	switch t.phase {
	case committed:
		return fail(codeTransactionCommitted, "Transaction %d has been committed.", t.number)
	case aborted:
		return noTransaction(t.number)
	case open:
	}
	return nil
}

// finish ends an open transaction, and nothing else. The writer lock is held.
func (e *engine) finish(t *transaction, as phase) {
	if t == nil || t.phase != open {
		return
	}
	t.phase = as
	for _, i := range t.intents {
		e.intents.Delete(i)
	}
	t.intents = nil
	delete(e.open, t)
	close(t.done)
}

func (e *engine) abort(t *transaction) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finish(t, aborted)
}

// commitTransaction applies what a transaction has written to the newest state. Nobody else has touched any of it, because of the intents.
func (e *engine) commitTransaction(t *transaction, s *session) error {
	if err := e.applyTransaction(t, s); err != nil {
		return err
	}
	return e.settle(t.settled)
}

func (e *engine) applyTransaction(t *transaction, s *session) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.phase == committed {
		return nil
	}
	if err := t.ended(); err != nil {
		return err
	}
	d := e.edit(t)
	for _, o := range t.edit.ops {
		if err := d.apply(o); err != nil {
			e.finish(t, aborted)
			return err
		}
	}
	// A transaction that only read is acknowledged when what it has read is on disk.
	t.settled = t.edit.base.sequence
	if len(d.ops) > 0 {
		t.settled = e.commit(d, &outcome{session: s.id, number: t.number, command: "commitTransaction"})
	}
	t.edit = nil
	e.finish(t, committed)
	return nil
}
