package identity

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// indexedDays is the longest time between since and until that is looked up day by day; a longer one is only compared with.
const indexedDays = 100

// AuditLine is an entry as replies and exports show it: all of it, so that whoever has the lines can verify the chain.
type AuditLine struct {
	Chain          string           `json:"chain"`
	Seq            int64            `json:"seq"`
	Time           time.Time        `json:"time"`
	Event          string           `json:"event"`
	Actor          string           `json:"actor"`
	OnBehalf       string           `json:"on_behalf_of,omitempty"`
	Action         string           `json:"action"`
	Target         string           `json:"target"`
	Tenant         storage.TenantID `json:"tenant,omitempty"`
	Outcome        string           `json:"outcome,omitempty"`
	Reason         string           `json:"reason,omitempty"`
	DecisionID     string           `json:"decision_id,omitempty"`
	PolicyRevision string           `json:"policy_revision,omitempty"`
	RequestID      string           `json:"request_id,omitempty"`
	FromVersion    int64            `json:"from_version,omitempty"`
	ToVersion      int64            `json:"to_version,omitempty"`
	LeftOut        int64            `json:"left_out,omitempty"`
	Prev           string           `json:"prev"`
	Hash           string           `json:"hash"`
}

func viewAudit(e *storage.AuditEntry) AuditLine {
	return AuditLine{
		Chain: e.Chain, Seq: e.Seq, Time: storage.Time(e.Time), Event: e.Event, Actor: e.Actor, OnBehalf: e.OnBehalf, Action: e.Action,
		Target: e.Target, Tenant: e.Tenant, Outcome: e.Outcome, Reason: e.Reason, DecisionID: e.DecisionID, PolicyRevision: e.PolicyRevision,
		RequestID: e.RequestID, FromVersion: e.FromVersion, ToVersion: e.ToVersion, LeftOut: e.LeftOut, Prev: e.Prev, Hash: e.Hash,
	}
}

// Entry is the entry that the line shows.
func (l AuditLine) Entry() *storage.AuditEntry {
	e := &storage.AuditEntry{
		Chain: l.Chain, Seq: l.Seq, Time: l.Time, Event: l.Event, Actor: l.Actor, OnBehalf: l.OnBehalf, Action: l.Action, Target: l.Target,
		Tenant: l.Tenant, Outcome: l.Outcome, Reason: l.Reason, DecisionID: l.DecisionID, PolicyRevision: l.PolicyRevision,
		RequestID: l.RequestID, FromVersion: l.FromVersion, ToVersion: l.ToVersion, LeftOut: l.LeftOut, Prev: l.Prev, Hash: l.Hash,
	}
	e.ID = storage.AuditID(l.Chain, l.Seq)
	return e
}

// auditFilters are the query parameters of the audit list.
func auditFilters() []string {
	return []string{"actor", "target", "action", "outcome", "event", "chain", "decision_id", "tenant", "since", "until"}
}

// listAudit shows the entries of the tenants whose audit the caller reads. They come by chain, and within it by sequence.
func (r *Room) listAudit(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	l, err := r.listing(req, "audit", storage.AuditKind, "actor", "target", "action", "chain", "tenant")
	if err != nil {
		return enforce.Resolved{}, err
	}
	if value, given := req.Query["decision_id"]; given {
		l.bound["decision_id"], l.query.Equal["decision"] = value, []string{value}
	}
	if value, given := req.Query["outcome"]; given {
		if !slices.Contains([]string{outcomeOK, outcomeRefused, outcomeFailed}, value) {
			return enforce.Resolved{}, enforce.BadParameter("bad_filter", "outcome", "want ok, refused or failed")
		}
		l.bound["outcome"], l.query.Equal["outcome"] = value, []string{value}
	}
	event, given := req.Query["event"]
	if given {
		if event != eventIntent && event != eventOutcome {
			return enforce.Resolved{}, enforce.BadParameter("bad_filter", "event", "want intent or outcome")
		}
		l.bound["event"] = event
	}
	since, until, err := l.period(req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", l.tenant, true)},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			tenants, narrowed, err := visible(d)
			if err != nil {
				return enforce.Reply{}, err
			}
			if narrowed && len(tenants) == 0 {
				return enforce.Reply{Status: http.StatusOK, Body: page[AuditLine]{Items: []AuditLine{}}}, nil
			}
			if narrowed {
				l.query.Equal["tenant"] = tenants
			}
			return scan(ctx, r, l, tenants, viewAudit, func(e *storage.AuditEntry) (bool, error) {
				return (event == "" || e.Event == event) && !e.Time.Before(since) && (until.IsZero() || e.Time.Before(until)), nil
			})
		},
	}, nil
}

// period reads since and until, and narrows the query to the days between them where those are few.
func (l *listing) period(req *enforce.Request) (since, until time.Time, err error) {
	for name, into := range map[string]*time.Time{"since": &since, "until": &until} {
		text, given := req.Query[name]
		if !given {
			continue
		}
		if *into, err = time.Parse(time.RFC3339, text); err != nil {
			return since, until, enforce.BadParameter("bad_filter", name, "want a time such as 2026-06-01T12:00:00Z")
		}
		l.bound[name] = text
	}
	last := until
	if last.IsZero() || last.After(req.Now) {
		last = req.Now.Add(24 * time.Hour) // another node's clock may be ahead
	}
	if since.IsZero() || last.Sub(since) > indexedDays*24*time.Hour {
		return since, until, nil
	}
	first := since.UTC().Truncate(24 * time.Hour)
	days := []string{storage.AuditDay(first)}
	for day := first.AddDate(0, 0, 1); !day.After(last); day = day.AddDate(0, 0, 1) {
		days = append(days, storage.AuditDay(day))
	}
	l.query.Equal["day"] = days
	return since, until, nil
}
