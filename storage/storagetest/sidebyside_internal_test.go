package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

// A comparison that finds nothing proves something only if it finds what is there to be found.
func TestSideBySideFindsWhatIsWrong(t *testing.T) {
	for name, wrong := range faults() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				found := explore(t, Model, faulty(wrong), seed, sequences)
				if found == nil {
					t.Errorf("seed %d: not found in %d sequences", seed, sequences)
					continue
				}
				if len(found.ops) > 8 {
					t.Errorf("seed %d: %d operations are not short%v", seed, len(found.ops), found)
				}
				t.Logf("seed %d: found in sequence %d%v", seed, found.run, found)
			}
		})
	}
}

// A store may name any of several look-up values that are taken, and remove an expired record for a write that it then
// refuses.
func TestSideBySideAllowsWhatTheContractLeavesOpen(t *testing.T) {
	for name, open := range map[string]func() *fault{
		"a conflict of several names the last": func() *fault {
			last := func(on access, r storage.Record, err error) error {
				index := r.Index()
				var conflict *storage.ConflictError
				if code, ok := index.Unique["code"]; errors.As(err, &conflict) && ok {
					other := r.Kind().New()
					if on.Lookup(context.Background(), other, "code", code) == nil && other.RecordMeta().ID != r.RecordMeta().ID {
						conflict.Index = "code"
					}
				}
				return err
			}
			return &fault{
				insert: func(ctx context.Context, on access, r storage.Record) error { return last(on, r, on.Insert(ctx, r)) },
				update: func(ctx context.Context, on access, r storage.Record) error { return last(on, r, on.Update(ctx, r)) },
			}
		},
		"a refused insert removes what is expired": func() *fault {
			f, inside := &fault{}, false
			f.insert = func(ctx context.Context, on access, r storage.Record) error {
				err := on.Insert(ctx, r)
				if errors.Is(err, storage.ErrConflict) && !inside { // else the purge would wait for the transaction
					_, purged := f.store.Purge(ctx, f.now())
					return errors.Join(err, purged)
				}
				return err
			}
			f.txn = func(ctx context.Context, fn func(context.Context, storage.Tx) error) error {
				inside = true
				defer func() { inside = false }()
				return f.store.Txn(ctx, fn)
			}
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			if found := explore(t, Model, faulty(open), 1, sequences); found != nil {
				t.Errorf("sequence %d%v", found.run, found)
			}
		})
	}
}

// What random sequences never do, they do not compare.
func TestSequencesGetEveryKindOfReply(t *testing.T) {
	seen := map[string]int{}
	var count func(prefix string, o operation, r reply)
	count = func(prefix string, o operation, r reply) {
		seen[prefix+o.Do+": "+r.Error]++
		for n, step := range r.Steps {
			count("in a "+o.Do+", ", o.Steps[n], step)
		}
	}
	for run := range uint64(sequences) {
		clock := newClock()
		store := Model(t, Kinds(), clock.Now)
		for _, o := range sequence(rand.New(rand.NewPCG(1, run))) {
			if o.Do == "wait" {
				clock.advance(o.By)
				continue
			}
			count("", o, perform(t.Context(), store, nil, o, clock.Now()))
		}
	}
	replies := map[string][]string{
		"insert": {"", "conflict", storage.ErrAuthority.Error(), refused},
		"update": {"", "conflict", "stale", "not found", storage.ErrAuthority.Error()},
		"delete": {"", "stale", "not found", storage.ErrAuthority.Error()},
		"get":    {"", "not found"}, "lookup": {"", "not found", refused}, "list": {"", refused}, "sequence": {""},
	}
	for _, prefix := range []string{"", "in a transaction, "} {
		for do, errs := range replies {
			for _, err := range errs {
				if seen[prefix+do+": "+err] < 3 {
					t.Errorf("%s%s: %s: %d times", prefix, do, err, seen[prefix+do+": "+err])
				}
			}
		}
	}
	for _, want := range []string{
		"transaction: ", "transaction: its own", "changes: ", "changes: refused", "purge: ", "in a transaction, advance: ",
		"in a transaction, advance: stale", "in a transaction, advance: refused",
	} {
		if seen[want] < 3 {
			t.Errorf("%s: %d times", want, seen[want])
		}
	}
}

// access is what a store and a transaction have in common.
type access interface {
	storage.Reader
	storage.Writer
}

// fault replaces some of a store's methods; those that are nil are the store's own.
type fault struct {
	// store is the sound one below, and now its clock, which lags behind by lag.
	store storage.Store
	now   func() time.Time
	lag   time.Duration

	get     func(ctx context.Context, on access, into storage.Record, id string) error
	lookup  func(ctx context.Context, on access, into storage.Record, index, value string) error
	list    func(ctx context.Context, on access, kind storage.Kind, q storage.Query) ([]storage.Record, error)
	insert  func(ctx context.Context, on access, r storage.Record) error
	update  func(ctx context.Context, on access, r storage.Record) error
	remove  func(ctx context.Context, on access, kind storage.Kind, id string, version int64) error
	advance func(ctx context.Context, tx storage.Tx, from int64) error
	txn     func(ctx context.Context, fn func(context.Context, storage.Tx) error) error
	changes func(ctx context.Context, after int64, limit int) ([]storage.Change, error)
	purge   func(ctx context.Context, now time.Time) (int, error)
}

// faults returns the makers of stores that each have one thing wrong.
func faults() map[string]func() *fault {
	return map[string]func() *fault{
		"updates any version": func() *fault {
			return &fault{update: func(ctx context.Context, on access, r storage.Record) error {
				stored := r.Kind().New()
				if on.Get(ctx, stored, r.RecordMeta().ID) == nil {
					r.RecordMeta().Version = stored.RecordMeta().Version
				}
				return on.Update(ctx, r)
			}}
		},
		"deletes any version": func() *fault {
			return &fault{remove: func(ctx context.Context, on access, kind storage.Kind, id string, version int64) error {
				stored := kind.New()
				if on.Get(ctx, stored, id) == nil {
					version = stored.RecordMeta().Version
				}
				return on.Delete(ctx, kind, id, version)
			}}
		},
		"drops a value of a filter": func() *fault {
			return listing(func(q *storage.Query) {
				for filter, values := range q.Equal {
					q.Equal[filter] = values[:min(1, len(values))]
				}
			}, nil)
		},
		"drops the prefix beside another filter": func() *fault {
			return listing(func(q *storage.Query) {
				if len(q.Equal) > 0 {
					q.Prefix = nil
				}
			}, nil)
		},
		"takes a prefix for a pattern": func() *fault {
			return listing(func(q *storage.Query) {
				for filter, prefix := range q.Prefix {
					q.Prefix[filter] = strings.TrimRight(prefix, "%_")
				}
			}, nil)
		},
		"takes no value of a filter for any": func() *fault {
			return listing(func(q *storage.Query) {
				for filter, values := range q.Equal {
					if len(values) == 0 {
						delete(q.Equal, filter)
					}
				}
			}, nil)
		},
		"reorders a list": func() *fault { return listing(nil, slices.Reverse[[]storage.Record]) },
		"begins a page with its cursor": func() *fault {
			return &fault{list: func(ctx context.Context, on access, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
				records, err := on.List(ctx, kind, q)
				at := kind.New()
				if err == nil && on.Get(ctx, at, q.After) == nil && selects(q, at) {
					records = append([]storage.Record{at}, records...)
				}
				return records[:min(len(records), max(0, q.Limit))], err
			}}
		},
		"ends a page with its cursor": func() *fault {
			return &fault{list: func(ctx context.Context, on access, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
				records, err := on.List(ctx, kind, q)
				at := kind.New()
				if err == nil && q.Before != "" && on.Get(ctx, at, q.Before) == nil && selects(q, at) {
					records = append(records, at)
				}
				return records[max(0, len(records)-max(0, q.Limit)):], err
			}}
		},
		"gives the first in front of a cursor, not the last": func() *fault {
			return &fault{list: func(ctx context.Context, on access, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
				if q.Before == "" || q.Limit <= 0 {
					return on.List(ctx, kind, q)
				}
				limit := q.Limit
				q.Limit = 1000
				records, err := on.List(ctx, kind, q)
				return records[:min(len(records), limit)], err
			}}
		},
		"reads committed state in a transaction": func() *fault {
			f := &fault{}
			f.list = func(ctx context.Context, _ access, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
				return f.store.List(ctx, kind, q)
			}
			return f
		},
		"forgets to free the name of a deleted record": func() *fault {
			held := map[string]bool{}
			return &fault{
				remove: func(ctx context.Context, on access, kind storage.Kind, id string, version int64) error {
					stored := kind.New()
					_ = on.Get(ctx, stored, id)
					err := on.Delete(ctx, kind, id, version)
					if name, ok := stored.Index().Unique["name"]; ok && err == nil {
						held[name] = true
					}
					return err
				},
				insert: func(ctx context.Context, on access, r storage.Record) error {
					if name, ok := r.Index().Unique["name"]; ok && held[name] {
						return &storage.ConflictError{Kind: r.Kind().Name, Index: "name"}
					}
					return on.Insert(ctx, r)
				},
			}
		},
		"names the wrong index": func() *fault {
			return &fault{insert: func(ctx context.Context, on access, r storage.Record) error {
				err := on.Insert(ctx, r)
				var conflict *storage.ConflictError
				if errors.As(err, &conflict) && conflict.Index == "name" {
					conflict.Index = "id"
				}
				return err
			}}
		},
		"leaves a mark on a refused record": func() *fault {
			return &fault{insert: func(ctx context.Context, on access, r storage.Record) error {
				err := on.Insert(ctx, r)
				if errors.Is(err, storage.ErrConflict) {
					r.RecordMeta().Version = 1
				}
				return err
			}}
		},
		"returns an expired record": func() *fault {
			f := &fault{}
			f.get = func(ctx context.Context, on access, into storage.Record, id string) error {
				f.lag = time.Second
				defer func() { f.lag = 0 }()
				return on.Get(ctx, into, id)
			}
			return f
		},
		"lets a record live for a millisecond more": func() *fault {
			f := &fault{}
			f.list = func(ctx context.Context, on access, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
				f.lag = time.Millisecond
				defer func() { f.lag = 0 }()
				return on.List(ctx, kind, q)
			}
			return f
		},
		"counts on from an expired record": func() *fault {
			f := &fault{}
			f.insert = func(ctx context.Context, on access, r storage.Record) error {
				f.lag = time.Hour
				dead := r.Kind().New()
				_ = on.Get(ctx, dead, r.RecordMeta().ID)
				f.lag = 0
				err := on.Insert(ctx, r)
				if err == nil {
					r.RecordMeta().Version += dead.RecordMeta().Version
				}
				return err
			}
			return f
		},
		"purges too much": func() *fault {
			f := &fault{}
			f.purge = func(ctx context.Context, now time.Time) (int, error) { return f.store.Purge(ctx, now.Add(time.Second)) }
			return f
		},
		"purges nothing": func() *fault {
			return &fault{purge: func(context.Context, time.Time) (int, error) { return 0, nil }}
		},
		"looks up without regard to case": func() *fault {
			return &fault{lookup: func(ctx context.Context, on access, into storage.Record, index, value string) error {
				return on.Lookup(ctx, into, index, strings.ToLower(value))
			}}
		},
		"cuts ids at NUL": func() *fault {
			return &fault{get: func(ctx context.Context, on access, into storage.Record, id string) error {
				id, _, _ = strings.Cut(id, "\x00")
				return on.Get(ctx, into, id)
			}}
		},
		"keeps whole seconds": func() *fault {
			return getting(func(r storage.Record) {
				r.RecordMeta().UpdatedAt = r.RecordMeta().UpdatedAt.Truncate(time.Second)
			})
		},
		"makes no lists into empty ones": func() *fault {
			return getting(func(r storage.Record) {
				if i, ok := r.(*Item); ok && i.Tags == nil {
					i.Tags = []string{}
				}
			})
		},
		"writes authority records freely": func() *fault {
			return &fault{insert: func(ctx context.Context, on access, r storage.Record) error {
				err := on.Insert(ctx, r)
				if store, ok := on.(storage.Store); ok && errors.Is(err, storage.ErrAuthority) {
					return change(ctx, store, func(tx storage.Tx) error { return tx.Insert(ctx, r) })
				}
				return err
			}}
		},
		"advances from any sequence": func() *fault {
			return &fault{advance: func(ctx context.Context, tx storage.Tx, _ int64) error {
				at, err := tx.Sequence(ctx)
				return errors.Join(err, tx.Advance(ctx, at))
			}}
		},
		"commits what was aborted": func() *fault {
			f := &fault{}
			f.txn = func(ctx context.Context, fn func(context.Context, storage.Tx) error) (own error) {
				err := f.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
					own = fn(ctx, tx)
					return nil
				})
				if own != nil {
					return own
				}
				return err
			}
			return f
		},
		"cannot commit after a conflict": func() *fault {
			f, conflicted := &fault{}, false
			f.insert = func(ctx context.Context, on access, r storage.Record) error {
				err := on.Insert(ctx, r)
				conflicted = conflicted || errors.Is(err, storage.ErrConflict)
				return err
			}
			f.txn = func(ctx context.Context, fn func(context.Context, storage.Tx) error) error {
				conflicted = false
				return f.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
					if err := fn(ctx, tx); err != nil || !conflicted {
						return err
					}
					return storage.ErrStale
				})
			}
			return f
		},
		"wraps the function's error": func() *fault {
			f := &fault{}
			f.txn = func(ctx context.Context, fn func(context.Context, storage.Tx) error) error {
				if err := f.store.Txn(ctx, fn); err != nil {
					return fmt.Errorf("transaction: %w", err)
				}
				return nil
			}
			return f
		},
		"forgets that the feed says deleted": func() *fault {
			return feeding(func(c *storage.Change) {
				for n := range c.Items {
					c.Items[n].Deleted = false
				}
			})
		},
		"sorts the items of the feed": func() *fault {
			return feeding(func(c *storage.Change) {
				slices.SortFunc(c.Items, func(a, b storage.ChangeItem) int { return strings.Compare(a.ID, b.ID) })
			})
		},
	}
}

// listing spoils lists, before or after.
func listing(before func(*storage.Query), after func([]storage.Record)) *fault {
	return &fault{list: func(ctx context.Context, on access, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
		equal, prefix := q.Equal, q.Prefix
		q.Equal, q.Prefix = nil, nil
		for filter, values := range equal {
			q.Equal = with(q.Equal, filter, values)
		}
		for filter, text := range prefix {
			q.Prefix = with(q.Prefix, filter, text)
		}
		if before != nil {
			before(&q)
		}
		records, err := on.List(ctx, kind, q)
		if after != nil {
			after(records)
		}
		return records, err
	}}
}

// getting spoils what Get returns.
func getting(spoil func(storage.Record)) *fault {
	return &fault{get: func(ctx context.Context, on access, into storage.Record, id string) error {
		err := on.Get(ctx, into, id)
		if err == nil {
			spoil(into)
		}
		return err
	}}
}

// feeding spoils the feed.
func feeding(spoil func(*storage.Change)) *fault {
	f := &fault{}
	f.changes = func(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
		changes, err := f.store.Changes(ctx, after, limit)
		for n := range changes {
			spoil(&changes[n])
		}
		return changes, err
	}
	return f
}

// faulty returns a factory of models that each have the fault that wrong makes.
func faulty(wrong func() *fault) Factory {
	return func(t *testing.T, kinds []storage.Kind, now func() time.Time) storage.Store {
		f := wrong()
		f.now = func() time.Time { return now().Add(-f.lag) }
		f.store = Model(t, kinds, f.now)
		return &faultyStore{faultyAccess{f.store, f}, f.store}
	}
}

type faultyAccess struct {
	access
	fault *fault
}

func (a *faultyAccess) Get(ctx context.Context, into storage.Record, id string) error {
	if a.fault.get != nil {
		return a.fault.get(ctx, a.access, into, id)
	}
	return a.access.Get(ctx, into, id)
}

func (a *faultyAccess) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	if a.fault.lookup != nil {
		return a.fault.lookup(ctx, a.access, into, index, value)
	}
	return a.access.Lookup(ctx, into, index, value)
}

func (a *faultyAccess) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	if a.fault.list != nil {
		return a.fault.list(ctx, a.access, kind, q)
	}
	return a.access.List(ctx, kind, q)
}

func (a *faultyAccess) Insert(ctx context.Context, r storage.Record) error {
	if a.fault.insert != nil {
		return a.fault.insert(ctx, a.access, r)
	}
	return a.access.Insert(ctx, r)
}

func (a *faultyAccess) Update(ctx context.Context, r storage.Record) error {
	if a.fault.update != nil {
		return a.fault.update(ctx, a.access, r)
	}
	return a.access.Update(ctx, r)
}

func (a *faultyAccess) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	if a.fault.remove != nil {
		return a.fault.remove(ctx, a.access, kind, id, version)
	}
	return a.access.Delete(ctx, kind, id, version)
}

type faultyStore struct {
	faultyAccess
	sound storage.Store
}

func (s *faultyStore) Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error {
	txn := s.sound.Txn
	if s.fault.txn != nil {
		txn = s.fault.txn
	}
	return txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		return fn(ctx, &faultyTx{faultyAccess{tx, s.fault}, tx})
	})
}

func (s *faultyStore) Changes(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
	if s.fault.changes != nil {
		return s.fault.changes(ctx, after, limit)
	}
	return s.sound.Changes(ctx, after, limit)
}

func (s *faultyStore) Purge(ctx context.Context, now time.Time) (int, error) {
	if s.fault.purge != nil {
		return s.fault.purge(ctx, now)
	}
	return s.sound.Purge(ctx, now)
}

func (s *faultyStore) Restore(ctx context.Context, records []storage.Record, sequence int64) error {
	return s.sound.Restore(ctx, records, sequence)
}

func (s *faultyStore) Ping(ctx context.Context) error { return s.sound.Ping(ctx) }
func (s *faultyStore) Describe() string               { return "a faulty store on " + s.sound.Describe() }
func (s *faultyStore) Close() error                   { return s.sound.Close() }

type faultyTx struct {
	faultyAccess
	sound storage.Tx
}

func (t *faultyTx) Advance(ctx context.Context, from int64) error {
	if t.fault.advance != nil {
		return t.fault.advance(ctx, t.sound, from)
	}
	return t.sound.Advance(ctx, from)
}
