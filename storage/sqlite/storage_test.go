package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
	"github.com/writ-authz/writ/storage/storagetest"
)

func TestConformance(t *testing.T) {
	storagetest.Run(t, fresh)
}

// beating makes the store one that could be away.
type beating struct{ storage.Store }

func (beating) Beat(context.Context) error { return nil }

// A breaker in front of a store keeps the same contract.
func TestConformanceBehindABreaker(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, kinds []storage.Kind, now func() time.Time) storage.Store {
		return storage.NewBreaker(t.Context(), beating{fresh(t, kinds, now)}, storage.BreakerConfig{
			Patience: time.Second, Probe: time.Minute, Pause: time.Second,
		})
	})
}

func TestRaces(t *testing.T) {
	storagetest.Race(t, fresh)
}

func TestSideBySideWithTheModel(t *testing.T) {
	storagetest.SideBySide(t, storagetest.Model, fresh)
}

// One process at a time has the directory, so there are no two stores on one database.
func TestFeed(t *testing.T) {
	storagetest.Feed(t, func(t *testing.T, kinds []storage.Kind, now func() time.Time) (a, b storage.Store) {
		store := fresh(t, kinds, now)
		return store, store
	})
}

func fresh(t *testing.T, kinds []storage.Kind, now func() time.Time) storage.Store {
	return open(t, sqlite.Config{Dir: t.TempDir(), Now: now, Kinds: kinds})
}

func open(t testing.TB, cfg sqlite.Config) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), cfg)
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
