package mongo_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	writmongo "github.com/writ-authz/writ/storage/mongo"
	"github.com/writ-authz/writ/storage/sqlite"
	"github.com/writ-authz/writ/storage/storagetest"
)

func TestConformance(t *testing.T) { storagetest.Run(t, fresh) }

func TestRaces(t *testing.T) { storagetest.Race(t, fresh) }

// TestSideBySide runs random operations on both stores and compares every reply.
func TestSideBySide(t *testing.T) {
	storagetest.SideBySide(t, func(t *testing.T, kinds []storage.Kind, now func() time.Time) storage.Store {
		store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), Now: now, Kinds: kinds})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() }) // the suite may have closed it
		return store
	}, fresh)
}

// TestFeed opens two stores on one database, as two nodes do.
func TestFeed(t *testing.T) {
	storagetest.Feed(t, func(t *testing.T, kinds []storage.Kind, now func() time.Time) (a, b storage.Store) {
		uri := database(t)
		return open(t, writmongo.Config{URI: uri, Now: now, Kinds: kinds}), open(t, writmongo.Config{URI: uri, Now: now, Kinds: kinds})
	})
}

func TestDescribeNamesTheServerWithoutCredentials(t *testing.T) {
	store := open(t, writmongo.Config{URI: database(t)})
	described := store.Describe()
	if !strings.Contains(described, "replica set") || !strings.Contains(described, "wire version") || strings.Contains(described, "@") {
		t.Errorf("got %q", described)
	}
}

// TestSL01StartUpErrorsSayWhatToDo holds every refusal at the start to its words: one line, an advice, no credentials.
func TestSL01StartUpErrorsSayWhatToDo(t *testing.T) {
	needStandIn(t)
	const nobody = "127.0.0.1:1"
	const soon = 3 * time.Second // nobody comes
	for name, c := range map[string]struct {
		args []string
		uri  string // with ADDRESS for the stand-in's
		want []string
	}{
		"a standalone server": {args: []string{"--standalone"}, want: []string{"not a member of a replica set", "rs.initiate()"}},
		"an old server":       {args: []string{"--wire-version", "13"}, want: []string{"wire version 13", "MongoDB 6.0"}},
		"wrong credentials": {
			args: []string{"--auth-fail"}, uri: "mongodb://writ:canary-pass@ADDRESS/writ?directConnection=true",
			want: []string{"refuses the credentials", "authSource"},
		},
		"no right to insert":         {args: []string{"--deny", "insert"}, want: []string{"role readWrite on the database writ"}},
		"no right to find":           {args: []string{"--deny", "find"}, want: []string{"role readWrite on the database writ"}},
		"no right to update":         {args: []string{"--deny", "update"}, want: []string{"role readWrite on the database writ"}},
		"no right to remove":         {args: []string{"--deny", "delete"}, want: []string{"role readWrite on the database writ"}},
		"no right to create indexes": {args: []string{"--deny", "createIndexes"}, want: []string{"role readWrite on the database writ"}},
		"no right to list indexes":   {args: []string{"--deny", "listIndexes"}, want: []string{"role readWrite on the database writ"}},
		"another replica set": {
			uri: "mongodb://ADDRESS/writ?replicaSet=canary", want: []string{"no primary answered", "name of the replica set"},
		},
		"nobody there":    {uri: "mongodb://u:canary-pass@" + nobody, want: []string{"no primary answered", "check that the server runs"}},
		"no scheme":       {uri: "u:canary-pass@localhost", want: []string{"cannot be read", "mongodb://user:password@host1"}},
		"no port":         {uri: "mongodb://u:canary-pass@localhost:x/", want: []string{"cannot be read"}},
		"unescaped":       {uri: "mongodb://u:canary-pass@@%zz@localhost/", want: []string{"cannot be read", "percent-encoded"}},
		"unknown option":  {uri: "mongodb://u:canary-pass@localhost/?w=many&readConcernLevel=x&maxPoolSize=y", want: []string{"cannot be read"}},
		"nothing in it":   {uri: "mongodb://", want: []string{"cannot be read"}},
		"a wrong escape":  {uri: "mongodb://u:canary-pass%@localhost/", want: []string{"cannot be read"}},
		"a broken option": {uri: "mongodb://u:canary-pass@localhost/?tls", want: []string{"cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uri := c.uri
			if c.args != nil || strings.Contains(uri, "ADDRESS") {
				address, stop, err := standIn(t.Context(), c.args...)
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
				if uri == "" {
					uri = "mongodb://ADDRESS/writ?directConnection=true"
				}
				uri = strings.ReplaceAll(uri, "ADDRESS", address)
			}
			store, err := writmongo.Open(t.Context(), writmongo.Config{URI: uri, Now: time.Now, StartWithin: soon})
			if err == nil {
				store.Close()
				t.Fatal("it opened")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "canary-pass") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q tells a credential or has several lines", err)
			}
		})
	}
}

// TestOpenWaitsForAServerThatStartsToo opens a store before its server is there, which it says once and without credentials.
func TestOpenWaitsForAServerThatStartsToo(t *testing.T) {
	needStandIn(t)
	address := free(t)
	var said []string
	started := make(chan func(), 1)
	store, err := writmongo.Open(t.Context(), writmongo.Config{
		URI: "mongodb://" + address + "/writ?replicaSet=mongowire&appName=canary-app", Now: time.Now, Waiting: func(text string) {
			said = append(said, text)
			time.AfterFunc(3*time.Second, func() { // after it has asked in vain once more
				_, stop, err := standIn(context.WithoutCancel(t.Context()), "--listen", address)
				if err != nil {
					t.Error(err)
				}
				started <- stop
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer (<-started)()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], address) || strings.Contains(said[0], "canary") {
		t.Errorf("it said %q, want one line with the address alone", said)
	}
}

// free returns an address that nobody listens at, nor will for a while: systems give out no port that is as low.
func free(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := "127.0.0.1:" + strconv.Itoa(10000+rand.IntN(22000))
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

func TestOpenGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if store, err := writmongo.Open(ctx, writmongo.Config{URI: database(t), Now: time.Now}); err == nil {
		store.Close()
		t.Error("it opened")
	}
}

// TestAListOfLargeRecordsIsWhole asks for more than the server puts into one reply.
func TestAListOfLargeRecordsIsWhole(t *testing.T) {
	store := open(t, writmongo.Config{URI: database(t)})
	const records = 24
	for n := range records {
		e := &storage.AuditEntry{Chain: "node/a", Seq: int64(n), Reason: strings.Repeat("x", 1<<20)}
		e.ID = storage.AuditID(e.Chain, e.Seq)
		if err := store.Insert(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := storage.List[storage.AuditEntry](t.Context(), store, storage.Query{
		Equal: map[string][]string{"chain": {"node/a"}}, Limit: records,
	})
	if err != nil || len(listed) != records {
		t.Errorf("got %d of %d records, %v", len(listed), records, err)
	}
	back, err := storage.List[storage.AuditEntry](t.Context(), store, storage.Query{Before: "node/b", Limit: records})
	if err != nil || len(back) != records || back[0].Seq != 0 || back[records-1].Seq != records-1 {
		t.Errorf("got %d of %d records from the end, %v", len(back), records, err)
	}
}

// TestPingOfAServerThatIsGone says that there is no primary instead of waiting for one as long as a call does, and finds a new one.
func TestPingOfAServerThatIsGone(t *testing.T) {
	needStandIn(t)
	data := t.TempDir()
	address, stop, err := standIn(t.Context(), "--data", data)
	if err != nil {
		t.Fatal(err)
	}
	store := open(t, writmongo.Config{URI: "mongodb://" + address + "/writ?directConnection=true"})
	if err := store.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	for i := range 3 {
		err := store.Ping(t.Context())
		if !errors.Is(err, storage.ErrUnavailable) || i > 0 && !strings.Contains(err.Error(), "no primary is known") { // the first may find out
			t.Errorf("ping %d: %v", i, err)
		}
	}
	if _, stop, err = standIn(t.Context(), "--data", data, "--listen", address); err != nil {
		t.Fatal(err)
	}
	defer stop()
	for range 100 { // a driver asks twice a second at most
		if err = store.Ping(t.Context()); err == nil {
			return
		}
	}
	t.Errorf("the server is back: %v", err)
}
