package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
	"github.com/writ-authz/writ/storage/storagetest"
)

func TestAReopenedStoreHasEverything(t *testing.T) {
	cfg := sqlite.Config{Dir: t.TempDir(), Now: time.Now}
	store := open(t, cfg)
	if err := insertTwo(t.Context(), store, "acme"); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = open(t, cfg)
	if _, err := storage.Get[storage.Tenant](t.Context(), store, "acme"); err != nil {
		t.Error(err)
	}
	changes, err := store.Changes(t.Context(), 0, 9)
	if err != nil || len(changes) != 1 || len(changes[0].Items) != 2 {
		t.Errorf("got %v, %v", changes, err)
	}
	if err := insertTwo(t.Context(), store, "globex"); err != nil {
		t.Error(err)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	store := open(t, sqlite.Config{Dir: dir, Now: time.Now})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "writ.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), "newer version") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	// The refusal has given the directory back.
	_, err = sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err == nil || strings.Contains(err.Error(), "in use") {
		t.Errorf("the second time: got %v", err)
	}
}

func TestAForeignFileIsRefusedAndKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "writ.db")
	foreign := strings.Repeat("this is no database ", 100)
	if err := os.WriteFile(path, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	if kept, err := os.ReadFile(path); err != nil || string(kept) != foreign {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestConfigIsDemanded(t *testing.T) {
	for _, cfg := range []sqlite.Config{{}, {Dir: t.TempDir()}, {Now: time.Now}} {
		if _, err := sqlite.Open(t.Context(), cfg); err == nil {
			t.Errorf("%+v opened", cfg)
		}
	}
}

// A binary that declares other indexes finds the records of the one before under its own.
func TestChangedIndexesAreFilledAtOpening(t *testing.T) {
	item := storagetest.ItemKind
	bare := item
	bare.Unique, bare.Filters = []string{"code"}, nil
	cfg := sqlite.Config{Dir: t.TempDir(), Now: time.Now, Kinds: []storage.Kind{bare, storage.TenantKind}}
	store := open(t, cfg)
	name := "ada"
	record := &narrow{}
	record.ID, record.Name, record.Colour = "a", &name, "red"
	if err := store.Insert(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Kinds = []storage.Kind{item, storage.TenantKind}
	for range 2 { // once filled, and once found filled
		store = open(t, cfg)
		found, err := storage.Lookup[storagetest.Item](t.Context(), store, "name", "ada")
		if err != nil || found.ID != "a" || found.Version != 1 {
			t.Errorf("got %+v, %v", found, err)
		}
		listed, err := storage.List[storagetest.Item](t.Context(), store, storage.Query{
			Equal: map[string][]string{"colour": {"red"}}, Limit: 9,
		})
		if err != nil || len(listed) != 1 {
			t.Errorf("got %v, %v", listed, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// narrow is an Item as an older binary knew it.
type narrow struct{ storagetest.Item }

func (*narrow) Kind() storage.Kind {
	kind := storagetest.ItemKind
	kind.Unique, kind.Filters = []string{"code"}, nil
	return kind
}

func (*narrow) Index() storage.Index { return storage.Index{} }

func TestDescribeNamesTheEngineAndTheDirectory(t *testing.T) {
	dir := t.TempDir()
	store := open(t, sqlite.Config{Dir: dir, Now: time.Now})
	if got := store.Describe(); !strings.HasPrefix(got, "SQLite 3.") || !strings.HasSuffix(got, dir) {
		t.Errorf("got %q", got)
	}
}

// Lists that are too long to sort take another way and give the same.
func TestLongListsAgreeWithANaiveScan(t *testing.T) {
	store := open(t, sqlite.Config{Dir: t.TempDir(), Now: time.Now, Kinds: storagetest.Kinds()})
	const count = 3000
	all := make([]*storagetest.Item, count)
	if err := store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
		for n := range all {
			i := &storagetest.Item{Meta: storage.Meta{ID: id(n)}, Tags: []string{"ops:all"}}
			i.Colour = []string{"red", "blue", "green"}[n%3]
			if n%2 == 0 {
				i.Tags = append(i.Tags, "ops:even")
			}
			if n%1000 == 7 {
				i.Tags = append(i.Tags, "rare")
			}
			if err := tx.Insert(ctx, i); err != nil {
				return err
			}
			all[n] = i
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query   storage.Query
		selects func(n int) bool
	}{
		{storage.Query{Prefix: map[string]string{"tag": "ops:"}}, func(int) bool { return true }},
		{storage.Query{Prefix: map[string]string{"tag": "ops:e"}}, func(n int) bool { return n%2 == 0 }},
		{storage.Query{Prefix: map[string]string{"tag": "ra"}}, func(n int) bool { return n%1000 == 7 }},
		{storage.Query{Equal: map[string][]string{"colour": {"red", "blue"}}}, func(n int) bool { return n%3 != 2 }},
		{storage.Query{Equal: map[string][]string{"colour": {"red", "blue", "green"}}}, func(int) bool { return true }},
		{
			storage.Query{Equal: map[string][]string{"colour": {"red", "blue", "green"}, "tag": {"ops:all", "none"}}},
			func(int) bool { return true },
		},
		{
			storage.Query{Equal: map[string][]string{"colour": {"green"}}, Prefix: map[string]string{"tag": "ops:e"}},
			func(n int) bool { return n%3 == 2 && n%2 == 0 },
		},
		{
			storage.Query{Equal: map[string][]string{"tag": {"rare"}}, Prefix: map[string]string{"colour": ""}},
			func(n int) bool { return n%1000 == 7 },
		},
	} {
		for _, after := range []int{-1, 1500, 2990} {
			for _, limit := range []int{10, count} {
				q := c.query
				q.Limit = limit
				if after >= 0 {
					q.After = id(after)
				}
				want := []string{}
				for n := after + 1; n < count && len(want) < limit; n++ {
					if c.selects(n) {
						want = append(want, id(n))
					}
				}
				records, err := storage.List[storagetest.Item](t.Context(), store, q)
				if err != nil {
					t.Fatal(err)
				}
				got := []string{}
				for _, r := range records {
					got = append(got, r.ID)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%+v: %s", q, diff)
				}
			}
		}
	}
}
