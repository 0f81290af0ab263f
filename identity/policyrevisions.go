package identity

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const (
	policiesPath = "/v1/policies/"
	// maxPush is the largest body of a push: a bundle of the largest size, as JSON writes it.
	maxPush = policies.MaxBundleBytes * 3 / 2
	// maxRevisions is how many revisions are kept. More are refused until some are deleted.
	maxRevisions = 100
)

// policiesView is the loaded set, and what could be activated in its place.
type policiesView struct {
	policies.Description
	// Active is the managed revision that is to serve everywhere; empty where each node serves its own policies.
	Active string `json:"active"`
	// Items are the revisions that were pushed, the newest first.
	Items []revisionView `json:"items"`
}

// revisionView is a revision as lists show it.
type revisionView struct {
	Revision string   `json:"revision"`
	Active   bool     `json:"active"`
	Author   string   `json:"author"`
	Note     string   `json:"note,omitempty"`
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"`
	Apps     []string `json:"apps"`
	// Core and Settings say that it replaces the core's rules, or has settings.
	Core      bool      `json:"core"`
	Settings  bool      `json:"settings"`
	SignedBy  string    `json:"signed_by,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

// revisionDetail is one revision with its files.
type revisionDetail struct {
	revisionView
	Content []fileView `json:"content"`
}

// fileView is one file of a revision. The text is there for what is text.
type fileView struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

func viewRevision(p *storage.PolicyRevision, now active) revisionView {
	return revisionView{
		Revision: p.ID, Active: p.ID == now.revision, Author: p.Author, Note: p.Note, Files: p.Files, Bytes: p.Bytes, Apps: p.Apps,
		Core: p.Core != "", Settings: p.Settings != "", SignedBy: p.SignedBy, CreatedAt: p.CreatedAt,
	}
}

// getPolicies shows the loaded policy set and the revisions that were pushed.
func (r *Room) getPolicies(context.Context, *enforce.Request) (enforce.Resolved, error) {
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", "", true)},
		Respond: func(ctx context.Context, _ policies.Decision) (enforce.Reply, error) {
			now, err := activeNow(ctx, r.store)
			if err != nil {
				return enforce.Reply{}, err
			}
			revisions, err := storage.List[storage.PolicyRevision](ctx, r.store, storage.Query{Limit: maxRevisions})
			if err != nil {
				return enforce.Reply{}, fmt.Errorf("list policy revisions: %w", err)
			}
			slices.SortStableFunc(revisions, func(a, b *storage.PolicyRevision) int { return b.CreatedAt.Compare(a.CreatedAt) })
			shown := policiesView{Description: r.config.PDP.Describe(), Active: now.revision, Items: []revisionView{}}
			for _, p := range revisions {
				shown.Items = append(shown.Items, viewRevision(p, now))
			}
			return enforce.Reply{Status: http.StatusOK, Body: shown}, nil
		},
	}, nil
}

// getRevision shows one revision with the text of its files.
func (r *Room) getRevision(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["revision"]
	p, err := r.policyRevision(ctx, id)
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	if p == nil {
		return r.readMissing(req, v, id)
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(v, id, "", true)},
		Respond: func(ctx context.Context, _ policies.Decision) (enforce.Reply, error) {
			now, err := activeNow(ctx, r.store)
			if err != nil {
				return enforce.Reply{}, err
			}
			bundle, err := readBundle(ctx, r.store, id)
			if err != nil {
				return enforce.Reply{}, err
			}
			shown := revisionDetail{revisionView: viewRevision(p, now), Content: []fileView{}}
			for _, f := range bundle.Files() {
				shown.Content = append(shown.Content, fileView{Path: f.Path, Text: string(f.Body)})
			}
			return enforce.Reply{Status: http.StatusOK, Body: shown}, nil
		},
	}, nil
}

// policyRevision returns a record, or nil if there is none.
func (r *Room) policyRevision(ctx context.Context, id string) (*storage.PolicyRevision, error) {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 32 || hex.EncodeToString(raw) != id {
		return nil, enforce.BadRequest("malformed_id", "", "a revision is 64 hexadecimal digits, in small letters")
	}
	p, err := storage.Get[storage.PolicyRevision](ctx, r.store, id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read policy revision %s: %w", id, err)
	}
	return p, nil
}

// pushFields are a bundle, either as its files or as an archive that OPA's tools make, in base64.
type pushFields struct {
	Files     enforce.Field[map[string]string] `json:"files"`
	Signature enforce.Field[string]            `json:"signature"`
	Bundle    enforce.Field[string]            `json:"bundle"`
	Note      enforce.Field[string]            `json:"note"`
}

func (f *pushFields) bundle() (*policies.Bundle, error) {
	if f.Files.Set == f.Bundle.Set || f.Files.Null || f.Bundle.Null {
		return nil, enforce.BadRequest("bad_bundle", "", "send either files or bundle")
	}
	if !f.Bundle.Set {
		files := make([]policies.BundleFile, 0, len(f.Files.Value))
		for path, text := range f.Files.Value {
			files = append(files, policies.BundleFile{Path: path, Body: []byte(text)})
		}
		bundle, err := policies.NewBundle(files, f.Signature.Value)
		if err != nil {
			return nil, refusedSet(err, http.StatusBadRequest, f.pointer(err))
		}
		return bundle, nil
	}
	if f.Signature.Set {
		return nil, enforce.BadRequest("bad_bundle", "/signature", "an archive has its signature in .signatures.json")
	}
	archive, err := base64.StdEncoding.DecodeString(f.Bundle.Value)
	if err != nil {
		return nil, enforce.BadRequest("bad_bundle", "/bundle", "the archive is not in base64")
	}
	bundle, err := policies.ReadArchive(archive)
	if err != nil {
		return nil, refusedSet(err, http.StatusBadRequest, "/bundle")
	}
	return bundle, nil
}

// pointer is the place of the file that an error is about, if it is one of those that were sent.
func (f *pushFields) pointer(err error) string {
	for _, p := range policies.Problems(err) {
		if _, sent := f.Files.Value[p.File]; sent {
			return "/files/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p.File)
		}
	}
	return "/files"
}

// postPolicies keeps a bundle under the hash of its files. Nothing serves by it.
func (r *Room) postPolicies(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in pushFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := checkText(in.Note.Value, "/note", maxName); err != nil {
		return enforce.Resolved{}, err
	}
	bundle, err := in.bundle()
	if err != nil {
		return enforce.Resolved{}, err
	}
	w, err := r.beginPolicies(ctx, req, "push")
	if err != nil {
		return enforce.Resolved{}, err
	}
	id := bundle.Revision()
	known, err := r.policyRevision(ctx, id)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.creates, w.unnamed, w.target = true, true, "policies/"+id
	w.question.Resource = resource(standing{r.directory}, "", "", true)
	parts, now := bundle.Parts(), active{}
	next := &storage.PolicyRevision{
		Author: req.Caller.Type + ":" + req.Caller.ID, Note: in.Note.Value, Files: len(bundle.Files()), Bytes: int64(bundle.Size()),
		Apps: bundle.Apps(), Core: parts.Core, Settings: parts.Settings,
	}
	next.ID = id
	content := &storage.PolicyContent{Signature: bundle.Signature()}
	content.ID = id
	for _, f := range bundle.Files() {
		content.Files = append(content.Files, storage.PolicyFile{Path: f.Path, Body: f.Body})
	}
	w.prepare = func(ctx context.Context) error {
		set, err := r.managed()
		if err != nil {
			return err
		}
		if now, err = activeNow(ctx, r.store); err != nil {
			return err
		}
		if next.SignedBy, err = set.Check(ctx, bundle); err != nil {
			return refusedSet(err, http.StatusBadRequest, "")
		}
		return r.roomForRevision(ctx, known)
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		if known == nil {
			if err := tx.Insert(ctx, content); err != nil {
				return err
			}
			return tx.Insert(ctx, next)
		}
		return resign(ctx, tx, known, next, content)
	}
	w.reply = func() enforce.Reply {
		if known != nil {
			return enforce.Reply{Status: http.StatusOK, Body: viewRevision(known, now)}
		}
		return enforce.Reply{
			Status: http.StatusCreated, Header: http.Header{"Location": {policiesPath + id}}, Body: viewRevision(next, now),
		}
	}
	return r.change(req, w), nil
}

// resign keeps the signature of a revision that is there already and is pushed again with a better one; the rest of it stays.
func resign(ctx context.Context, tx storage.Tx, known, next *storage.PolicyRevision, content *storage.PolicyContent) error {
	if next.SignedBy == "" || content.Signature == "" {
		return nil
	}
	old, err := storage.Get[storage.PolicyContent](ctx, tx, known.ID)
	if err != nil {
		return err
	}
	old.Signature, known.SignedBy = content.Signature, next.SignedBy
	if err := tx.Update(ctx, old); err != nil {
		return err
	}
	return tx.Update(ctx, known)
}

func (r *Room) roomForRevision(ctx context.Context, known *storage.PolicyRevision) error {
	if known != nil {
		return nil
	}
	kept, err := storage.List[storage.PolicyRevision](ctx, r.store, storage.Query{Limit: maxRevisions})
	if err != nil {
		return fmt.Errorf("count policy revisions: %w", err)
	}
	if len(kept) == maxRevisions {
		return conflictError("too_many_revisions", "", fmt.Sprintf("%d revisions are kept; delete some that are not needed", maxRevisions))
	}
	return nil
}

// deleteRevision forgets a revision that neither serves nor is in the shadow.
func (r *Room) deleteRevision(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["revision"]
	w, err := r.beginPolicies(ctx, req, "delete")
	if err != nil {
		return enforce.Resolved{}, err
	}
	known, err := r.policyRevision(ctx, id)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.deletes, w.target = true, "policies/"+id
	w.question.Resource = resource(standing{r.directory}, id, "", known != nil)
	if known == nil {
		return r.change(req, w), nil
	}
	w.version, w.meta = known.Version, known.Meta
	w.question.Resource.Changes = []string{"delete"}
	now, err := activeNow(ctx, r.store)
	if err != nil {
		return enforce.Resolved{}, err
	}
	beside, _, err := shadowNow(ctx, r.store)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if now.revision == id || beside.Revision == id {
		w.late = conflictError("revision_in_use", "", "the revision serves or is in the shadow")
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		content, err := storage.Get[storage.PolicyContent](ctx, tx, id)
		if err != nil {
			return err
		}
		if err := tx.Delete(ctx, storage.PolicyContentKind, id, content.Version); err != nil {
			return err
		}
		return tx.Delete(ctx, storage.PolicyRevisionKind, id, known.Version)
	}
	w.reply = noContent
	return r.change(req, w), nil
}

func (r *Room) beginPolicies(ctx context.Context, req *enforce.Request, action string) (*write, error) {
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return nil, err
	}
	return &write{sequence: sequence, action: "policies:" + action}, nil
}
