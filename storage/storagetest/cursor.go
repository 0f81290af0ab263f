package storagetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/writ-authz/writ/storage"
)

func ordering() []property {
	return []property{
		{"an empty list is no error", func(t *testing.T, s *suite) {
			if got := list(t, s.store(t), storage.Query{Limit: 10}); len(got) != 0 {
				t.Errorf("got %v", got)
			}
		}},
		{"lists are in byte order of the id", func(t *testing.T, s *suite) {
			store := s.store(t)
			// In UTF-16 the last two would stand the other way round.
			want := []string{"!", "A", "Z", "_", "a", "a b", "a/b", "ab", "z", "~", "ß", "ä", "é", "\ufffd", "\U0001f600"}
			slices.Sort(want)
			for _, id := range shuffled(want) {
				must(t, store.Insert(t.Context(), item(id)))
			}
			if diff := cmp.Diff(want, list(t, store, storage.Query{Limit: 100})); diff != "" {
				t.Error(diff)
			}
			for n, id := range want {
				if diff := cmp.Diff(want[n+1:], list(t, store, storage.Query{After: id, Limit: 100})); diff != "" {
					t.Errorf("after %q: %s", id, diff)
				}
			}
		}},
		{"a cursor need not exist", func(t *testing.T, s *suite) {
			store := s.store(t)
			for _, id := range []string{"b", "d"} {
				must(t, store.Insert(t.Context(), item(id)))
			}
			for after, want := range map[string][]string{"": {"b", "d"}, "a": {"b", "d"}, "c": {"d"}, "e": {}} {
				if diff := cmp.Diff(want, list(t, store, storage.Query{After: after, Limit: 9})); diff != "" {
					t.Errorf("after %q: %s", after, diff)
				}
			}
			for before, want := range map[string][]string{"a": {}, "c": {"b"}, "e": {"b", "d"}} {
				if diff := cmp.Diff(want, list(t, store, storage.Query{Before: before, Limit: 9})); diff != "" {
					t.Errorf("before %q: %s", before, diff)
				}
			}
		}},
		{"a page in front of an id has the last ones, in order", func(t *testing.T, s *suite) {
			store := s.store(t)
			want := []string{"!", "A", "Z", "a", "ab", "z", "~", "ß", "\ufffd", "\U0001f600"}
			for _, id := range shuffled(want) {
				must(t, store.Insert(t.Context(), tagged(id, "red")))
			}
			for n, id := range want {
				for limit := 1; limit <= len(want); limit++ {
					for name, q := range map[string]storage.Query{
						"all": {}, "equal": equal("colour", "red"), "any": equal("colour", "red", "blue"), "prefix": prefixed("colour", "r"),
					} {
						q.Before, q.Limit = id, limit
						if diff := cmp.Diff(want[max(0, n-limit):n], list(t, store, q), cmpopts.EquateEmpty()); diff != "" {
							t.Errorf("%s, %d before %q: %s", name, limit, id, diff)
						}
					}
				}
			}
			_, err := store.List(t.Context(), ItemKind, storage.Query{After: "A", Before: "z", Limit: 9})
			wantRefused(t, err)
		}},
		{"a list keeps to its kind and its limit", func(t *testing.T, s *suite) {
			store := s.store(t)
			for n := range 5 {
				must(t, store.Insert(t.Context(), item(fmt.Sprint(n))))
			}
			must(t, store.Insert(t.Context(), &storage.SecretUse{Meta: storage.Meta{ID: "9"}}))
			for limit := 1; limit < 8; limit++ {
				if got := list(t, store, storage.Query{Limit: limit}); len(got) != min(limit, 5) {
					t.Errorf("limit %d: got %v", limit, got)
				}
			}
			for _, limit := range []int{0, -1} {
				_, err := store.List(t.Context(), ItemKind, storage.Query{Limit: limit})
				wantRefused(t, err)
			}
		}},
		{"pages are whole while others write", func(t *testing.T, s *suite) {
			store := s.store(t)
			var want []string
			for n := range 60 {
				id := fmt.Sprintf("%03d", n*2)
				want = append(want, id)
				must(t, store.Insert(t.Context(), tagged(id, "red")))
			}
			for name, q := range map[string]storage.Query{
				"all": {Limit: 7}, "filtered": {Limit: 7, Equal: map[string][]string{"colour": {"red"}}},
			} {
				var seen []string
				for page := 0; ; page++ {
					got := list(t, store, q)
					if len(got) == 0 {
						break
					}
					seen = append(seen, got...)
					q.After = got[len(got)-1]
					// One before and one behind the cursor, and one that was seen changes.
					must(t, store.Insert(t.Context(), tagged(fmt.Sprintf("%03d-before-%s", page, name), "red")))
					if page < 5 { // else there is always one more
						must(t, store.Insert(t.Context(), tagged(fmt.Sprintf("%s-behind-%s", q.After, name), "red")))
					}
					update := read(t, store, got[0])
					must(t, store.Update(t.Context(), update))
				}
				wantWhole(t, name, seen, want)
			}
		}},
		{"pages backwards are whole while others write", func(t *testing.T, s *suite) {
			store := s.store(t)
			var want []string
			for n := range 60 {
				id := fmt.Sprintf("%03d", n*2)
				want = append(want, id)
				must(t, store.Insert(t.Context(), tagged(id, "red")))
			}
			for name, q := range map[string]storage.Query{
				"all": {Limit: 7}, "filtered": {Limit: 7, Equal: map[string][]string{"colour": {"red"}}}, "prefix": {Limit: 7, Prefix: map[string]string{"colour": "r"}},
			} {
				var seen []string
				q.Before = "~"
				for page := 0; ; page++ {
					got := list(t, store, q)
					if len(got) == 0 {
						break
					}
					seen = append(got, seen...)
					q.Before = got[0]
					// One behind the cursor and one in front of it, and one that was seen changes.
					must(t, store.Insert(t.Context(), tagged(fmt.Sprintf("%s-%s", got[len(got)-1], name), "red")))
					if page < 5 && got[0] != "000" {
						must(t, store.Insert(t.Context(), tagged(fmt.Sprintf("000-%d-%s", page, name), "red")))
					}
					update := read(t, store, got[0])
					must(t, store.Update(t.Context(), update))
				}
				wantWhole(t, name, seen, want)
			}
		}},
	}
}

// wantWhole demands that pages, one behind the other, skip and repeat nothing that was there throughout.
func wantWhole(t *testing.T, name string, seen, want []string) {
	t.Helper()
	if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
		t.Errorf("%s: pages are out of order or repeat: %v", name, seen)
	}
	for _, id := range want {
		if !slices.Contains(seen, id) {
			t.Errorf("%s: %s is missing", name, id)
		}
	}
}

func list(t *testing.T, store storage.Reader, q storage.Query) []string {
	t.Helper()
	records, err := store.List(t.Context(), ItemKind, q)
	must(t, err)
	return ids(records)
}

// shuffled returns the list in an order that is neither ascending nor descending, and the same each time.
func shuffled(list []string) []string {
	var out []string
	for n := range list {
		if n%2 == 0 {
			out = append(out, list[n])
		} else {
			out = append([]string{list[n]}, out...)
		}
	}
	return out
}
