package enforce

import (
	"context"
	"sync"

	"github.com/writ-authz/writ/policies"
)

// asked is a question of a request beside its own, with the place of its line in the decision log.
type asked struct {
	slot *policies.Slot
	line policies.LogLine
}

// asking is what Ask needs of the route that the request came by.
type asking struct {
	mount *mount
	plane Plane
	row   Route
	mu    *sync.Mutex
	asked []asked
}

// Ask puts one more question for the caller of a request that its own decision, parent, has permitted: for routes that do many things at
// once, each of which takes a right. It is called in Respond, also concurrently. Every question has an id and a line of its own in the decision log, written
// unless the request resolves anew; a denial comes with its reasons. An error is an outage, never a denial.
func (r *Request) Ask(ctx context.Context, parent policies.Decision, q *policies.Question) (policies.Decision, error) {
	m := r.asking.mount
	slot, err := m.config.Log.Reserve()
	if err != nil {
		return policies.Decision{}, err
	}
	complete(q, r, r.asking.plane, r.asking.row)
	q.ID = policies.NewDecisionID() // complete gives the request's own
	decision, err := m.config.PDP.Decide(ctx, q)
	if err == nil && decision.Allow {
		err = declared(decision.Obligations, r.asking.row)
	}
	if err == nil && !decision.Allow {
		decision.Reasons, err = m.config.PDP.Why(ctx, q, decision)
	}
	r.asking.mu.Lock()
	defer r.asking.mu.Unlock()
	r.asking.asked = append(r.asking.asked, asked{slot, policies.LogLine{
		Decision: decision, Reasons: decision.Reasons, Entrypoint: q.Entrypoint, RequestID: r.ID, ParentID: EventFrom(ctx).Parent(parent.ID),
		Route: r.asking.row.Method + " " + r.asking.row.Path, Err: err,
	}})
	return decision, err
}

// settle writes the lines of the questions asked, or drops them with an attempt that is made anew.
func (a *asking) settle(kept bool) {
	for _, q := range a.asked {
		if kept {
			q.slot.Write(q.line)
		}
		q.slot.Release()
	}
	a.asked = nil
}
