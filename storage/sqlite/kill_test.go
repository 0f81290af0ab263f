package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

const (
	killRounds  = 12
	killWriters = 4
	// killDirVariable makes the test binary a writer, which works until it is killed.
	killDirVariable = "WRIT_TEST_SQLITE_KILL_DIR"
)

// A process that is killed at any moment loses nothing that it has acknowledged and leaves no transaction in part.
func TestKillMinus9LosesNoAcknowledgedWrite(t *testing.T) {
	if dir := os.Getenv(killDirVariable); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	var acknowledged []string
	for round := range killRounds {
		acknowledged = append(acknowledged, killedWriter(t, dir, round, 5+7*round)...)
		wantAcknowledged(t, dir, acknowledged)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d writes acknowledged in %d rounds", len(acknowledged), killRounds)
}

// killedWriter runs a writer, kills it after it has acknowledged some writes, and returns all that it acknowledged.
func killedWriter(t *testing.T, dir string, round, after int) []string {
	t.Helper()
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	writer.Env = append(os.Environ(), killDirVariable+"="+dir, fmt.Sprintf("WRIT_TEST_SQLITE_KILL_ROUND=%d", round))
	writer.ExtraFiles = []*os.File{theirs}
	var output strings.Builder
	writer.Stdout, writer.Stderr = &output, &output
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	var acknowledged []string
	for lines := bufio.NewScanner(ours); lines.Scan(); {
		acknowledged = append(acknowledged, lines.Text())
		if len(acknowledged) == after {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writer.Wait(); err == nil || len(acknowledged) < after {
		t.Fatalf("the writer was not killed: %v\n%s", err, output.String())
	}
	return acknowledged
}

func wantAcknowledged(t *testing.T, dir string, acknowledged []string) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, id := range acknowledged {
		if strings.HasPrefix(id, "free") {
			if _, err := storage.Get[storage.SecretUse](t.Context(), store, id); err != nil {
				t.Errorf("acknowledged %s: %v", id, err)
			}
			continue
		}
		if _, err := storage.Get[storage.Tenant](t.Context(), store, id); err != nil {
			t.Errorf("acknowledged tenant %s: %v", id, err)
		}
	}
	sequence, err := store.Sequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := store.Changes(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(changes)) != sequence {
		t.Errorf("the authority sequence is %d, the feed has %d changes", sequence, len(changes))
	}
	for n, change := range changes {
		if change.Sequence != int64(n+1) || len(change.Items) != 2 {
			t.Errorf("change %d is %+v", n+1, change)
		}
	}
	tenants, err := storage.List[storage.Tenant](t.Context(), store, storage.Query{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := storage.List[storage.Group](t.Context(), store, storage.Query{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(tenants)) != sequence || int64(len(groups)) != sequence {
		t.Errorf("%d transactions committed, but there are %d tenants and %d groups", sequence, len(tenants), len(groups))
	}
}

// writeUntilKilled writes the id of each write to the pipe as soon as the store has acknowledged it.
func writeUntilKilled(t *testing.T, dir string) {
	pipe := os.NewFile(3, "acknowledged")
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	failed := make(chan error)
	for writer := range killWriters {
		go func() {
			for n := 0; ; n++ {
				var err error
				id := fmt.Sprintf("%s-%d-%06d", os.Getenv("WRIT_TEST_SQLITE_KILL_ROUND"), writer, n)
				if writer%2 == 0 {
					id = "free-" + id
					err = store.Insert(t.Context(), &storage.SecretUse{Meta: storage.Meta{ID: id}})
				} else {
					err = insertTwo(t.Context(), store, id)
				}
				if err != nil {
					failed <- err
					return
				}
				if _, err := pipe.WriteString(id + "\n"); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	t.Fatal(<-failed)
}

// insertTwo inserts a tenant and a group in one authority transaction.
func insertTwo(ctx context.Context, store storage.Store, id string) error {
	for {
		at, err := store.Sequence(ctx)
		if err != nil {
			return err
		}
		err = store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
			if err := tx.Advance(ctx, at); err != nil {
				return err
			}
			if err := tx.Insert(ctx, &storage.Tenant{Meta: storage.Meta{ID: id}}); err != nil {
				return err
			}
			return tx.Insert(ctx, &storage.Group{Meta: storage.Meta{ID: id}})
		})
		if !errors.Is(err, storage.ErrStale) {
			return err
		}
	}
}
