package identity

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/storage"
)

// How many refusals of one caller have entries of their own: so many at once, and then one each refusalRefill. What goes beyond is
// counted, so that who is refused again and again holds up nobody's changes, which wait for the same chain.
const (
	refusalBurst  = 60
	refusalRefill = time.Second
	// maxRefusedCallers bounds those who have a pace of their own, maxRefusedTenants the tenants of one by which it is counted apart.
	maxRefusedCallers = 10_000
	maxRefusedTenants = 16
)

// refusals are the paces of those who were refused lately, and what was left out on their account.
type refusals struct {
	// leftOut is how many refusals got no entry of their own.
	leftOut atomic.Int64

	mu      sync.Mutex
	callers map[string]*refusedCaller
}

// refusedCaller is one pace. Untold has, by tenant, the last refusal that was left out, with the number of those before it: so those
// who see a tenant's audit are told of what was tried there.
type refusedCaller struct {
	left   float64
	at     time.Time
	untold map[storage.TenantID]*storage.AuditEntry
}

// paceOf names whose pace a refusal goes by. Attempts to read secrets have one of their own: nobody hides which secret he was after
// behind other refusals.
func paceOf(e *storage.AuditEntry) string {
	switch e.Action {
	case actionReveal, actionExportVerifiers:
		return e.Actor + " " + e.Action
	}
	return e.Actor
}

// caller finds a pace. Those who find no room share one; the lock is held.
func (r *refusals) caller(name string, now time.Time) *refusedCaller {
	if r.callers == nil {
		r.callers = map[string]*refusedCaller{}
	}
	if r.callers[name] == nil && len(r.callers) >= maxRefusedCallers {
		name = ""
	}
	c := r.callers[name]
	if c == nil {
		c = &refusedCaller{left: refusalBurst, at: now, untold: map[storage.TenantID]*storage.AuditEntry{}}
		r.callers[name] = c
	}
	c.refill(now)
	return c
}

func (c *refusedCaller) refill(now time.Time) {
	if passed := now.Sub(c.at); passed > 0 {
		c.left, c.at = min(refusalBurst, c.left+float64(passed)/float64(refusalRefill)), now
	}
}

// admit says whether a refusal is written down now. It then has the number of those that were left out before it; otherwise it is one
// of them.
func (r *refusals) admit(e *storage.AuditEntry, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.caller(paceOf(e), now)
	if c.left < 1 {
		c.keep(*e)
		r.leftOut.Add(1)
		return false
	}
	c.left--
	if before := c.untold[e.Tenant]; before != nil {
		e.LeftOut = before.LeftOut + 1
		delete(c.untold, e.Tenant)
	}
	return true
}

// keep counts a refusal among those that are still to be told.
func (c *refusedCaller) keep(e storage.AuditEntry) {
	if c.untold[e.Tenant] == nil && len(c.untold) >= maxRefusedTenants {
		e.Tenant = storage.AnyTenant
	}
	if before := c.untold[e.Tenant]; before != nil {
		e.LeftOut += before.LeftOut + 1
	}
	c.untold[e.Tenant] = &e
}

// restore takes back what could not be written.
func (r *refusals) restore(e storage.AuditEntry, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.caller(paceOf(&e), now).keep(e)
}

// take removes what is to be told, as far as the paces have room, or all of it. It forgets who has the whole pace again.
func (r *refusals) take(now time.Time, all bool) []storage.AuditEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var untold []storage.AuditEntry
	for _, name := range slices.Sorted(maps.Keys(r.callers)) {
		c := r.callers[name]
		if c.refill(now); c.left >= refusalBurst && len(c.untold) == 0 {
			delete(r.callers, name)
			continue
		}
		for _, tenant := range slices.Sorted(maps.Keys(c.untold)) {
			if c.left < 1 && !all {
				break
			}
			c.left = max(0, c.left-1)
			untold = append(untold, *c.untold[tenant])
			delete(c.untold, tenant)
		}
	}
	return untold
}

// refused writes a refusal down, or counts it where the caller has too many.
func (a *audit) refused(ctx context.Context, e storage.AuditEntry) error {
	if !a.refusals.admit(&e, a.now()) {
		return nil
	}
	err := a.append(ctx, e)
	if err != nil {
		a.refusals.restore(e, a.now())
	}
	return err
}

// tellRefusals writes down what was left out and no later refusal of the same caller told. Before a checkpoint it keeps to the paces,
// lest entries bring checkpoints and those entries; at the end it writes all.
func (a *audit) tellRefusals(ctx context.Context, all bool) error {
	untold := a.refusals.take(a.now(), all)
	for n, e := range untold {
		if err := a.append(ctx, e); err != nil {
			for _, kept := range untold[n:] {
				a.refusals.restore(kept, a.now())
			}
			return errors.Join(errors.New("write down how many refusals were left out"), err)
		}
	}
	return nil
}
