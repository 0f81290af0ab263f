package storagetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func reading() []property {
	return []property{
		{"a record that is not there is ErrNotFound", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			wantError(t, store.Get(t.Context(), new(Item), "b"), storage.ErrNotFound)
			wantError(t, store.Get(t.Context(), new(Item), ""), storage.ErrNotFound)
			wantError(t, store.Get(t.Context(), new(storage.Session), "a"), storage.ErrNotFound)
			wantError(t, store.Lookup(t.Context(), new(Item), "name", "bob"), storage.ErrNotFound)
			wantError(t, store.Lookup(t.Context(), new(Item), "code", "ada"), storage.ErrNotFound)
			wantError(t, store.Lookup(t.Context(), new(Guarded), "name", "ada"), storage.ErrNotFound)
			wantError(t, store.Update(t.Context(), item("b")), storage.ErrNotFound)
			wantError(t, store.Delete(t.Context(), ItemKind, "b", 1), storage.ErrNotFound)
		}},
		{"ids and look-up values are case-sensitive", func(t *testing.T, s *suite) {
			store := s.store(t)
			for _, id := range []string{"Ada", "ada", "ADA", "ada "} {
				must(t, store.Insert(t.Context(), named(id, "name of "+id)))
			}
			for _, id := range []string{"Ada", "ada", "ADA", "ada "} {
				if got := read(t, store, id); *got.Name != "name of "+id {
					t.Errorf("%q: got the record of %q", id, *got.Name)
				}
				found, err := storage.Lookup[Item](t.Context(), store, "name", "name of "+id)
				must(t, err)
				if found.ID != id {
					t.Errorf("%q: found %q", id, found.ID)
				}
			}
			wantError(t, store.Get(t.Context(), new(Item), "aDA"), storage.ErrNotFound)
			wantError(t, store.Lookup(t.Context(), new(Item), "name", "Name of ada"), storage.ErrNotFound)
		}},
		{"look-up values are literal", func(t *testing.T, s *suite) {
			store := s.store(t)
			for _, name := range []string{"", "%", "a_c", "a.c", ".*", `{"$ne":null}`, "a\x00b", "$a"} {
				must(t, store.Insert(t.Context(), named("id of "+name, name)))
			}
			for _, name := range []string{"", "%", "a_c", "a.c", ".*", `{"$ne":null}`, "a\x00b", "$a"} {
				found, err := storage.Lookup[Item](t.Context(), store, "name", name)
				must(t, err)
				if found.ID != "id of "+name {
					t.Errorf("%q: found %q", name, found.ID)
				}
			}
			wantError(t, store.Lookup(t.Context(), new(Item), "name", "abc"), storage.ErrNotFound)
		}},
		{"an undeclared unique index is refused", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), tagged("a", "red", "x")))
			for _, index := range []string{"id", "tag", "serial", "", "Name", "name' OR 1=1"} {
				wantRefused(t, store.Lookup(t.Context(), new(Item), index, "x"))
			}
		}},
		{"a read replaces what it fills", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), named("a", "ada")))
			old := tagged("z", "red", "x", "y")
			old.Raw, old.Parts, old.Code = []byte(`{"a":1}`), []Part{{Text: "left over"}}, &old.Colour
			for _, fill := range []func() error{
				func() error { return store.Get(t.Context(), old, "a") },
				func() error { return store.Lookup(t.Context(), old, "name", "ada") },
			} {
				must(t, fill())
				if diff := cmp.Diff(read(t, store, "a"), old); diff != "" {
					t.Error(diff)
				}
				old.Colour, old.Tags = "red", []string{"x"}
			}
		}},
		{"a store says that it serves and what it is", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Ping(t.Context()))
			if store.Describe() == "" {
				t.Error("Describe says nothing")
			}
		}},
	}
}
