package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/256dpi/lungo/mongokit"
	"github.com/google/go-cmp/cmp"
	bson1 "go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// indexed makes the indexes of one of Writ's collections.
func indexed(t *testing.T, users *mongo.Collection) {
	t.Helper()
	named := func(name string) *options.IndexOptionsBuilder { return options.Index().SetName(name) }
	_, err := users.Indexes().CreateMany(t.Context(), []mongo.IndexModel{
		{Keys: d("unique.username", 1), Options: named("username").SetUnique(true)},
		{Keys: d("filters.role", 1, "_id", 1), Options: named("role")},
		{Keys: d("expires", 1), Options: named("expires")},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilters(t *testing.T) {
	day := func(n int) bson.DateTime {
		return bson.NewDateTimeFromTime(time.Date(2030, 1, n, 0, 0, 0, 0, time.UTC))
	}
	for _, withIndexes := range []bool{true, false} {
		t.Run(fmt.Sprintf("indexes %t", withIndexes), func(t *testing.T) {
			users := fresh(t)
			if withIndexes {
				indexed(t, users)
			}
			_, err := users.InsertMany(t.Context(), []bson.D{
				d("_id", "a", "version", int64(1), "expires", day(1), "unique", d("username", "=ada"), "filters", d("role", bson.A{"admin", "user"})),
				d("_id", "b", "version", int64(2), "expires", day(2), "unique", d("username", "=bob"), "filters", d("role", bson.A{"user"})),
				d("_id", "c", "version", int32(1), "expires", day(3), "unique", d("username", "!c"), "filters", d("role", bson.A{})),
				d("_id", "d", "version", 1.0, "unique", d("username", "!d"), "filters", d("role", "user")),
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name   string
				filter bson.D
				want   []string
			}{
				{"everything", d(), []string{"a", "b", "c", "d"}},
				{"by id", d("_id", "b"), []string{"b"}},
				{"by an id that is not there", d("_id", "x"), nil},
				{"by ids, one of them twice", d("_id", d("$in", bson.A{"d", "a", "x", "a"})), []string{"a", "d"}},
				{"by no id at all", d("_id", d("$in", bson.A{})), nil},
				{"behind an id", d("_id", d("$gt", "b")), []string{"c", "d"}},
				{"an id of another type", d("_id", 1), nil},
				{"id and version", d("_id", "a", "version", int64(1)), []string{"a"}},
				{"id and another version", d("_id", "a", "version", int64(2)), nil},
				{"numbers of any type", d("version", 1), []string{"a", "c", "d"}},
				{"unique key", d("unique.username", "=bob"), []string{"b"}},
				{"expired", d("expires", d("$lte", day(2))), []string{"a", "b"}},
				{"not expired", d("expires", d("$gt", day(2))), []string{"c"}},
				{"an element of an array", d("filters.role", "user"), []string{"a", "b", "d"}},
				{"one of several, in an array", d("filters.role", d("$in", bson.A{"admin", "user"})), []string{"a", "b", "d"}},
				{"an element behind an id", d("filters.role", "user", "_id", d("$gt", "a")), []string{"b", "d"}},
				{"a range over an array", d("filters.role", d("$gte", "admin", "$lt", "b")), []string{"a"}},
				{"a range that two elements satisfy, one side each", d("filters.role", d("$gte", "b", "$lt", "b")), []string{"a"}},
				{"an array as a whole", d("filters.role", bson.A{"user"}), []string{"b"}},
				{"an empty array", d("filters.role", bson.A{}), []string{"c"}},
				{"a missing field is null", d("expires", nil), []string{"d"}},
				{"exists", d("expires", d("$exists", false)), []string{"d"}},
				{"not equal", d("filters.role", d("$ne", "user")), []string{"c"}},
				{"not in", d("_id", d("$nin", bson.A{"a", "b"})), []string{"c", "d"}},
				{"or", d("$or", bson.A{d("_id", "a"), d("expires", day(3))}), []string{"a", "c"}},
				{"and", d("$and", bson.A{d("filters.role", "user"), d("expires", d("$gt", day(1)))}), []string{"b"}},
				{"a document as a whole", d("unique", d("username", "=ada")), []string{"a"}},
			} {
				cursor, err := users.Find(t.Context(), c.filter, options.Find().SetSort(d("_id", 1)))
				if diff := cmp.Diff(append([]string{}, c.want...), ids(t, cursor, err)); diff != "" {
					t.Errorf("%s: %s", c.name, diff)
				}
			}
		})
	}
}

func TestOrderOfIdsIsByBytes(t *testing.T) {
	users := fresh(t)
	names := []string{"", "\x00", "\x00\x00", "\x01", "A", "a", "a\x00", "a\x00b", "a\x01", "aa", "z", "\u00e9", "\ud7ff", "\uffee", "\U00010000", "\U0001f600"}
	if !slices.IsSorted(names) {
		t.Fatal("the names are not in the order of their bytes")
	}
	var docs []bson.D
	for _, i := range rand.Perm(len(names)) {
		docs = append(docs, d("_id", names[i], "unique", d("username", names[i]), "filters", d("role", "r")))
	}
	if _, err := users.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	indexed(t, users)
	for i, name := range names {
		cursor, err := users.Find(t.Context(), d("_id", d("$gt", name)), options.Find().SetSort(d("_id", 1)))
		if diff := cmp.Diff(names[i+1:], ids(t, cursor, err)); diff != "" {
			t.Errorf("behind %q: %s", name, diff)
		}
		cursor, err = users.Find(t.Context(), d("filters.role", "r", "_id", d("$gt", name)), options.Find().SetSort(d("_id", 1)).SetLimit(2))
		if diff := cmp.Diff(names[i+1:min(i+3, len(names))], ids(t, cursor, err)); diff != "" {
			t.Errorf("two behind %q, by an index: %s", name, diff)
		}
	}
}

func TestSortSkipLimitAndProjection(t *testing.T) {
	users := fresh(t)
	_, err := users.InsertMany(t.Context(), []bson.D{d("_id", "a", "n", 2, "m", 1), d("_id", "b", "n", 1, "m", 1), d("_id", "c", "n", 3), d("_id", "d", "n", 1, "m", 2)})
	if err != nil {
		t.Fatal(err)
	}
	find := func(o *options.FindOptionsBuilder) []string {
		cursor, err := users.Find(t.Context(), d(), o)
		return ids(t, cursor, err)
	}
	for _, c := range []struct {
		o    *options.FindOptionsBuilder
		want []string
	}{
		{options.Find().SetSort(d("_id", -1)), []string{"d", "c", "b", "a"}},
		{options.Find().SetSort(d("n", 1, "m", -1)), []string{"d", "b", "a", "c"}},
		{options.Find().SetSort(d("n", -1, "_id", 1)).SetLimit(3), []string{"c", "a", "b"}},
		{options.Find().SetSort(d("_id", 1)).SetSkip(1).SetLimit(2), []string{"b", "c"}},
		{options.Find().SetSkip(9), []string{}},
	} {
		if diff := cmp.Diff(c.want, find(c.o)); diff != "" {
			t.Error(diff)
		}
	}
	for _, c := range []struct{ projection, want bson.D }{
		{d("_id", 1), d("_id", "a")},
		{d("m", true), d("_id", "a", "m", int32(1))},
		{d("_id", 0, "n", 1), d("n", int32(2))},
		{d("n", 0), d("_id", "a", "m", int32(1))},
		{d("_id", 0), d("n", int32(2), "m", int32(1))},
	} {
		var got bson.D
		if err := users.FindOne(t.Context(), d("_id", "a"), options.FindOne().SetProjection(c.projection)).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v: %s", c.projection, diff)
		}
	}
}

// TestIndexesChangeNoAnswer holds what the indexes find against lungo's own reading of every document.
func TestIndexesChangeNoAnswer(t *testing.T) {
	one, minus := int32(1), int32(-1)
	keys := []bson1.D{
		{{Key: "a", Value: 1.0}},
		{{Key: "b", Value: one}, {Key: "_id", Value: one}},
		{{Key: "b", Value: one}, {Key: "c.d", Value: minus}},
		{{Key: "c.d", Value: one}, {Key: "b", Value: one}},
		{{Key: "a", Value: minus}},
	}
	// The first of two that are as good is used, so each has to be the first once.
	t.Run("ascending first", func(t *testing.T) { compareWithMatch(t, keys) })
	slices.Reverse(keys)
	t.Run("descending first", func(t *testing.T) { compareWithMatch(t, keys) })
}

func compareWithMatch(t *testing.T, keys []bson1.D) {
	t.Helper()
	const seed = 20260101
	random := rand.New(rand.NewPCG(seed, seed))
	c := newCollection("db.c", 1)
	for _, key := range keys {
		x, err := newIndex(indexSpec{name: fmt.Sprint(key), key: key})
		if err != nil {
			t.Fatal(err)
		}
		c.indexes = append(c.indexes, x)
	}
	scalar := func() any {
		return []any{
			int32(random.IntN(4)), int64(random.IntN(4)), float64(random.IntN(8)) / 2, string(rune('a' + random.IntN(4))), nil,
			random.IntN(2) == 0, primitive.DateTime(random.IntN(4)),
		}[random.IntN(7)]
	}
	array := func() any {
		list := bson1.A{}
		for range random.IntN(4) {
			list = append(list, scalar())
		}
		return list
	}
	for i := range 400 {
		if i%50 == 0 {
			c = c.clone()
		}
		doc := bson1.D{{Key: "_id", Value: int32(i % 200)}} // half of them replace another
		for _, key := range []string{"a", "b"} {
			switch random.IntN(4) {
			case 0:
			case 1:
				if key == "a" {
					doc = append(doc, bson1.E{Key: key, Value: array()})
				}
			default:
				doc = append(doc, bson1.E{Key: key, Value: scalar()})
			}
		}
		nested := bson1.D{{Key: "d", Value: scalar()}}
		if random.IntN(3) == 0 {
			nested[0].Value = array()
		}
		next := newDocument(append(doc, bson1.E{Key: "c", Value: nested}))
		if err := c.replace(c.get(next.id), next); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			if err := c.replace(next, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	c = c.clone()
	var all []*document
	c.docs.Scan(func(d *document) bool { all = append(all, d); return true })
	condition := func() any {
		switch random.IntN(4) {
		case 0:
			return bson1.D{{Key: "$in", Value: bson1.A{scalar(), scalar(), scalar()}[:random.IntN(4)]}}
		case 1:
			return bson1.D{{Key: []string{"$gt", "$gte"}[random.IntN(2)], Value: scalar()}, {Key: []string{"$lt", "$lte"}[random.IntN(2)], Value: scalar()}}
		case 2:
			return bson1.D{{Key: []string{"$gt", "$gte", "$lt", "$lte", "$eq", "$ne"}[random.IntN(6)], Value: scalar()}}
		}
		return scalar()
	}
	used := map[string]int{}
	for range 10_000 {
		q := query{limit: random.IntN(5), skip: random.IntN(3)}
		for _, path := range []string{"_id", "a", "b", "c.d"} {
			if random.IntN(3) == 0 {
				q.filter = append(q.filter, bson1.E{Key: path, Value: condition()})
			}
		}
		for _, path := range []string{"a", "b", "c.d"} {
			if random.IntN(6) == 0 {
				q.sort = append(q.sort, bson1.E{Key: path, Value: int32(1 - 2*random.IntN(2))})
			}
		}
		q.sort = append(q.sort, bson1.E{Key: "_id", Value: int32(1)}) // so that the order is certain
		got, err := find(c, q)
		if err != nil {
			t.Fatal(err)
		}
		var want []*document
		for _, d := range all {
			if ok, err := mongokit.Match(d.doc, &q.filter); err != nil {
				t.Fatal(err)
			} else if ok {
				want = append(want, d)
			}
		}
		want = sorted(want, q.sort)
		want = want[min(q.skip, len(want)):]
		if q.limit > 0 {
			want = want[:min(q.limit, len(want))]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v: %d documents, want %d", q, len(got), len(want))
		}
		if x := choose(c, q).index; x != nil {
			used[x.spec.name]++
		}
	}
	if len(used) < 4 {
		t.Errorf("only these indexes were used: %v", used)
	}
}

func TestPlans(t *testing.T) {
	c := newCollection("db.c", 1)
	for _, spec := range []indexSpec{
		{name: "username", key: bson1.D{{Key: "unique.username", Value: int32(1)}}, unique: true},
		{name: "role", key: bson1.D{{Key: "filters.role", Value: int32(1)}, {Key: "_id", Value: int32(1)}}},
		{name: "expires", key: bson1.D{{Key: "expires", Value: int32(1)}}},
	} {
		x, err := newIndex(spec)
		if err != nil {
			t.Fatal(err)
		}
		c.indexes = append(c.indexes, x)
	}
	const total = 1000
	for i := range total {
		doc := bson1.D{
			{Key: "_id", Value: fmt.Sprintf("%04d", i)},
			{Key: "expires", Value: primitive.DateTime(i)},
			{Key: "unique", Value: bson1.D{{Key: "username", Value: fmt.Sprint(i)}}},
			{Key: "filters", Value: bson1.D{{Key: "role", Value: bson1.A{fmt.Sprint(i % 10), "all"}}}},
		}
		if err := c.replace(nil, newDocument(doc)); err != nil {
			t.Fatal(err)
		}
	}
	byID := bson1.D{{Key: "_id", Value: int32(1)}}
	for _, q := range []struct {
		name  string
		query query
		looks int // at so many documents
	}{
		{"by id", query{filter: bson1.D{{Key: "_id", Value: "0500"}}}, 1},
		{"by id and version", query{filter: bson1.D{{Key: "version", Value: int64(1)}, {Key: "_id", Value: "0500"}}}, 1},
		{"by unique key", query{filter: bson1.D{{Key: "unique.username", Value: "500"}}}, 1},
		{"page by id", query{filter: bson1.D{{Key: "_id", Value: bson1.D{{Key: "$gt", Value: "0500"}}}}, sort: byID, limit: 10}, 10},
		{"page by role", query{filter: bson1.D{{Key: "filters.role", Value: "5"}, {Key: "_id", Value: bson1.D{{Key: "$gt", Value: "0500"}}}}, sort: byID, limit: 10}, 10},
		{"page by roles", query{filter: bson1.D{{Key: "filters.role", Value: bson1.D{{Key: "$in", Value: bson1.A{"5", "6"}}}}}, sort: byID, limit: 10}, 200},
		{"what expires", query{filter: bson1.D{{Key: "expires", Value: bson1.D{{Key: "$lte", Value: primitive.DateTime(9)}}}}}, 10},
		{"no index", query{filter: bson1.D{{Key: "body", Value: "x"}}}, total},
	} {
		p, looks := choose(c, q.query), 0
		p.walk(c, func(*document) bool {
			looks++
			return !p.ordered || q.query.limit == 0 || looks < q.query.limit
		})
		if looks != q.looks {
			t.Errorf("%s: looks at %d documents, want %d", q.name, looks, q.looks)
		}
	}
}
