package storagetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func expiring() []property {
	return []property{
		{"a record is absent from the instant it expires", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			must(t, store.Insert(t.Context(), ending("a", clock.Now().Add(time.Minute))))
			must(t, store.Insert(t.Context(), item("b")))
			clock.advance(time.Minute - time.Millisecond)
			read(t, store, "a")
			if diff := cmp.Diff([]string{"a", "b"}, list(t, store, storage.Query{Limit: 9})); diff != "" {
				t.Error(diff)
			}
			clock.advance(time.Millisecond)
			for range 2 { // at the instant, and later
				wantError(t, store.Get(t.Context(), new(Item), "a"), storage.ErrNotFound)
				wantError(t, store.Lookup(t.Context(), new(Item), "name", "name of a"), storage.ErrNotFound)
				wantError(t, store.Update(t.Context(), ending("a", time.Time{})), storage.ErrNotFound)
				wantError(t, store.Delete(t.Context(), ItemKind, "a", 1), storage.ErrNotFound)
				clock.advance(time.Hour)
			}
			for _, q := range []storage.Query{
				{Limit: 9},
				{Equal: map[string][]string{"colour": {"red", ""}}, Limit: 9},
				{Prefix: map[string]string{"colour": ""}, Limit: 9},
			} {
				if diff := cmp.Diff([]string{"b"}, list(t, store, q)); diff != "" {
					t.Errorf("%+v: %s", q, diff)
				}
			}
			if got := list(t, store, storage.Query{Equal: map[string][]string{"colour": {"red"}}, Limit: 9}); len(got) != 0 {
				t.Errorf("got %v", got)
			}
		}},
		{"an expired record does not fill a page", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			for _, id := range []string{"a", "b", "c"} {
				must(t, store.Insert(t.Context(), ending(id, clock.Now().Add(time.Second))))
			}
			must(t, store.Insert(t.Context(), ending("d", time.Time{})))
			clock.advance(time.Second)
			for _, q := range []storage.Query{{Limit: 1}, {Equal: map[string][]string{"colour": {"red"}}, Limit: 1}} {
				if diff := cmp.Diff([]string{"d"}, list(t, store, q)); diff != "" {
					t.Error(diff)
				}
			}
		}},
		{"an expired record takes neither its id nor its unique values", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			a := ending("a", clock.Now().Add(time.Second))
			must(t, store.Insert(t.Context(), a))
			must(t, store.Update(t.Context(), a))
			must(t, store.Insert(t.Context(), ending("b", clock.Now().Add(time.Second))))
			must(t, store.Insert(t.Context(), named("c", "other")))
			wantConflict(t, store.Insert(t.Context(), named("d", "name of b")), "name")
			clock.advance(time.Second)
			again := ending("a", time.Time{})
			must(t, store.Insert(t.Context(), again))
			if got := read(t, store, "a"); again.Version != 1 || got.Version != 1 {
				t.Errorf("the new record has version %d, %d", again.Version, got.Version)
			}
			c := read(t, store, "c")
			name := "name of b"
			c.Name = &name
			must(t, store.Update(t.Context(), c))
			found, err := storage.Lookup[Item](t.Context(), store, "name", name)
			must(t, err)
			if found.ID != "c" {
				t.Errorf("found %q", found.ID)
			}
		}},
		{"an update moves the end", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			a := ending("a", clock.Now().Add(time.Second))
			must(t, store.Insert(t.Context(), a))
			a.ExpiresAt = clock.Now().Add(time.Hour)
			must(t, store.Update(t.Context(), a))
			clock.advance(time.Minute)
			read(t, store, "a")
			a.ExpiresAt = clock.Now()
			must(t, store.Update(t.Context(), a))
			wantError(t, store.Get(t.Context(), new(Item), "a"), storage.ErrNotFound)
		}},
		{"purge removes what is expired at its instant and nothing else", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			start := clock.Now()
			must(t, store.Insert(t.Context(), item("lasting")))
			for id, lives := range map[string]time.Duration{"a": time.Second, "b": 2 * time.Second, "c": 3 * time.Second} {
				must(t, store.Insert(t.Context(), ending(id, start.Add(lives))))
			}
			must(t, store.Insert(t.Context(), &storage.Denial{Meta: storage.Meta{ID: "d"}, ExpiresAt: start.Add(time.Second)}))
			for _, c := range []struct {
				after time.Duration
				want  int
			}{{time.Second - time.Millisecond, 0}, {2 * time.Second, 3}, {2 * time.Second, 0}} {
				got, err := store.Purge(t.Context(), start.Add(c.after))
				must(t, err)
				if got != c.want {
					t.Errorf("after %v: removed %d, want %d", c.after, got, c.want)
				}
			}
			if diff := cmp.Diff([]string{"c", "lasting"}, list(t, store, storage.Query{Limit: 9})); diff != "" {
				t.Error(diff)
			}
			must(t, store.Insert(t.Context(), ending("a", time.Time{})))
		}},
		{"in a transaction an expired record is absent too", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			must(t, store.Insert(t.Context(), ending("a", clock.Now().Add(time.Second))))
			clock.advance(time.Second)
			must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				wantError(t, tx.Get(ctx, new(Item), "a"), storage.ErrNotFound)
				wantError(t, tx.Lookup(ctx, new(Item), "name", "name of a"), storage.ErrNotFound)
				if got := list(t, tx, storage.Query{Limit: 9}); len(got) != 0 {
					t.Errorf("got %v", got)
				}
				return tx.Insert(ctx, ending("a", time.Time{}))
			}))
			read(t, store, "a")
		}},
	}
}

func ending(id string, at time.Time) *Item {
	i := named(id, "name of "+id)
	i.Colour, i.ExpiresAt = "red", at
	return i
}
