package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func TestDuplicateKeys(t *testing.T) {
	n := start(t)
	users := connect(t, n).Database("db").Collection("users")
	indexed(t, users)
	for _, id := range []string{"a", "b"} {
		must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", id, "unique", d("username", "="+id))))
	}
	taken := d("username", "=a")
	r := dial(t, n)
	writeError := func(reply bson.M) bson.D {
		t.Helper()
		if reply["ok"] != float64(1) || reply["n"] != int32(0) {
			t.Errorf("got %v", reply)
		}
		list, _ := reply["writeErrors"].(bson.A)
		if len(list) != 1 {
			t.Fatalf("got %v", reply)
		}
		return list[0].(bson.D)
	}
	want := d(
		"index", int32(0), "code", int32(11000), "keyPattern", d("unique.username", int32(1)), "keyValue", d("unique.username", "=a"),
		"errmsg", `E11000 duplicate key error collection: db.users index: username dup key: { unique.username: "=a" }`,
	)
	for name, command := range map[string][]any{
		"insert":  {"insert", "users", "documents", bson.A{d("_id", "c", "unique", taken)}},
		"update":  {"update", "users", "updates", bson.A{d("q", d("_id", "b"), "u", d("$set", d("unique.username", "=a")))}},
		"replace": {"update", "users", "updates", bson.A{d("q", d("_id", "b"), "u", d("unique", taken))}},
		"insert in a transaction": append(
			in(1, 1, "insert", "users", "documents", bson.A{d("_id", "c", "unique", taken)}), "startTransaction", true),
		"replace in a transaction": append(
			in(2, 1, "update", "users", "updates", bson.A{d("q", d("_id", "b"), "u", d("unique", taken))}), "startTransaction", true),
	} {
		if diff := cmp.Diff(want, writeError(r.run(command...))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// The transactions have ended with it.
	r.refused(251, in(1, 1, "find", "users")...)
	r.refused(251, in(2, 1, "commitTransaction", 1, "$db", "admin")...)

	reply := r.refused(11000, "findAndModify", "users", "query", d("_id", "b"), "update", d("unique", taken))
	if diff := cmp.Diff([]any{d("unique.username", int32(1)), d("unique.username", "=a")}, []any{reply["keyPattern"], reply["keyValue"]}); diff != "" {
		t.Errorf("findAndModify: %s", diff)
	}
	same := writeError(r.run("insert", "users", "documents", bson.A{d("_id", "a")}))
	if diff := cmp.Diff(d("_id", int32(1)), same[2].Value); diff != "" || same[1].Value != int32(11000) {
		t.Errorf("_id: %v", same)
	}
	// A driver takes all of them for what they are.
	_, err := users.InsertOne(t.Context(), d("_id", "c", "unique", taken))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("got %v", err)
	}
	// A key becomes free with its document, and a document may keep its own.
	must[*mongo.UpdateResult](t)(users.ReplaceOne(t.Context(), d("_id", "a"), d("unique", taken, "n", 1)))
	must[*mongo.DeleteResult](t)(users.DeleteOne(t.Context(), d("_id", "a")))
	must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", "c", "unique", taken)))
}

func TestMissingFieldsCollideAsNull(t *testing.T) {
	users := fresh(t)
	indexed(t, users)
	must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", "a")))
	_, err := users.InsertOne(t.Context(), d("_id", "b", "unique", d("username", nil)))
	wantCode(t, err, 11000)
}

func TestOrderedAndUnordered(t *testing.T) {
	users := fresh(t)
	docs := []bson.D{d("_id", "a"), d("_id", "a"), d("_id", "b"), d("_id", "b"), d("_id", "c")}
	_, err := users.InsertMany(t.Context(), docs)
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || len(bulk.WriteErrors) != 1 || bulk.WriteErrors[0].Index != 1 {
		t.Errorf("got %v", err)
	}
	cursor, err := users.Find(t.Context(), d())
	if diff := cmp.Diff([]string{"a"}, ids(t, cursor, err)); diff != "" {
		t.Error(diff)
	}
	_, err = users.InsertMany(t.Context(), docs[1:], options.InsertMany().SetOrdered(false))
	if !errors.As(err, &bulk) || len(bulk.WriteErrors) != 2 || bulk.WriteErrors[1].Index != 2 {
		t.Errorf("got %v", err)
	}
	cursor, err = users.Find(t.Context(), d())
	if diff := cmp.Diff([]string{"a", "b", "c"}, ids(t, cursor, err)); diff != "" {
		t.Error(diff)
	}
}

func TestInsert(t *testing.T) {
	n := start(t)
	r := dial(t, n)
	// _id comes first, and is made where it is missing.
	r.ok("insert", "users", "documents", bson.A{d("n", 1, "_id", "a", "m", 2)})
	_, batch := cursorOf(r.ok("find", "users"))
	if diff := cmp.Diff(bson.A{d("_id", "a", "n", int32(1), "m", int32(2))}, batch); diff != "" {
		t.Error(diff)
	}
	r.ok("insert", "others", "documents", bson.A{d("n", 1)})
	_, batch = cursorOf(r.ok("find", "others"))
	if _, ok := batch[0].(bson.D)[0].Value.(bson.ObjectID); !ok {
		t.Error(batch)
	}
	reply := r.run("insert", "users", "documents", bson.A{d("_id", bson.A{1})})
	if list, _ := reply["writeErrors"].(bson.A); len(list) != 1 || list[0].(bson.D)[1].Value != int32(53) {
		t.Error(reply)
	}
}

func TestUpdate(t *testing.T) {
	n := start(t)
	r := dial(t, n)
	nested := d("b", int32(1), "c", "x")
	r.ok("insert", "users", "documents", bson.A{d("_id", "a", "version", int64(1), "a", nested)})
	read := func() any {
		_, batch := cursorOf(r.ok("find", "users", "filter", d("_id", "a")))
		return batch[0]
	}
	change := func(q, u bson.D) bson.M { return r.run("update", "users", "updates", bson.A{d("q", q, "u", u)}) }
	for _, c := range []struct {
		q, u        bson.D
		n, modified int32
		want        bson.D
	}{
		{d("_id", "x"), d("a", 1), 0, 0, d("_id", "a", "version", int64(1), "a", nested)},
		{d("_id", "a", "version", 2), d("a", 1), 0, 0, d("_id", "a", "version", int64(1), "a", nested)},
		{d("_id", "a"), d("$set", d("a.b", int32(1))), 1, 0, d("_id", "a", "version", int64(1), "a", nested)},
		{d("_id", "a"), d("$set", d("a.b", int32(2), "n", "y")), 1, 1, d("_id", "a", "version", int64(1), "a", d("b", int32(2), "c", "x"), "n", "y")},
		{d("_id", "a"), d("$unset", d("a", "")), 1, 1, d("_id", "a", "version", int64(1), "n", "y")},
		{d("_id", "a"), d("$inc", d("version", int64(2))), 1, 1, d("_id", "a", "version", int64(3), "n", "y")},
		{d("_id", "a", "version", int64(3)), d("_id", "a", "version", int64(4)), 1, 1, d("_id", "a", "version", int64(4))},
		{d("_id", "a"), d("version", int64(4)), 1, 0, d("_id", "a", "version", int64(4))},
		{d("_id", "a"), d("version", 4.0), 1, 1, d("_id", "a", "version", 4.0)}, // the same number, other bytes
	} {
		reply := change(c.q, c.u)
		if reply["n"] != c.n || reply["nModified"] != c.modified || reply["writeErrors"] != nil {
			t.Errorf("%v: %v", c.u, reply)
		}
		if diff := cmp.Diff(c.want, read()); diff != "" {
			t.Errorf("%v: %s", c.u, diff)
		}
	}
	for code, u := range map[int32]bson.D{
		66: d("_id", "b"), 14: d("$inc", d("_x", "y")), 28: d("$set", d("version.b", 1)), 40: d("$set", d("n", 1), "$inc", d("n", 1)),
	} {
		reply := change(d("_id", "a"), u)
		if list, _ := reply["writeErrors"].(bson.A); len(list) != 1 || list[0].(bson.D)[1].Value != code {
			t.Errorf("%v: %v, want %d", u, reply, code)
		}
	}
	if diff := cmp.Diff(d("_id", "a", "version", 4.0), read()); diff != "" {
		t.Error(diff)
	}
}

func TestDelete(t *testing.T) {
	users := fresh(t)
	filled(t, users, 10)
	if got := must[*mongo.DeleteResult](t)(users.DeleteOne(t.Context(), d("n", 0))); got.DeletedCount != 1 {
		t.Error(got)
	}
	if got := must[*mongo.DeleteResult](t)(users.DeleteMany(t.Context(), d("_id", d("$gt", "00005")))); got.DeletedCount != 4 {
		t.Error(got)
	}
	if got := must[*mongo.DeleteResult](t)(users.DeleteMany(t.Context(), d("_id", "00009"))); got.DeletedCount != 0 {
		t.Error(got)
	}
	cursor, err := users.Find(t.Context(), d())
	if got := ids(t, cursor, err); len(got) != 5 {
		t.Error(got)
	}
}

func TestFindAndModify(t *testing.T) {
	users := fresh(t)
	_, err := users.InsertMany(t.Context(), []bson.D{d("_id", "a", "n", int32(1)), d("_id", "b", "n", int32(2))})
	if err != nil {
		t.Fatal(err)
	}
	var got bson.D
	if err := users.FindOneAndReplace(t.Context(), d("_id", "a"), d("n", int32(5))).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d("_id", "a", "n", int32(1)), got); diff != "" {
		t.Error(diff)
	}
	after := options.FindOneAndUpdate().SetReturnDocument(options.After).SetSort(d("n", -1)).SetProjection(d("n", 1))
	if err := users.FindOneAndUpdate(t.Context(), d(), d("$inc", d("n", 1)), after).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d("_id", "a", "n", int32(6)), got); diff != "" {
		t.Error(diff)
	}
	if err := users.FindOneAndDelete(t.Context(), d("_id", "b")).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		users.FindOneAndDelete(t.Context(), d("_id", "b")).Err(), users.FindOneAndReplace(t.Context(), d("_id", "b"), d()).Err(),
	} {
		if !errors.Is(err, mongo.ErrNoDocuments) {
			t.Errorf("got %v", err)
		}
	}
}

// TestOneWinner lets many compare and swap the version of one document.
func TestOneWinner(t *testing.T) {
	for _, arguments := range [][]string{nil, {"--data", t.TempDir()}} {
		t.Run(fmt.Sprint(len(arguments) > 0), func(t *testing.T) {
			users := fresh(t, arguments...)
			const racers, rounds = 16, 100
			must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", "a", "version", int64(0))))
			for round := range int64(rounds) {
				var winners atomic.Int64
				var wins atomic.Int64
				var all sync.WaitGroup
				begin := make(chan struct{})
				for racer := range int64(racers) {
					all.Go(func() {
						<-begin
						got, err := swap(t.Context(), users, racer, round)
						if err != nil {
							t.Error(err)
						} else if got {
							wins.Add(1)
							winners.Store(racer)
						}
					})
				}
				close(begin)
				all.Wait()
				var doc struct{ Version, By int64 }
				if err := users.FindOne(t.Context(), d("_id", "a")).Decode(&doc); err != nil {
					t.Fatal(err)
				}
				if wins.Load() != 1 || doc.Version != round+1 || doc.By != winners.Load() {
					t.Fatalf("round %d: %d winners, the last is %d, stored is %v", round, wins.Load(), winners.Load(), doc)
				}
			}
		})
	}
}

// swap uses another command for every third racer.
func swap(ctx context.Context, users *mongo.Collection, racer, round int64) (bool, error) {
	filter, next := d("_id", "a", "version", round), d("_id", "a", "version", round+1, "by", racer)
	switch racer % 3 {
	case 0:
		err := users.FindOneAndReplace(ctx, filter, next).Err()
		if errors.Is(err, mongo.ErrNoDocuments) {
			return false, nil
		}
		return err == nil, err
	case 1:
		got, err := users.UpdateOne(ctx, filter, d("$set", d("version", round+1, "by", racer)))
		return err == nil && got.ModifiedCount == 1, err
	}
	got, err := users.ReplaceOne(ctx, filter, next)
	return err == nil && got.ModifiedCount == 1, err
}
