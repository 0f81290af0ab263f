package storagetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func versions() []property {
	return []property{
		{"an update replaces the record whole and counts the version", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			a := named("a", "ada")
			a.Parts = []Part{{Text: "old"}}
			must(t, store.Insert(t.Context(), a))
			created := a.CreatedAt
			clock.advance(time.Hour)
			code := "7"
			a.Name, a.Code, a.Parts = nil, &code, nil
			must(t, store.Update(t.Context(), a))
			if a.Version != 2 || a.CreatedAt != created || a.UpdatedAt != storage.Time(clock.Now()) {
				t.Errorf("got %+v, want version 2, created %v, updated %v", a.Meta, created, clock.Now())
			}
			if diff := cmp.Diff(a, read(t, store, "a")); diff != "" {
				t.Error(diff)
			}
			must(t, store.Update(t.Context(), a))
			if got := read(t, store, "a"); got.Version != 3 {
				t.Errorf("got version %d, want 3", got.Version)
			}
		}},
		{"an update of another version is stale and changes nothing", func(t *testing.T, s *suite) {
			store := s.store(t)
			a := named("a", "ada")
			must(t, store.Insert(t.Context(), a))
			must(t, store.Update(t.Context(), a))
			for _, version := range []int64{-1, 0, 1, 3} {
				other := named("a", "bob")
				other.Version = version
				wantError(t, store.Update(t.Context(), other), storage.ErrStale)
				if other.Version != version {
					t.Errorf("the refused update changed version %d to %d", version, other.Version)
				}
			}
			if diff := cmp.Diff(a, read(t, store, "a")); diff != "" {
				t.Error(diff)
			}
			wantError(t, store.Lookup(t.Context(), new(Item), "name", "bob"), storage.ErrNotFound)
		}},
		{"a delete of another version is stale and removes nothing", func(t *testing.T, s *suite) {
			store := s.store(t)
			a := item("a")
			must(t, store.Insert(t.Context(), a))
			must(t, store.Update(t.Context(), a))
			for _, version := range []int64{-1, 0, 1, 3} {
				wantError(t, store.Delete(t.Context(), ItemKind, "a", version), storage.ErrStale)
			}
			read(t, store, "a")
			must(t, store.Delete(t.Context(), ItemKind, "a", 2))
			wantError(t, store.Get(t.Context(), new(Item), "a"), storage.ErrNotFound)
			wantError(t, store.Delete(t.Context(), ItemKind, "a", 2), storage.ErrNotFound)
			wantError(t, store.Update(t.Context(), a), storage.ErrNotFound)
		}},
	}
}
