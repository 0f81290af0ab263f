package mongo_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/writ-authz/writ/storage"
	writmongo "github.com/writ-authz/writ/storage/mongo"
)

// serverURI names a server to test against; without it the stand-in is built and started.
const serverURI = "WRIT_TEST_MONGODB_URI"

// server is what the tests of this package run against.
var server struct {
	// uri is the connection string without a database; binary is the stand-in, empty where a server was named.
	uri, binary string
}

// databases counts those that were named.
var databases atomic.Int64

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if server.uri = os.Getenv(serverURI); server.uri != "" {
		fmt.Println("storage/mongo: server=" + serverURI + " (its own tests of start-up errors need the stand-in and do not run)")
		return m.Run()
	}
	work, err := os.MkdirTemp("", "writ-mongo-")
	if err != nil {
		fmt.Println("storage/mongo:", err)
		return 1
	}
	defer os.RemoveAll(work)
	server.binary = filepath.Join(work, "mongowire")
	build := exec.Command("go", "build", "-o", server.binary, ".")
	build.Dir = filepath.Join("..", "..", "e2e", "mongowire")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("storage/mongo: build the stand-in: %v\n%s", err, out)
		return 1
	}
	address, stop, err := standIn(context.Background(), "--data", filepath.Join(work, "data"))
	if err != nil {
		fmt.Println("storage/mongo:", err)
		return 1
	}
	defer stop()
	server.uri = "mongodb://" + address
	fmt.Println("storage/mongo: server=mongowire (stand-in; name a real one in " + serverURI + ")")
	return m.Run()
}

// standIn starts the stand-in and returns its address.
func standIn(ctx context.Context, args ...string) (address string, stop func(), err error) {
	cmd := exec.CommandContext(ctx, server.binary, append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, found := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !found {
		stop()
		return "", nil, fmt.Errorf("the stand-in said %q: %w", line, err)
	}
	return address, stop, nil
}

// needStandIn leaves a test out, and says so, where a named server is tested: it would have to be broken for it.
func needStandIn(t *testing.T) {
	t.Helper()
	if server.binary == "" {
		t.Skip("left out: it needs the stand-in, and " + serverURI + " names a server")
	}
}

// database returns a connection string of a database that no other test uses, and drops it at the end.
func database(t testing.TB) string {
	t.Helper()
	uri, name := databaseOf(server.uri)
	t.Cleanup(func() {
		client := connect(t, uri)
		if err := client.Database(name).Drop(context.Background()); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	return uri
}

// databaseOf is the connection string and the name of a new database of a server.
func databaseOf(server string) (uri, name string) {
	name = fmt.Sprintf("writ_test_%d_%d", os.Getpid(), databases.Add(1))
	base, query, _ := strings.Cut(server, "?")
	uri = strings.TrimSuffix(base, "/") + "/" + name
	if query != "" {
		uri += "?" + query
	}
	return uri, name
}

// connect returns a plain client, for what the store does not do.
func connect(t testing.TB, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetTimeout(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

func open(t testing.TB, cfg writmongo.Config) *writmongo.Store {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	store, err := writmongo.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func fresh(t *testing.T, kinds []storage.Kind, now func() time.Time) storage.Store {
	return open(t, writmongo.Config{URI: database(t), Now: now, Kinds: kinds})
}
