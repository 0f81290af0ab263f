package identity_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/mongo"
	"github.com/writ-authz/writ/storage/sqlite"
	"github.com/writ-authz/writ/storage/storagetest"
)

// server has the databases of all worlds; nil where each has an embedded store, which is where leftOut stays at none.
var (
	server  *storagetest.Server
	leftOut atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if server, err = storagetest.Named(context.Background(), "identity", filepath.Join("..", "e2e", "mongowire"), os.Stdout); err != nil {
		fmt.Println("identity:", err)
		return 1
	}
	defer server.Close()
	code := m.Run()
	if n := leftOut.Load(); n > 0 {
		fmt.Printf("identity: left out on this store: %d (WRIT_TEST_STORE=sqlite runs them)\n", n)
	}
	return code
}

// needFiles leaves a test out, and says so, where the store is not files that a test can copy and edit.
func needFiles(t *testing.T) {
	t.Helper()
	if server != nil {
		leftOut.Add(1)
		t.Skip("left out: it edits the files of the embedded store")
	}
}

// openStore opens an empty store of the kind that WRIT_TEST_STORE names; an embedded one is in dir.
func openStore(tb testing.TB, dir string, now func() time.Time) storage.Store {
	tb.Helper()
	var store storage.Store
	var err error
	if server == nil {
		store, err = sqlite.Open(context.Background(), sqlite.Config{Dir: dir, Now: now})
	} else {
		store, err = mongo.Open(context.Background(), mongo.Config{URI: server.Database(), Now: now})
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store
}
