package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// asServer makes the test binary the server, so that it can be killed.
const asServer = "MONGOWIRE_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// node is a running server.
type node struct {
	address string
	stop    func() // SIGTERM, and its exit code
	kill    func() // SIGKILL
	output  *output
}

// output keeps what a server writes.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

const prefix = "mongowire listening on "

// start runs a server in this process.
func start(t *testing.T, arguments ...string) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // not the test's: clients say good-bye after that has ended
	reader, writer := io.Pipe()
	n := &node{output: &output{}}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"--listen", "127.0.0.1:0"}, arguments...), writer, n.output)
		_ = writer.Close()
	}()
	n.address = address(t, reader, n.output)
	n.stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("the server ended with code %d: %s", code, n.output)
		}
	})
	t.Cleanup(n.stop)
	return n
}

// startProcess runs a server in a process of its own.
func startProcess(t testing.TB, arguments ...string) *node {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"--listen", "127.0.0.1:0"}, arguments...)...)
	cmd.Env = append(os.Environ(), asServer+"=1")
	reader, writer := io.Pipe()
	n := &node{output: &output{}}
	cmd.Stdout, cmd.Stderr = writer, n.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	end := func(signal os.Signal) func() {
		return func() {
			once.Do(func() {
				_ = cmd.Process.Signal(signal)
				_ = cmd.Wait()
				_ = writer.Close()
			})
		}
	}
	n.kill, n.stop = end(os.Kill), end(os.Interrupt)
	t.Cleanup(n.kill)
	n.address = address(t, reader, n.output)
	return n
}

func address(t testing.TB, reader io.Reader, into *output) string {
	t.Helper()
	lines := bufio.NewReader(reader)
	first, err := lines.ReadString('\n')
	found, ok := strings.CutPrefix(strings.TrimSpace(first), prefix)
	if err != nil || !ok {
		t.Fatalf("the first line is %q (%v); %s", first, err, into)
	}
	go func() { _, _ = io.Copy(into, lines) }()
	return found
}

// connect opens a client as Writ's store does.
func connect(t *testing.T, n *node, more ...func(*options.ClientOptions)) *mongo.Client {
	t.Helper()
	o := options.Client().ApplyURI(fmt.Sprintf("mongodb://%s/?replicaSet=mongowire", n.address)).
		SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1).SetStrict(true)).
		SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: ptr(true)}).SetReadConcern(readconcern.Majority()).
		SetAppName("writ").SetServerSelectionTimeout(20 * time.Second)
	for _, change := range more {
		change(o)
	}
	client, err := mongo.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}

// fresh is a collection of a server of its own.
func fresh(t *testing.T, arguments ...string) *mongo.Collection {
	t.Helper()
	return connect(t, start(t, arguments...)).Database("db").Collection("users")
}

func ptr[T any](v T) *T { return &v }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantCode checks the code of a command error, or of the only write error.
func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	var server mongo.ServerError
	if !errors.As(err, &server) || !server.HasErrorCode(code) {
		t.Fatalf("got %v, want code %d", err, code)
	}
}

func d(pairs ...any) bson.D {
	doc := bson.D{}
	for i := 0; i < len(pairs); i += 2 {
		doc = append(doc, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return doc
}

// poll waits for something that is not a matter of speed.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// ids reads a cursor to its end and returns the _id of everything.
func ids(t *testing.T, cursor *mongo.Cursor, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for cursor.Next(t.Context()) {
		all = append(all, cursor.Current.Lookup("_id").StringValue())
	}
	if cursor.Err() != nil {
		t.Fatal(cursor.Err())
	}
	return all
}

// raw speaks the protocol without a driver.
type raw struct {
	t      *testing.T
	socket net.Conn
	// api is added to every command.
	api bson.D
}

func dial(t *testing.T, n *node) *raw {
	t.Helper()
	socket, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return &raw{t: t, socket: socket}
}

// packet is a whole message around a body.
func packet(op int32, body []byte) []byte {
	dst := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, 7) // request id
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return append(binary.LittleEndian.AppendUint32(dst, uint32(op)), body...)
}

func section(t *testing.T, doc bson.D) []byte {
	t.Helper()
	content, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{0}, content...)
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.socket.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// read returns the next answer, nil if the server has closed the connection.
func (r *raw) read() bson.M {
	r.t.Helper()
	_ = r.socket.SetReadDeadline(time.Now().Add(60 * time.Second))
	header := make([]byte, 16)
	if _, err := io.ReadFull(r.socket, header); errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Fatal("no answer")
	} else if err != nil {
		return nil
	}
	body := make([]byte, binary.LittleEndian.Uint32(header)-16)
	if _, err := io.ReadFull(r.socket, body); err != nil {
		r.t.Fatal(err)
	}
	if binary.LittleEndian.Uint32(header[8:]) != 7 {
		r.t.Fatalf("the answer is to request %d", binary.LittleEndian.Uint32(header[8:]))
	}
	skip := 5 // flags, kind
	if binary.LittleEndian.Uint32(header[12:]) == 1 {
		skip = 20 // an OP_REPLY's
	}
	var reply bson.M
	if err := bson.Unmarshal(body[skip:], &reply); err != nil {
		r.t.Fatal(err)
	}
	return reply
}

// send writes a command on the database db without waiting for its answer.
func (r *raw) send(pairs ...any) {
	r.t.Helper()
	command := append(d(pairs...), r.api...)
	if !slices.ContainsFunc(command, func(e bson.E) bool { return e.Key == "$db" }) {
		command = append(command, bson.E{Key: "$db", Value: "db"})
	}
	r.write(packet(2013, append(make([]byte, 4), section(r.t, command)...)))
}

func (r *raw) run(pairs ...any) bson.M {
	r.t.Helper()
	r.send(pairs...)
	reply := r.read()
	if reply == nil {
		r.t.Fatalf("the server hung up on %v", pairs)
	}
	return reply
}

// ok runs a command that has to succeed.
func (r *raw) ok(pairs ...any) bson.M {
	r.t.Helper()
	reply := r.run(pairs...)
	if reply["ok"] != float64(1) || reply["writeErrors"] != nil {
		r.t.Fatalf("%v: %v", pairs, reply)
	}
	return reply
}

// refused runs a command that has to fail with a code.
func (r *raw) refused(code int32, pairs ...any) bson.M {
	r.t.Helper()
	reply := r.run(pairs...)
	if reply["ok"] != float64(0) || reply["code"] != code {
		r.t.Errorf("%v: got %v, want code %d", pairs, reply, code)
	}
	return reply
}

// lsid is a session id; the same byte is the same session.
func lsid(n byte) bson.D {
	return d("id", bson.Binary{Subtype: 4, Data: append(make([]byte, 15), n)})
}

// in is what a command carries in a transaction.
func in(session byte, number int64, pairs ...any) []any {
	return append(pairs, "lsid", lsid(session), "txnNumber", number, "autocommit", false)
}
