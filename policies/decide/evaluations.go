package decide

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

const (
	// maxEvaluations is how many questions a batch may have.
	maxEvaluations = 1000
	// requestDeadline is how long the questions of one request may take together. Those that are left then have no answer.
	requestDeadline = 10 * time.Second
)

// The semantics of a batch.
const (
	executeAll          = "execute_all"
	denyOnFirstDeny     = "deny_on_first_deny"
	permitOnFirstPermit = "permit_on_first_permit"
)

// evaluationsRequest is AuthZEN 1.0, section 7.1: defaults, and questions that replace each of them as a whole.
type evaluationsRequest struct {
	Subject     *entity          `json:"subject"`
	Action      *action          `json:"action"`
	Resource    *entity          `json:"resource"`
	Context     json.RawMessage  `json:"context"`
	Evaluations []evaluationItem `json:"evaluations"`
	Options     struct {
		Reasons  bool   `json:"reasons"`
		Semantic string `json:"evaluations_semantic"`
	} `json:"options"`
}

// evaluationItem is one question of a batch. What it holds is read one by one, so that a bad item spoils no other.
type evaluationItem struct {
	Subject  json.RawMessage `json:"subject"`
	Action   json.RawMessage `json:"action"`
	Resource json.RawMessage `json:"resource"`
	Context  json.RawMessage `json:"context"`
}

// evaluationsReply has the answers in the order of the questions; fewer, where one of them decided.
type evaluationsReply struct {
	Evaluations []evaluationReply `json:"evaluations"`
}

// itemError says why an item has no answer.
type itemError struct {
	Status  int    `json:"status"`
	Message string `json:"message"`
}

// evaluations answers POST /access/v1/evaluations.
func (a *API) evaluations(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in evaluationsRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	semantic := in.Options.Semantic
	if !slices.Contains([]string{"", executeAll, denyOnFirstDeny, permitOnFirstPermit}, semantic) {
		return enforce.Resolved{}, enforce.BadRequest("unknown_semantic", "/options/evaluations_semantic",
			"want "+executeAll+", "+denyOnFirstDeny+" or "+permitOnFirstPermit)
	}
	whole := evaluationRequest{Subject: in.Subject, Action: in.Action, Resource: in.Resource, Context: in.Context}
	whole.Options.Reasons = in.Options.Reasons
	if len(in.Evaluations) == 0 {
		return a.single(ctx, r, &whole)
	}
	if len(in.Evaluations) > maxEvaluations {
		return enforce.Resolved{}, enforce.BadRequest("too_many", "/evaluations",
			"at most "+strconv.Itoa(maxEvaluations)+" questions are taken at once; send several batches")
	}
	b := newBatch(a, r, whole, in.Evaluations)
	return enforce.Resolved{
		Question: b.right(ctx),
		Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
			return enforce.Reply{Status: http.StatusOK, Header: echo(r), Body: b.answers(ctx, parent, semantic)}, nil
		},
	}, nil
}

// batch is the questions of one request on their way.
type batch struct {
	api       *API
	request   *enforce.Request
	reasons   bool
	questions []batchQuestion
	found     map[subjectKey]foundSubject
	// asked is the right that the request itself asks for. allowed has the answers about it and about others.
	asked   rightKey
	allowed map[rightKey]bool
}

// batchQuestion is one of them, or why it is none.
type batchQuestion struct {
	evaluationRequest
	ip  netip.Addr
	err error
}

type subjectKey struct {
	kind, id string
	ip       netip.Addr
}

// foundSubject is a subject as every question about it in a batch sees it.
type foundSubject struct {
	asked
	err error
}

// rightKey is what the right to ask depends on.
type rightKey struct {
	self   bool
	tenant string
}

func newBatch(a *API, r *enforce.Request, whole evaluationRequest, items []evaluationItem) *batch {
	b := &batch{
		api: a, request: r, reasons: whole.Options.Reasons, questions: make([]batchQuestion, len(items)),
		found: map[subjectKey]foundSubject{}, allowed: map[rightKey]bool{},
	}
	for n := range items {
		q := &b.questions[n]
		q.evaluationRequest = whole
		if q.err = items[n].over(&q.evaluationRequest); q.err == nil {
			q.ip, q.err = q.check()
		}
	}
	return b
}

// over replaces what the item says, each as a whole.
func (i *evaluationItem) over(q *evaluationRequest) error {
	if len(i.Context) > 0 {
		q.Context = i.Context
	}
	return errors.Join(
		replace(&q.Subject, i.Subject, "/subject"), replace(&q.Action, i.Action, "/action"),
		replace(&q.Resource, i.Resource, "/resource"),
	)
}

func replace[T any](into **T, raw json.RawMessage, at string) error {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	value := new(T)
	if err := enforce.DecodeOpenJSON(raw, value); err != nil {
		if protocol := (*enforce.ProtocolError)(nil); errors.As(err, &protocol) {
			protocol.Pointer = at + protocol.Pointer
		}
		return err
	}
	*into = value
	return nil
}

// right is that of the first good question; without one, it is that of asking about others.
func (b *batch) right(ctx context.Context) policies.Question {
	first := slices.IndexFunc(b.questions, func(q batchQuestion) bool { return q.err == nil })
	if first < 0 {
		return right(asked{}, "")
	}
	q := &b.questions[first]
	found := b.find(ctx, q)
	b.asked = rightKey{found.caller.Self, q.Resource.Tenant}
	return right(found.asked, q.Resource.Tenant)
}

// find finds each subject once.
func (b *batch) find(ctx context.Context, q *batchQuestion) foundSubject {
	key := subjectKey{q.Subject.Type, q.Subject.ID, q.ip}
	f, ok := b.found[key]
	if !ok {
		f.asked, f.err = b.api.find(ctx, b.request, *q.Subject, q.ip)
		b.found[key] = f
	}
	return f
}

// answers takes the questions in their order, until one decides.
func (b *batch) answers(ctx context.Context, parent policies.Decision, semantic string) evaluationsReply {
	ctx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	b.allowed[b.asked] = true
	why := &explaining{api: b.api, request: b.request, parent: parent}
	reply := evaluationsReply{Evaluations: make([]evaluationReply, 0, len(b.questions))}
	for n := range b.questions {
		answer, err := b.answer(ctx, parent, &b.questions[n], why)
		if err != nil {
			answer = evaluationReply{Context: &evaluationContext{Error: b.failed(ctx, err)}}
		}
		reply.Evaluations = append(reply.Evaluations, answer)
		if semantic == denyOnFirstDeny && !answer.Decision || semantic == permitOnFirstPermit && answer.Decision {
			break
		}
	}
	return reply
}

func (b *batch) answer(
	ctx context.Context, parent policies.Decision, q *batchQuestion, why *explaining,
) (evaluationReply, error) {
	if q.err != nil {
		return evaluationReply{}, q.err
	}
	found := b.find(ctx, q)
	if found.err != nil {
		return evaluationReply{}, found.err
	}
	if err := b.may(ctx, parent, rightKey{found.caller.Self, q.Resource.Tenant}); err != nil {
		return evaluationReply{}, err
	}
	question := q.question(found.asked, b.request)
	decision, err := b.api.answer(ctx, b.request, parent, &question, b.reasons)
	if err != nil {
		return evaluationReply{}, err
	}
	reply := evaluationReply{Decision: decision.Allow}
	if b.reasons {
		reply.Context, err = why.context(ctx, q.Resource.Tenant, decision)
	}
	return reply, err
}

// may asks for the right to ask, where it is another than the request's own.
func (b *batch) may(ctx context.Context, parent policies.Decision, key rightKey) error {
	allowed, known := b.allowed[key]
	if !known {
		d, err := b.request.Ask(ctx, parent, &policies.Question{
			Action: askAction, Resource: asking(key.tenant), Caller: policies.Caller{Self: key.self},
		})
		if err != nil {
			return err
		}
		allowed, b.allowed[key] = d.Allow, d.Allow
	}
	if !allowed {
		return &enforce.ProtocolError{
			Status: http.StatusForbidden, Code: "not_granted", Detail: "you may not ask about this subject in this tenant",
		}
	}
	return nil
}

// failed says why an item has no answer. What is no fault of the item is an outage, and never shown as a denial.
func (b *batch) failed(ctx context.Context, err error) *itemError {
	if protocol := (*enforce.ProtocolError)(nil); errors.As(err, &protocol) {
		return &itemError{protocol.Status, messageOf(protocol)}
	}
	b.api.Logger.ErrorContext(ctx, "decision failed", "request_id", b.request.ID, "error", err)
	return &itemError{http.StatusServiceUnavailable, undecided}
}

// messageOf is a protocol error as AuthZEN says it: where it is, and what is wrong.
func messageOf(err *enforce.ProtocolError) string {
	return strings.TrimPrefix(cmp.Or(err.Pointer, err.Parameter)+": "+err.Detail, ": ")
}

const undecided = "no decision can be taken now"

// overloaded is the message of a request that was turned away.
const overloaded = "there are more requests than can be served now; try again"
