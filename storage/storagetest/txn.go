package storagetest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func transactions() []property {
	return []property{
		{"a transaction becomes visible whole at its end", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("gone", "gone")))
			must(t, store.Insert(t.Context(), named("kept", "kept")))
			must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				must(t, tx.Insert(ctx, named("new", "new")))
				kept := read(t, tx, "kept")
				name := "renamed"
				kept.Name, kept.Tags = &name, []string{"x"}
				must(t, tx.Update(ctx, kept))
				must(t, tx.Delete(ctx, ItemKind, "gone", 1))

				if diff := cmp.Diff([]string{"kept", "new"}, list(t, tx, storage.Query{Limit: 9})); diff != "" {
					t.Error("within:", diff)
				}
				if diff := cmp.Diff([]string{"kept"}, list(t, tx, equal("tag", "x"))); diff != "" {
					t.Error("within:", diff)
				}
				found, err := storage.Lookup[Item](ctx, tx, "name", "renamed")
				must(t, err)
				if found.Version != 2 {
					t.Errorf("within: version %d", found.Version)
				}
				wantError(t, tx.Get(ctx, new(Item), "gone"), storage.ErrNotFound)

				if diff := cmp.Diff([]string{"gone", "kept"}, list(t, store, storage.Query{Limit: 9})); diff != "" {
					t.Error("outside, before the commit:", diff)
				}
				wantError(t, store.Lookup(ctx, new(Item), "name", "renamed"), storage.ErrNotFound)
				if got := read(t, store, "kept"); got.Version != 1 {
					t.Errorf("outside, before the commit: version %d", got.Version)
				}
				return nil
			}))
			if diff := cmp.Diff([]string{"kept", "new"}, list(t, store, storage.Query{Limit: 9})); diff != "" {
				t.Error("after:", diff)
			}
			if got := read(t, store, "kept"); *got.Name != "renamed" || got.Version != 2 {
				t.Errorf("after: got %+v", got)
			}
		}},
		{"a transaction whose function fails leaves nothing and returns that error", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			boom := errors.New("boom")
			err := change(t.Context(), store, func(tx storage.Tx) error {
				scribble(t, tx)
				return boom
			})
			if err != boom { //nolint:errorlint // as it is, not wrapped
				t.Errorf("got %v, want the function's own error", err)
			}
			wantUntouched(t, store)
		}},
		{"a transaction whose function panics leaves nothing and the store usable", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			func() {
				defer func() {
					if got := recover(); got != "boom" {
						t.Errorf("recovered %v", got)
					}
				}()
				_ = change(t.Context(), store, func(tx storage.Tx) error {
					scribble(t, tx)
					panic("boom")
				})
			}()
			wantUntouched(t, store)
			must(t, store.Insert(t.Context(), item("b")))
		}},
		{"a transaction updates one record several times", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				a := named("a", "ada")
				must(t, tx.Insert(ctx, a))
				must(t, tx.Update(ctx, a))
				must(t, tx.Update(ctx, a))
				wantError(t, tx.Delete(ctx, ItemKind, "a", 2), storage.ErrStale)
				must(t, tx.Delete(ctx, ItemKind, "a", 3))
				return tx.Insert(ctx, named("a", "ada"))
			}))
			if got := read(t, store, "a"); got.Version != 1 {
				t.Errorf("got version %d", got.Version)
			}
		}},
		{"an empty transaction is allowed", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Txn(t.Context(), func(context.Context, storage.Tx) error { return nil }))
		}},
		{"a transaction that is over serves nobody", func(t *testing.T, s *suite) {
			store := s.store(t)
			var kept storage.Tx
			must(t, store.Txn(t.Context(), func(_ context.Context, tx storage.Tx) error { kept = tx; return nil }))
			if err := kept.Insert(t.Context(), item("a")); err == nil {
				t.Error("it inserted")
			}
			if err := kept.Get(t.Context(), new(Item), "a"); err == nil || errors.Is(err, storage.ErrNotFound) {
				t.Errorf("it answered: %v", err)
			}
			wantError(t, store.Get(t.Context(), new(Item), "a"), storage.ErrNotFound)
		}},
	}
}

// scribble changes something of every sort in a transaction that has advanced.
func scribble(t *testing.T, tx storage.Tx) {
	t.Helper()
	a := read(t, tx, "a")
	name := "changed"
	a.Name = &name
	must(t, tx.Update(t.Context(), a))
	must(t, tx.Insert(t.Context(), named("b", "ada")))
	must(t, tx.Insert(t.Context(), guarded("c")))
}

func wantUntouched(t *testing.T, store storage.Store) {
	t.Helper()
	found, err := storage.Lookup[Item](t.Context(), store, "name", "ada")
	must(t, err)
	if found.ID != "a" || found.Version != 1 {
		t.Errorf("ada is %+v", found.Meta)
	}
	if diff := cmp.Diff([]string{"a"}, list(t, store, storage.Query{Limit: 9})); diff != "" {
		t.Error(diff)
	}
	wantError(t, store.Get(t.Context(), new(Guarded), "c"), storage.ErrNotFound)
	wantError(t, store.Lookup(t.Context(), new(Item), "name", "changed"), storage.ErrNotFound)
	at, err := store.Sequence(t.Context())
	must(t, err)
	changes, err := store.Changes(t.Context(), 0, 9)
	must(t, err)
	if at != 0 || len(changes) != 0 {
		t.Errorf("sequence is %d, the feed has %v", at, changes)
	}
}
