package oauth

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	// pollBack is how long after a notice a node may write one that stands before it: until it has read the first one, which follows within
	// the bound of the feed, and its transaction has ended.
	pollBack = 30 * time.Second
	// startBack is how far before the newest notice a node that starts begins to read. It bounds how far the clocks of nodes may be apart
	// in the first pollBack of its life, and nothing after that.
	startBack = 10 * time.Minute
)

// heard is how far the notices of revocations were read. They stand in the order of the times in their ids, which are their
// writers' own, and clocks differ. So no clock says from where to read on:
//
//   - a writer never stamps a notice before the newest that it has read, however late its clock is, and
//   - a reader goes on from what was the newest pollBack ago by its own clock, and reads what came since again each time. By then
//     everybody has read that, and stamps behind it.
type heard struct {
	mu    sync.Mutex
	marks []mark // the oldest first, where to begin; the last one is the newest notice
}

// mark says that id was the newest notice at a time.
type mark struct {
	at time.Time
	id string
}

// stamp is the time that a notice written now is to bear.
func (h *heard) stamp(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if behind := storage.RevocationTime(h.marks[len(h.marks)-1].id).Add(time.Millisecond); behind.After(now) {
		return behind
	}
	return now
}

// from is the id to read on from.
func (h *heard) from(now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.marks) > 1 && now.Sub(h.marks[1].at) >= pollBack {
		h.marks = h.marks[1:]
	}
	return h.marks[0].id
}

// reached notes the newest notice that was read at a time.
func (h *heard) reached(id string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.marks[len(h.marks)-1].id < id {
		h.marks = append(h.marks, mark{now, id})
	}
}

// listen finds where to begin. What stands before is in the states that are loaded next.
func (s *Server) listen(ctx context.Context) error {
	newest, err := s.notices(ctx, s.store, "", func(*storage.Revocation) {})
	if err != nil {
		return err
	}
	now := s.now()
	begin := "" // before all that will be
	if newest != "" {
		begin = storage.RevocationID(earlier(storage.RevocationTime(newest), now).Add(-startBack), "")
	}
	s.heard.marks = []mark{{now, begin}}
	s.heard.reached(newest, now)
	return nil
}

// notices reads what stands behind an id, and returns the id of the last; the id itself where there is none.
func (s *Server) notices(ctx context.Context, r storage.Reader, after string, each func(*storage.Revocation)) (string, error) {
	q := storage.Query{After: after, Limit: sessionPage}
	for {
		page, err := storage.List[storage.Revocation](ctx, r, q)
		if err != nil {
			return "", fmt.Errorf("read revocations: %w", err)
		}
		for _, notice := range page {
			q.After = notice.ID
			each(notice)
		}
		if len(page) < sessionPage {
			return q.After, nil
		}
	}
}

var _ storage.Poller = (*Server)(nil)

// Poll takes in the sessions that other nodes have ended and the tokens that they denied. What it has seen before changes nothing, and
// what was told while the store could not be read is not missed. It must not run beside itself.
func (s *Server) Poll(ctx context.Context, r storage.Reader) error {
	now := s.now()
	newest, err := s.notices(ctx, r, s.heard.from(now), func(notice *storage.Revocation) {
		if notice.JTI != "" {
			s.denied.add(notice.JTI, notice.ExpiresAt, now)
			return
		}
		s.ended.note(notice.SID, notice.Epoch, notice.ExpiresAt, now)
	})
	if err != nil {
		return err
	}
	s.heard.reached(newest, now)
	return nil
}
