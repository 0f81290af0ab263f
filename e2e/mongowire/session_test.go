package main

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// numbered is what a retryable write carries.
func numbered(session byte, number int64, pairs ...any) []any {
	return append(pairs, "lsid", lsid(session), "txnNumber", number)
}

func TestRetryableWrites(t *testing.T) {
	for _, storage := range []string{"alive", "killed"} {
		t.Run(storage, func(t *testing.T) {
			data := t.TempDir()
			n := startProcess(t, "--data", data)
			r := dial(t, n)
			r.ok("insert", "users", "documents", bson.A{d("_id", "a", "n", 0), d("_id", "b", "n", 0)})
			r.ok("createIndexes", "users", "indexes", bson.A{d("key", d("k", 1), "name", "k")})
			writes := [][]any{
				numbered(1, 5, "update", "users", "updates", bson.A{d("q", d("_id", "a"), "u", d("$inc", d("n", 1)))}),
				numbered(2, 1, "insert", "users", "documents", bson.A{d("n", 7), d("_id", "a"), d("_id", "c")}, "ordered", false),
				numbered(3, 1, "delete", "users", "deletes", bson.A{d("q", d("_id", "b"), "limit", 1)}),
				numbered(4, 9, "findAndModify", "users", "query", d("_id", "a"), "update", d("$inc", d("n", 1)), "new", true),
			}
			first := make([]bson.M, len(writes))
			for i, write := range writes {
				first[i] = r.run(write...)
				if first[i]["ok"] != float64(1) {
					t.Fatal(first[i])
				}
			}
			_, before := cursorOf(r.ok("find", "users", "sort", d("_id", 1)))
			if storage == "killed" {
				n.kill()
				r = dial(t, startProcess(t, "--data", data))
			}
			for i, write := range writes {
				for range 2 {
					if diff := cmp.Diff(first[i], r.run(write...)); diff != "" {
						t.Errorf("%v: %s", write[:2], diff)
					}
				}
			}
			_, after := cursorOf(r.ok("find", "users", "sort", d("_id", 1)))
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
			r.refused(225, numbered(1, 4, "update", "users", "updates", bson.A{d("q", d(), "u", d("n", 1))})...)
			r.refused(217, numbered(1, 5, "insert", "users", "documents", bson.A{d("n", 1)})...)
			if reply := r.ok(numbered(1, 6, "update", "users", "updates", bson.A{d("q", d("_id", "a"), "u", d("$inc", d("n", 1)))})...); reply["nModified"] != int32(1) {
				t.Error(reply)
			}
		})
	}
}

func TestCommitIsRememberedOverAKill(t *testing.T) {
	data := t.TempDir()
	n := startProcess(t, "--data", data)
	r := dial(t, n)
	r.ok(append(in(1, 3, "insert", "users", "documents", bson.A{d("_id", "a")}), "startTransaction", true)...)
	r.ok(in(1, 3, "commitTransaction", 1, "$db", "admin")...)
	r.ok(append(in(2, 3, "insert", "users", "documents", bson.A{d("_id", "b")}), "startTransaction", true)...)
	n.kill()
	r = dial(t, startProcess(t, "--data", data))
	r.ok(in(1, 3, "commitTransaction", 1, "$db", "admin")...)
	r.refused(251, in(2, 3, "commitTransaction", 1, "$db", "admin")...)
	if _, batch := cursorOf(r.ok("find", "users")); len(batch) != 1 {
		t.Error(batch)
	}
}

// TestTheSameWriteAtOnce sends one retryable write on many connections at the same time.
func TestTheSameWriteAtOnce(t *testing.T) {
	n := start(t, "--data", t.TempDir())
	r := dial(t, n)
	r.ok("insert", "users", "documents", bson.A{d("_id", "a", "n", 0)})
	const senders, rounds = 8, 20
	conns := make([]*raw, senders)
	for i := range conns {
		conns[i] = dial(t, n)
	}
	for round := range int64(rounds) {
		var all sync.WaitGroup
		replies := make([]bson.M, senders)
		for i, c := range conns {
			all.Go(func() {
				c.send(numbered(1, round, "update", "users", "updates", bson.A{d("q", d("_id", "a"), "u", d("$inc", d("n", 1)))})...)
				replies[i] = c.read()
			})
		}
		all.Wait()
		for _, reply := range replies[1:] {
			if diff := cmp.Diff(replies[0], reply); diff != "" {
				t.Fatalf("round %d: %s", round, diff)
			}
		}
	}
	if _, batch := cursorOf(r.ok("find", "users")); batch[0].(bson.D)[1].Value != int32(rounds) {
		t.Error(batch)
	}
}
