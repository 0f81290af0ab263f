package identity

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// Audited logins: what was tried, and why it failed.
const (
	loginAction     = "login:password"
	unwrittenAction = "login:unwritten"

	faultUnknown   = "unknown_user"
	faultWrong     = "wrong_password"
	faultExpired   = "password_expired"
	faultNotUsable = "not_usable"
)

const (
	// loginQueue is how many logins may wait to be written down.
	loginQueue = 1024
	// failureBurst and failureRefill bound the failures that are written down, whoever tries whatever from wherever; failureRefill is
	// the time for one more. A flood is counted, and does not fill the store.
	failureBurst = 600
	// unknownBurst is how much of it failures at names that nobody has may take, failureQueue how much of the queue all failures: a
	// flood of names hides neither what happens to users nor who came in.
	unknownBurst  = failureBurst / 2
	failureQueue  = loginQueue / 2
	failureRefill = time.Second
)

// logins writes password logins to the node's audit chain, beside the request: a login waits for the store once, for its session,
// and not twice. What cannot be written is counted, and the chain says how many are missing.
type logins struct {
	audit  *audit
	store  storage.Store
	now    func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	queue   []storage.AuditEntry
	writing bool
	// missing are those that the chain does not tell of yet, lost all of them so far.
	missing, lost int64
	failures      bucket
	counts        map[string]int64 // by outcome

	writers sync.WaitGroup
}

func newLogins(a *audit, store storage.Store, now func() time.Time, logger *slog.Logger) *logins {
	return &logins{audit: a, store: store, now: now, logger: logger, counts: map[string]int64{}}
}

// succeeded writes down that a user proved a password. Whether a token came of it is the decision of this request.
func (l *logins) succeeded(ctx context.Context, user *storage.User) {
	e := l.entry(ctx, loginAction, "users/"+user.ID)
	e.OnBehalf, e.Tenant, e.Outcome = kindUser+":"+user.ID, user.Tenant, outcomeOK
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[outcomeOK]++
	l.add(ctx, e)
}

// failed writes down that somebody did not prove a password. The name of a user that there is not is kept as a keyed digest: people
// type passwords into the wrong field.
func (l *logins) failed(ctx context.Context, action string, user *storage.User, name digest, fault string) {
	e := l.entry(ctx, action, "names/"+hex.EncodeToString(name[:]))
	if user != nil {
		e.Target, e.Tenant = "users/"+user.ID, user.Tenant
	}
	e.Outcome, e.Reason = outcomeRefused, fault
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[fault]++
	now := l.now()
	level := max(0, l.failures.failures-float64(now.Sub(l.failures.at))/float64(failureRefill))
	most := failureBurst
	if user == nil {
		most = unknownBurst
	}
	if level > float64(most-1) || len(l.queue) >= failureQueue {
		l.missing, l.lost = l.missing+1, l.lost+1
		return
	}
	l.failures.failures, l.failures.at = level+1, now
	l.add(ctx, e)
}

func (l *logins) entry(ctx context.Context, action, target string) storage.AuditEntry {
	event := enforce.EventFrom(ctx)
	e := storage.AuditEntry{Event: eventOutcome, Actor: "anonymous", Action: action, Target: target, RequestID: event.RequestID}
	if event.Client != "" {
		e.Actor = kindApplication + ":" + event.Client
	}
	return e
}

// add queues an entry; l.mu is held. One writer runs while there is something to write.
func (l *logins) add(ctx context.Context, e storage.AuditEntry) {
	if len(l.queue) >= loginQueue {
		l.missing, l.lost = l.missing+1, l.lost+1
		return
	}
	l.queue = append(l.queue, e)
	if l.writing {
		return
	}
	l.writing = true
	l.writers.Go(func() { l.write(context.WithoutCancel(ctx)) })
}

// write empties the queue. Before an entry it says how many before it are missing.
func (l *logins) write(ctx context.Context) {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		e, missing := l.queue[0], l.missing
		l.queue, l.missing = l.queue[1:], 0
		l.mu.Unlock()
		var err error
		if missing > 0 {
			err = l.audit.append(ctx, storage.AuditEntry{
				Event: eventOutcome, Actor: "system", Action: unwrittenAction, Target: "logins/" + strconv.FormatInt(missing, 10),
				Outcome: outcomeFailed,
			})
		}
		if err == nil {
			missing = 0
			err = l.audit.append(ctx, e)
		}
		if err == nil {
			if user, ok := strings.CutPrefix(e.OnBehalf, kindUser+":"); ok {
				l.use(ctx, user)
			}
			continue
		}
		// What waits behind it would wait as long, and be lost as well.
		l.mu.Lock()
		gone := int64(len(l.queue)) + 1
		l.queue, l.missing, l.lost = nil, l.missing+missing+gone, l.lost+gone
		l.mu.Unlock()
		l.logger.WarnContext(ctx, "a login was not audited", "request", e.RequestID, "error", err)
	}
}

// loginPeriod is how old the last use that is written down of a user may get while the user logs in.
const loginPeriod = time.Hour

// use writes down that a user logged in. What is lost is a date.
func (l *logins) use(ctx context.Context, user string) {
	at := storage.Time(l.now())
	use, err := storage.Get[storage.LoginUse](ctx, l.store, user)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		use = &storage.LoginUse{LastUsedAt: at}
		use.ID = user
		err = l.store.Insert(ctx, use)
	case err == nil && at.Sub(use.LastUsedAt) >= loginPeriod:
		use.LastUsedAt = at
		err = l.store.Update(ctx, use)
	}
	if err != nil && !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrStale) { // another node was faster
		l.logger.WarnContext(ctx, "the last login of a user was not written down", "user", user, "error", err)
	}
}

func (l *logins) figures() (counts map[string]int64, lost int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts), l.lost
}

// tellMissing writes down, at the end, how many entries are missing that no later entry tells of.
func (l *logins) tellMissing(ctx context.Context) error {
	l.mu.Lock()
	missing := l.missing
	l.missing = 0
	l.mu.Unlock()
	if missing == 0 {
		return nil
	}
	err := l.audit.append(ctx, storage.AuditEntry{
		Event: eventOutcome, Actor: "system", Action: unwrittenAction, Target: "logins/" + strconv.FormatInt(missing, 10),
		Outcome: outcomeFailed,
	})
	if err != nil {
		l.mu.Lock()
		l.missing += missing
		l.mu.Unlock()
	}
	return err
}

// wait returns when nothing is left to write.
func (l *logins) wait() { l.writers.Wait() }
