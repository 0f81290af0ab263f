package mongo_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/writ-authz/writ/storage"
	writmongo "github.com/writ-authz/writ/storage/mongo"
)

// hangWrites makes the server hold up whatever writes for a day, as a primary does that has lost its majority, until the returned function
// is called.
func hangWrites(t *testing.T, uri string) (over func()) {
	t.Helper()
	admin := connect(t, uri).Database("admin")
	point := func(rest ...bson.E) {
		t.Helper()
		if err := admin.RunCommand(t.Context(), append(bson.D{{Key: "configureFailPoint", Value: "failCommand"}}, rest...)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	point(bson.E{Key: "mode", Value: "alwaysOn"}, bson.E{Key: "data", Value: bson.D{
		{Key: "failCommands", Value: bson.A{"insert", "update", "delete", "findAndModify", "commitTransaction"}},
		{Key: "blockConnection", Value: true},
		{Key: "blockTimeMS", Value: 24 * 3600 * 1000},
	}})
	return func() { t.Helper(); point(bson.E{Key: "mode", Value: "off"}) }
}

// TestAPrimaryThatHangsInWritesIsFoundOut by a write of the store's own, which nobody sees; reads go on, and writes are refused at once until
// it takes them again.
func TestAPrimaryThatHangsInWritesIsFoundOut(t *testing.T) {
	needStandIn(t)
	address, stop, err := standIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	uri, name := databaseOf("mongodb://" + address)
	store := open(t, writmongo.Config{URI: uri})
	for range 2 { // the first makes what the second changes
		if err := store.Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	told := make(chan storage.Serves, 10)
	b := storage.NewBreaker(t.Context(), store, storage.BreakerConfig{
		Patience: 50 * time.Millisecond, Probe: 2 * time.Second, Pause: 10 * time.Millisecond,
		Report: func(s storage.Serves) { told <- s },
	})
	t.Cleanup(func() { _ = b.Close() })
	if err := addTenant(t.Context(), b, "before", 0); err != nil {
		t.Fatal(err)
	}
	over := hangWrites(t, uri)
	for _, write := range []func() error{
		func() error { return addTenant(t.Context(), b, "meanwhile", 1) },
		func() error {
			r := &storage.Session{Subject: "u", Client: "app_1", ExpiresAt: time.Now().Add(time.Hour)}
			r.ID = "sid"
			return b.Insert(t.Context(), r)
		},
		func() error { return b.Delete(t.Context(), storage.SessionKind, "sid", 1) },
		func() error { _, err := b.Purge(t.Context(), time.Now()); return err },
	} {
		if err := write(); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if _, err := storage.Get[storage.Tenant](t.Context(), b, "before"); err != nil {
			t.Errorf("a read: %v", err)
		}
	}
	if got := <-told; got != storage.ServesReads || b.Serves() != storage.ServesReads {
		t.Errorf("it serves %v, said to be %v", b.Serves(), got)
	}
	if err := store.Beat(timed(t, 50*time.Millisecond)); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a beat: %v", err)
	}
	over()
	if got := <-told; got != storage.ServesAll {
		t.Errorf("said to be %v", got)
	}
	at, err := b.Sequence(t.Context())
	if err == nil {
		err = addTenant(t.Context(), b, "after", at)
	}
	if err != nil {
		t.Errorf("after it takes writes again: %v", err)
	}
	// A beat is one document, beside those of the store's own.
	n := 0
	cursor, err := connect(t, uri).Database(name).Collection("declarations").Find(t.Context(), bson.D{{Key: "_id", Value: "(beat)"}})
	for err == nil && cursor.Next(t.Context()) {
		n++
	}
	if err != nil || n != 1 {
		t.Errorf("%d documents of beats, %v", n, err)
	}
	// A store of the same database that was open before, and one that is opened now, do not mind.
	open(t, writmongo.Config{URI: uri})
}

func timed(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
