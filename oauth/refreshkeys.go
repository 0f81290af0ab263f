package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	ringRefresh = "refresh"
	// refreshKeySize is the length of each key, exactly (F-29).
	refreshKeySize = 32
	algorithmHMAC  = "HS256"
)

// refreshKeys is the ring of the keys under whose HMAC refresh tokens stand.
type refreshKeys struct {
	store   Store
	sealer  Sealer
	auditor Auditor
	now     func() time.Time
	rand    io.Reader
	current atomic.Pointer[refreshRing]
}

// refreshRing is one immutable state of it.
type refreshRing struct {
	active string
	byID   map[string][]byte
}

// mac returns the id of the active key and the HMAC-SHA-256 of b under it.
func (k *refreshKeys) mac(b []byte) (kid string, sum []byte) {
	ring := k.current.Load()
	return ring.active, hmacOf(ring.byID[ring.active], b)
}

// check reports whether sum is the HMAC of b under the key kid.
func (k *refreshKeys) check(kid string, b, sum []byte) bool {
	key := k.current.Load().byID[kid]
	return key != nil && hmac.Equal(hmacOf(key, b), sum)
}

func hmacOf(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}

// open loads the keys, and makes the first one where none is active.
func (k *refreshKeys) open(ctx context.Context) error {
	for range openAttempts {
		if err := k.load(ctx, k.store); err != nil || k.current.Load() != nil {
			return err
		}
		err := k.create(ctx)
		if err != nil && !errors.Is(err, storage.ErrStale) {
			return fmt.Errorf("make the first refresh key: %w", err)
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(openPause):
		}
	}
	return fmt.Errorf("make the first refresh key: %w: other writers are in the way; try again", storage.ErrUnavailable)
}

// load reads the keys anew. One that cannot be unsealed keeps the ring as it is.
func (k *refreshKeys) load(ctx context.Context, r storage.Reader) error {
	records, err := listRefreshKeys(ctx, r)
	if err != nil {
		return err
	}
	next := &refreshRing{byID: map[string][]byte{}}
	var newest time.Time
	for _, record := range records {
		if record.State == stateRetired {
			continue
		}
		key, err := k.sealer.Open(record.Sealed, sealedAsRefresh(record.ID))
		if err != nil {
			return fmt.Errorf("refresh key %s cannot be unsealed; start with the key encryption key that it was sealed with: %w", record.ID, err)
		}
		if len(key) != refreshKeySize {
			return fmt.Errorf("refresh key %s has %d bytes", record.ID, len(key))
		}
		next.byID[record.ID] = key
		if record.State == stateActive && (next.active == "" || activeAt(record).After(newest)) {
			next.active, newest = record.ID, activeAt(record)
		}
	}
	if next.active != "" {
		k.current.Store(next)
	}
	return nil
}

func listRefreshKeys(ctx context.Context, r storage.Reader) ([]*storage.Key, error) {
	records, err := storage.List[storage.Key](ctx, r, storage.Query{Equal: map[string][]string{"ring": {ringRefresh}}, Limit: keyPage})
	if err != nil {
		return nil, fmt.Errorf("read refresh keys: %w", err)
	}
	return records, nil
}

// create makes and stores an active key, unless another node was first.
func (k *refreshKeys) create(ctx context.Context) error {
	var id [4]byte
	key := make([]byte, refreshKeySize)
	for _, b := range [][]byte{id[:], key} {
		if _, err := io.ReadFull(k.rand, b); err != nil {
			return fmt.Errorf("read randomness: %w", err)
		}
	}
	kid := hex.EncodeToString(id[:])
	sealed, err := k.sealer.Seal(key, sealedAsRefresh(kid))
	if err != nil {
		return err
	}
	now := storage.Time(k.now())
	record := &storage.Key{
		Meta: storage.Meta{ID: kid}, Ring: ringRefresh, Algorithm: algorithmHMAC, State: stateActive, Sealed: sealed, ActiveAt: &now,
	}
	done, err := k.auditor.Intent(ctx, storage.AuditEntry{Actor: "system", Action: "keys:write", Target: "keys/" + kid})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	err = k.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		if err != nil {
			return err
		}
		records, err := listRefreshKeys(ctx, tx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(records, func(key *storage.Key) bool { return key.State == stateActive }) {
			return storage.ErrStale
		}
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		return tx.Insert(ctx, record)
	})
	if err != nil {
		return errors.Join(err, done(ctx, "failed", "not stored"))
	}
	return done(ctx, "ok", "")
}

func sealedAsRefresh(kid string) string { return "hmac-key|" + ringRefresh + "|" + kid }
