package storagetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func aliasing() []property {
	return []property{
		{"what is handed in stays the caller's", func(t *testing.T, s *suite) {
			store := s.store(t)
			a := full("a")
			must(t, store.Insert(t.Context(), a))
			want := read(t, store, "a")
			spoil(a)
			if diff := cmp.Diff(want, read(t, store, "a")); diff != "" {
				t.Error("after insert:", diff)
			}
			a = full("a")
			a.Version = 1
			must(t, store.Update(t.Context(), a))
			want = read(t, store, "a")
			spoil(a)
			if diff := cmp.Diff(want, read(t, store, "a")); diff != "" {
				t.Error("after update:", diff)
			}
		}},
		{"what is handed out is the caller's", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), full("a")))
			want := read(t, store, "a")
			spoil(read(t, store, "a"))
			found, err := storage.Lookup[Item](t.Context(), store, "name", "name")
			must(t, err)
			spoil(found)
			listed, err := storage.List[Item](t.Context(), store, storage.Query{Limit: 1})
			must(t, err)
			spoil(listed[0])
			if diff := cmp.Diff(want, read(t, store, "a")); diff != "" {
				t.Error(diff)
			}
		}},
		{"what a transaction reads and writes is the caller's", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				a := full("a")
				must(t, tx.Insert(ctx, a))
				want := read(t, tx, "a")
				spoil(a)
				spoil(read(t, tx, "a"))
				if diff := cmp.Diff(want, read(t, tx, "a")); diff != "" {
					t.Error(diff)
				}
				return nil
			}))
		}},
	}
}

// full returns an item that has something behind each pointer.
func full(id string) *Item {
	i := named(id, "name")
	code, at := "code", i.CreatedAt.AddDate(2000, 0, 0)
	i.Code, i.Tags, i.Raw = &code, []string{"x", "y"}, []byte(`{"a":1}`)
	i.Parts = []Part{{At: &at, Text: "text"}}
	return i
}

// spoil overwrites everything that could be shared.
func spoil(i *Item) {
	*i.Name, *i.Code = "spoilt", "spoilt"
	i.Tags[0], i.Raw[2] = "spoilt", 'b'
	*i.Parts[0].At = i.Parts[0].At.AddDate(1, 0, 0)
	i.Parts[0].Text = "spoilt"
}
