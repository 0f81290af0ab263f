package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/writ-authz/writ/storage"
)

// tx is one transaction on the writer connection. There is one at a time, begun with the write lock, so what it reads cannot
// change before it commits.
type tx struct {
	view
	// advanced is the authority sequence after Advance, 0 before.
	advanced int64
	items    []storage.ChangeItem
	// noted maps a record to its place in items.
	noted map[storage.ChangeItem]int
	// broken is the engine's first error in a write, after which a part of that write may stand: no commit then.
	broken error
}

var _ storage.Tx = (*tx)(nil)

// Txn implements storage.Store. Writers take turns, so no commit conflicts with another. fn must not write through the store
// itself: it would wait for the transaction that it is in.
func (s *Store) Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error {
	return s.transact(ctx, func(t *tx) error { return fn(ctx, t) })
}

func (s *Store) transact(ctx context.Context, fn func(*tx) error) error {
	release, err := s.acquire(ctx, s.writing)
	if err != nil {
		return err
	}
	defer release()
	// Without the caller's cancellation, because database/sql would roll back behind our back.
	lasting := context.WithoutCancel(ctx)
	begun, err := s.writer.BeginTx(lasting, nil)
	if err != nil {
		return unavailable(err)
	}
	t := &tx{view: view{store: s, stmts: s.write, tx: begun}, noted: map[storage.ChangeItem]int{}}
	defer begun.Rollback() // of no effect after Commit; also runs when fn panics
	if err := fn(t); err != nil {
		return err
	}
	if t.broken != nil {
		return t.broken
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if err := t.publish(lasting); err != nil {
		return err
	}
	if err := begun.Commit(); err != nil {
		return unavailable(err)
	}
	return nil
}

// publish appends what the transaction changed to the feed.
func (t *tx) publish(ctx context.Context) error {
	if t.advanced == 0 {
		return nil
	}
	items, err := json.Marshal(t.items)
	if err != nil {
		return fmt.Errorf("encode change: %w", err)
	}
	_, err = t.exec(ctx, addChange, t.advanced, items)
	return err
}

// Advance implements storage.Tx.
func (t *tx) Advance(ctx context.Context, from int64) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	if t.advanced != 0 {
		return fmt.Errorf("advance from %d: the transaction has advanced already: %w", from, storage.ErrAuthority)
	}
	at, err := t.sequence(ctx)
	if err != nil {
		return err
	}
	if at != from {
		return fmt.Errorf("advance from %d: the authority sequence is %d: %w", from, at, storage.ErrStale)
	}
	if _, err := t.exec(ctx, advance, from); err != nil {
		return err
	}
	t.advanced = from + 1
	return nil
}

// Get implements storage.Reader.
func (t *tx) Get(ctx context.Context, into storage.Record, id string) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	return t.get(ctx, into, id)
}

// Lookup implements storage.Reader.
func (t *tx) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	return t.lookup(ctx, into, index, value)
}

// List implements storage.Reader.
func (t *tx) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	return t.list(ctx, kind, q)
}

// Sequence implements storage.Reader.
func (t *tx) Sequence(ctx context.Context) (int64, error) {
	if err := t.usable(ctx); err != nil {
		return 0, err
	}
	return t.sequence(ctx)
}

func (t *tx) usable(ctx context.Context) error {
	if t.broken != nil {
		return t.broken
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return nil
}

// note remembers a write of an authority kind for the feed: each record once, in the order of the first write.
func (t *tx) note(kind storage.Kind, id string, deleted bool) {
	if !kind.Authority {
		return
	}
	item := storage.ChangeItem{Kind: kind.Name, ID: id}
	at, known := t.noted[item]
	if !known {
		at = len(t.items)
		t.noted[item] = at
		t.items = append(t.items, item)
	}
	t.items[at].Deleted = deleted
}

// exec runs a writing statement and returns the number of the row it inserted, if it did.
func (t *tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	ctx = context.WithoutCancel(ctx)
	result, err := t.stmt(ctx, text).ExecContext(ctx, args...)
	if err != nil {
		t.broken = unavailable(err)
		return 0, t.broken
	}
	return result.LastInsertId()
}
