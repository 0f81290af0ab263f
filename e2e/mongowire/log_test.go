package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	bson1 "go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// TestKill kills the server under writers, again and again. Afterwards every acknowledged write is there, and each transaction is there as a
// whole or not at all.
func TestKill(t *testing.T) {
	const rounds, writers = 12, 6
	data := t.TempDir()
	acknowledged := map[string]int{} // id of a plain document: the highest number acknowledged
	var pairs []string               // acknowledged transactions
	var written atomic.Int64
	for round := range rounds {
		n := startProcess(t, "--data", data, "--compact-at", fmt.Sprint(rand.IntN(200_000)))
		client := connect(t, n, func(o *options.ClientOptions) { o.SetRetryWrites(false) })
		db := client.Database("db")
		check(t, db, acknowledged, pairs)
		begin := written.Load()
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex
		var all sync.WaitGroup
		for writer := range writers {
			name := fmt.Sprintf("%02d-%d", round, writer)
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					var err error
					if writer%2 == 0 {
						err = count(ctx, db, name, i)
					} else {
						err = pair(ctx, client, fmt.Sprintf("%s-%d", name, i))
					}
					if err != nil {
						return // the server is dead
					}
					mu.Lock()
					if writer%2 == 0 {
						acknowledged[name] = i
					} else {
						pairs = append(pairs, fmt.Sprintf("%s-%d", name, i))
					}
					mu.Unlock()
					written.Add(1)
				}
			})
		}
		wanted := begin + 50 + rand.Int64N(200)
		poll(t, "enough writes", func() bool { return written.Load() >= wanted })
		n.kill()
		stop()
		all.Wait()
		_ = client.Disconnect(ctx) // without waiting to tell a dead server
	}
	n := startProcess(t, "--data", data)
	check(t, connect(t, n).Database("db"), acknowledged, pairs)
	t.Logf("%d rounds, %d acknowledged writes", rounds, written.Load())
}

// count writes the numbers 0, 1, 2, ... into one document.
func count(ctx context.Context, db *mongo.Database, name string, i int) error {
	if i == 0 {
		_, err := db.Collection("plain").InsertOne(ctx, d("_id", name, "n", 0))
		return err
	}
	got, err := db.Collection("plain").ReplaceOne(ctx, d("_id", name, "n", i-1), d("n", i))
	if err == nil && got.ModifiedCount != 1 {
		return errors.New("lost a document")
	}
	return err
}

// pair writes two documents in one transaction.
func pair(ctx context.Context, client *mongo.Client, name string) error {
	session, err := client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(ctx)
	if err := session.StartTransaction(); err != nil {
		return err
	}
	inside := mongo.NewSessionContext(ctx, session)
	for _, half := range []string{"left", "right"} {
		if _, err := client.Database("db").Collection(half).InsertOne(inside, d("_id", name)); err != nil {
			return err
		}
	}
	return session.CommitTransaction(ctx)
}

func check(t *testing.T, db *mongo.Database, acknowledged map[string]int, pairs []string) {
	t.Helper()
	got := stored(t, t.Context(), db.Collection("plain"))
	for name, n := range acknowledged {
		// One more may have been written and not acknowledged.
		if have, ok := got[name]; !ok || have < n || have > n+1 {
			t.Fatalf("%s has %d (%t), acknowledged was %d", name, have, ok, n)
		}
	}
	halves := map[string]map[string]bool{}
	for _, half := range []string{"left", "right"} {
		halves[half] = map[string]bool{}
		cursor, err := db.Collection(half).Find(t.Context(), d())
		for _, id := range ids(t, cursor, err) {
			halves[half][id] = true
		}
	}
	if diff := cmp.Diff(halves["left"], halves["right"]); diff != "" {
		t.Fatalf("transactions by half: %s", diff)
	}
	for _, name := range pairs {
		if !halves["left"][name] {
			t.Fatalf("the transaction %s is lost", name)
		}
	}
}

// everything is what a server stores, for comparing.
func everything(t *testing.T, n *node) map[string]bson.A {
	t.Helper()
	r, all := dial(t, n), map[string]bson.A{}
	_, collections := cursorOf(r.ok("listCollections", 1))
	for _, collection := range collections {
		name := collection.(bson.D)[0].Value.(string)
		_, all[name] = cursorOf(r.ok("find", name, "batchSize", 10_000))
		_, all[name+" indexes"] = cursorOf(r.ok("listIndexes", name))
	}
	return all
}

func TestRestartAndCompaction(t *testing.T) {
	data := t.TempDir()
	n := start(t, "--data", data)
	users := connect(t, n).Database("db").Collection("users")
	indexed(t, users)
	for i := range 300 {
		must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", fmt.Sprint(i), "unique", d("username", fmt.Sprint(i)), "body", strings.Repeat("x", 500))))
		must[*mongo.UpdateResult](t)(users.UpdateOne(t.Context(), d("_id", fmt.Sprint(i)), d("$set", d("n", i))))
	}
	r := dial(t, n)
	r.ok("delete", "users", "deletes", bson.A{d("q", d("_id", "7"), "limit", 1)})
	r.ok("create", "empty")
	r.ok("insert", "gone", "documents", bson.A{d("_id", 1)})
	r.ok("drop", "gone")
	r.ok("dropIndexes", "users", "index", "expires")
	retried := numbered(1, 1, "update", "users", "updates", bson.A{d("q", d("_id", "1"), "u", d("$inc", d("n", 1)))})
	first := r.ok(retried...)
	r.ok(append(in(2, 1, "insert", "users", "documents", bson.A{d("_id", "t", "unique", d("username", "t"))}), "startTransaction", true)...)
	r.ok(in(2, 1, "commitTransaction", 1, "$db", "admin")...)
	want := everything(t, n)
	for i, compactAt := range []string{"1000000000", "0", "0", "1000000000"} {
		n.stop()
		n = start(t, "--data", data, "--compact-at", compactAt)
		if diff := cmp.Diff(want, everything(t, n)); diff != "" {
			t.Fatalf("after restart %d: %s", i, diff)
		}
		r = dial(t, n)
		if diff := cmp.Diff(first, r.ok(retried...)); diff != "" {
			t.Errorf("after restart %d: %s", i, diff)
		}
		r.ok(in(2, 1, "commitTransaction", 1, "$db", "admin")...)
		r.ok("insert", "users", "documents", bson.A{d("_id", fmt.Sprint("r", i), "unique", d("username", fmt.Sprint("r", i)))})
		reply := r.run("insert", "users", "documents", bson.A{d("unique", d("username", fmt.Sprint("r", i)))})
		if reply["writeErrors"] == nil {
			t.Error("the unique index has not survived")
		}
		want = everything(t, n)
		size := must[os.FileInfo](t)(os.Stat(filepath.Join(data, logName))).Size()
		if compacted := size < 10_000; compacted != (i > 0) {
			t.Errorf("after restart %d the log has %d bytes", i, size)
		}
	}
}

func TestTornTail(t *testing.T) {
	data := t.TempDir()
	name := filepath.Join(data, logName)
	n := start(t, "--data", data)
	r := dial(t, n)
	r.ok("insert", "users", "documents", bson.A{d("_id", "a")})
	want := everything(t, n)
	whole := len(must[[]byte](t)(os.ReadFile(name)))
	r.ok("insert", "users", "documents", bson.A{d("_id", "b")})
	n.stop()
	content := must[[]byte](t)(os.ReadFile(name))
	// Cut anywhere in the last frame, or with a wrong byte in it.
	tails := [][]byte{content[:len(content)-1]}
	for cut := whole + 1; cut < len(content); cut += 7 {
		tails = append(tails, content[:cut])
	}
	wrong := append([]byte{}, content...)
	wrong[len(wrong)-3] ^= 1
	for _, tail := range append(tails, wrong) {
		if err := os.WriteFile(name, tail, 0o600); err != nil {
			t.Fatal(err)
		}
		n := start(t, "--data", data)
		if diff := cmp.Diff(want, everything(t, n)); diff != "" {
			t.Errorf("%d bytes: %s", len(tail), diff)
		}
		poll(t, "the report", func() bool { return strings.Contains(n.output.String(), "cut a torn tail") })
		dial(t, n).ok("insert", "users", "documents", bson.A{d("_id", "c")})
		n.stop()
		n = start(t, "--data", data)
		if got := everything(t, n)["users"]; len(got) != 2 {
			t.Errorf("%d bytes, written to, read again: %v", len(tail), got)
		}
		n.stop()
	}
}

func TestDamageIsNoTornTail(t *testing.T) {
	data := t.TempDir()
	n := start(t, "--data", data)
	for i := range 3 {
		dial(t, n).ok("insert", "users", "documents", bson.A{d("_id", i)})
	}
	n.stop()
	for _, name := range []string{logName, snapshotName} {
		path := filepath.Join(data, name)
		content := must[[]byte](t)(os.ReadFile(path))
		damaged := append([]byte{}, content...)
		damaged[len(logHeader)+20] ^= 1
		for what, bad := range map[string][]byte{"a wrong byte": damaged, "another header": []byte("something else"), "no end": content[:len(content)-1]} {
			if what == "no end" && name == logName {
				continue // that is a torn tail
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			var out output
			if code := run(t.Context(), []string{"--data", data, "--listen", "127.0.0.1:0"}, &out, &out); code != 1 || !strings.Contains(out.String(), path) {
				t.Errorf("%s, %s: code %d, %s", name, what, code, out.String())
			}
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, "--data", data, "--compact-at", "0").stop() // makes the snapshot
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	data := t.TempDir()
	start(t, "--data", data)
	var out output
	if code := run(t.Context(), []string{"--data", data, "--listen", "127.0.0.1:0"}, &out, &out); code != 1 || !strings.Contains(out.String(), "another process") {
		t.Errorf("code %d, %s", code, out.String())
	}
}

func TestALogThatCannotBeWrittenEndsTheServer(t *testing.T) {
	e := newEngine(1)
	failed := make(chan error, 1)
	if err := e.openLog(t.TempDir(), 1<<30, new(output), func(err error) { failed <- err }); err != nil {
		t.Fatal(err)
	}
	if err := e.log.file.Close(); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	d := e.edit(nil)
	if err := d.create("db.c"); err != nil {
		t.Fatal(err)
	}
	sequence := e.commit(d, nil)
	e.mu.Unlock()
	if err := e.settle(sequence); err == nil {
		t.Error("acknowledged what is not on disk")
	}
	<-failed
	if e.durable.Load().collection("db.c") != nil {
		t.Error("a reader sees what is not on disk")
	}
}

// TestCommitsShareAnFsync lets ten commits come before the log begins to write.
func TestCommitsShareAnFsync(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(1)
	file, _, err := e.readLog(filepath.Join(dir, logName), new(output))
	if err != nil {
		t.Fatal(err)
	}
	lock := must[*os.File](t)(os.Create(filepath.Join(dir, "lock")))
	e.log = newLog(file, lock, &e.durable, func(err error) { t.Error(err) })
	var all sync.WaitGroup
	for i := range 10 {
		e.mu.Lock()
		d := e.edit(nil)
		if err := d.create(fmt.Sprint("db.", i)); err != nil {
			t.Fatal(err)
		}
		sequence := e.commit(d, nil)
		e.mu.Unlock()
		all.Go(func() {
			if err := e.settle(sequence); err != nil || e.durable.Load().sequence < sequence {
				t.Errorf("settled before its time: %v", err)
			}
		})
	}
	if e.durable.Load().sequence != 0 {
		t.Error("durable before it is written")
	}
	go e.log.run()
	all.Wait()
	if err := e.log.close(); err != nil {
		t.Fatal(err)
	}
	frames, records := 0, 0
	content := must[[]byte](t)(os.ReadFile(filepath.Join(dir, logName)))
	for rest := content[len(logHeader):]; len(rest) > 0; frames++ {
		rest = rest[8+binary.LittleEndian.Uint32(rest):]
	}
	if _, err := readFrames(content, logHeader, func(bson1.D) error { records++; return nil }); err != nil {
		t.Fatal(err)
	}
	if frames != 1 || records != 10 {
		t.Errorf("%d frames with %d records", frames, records)
	}
}
