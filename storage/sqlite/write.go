package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-authz/writ/storage"
)

// purgeBatch bounds how long Purge keeps other writers waiting.
const purgeBatch = 500

// Insert implements storage.Writer.
func (s *Store) Insert(ctx context.Context, r storage.Record) error {
	return s.single(ctx, r, func(t *tx) error { return t.Insert(ctx, r) })
}

// Update implements storage.Writer.
func (s *Store) Update(ctx context.Context, r storage.Record) error {
	return s.single(ctx, r, func(t *tx) error { return t.Update(ctx, r) })
}

// Delete implements storage.Writer.
func (s *Store) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	return s.transact(ctx, func(t *tx) error { return t.Delete(ctx, kind, id, version) })
}

// single runs one write in a transaction of its own and gives r its Meta back if that fails, be it in the commit.
func (s *Store) single(ctx context.Context, r storage.Record, write func(*tx) error) error {
	before := *r.RecordMeta()
	err := s.transact(ctx, write)
	if err != nil {
		*r.RecordMeta() = before
	}
	return err
}

// Restore implements storage.Store.
func (s *Store) Restore(ctx context.Context, records []storage.Record, sequence int64) error {
	return s.transact(ctx, func(t *tx) error {
		for _, r := range records {
			if err := t.add(ctx, r); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, setSequence, sequence)
		return err
	})
}

// Purge implements storage.Store.
func (s *Store) Purge(ctx context.Context, now time.Time) (int, error) {
	for total := 0; ; {
		var removed int
		err := s.transact(ctx, func(t *tx) (err error) { removed, err = t.purge(ctx, now); return err })
		if err != nil {
			return total, fmt.Errorf("purge: %w", err)
		}
		if total += removed; removed < purgeBatch {
			return total, nil
		}
	}
}

func (t *tx) purge(ctx context.Context, now time.Time) (int, error) {
	rows, err := t.stmt(ctx, findExpired).QueryContext(ctx, now.UnixMilli(), purgeBatch)
	if err != nil {
		return 0, t.failed(ctx, err)
	}
	defer rows.Close()
	var expired []*document
	for rows.Next() {
		d := new(document)
		if err := rows.Scan(d.columns()...); err != nil {
			return 0, t.failed(ctx, err)
		}
		expired = append(expired, d)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, t.failed(ctx, err)
	}
	for _, d := range expired {
		if err := t.remove(ctx, d); err != nil {
			return 0, err
		}
	}
	return len(expired), nil
}

// document is a stored row without its body.
type document struct {
	doc, version, expires int64
	id                    string
	keys                  []byte
}

func (d *document) held() (keys, error) {
	var held keys
	if err := json.Unmarshal(d.keys, &held); err != nil {
		return nil, fmt.Errorf("decode look-up values of %s: %w", d.id, err)
	}
	return held, nil
}

func (d *document) columns() []any { return []any{&d.doc, &d.id, &d.version, &d.expires, &d.keys} }

// Insert implements storage.Writer.
func (t *tx) Insert(ctx context.Context, r storage.Record) (err error) {
	c, index, err := t.writable(ctx, r)
	if err != nil {
		return err
	}
	meta := r.RecordMeta()
	defer restore(meta, *meta, &err)
	now := storage.Time(t.store.now())
	meta.Version = 1
	meta.CreatedAt, meta.UpdatedAt = orNow(meta.CreatedAt, now), orNow(meta.UpdatedAt, now)
	if err := t.place(ctx, c, index, r); err != nil {
		return err
	}
	t.note(c.kind, meta.ID, false)
	return nil
}

// add stores a record that was one of another store.
func (t *tx) add(ctx context.Context, r storage.Record) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	c, err := t.store.collection(r.Kind())
	if err != nil {
		return err
	}
	index, err := storage.Indexed(r)
	if err != nil {
		return err
	}
	return t.place(ctx, c, index, r)
}

// place stores a record with the Meta that it has.
func (t *tx) place(ctx context.Context, c *collection, index storage.Index, r storage.Record) error {
	meta := r.RecordMeta()
	body, err := storage.Encode(r)
	if err != nil {
		return err
	}
	dead, err := t.find(ctx, findID, c.number, meta.ID)
	if err != nil {
		return err
	}
	if dead != nil && dead.expires > t.store.clock() {
		return &storage.ConflictError{Kind: c.kind.Name, Index: "id"}
	}
	if err := t.claim(ctx, c, index, 0, dead); err != nil {
		return err
	}
	held := c.keys(index)
	doc, err := t.exec(ctx, addDocument, c.number, meta.ID, meta.Version, ends(index.ExpiresAt), held.encode(), body)
	if err != nil {
		return err
	}
	return t.rekey(ctx, doc, meta.ID, nil, held)
}

// Update implements storage.Writer.
func (t *tx) Update(ctx context.Context, r storage.Record) (err error) {
	c, index, err := t.writable(ctx, r)
	if err != nil {
		return err
	}
	meta := r.RecordMeta()
	stored, err := t.current(ctx, c, meta.ID, meta.Version)
	if err != nil {
		return err
	}
	defer restore(meta, *meta, &err)
	meta.Version++
	meta.UpdatedAt = storage.Time(t.store.now())
	body, err := storage.Encode(r)
	if err != nil {
		return err
	}
	before, err := stored.held()
	if err != nil {
		return err
	}
	if err := t.claim(ctx, c, index, stored.doc, nil); err != nil {
		return err
	}
	held := c.keys(index)
	_, err = t.exec(ctx, replaceDocument, meta.Version, ends(index.ExpiresAt), held.encode(), body, stored.doc)
	if err != nil {
		return err
	}
	if err := t.rekey(ctx, stored.doc, meta.ID, before, held); err != nil {
		return err
	}
	t.note(c.kind, meta.ID, false)
	return nil
}

// Delete implements storage.Writer.
func (t *tx) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	c, err := t.changeable(ctx, kind)
	if err != nil {
		return err
	}
	stored, err := t.current(ctx, c, id, version)
	if err != nil {
		return err
	}
	if err := t.remove(ctx, stored); err != nil {
		return err
	}
	t.note(kind, id, true)
	return nil
}

// changeable returns the collection of a kind that the transaction may write to now.
func (t *tx) changeable(ctx context.Context, kind storage.Kind) (*collection, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	if kind.Authority && t.advanced == 0 {
		return nil, fmt.Errorf("%s: %w", kind.Name, storage.ErrAuthority)
	}
	return t.store.collection(kind)
}

func (t *tx) writable(ctx context.Context, r storage.Record) (*collection, storage.Index, error) {
	c, err := t.changeable(ctx, r.Kind())
	if err != nil {
		return nil, storage.Index{}, err
	}
	index, err := storage.Indexed(r)
	return c, index, err
}

// current returns the live document with this id and version.
func (t *tx) current(ctx context.Context, c *collection, id string, version int64) (*document, error) {
	stored, err := t.find(ctx, findID, c.number, id)
	switch {
	case err != nil:
		return nil, err
	case stored == nil || stored.expires <= t.store.clock():
		return nil, fmt.Errorf("%s: %w", c.kind.Name, storage.ErrNotFound)
	case stored.version != version:
		return nil, fmt.Errorf("%s: version is %d, not %d: %w", c.kind.Name, stored.version, version, storage.ErrStale)
	}
	return stored, nil
}

// claim makes sure that no live document but doc has one of index's unique values, and removes the dead ones that have. All
// conflicts are found before anything is changed. A dead document that has the id goes along, if not nil.
func (t *tx) claim(ctx context.Context, c *collection, index storage.Index, doc int64, old *document) error {
	now := t.store.clock()
	var dead []*document
	if old != nil {
		dead = append(dead, old)
	}
	for _, name := range c.kind.Unique {
		value, ok := index.Unique[name]
		if !ok {
			continue
		}
		other, err := t.find(ctx, findUnique, c.indexes[name], value)
		switch {
		case err != nil:
			return err
		case other == nil || other.doc == doc:
		case other.expires > now:
			return &storage.ConflictError{Kind: c.kind.Name, Index: name}
		default:
			dead = append(dead, other)
		}
	}
	for n, d := range dead {
		if slices.ContainsFunc(dead[:n], func(e *document) bool { return e.doc == d.doc }) {
			continue
		}
		if err := t.remove(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// find returns the one document that a statement finds, dead or alive, or nil.
func (t *tx) find(ctx context.Context, text string, args ...any) (*document, error) {
	d := new(document)
	err := t.row(ctx, text, args...).Scan(d.columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return d, nil
}

// remove deletes a document and frees its look-up values.
func (t *tx) remove(ctx context.Context, d *document) error {
	held, err := d.held()
	if err != nil {
		return err
	}
	if err := t.rekey(ctx, d.doc, d.id, held, nil); err != nil {
		return err
	}
	_, err = t.exec(ctx, removeDocument, d.doc)
	return err
}

// rekey changes a document's look-up values from before to after.
func (t *tx) rekey(ctx context.Context, doc int64, id string, before, after keys) (err error) {
	for _, k := range before.without(after) {
		if t.store.unique[k.name] {
			_, err = t.exec(ctx, removeUnique, k.name, k.value)
		} else {
			_, err = t.exec(ctx, removeFilter, k.name, k.value, id)
		}
		if err != nil {
			return err
		}
	}
	for _, k := range after.without(before) {
		if t.store.unique[k.name] {
			_, err = t.exec(ctx, addUnique, k.name, k.value, doc)
		} else {
			_, err = t.exec(ctx, addFilter, k.name, k.value, id, doc)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restore gives a record its Meta back where *err says that the write failed.
func restore(meta *storage.Meta, before storage.Meta, err *error) {
	if *err != nil {
		*meta = before
	}
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return storage.Time(t)
}
