package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// revealsPerMinute bounds how many attempts to read a secret one administrator has on one node.
const revealsPerMinute = 10

// The actions by which what proves an identity leaves the server.
const (
	actionReveal          = "iam/applications:reveal"
	actionExportVerifiers = "iam/verifiers:export"
)

// revealFields says what for a secret is revealed.
type revealFields struct {
	Reason string `json:"reason"`
}

// revealView is the value of a secret.
type revealView struct {
	Value string `json:"value"`
}

// reveal answers with the value of one secret. The order is the property: decided, written down, only then decrypted. What cannot
// be written down is 503 and nothing was decrypted.
func (r *Room) reveal(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in revealFields
	id, sid := req.Params["id"], req.Params["sid"]
	if err := checkApplicationID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := checkText(in.Reason, "/reason", maxName); err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	w := &write{action: actionReveal, target: "applications/" + id + "/secrets/" + sid}
	w.question.Resource = resource(v, id, "", false)
	var app *storage.Application
	if e := r.directory.application(id); e != nil {
		app = e.application
		w.version, w.meta = app.Version, app.Meta
		w.question = r.askToRead(req, v, app)
	}
	w.question.Resource.Reason = strings.TrimSpace(in.Reason) != ""
	entry := func(d policies.Decision) storage.AuditEntry {
		e := entryOf(req, d, w)
		e.ToVersion, e.Reason = e.FromVersion, in.Reason
		return e
	}
	return enforce.Resolved{
		Question: w.question,
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			if !r.reveals.allow(req.Caller.ID, req.Now) {
				r.revealed.count(revealLimited)
				return enforce.Reply{}, tooManyReveals()
			}
			if app == nil {
				r.revealed.count(revealNothing)
				return enforce.Reply{}, notFound()
			}
			if err := revealable(app, sid, r.config.HashOnly); err != nil {
				r.revealed.count(revealNothing)
				return enforce.Reply{}, err
			}
			value, err := r.revealAudited(ctx, id, sid, entry(d))
			if err != nil {
				r.revealed.count(outcomeFailed)
				return enforce.Reply{}, err
			}
			r.revealed.count(outcomeOK)
			return noStore(enforce.Reply{Status: http.StatusOK, Body: revealView{Value: value}}), nil
		},
		Denied: func(ctx context.Context, d policies.Decision) error {
			r.revealed.count(outcomeRefused)
			if err := r.refuse(ctx, entry(d), d); err != nil {
				return err
			}
			// Trying counts as much as succeeding; whether the object is there makes no difference.
			if !r.reveals.allow(req.Caller.ID, req.Now) {
				return tooManyReveals()
			}
			return nil
		},
	}, nil
}

// revealAudited decrypts between intent and outcome: without the first nothing is decrypted, and without the second nothing is sent.
func (r *Room) revealAudited(ctx context.Context, application, sid string, e storage.AuditEntry) (string, error) {
	done, err := r.Intent(ctx, e)
	if err != nil {
		return "", err
	}
	value, err := r.unseal(ctx, application, sid)
	if err != nil {
		return "", errors.Join(err, done(ctx, outcomeFailed, "unreadable"))
	}
	if err := done(ctx, outcomeOK, e.Reason); err != nil {
		return "", err
	}
	return value, nil
}

func tooManyReveals() error {
	return &enforce.ProtocolError{
		Status: http.StatusTooManyRequests, Code: "too_many_requests", Header: http.Header{"Retry-After": {"60"}},
		Detail: fmt.Sprintf("at most %d attempts to reveal a secret are answered in a minute", revealsPerMinute),
	}
}

// Outcomes of attempts to reveal a secret, beside those of the audit.
const (
	revealLimited = "limited"
	revealNothing = "not_retrievable"
)

// RevealOutcomes are the keys of Figures.Reveals.
func RevealOutcomes() []string {
	return []string{outcomeOK, outcomeRefused, outcomeFailed, revealLimited, revealNothing}
}

// tally counts by outcome.
type tally struct {
	mu     sync.Mutex
	counts map[string]int64
}

func (t *tally) count(outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int64{}
	}
	t.counts[outcome]++
}

func (t *tally) figures() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// revealable is the 404 or 409 of a secret that has no value to show.
func revealable(a *storage.Application, sid string, hashOnly bool) error {
	for _, s := range a.Secrets {
		switch {
		case s.ID != sid:
		case s.RevokedAt != nil:
			return conflictError("secret_revoked", "", "the secret was revoked")
		case !a.Retrievable || !s.Sealed || hashOnly:
			return conflictError("not_retrievable", "", "this secret is kept as a verifier only and cannot be read again")
		default:
			return nil
		}
	}
	return notFound()
}

func (r *Room) unseal(ctx context.Context, application, sid string) (string, error) {
	sealed, err := storage.Get[storage.SealedSecret](ctx, r.store, application+"/"+sid)
	if errors.Is(err, storage.ErrNotFound) {
		return "", conflictError("not_retrievable", "", "this secret is kept as a verifier only and cannot be read again")
	}
	if err != nil {
		return "", fmt.Errorf("read a sealed secret: %w", err)
	}
	plain, err := r.config.Sealer.Open(sealed.Sealed, sealedContext(application, sid))
	if err != nil {
		return "", fmt.Errorf("open a sealed secret: %w", err)
	}
	return string(plain), nil
}

// pace counts events by key over a sliding window.
type pace struct {
	most   int
	window time.Duration

	mu     sync.Mutex
	events map[string][]time.Time
}

func newPace(most int, window time.Duration) *pace {
	return &pace{most: most, window: window, events: map[string][]time.Time{}}
}

// allow counts one event, or reports that there were too many.
func (p *pace) allow(key string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, events := range p.events {
		if now.Sub(events[len(events)-1]) >= p.window {
			delete(p.events, other)
		}
	}
	recent := p.events[key]
	for len(recent) > 0 && now.Sub(recent[0]) >= p.window {
		recent = recent[1:]
	}
	if len(recent) >= p.most {
		return false
	}
	p.events[key] = append(recent, now)
	return true
}
