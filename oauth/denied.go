package oauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/writ-authz/writ/storage"
)

// deniedTokens mirrors the denylist: the ids of revoked tokens that might not have expired.
type deniedTokens struct {
	mu    sync.RWMutex
	byID  map[string]time.Time
	added int
}

func (d *deniedTokens) denied(jti string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, found := d.byID[jti]
	return found
}

func (d *deniedTokens) add(jti string, expires, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID == nil {
		d.byID = map[string]time.Time{}
	}
	d.byID[jti] = expires
	if d.added++; d.added%sweepEvery != 0 {
		return
	}
	for id, expires := range d.byID {
		if !now.Before(expires) {
			delete(d.byID, id)
		}
	}
}

// loadDenied fills the mirror at start.
func (s *Server) loadDenied(ctx context.Context) error {
	q := storage.Query{Limit: sessionPage}
	for {
		page, err := storage.List[storage.Denial](ctx, s.store, q)
		if err != nil {
			return fmt.Errorf("read revoked tokens: %w", err)
		}
		for _, record := range page {
			expires := record.ExpiresAt
			if !record.TokenExpiresAt.IsZero() {
				expires = record.TokenExpiresAt
			}
			if now := s.now(); now.Before(expires) {
				s.denied.add(record.ID, expires, now)
			}
		}
		if len(page) < sessionPage {
			return nil
		}
		q.After = page[len(page)-1].ID
	}
}

// deny revokes one access token: a unique insert and the notice to the other nodes, both or neither, outside the authority. The token is
// dead when this returns, and was not touched if it fails. Revoking it twice is no error. The record outlives the token for as long
// as its session may: expired, the token would still end that.
func (s *Server) deny(ctx context.Context, c *claims) error {
	now, expires := s.now(), storage.Time(time.Unix(c.ExpiresAt, 0))
	record := &storage.Denial{Meta: storage.Meta{ID: c.ID}, ExpiresAt: expires}
	if c.SID != "" {
		session, err := storage.Get[storage.Session](ctx, s.store, c.SID)
		switch {
		case errors.Is(err, storage.ErrNotFound):
		case err != nil:
			return fmt.Errorf("revoke token: %w", err)
		case session.AbsoluteExpiresAt.After(expires):
			record.ExpiresAt, record.TokenExpiresAt = session.AbsoluteExpiresAt, expires
		}
	}
	notice := &storage.Revocation{JTI: c.ID, ExpiresAt: expires}
	notice.ID = storage.RevocationID(s.heard.stamp(now), c.ID)
	err := s.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Insert(ctx, record); err != nil {
			return err
		}
		return tx.Insert(ctx, notice)
	})
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("revoke token: %w", err)
	}
	s.denied.add(c.ID, expires, now)
	return nil
}

// everDenied reports whether an access token was revoked, expired or not. It reads the store.
func (s *Server) everDenied(ctx context.Context, jti string) (bool, error) {
	_, err := storage.Get[storage.Denial](ctx, s.store, jti)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("was the token revoked: %w", err)
	}
	return true, nil
}
