package storagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

// Model is a Factory of stores in memory that do what the contract says in the plainest way: no index, every list a scan, and
// a transaction a copy of everything. They are a third opinion where two stores differ, and too slow for anything else.
func Model(_ *testing.T, kinds []storage.Kind, now func() time.Time) storage.Store {
	m := &model{now: now, kinds: map[string]storage.Kind{}, writing: make(chan struct{}, 1)}
	first := &state{records: map[string]map[string][]byte{}}
	for _, kind := range kinds {
		m.kinds[kind.Name] = kind
		first.records[kind.Name] = map[string][]byte{}
	}
	m.committed.Store(first)
	return m
}

type model struct {
	now       func() time.Time
	kinds     map[string]storage.Kind
	committed atomic.Pointer[state]
	// writing holds a token while a transaction is open.
	writing chan struct{}
	closed  atomic.Bool
}

// state is everything at one moment. What is committed is not changed any more.
type state struct {
	// records holds, by kind and id, what storage.Encode gave.
	records  map[string]map[string][]byte
	sequence int64
	changes  []storage.Change
}

func (s *state) clone() *state {
	records := map[string]map[string][]byte{}
	for kind, byID := range s.records {
		records[kind] = maps.Clone(byID)
	}
	return &state{records: records, sequence: s.sequence, changes: slices.Clone(s.changes)}
}

var errModelClosed = fmt.Errorf("the model is closed: %w", storage.ErrUnavailable)

func (m *model) usable(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, ctx.Err())
	}
	if m.closed.Load() {
		return errModelClosed
	}
	return nil
}

func (m *model) reading() *modelTx { return &modelTx{model: m, state: m.committed.Load()} }

func (m *model) Get(ctx context.Context, into storage.Record, id string) error {
	return m.reading().Get(ctx, into, id)
}

func (m *model) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	return m.reading().Lookup(ctx, into, index, value)
}

func (m *model) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	return m.reading().List(ctx, kind, q)
}

func (m *model) Sequence(ctx context.Context) (int64, error) { return m.reading().Sequence(ctx) }

func (m *model) Insert(ctx context.Context, r storage.Record) error {
	return m.Txn(ctx, func(ctx context.Context, tx storage.Tx) error { return tx.Insert(ctx, r) })
}

func (m *model) Update(ctx context.Context, r storage.Record) error {
	return m.Txn(ctx, func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, r) })
}

func (m *model) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	return m.Txn(ctx, func(ctx context.Context, tx storage.Tx) error { return tx.Delete(ctx, kind, id, version) })
}

func (m *model) Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	select {
	case m.writing <- struct{}{}:
	case <-ctx.Done():
		return m.usable(ctx)
	}
	defer func() { <-m.writing }()
	tx := &modelTx{model: m, state: m.committed.Load().clone()}
	defer func() { tx.over = true }()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := m.usable(ctx); err != nil {
		return err
	}
	if tx.advanced {
		tx.state.changes = append(tx.state.changes, storage.Change{Sequence: tx.state.sequence, Items: tx.items})
	}
	m.committed.Store(tx.state)
	return nil
}

func (m *model) Changes(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, fmt.Errorf("limit %d is not positive", limit)
	}
	changes := []storage.Change{}
	for _, c := range m.committed.Load().changes {
		if c.Sequence > after && len(changes) < limit {
			changes = append(changes, storage.Change{Sequence: c.Sequence, Items: slices.Clone(c.Items)})
		}
	}
	return changes, nil
}

func (m *model) Purge(ctx context.Context, now time.Time) (removed int, err error) {
	err = m.Txn(ctx, func(_ context.Context, tx storage.Tx) error {
		for name, byID := range tx.(*modelTx).state.records {
			for id, body := range byID {
				r, err := m.decode(name, body)
				if err != nil {
					return err
				}
				if expired(r, now) {
					delete(byID, id)
					removed++
				}
			}
		}
		return nil
	})
	return removed, err
}

func (m *model) Restore(ctx context.Context, records []storage.Record, sequence int64) error {
	return m.Txn(ctx, func(ctx context.Context, begun storage.Tx) error {
		tx := begun.(*modelTx)
		for _, r := range records {
			if err := tx.usable(ctx, r.Kind().Name); err != nil {
				return err
			}
			meta := *r.RecordMeta()
			if err := tx.free(r, meta.ID); err != nil {
				return err
			}
			if err := tx.put(r, meta); err != nil {
				return err
			}
		}
		tx.state.sequence = sequence
		return nil
	})
}

func (m *model) Ping(ctx context.Context) error { return m.usable(ctx) }

func (m *model) Describe() string { return "the model, in memory" }

func (m *model) Close() error {
	m.closed.Store(true)
	return nil
}

func (m *model) decode(kind string, body []byte) (storage.Record, error) {
	r := m.kinds[kind].New()
	return r, storage.Decode(body, r)
}

func expired(r storage.Record, now time.Time) bool {
	at := r.Index().ExpiresAt
	return !at.IsZero() && !storage.Time(at).After(storage.Time(now))
}

// modelTx works on a copy of the state that Txn commits, or, for a read outside a transaction, on the committed one.
type modelTx struct {
	model    *model
	state    *state
	advanced bool
	items    []storage.ChangeItem
	over     bool
}

func (t *modelTx) usable(ctx context.Context, kind string) error {
	if t.over {
		return errors.New("the transaction is over")
	}
	if err := t.model.usable(ctx); err != nil {
		return err
	}
	if _, known := t.model.kinds[kind]; !known && kind != "" {
		return fmt.Errorf("no collection %q", kind)
	}
	return nil
}

// live returns the records of a kind that are not expired, by ascending id.
func (t *modelTx) live(kind string) ([]storage.Record, error) {
	var records []storage.Record
	for _, id := range slices.Sorted(maps.Keys(t.state.records[kind])) {
		r, err := t.model.decode(kind, t.state.records[kind][id])
		if err != nil {
			return nil, err
		}
		if !expired(r, t.model.now()) {
			records = append(records, r)
		}
	}
	return records, nil
}

// find fills into with the one live record that is wanted.
func (t *modelTx) find(into storage.Record, wanted func(storage.Record) bool) error {
	kind := into.Kind().Name
	records, err := t.live(kind)
	if err != nil {
		return err
	}
	n := slices.IndexFunc(records, wanted)
	if n < 0 {
		return fmt.Errorf("%s: %w", kind, storage.ErrNotFound)
	}
	return storage.Decode(t.state.records[kind][records[n].RecordMeta().ID], into)
}

func (t *modelTx) Get(ctx context.Context, into storage.Record, id string) error {
	if err := t.usable(ctx, into.Kind().Name); err != nil {
		return err
	}
	return t.find(into, func(r storage.Record) bool { return r.RecordMeta().ID == id })
}

func (t *modelTx) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	if err := t.usable(ctx, into.Kind().Name); err != nil {
		return err
	}
	if !slices.Contains(into.Kind().Unique, index) {
		return fmt.Errorf("no unique index %q", index)
	}
	return t.find(into, func(r storage.Record) bool {
		held, ok := r.Index().Unique[index]
		return ok && held == value
	})
}

func (t *modelTx) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	if err := errors.Join(t.usable(ctx, kind.Name), q.Check(kind)); err != nil {
		return nil, err
	}
	records, err := t.live(kind.Name)
	if err != nil {
		return nil, err
	}
	records = slices.DeleteFunc(records, func(r storage.Record) bool {
		id := r.RecordMeta().ID
		return id <= q.After || q.Before != "" && id >= q.Before || !selects(q, r)
	})
	if q.Before != "" {
		return records[max(0, len(records)-q.Limit):], nil
	}
	return records[:min(q.Limit, len(records))], nil
}

// selects says whether q's filters hold for r.
func selects(q storage.Query, r storage.Record) bool {
	filters := r.Index().Filters
	for filter, values := range q.Equal {
		if !slices.ContainsFunc(filters[filter], func(v string) bool { return slices.Contains(values, v) }) {
			return false
		}
	}
	for filter, prefix := range q.Prefix {
		if !slices.ContainsFunc(filters[filter], func(v string) bool { return strings.HasPrefix(v, prefix) }) {
			return false
		}
	}
	return true
}

func (t *modelTx) Sequence(ctx context.Context) (int64, error) {
	return t.state.sequence, t.usable(ctx, "")
}

func (t *modelTx) Advance(ctx context.Context, from int64) error {
	if err := t.usable(ctx, ""); err != nil {
		return err
	}
	if t.advanced {
		return fmt.Errorf("advanced already: %w", storage.ErrAuthority)
	}
	if t.state.sequence != from {
		return fmt.Errorf("the authority sequence is %d: %w", t.state.sequence, storage.ErrStale)
	}
	t.state.sequence++
	t.advanced = true
	return nil
}

func (t *modelTx) Insert(ctx context.Context, r storage.Record) error {
	if _, err := t.writable(ctx, r); err != nil {
		return err
	}
	meta := r.RecordMeta()
	if err := t.free(r, meta.ID); err != nil {
		return err
	}
	after := storage.Meta{ID: meta.ID, Version: 1, CreatedAt: meta.CreatedAt, UpdatedAt: meta.UpdatedAt}
	for _, at := range []*time.Time{&after.CreatedAt, &after.UpdatedAt} {
		if at.IsZero() {
			*at = t.model.now()
		}
		*at = storage.Time(*at)
	}
	return t.put(r, after)
}

// free demands that no live record has r's id or one of its unique values.
func (t *modelTx) free(r storage.Record, id string) error {
	err := t.find(r.Kind().New(), func(other storage.Record) bool { return other.RecordMeta().ID == id })
	if err == nil {
		return &storage.ConflictError{Kind: r.Kind().Name, Index: "id"}
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	return t.claim(r, r.Index())
}

func (t *modelTx) Update(ctx context.Context, r storage.Record) error {
	index, err := t.writable(ctx, r)
	if err != nil {
		return err
	}
	meta := r.RecordMeta()
	if err := t.at(r.Kind(), meta.ID, meta.Version); err != nil {
		return err
	}
	if err := t.claim(r, index); err != nil {
		return err
	}
	after := *meta
	after.Version, after.UpdatedAt = meta.Version+1, storage.Time(t.model.now())
	return t.put(r, after)
}

func (t *modelTx) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	if err := t.changeable(ctx, kind); err != nil {
		return err
	}
	if err := t.at(kind, id, version); err != nil {
		return err
	}
	delete(t.state.records[kind.Name], id)
	t.note(kind, id, true)
	return nil
}

func (t *modelTx) changeable(ctx context.Context, kind storage.Kind) error {
	if err := t.usable(ctx, kind.Name); err != nil {
		return err
	}
	if kind.Authority && !t.advanced {
		return fmt.Errorf("%s: %w", kind.Name, storage.ErrAuthority)
	}
	return nil
}

func (t *modelTx) writable(ctx context.Context, r storage.Record) (storage.Index, error) {
	if err := t.changeable(ctx, r.Kind()); err != nil {
		return storage.Index{}, err
	}
	return storage.Indexed(r)
}

// at demands that the live record with this id has this version.
func (t *modelTx) at(kind storage.Kind, id string, version int64) error {
	stored := kind.New()
	if err := t.find(stored, func(r storage.Record) bool { return r.RecordMeta().ID == id }); err != nil {
		return err
	}
	if got := stored.RecordMeta().Version; got != version {
		return fmt.Errorf("%s: version is %d, not %d: %w", kind.Name, got, version, storage.ErrStale)
	}
	return nil
}

// claim demands that no other live record has one of r's unique values, and removes the expired ones that have.
func (t *modelTx) claim(r storage.Record, index storage.Index) error {
	kind := r.Kind()
	var dead []string
	for _, name := range kind.Unique {
		value, ok := index.Unique[name]
		if !ok {
			continue
		}
		for id, body := range t.state.records[kind.Name] {
			other, err := t.model.decode(kind.Name, body)
			if err != nil {
				return err
			}
			held, ok := other.Index().Unique[name]
			switch {
			case !ok || held != value || id == r.RecordMeta().ID:
			case expired(other, t.model.now()):
				dead = append(dead, id)
			default:
				return &storage.ConflictError{Kind: kind.Name, Index: name}
			}
		}
	}
	for _, id := range dead {
		delete(t.state.records[kind.Name], id)
	}
	return nil
}

// put stores r with this Meta, which it keeps.
func (t *modelTx) put(r storage.Record, after storage.Meta) error {
	meta := r.RecordMeta()
	before := *meta
	*meta = after
	body, err := storage.Encode(r)
	if err != nil {
		*meta = before
		return err
	}
	t.state.records[r.Kind().Name][meta.ID] = body
	t.note(r.Kind(), meta.ID, false)
	return nil
}

func (t *modelTx) note(kind storage.Kind, id string, deleted bool) {
	if !kind.Authority {
		return
	}
	n := slices.IndexFunc(t.items, func(i storage.ChangeItem) bool { return i.Kind == kind.Name && i.ID == id })
	if n < 0 {
		n = len(t.items)
		t.items = append(t.items, storage.ChangeItem{Kind: kind.Name, ID: id})
	}
	t.items[n].Deleted = deleted
}
