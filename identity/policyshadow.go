package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// shadowFields say what share of the questions a shadow is asked.
type shadowFields struct {
	Share enforce.Field[float64] `json:"share"`
}

// shadowView is what the shadow of one node saw.
type shadowView struct {
	Node string `json:"node"`
	policies.ShadowReport
}

// shadowStarted is the reply of a start: every node begins, each with counts of its own.
type shadowStarted struct {
	Revision string  `json:"revision"`
	Share    float64 `json:"share"`
}

// postShadow asks a revision, on every node, a share of what is asked, beside what serves. No answer comes from it.
func (r *Room) postShadow(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in shadowFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if !in.Share.Set || in.Share.Null || !(in.Share.Value > 0 && in.Share.Value <= 1) {
		return enforce.Resolved{}, enforce.BadRequest("bad_share", "/share", "the share is a number above 0 and at most 1")
	}
	w, known, err := r.beginShadow(ctx, req, "shadow")
	if err != nil {
		return enforce.Resolved{}, err
	}
	if known == nil {
		return r.change(req, w), nil
	}
	wanted := shadowed{Revision: known.ID, Share: in.Share.Value}
	w.prepare = func(ctx context.Context) error {
		set, err := r.managed()
		if err != nil {
			return err
		}
		bundle, err := readBundle(ctx, r.store, known.ID)
		if err != nil {
			return refusedSet(err, http.StatusConflict, "")
		}
		documents, err := documentsNow(ctx, r.store)
		if err != nil {
			return err
		}
		if _, err := set.StageShadow(ctx, policies.Managed{Bundle: bundle, Documents: documents}); err != nil {
			return refusedSet(err, http.StatusConflict, "")
		}
		return nil
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error { return saveShadow(ctx, tx, wanted) }
	w.after = r.putIntoUse
	w.reply = func() enforce.Reply {
		return enforce.Reply{Status: http.StatusOK, Body: shadowStarted{Revision: wanted.Revision, Share: wanted.Share}}
	}
	return r.change(req, w), nil
}

func saveShadow(ctx context.Context, tx storage.Tx, wanted shadowed) error {
	_, setting, err := shadowNow(ctx, tx)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(wanted)
	if err != nil {
		return fmt.Errorf("write the shadow down: %w", err)
	}
	first := setting == nil
	if first {
		setting = &storage.Setting{Meta: storage.Meta{ID: shadowSetting}}
	}
	setting.Value = raw
	return saveRecord(ctx, tx, setting, first, nil)
}

// deleteShadow ends the shadow.
func (r *Room) deleteShadow(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	w, known, err := r.beginShadow(ctx, req, "end_shadow")
	if err != nil {
		return enforce.Resolved{}, err
	}
	if known == nil {
		return r.change(req, w), nil
	}
	beside, _, err := shadowNow(ctx, r.store)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if beside.Revision != known.ID {
		w.late = notFound()
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error { return saveShadow(ctx, tx, shadowed{}) }
	w.after = r.putIntoUse
	w.reply = noContent
	return r.change(req, w), nil
}

// beginShadow is the beginning of a change of the shadow. The record is nil where there is no such revision.
func (r *Room) beginShadow(ctx context.Context, req *enforce.Request, action string) (*write, *storage.PolicyRevision, error) {
	id := req.Params["revision"]
	w, err := r.beginPolicies(ctx, req, action)
	if err != nil {
		return nil, nil, err
	}
	known, err := r.policyRevision(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	w.target = "policies/" + id
	w.question.Resource = resource(standing{r.directory}, id, "", known != nil)
	if known != nil {
		w.version, w.meta = known.Version, known.Meta
	}
	return w, known, nil
}

// getShadow tells what the shadow of this node saw.
func (r *Room) getShadow(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["revision"]
	known, err := r.policyRevision(ctx, id)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, id, "", known != nil)},
		Respond: func(context.Context, policies.Decision) (enforce.Reply, error) {
			set, err := r.managed()
			if err != nil {
				return enforce.Reply{}, err
			}
			report, ok := set.ShadowReport()
			if !ok || report.Revision != id {
				return enforce.Reply{}, notFound()
			}
			return enforce.Reply{Status: http.StatusOK, Body: shadowView{Node: r.config.Node, ShadowReport: report}}, nil
		},
	}, nil
}
