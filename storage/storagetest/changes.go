package storagetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/writ-authz/writ/storage"
)

func feed() []property {
	return []property{
		{"a change lists what its transaction wrote, once each, in order", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, change(t.Context(), store, func(tx storage.Tx) error {
				for _, id := range []string{"c", "a", "b"} {
					must(t, tx.Insert(t.Context(), guarded(id)))
				}
				must(t, tx.Insert(t.Context(), item("free")))
				a, err := storage.Get[Guarded](t.Context(), tx, "a")
				must(t, err)
				must(t, tx.Update(t.Context(), a))
				must(t, tx.Delete(t.Context(), GuardedKind, "b", 1))
				return tx.Insert(t.Context(), &storage.Tenant{Meta: storage.Meta{ID: "a"}})
			}))
			must(t, change(t.Context(), store, func(tx storage.Tx) error {
				must(t, tx.Delete(t.Context(), GuardedKind, "c", 1))
				must(t, tx.Delete(t.Context(), GuardedKind, "a", 2))
				must(t, tx.Insert(t.Context(), guarded("a")))
				return tx.Insert(t.Context(), guarded("b"))
			}))
			must(t, change(t.Context(), store, func(storage.Tx) error { return nil }))
			wantFeed(t, store,
				storage.Change{Sequence: 1, Items: []storage.ChangeItem{
					{Kind: "test_guarded", ID: "c"},
					{Kind: "test_guarded", ID: "a"},
					{Kind: "test_guarded", ID: "b", Deleted: true},
					{Kind: "tenants", ID: "a"},
				}},
				storage.Change{Sequence: 2, Items: []storage.ChangeItem{
					{Kind: "test_guarded", ID: "c", Deleted: true}, {Kind: "test_guarded", ID: "a"}, {Kind: "test_guarded", ID: "b"},
				}},
				storage.Change{Sequence: 3})
		}},
		{"refused writes and aborted transactions leave no trace and no gap", func(t *testing.T, s *suite) {
			store := s.store(t)
			for n := range 4 {
				err := change(t.Context(), store, func(tx storage.Tx) error {
					must(t, tx.Insert(t.Context(), guarded(fmt.Sprint(n))))
					wantError(t, tx.Insert(t.Context(), guarded(fmt.Sprint(n))), storage.ErrConflict)
					wantError(t, tx.Delete(t.Context(), GuardedKind, "none", 1), storage.ErrNotFound)
					if n%2 == 0 {
						return errors.New("aborted")
					}
					return nil
				})
				if (err != nil) != (n%2 == 0) {
					t.Fatal(n, err)
				}
			}
			wantFeed(t, store,
				storage.Change{Sequence: 1, Items: []storage.ChangeItem{{Kind: "test_guarded", ID: "1"}}},
				storage.Change{Sequence: 2, Items: []storage.ChangeItem{{Kind: "test_guarded", ID: "3"}}})
		}},
		{"the feed is read in pages", func(t *testing.T, s *suite) {
			store := s.store(t)
			for n := range 7 {
				must(t, change(t.Context(), store, func(tx storage.Tx) error {
					return tx.Insert(t.Context(), guarded(fmt.Sprint(n)))
				}))
			}
			for _, c := range []struct {
				after int64
				limit int
				want  []int64
			}{
				{0, 3, []int64{1, 2, 3}},
				{3, 3, []int64{4, 5, 6}},
				{6, 3, []int64{7}},
				{7, 3, nil},
				{99, 3, nil},
				{0, 99, []int64{1, 2, 3, 4, 5, 6, 7}},
			} {
				changes, err := store.Changes(t.Context(), c.after, c.limit)
				must(t, err)
				var got []int64
				for _, change := range changes {
					got = append(got, change.Sequence)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("after %d, limit %d: %s", c.after, c.limit, diff)
				}
			}
			for _, limit := range []int{0, -1} {
				_, err := store.Changes(t.Context(), 0, limit)
				wantRefused(t, err)
			}
		}},
		{"free records do not enter the feed", func(t *testing.T, s *suite) {
			store := s.store(t)
			a := item("a")
			must(t, store.Insert(t.Context(), a))
			must(t, store.Update(t.Context(), a))
			must(t, store.Delete(t.Context(), ItemKind, "a", 2))
			wantFeed(t, store)
			wantSequence(t, store, 0)
		}},
	}
}

func wantFeed(t *testing.T, store storage.Store, want ...storage.Change) {
	t.Helper()
	got, err := store.Changes(t.Context(), 0, 100)
	must(t, err)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}
