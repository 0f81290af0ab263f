package storagetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func inserting() []property {
	return []property{
		{"insert sets version 1 and the times", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			i := item("a")
			i.Version = 7
			must(t, store.Insert(t.Context(), i))
			if want := storage.Time(clock.Now()); i.Version != 1 || i.CreatedAt != want || i.UpdatedAt != want {
				t.Errorf("got %+v, want version 1 and times %v", i.Meta, want)
			}
			got := read(t, store, "a")
			if diff := cmp.Diff(i.Meta, got.Meta); diff != "" {
				t.Error(diff)
			}
		}},
		{"insert keeps the times that are given", func(t *testing.T, s *suite) {
			store := s.store(t)
			given := time.Date(2020, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("", 3600))
			i := item("a")
			i.CreatedAt, i.UpdatedAt = given, given.Add(time.Hour)
			must(t, store.Insert(t.Context(), i))
			got := read(t, store, "a")
			if got.CreatedAt != storage.Time(given) || got.UpdatedAt != storage.Time(given.Add(time.Hour)) {
				t.Errorf("got %+v, want the times given, in UTC and whole milliseconds", got.Meta)
			}
		}},
		{"times at any depth come back in UTC and whole milliseconds", func(t *testing.T, s *suite) {
			store := s.store(t)
			given := time.Date(2130, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("", -7200))
			i := item("a")
			i.ExpiresAt, i.Parts = given, []Part{{At: &given}, {}}
			must(t, store.Insert(t.Context(), i))
			got := read(t, store, "a")
			if got.ExpiresAt != storage.Time(given) || *got.Parts[0].At != storage.Time(given) || got.Parts[1].At != nil {
				t.Errorf("got %v and %+v, want %v", got.ExpiresAt, got.Parts, storage.Time(given))
			}
		}},
		{"an id that is empty or not UTF-8 is refused", func(t *testing.T, s *suite) {
			store := s.store(t)
			wantRefused(t, store.Insert(t.Context(), item("")))
			wantRefused(t, store.Insert(t.Context(), item("a\xff")))
		}},
		{"a value under an undeclared index is refused", func(t *testing.T, s *suite) {
			store := s.store(t)
			for _, index := range []storage.Index{
				{Unique: map[string]string{"tag": "x"}},
				{Unique: map[string]string{"serial": "x"}},
				{Filters: map[string][]string{"name": {"x"}}},
				{Filters: map[string][]string{"size": nil}},
			} {
				wantRefused(t, store.Insert(t.Context(), &rogue{Item: *item("a"), index: index}))
			}
			wantError(t, store.Get(t.Context(), new(Item), "a"), storage.ErrNotFound)
			must(t, store.Insert(t.Context(), item("a")))
			wantRefused(t, store.Update(t.Context(), &rogue{
				Item: *read(t, store, "a"), index: storage.Index{Filters: map[string][]string{"size": {"x"}}},
			}))
			if got := read(t, store, "a"); got.Version != 1 {
				t.Errorf("the refused update made version %d", got.Version)
			}
		}},
		{"a large record is kept whole", func(t *testing.T, s *suite) {
			store := s.store(t)
			i := item("a")
			text := make([]byte, 1<<20)
			for n := range text {
				text[n] = 'a' + byte(n%26)
			}
			i.Parts = []Part{{Text: string(text)}}
			must(t, store.Insert(t.Context(), i))
			if got := read(t, store, "a"); got.Parts[0].Text != string(text) {
				t.Error("a record of 1 MiB came back different")
			}
		}},
		{"raw JSON keeps its value", func(t *testing.T, s *suite) {
			store := s.store(t)
			i := item("a")
			i.Raw = json.RawMessage(`{"$where":"<&>","a.b":{"n":12345678901234567890,"x":[null,1.50,""]},"\u0000":"` +
				"\u2028" + `"}`)
			must(t, store.Insert(t.Context(), i))
			if diff := cmp.Diff(i, read(t, store, "a"), sameJSON()); diff != "" {
				t.Error(diff)
			}
		}},
	}
}

// read returns an item that must be there.
func read(t *testing.T, store storage.Reader, id string) *Item {
	t.Helper()
	got, err := storage.Get[Item](t.Context(), store, id)
	must(t, err)
	return got
}
