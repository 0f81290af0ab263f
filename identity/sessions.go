package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// sessionView is a session as replies show it.
type sessionView struct {
	ID         string                `json:"id"`
	Subject    string                `json:"subject"`
	Client     storage.ApplicationID `json:"client"`
	CreatedAt  time.Time             `json:"created_at"`
	LastUsedAt time.Time             `json:"last_used_at"`
	ExpiresAt  time.Time             `json:"expires_at"`
	IP         string                `json:"ip,omitempty"`
	UserAgent  string                `json:"user_agent,omitempty"`
	EndedAt    *time.Time            `json:"ended_at,omitempty"`
	// EndedBy is what ended it: "sign_out", "administrator", "revocation", "reuse" of a refresh token, or "identity".
	EndedBy storage.SessionEnd `json:"ended_by,omitempty"`
	// Revoked says that the epoch of everybody or of the application has been raised since: nothing of the session is accepted.
	Revoked bool `json:"revoked,omitempty"`
}

func (r *Room) viewSession(s *storage.Session) sessionView {
	e := r.directory.application(string(s.Client))
	revoked := s.Since.Global < r.GlobalEpoch() || e == nil || s.Since.Application < e.application.Epoch
	return sessionView{
		Revoked: s.EndedAt == nil && revoked,
		ID:      s.ID, Subject: s.Subject, Client: s.Client, CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt, IP: s.IP,
		UserAgent: s.UserAgent, EndedAt: s.EndedAt, EndedBy: s.EndedBy,
	}
}

// listSessions shows the sessions of the subjects whose tenants the caller reads: a session is in the tenant of its subject.
func (r *Room) listSessions(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	l, err := r.listing(req, "sessions", storage.SessionKind, "subject", "client", "ended")
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", "", true)},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			tenants, narrowed, err := visible(d)
			if err != nil {
				return enforce.Reply{}, err
			}
			return scan(ctx, r, l, tenants, r.viewSession, func(s *storage.Session) (bool, error) {
				if !narrowed {
					return true, nil
				}
				tenant, err := r.tenantOf(ctx, s.Subject)
				return slices.Contains(tenants, string(tenant)), err
			})
		},
	}, nil
}

// tenantOf returns the tenant of a user or application; one that is gone has none.
func (r *Room) tenantOf(ctx context.Context, subject string) (storage.TenantID, error) {
	kind := subjectKind(subject)
	e, err := r.directory.find(ctx, kind, subject)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("find the subject of a session: %w", err)
	case e.user != nil:
		return e.user.Tenant, nil
	}
	return e.application.Tenant, nil
}

// factsOf returns the tenant and the facts of a user or application, or no facts of one that is gone.
func (r *Room) factsOf(ctx context.Context, subject string) (storage.TenantID, *policies.Facts, error) {
	e, err := r.directory.find(ctx, subjectKind(subject), subject)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "", nil, nil
	case err != nil:
		return "", nil, fmt.Errorf("find the subject of a session: %w", err)
	}
	facts := r.directory.subject(e).Facts
	return storage.TenantID(facts.Identity().Tenant), facts, nil
}

// subjectKind tells ids of users and applications apart: only users have UUIDs.
func subjectKind(id string) string {
	if isUUID(id) {
		return kindUser
	}
	return kindApplication
}

// keptSession is the session in which somebody replaces the own password: it goes on with its refresh token, while the epoch that the
// change raises ends all others (ASVS 7.4.3) and every access token so far. It is nil where nothing can go on: no session, none that
// lives, or none that is refreshed.
func (r *Room) keptSession(ctx context.Context, sid string, u *storage.User) (*storage.Session, error) {
	if sid == "" {
		return nil, nil
	}
	s, err := storage.Get[storage.Session](ctx, r.store, sid)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the session: %w", err)
	case s.Subject != u.ID, s.EndedAt != nil, s.Head == "", s.Since.Identity < u.Epoch:
		return nil, nil
	}
	return s, nil
}

// endSession ends one session. Whether the caller dominates whose it is, the present sequence says.
func (r *Room) endSession(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	if _, err := r.begin(ctx, req); err != nil {
		return enforce.Resolved{}, err
	}
	return r.endOne(ctx, req, func(*storage.Session) bool { return true }, "iam/sessions:delete", storage.EndAdministrator)
}

// endOne ends the session of the path if it counts; one that does not is not there.
func (r *Room) endOne(
	ctx context.Context, req *enforce.Request, counts func(*storage.Session) bool, action string, by storage.SessionEnd,
) (enforce.Resolved, error) {
	sid := req.Params["sid"]
	s, err := storage.Get[storage.Session](ctx, r.store, sid)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return enforce.Resolved{}, fmt.Errorf("read the session: %w", err)
	}
	if s != nil && (s.EndedAt != nil || !counts(s)) {
		s = nil
	}
	v := standing{r.directory}
	q := policies.Question{Resource: resource(v, sid, "", false)}
	if s != nil {
		tenant, facts, err := r.factsOf(ctx, s.Subject)
		if err != nil {
			return enforce.Resolved{}, err
		}
		q.Resource = resource(v, sid, tenant, true)
		q.Resource.Self = isCaller(req, subjectKind(s.Subject), s.Subject)
		q.Resource.Before = facts
	}
	return r.ending(req, q, action, "sessions/"+sid, func(ctx context.Context) error {
		if s == nil {
			return notFound()
		}
		return r.ender().EndSession(ctx, sid, by)
	}), nil
}

// endSessionsOf ends every session of one subject.
func (r *Room) endSessionsOf(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	subject := req.Query["subject"]
	kind := subjectKind(subject)
	if kind == kindApplication {
		if err := checkApplicationID(subject, ""); err != nil {
			return enforce.Resolved{}, enforce.BadParameter("bad_filter", "subject", "name the user or application whose sessions end")
		}
	}
	if _, err := r.begin(ctx, req); err != nil {
		return enforce.Resolved{}, err
	}
	tenant, facts, err := r.factsOf(ctx, subject)
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	q := policies.Question{Resource: resource(v, subject, tenant, facts != nil)} // the subject stands for its sessions
	q.Resource.Self = isCaller(req, kind, subject)
	q.Resource.Before = facts
	return r.ending(req, q, "iam/sessions:delete", "subjects/"+subject, func(ctx context.Context) error {
		if facts == nil {
			return notFound()
		}
		_, err := r.ender().EndSessions(ctx, subject, "", storage.EndAdministrator)
		return err
	}), nil
}

// ending is a change that touches no authority: intent, the end itself, outcome.
func (r *Room) ending(
	req *enforce.Request, q policies.Question, action, target string, end func(ctx context.Context) error,
) enforce.Resolved {
	w := &write{action: action, target: target}
	w.detail.Conditional = true // sessions have no version to name
	q.Resource.AfterDetail = w.detail.json()
	w.question = q
	entry := func(d policies.Decision) storage.AuditEntry {
		e := entryOf(req, d, w)
		e.ToVersion = 0
		return e
	}
	return enforce.Resolved{
		Question: q,
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			done, err := r.Intent(ctx, entry(d))
			if err != nil {
				return enforce.Reply{}, err
			}
			if err := end(ctx); err != nil {
				if errors.Is(err, storage.ErrNotFound) {
					err = notFound()
				}
				return enforce.Reply{}, errors.Join(err, done(ctx, outcomeFailed, ""))
			}
			return noContent(), done(ctx, outcomeOK, "")
		},
		Denied: func(ctx context.Context, d policies.Decision) error { return r.refuse(ctx, entry(d), d) },
	}
}
