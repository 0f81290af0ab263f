package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// begun is a session with an open transaction, as Writ's store opens one.
func begun(t *testing.T, client *mongo.Client) (*mongo.Session, context.Context) {
	t.Helper()
	session := must[*mongo.Session](t)(client.StartSession())
	t.Cleanup(func() { session.EndSession(context.Background()) })
	o := options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: ptr(true)})
	if err := session.StartTransaction(o); err != nil {
		t.Fatal(err)
	}
	return session, mongo.NewSessionContext(t.Context(), session)
}

// wantTransient checks for an error of a transaction that the client is to try again.
func wantTransient(t *testing.T, err error, code int) {
	t.Helper()
	wantCode(t, err, code)
	var server mongo.ServerError
	if !errors.As(err, &server) || !server.HasErrorLabel("TransientTransactionError") {
		t.Fatalf("%v has no label TransientTransactionError", err)
	}
}

func put(t *testing.T, ctx context.Context, users *mongo.Collection, id string, n int) {
	t.Helper()
	must[*mongo.InsertOneResult](t)(users.InsertOne(ctx, d("_id", id, "n", n)))
}

func set(ctx context.Context, users *mongo.Collection, id string, n int) error {
	got, err := users.ReplaceOne(ctx, d("_id", id), d("n", n))
	if err == nil && got.MatchedCount != 1 {
		return errors.New("matched nothing")
	}
	return err
}

// stored reads the numbers of all documents, by id.
func stored(t *testing.T, ctx context.Context, users *mongo.Collection) map[string]int {
	t.Helper()
	var docs []struct {
		ID string `bson:"_id"`
		N  int
	}
	if err := must[*mongo.Cursor](t)(users.Find(ctx, d())).All(ctx, &docs); err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, doc := range docs {
		all[doc.ID] = doc.N
	}
	return all
}

func wantStored(t *testing.T, ctx context.Context, users *mongo.Collection, want map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, stored(t, ctx, users)); diff != "" {
		t.Errorf("stored: %s", diff)
	}
}

func TestCommitAndAbort(t *testing.T) {
	users := fresh(t, "--data", t.TempDir())
	client := users.Database().Client()
	put(t, t.Context(), users, "a", 1)
	put(t, t.Context(), users, "b", 1)
	work := func(ctx context.Context) {
		put(t, ctx, users, "c", 2)
		if err := set(ctx, users, "a", 2); err != nil {
			t.Fatal(err)
		}
		must[*mongo.DeleteResult](t)(users.DeleteOne(ctx, d("_id", "b")))
		wantStored(t, ctx, users, map[string]int{"a": 2, "c": 2})         // its own writes
		wantStored(t, t.Context(), users, map[string]int{"a": 1, "b": 1}) // nobody else's yet
		put(t, mongo.NewSessionContext(ctx, mongo.SessionFromContext(ctx)), users, "d", 2)
		if err := users.FindOneAndUpdate(ctx, d("_id", "d"), d("$inc", d("n", 1))).Err(); err != nil {
			t.Fatal(err)
		}
	}
	session, ctx := begun(t, client)
	work(ctx)
	if err := session.AbortTransaction(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStored(t, t.Context(), users, map[string]int{"a": 1, "b": 1})
	session, ctx = begun(t, client)
	work(ctx)
	// Committed, and committed again, as a driver does that has not got the answer.
	for range 3 {
		if err := session.CommitTransaction(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantStored(t, t.Context(), users, map[string]int{"a": 2, "c": 2, "d": 3})
}

func TestTransactionMakesACollection(t *testing.T) {
	n := start(t)
	db := connect(t, n).Database("db")
	session, ctx := begun(t, db.Client())
	put(t, ctx, db.Collection("new"), "a", 1)
	put(t, ctx, db.Collection("new"), "b", 1)
	if names := must[[]string](t)(db.ListCollectionNames(t.Context(), d())); len(names) != 0 {
		t.Error(names)
	}
	if err := session.CommitTransaction(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStored(t, t.Context(), db.Collection("new"), map[string]int{"a": 1, "b": 1})
}

func TestEndOfSessionAborts(t *testing.T) {
	n := start(t)
	r := dial(t, n)
	first := append(in(1, 1, "insert", "users", "documents", bson.A{d("_id", "a")}), "startTransaction", true)
	r.ok(first...)
	r.ok("endSessions", bson.A{lsid(1)})
	r.refused(251, in(1, 1, "commitTransaction", 1, "$db", "admin")...)
	// Nothing is held any more: this neither waits nor collides.
	r.ok("insert", "users", "documents", bson.A{d("_id", "a")})

	// A session that ends itself.
	r.ok(append(in(2, 1, "insert", "users", "documents", bson.A{d("_id", "b")}), "startTransaction", true)...)
	r.ok("endSessions", bson.A{lsid(2)}, "lsid", lsid(2))
	r.ok("insert", "users", "documents", bson.A{d("_id", "b")})

	// The driver's way.
	users := connect(t, n).Database("db").Collection("users")
	session, ctx := begun(t, users.Database().Client())
	put(t, ctx, users, "c", 1)
	session.EndSession(t.Context())
	put(t, t.Context(), users, "c", 1)
}

func TestANewTransactionEndsTheOld(t *testing.T) {
	r := dial(t, start(t))
	starts := func(number int64, id string) []any {
		return append(in(1, number, "insert", "users", "documents", bson.A{d("_id", id)}), "startTransaction", true)
	}
	r.ok(starts(1, "a")...)
	r.refused(117, starts(1, "b")...)
	r.ok(starts(3, "a")...)
	r.refused(225, in(1, 1, "commitTransaction", 1, "$db", "admin")...)
	r.refused(251, in(1, 4, "find", "users")...)
	r.ok(in(1, 3, "commitTransaction", 1, "$db", "admin")...)
	r.ok(in(1, 3, "commitTransaction", 1, "$db", "admin")...)
	r.refused(256, in(1, 3, "abortTransaction", 1, "$db", "admin")...)
	r.refused(256, in(1, 3, "find", "users")...)
	reply := r.refused(251, in(9, 1, "commitTransaction", 1, "$db", "admin")...)
	if diff := cmp.Diff(bson.A{"TransientTransactionError"}, reply["errorLabels"]); diff != "" {
		t.Error(diff)
	}
	// A retryable write ends one too.
	r.ok(starts(5, "x")...)
	r.ok("insert", "users", "documents", bson.A{d("_id", "x")}, "lsid", lsid(1), "txnNumber", int64(6))
	if _, batch := cursorOf(r.ok("find", "users")); len(batch) != 2 {
		t.Error(batch)
	}
}

func TestNotInATransaction(t *testing.T) {
	r := dial(t, start(t))
	r.ok("create", "users")
	for i, command := range [][]any{
		{"createIndexes", "users", "indexes", bson.A{d("key", d("a", 1), "name", "a")}},
		{"listIndexes", "users"},
		{"create", "others"},
		{"drop", "users"},
		{"listCollections", 1},
	} {
		r.refused(263, append(in(1, int64(i+1), command...), "startTransaction", true)...)
	}
	r.refused(72, append(in(1, 20, "insert", "users", "documents", bson.A{d("a", 1)}, "writeConcern", d("w", 1)), "startTransaction", true)...)
	r.refused(238, append(in(1, 21, "find", "users", "readConcern", d("level", "linearizable")), "startTransaction", true)...)
	// What is refused ends the transaction.
	r.ok(append(in(1, 22, "insert", "users", "documents", bson.A{d("_id", "a")}), "startTransaction", true)...)
	r.ok(in(1, 22, "find", "users")...)
	r.refused(251, in(1, 23, "find", "users")...)
	r.ok(in(1, 22, "abortTransaction", 1, "$db", "admin")...)
	r.refused(251, in(1, 22, "abortTransaction", 1, "$db", "admin")...)
}

func TestSnapshotIsolation(t *testing.T) {
	users := fresh(t)
	indexed(t, users)
	client := users.Database().Client()
	for _, id := range []string{"a", "b", "c"} {
		must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", id, "n", 1, "unique", d("username", "="+id))))
	}
	session, ctx := begun(t, client)
	wantStored(t, ctx, users, map[string]int{"a": 1, "b": 1, "c": 1})
	// Others change, delete, insert, and give a key to somebody else.
	must[*mongo.UpdateResult](t)(users.UpdateOne(t.Context(), d("_id", "a"), d("$set", d("n", 2))))
	must[*mongo.DeleteResult](t)(users.DeleteOne(t.Context(), d("_id", "b")))
	must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", "d", "n", 2, "unique", d("username", "=b"))))
	wantStored(t, ctx, users, map[string]int{"a": 1, "b": 1, "c": 1})
	var got struct {
		ID string `bson:"_id"`
	}
	if err := users.FindOne(ctx, d("unique.username", "=b")).Decode(&got); err != nil || got.ID != "b" {
		t.Errorf("got %v, %v", got, err)
	}
	// What nobody has touched can be written.
	must[*mongo.UpdateResult](t)(users.UpdateOne(ctx, d("_id", "c"), d("$set", d("n", 3))))
	if err := session.CommitTransaction(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStored(t, t.Context(), users, map[string]int{"a": 2, "c": 3, "d": 2})
}

func TestCursorOfATransaction(t *testing.T) {
	users := fresh(t)
	filled(t, users, 10)
	_, ctx := begun(t, users.Database().Client())
	put(t, ctx, users, "x", 1)
	cursor, err := users.Find(ctx, d(), options.Find().SetBatchSize(3).SetSort(d("_id", 1)))
	if err != nil {
		t.Fatal(err)
	}
	must[*mongo.DeleteResult](t)(users.DeleteMany(t.Context(), d()))
	var all []bson.D
	if err := cursor.All(ctx, &all); err != nil || len(all) != 11 {
		t.Errorf("%d documents, %v", len(all), err)
	}
}

func TestWriteConflicts(t *testing.T) {
	username := func(name string) bson.D { return d("username", "="+name) }
	insert := func(ctx context.Context, users *mongo.Collection, id, name string) error {
		_, err := users.InsertOne(ctx, d("_id", id, "unique", username(name)))
		return err
	}
	rename := func(ctx context.Context, users *mongo.Collection, id, name string) error {
		_, err := users.UpdateOne(ctx, d("_id", id), d("$set", d("unique.username", "="+name)))
		return err
	}
	remove := func(ctx context.Context, users *mongo.Collection, id string) error {
		_, err := users.DeleteOne(ctx, d("_id", id))
		return err
	}
	type write func(ctx context.Context, users *mongo.Collection) error
	replace := func(id string) write {
		return func(ctx context.Context, users *mongo.Collection) error { return rename(ctx, users, id, id+"x") }
	}
	for _, c := range []struct {
		name          string
		first, second write
		code          int // of second
	}{
		{"the same document", replace("a"), replace("a"), 112},
		{"other documents", replace("a"), replace("b"), 0},
		{
			"update and delete", replace("a"),
			func(ctx context.Context, users *mongo.Collection) error { return remove(ctx, users, "a") }, 112,
		},
		{
			"delete and update", func(ctx context.Context, users *mongo.Collection) error { return remove(ctx, users, "a") },
			replace("a"), 112,
		},
		{
			"a new document twice", func(ctx context.Context, users *mongo.Collection) error { return insert(ctx, users, "n", "n1") },
			func(ctx context.Context, users *mongo.Collection) error { return insert(ctx, users, "n", "n2") }, 112,
		},
		{
			"a new key twice", func(ctx context.Context, users *mongo.Collection) error { return insert(ctx, users, "n1", "n") },
			func(ctx context.Context, users *mongo.Collection) error { return insert(ctx, users, "n2", "n") }, 112,
		},
		{
			"a key that becomes free", func(ctx context.Context, users *mongo.Collection) error { return rename(ctx, users, "a", "z") },
			func(ctx context.Context, users *mongo.Collection) error { return insert(ctx, users, "n", "a") }, 112,
		},
		{
			"a deleted document's key", func(ctx context.Context, users *mongo.Collection) error { return remove(ctx, users, "a") },
			func(ctx context.Context, users *mongo.Collection) error { return insert(ctx, users, "n", "a") }, 112,
		},
		{
			"a key that was always taken", replace("b"),
			func(ctx context.Context, users *mongo.Collection) error { return insert(ctx, users, "n", "a") }, 11000,
		},
	} {
		for _, committedFirst := range []bool{false, true} {
			t.Run(c.name+map[bool]string{true: ", committed since", false: ", still open"}[committedFirst], func(t *testing.T) {
				users := fresh(t)
				indexed(t, users)
				client := users.Database().Client()
				for _, id := range []string{"a", "b"} {
					if err := insert(t.Context(), users, id, id); err != nil {
						t.Fatal(err)
					}
				}
				one, first := begun(t, client)
				other, second := begun(t, client)
				for _, ctx := range []context.Context{first, second} {
					if err := users.FindOne(ctx, d("_id", "b")).Err(); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.first(first, users); err != nil {
					t.Fatal(err)
				}
				if committedFirst {
					if err := one.CommitTransaction(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				err := c.second(second, users)
				switch c.code {
				case 0:
					if err == nil {
						err = other.CommitTransaction(t.Context())
					}
					if err != nil {
						t.Fatal(err)
					}
				case 112:
					wantTransient(t, err, 112)
				default:
					wantCode(t, err, c.code)
				}
				if c.code != 0 {
					wantTransient(t, other.CommitTransaction(t.Context()), 251)
				}
				if !committedFirst {
					if err := one.CommitTransaction(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

func TestATransactionAgainstAPlainWrite(t *testing.T) {
	users := fresh(t)
	client := users.Database().Client()
	put(t, t.Context(), users, "a", 1)
	_, ctx := begun(t, client)
	wantStored(t, ctx, users, map[string]int{"a": 1})
	if err := set(t.Context(), users, "a", 2); err != nil {
		t.Fatal(err)
	}
	wantTransient(t, set(ctx, users, "a", 3), 112)
	wantStored(t, t.Context(), users, map[string]int{"a": 2})
}

// TestAPlainWriteWaits holds that it decides on what the transaction has left, and that it gives up when told to.
func TestAPlainWriteWaits(t *testing.T) {
	n := start(t)
	r := dial(t, n)
	for _, c := range []struct {
		name, end string
		command   []any
		n         int32
	}{
		{"update, committed", "commitTransaction", []any{"update", "users", "updates", bson.A{d("q", d("_id", "a", "n", 1), "u", d("n", 9))}}, 0},
		{"update, aborted", "abortTransaction", []any{"update", "users", "updates", bson.A{d("q", d("_id", "a", "n", 1), "u", d("n", 9))}}, 1},
		{"delete, committed", "commitTransaction", []any{"delete", "users", "deletes", bson.A{d("q", d("n", 2), "limit", 0)}}, 1},
		{"key, aborted", "abortTransaction", []any{"insert", "users", "documents", bson.A{d("_id", "b", "k", 2)}}, 1},
		{"key, committed", "commitTransaction", []any{"insert", "users", "documents", bson.A{d("_id", "b", "k", 2)}}, 0},
		{"drop", "commitTransaction", []any{"drop", "users"}, -1},
		{"index", "commitTransaction", []any{"createIndexes", "users", "indexes", bson.A{d("key", d("m", 1), "name", "m")}}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.ok("drop", "users")
			r.ok("createIndexes", "users", "indexes", bson.A{d("key", d("k", 1), "name", "k", "unique", true)})
			r.ok("insert", "users", "documents", bson.A{d("_id", "a", "n", 1, "k", 1)})
			if c.name == "delete, committed" {
				r.ok("update", "users", "updates", bson.A{d("q", d(), "u", d("n", 2))})
			}
			number := time.Now().UnixNano()
			change := bson.A{d("q", d("_id", "a"), "u", d("n", 2, "k", 2))}
			r.ok(append(in(1, number, "update", "users", "updates", change), "startTransaction", true)...)
			waiting, hurried := dial(t, n), dial(t, n)
			hurried.refused(50, append(slices.Clone(c.command), "maxTimeMS", 20)...)
			waiting.send(c.command...)
			// Reads do not wait.
			if _, batch := cursorOf(hurried.ok("find", "users")); len(batch) != 1 {
				t.Error(batch)
			}
			r.ok(in(1, number, c.end, 1, "$db", "admin")...)
			reply := waiting.read()
			if reply["ok"] != float64(1) || c.n >= 0 && reply["n"] != c.n {
				t.Errorf("got %v", reply)
			}
		})
	}
}

func TestAClientThatGoesStopsWaiting(t *testing.T) {
	n := start(t)
	r, gone := dial(t, n), dial(t, n)
	r.ok(append(in(1, 1, "insert", "users", "documents", bson.A{d("_id", "a")}), "startTransaction", true)...)
	gone.send("insert", "users", "documents", bson.A{d("_id", "a")})
	_ = gone.socket.Close()
	poll(t, "the server notices", func() bool { return strings.Contains(n.output.String(), errGone.Error()) })
	r.ok(in(1, 1, "abortTransaction", 1, "$db", "admin")...)
	if _, batch := cursorOf(r.ok("find", "users")); len(batch) != 0 {
		t.Error(batch)
	}
}

// TestATransactionOutlivesItsConnection holds that the end of a connection is not that of a transaction between two of its commands: what it
// has written is in the way of others until somebody gives it up, over whichever connection.
func TestATransactionOutlivesItsConnection(t *testing.T) {
	n := start(t, "--transaction-lifetime", "24h")
	lost, r := dial(t, n), dial(t, n)
	r.ok("insert", "users", "documents", bson.A{d("_id", "a", "n", 1)})
	change := bson.A{d("q", d("_id", "a"), "u", d("n", 2))}
	lost.ok(append(in(1, 1, "update", "users", "updates", change), "startTransaction", true)...)
	_ = lost.socket.Close()
	for number := range int64(3) {
		r.refused(112, append(in(2, number, "update", "users", "updates", change), "startTransaction", true)...)
	}
	r.refused(50, "update", "users", "updates", change, "maxTimeMS", 20)
	dial(t, n).ok(in(1, 1, "abortTransaction", 1, "$db", "admin")...)
	r.ok(append(in(2, 9, "update", "users", "updates", change), "startTransaction", true)...)
	r.ok(in(2, 9, "commitTransaction", 1, "$db", "admin")...)
	r.refused(251, in(1, 1, "abortTransaction", 1, "$db", "admin")...)
}

func TestLifetimeOfATransaction(t *testing.T) {
	users := fresh(t, "--transaction-lifetime", "50ms")
	put(t, t.Context(), users, "a", 1)
	session, ctx := begun(t, users.Database().Client())
	if err := set(ctx, users, "a", 2); err != nil {
		t.Fatal(err)
	}
	// This waits for its end.
	if err := set(t.Context(), users, "a", 3); err != nil {
		t.Fatal(err)
	}
	wantTransient(t, session.CommitTransaction(t.Context()), 251)
	wantStored(t, t.Context(), users, map[string]int{"a": 3})
}

func TestDelayCommit(t *testing.T) {
	users := fresh(t, "--delay-commit", "300ms")
	put(t, t.Context(), users, "a", 1)
	session, ctx := begun(t, users.Database().Client())
	if err := set(ctx, users, "a", 2); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	committed := make(chan error, 1)
	go func() { committed <- session.CommitTransaction(t.Context()) }()
	// Until it applies, the old is read. Whoever writes waits, and then finds the new.
	got := must[*mongo.UpdateResult](t)(users.ReplaceOne(t.Context(), d("_id", "a", "n", 1), d("n", 9)))
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if held := time.Since(begin); got.MatchedCount != 0 || held < 300*time.Millisecond {
		t.Errorf("matched %d, held for %s", got.MatchedCount, held)
	}
	wantStored(t, t.Context(), users, map[string]int{"a": 2})
}

// TestTransfers moves amounts between documents, many at once: the sum stays, nobody waits for ever.
func TestTransfers(t *testing.T) {
	users := fresh(t, "--data", t.TempDir())
	client := users.Database().Client()
	const accounts, each, movers, moves = 4, 1000, 8, 20
	name := func(i int) string { return string(rune('a' + i%accounts)) }
	for i := range accounts {
		put(t, t.Context(), users, name(i), each)
	}
	done := make(chan error, movers)
	for mover := range movers {
		go func() {
			session, err := client.StartSession()
			for move := range moves {
				if err != nil {
					break
				}
				from, to := name(mover+move), name(mover*3+move*2+1)
				_, err = session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
					if _, err := users.UpdateOne(ctx, d("_id", from), d("$inc", d("n", -1))); err != nil {
						return nil, err
					}
					_, err := users.UpdateOne(ctx, d("_id", to), d("$inc", d("n", 1)))
					return nil, err
				})
			}
			done <- err
		}()
	}
	for ended := 0; ended < movers; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			ended++
		default:
			_, ctx := begun(t, client)
			sum := 0
			for _, n := range stored(t, ctx, users) {
				sum += n
			}
			if sum != accounts*each {
				t.Fatalf("the sum is %d", sum)
			}
			mongo.SessionFromContext(ctx).EndSession(t.Context())
		}
	}
}
