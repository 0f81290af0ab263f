package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

func TestIndexes(t *testing.T) {
	n := start(t)
	r := dial(t, n)
	make := func(name string, key bson.D, more ...any) []any {
		return []any{"createIndexes", "users", "indexes", bson.A{append(d("key", key, "name", name), d(more...)...)}}
	}
	r.refused(26, "listIndexes", "users")
	r.refused(26, "dropIndexes", "users", "index", "x")
	reply := r.ok(make("username", d("unique.username", 1), "unique", true)...)
	if diff := cmp.Diff([]any{int32(1), int32(2), true}, []any{reply["numIndexesBefore"], reply["numIndexesAfter"], reply["createdCollectionAutomatically"]}); diff != "" {
		t.Error(diff)
	}
	if reply = r.ok(make("username", d("unique.username", 1), "unique", true, "v", 2)...); reply["note"] != "all indexes already exist" {
		t.Error(reply)
	}
	r.ok(make("_id_", d("_id", 1))...) // everybody has it
	r.ok(make("role", d("filters.role", 1, "_id", 1))...)
	r.refused(86, make("username", d("other", 1), "unique", true)...)
	r.refused(86, make("username", d("unique.username", 1))...)
	r.refused(86, make("role", d("filters.role", 1))...)
	r.refused(85, make("name", d("unique.username", 1), "unique", true)...)
	r.refused(85, make("id", d("_id", 1))...)
	r.ok(make("plain", d("unique.username", 1))...) // as since MongoDB 5.0
	r.refused(67, make("empty", d())...)
	_, batch := cursorOf(r.ok("listIndexes", "users"))
	want := bson.A{
		d("v", int32(2), "key", d("_id", int32(1)), "name", "_id_", "unique", true),
		d("v", int32(2), "key", d("unique.username", int32(1)), "name", "username", "unique", true),
		d("v", int32(2), "key", d("filters.role", int32(1), "_id", int32(1)), "name", "role"),
		d("v", int32(2), "key", d("unique.username", int32(1)), "name", "plain"),
	}
	if diff := cmp.Diff(want, batch); diff != "" {
		t.Error(diff)
	}
	id, batch := cursorOf(r.ok("listIndexes", "users", "cursor", d("batchSize", 3)))
	if _, rest := cursorOf(r.ok("getMore", id, "collection", "users")); len(batch) != 3 || len(rest) != 1 {
		t.Errorf("%d and %d", len(batch), len(rest))
	}
	r.refused(27, "dropIndexes", "users", "index", "no")
	r.refused(72, "dropIndexes", "users", "index", "_id_")
	if reply = r.ok("dropIndexes", "users", "index", "role"); reply["nIndexesWas"] != int32(4) {
		t.Error(reply)
	}
	r.ok("dropIndexes", "users", "index", "*")
	if _, batch = cursorOf(r.ok("listIndexes", "users")); len(batch) != 1 {
		t.Error(batch)
	}
}

func TestUniqueIndexOverDuplicates(t *testing.T) {
	r := dial(t, start(t))
	r.ok("insert", "users", "documents", bson.A{d("_id", "a", "n", 1), d("_id", "b", "n", 1.0), d("_id", "c", "n", bson.A{2, 2})})
	unique := []any{"createIndexes", "users", "indexes", bson.A{d("key", d("m", 1), "name", "m"), d("key", d("n", 1), "name", "n", "unique", true)}}
	reply := r.refused(11000, unique...)
	if diff := cmp.Diff([]any{d("n", int32(1)), d("n", 1.0)}, []any{reply["keyPattern"], reply["keyValue"]}); diff != "" {
		t.Error(diff)
	}
	// None of the two has been made.
	if _, batch := cursorOf(r.ok("listIndexes", "users")); len(batch) != 1 {
		t.Error(batch)
	}
	r.ok("delete", "users", "deletes", bson.A{d("q", d("_id", "b"), "limit", 1)})
	r.ok(unique...)
	r.ok("dropIndexes", "users", "index", "n")
	r.ok("insert", "users", "documents", bson.A{d("_id", "b", "n", 1)})
}

func TestParallelArrays(t *testing.T) {
	r := dial(t, start(t))
	r.ok("createIndexes", "users", "indexes", bson.A{d("key", d("a", 1, "b", 1), "name", "ab")})
	reply := r.run("insert", "users", "documents", bson.A{d("a", bson.A{1}, "b", bson.A{1})})
	if list, _ := reply["writeErrors"].(bson.A); len(list) != 1 || list[0].(bson.D)[1].Value != int32(171) {
		t.Error(reply)
	}
}

func TestCollections(t *testing.T) {
	n := start(t)
	client := connect(t, n)
	db := client.Database("db")
	if err := db.CreateCollection(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, db.CreateCollection(t.Context(), "a"), 48)
	must[*mongo.InsertOneResult](t)(db.Collection("b").InsertOne(t.Context(), d("_id", 1)))
	must[*mongo.InsertOneResult](t)(client.Database("db2").Collection("c").InsertOne(t.Context(), d("_id", 1)))
	must[*mongo.InsertOneResult](t)(client.Database("d").Collection("b").InsertOne(t.Context(), d("_id", 1)))
	names := func(filter bson.D) []string { return must[[]string](t)(db.ListCollectionNames(t.Context(), filter)) }
	if diff := cmp.Diff([]string{"a", "b"}, names(d())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b"}, names(d("name", "b"))); diff != "" {
		t.Error(diff)
	}
	if err := db.Collection("a").Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Collection("nothing").Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b"}, names(d())); diff != "" {
		t.Error(diff)
	}
	if err := db.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(d()); len(got) != 0 {
		t.Error(got)
	}
	if got := must[[]string](t)(client.Database("db2").ListCollectionNames(t.Context(), d())); len(got) != 1 {
		t.Error(got)
	}
}
