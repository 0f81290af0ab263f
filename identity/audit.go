package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/storage"
)

// authorityChain holds the outcomes of authority changes, each under the sequence that the change took.
const authorityChain = "authority"

// auditTimeout bounds the write of one entry, unless the configuration does: what cannot be audited in this time does not happen.
const auditTimeout = 2 * time.Second

// The halves and the outcomes of audited events.
const (
	eventIntent  = "intent"
	eventOutcome = "outcome"

	outcomeOK      = "ok"
	outcomeRefused = "refused"
	outcomeFailed  = "failed"
)

// audit appends to the two chains of this node: the one of its own, and the common one of authority changes.
type audit struct {
	store   storage.Store
	now     func() time.Time
	logger  *slog.Logger
	timeout time.Duration
	// witness is told of each entry that was written.
	witness *witness
	// refusals bounds how many refusals of one caller are entries.
	refusals refusals

	turn  chan struct{} // holds the one that may write to the node's own chain; a wait for it can end
	chain string
	seq   int64
	prev  string
	// floor is a sequence at which the authority chain is known to have an entry, or 0: the search for its head stops there.
	floorMu sync.Mutex
	floor   int64
}

// newAudit begins a chain for this run of the node. Its first entry, written with the first event, names the head of the
// authority chain known then.
func newAudit(ctx context.Context, c Config, sequence int64) (*audit, error) {
	run, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name the chain: %w", err)
	}
	a := &audit{
		store: c.Store, now: c.Now, logger: c.Logger, timeout: c.AuditTimeout, chain: "node/" + c.Node + "/" + run.String(),
		turn: make(chan struct{}, 1), witness: newWitness(c),
	}
	head, err := a.head(ctx, c.Store, sequence)
	if err != nil {
		return nil, err
	}
	a.prev = head.Hash
	return a, nil
}

// canonical is what an entry's hash covers beside Prev: everything but Meta, in this order.
func canonical(e *storage.AuditEntry) ([]byte, error) {
	return json.Marshal(struct {
		Chain, Time, Event, Actor, OnBehalf, Action, Target, Outcome, Reason, DecisionID, PolicyRevision, RequestID string
		Seq, FromVersion, ToVersion                                                                                 int64
		Tenant                                                                                                      storage.TenantID `json:",omitempty"`
		LeftOut                                                                                                     int64            `json:",omitempty"`
	}{
		e.Chain, storage.Time(e.Time).Format(time.RFC3339Nano), e.Event, e.Actor, e.OnBehalf, e.Action, e.Target, e.Outcome, e.Reason,
		e.DecisionID, e.PolicyRevision, e.RequestID, e.Seq, e.FromVersion, e.ToVersion, e.Tenant, e.LeftOut,
	})
}

func hashOf(e *storage.AuditEntry) (string, error) {
	body, err := canonical(e)
	if err != nil {
		return "", fmt.Errorf("hash an audit entry: %w", err)
	}
	sum := sha256.Sum256(append([]byte(e.Prev), body...))
	return hex.EncodeToString(sum[:]), nil
}

// link sets what makes e the entry at seq behind prev.
func link(e *storage.AuditEntry, chain string, seq int64, prev string) error {
	e.ID, e.Chain, e.Seq, e.Prev = storage.AuditID(chain, seq), chain, seq, prev
	var err error
	e.Hash, err = hashOf(e)
	return err
}

// append writes e to the node's own chain. An error means that it may not have been written: nothing may be done on its account.
func (a *audit) append(ctx context.Context, e storage.AuditEntry) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	// Behind a write that hangs, nobody waits longer than for a write.
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return fmt.Errorf("audit: %w", errors.Join(ctx.Err(), storage.ErrUnavailable))
	}
	e.Time = storage.Time(a.now())
	for range 2 {
		if err := link(&e, a.chain, a.seq+1, a.prev); err != nil {
			return err
		}
		err := a.store.Insert(ctx, &e)
		if err == nil {
			a.seq, a.prev = e.Seq, e.Hash
			a.witness.saw(1)
			return nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return fmt.Errorf("audit: %w", errors.Join(err, storage.ErrUnavailable))
		}
		// An earlier write was reported as failed and was not: the chain goes on behind it.
		written, err := storage.Get[storage.AuditEntry](ctx, a.store, storage.AuditID(a.chain, a.seq+1))
		if err != nil {
			return fmt.Errorf("audit: %w", errors.Join(err, storage.ErrUnavailable))
		}
		a.seq, a.prev = written.Seq, written.Hash
	}
	return fmt.Errorf("audit: the chain %s does not grow: %w", a.chain, storage.ErrUnavailable)
}

// appendAuthority writes the outcome of the change that takes sequence, in its transaction.
func (a *audit) appendAuthority(ctx context.Context, tx storage.Tx, sequence int64, e storage.AuditEntry) error {
	head, err := a.head(ctx, tx, sequence-1)
	if err != nil {
		return err
	}
	e.Event, e.Outcome, e.Time = eventOutcome, outcomeOK, storage.Time(a.now())
	if err := link(&e, authorityChain, sequence, head.Hash); err != nil {
		return err
	}
	return tx.Insert(ctx, &e)
}

// committed remembers that the authority chain has an entry at sequence.
func (a *audit) committed(sequence int64) {
	a.floorMu.Lock()
	a.floor = max(a.floor, sequence)
	a.floorMu.Unlock()
	a.witness.saw(1)
}

// head returns the last entry of the authority chain at or below sequence, or an empty one. Sequences without an entry are those of
// changes that are no one's act, such as a new signing key.
func (a *audit) head(ctx context.Context, r storage.Reader, sequence int64) (*storage.AuditEntry, error) {
	a.floorMu.Lock()
	floor := a.floor
	a.floorMu.Unlock()
	for ; sequence > 0; sequence-- {
		e, err := storage.Get[storage.AuditEntry](ctx, r, storage.AuditID(authorityChain, sequence))
		switch {
		case err == nil:
			return e, nil
		case !errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("find the head of the audit chain: %w", err)
		case sequence == floor:
			return nil, fmt.Errorf("the audit chain has lost its entry %d: %w", sequence, storage.ErrUnavailable)
		}
	}
	return new(storage.AuditEntry), nil
}

// Intent writes down, before it is done, that something is to be done, and returns how to write down what came of it. Without
// a written intent nothing may be done.
func (r *Room) Intent(
	ctx context.Context, entry storage.AuditEntry,
) (done func(ctx context.Context, outcome, reason string) error, err error) {
	entry.Event, entry.Outcome = eventIntent, ""
	if err := r.audit.append(ctx, entry); err != nil {
		return nil, err
	}
	return func(ctx context.Context, outcome, reason string) error {
		entry.Event, entry.Outcome, entry.Reason = eventOutcome, outcome, reason
		return r.audit.append(ctx, entry)
	}, nil
}
