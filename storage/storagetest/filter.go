package storagetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func filtering() []property {
	return []property{
		{"a filter selects by any of its values", func(t *testing.T, s *suite) {
			store := painted(t, s)
			for _, c := range []struct {
				equal  map[string][]string
				prefix map[string]string
				want   []string
			}{
				{equal: map[string][]string{"colour": {"red"}}, want: []string{"a", "c"}},
				{equal: map[string][]string{"colour": {"red", "blue"}}, want: []string{"a", "b", "c"}},
				{equal: map[string][]string{"colour": {"red", "red"}}, want: []string{"a", "c"}},
				{equal: map[string][]string{"colour": {"Red"}}, want: []string{"d"}},
				{equal: map[string][]string{"colour": {"re"}}, want: []string{}},
				{equal: map[string][]string{"colour": {}}, want: []string{}},
				{equal: map[string][]string{"colour": nil}, want: []string{}},
				{equal: map[string][]string{"colour": {""}}, want: []string{"e"}},
				{equal: map[string][]string{"tag": {"ops:read"}}, want: []string{"a", "b"}},
				{equal: map[string][]string{"tag": {"ops:read", "ops:write"}}, want: []string{"a", "b", "d"}},
				{equal: map[string][]string{"tag": {"ops:read"}, "colour": {"red"}}, want: []string{"a"}},
				{equal: map[string][]string{"tag": {"ops:read"}, "colour": {}}, want: []string{}},
				{prefix: map[string]string{"tag": "ops:"}, want: []string{"a", "b", "d"}},
				{prefix: map[string]string{"tag": "op"}, want: []string{"a", "b", "c", "d"}},
				{prefix: map[string]string{"tag": "Ops"}, want: []string{}},
				{prefix: map[string]string{"tag": ""}, want: []string{"a", "b", "c", "d"}},
				{prefix: map[string]string{"colour": ""}, want: []string{"a", "b", "c", "d", "e"}},
				{prefix: map[string]string{"tag": "ops:", "colour": "re"}, want: []string{"a"}},
				{
					prefix: map[string]string{"tag": "ops:"}, equal: map[string][]string{"colour": {"red", "blue"}},
					want: []string{"a", "b"},
				},
				{prefix: map[string]string{"tag": "ops:w"}, equal: map[string][]string{"tag": {"ops:read"}}, want: []string{"a"}},
			} {
				q := storage.Query{Equal: c.equal, Prefix: c.prefix, Limit: 10}
				if diff := cmp.Diff(c.want, list(t, store, q)); diff != "" {
					t.Errorf("%+v: %s", q, diff)
				}
			}
		}},
		{"filter values and prefixes are literal", func(t *testing.T, s *suite) {
			store := s.store(t)
			values := []string{
				"a%b", "a_b", "a.b", "a*b", "axb", "a\\b", "^a", "[a]", "a'b", `{"$gt":""}`, "a\x00b", "ä", "\U0001f600x", "\u007f",
			}
			for n, value := range values {
				must(t, store.Insert(t.Context(), tagged(fmt.Sprintf("%02d", n), "", value)))
			}
			for n, value := range values {
				want := []string{fmt.Sprintf("%02d", n)}
				if diff := cmp.Diff(want, list(t, store, equal("tag", value))); diff != "" {
					t.Errorf("equal %q: %s", value, diff)
				}
				if diff := cmp.Diff(want, list(t, store, prefixed("tag", value))); diff != "" {
					t.Errorf("prefix %q: %s", value, diff)
				}
			}
			for prefix, want := range map[string][]string{
				"a": {"00", "01", "02", "03", "04", "05", "08", "10"}, "a_": {"01"}, ".": {}, "%": {}, "\U0001f600": {"12"}, "b": {},
			} {
				if diff := cmp.Diff(want, list(t, store, prefixed("tag", prefix))); diff != "" {
					t.Errorf("prefix %q: %s", prefix, diff)
				}
			}
		}},
		{"an undeclared filter is refused", func(t *testing.T, s *suite) {
			store := painted(t, s)
			for _, name := range []string{"name", "id", "size", "", "Tag", "colour' OR '1'='1"} {
				_, err := store.List(t.Context(), ItemKind, storage.Query{Equal: map[string][]string{name: {"red"}}, Limit: 1})
				wantRefused(t, err)
				_, err = store.List(t.Context(), ItemKind, storage.Query{Prefix: map[string]string{name: "r"}, Limit: 1})
				wantRefused(t, err)
			}
		}},
		{"updates and deletes move records between filter values", func(t *testing.T, s *suite) {
			store := painted(t, s)
			a := read(t, store, "a")
			a.Colour, a.Tags = "blue", []string{"ops:write", "ops:write", "new"}
			must(t, store.Update(t.Context(), a))
			must(t, store.Delete(t.Context(), ItemKind, "b", 1))
			for tag, want := range map[string][]string{"ops:read": {}, "ops:write": {"a", "d"}, "new": {"a"}} {
				if diff := cmp.Diff(want, list(t, store, equal("tag", tag))); diff != "" {
					t.Errorf("%s: %s", tag, diff)
				}
			}
			if diff := cmp.Diff([]string{"a"}, list(t, store, equal("colour", "blue"))); diff != "" {
				t.Error(diff)
			}
		}},
		{"filters agree with a naive scan", func(t *testing.T, s *suite) {
			store := s.store(t)
			random := rand.New(rand.NewPCG(1, 2))
			var all []*Item
			must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				for n := range 120 {
					i := tagged(fmt.Sprintf("%03d", n), word(random))
					for range random.IntN(4) {
						i.Tags = append(i.Tags, word(random))
					}
					if err := tx.Insert(ctx, i); err != nil {
						return err
					}
					all = append(all, i)
				}
				return nil
			}))
			for range 300 {
				q := randomQuery(random)
				want := []string{}
				for _, i := range all {
					if i.ID > q.After && (q.Before == "" || i.ID < q.Before) && selects(q, i) {
						want = append(want, i.ID)
					}
				}
				if q.Before != "" {
					want = want[max(0, len(want)-q.Limit):]
				}
				want = want[:min(len(want), q.Limit)]
				if diff := cmp.Diff(want, list(t, store, q)); diff != "" {
					t.Fatalf("%+v: %s", q, diff)
				}
			}
		}},
	}
}

func equal(filter string, values ...string) storage.Query {
	return storage.Query{Equal: map[string][]string{filter: values}, Limit: 99}
}

func prefixed(filter, prefix string) storage.Query {
	return storage.Query{Prefix: map[string]string{filter: prefix}, Limit: 99}
}

func painted(t *testing.T, s *suite) storage.Store {
	store := s.store(t)
	for _, i := range []*Item{
		tagged("a", "red", "ops:read", "ops:write"), tagged("b", "blue", "ops:read"), tagged("c", "red", "opx"),
		tagged("d", "Red", "ops:write"), tagged("e", ""),
	} {
		must(t, store.Insert(t.Context(), i))
	}
	return store
}

// word returns one of few words, so that random queries find something.
func word(random *rand.Rand) string { return []string{"", "a", "ab", "abc", "b", "ba"}[random.IntN(6)] }

func randomQuery(random *rand.Rand) storage.Query {
	q := storage.Query{Equal: map[string][]string{}, Prefix: map[string]string{}, Limit: 1 + random.IntN(130)}
	switch random.IntN(4) {
	case 0, 1:
		q.After = fmt.Sprintf("%03d", random.IntN(120))
	case 2:
		q.Before = fmt.Sprintf("%03d", random.IntN(120))
	}
	for _, filter := range []string{"tag", "colour"} {
		switch random.IntN(4) {
		case 0:
			q.Equal[filter] = []string{word(random)}
		case 1:
			q.Equal[filter] = []string{word(random), word(random)}
		case 2:
			q.Prefix[filter] = word(random)
		}
	}
	return q
}
