package storagetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

func cancelling() []property {
	return []property{
		{"every call gives up when its context is done", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
			defer cancel()
			for _, ctx := range []context.Context{cancelled, late} {
				for name, err := range everyCall(ctx, store) {
					if !errors.Is(err, ctx.Err()) {
						t.Errorf("%s: got %v, want %v", name, err, ctx.Err())
					}
					if !errors.Is(err, storage.ErrUnavailable) {
						t.Errorf("%s: got %v, want ErrUnavailable", name, err)
					}
				}
			}
			if got := list(t, store, storage.Query{Limit: 9}); len(got) != 1 || read(t, store, "a").Version != 1 {
				t.Errorf("a cancelled write took effect: %v", got)
			}
		}},
		{"a transaction whose context ends before the commit changes nothing", func(t *testing.T, s *suite) {
			store := s.store(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := change(ctx, store, func(tx storage.Tx) error {
				must(t, tx.Insert(ctx, guarded("a")))
				cancel()
				wantError(t, tx.Insert(ctx, guarded("b")), context.Canceled)
				wantError(t, tx.Get(ctx, new(Guarded), "a"), context.Canceled)
				return nil
			})
			wantError(t, err, context.Canceled)
			wantError(t, store.Get(t.Context(), new(Guarded), "a"), storage.ErrNotFound)
			if at, err := store.Sequence(t.Context()); at != 0 || err != nil {
				t.Errorf("sequence is %d, %v", at, err)
			}
			must(t, store.Insert(t.Context(), item("a")))
		}},
		{"a writer that waits for another gives up with its context", func(t *testing.T, s *suite) {
			store := s.store(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			waited := make(chan error, 1)
			must(t, store.Txn(t.Context(), func(_ context.Context, tx storage.Tx) error {
				must(t, tx.Insert(t.Context(), item("a")))
				go func() { waited <- store.Insert(ctx, item("a")) }()
				cancel()
				// A store may also have found the conflict at once.
				if err := <-waited; !errors.Is(err, context.Canceled) && !errors.Is(err, storage.ErrConflict) {
					t.Errorf("got %v", err)
				}
				return nil
			}))
		}},
	}
}

// everyCall calls each method that takes a context, as a valid call where the context is good, and returns their errors.
func everyCall(ctx context.Context, store storage.Store) map[string]error {
	a := named("a", "ada")
	a.Version = 1
	errs := map[string]error{
		"Get":    store.Get(ctx, new(Item), "a"),
		"Lookup": store.Lookup(ctx, new(Item), "name", "ada"),
		"Insert": store.Insert(ctx, item("b")),
		"Update": store.Update(ctx, a),
		"Delete": store.Delete(ctx, ItemKind, "a", 1),
		"Txn":    store.Txn(ctx, func(context.Context, storage.Tx) error { return nil }),
		"Ping":   store.Ping(ctx),
	}
	_, errs["List"] = store.List(ctx, ItemKind, storage.Query{Limit: 1})
	_, errs["Sequence"] = store.Sequence(ctx)
	_, errs["Changes"] = store.Changes(ctx, 0, 1)
	_, errs["Purge"] = store.Purge(ctx, time.Unix(0, 0))
	return errs
}
