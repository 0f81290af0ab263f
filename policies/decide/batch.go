package decide

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// Limits of one batch.
const (
	maxInputs   = 1000
	batchWithin = 10 * time.Second
)

// batchRequest is that of OPA's batch API: each input is laid over the common one, member by member, however deep.
type batchRequest struct {
	Inputs      map[string]json.RawMessage `json:"inputs"`
	CommonInput json.RawMessage            `json:"common_input"`
}

// batchReply is that of OPA's batch API.
type batchReply struct {
	BatchDecisionID string               `json:"batch_decision_id"`
	Responses       map[string]batchItem `json:"responses"`
}

// batchItem is one answer, or why there is none. HTTPStatusCode is set where some were answered and some were not.
type batchItem struct {
	Result         any    `json:"result,omitempty"`
	DecisionID     string `json:"decision_id,omitempty"`
	Code           string `json:"code,omitempty"`
	Message        string `json:"message,omitempty"`
	HTTPStatusCode string `json:"http_status_code,omitempty"`
}

// scope is what the right to ask one question depends on.
type scope struct {
	self   bool
	tenant string
}

func (q *inquiry) scope() scope { return scope{q.found.caller.Self, q.question.Resource.Tenant} }

// batch answers POST /v1/batch/data/{entrypoint}.
func (a *API) batch(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in batchRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	name := document(r)
	switch {
	case !a.Documents.Publishes(name):
		return enforce.Resolved{}, notPublished()
	case len(in.Inputs) == 0:
		return enforce.Resolved{}, missing("/inputs")
	case len(in.Inputs) > maxInputs:
		return enforce.Resolved{}, enforce.BadRequest("too_large", "/inputs", "at most "+strconv.Itoa(maxInputs)+" inputs are accepted")
	}
	questions := make(map[string]*inquiry, len(in.Inputs))
	for _, id := range slices.Sorted(maps.Keys(in.Inputs)) {
		q, err := a.merged(ctx, r, name, in.CommonInput, in.Inputs[id], "/inputs/"+escaped(id))
		if err != nil {
			return enforce.Resolved{}, err
		}
		questions[id] = &q
	}
	first := slices.MinFunc(slices.Collect(maps.Values(questions)), func(a, b *inquiry) int { return compareScopes(a.scope(), b.scope()) })
	return enforce.Resolved{
		Question: right(first.found, first.question.Resource.Tenant),
		Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
			ctx, done := context.WithTimeout(ctx, batchWithin)
			defer done()
			return a.answerAll(ctx, r, parent, name, questions, first.scope())
		},
	}, nil
}

func compareScopes(a, b scope) int {
	if a.self != b.self { // what takes a right comes first
		if b.self {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.tenant, b.tenant)
}

// escaped is a key as a part of a JSON pointer.
func escaped(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// merged is one question of a batch.
func (a *API) merged(ctx context.Context, r *enforce.Request, name string, common, own json.RawMessage, at string) (inquiry, error) {
	raw := own
	if len(common) > 0 {
		var err error
		if raw, err = overlay(common, own, at); err != nil {
			return inquiry{}, err
		}
	}
	var in dataInput
	if err := enforce.DecodeOpenJSON(raw, &in); err != nil {
		return inquiry{}, below(at, err)
	}
	return a.prepare(ctx, r, name, &in, at)
}

// overlay lays one object over another. Members that are objects in both are laid over each other.
func overlay(under, over json.RawMessage, at string) (json.RawMessage, error) {
	var low, high map[string]json.RawMessage
	if json.Unmarshal(under, &low) != nil {
		return nil, enforce.BadRequest("wrong_type", "/common_input", "want an object")
	}
	if json.Unmarshal(over, &high) != nil || high == nil {
		return nil, enforce.BadRequest("wrong_type", at, "want an object")
	}
	if low == nil {
		return over, nil
	}
	for key, value := range high {
		if isObject(value) && isObject(low[key]) {
			inner, err := overlay(low[key], value, at)
			if err != nil {
				return nil, err
			}
			value = inner
		}
		low[key] = value
	}
	return json.Marshal(low)
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// answerAll answers question by question. Whether the caller may ask is decided for each tenant that it asks about; first was
// decided already.
func (a *API) answerAll(
	ctx context.Context, r *enforce.Request, parent policies.Decision, name string, questions map[string]*inquiry, first scope,
) (enforce.Reply, error) {
	allowed := map[scope]bool{first: true}
	reply := batchReply{BatchDecisionID: parent.ID, Responses: make(map[string]batchItem, len(questions))}
	failed, outages := 0, 0
	for _, id := range slices.Sorted(maps.Keys(questions)) {
		q := questions[id]
		may, known := allowed[q.scope()]
		if !known {
			ask := right(q.found, q.question.Resource.Tenant)
			decision, err := r.Ask(ctx, parent, &ask)
			if err != nil {
				return enforce.Reply{}, err
			}
			may = decision.Allow
			allowed[q.scope()] = may
		}
		item := batchItem{Code: "not_granted", Message: "you may not ask this", HTTPStatusCode: strconv.Itoa(http.StatusForbidden)}
		if may {
			var err error
			if item, err = a.item(ctx, r, parent, name, q); err != nil {
				return enforce.Reply{}, err
			}
		}
		if item.Code != "" {
			failed++
		}
		if item.HTTPStatusCode == strconv.Itoa(http.StatusServiceUnavailable) {
			outages++
		}
		reply.Responses[id] = item
	}
	switch {
	case outages == len(questions):
		return enforce.Reply{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"1"}}, Body: reply}, nil
	case failed == 0:
		return enforce.Reply{Status: http.StatusOK, Body: reply}, nil
	}
	for id, item := range reply.Responses {
		if item.Code == "" {
			item.HTTPStatusCode = strconv.Itoa(http.StatusOK)
			reply.Responses[id] = item
		}
	}
	return enforce.Reply{Status: http.StatusMultiStatus, Body: reply}, nil
}

// item answers one question. That it has no answer concerns no other one.
func (a *API) item(ctx context.Context, r *enforce.Request, parent policies.Decision, name string, q *inquiry) (batchItem, error) {
	answer, err := a.documentOf(ctx, r, parent, name, &q.question)
	switch {
	case errors.Is(err, policies.ErrUndecided):
		return batchItem{
			DecisionID: answer.DecisionID, Code: "unavailable", Message: "no decision can be taken now",
			HTTPStatusCode: strconv.Itoa(http.StatusServiceUnavailable),
		}, nil
	case err != nil:
		return batchItem{}, err
	}
	return batchItem{Result: answer.Result, DecisionID: answer.DecisionID}, nil
}
