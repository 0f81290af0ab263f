package main_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	writ "github.com/writ-authz/writ/cmd/writ"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

// marked tells once when the text that it waits for was written.
type marked struct {
	text string
	buf  bytes.Buffer
	seen chan struct{}
}

func (m *marked) Write(p []byte) (int, error) {
	before := strings.Contains(m.buf.String(), m.text)
	m.buf.Write(p)
	if !before && strings.Contains(m.buf.String(), m.text) {
		close(m.seen)
	}
	return len(p), nil
}

// BenchmarkDevStartToReady is row PF-03: from the start of `writ dev` in a fresh directory, keys and demo data made, to the first
// request that can be answered. The end is outside the measure.
func BenchmarkDevStartToReady(b *testing.B) {
	for b.Loop() {
		ctx, stop := context.WithCancel(b.Context())
		banner := &marked{text: "Stop with", seen: make(chan struct{})}
		var log output
		exited := make(chan int, 1)
		go func() {
			args := []string{"dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}
			exited <- writ.Run(ctx, args, nil, strings.NewReader(""), banner, &log)
		}()
		select {
		case <-banner.seen:
		case code := <-exited:
			b.Fatalf("exit code %d:\n%s", code, log.String())
		}
		b.StopTimer()
		stop()
		<-exited
		b.StartTimer()
	}
}

// BenchmarkServeStartToReady100kUsers is the other half of row PF-03: `writ serve` on a data directory with 100,000 users.
func BenchmarkServeStartToReady100kUsers(b *testing.B) {
	dir := b.TempDir()
	seedUsers(b, dir, 100_000)
	for b.Loop() {
		ctx, stop := context.WithCancel(b.Context())
		log := &marked{text: `"serving"`, seen: make(chan struct{})}
		exited := make(chan int, 1)
		go func() {
			args := []string{
				"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", dir, "--decision-log", "off",
			}
			env := []string{"WRIT_BOOTSTRAP_SECRET=" + strings.Repeat("benchmark ", 4)}
			exited <- writ.Run(ctx, args, env, strings.NewReader(""), &output{}, log)
		}()
		select {
		case <-log.seen:
		case code := <-exited:
			b.Fatalf("exit code %d:\n%s", code, log.buf.String())
		}
		b.StopTimer()
		stop()
		<-exited
		b.StartTimer()
	}
}

// seedUsers writes users with a role each straight into a store, a thousand to a transaction.
func seedUsers(b *testing.B, dir string, users int) {
	b.Helper()
	store, err := sqlite.Open(b.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const batch = 1000
	for first := 0; first < users; first += batch {
		if err := store.Txn(b.Context(), func(ctx context.Context, tx storage.Tx) error {
			sequence, err := tx.Sequence(ctx)
			if err != nil {
				return err
			}
			if err := tx.Advance(ctx, sequence); err != nil {
				return err
			}
			for n := first; n < first+batch; n++ {
				name := fmt.Sprintf("user%07d", n)
				user := &storage.User{
					Meta:     storage.Meta{ID: uuid.NewString()},
					Identity: storage.Identity{Name: name, Roles: []storage.RoleKey{"bench:reader"}},
					Username: name, UsernameKey: name, Email: name + "@example.com", EmailKey: name + "@example.com",
				}
				if err := tx.Insert(ctx, user); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
