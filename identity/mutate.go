package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const followTimeout = 5 * time.Second

// write is one change of authority on its way: resolved at a sequence, decided on, and committed only at that sequence.
type write struct {
	sequence int64
	question policies.Question
	detail   changeDetail
	// version is that of the object now, 0 where it does not exist. creates says that it is then made.
	version int64
	meta    storage.Meta
	creates bool
	deletes bool
	// unnamed says that the caller did not choose the id: the question is about the collection then.
	unnamed bool
	// many says that the change is of several objects, which have no version together.
	many bool
	// condition and late are told only to a caller who was permitted: they speak of the object's state.
	condition precondition
	late      error
	action    string
	target    string
	// reason is what the caller says why.
	reason string
	// parts are there where the objects are of several tenants: what the auditors of each see beside the entry of all.
	parts []auditPart
	// prepare, if not nil, makes what is slow to make, such as hashes, and holds what is told late against its rules: nobody may cause the
	// one or hear the other who is not permitted.
	prepare func(ctx context.Context) error
	apply   func(ctx context.Context, tx storage.Tx) error
	// after runs once the change is committed and mirrored.
	after func(ctx context.Context) error
	reply func() enforce.Reply
	// denied, if not nil, puts another error in the place of a denial.
	denied func(d policies.Decision) error
}

// auditPart is what of a change is in one tenant.
type auditPart struct {
	tenant storage.TenantID
	target string
}

// changeDetail is what single rules need to know of a change besides its facts: input.resource.detail.
type changeDetail struct {
	// Tombstone says that the id was deleted and is brought back. Serves are the audiences that an application serves after it.
	Tombstone bool            `json:"tombstone"`
	Serves    map[string]bool `json:"serves"`
	// References are the tenants of the roles and groups that the change adds.
	References map[string]bool `json:"references"`
	// Disabled are the disabled tenants in which the application has grants of its own, before the change or after it.
	Disabled map[string]bool `json:"disabled,omitempty"`
	// NamedTenant is the tenant that the request names for the object, whether or not it exists.
	NamedTenant string `json:"named_tenant"`
	// Conditional says that the request names the version that it changes, or has none to name.
	Conditional bool `json:"conditional"`
	// Anywhere says that the identity may come from any address after it, Public that an application then proves itself with nothing.
	Anywhere bool `json:"anywhere"`
	Public   bool `json:"public"`
	// Secrets is there for a change of an application's secrets alone.
	Secrets *secretsDetail `json:"secrets,omitempty"`
	// Holders is there where a role or a group is taken by force from those who hold it.
	Holders *holdersDetail `json:"holders,omitempty"`
	// Together are the sources of rights that the same request changes, this one's own among them, where it changes several objects.
	Together map[string]bool `json:"together,omitempty"`
	// Named is there where the body names the objects.
	Named *namedDetail `json:"named,omitempty"`
}

// holdersDetail says what is true of one holder at least.
type holdersDetail struct {
	Protected bool `json:"protected"`
	Disabled  bool `json:"disabled"` // its tenant is
}

// namedDetail are the tenants of the objects that a body names, and whether one of them is not there.
type namedDetail struct {
	Tenants map[string]bool `json:"tenants"`
	Missing bool            `json:"missing"`
}

// secretsDetail is what a change of secrets leaves. Needed says that the application proves itself with one, Forced that the request
// wants the change whatever it leaves.
type secretsDetail struct {
	Needed       bool `json:"needed"`
	UsableBefore int  `json:"usable_before"`
	UsableAfter  int  `json:"usable_after"`
	Forced       bool `json:"forced"`
}

func (d changeDetail) json() json.RawMessage {
	if d.References == nil {
		d.References = map[string]bool{}
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return nil // unreachable: only booleans and numbers
	}
	return raw
}

// refer notes the tenants of the roles and groups that are there after a change and were not before.
func (d *changeDetail) refer(v view, rolesBefore, rolesAfter []storage.RoleKey, groupsBefore, groupsAfter []storage.GroupID) {
	if d.References == nil {
		d.References = map[string]bool{}
	}
	for _, key := range rolesAfter {
		if role := v.role(key); role != nil && !slices.Contains(rolesBefore, key) {
			d.References[string(role.Tenant)] = true
		}
	}
	for _, id := range groupsAfter {
		if group := v.group(id); group != nil && !slices.Contains(groupsBefore, id) {
			d.References[string(group.Tenant)] = true
		}
	}
}

// disable notes which of the tenants of grants are disabled.
func (d *changeDetail) disable(v view, grants []storage.Grant) {
	for _, g := range grants {
		if t := v.tenant(g.Tenant); t != nil && !t.Enabled {
			if d.Disabled == nil {
				d.Disabled = map[string]bool{}
			}
			d.Disabled[string(g.Tenant)] = true
		}
	}
}

// begin makes the mirror current and returns the sequence that the request is decided at. The caller's facts are those of it.
func (r *Room) begin(ctx context.Context, req *enforce.Request) (int64, error) {
	feed := r.follower()
	if err := feed.CatchUp(ctx); err != nil {
		return 0, fmt.Errorf("read the authority sequence: %w", err)
	}
	sequence := feed.Sequence()
	if !req.Caller.Facts.Identity().Exists {
		return sequence, nil // a name that another issuer gave; it must not become somebody's by being looked up again
	}
	s, err := r.Subject(ctx, req.Caller.Type, req.Caller.ID)
	if err != nil {
		return 0, err
	}
	caller := *req.Caller
	caller.Facts, caller.AddressFact = s.Facts, r.AddressFact(s, caller.Address)
	req.Caller = &caller
	return sequence, nil
}

// change turns a write into what enforce runs.
func (r *Room) change(req *enforce.Request, w *write) enforce.Resolved {
	if w.unnamed {
		w.question.Resource.ID = ""
	}
	w.detail.Conditional = w.condition.match.given && !w.condition.match.any || // "*" names no version
		w.version == 0 || !w.condition.possible
	w.question.Resource.AfterDetail = w.detail.json()
	return enforce.Resolved{
		Question: w.question,
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			if w.version == 0 && !w.creates && !w.many {
				return enforce.Reply{}, notFound()
			}
			if err := w.condition.check(w.meta); err != nil {
				return enforce.Reply{}, err
			}
			if w.late != nil {
				return enforce.Reply{}, w.late
			}
			if w.prepare != nil {
				if err := w.prepare(ctx); err != nil {
					return enforce.Reply{}, err
				}
			}
			if err := r.commit(ctx, entryOf(req, d, w), w); err != nil {
				return enforce.Reply{}, err
			}
			if w.after != nil {
				if err := w.after(ctx); err != nil {
					return enforce.Reply{}, err
				}
			}
			return w.reply(), nil
		},
		Denied: func(ctx context.Context, d policies.Decision) error {
			if err := r.refuse(ctx, entryOf(req, d, w), d); err != nil {
				return err
			}
			if w.denied != nil {
				return w.denied(d)
			}
			return nil
		},
	}
}

// entryOf is the audit entry of a decided request.
func entryOf(req *enforce.Request, d policies.Decision, w *write) storage.AuditEntry {
	e := storage.AuditEntry{
		Actor: req.Caller.Type + ":" + req.Caller.ID, Action: w.action, Target: w.target, DecisionID: d.ID,
		PolicyRevision: d.PolicyRevision, RequestID: req.ID, FromVersion: w.version, ToVersion: w.version + 1,
		Tenant: storage.TenantID(w.question.Resource.Tenant), Reason: w.reason,
	}
	if w.deletes {
		e.ToVersion = 0
	}
	return e
}

// refuse writes a refusal down, or counts it where the caller is refused too often. One that cannot be written is an outage.
func (r *Room) refuse(ctx context.Context, e storage.AuditEntry, d policies.Decision) error {
	e.Event, e.Outcome, e.ToVersion = eventOutcome, outcomeRefused, e.FromVersion
	if len(d.Reasons) > 0 {
		e.Reason = d.Reasons[0].Code
	}
	return r.audit.refused(ctx, e)
}

// commit is the one path by which authority changes. The order is the property: intent, then the change with its outcome at the
// sequence that was decided on, then the mirror. It returns enforce.ErrRetry if the sequence moved; nothing was changed then.
func (r *Room) commit(ctx context.Context, entry storage.AuditEntry, w *write) error {
	done, err := r.Intent(ctx, entry)
	if err != nil {
		return err
	}
	told, err := r.partIntents(ctx, entry, w.parts)
	if err != nil {
		return err
	}
	err = r.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, w.sequence); err != nil {
			return err
		}
		if err := w.apply(ctx, tx); err != nil {
			return err
		}
		return r.audit.appendAuthority(ctx, tx, w.sequence+1, entry)
	})
	switch {
	case errors.Is(err, storage.ErrStale):
		return fmt.Errorf("%w: %w", enforce.ErrRetry, err)
	case err != nil:
		reason := "error"
		switch {
		case errors.Is(err, storage.ErrConflict):
			reason = "conflict"
		case errors.Is(err, storage.ErrUnavailable): // it may have been committed: the authority chain has the entry then
			reason = "unknown"
		}
		if auditErr := errors.Join(done(ctx, outcomeFailed, reason), told(ctx, outcomeFailed, reason)); auditErr != nil {
			r.config.Logger.WarnContext(ctx, "a failed change was not audited", "error", auditErr)
		}
		return fmt.Errorf("%s %s: %w", w.action, w.target, err)
	}
	r.audit.committed(w.sequence + 1)
	if err := told(ctx, outcomeOK, ""); err != nil { // the authority chain has the outcome of all
		r.config.Logger.WarnContext(ctx, "a change was not audited in each of its tenants", "error", err)
	}
	return r.follow(ctx)
}

// partIntents writes an intent for each part, in the node's chain, and returns how to write the outcomes.
func (r *Room) partIntents(
	ctx context.Context, entry storage.AuditEntry, parts []auditPart,
) (told func(ctx context.Context, outcome, reason string) error, err error) {
	dones := make([]func(context.Context, string, string) error, len(parts))
	for n, part := range parts {
		e := entry
		e.Tenant, e.Target = part.tenant, part.target
		if dones[n], err = r.Intent(ctx, e); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, outcome, reason string) error {
		var failed error
		for _, done := range dones {
			failed = errors.Join(failed, done(ctx, outcome, reason))
		}
		return failed
	}, nil
}

// partsOf splits a change by tenants, in their order. Where all is in one there are none: the entry of all says it.
func partsOf(targets map[storage.TenantID][]string) (parts []auditPart) {
	if len(targets) < 2 {
		return nil
	}
	for _, tenant := range slices.Sorted(maps.Keys(targets)) {
		parts = append(parts, auditPart{tenant, strings.Join(targets[tenant], ",")})
	}
	return parts
}

// follow brings the committed change into this node's mirror, also when the caller has gone. A change that this node does not see
// is not reported as done.
func (r *Room) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), followTimeout)
	defer cancel()
	if err := r.follower().CatchUp(ctx); err != nil {
		return fmt.Errorf("follow the change: %w", errors.Join(err, storage.ErrUnavailable))
	}
	return nil
}

// endSessions ends what lives under tokens that an epoch has killed already: what is left over if it fails is only untidy.
func (r *Room) endSessions(ctx context.Context, subject, except string) {
	if _, err := r.ender().EndSessions(context.WithoutCancel(ctx), subject, except, storage.EndIdentity); err != nil {
		r.config.Logger.WarnContext(ctx, "the sessions of a subject were not ended; its tokens are dead by their epoch",
			"subject", subject, "error", err)
	}
}

// resource is the object of a question, as the view has it.
func resource(v view, id string, tenant storage.TenantID, exists bool) policies.Resource {
	enabled := true
	if t := v.tenant(tenant); tenant != "" && t != nil {
		enabled = t.Enabled
	}
	return policies.Resource{
		ID: id, Tenant: string(tenant), TenantEnabled: enabled, Exists: exists, OtherOwners: -1, OwnersBefore: -1, Proof: "none",
	}
}

// created answers a POST or a PUT that made an object.
func created(path string, m storage.Meta, body any) enforce.Reply {
	return enforce.Reply{
		Status: http.StatusCreated, Header: http.Header{"Location": {path}, "Etag": {etag(m)}}, Body: body,
	}
}

// saved answers a change of an object that was there.
func saved(m storage.Meta, body any) enforce.Reply {
	return enforce.Reply{Status: http.StatusOK, Header: http.Header{"Etag": {etag(m)}}, Body: body}
}

func noContent() enforce.Reply { return enforce.Reply{Status: http.StatusNoContent} }
