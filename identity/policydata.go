package identity

import (
	"bytes"
	"context"
	"encoding/json"
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
	policyDataPath = "/v1/policy-data/"
	// maxDocuments is how many documents there are at most: every node has all of them in memory.
	maxDocuments = 1000
)

// documentView is a document without its content.
type documentView struct {
	Path      string    `json:"path"`
	Bytes     int       `json:"bytes"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"`
}

func viewDocument(d *storage.PolicyData) documentView {
	return documentView{Path: d.ID, Bytes: len(d.Document), CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt, Version: d.Version}
}

func (r *Room) listDocuments(context.Context, *enforce.Request) (enforce.Resolved, error) {
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", "", true)},
		Respond: func(ctx context.Context, _ policies.Decision) (enforce.Reply, error) {
			shown := page[documentView]{Items: []documentView{}}
			if err := each(ctx, r.store, func(d *storage.PolicyData) { shown.Items = append(shown.Items, viewDocument(d)) }); err != nil {
				return enforce.Reply{}, fmt.Errorf("list policy data: %w", err)
			}
			return enforce.Reply{Status: http.StatusOK, Body: shown}, nil
		},
	}, nil
}

func (r *Room) getDocument(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	path := req.Params["path"]
	d, err := r.document(ctx, path)
	if err != nil {
		return enforce.Resolved{}, err
	}
	q := policies.Question{Resource: r.documentResource(path, d != nil)}
	if d == nil {
		resolved, err := r.readMissing(req, standing{r.directory}, path)
		resolved.Question = q
		return resolved, err
	}
	return readObject(req, q, d.Meta, func() any { return d.Document })
}

// documentResource is the object of a question about a document: a right to a path is one to all that is below it.
func (r *Room) documentResource(path string, exists bool) policies.Resource {
	object := resource(standing{r.directory}, path, "", exists)
	object.Below = true
	return object
}

// document returns a record, or nil if there is none.
func (r *Room) document(ctx context.Context, path string) (*storage.PolicyData, error) {
	set, err := r.managed()
	if err != nil {
		return nil, err
	}
	if err := set.CheckDocumentPath(path); err != nil {
		return nil, enforce.BadRequest("malformed_path", "", err.Error())
	}
	d, err := storage.Get[storage.PolicyData](ctx, r.store, path)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read policy data: %w", err)
	}
	return d, nil
}

func (r *Room) putDocument(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var read any
	if err := req.Decode(&read); err != nil {
		return enforce.Resolved{}, err
	}
	var compact bytes.Buffer // what was sent and not what was read, which would round its numbers
	if err := json.Compact(&compact, req.Body); err != nil {
		return enforce.Resolved{}, err
	}
	body := compact.Bytes()
	w, current, err := r.beginDocument(ctx, req, "put")
	if err != nil {
		return enforce.Resolved{}, err
	}
	path := req.Params["path"]
	next := &storage.PolicyData{}
	if current != nil {
		*next = *current
	}
	next.ID, next.Document = path, body
	w.creates = true
	w.question.Resource.Changes = []string{"document"}
	if current == nil {
		w.question.Resource.Changes = []string{"create", "document"}
	}
	w.prepare = func(ctx context.Context) error {
		return r.stageDocuments(ctx, path, &policies.Document{Path: path, Body: body})
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, next, current == nil, nil) }
	w.after = r.putIntoUse
	w.reply = func() enforce.Reply {
		if current == nil {
			return created(policyDataPath+path, next.Meta, viewDocument(next))
		}
		return saved(next.Meta, viewDocument(next))
	}
	return r.change(req, w), nil
}

func (r *Room) deleteDocument(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	w, current, err := r.beginDocument(ctx, req, "delete")
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.deletes = true
	if current == nil {
		return r.change(req, w), nil
	}
	path := req.Params["path"]
	w.question.Resource.Changes = []string{"delete"}
	w.prepare = func(ctx context.Context) error { return r.stageDocuments(ctx, path, nil) }
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		return tx.Delete(ctx, storage.PolicyDataKind, path, current.Version)
	}
	w.after = r.putIntoUse
	w.reply = noContent
	return r.change(req, w), nil
}

func (r *Room) beginDocument(ctx context.Context, req *enforce.Request, action string) (*write, *storage.PolicyData, error) {
	condition, err := preconditionOf(req.HTTP.Header)
	if err != nil {
		return nil, nil, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	path := req.Params["path"]
	current, err := r.document(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	w := &write{sequence: sequence, condition: condition, action: "policy-data:" + action, target: "policy-data/" + path}
	w.question.Resource = r.documentResource(path, current != nil)
	if current != nil {
		w.version, w.meta = current.Version, current.Meta
	}
	return w, current, nil
}

// stageDocuments tries what the documents will be: those that are there, with next in the place of the one at path, or without it.
func (r *Room) stageDocuments(ctx context.Context, path string, next *policies.Document) error {
	set, err := r.managed()
	if err != nil {
		return err
	}
	documents, err := documentsNow(ctx, r.store)
	if err != nil {
		return err
	}
	documents = slices.DeleteFunc(documents, func(d policies.Document) bool { return d.Path == path })
	status := http.StatusConflict
	if next != nil {
		if name := strings.Split(path, "/")[1]; !set.Application(name) {
			return conflictError("no_such_application", "", "the policies that serve have no folder apps/"+name+", so that nothing would read it")
		}
		if len(documents) >= maxDocuments {
			return conflictError("too_many_documents", "", fmt.Sprintf("%d documents are kept at most", maxDocuments))
		}
		documents, status = append(documents, *next), http.StatusBadRequest
	}
	if err := set.StageDocuments(ctx, documents); err != nil {
		return refusedSet(err, status, "")
	}
	return nil
}
