package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func filled(t *testing.T, users *mongo.Collection, count int) []string {
	t.Helper()
	var docs []bson.D
	var names []string
	for i := range count {
		names = append(names, fmt.Sprintf("%05d", i))
		docs = append(docs, d("_id", names[i], "n", int64(0)))
	}
	if _, err := users.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	return names
}

// cursorOf takes an answer apart.
func cursorOf(reply bson.M) (id int64, batch bson.A) {
	for _, e := range reply["cursor"].(bson.D) {
		switch e.Key {
		case "id":
			id = e.Value.(int64)
		case "firstBatch", "nextBatch":
			batch = e.Value.(bson.A)
		}
	}
	return id, batch
}

func TestBatches(t *testing.T) {
	n := start(t)
	users := connect(t, n).Database("db").Collection("users")
	names := filled(t, users, 250)
	for _, size := range []int32{0, 1, 7, 250, 1000} {
		cursor, err := users.Find(t.Context(), d(), options.Find().SetSort(d("_id", 1)).SetBatchSize(size))
		if diff := cmp.Diff(names, ids(t, cursor, err)); diff != "" {
			t.Errorf("batches of %d: %s", size, diff)
		}
	}
	r := dial(t, n)
	id, batch := cursorOf(r.ok("find", "users"))
	if id == 0 || len(batch) != 101 {
		t.Fatalf("cursor %d with %d documents", id, len(batch))
	}
	next, batch := cursorOf(r.ok("getMore", id, "collection", "users", "batchSize", 100))
	if next != id || len(batch) != 100 {
		t.Fatalf("cursor %d with %d documents", next, len(batch))
	}
	next, batch = cursorOf(r.ok("getMore", id, "collection", "users"))
	if next != 0 || len(batch) != 49 {
		t.Fatalf("cursor %d with %d documents", next, len(batch))
	}
	r.refused(43, "getMore", id, "collection", "users")
	if id, batch = cursorOf(r.ok("find", "users", "singleBatch", true)); id != 0 || len(batch) != 101 {
		t.Errorf("a single batch: cursor %d with %d documents", id, len(batch))
	}
	if id, batch = cursorOf(r.ok("find", "users", "batchSize", 0)); id == 0 || len(batch) != 0 {
		t.Errorf("an empty batch: cursor %d with %d documents", id, len(batch))
	}
	if id, batch = cursorOf(r.ok("find", "users", "limit", 3, "batchSize", 2)); id == 0 || len(batch) != 2 {
		t.Errorf("a limit over two batches: cursor %d with %d documents", id, len(batch))
	}
	r.refused(13, "getMore", id, "collection", "others")
	r.refused(13, "getMore", id, "collection", "users", "lsid", lsid(1))
	if _, batch = cursorOf(r.ok("getMore", id, "collection", "users")); len(batch) != 1 {
		t.Errorf("the rest: %d documents", len(batch))
	}
}

func TestKillCursors(t *testing.T) {
	n := start(t)
	filled(t, connect(t, n).Database("db").Collection("users"), 10)
	r := dial(t, n)
	id, _ := cursorOf(r.ok("find", "users", "batchSize", 1))
	reply := r.ok("killCursors", "users", "cursors", bson.A{id, int64(99)})
	if diff := cmp.Diff([]any{bson.A{id}, bson.A{int64(99)}}, []any{reply["cursorsKilled"], reply["cursorsNotFound"]}); diff != "" {
		t.Error(diff)
	}
	r.refused(43, "getMore", id, "collection", "users")
}

func TestReplyStaysBelowSixteenMegabytes(t *testing.T) {
	users := fresh(t)
	body := strings.Repeat("x", 6<<20)
	for _, id := range []string{"a", "b", "c", "d"} {
		must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", id, "body", body)))
	}
	cursor, err := users.Find(t.Context(), d())
	if err == nil && cursor.RemainingBatchLength() != 2 {
		t.Errorf("%d documents in the first batch", cursor.RemainingBatchLength())
	}
	if got := ids(t, cursor, err); len(got) != 4 {
		t.Error(got)
	}
	_, err = users.InsertOne(t.Context(), d("_id", "e", "body", strings.Repeat("x", 16<<20)))
	if err == nil {
		t.Error("a document above 16 MB was stored")
	}
}

func TestSnapshotReadSeesOneState(t *testing.T) {
	n := start(t)
	client := connect(t, n)
	users := client.Database("db").Collection("users")
	names := filled(t, users, 200)
	session := must[*mongo.Session](t)(client.StartSession(options.Session().SetSnapshot(true)))
	defer session.EndSession(t.Context())
	ctx := mongo.NewSessionContext(t.Context(), session)
	find := options.Find().SetSort(d("_id", 1)).SetBatchSize(10)
	cursor := must[*mongo.Cursor](t)(users.Find(ctx, d(), find))
	// Others write between its batches: every document changes, one goes, one comes.
	stop, ready := make(chan struct{}), make(chan struct{})
	stopping := sync.OnceFunc(func() { close(stop) })
	var others sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := users.UpdateOne(t.Context(), d("_id", names[i%200]), d("$inc", d("n", int64(1)))); err != nil {
				t.Error(err)
				return
			}
			if i == 250 {
				close(ready)
			}
		}
	})
	defer others.Wait()
	defer stopping()
	<-ready
	must[*mongo.DeleteResult](t)(users.DeleteOne(t.Context(), d("_id", names[199])))
	must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", "99999")))
	read := func(cursor *mongo.Cursor) (all []string) {
		for cursor.Next(ctx) {
			all = append(all, cursor.Current.Lookup("_id").StringValue())
			if n := cursor.Current.Lookup("n").Int64(); n != 0 {
				t.Fatalf("%s has %d", all[len(all)-1], n)
			}
		}
		if cursor.Err() != nil {
			t.Fatal(cursor.Err())
		}
		return all
	}
	if diff := cmp.Diff(names, read(cursor)); diff != "" {
		t.Error(diff)
	}
	// A later read of the session sees the same, one outside sees the new.
	if diff := cmp.Diff(names, read(must[*mongo.Cursor](t)(users.Find(ctx, d(), find)))); diff != "" {
		t.Error(diff)
	}
	if err := must[*mongo.Cursor](t)(users.Find(ctx, d(), find)).Close(ctx); err != nil {
		t.Error(err)
	}
	stopping()
	others.Wait()
	if err := users.FindOne(t.Context(), d("_id", "99999")).Err(); err != nil {
		t.Error(err)
	}
}

// TestEveryStateHasATimeOfItsOwn begins snapshots faster than the clock's seconds pass.
func TestEveryStateHasATimeOfItsOwn(t *testing.T) {
	r := dial(t, start(t))
	snapshot := func(more ...any) (bson.Timestamp, bson.A) {
		reply := r.ok("find", "users", "readConcern", append(d("level", "snapshot"), d(more...)...))
		_, batch := cursorOf(reply)
		cursor := reply["cursor"].(bson.D)
		return cursor[len(cursor)-1].Value.(bson.Timestamp), batch
	}
	var times []bson.Timestamp
	for i := range 20 {
		r.ok("insert", "users", "documents", bson.A{d("_id", i)})
		at, _ := snapshot()
		times = append(times, at)
	}
	for i, at := range times {
		if again, batch := snapshot("atClusterTime", at); again != at || len(batch) != i+1 {
			t.Errorf("at %v, asked for %v: %d documents, want %d", again, at, len(batch), i+1)
		}
		if i > 0 && !at.After(times[i-1]) {
			t.Errorf("%v after %v", at, times[i-1])
		}
	}
}

func TestSnapshotThatIsNotKept(t *testing.T) {
	r := dial(t, start(t))
	for _, at := range []bson.Timestamp{{T: 1}, {T: 1<<32 - 1}} {
		r.refused(239, "find", "users", "readConcern", d("level", "snapshot", "atClusterTime", at))
	}
	r.refused(238, "getMore", int64(1), "collection", "users", "readConcern", d("level", "majority"))
	r.refused(72, "find", "users", "readConcern", d("level", "majority", "atClusterTime", bson.Timestamp{T: 1}))
}
