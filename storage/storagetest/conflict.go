package storagetest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func conflicts() []property {
	return []property{
		{"a taken id is a conflict and changes nothing", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			again := named("a", "bob")
			wantConflict(t, store.Insert(t.Context(), again), "id")
			if again.Version != 0 || !again.CreatedAt.IsZero() {
				t.Errorf("the refused insert set %+v", again.Meta)
			}
			if got := read(t, store, "a"); *got.Name != "ada" || got.Version != 1 {
				t.Errorf("got %+v, want the first record", got)
			}
			wantError(t, store.Lookup(t.Context(), new(Item), "name", "bob"), storage.ErrNotFound)
		}},
		{"a taken unique value is a conflict that names the index and changes nothing", func(t *testing.T, s *suite) {
			store := s.store(t)
			name, code := "ada", "7"
			first := item("a")
			first.Name, first.Code, first.Tags = &name, &code, []string{"x"}
			must(t, store.Insert(t.Context(), first))
			for index, second := range map[string]*Item{"name": {Name: &name}, "code": {Code: &code}} {
				second.ID, second.Tags = "b", []string{"x"}
				wantConflict(t, store.Insert(t.Context(), second), index)
			}
			wantError(t, store.Get(t.Context(), new(Item), "b"), storage.ErrNotFound)
			if got := list(t, store, storage.Query{Equal: map[string][]string{"tag": {"x"}}, Limit: 9}); len(got) != 1 {
				t.Errorf("the refused inserts are listed: %v", got)
			}
			// The same text under another index or in another kind is another value.
			third := item("c")
			third.Name, third.Code = &code, &name
			must(t, store.Insert(t.Context(), third))
			other := guarded("a")
			other.Name = &name
			must(t, change(t.Context(), store, func(tx storage.Tx) error { return tx.Insert(t.Context(), other) }))
		}},
		{"records without a unique value do not conflict", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), item("a")))
			must(t, store.Insert(t.Context(), item("b")))
			must(t, store.Insert(t.Context(), named("c", "")))
			wantConflict(t, store.Insert(t.Context(), named("d", "")), "name")
		}},
		{"an update to a taken unique value is a conflict and changes nothing", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			must(t, store.Insert(t.Context(), named("b", "bob")))
			b := read(t, store, "b")
			name := "ada"
			b.Name, b.Tags = &name, []string{"x"}
			before := b.Meta
			wantConflict(t, store.Update(t.Context(), b), "name")
			if diff := cmp.Diff(before, b.Meta); diff != "" {
				t.Error("the refused update changed the record's Meta:", diff)
			}
			if got := read(t, store, "b"); *got.Name != "bob" || got.Version != 1 {
				t.Errorf("got %+v, want it unchanged", got)
			}
			found, err := storage.Lookup[Item](t.Context(), store, "name", "ada")
			must(t, err)
			if found.ID != "a" {
				t.Errorf("ada is %q now", found.ID)
			}
		}},
		{"an update that keeps its own unique value is no conflict", func(t *testing.T, s *suite) {
			store := s.store(t)
			a := named("a", "ada")
			must(t, store.Insert(t.Context(), a))
			a.Tags = []string{"x"}
			must(t, store.Update(t.Context(), a))
			found, err := storage.Lookup[Item](t.Context(), store, "name", "ada")
			must(t, err)
			if found.Version != 2 {
				t.Errorf("found version %d", found.Version)
			}
		}},
		{"an update frees the unique value that it gives up", func(t *testing.T, s *suite) {
			store := s.store(t)
			a := named("a", "ada")
			must(t, store.Insert(t.Context(), a))
			name := "grace"
			a.Name = &name
			must(t, store.Update(t.Context(), a))
			wantError(t, store.Lookup(t.Context(), new(Item), "name", "ada"), storage.ErrNotFound)
			must(t, store.Insert(t.Context(), named("b", "ada")))
			a.Name = nil
			must(t, store.Update(t.Context(), a))
			must(t, store.Insert(t.Context(), named("c", "grace")))
		}},
		{"a delete frees the id and the unique values", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			must(t, store.Delete(t.Context(), ItemKind, "a", 1))
			wantError(t, store.Lookup(t.Context(), new(Item), "name", "ada"), storage.ErrNotFound)
			again := named("a", "ada")
			must(t, store.Insert(t.Context(), again))
			if again.Version != 1 {
				t.Errorf("the new record has version %d", again.Version)
			}
			must(t, store.Delete(t.Context(), ItemKind, "a", 1))
			must(t, store.Insert(t.Context(), named("b", "ada")))
		}},
		{"in a transaction a conflict leaves the transaction usable", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			must(t, change(t.Context(), store, func(tx storage.Tx) error {
				refused := named("b", "ada")
				wantConflict(t, tx.Insert(t.Context(), refused), "name")
				if diff := cmp.Diff(storage.Meta{ID: "b"}, refused.Meta); diff != "" {
					t.Error("the refused insert changed the record's Meta:", diff)
				}
				wantConflict(t, tx.Insert(t.Context(), named("a", "bob")), "id")
				return tx.Insert(t.Context(), named("b", "bob"))
			}))
			if got := read(t, store, "b"); *got.Name != "bob" {
				t.Errorf("got %q", *got.Name)
			}
		}},
	}
}

func wantConflict(t *testing.T, err error, index string) {
	t.Helper()
	wantError(t, err, storage.ErrConflict)
	var conflict *storage.ConflictError
	if !errors.As(err, &conflict) || conflict.Index != index || conflict.Kind != ItemKind.Name {
		t.Fatalf("got %#v, want a conflict of %s of %s", err, index, ItemKind.Name)
	}
}
