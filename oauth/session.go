package oauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	sessionPage = 500
	// maxUserAgent bounds what is kept of a header that the caller chooses.
	maxUserAgent = 256
	// endAttempts bounds the compare-and-swaps of one session's end.
	endAttempts = 16
	// sweepEvery says after how many ends the mirror forgets what has expired.
	sweepEvery = 1024
)

// ErrNoSession says that there is no such session, or that it has ended. It is a storage.ErrNotFound.
var ErrNoSession = fmt.Errorf("no live session: %w", storage.ErrNotFound)

// endedSessions mirrors the sessions that have ended and have tokens that might not have expired. One that is not here
// lives.
type endedSessions struct {
	mu    sync.RWMutex
	byID  map[string]endedSession
	added int
}

type endedSession struct {
	epoch   int64
	expires time.Time
}

// epoch is the current epoch of a session; sessions begin at 0.
func (e *endedSessions) epoch(sid string) int64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.byID[sid].epoch
}

func (e *endedSessions) add(record *storage.Session, now time.Time) {
	e.note(record.ID, record.Epoch, record.ExpiresAt, now)
}

func (e *endedSessions) note(sid string, epoch int64, expires, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byID == nil {
		e.byID = map[string]endedSession{}
	}
	if known, ok := e.byID[sid]; ok && known.epoch >= epoch {
		return
	}
	e.byID[sid] = endedSession{epoch: epoch, expires: expires}
	if e.added++; e.added%sweepEvery != 0 {
		return
	}
	for sid, session := range e.byID {
		if !now.Before(session.expires) { // no token outlives its session
			delete(e.byID, sid)
		}
	}
}

// loadEnded fills the mirror at start.
func (s *Server) loadEnded(ctx context.Context) error {
	q := storage.Query{Equal: map[string][]string{"ended": {"true"}}, Limit: sessionPage}
	for {
		page, err := storage.List[storage.Session](ctx, s.store, q)
		if err != nil {
			return fmt.Errorf("read ended sessions: %w", err)
		}
		for _, record := range page {
			s.ended.add(record, s.now())
		}
		if len(page) < sessionPage {
			return nil
		}
		q.After = page[len(page)-1].ID
	}
}

// beginSession stores the session of a password login: one unique insert, outside the authority. It lives at least as
// long as its token. refresh is its first refresh token, or empty.
func (s *Server) beginSession(ctx context.Context, i *issue, given *granted, refresh string) error {
	now := s.now() // after the slow hash, like the record's created_at
	token := time.Duration(given.lifetime) * time.Second
	absolute := now.Add(max(s.sessionLife, token))
	agent := i.request.HTTP.UserAgent()
	record := &storage.Session{
		Meta: storage.Meta{ID: i.sid}, Subject: i.subject.ID, Client: storage.ApplicationID(i.client.app.ID),
		LastUsedAt: storage.Time(now), ExpiresAt: storage.Time(earlier(now.Add(max(s.refreshLife, token)), absolute)),
		UserAgent: plainText(agent[:min(len(agent), maxUserAgent)]),
		AuthTime:  storage.Time(i.authTime()), AbsoluteExpiresAt: storage.Time(absolute),
		Tenant: storage.TenantID(i.tenant), Scopes: given.scopes, Audience: given.audience,
		Since: storage.SessionEpochs{Global: i.global, Application: i.client.app.Epoch, Identity: i.session.epoch},
	}
	if refresh != "" {
		record.Head = hashRefresh(refresh)
	}
	if peer := remote(i.request.HTTP); peer.IsValid() {
		record.IP = peer.String()
	}
	if err := s.store.Insert(ctx, record); err != nil {
		return fmt.Errorf("begin session: %w", err)
	}
	return nil
}

// EndSession ends a session: its tokens are dead when this returns. It returns ErrNoSession where there is none that
// lives. It is one compare-and-swap of the session's document, tried again when it is lost.
func (s *Server) EndSession(ctx context.Context, sid string, by storage.SessionEnd) error {
	for range endAttempts {
		record, err := storage.Get[storage.Session](ctx, s.store, sid)
		if errors.Is(err, storage.ErrNotFound) || (err == nil && record.EndedAt != nil) {
			return ErrNoSession
		}
		if err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		now := storage.Time(s.now())
		record.EndedAt, record.EndedBy = &now, by
		record.Epoch++
		switch err := s.storeEnded(ctx, record, now); {
		case err == nil:
			s.ended.add(record, now)
			return nil
		case errors.Is(err, storage.ErrNotFound):
			return ErrNoSession
		case !errors.Is(err, storage.ErrStale):
			return fmt.Errorf("end session: %w", err)
		}
	}
	return fmt.Errorf("end session: %w: it keeps changing", storage.ErrUnavailable)
}

// storeEnded writes the end of a session and tells the other nodes, both or neither.
func (s *Server) storeEnded(ctx context.Context, record *storage.Session, now time.Time) error {
	notice := &storage.Revocation{SID: record.ID, Epoch: record.Epoch, ExpiresAt: record.ExpiresAt}
	notice.ID = storage.RevocationID(s.heard.stamp(now), record.ID)
	return s.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Update(ctx, record); err != nil {
			return err
		}
		return tx.Insert(ctx, notice)
	})
}

// EndSessions ends every session of a subject but the one named except, which may be empty, and returns how many it ended.
func (s *Server) EndSessions(ctx context.Context, subject, except string, by storage.SessionEnd) (int, error) {
	ended := 0
	q := storage.Query{Equal: map[string][]string{"subject": {subject}, "ended": {"false"}}, Limit: sessionPage}
	for {
		page, err := storage.List[storage.Session](ctx, s.store, q)
		if err != nil {
			return ended, fmt.Errorf("sessions of %s: %w", subject, err)
		}
		for _, record := range page {
			if record.ID == except {
				continue
			}
			switch err := s.EndSession(ctx, record.ID, by); {
			case err == nil:
				ended++
			case !errors.Is(err, ErrNoSession):
				return ended, err
			}
		}
		if len(page) < sessionPage {
			return ended, nil
		}
		q.After = page[len(page)-1].ID
	}
}
