package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

func TestASecondOpenerIsToldWhatToDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := open(t, sqlite.Config{Dir: dir, Now: time.Now})
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{dir, "in use", "WRIT_DATA_DIR", "process "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if err := first.Ping(t.Context()); err != nil {
		t.Errorf("the first is disturbed: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, sqlite.Config{Dir: dir, Now: time.Now})
}

func TestTheDataDirectoryIsItsOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%41", "data")
	store := open(t, sqlite.Config{Dir: dir, Now: time.Now})
	if err := store.Insert(t.Context(), &storage.SecretUse{Meta: storage.Meta{ID: "a"}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("the directory has %v, %v", files, err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", file.Name(), info.Mode(), err)
		}
	}
}
