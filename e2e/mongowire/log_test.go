package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	r.ok("insert", "users", "documents", bson.A{d("_id", "b", "body", strings.Repeat("x", 100))})
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
		poll(t, "the report", func() bool { return strings.Contains(n.output.String(), "sequence") })
		if strings.Contains(n.output.String(), "cut") {
			t.Errorf("%d bytes, written to, cut again", len(tail))
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

// disk is a log's file that writes when it is told to, and keeps what it was asked for.
type disk struct {
	mu      sync.Mutex
	calls   []string
	content []byte
	release chan error // what each Sync answers
}

func (f *disk) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.content = append(f.calls, "write"), append(f.content, b...)
	return len(b), nil
}

func (f *disk) Sync() error {
	err := <-f.release
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "sync")
	return err
}

func (f *disk) Close() error { return nil }

// onDisk is a server whose log is such a file.
func onDisk(t *testing.T) (*server, *disk, chan error) {
	t.Helper()
	file, failed := &disk{release: make(chan error)}, make(chan error, 1)
	s := &server{
		engine: newEngine(time.Minute), commands: commands(), setName: "mongowire", report: new(output),
		cursors: cursors{byID: map[int64]*cursor{}}, stopping: make(chan struct{}),
	}
	s.engine.log = newLog(file, file, &s.engine.durable, func(err error) { failed <- err })
	return s, file, failed
}

// ask runs a command as if it came over a connection.
func ask(t *testing.T, s *server, pairs ...any) bson.M {
	t.Helper()
	content, err := bson.Marshal(append(d(pairs...), bson.E{Key: "$db", Value: "db"}))
	if err != nil {
		t.Fatal(err)
	}
	m := message{op: opMsg, body: append(make([]byte, 5), content...)}
	socket, _ := net.Pipe()
	answer := s.answer(&connection{socket: socket, gone: make(chan struct{})}, m)
	if answer == nil {
		return nil
	}
	var reply bson.M
	if err := bson.Unmarshal(answer[21:], &reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestCommitsShareAnFsync(t *testing.T) {
	s, file, _ := onDisk(t)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if reply := ask(t, s, "insert", "users", "documents", bson.A{d("_id", i)}); reply["n"] != int32(1) {
				t.Errorf("got %v", reply)
			}
		})
	}
	head := func() uint64 {
		s.engine.mu.Lock()
		defer s.engine.mu.Unlock()
		return s.engine.head.sequence
	}
	poll(t, "ten commits", func() bool { return head() == 10 })
	// Nothing is on disk, so nobody sees it; a transaction does, but its commit depends on it.
	find := []any{"find", "users"}
	if _, batch := cursorOf(ask(t, s, find...)); len(batch) != 0 || s.engine.durable.Load().sequence != 0 {
		t.Errorf("read before it is on disk: %v", batch)
	}
	if _, batch := cursorOf(ask(t, s, append(in(1, 1, find...), "startTransaction", true)...)); len(batch) != 10 {
		t.Errorf("%d documents", len(batch))
	}
	session := s.engine.sessions.get(string(lsid(1)[0].Value.(bson.Binary).Data))
	if err := s.engine.applyTransaction(session.transaction, session); err != nil || session.transaction.settled != 10 {
		t.Errorf("a commit waits for %d, %v", session.transaction.settled, err)
	}
	go s.engine.log.run()
	file.release <- nil
	all.Wait()
	if _, batch := cursorOf(ask(t, s, find...)); len(batch) != 10 {
		t.Errorf("%d documents", len(batch))
	}
	if err := s.engine.log.close(); err != nil {
		t.Fatal(err)
	}
	records := 0
	whole, err := readFrames(append([]byte(logHeader), file.content...), logHeader, func(bson1.D) error { records++; return nil })
	if err != nil || whole != len(logHeader)+len(file.content) || records != 10 {
		t.Errorf("%d records in %d bytes, %v", records, whole, err)
	}
	if diff := cmp.Diff([]string{"write", "sync"}, file.calls); diff != "" {
		t.Error(diff)
	}
}

func TestALogThatCannotBeWrittenEndsTheServer(t *testing.T) {
	s, file, failed := onDisk(t)
	go s.engine.log.run()
	answered := make(chan bson.M)
	go func() { answered <- ask(t, s, "insert", "users", "documents", bson.A{d("_id", "a")}) }()
	file.release <- errors.New("disk full")
	if reply := <-answered; reply != nil {
		t.Errorf("answered %v", reply)
	}
	<-failed
	if _, batch := cursorOf(ask(t, s, "find", "users")); len(batch) != 0 {
		t.Errorf("a reader sees %v, which is not on disk", batch)
	}
	// Nor is anything answered that depends on it.
	if reply := ask(t, s, "delete", "users", "deletes", bson.A{d("q", d("_id", "x"), "limit", 1)}); reply != nil {
		t.Errorf("answered %v", reply)
	}
}

// TestKilledBetweenSnapshotAndEmptyLog leaves a log whose records are in the snapshot already, and cannot be applied twice.
func TestKilledBetweenSnapshotAndEmptyLog(t *testing.T) {
	data := t.TempDir()
	n := start(t, "--data", data)
	dial(t, n).ok("create", "users")
	n.stop()
	start(t, "--data", data, "--compact-at", "0").stop()
	n = start(t, "--data", data)
	r := dial(t, n)
	r.ok("createIndexes", "users", "indexes", bson.A{d("key", d("k", 1), "name", "k", "unique", true)})
	r.ok("insert", "users", "documents", bson.A{d("_id", "a", "k", 1)})
	r.ok("dropIndexes", "users", "index", "k")
	r.ok("insert", "users", "documents", bson.A{d("_id", "b", "k", 1)})
	want := everything(t, n)
	n.stop()
	old := must[[]byte](t)(os.ReadFile(filepath.Join(data, logName)))
	start(t, "--data", data, "--compact-at", "0").stop()
	if err := os.WriteFile(filepath.Join(data, logName), old, 0o600); err != nil {
		t.Fatal(err)
	}
	n = start(t, "--data", data)
	if diff := cmp.Diff(want, everything(t, n)); diff != "" {
		t.Error(diff)
	}
	dial(t, n).ok("insert", "users", "documents", bson.A{d("_id", "c")})
	want = everything(t, n)
	n.stop()
	n = start(t, "--data", data)
	if diff := cmp.Diff(want, everything(t, n)); diff != "" {
		t.Error(diff)
	}
}
