package storagetest_test

import (
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/storagetest"
)

func TestModelConforms(t *testing.T) {
	storagetest.Run(t, storagetest.Model)
}

func TestSideBySideOfTheModelWithItself(t *testing.T) {
	storagetest.SideBySide(t, storagetest.Model, storagetest.Model)
}

func TestFeedOfTheModel(t *testing.T) {
	storagetest.Feed(t, func(t *testing.T, kinds []storage.Kind, now func() time.Time) (a, b storage.Store) {
		store := storagetest.Model(t, kinds, now)
		return store, store
	})
}
