package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// ownPolicies stands in the place of a revision for the policies that each node was started with.
const ownPolicies = "own"

// activateFields are why a revision is to serve, and that its impact is known.
type activateFields struct {
	Reason      enforce.Field[string] `json:"reason"`
	Acknowledge enforce.Field[bool]   `json:"acknowledge_newly_allowed"`
}

// activationView is one line of the log of activations.
type activationView struct {
	Number int64 `json:"number"`
	// Revision serves since then; "own" is what each node was started with. Replaced is what served before.
	Revision     string           `json:"revision"`
	Replaced     string           `json:"replaced"`
	Time         time.Time        `json:"time"`
	Actor        string           `json:"actor"`
	Reason       string           `json:"reason"`
	Rollback     bool             `json:"rollback"`
	Acknowledged bool             `json:"acknowledged"`
	Impact       *policies.Impact `json:"impact,omitempty"`
	DecisionID   string           `json:"decision_id"`
}

func revisionName(revision string) string {
	if revision == "" {
		return ownPolicies
	}
	return revision
}

func viewActivation(a *storage.PolicyActivation) activationView {
	shown := activationView{
		Number: a.Number, Revision: revisionName(a.Revision), Replaced: revisionName(a.Replaced), Time: a.Time, Actor: a.Actor, Reason: a.Reason,
		Rollback: a.Rollback, Acknowledged: a.Acknowledged, DecisionID: a.DecisionID,
	}
	if len(a.Impact) > 0 {
		impact := new(policies.Impact)
		if json.Unmarshal(a.Impact, impact) == nil { // we wrote it
			shown.Impact = impact
		}
	}
	return shown
}

// postActivate makes a revision serve everywhere, if it passes the whole gate.
func (r *Room) postActivate(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["revision"]
	if id == ownPolicies {
		id = ""
	}
	return r.activate(ctx, req, "activate", func(now active) (*storage.PolicyActivation, error) {
		return &storage.PolicyActivation{Revision: id, Back: now.number}, nil
	})
}

// postRollback goes back to what served before the last activation that was not taken back.
func (r *Room) postRollback(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	return r.activate(ctx, req, "rollback", func(now active) (*storage.PolicyActivation, error) {
		if now.number == 0 {
			return nil, nil
		}
		last, err := r.activation(ctx, now.number)
		if err != nil {
			return nil, err
		}
		before := &storage.PolicyActivation{}
		if last.Back > 0 {
			if before, err = r.activation(ctx, last.Back); err != nil {
				return nil, err
			}
		} else if last.Rollback && last.Revision == "" {
			return nil, nil // the beginning is reached
		}
		return &storage.PolicyActivation{Revision: before.Revision, Back: before.Back, Rollback: true}, nil
	})
}

func (r *Room) activation(ctx context.Context, number int64) (*storage.PolicyActivation, error) {
	a, err := storage.Get[storage.PolicyActivation](ctx, r.store, storage.PolicyActivationID(number))
	if err != nil {
		return nil, fmt.Errorf("read policy activation %d: %w", number, err)
	}
	return a, nil
}

// activate makes the revision serve that choose names, nil for none. Of several activations at once, one wins: the others were decided
// on for what no longer serves.
func (r *Room) activate(
	ctx context.Context, req *enforce.Request, action string, choose func(active) (*storage.PolicyActivation, error),
) (enforce.Resolved, error) {
	var in activateFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if strings.TrimSpace(in.Reason.Value) == "" {
		return enforce.Resolved{}, enforce.BadRequest("required", "/reason", "say why; it stands in the log of activations")
	}
	if err := checkText(in.Reason.Value, "/reason", maxName); err != nil {
		return enforce.Resolved{}, err
	}
	w, err := r.beginPolicies(ctx, req, action)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.reason = in.Reason.Value
	now, err := activeNow(ctx, r.store)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if first, ok := req.Kept.(active); !ok {
		req.Kept = now
	} else if first.number != now.number {
		return enforce.Resolved{}, conflictError("activation_lost", "", "another activation came first; look at what serves now")
	}
	next, err := choose(now)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if next == nil {
		w.creates, w.target = true, "policies"
		w.question.Resource = resource(standing{r.directory}, "", "", true)
		w.late = conflictError("nothing_to_roll_back", "", "nothing served before what serves now")
		return r.change(req, w), nil
	}
	if err := r.askActivation(ctx, w, now, next.Revision); err != nil {
		return enforce.Resolved{}, err
	}
	next.ID = storage.PolicyActivationID(now.number + 1)
	next.Number, next.Replaced, next.Time = now.number+1, now.revision, storage.Time(req.Now)
	next.Actor, next.Reason = req.Caller.Type+":"+req.Caller.ID, in.Reason.Value
	next.DecisionID = req.DecisionID
	w.prepare = func(ctx context.Context) error { return r.admit(ctx, next, in.Acknowledge.Value) }
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		setting := &storage.Setting{Meta: storage.Meta{ID: activeSetting}}
		if now.setting != nil {
			*setting = *now.setting
		}
		setting.Value, setting.Epoch = []byte(next.Revision), next.Number
		if err := tx.Insert(ctx, next); err != nil {
			return err
		}
		return saveRecord(ctx, tx, setting, now.setting == nil, nil)
	}
	w.after = r.putIntoUse
	w.reply = func() enforce.Reply { return enforce.Reply{Status: http.StatusOK, Body: viewActivation(next)} }
	return r.change(req, w), nil
}

// putIntoUse makes this node serve what was just committed. One that does not is not reported as done.
func (r *Room) putIntoUse(ctx context.Context) error {
	if err := r.sets.load(ctx); err != nil {
		return fmt.Errorf("put the policies into use: %w", errors.Join(err, storage.ErrUnavailable))
	}
	return nil
}

// askActivation fills the question: about the revision, and what of the core's own it changes.
func (r *Room) askActivation(ctx context.Context, w *write, now active, revision string) error {
	before, _, err := r.partsOf(ctx, now.revision)
	if err != nil {
		return err
	}
	w.target = "policies/" + revisionName(revision)
	after, found, err := r.partsOf(ctx, revision)
	if err != nil {
		return err
	}
	if revision == "" {
		w.creates = true
		w.question.Resource = resource(standing{r.directory}, ownPolicies, "", true)
	} else {
		w.question.Resource = resource(standing{r.directory}, revision, "", found != nil)
	}
	if found != nil {
		w.version, w.meta = found.Version, found.Meta
	}
	var d difference
	d.add("core", before.Core != after.Core)
	d.add("settings", before.Settings != after.Settings)
	w.question.Resource.Changes = d.names
	if revision == now.revision {
		w.late = conflictError("already_active", "", "the revision serves already")
	}
	return nil
}

// partsOf says what a revision has in place of the core and of its settings. The record is nil for none, and for own policies.
func (r *Room) partsOf(ctx context.Context, revision string) (policies.Parts, *storage.PolicyRevision, error) {
	if revision == "" {
		if r.sets.set == nil {
			return policies.Parts{}, nil, nil
		}
		own, err := r.sets.set.OwnParts()
		return own, nil, err
	}
	found, err := r.policyRevision(ctx, revision)
	if err != nil || found == nil {
		return policies.Parts{}, nil, err
	}
	return policies.Parts{Core: found.Core, Settings: found.Settings}, found, nil
}

// admit takes what is to be activated through the gate, and holds its impact against what is acknowledged.
func (r *Room) admit(ctx context.Context, next *storage.PolicyActivation, acknowledged bool) error {
	if r.sets.set == nil && next.Revision == "" {
		return nil // they serve here already: this is how one gets out of policies that no node can serve
	}
	set, err := r.managed()
	if err != nil {
		return err
	}
	var bundle *policies.Bundle
	if next.Revision != "" {
		if bundle, err = readBundle(ctx, r.store, next.Revision); err != nil {
			return refusedSet(err, http.StatusConflict, "")
		}
	}
	documents, err := documentsNow(ctx, r.store)
	if err != nil {
		return err
	}
	candidate, err := set.Stage(ctx, policies.Managed{Bundle: bundle, Documents: documents})
	if err != nil {
		return refusedSet(err, http.StatusConflict, "")
	}
	if r.config.Replay == nil {
		return nil
	}
	impact, err := r.config.Replay(ctx, candidate)
	if err != nil {
		return fmt.Errorf("replay recent decisions: %w", err)
	}
	if next.Impact, err = json.Marshal(impact); err != nil {
		return fmt.Errorf("write down the impact: %w", err)
	}
	switch {
	case impact.Errors > 0:
		return &itemsError{problem: Problem{
			Status: http.StatusConflict, Code: "impact_refused", Impact: &impact,
			Detail: fmt.Sprintf("the candidate has no answer to %d recent decisions", impact.Errors),
		}}
	case impact.NewlyAllowed > r.config.NewlyAllowed && !acknowledged:
		return &itemsError{problem: Problem{
			Status: http.StatusConflict, Code: "impact_refused", Pointer: "/acknowledge_newly_allowed", Impact: &impact,
			Detail: fmt.Sprintf("the candidate allows %d recent decisions that were denied; %d may be so without being acknowledged",
				impact.NewlyAllowed, r.config.NewlyAllowed),
		}}
	}
	next.Acknowledged = acknowledged && impact.NewlyAllowed > r.config.NewlyAllowed
	return nil
}

// listActivations shows what served when, by whom and why, the newest first.
func (r *Room) listActivations(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	limit, err := limitOf(req.Query)
	if err != nil {
		return enforce.Resolved{}, err
	}
	before := int64(0)
	if after, given := req.Query["after"]; given {
		if before, err = strconv.ParseInt(after, 10, 64); err != nil || before < 1 {
			return enforce.Resolved{}, enforce.BadParameter("unknown_cursor", "after", "the cursor is not one of this list")
		}
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", "", true)},
		Respond: func(ctx context.Context, _ policies.Decision) (enforce.Reply, error) {
			now, err := activeNow(ctx, r.store)
			if err != nil {
				return enforce.Reply{}, err
			}
			last := now.number
			if before > 0 {
				last = min(last, before-1)
			}
			shown := page[activationView]{Items: []activationView{}}
			if last < 1 {
				return enforce.Reply{Status: http.StatusOK, Body: shown}, nil
			}
			first := max(last-int64(limit)+1, 1) // they are dense
			found, err := storage.List[storage.PolicyActivation](ctx, r.store, storage.Query{
				After: storage.PolicyActivationID(first - 1), Limit: int(last - first + 1),
			})
			if err != nil {
				return enforce.Reply{}, fmt.Errorf("list policy activations: %w", err)
			}
			for _, a := range slices.Backward(found) {
				shown.Items = append(shown.Items, viewActivation(a))
			}
			if first > 1 {
				shown.Next = strconv.FormatInt(first, 10)
			}
			return enforce.Reply{Status: http.StatusOK, Body: shown}, nil
		},
	}, nil
}
