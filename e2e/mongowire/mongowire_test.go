package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	ctx, cancel := context.WithCancel(t.Context())
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
func startProcess(t *testing.T, arguments ...string) *node {
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

func address(t *testing.T, reader io.Reader, into *output) string {
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
	if !asError(err, &server) || !server.HasErrorCode(code) {
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
