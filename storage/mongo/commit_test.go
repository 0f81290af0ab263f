package mongo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	writmongo "github.com/writ-authz/writ/storage/mongo"
)

// cutter stands between the store and the server and cuts a connection when a command of this name passes, so many times: behind
// the command, so that the server gets it and its reply is lost, or in front of it.
type cutter struct {
	address string
	command atomic.Value // string
	behind  atomic.Bool
	left    atomic.Int64
	cuts    atomic.Int64
}

// newCutter listens until the test ends; what comes in goes to target.
func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{address: l.Addr().String()}
	c.command.Store("")
	var open sync.WaitGroup
	t.Cleanup(func() { l.Close(); open.Wait() })
	open.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { c.pass(in, target) })
		}
	})
	return c
}

func (c *cutter) pass(in net.Conn, target string) {
	defer in.Close()
	out, err := new(net.Dialer).DialContext(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(in, out)
		in.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			break
		}
		command := c.command.Load().(string)
		cut := command != "" && bytes.Contains(buffer[:n], []byte(command+"\x00")) && c.left.Add(-1) >= 0
		if cut {
			c.cuts.Add(1)
		}
		if cut && !c.behind.Load() {
			break
		}
		if cut {
			in.Close() // the reply has nowhere to go
		}
		if _, err := out.Write(buffer[:n]); err != nil || cut {
			break
		}
	}
	out.(*net.TCPConn).CloseWrite()
	in.Close()
	<-done
}

// arm cuts at the next times commands of this name.
func (c *cutter) arm(command string, behind bool, times int64) {
	c.behind.Store(behind)
	c.cuts.Store(0)
	c.left.Store(times)
	c.command.Store(command)
}

// throughCutter returns two stores on one database, one of them behind a cutter.
func throughCutter(t *testing.T) (*writmongo.Store, *writmongo.Store, *cutter) {
	t.Helper()
	needStandIn(t)
	return cutOff(t, strings.TrimPrefix(server.uri, "mongodb://"), database(t))
}

func cutOff(t *testing.T, address, uri string) (*writmongo.Store, *writmongo.Store, *cutter) {
	t.Helper()
	straight := open(t, writmongo.Config{URI: uri})
	c := newCutter(t, address)
	cut := open(t, writmongo.Config{URI: strings.Replace(uri, address, c.address, 1) + "?directConnection=true"})
	return cut, straight, c
}

func addTenant(ctx context.Context, store storage.Store, id string, at int64) error {
	return store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, at); err != nil {
			return err
		}
		return tx.Insert(ctx, &storage.Tenant{Meta: storage.Meta{ID: id}})
	})
}

// TestACommitWhoseReplyIsLostIsAskedForAgain cuts the connection around commits, and demands that what the caller is told is true.
func TestACommitWhoseReplyIsLostIsAskedForAgain(t *testing.T) {
	store, straight, c := throughCutter(t)
	at := int64(0)
	for name, behind := range map[string]bool{"the reply is lost": true, "the command is lost": false} {
		for _, times := range []int64{1, 2} {
			c.arm("commitTransaction", behind, times)
			id := strings.ReplaceAll(name, " ", "-") + string(rune('0'+times))
			if err := addTenant(t.Context(), store, id, at); err != nil {
				t.Errorf("%s %d times: %v", name, times, err)
			}
			if c.cuts.Load() != times {
				t.Errorf("%s: %d cuts, want %d", name, c.cuts.Load(), times)
			}
			at++
			if got, err := straight.Sequence(t.Context()); got != at || err != nil {
				t.Fatalf("%s: the sequence is %d, %v; want %d", name, got, err, at)
			}
			if _, err := storage.Get[storage.Tenant](t.Context(), straight, id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestACommitOfUnknownOutcomeIsAnOutage(t *testing.T) {
	store, straight, c := throughCutter(t)
	c.arm("commitTransaction", true, 1000)
	err := addTenant(t.Context(), store, "a", 0)
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	c.arm("", false, 0)
	// It took place once or not at all, and whoever looks sees which.
	sequence, err := straight.Sequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = storage.Get[storage.Tenant](t.Context(), straight, "a")
	if found := err == nil; found != (sequence == 1) || sequence > 1 {
		t.Errorf("the sequence is %d and the tenant is there: %v", sequence, found)
	}
}

// TestASingleWriteIsNotDoneTwice loses the replies of single writes; the driver repeats them, and the server knows them again.
func TestASingleWriteIsNotDoneTwice(t *testing.T) {
	store, straight, c := throughCutter(t)
	session := &storage.Session{Subject: "u", Client: "app_1", ExpiresAt: time.Now().Add(time.Hour)}
	session.ID = "sid"
	c.arm("insert", true, 1)
	if err := store.Insert(t.Context(), session); err != nil {
		t.Errorf("insert: %v", err)
	}
	c.arm("update", true, 1)
	if err := store.Update(t.Context(), session); err != nil {
		t.Errorf("update: %v", err)
	}
	got, err := storage.Get[storage.Session](t.Context(), straight, "sid")
	if err != nil || got.Version != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	c.arm("delete", true, 1)
	if err := store.Delete(t.Context(), storage.SessionKind, "sid", 2); err != nil {
		t.Errorf("delete: %v", err)
	}
	if c.cuts.Load() != 1 {
		t.Errorf("%d cuts", c.cuts.Load())
	}
	c.arm("", false, 0)
}

// TestATransactionWhoseEndIsLostIsInNobodysWayForLong interrupts a transaction that has written the authority document, and loses what is sent
// to end it. The server would keep it for a day: that others can write again is the store's doing, which asks on.
func TestATransactionWhoseEndIsLostIsInNobodysWayForLong(t *testing.T) {
	needStandIn(t)
	address, stop, err := standIn(t.Context(), "--transaction-lifetime", "24h")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	const always = 1 << 40
	broken := errors.New("the caller gives up")
	for _, row := range []struct {
		name, end string
		behind    bool // the server gets the end, and its reply is lost
		lose      int64
		then      error
		held      bool // it is in the way as long as its end is lost
		took      bool // it takes place in the end
	}{
		{name: "given up, and the word is lost once", end: "abortTransaction", lose: 1, then: broken},
		{name: "given up, and the word is lost", end: "abortTransaction", lose: always, then: broken, held: true},
		{name: "given up, and the reply is lost", end: "abortTransaction", behind: true, lose: always, then: broken},
		{name: "committed, and the word is lost", end: "commitTransaction", lose: always, held: true, took: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			uri, _ := databaseOf("mongodb://" + address)
			store, straight, c := cutOff(t, address, uri)
			c.arm(row.end, row.behind, row.lose)
			err := store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				if err := tx.Advance(ctx, 0); err != nil {
					return err
				}
				return errors.Join(row.then, tx.Insert(ctx, &storage.Tenant{Meta: storage.Meta{ID: "interrupted"}}))
			})
			if row.then != nil && !errors.Is(err, row.then) || row.then == nil && !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			err = addTenant(t.Context(), straight, "other", 0)
			if row.held != errors.Is(err, storage.ErrStale) || !row.held && err != nil {
				t.Errorf("another transaction while the end is lost: %v", err)
			}
			c.arm("", false, 0)
			for at := int64(0); errors.Is(err, storage.ErrStale); time.Sleep(time.Millisecond) {
				if at, err = straight.Sequence(t.Context()); err == nil {
					err = addTenant(t.Context(), straight, "other", at)
				}
			}
			if err != nil {
				t.Error(err)
			}
			if _, err := storage.Get[storage.Tenant](t.Context(), straight, "interrupted"); (err == nil) != row.took {
				t.Errorf("the interrupted transaction: %v", err)
			}
		})
	}
	t.Run("the store is closed meanwhile", func(t *testing.T) {
		uri, _ := databaseOf("mongodb://" + address)
		store, _, c := cutOff(t, address, uri)
		c.arm("abortTransaction", false, always)
		if err := store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
			return errors.Join(broken, tx.Advance(ctx, 0))
		}); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		cuts := c.cuts.Load()
		time.Sleep(100 * time.Millisecond)
		if c.cuts.Load() != cuts {
			t.Error("it asks on")
		}
	})
}
