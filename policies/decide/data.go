package decide

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// Documents are what services may ask for besides permits and denials: documents that application folders publish, and filters made of them.
type Documents interface {
	Publishes(name string) bool
	Filters(name string) bool
	Document(ctx context.Context, name string, q *policies.Question) (policies.Decision, json.RawMessage, error)
	Filter(ctx context.Context, name string, q *policies.Question, unknowns []string) (policies.Decision, *policies.Filter, error)
}

// dataRequest is that of OPA's data API. What it says under names that Writ itself fills (now, caller, what is stored of the subject) is
// not read, like any other unknown member.
type dataRequest struct {
	Input *dataInput `json:"input"`
}

// dataInput is a question. Of what an application publishes, resource may be left out where it is about no object, and action where the
// document does not depend on one.
type dataInput struct {
	Subject  *entity         `json:"subject"`
	Action   *action         `json:"action"`
	Resource *entity         `json:"resource"`
	Context  json.RawMessage `json:"context"`
}

// dataReply is that of OPA's data API.
type dataReply struct {
	Result     any    `json:"result"`
	DecisionID string `json:"decision_id"`
}

// decisionResult is the document writ/decision/result.
type decisionResult struct {
	Allow       bool                 `json:"allow"`
	Reasons     []policies.Reason    `json:"reasons"`
	Obligations policies.Obligations `json:"obligations"`
}

// document names what a path of the data API asks for.
func document(r *enforce.Request) string {
	return r.Params["root"] + "/" + r.Params["folder"] + "/" + r.Params["name"]
}

func notPublished() error {
	return &enforce.ProtocolError{
		Status: http.StatusNotFound, Code: "not_published", Detail: "the policies publish no such document",
	}
}

// inquiry is a question of the data API, its subject found.
type inquiry struct {
	found    asked
	question policies.Question
}

// data answers POST /v1/data/{entrypoint}.
func (a *API) data(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in dataRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	name := document(r)
	if !a.Documents.Publishes(name) {
		return enforce.Resolved{}, notPublished()
	}
	q, err := a.prepare(ctx, r, name, in.Input, "/input")
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: right(q.found, q.question.Resource.Tenant),
		Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
			reply, err := a.documentOf(ctx, r, parent, name, &q.question)
			if err != nil {
				return enforce.Reply{}, err
			}
			return enforce.Reply{Status: http.StatusOK, Body: reply}, nil
		},
	}, nil
}

// prepare checks an input and finds its subject.
func (a *API) prepare(ctx context.Context, r *enforce.Request, name string, in *dataInput, at string) (inquiry, error) {
	if in == nil {
		return inquiry{}, missing(at)
	}
	if err := in.check(name, at); err != nil {
		return inquiry{}, err
	}
	ip, err := addressIn(in.Context, at)
	if err != nil {
		return inquiry{}, err
	}
	found, err := a.find(ctx, r, *in.Subject, ip)
	if err != nil {
		return inquiry{}, err
	}
	question := evaluationRequest{Subject: in.Subject, Action: in.Action, Resource: in.Resource, Context: in.Context}
	return inquiry{found: found, question: question.question(found, r)}, nil
}

// addressIn is addressOf within a larger document.
func addressIn(raw json.RawMessage, at string) (netip.Addr, error) {
	ip, err := addressOf(raw)
	return ip, below(at, err)
}

// below moves the pointer of an error into a larger document.
func below(at string, err error) error {
	var protocol *enforce.ProtocolError
	if !errors.As(err, &protocol) {
		return err
	}
	moved := *protocol
	moved.Pointer = at + protocol.Pointer
	return &moved
}

// check demands what a question needs, and fills in what an application's document may leave out.
func (in *dataInput) check(name, at string) error {
	if in.Subject == nil {
		return missing(at + "/subject")
	}
	kind, own := "", false
	if rest, ok := strings.CutPrefix(name, "apps/"); ok {
		kind, _, _ = strings.Cut(rest, "/")
		own = true
	}
	if own && in.Action == nil {
		in.Action = &action{}
	}
	if own && in.Resource == nil {
		in.Resource = &entity{}
	}
	if own && in.Resource.Type == "" {
		in.Resource.Type = kind
	}
	whole := evaluationRequest{Subject: in.Subject, Action: in.Action, Resource: in.Resource, Context: in.Context}
	filled := whole
	if own { // only these may be left out
		filled.Action, filled.Resource = &action{Name: "-", Properties: in.Action.Properties}, &entity{Type: "-", ID: "-", Properties: in.Resource.Properties}
	}
	if err := filled.complete(); err != nil {
		return below(at, err)
	}
	if own && in.Resource.Type != kind && !strings.HasPrefix(in.Resource.Type, kind+"/") {
		return enforce.BadRequest("malformed_value", at+"/resource/type", "the document is about resources of the type "+kind+" and below it")
	}
	return nil
}

// documentOf answers one question and writes its line.
func (a *API) documentOf(
	ctx context.Context, r *enforce.Request, parent policies.Decision, name string, q *policies.Question,
) (dataReply, error) {
	if name == policies.PublishedDecision {
		decision, err := a.answer(ctx, r, parent, q, false)
		if err != nil {
			return dataReply{}, err
		}
		result := decisionResult{Allow: decision.Allow, Reasons: decision.Reasons, Obligations: decision.Obligations}
		if result.Reasons == nil {
			result.Reasons = []policies.Reason{}
		}
		return dataReply{Result: result, DecisionID: decision.ID}, nil
	}
	var result json.RawMessage
	decision, err := a.logged(r, parent, q, func() (policies.Decision, error) {
		d, document, err := a.Documents.Document(ctx, name, q)
		result = document
		return d, err
	})
	if errors.Is(err, policies.ErrNotPublished) { // the policies were exchanged just now
		err = notPublished()
	}
	return dataReply{Result: result, DecisionID: decision.ID}, err
}

// logged takes a place in the decision log, asks, and writes the line.
func (a *API) logged(
	r *enforce.Request, parent policies.Decision, q *policies.Question, ask func() (policies.Decision, error),
) (policies.Decision, error) {
	slot, err := a.Log.Reserve()
	if err != nil {
		return policies.Decision{}, err
	}
	defer slot.Release()
	decision, err := ask()
	if decision.ID == "" { // nothing was asked
		return decision, err
	}
	slot.Write(policies.LogLine{
		Decision: decision, Entrypoint: q.Entrypoint, RequestID: r.ID, ParentID: enforce.EventFrom(r.HTTP.Context()).Parent(parent.ID),
		Route: r.HTTP.Method + " " + r.HTTP.URL.Path, Err: err,
	})
	return decision, err
}
