package oauth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/mongo"
	"github.com/writ-authz/writ/storage/sqlite"
	"github.com/writ-authz/writ/storage/storagetest"
)

// server has the databases of all worlds; nil where each has an embedded store.
var server *storagetest.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if server, err = storagetest.Named(context.Background(), "oauth", filepath.Join("..", "e2e", "mongowire"), os.Stdout); err != nil {
		fmt.Println("oauth:", err)
		return 1
	}
	defer server.Close()
	return m.Run()
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
