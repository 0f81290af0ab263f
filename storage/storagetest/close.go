package storagetest

import (
	"testing"

	"github.com/writ-authz/writ/storage"
)

func closing() []property {
	return []property{
		{"a closed store is unavailable and may be closed again", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), item("a")))
			must(t, store.Close())
			for name, err := range everyCall(t.Context(), store) {
				if err == nil {
					t.Errorf("%s succeeded", name)
					continue
				}
				t.Run(name, func(t *testing.T) { wantError(t, err, storage.ErrUnavailable) })
			}
			must(t, store.Close())
		}},
	}
}
