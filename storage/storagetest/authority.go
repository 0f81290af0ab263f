package storagetest

import (
	"context"
	"testing"

	"github.com/writ-authz/writ/storage"
)

func authority() []property {
	return []property{
		{"an authority record changes only after Advance", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, change(t.Context(), store, func(tx storage.Tx) error { return tx.Insert(t.Context(), guarded("a")) }))
			a, err := storage.Get[Guarded](t.Context(), store, "a")
			must(t, err)
			wantError(t, store.Insert(t.Context(), guarded("b")), storage.ErrAuthority)
			wantError(t, store.Update(t.Context(), a), storage.ErrAuthority)
			wantError(t, store.Delete(t.Context(), GuardedKind, "a", 1), storage.ErrAuthority)
			must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				wantError(t, tx.Insert(ctx, guarded("b")), storage.ErrAuthority)
				wantError(t, tx.Update(ctx, a), storage.ErrAuthority)
				wantError(t, tx.Delete(ctx, GuardedKind, "a", 1), storage.ErrAuthority)
				return tx.Insert(ctx, item("free"))
			}))
			wantError(t, store.Get(t.Context(), new(Guarded), "b"), storage.ErrNotFound)
			got, err := storage.Get[Guarded](t.Context(), store, "a")
			must(t, err)
			if got.Version != 1 || a.Version != 1 {
				t.Errorf("versions are %d and %d", got.Version, a.Version)
			}
			read(t, store, "free")
			wantSequence(t, store, 1)
		}},
		{"a new store is at sequence 0 and each Advance adds one", func(t *testing.T, s *suite) {
			store := s.store(t)
			wantSequence(t, store, 0)
			for n := range int64(3) {
				must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
					wantSequence(t, tx, n)
					must(t, tx.Advance(ctx, n))
					wantSequence(t, tx, n+1)
					wantSequence(t, store, n)
					return nil
				}))
				wantSequence(t, store, n+1)
			}
		}},
		{"Advance from another sequence is stale", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, change(t.Context(), store, func(storage.Tx) error { return nil }))
			for _, from := range []int64{-1, 0, 2} {
				err := store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error { return tx.Advance(ctx, from) })
				wantError(t, err, storage.ErrStale)
			}
			wantSequence(t, store, 1)
		}},
		{"a stale Advance does not open the transaction for authority records", func(t *testing.T, s *suite) {
			store := s.store(t)
			err := store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				wantError(t, tx.Advance(ctx, 5), storage.ErrStale)
				err := tx.Insert(ctx, guarded("a"))
				if err == nil {
					t.Error("it was inserted")
				}
				return err
			})
			if err == nil {
				t.Error("it was committed")
			}
			wantError(t, store.Get(t.Context(), new(Guarded), "a"), storage.ErrNotFound)
			wantSequence(t, store, 0)
		}},
		{"a second Advance in one transaction is refused", func(t *testing.T, s *suite) {
			store := s.store(t)
			err := store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				must(t, tx.Advance(ctx, 0))
				err := tx.Advance(ctx, 1)
				wantRefused(t, err)
				return err
			})
			wantRefused(t, err)
			wantSequence(t, store, 0)
		}},
	}
}

func wantSequence(t *testing.T, r storage.Reader, want int64) {
	t.Helper()
	got, err := r.Sequence(t.Context())
	must(t, err)
	if got != want {
		t.Errorf("the authority sequence is %d, want %d", got, want)
	}
}
