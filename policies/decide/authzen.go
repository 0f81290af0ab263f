package decide

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// evaluationRequest is AuthZEN 1.0, section 6.1, with Writ's options. Unknown members are ignored, as the standard demands.
type evaluationRequest struct {
	Subject  *entity         `json:"subject"`
	Action   *action         `json:"action"`
	Resource *entity         `json:"resource"`
	Context  json.RawMessage `json:"context"`
	Options  struct {
		Reasons bool `json:"reasons"`
	} `json:"options"`
}

type action struct {
	Name       string          `json:"name"`
	Properties json.RawMessage `json:"properties"`
}

// evaluationReply is AuthZEN 1.0, section 6.2.
type evaluationReply struct {
	Decision bool               `json:"decision"`
	Context  *evaluationContext `json:"context,omitempty"`
}

// evaluationContext is there if reasons were asked for. In a batch it may say instead why an item has no answer.
type evaluationContext struct {
	Reasons        []givenReason `json:"reasons,omitempty"`
	DecisionID     string        `json:"decision_id,omitempty"`
	PolicyRevision string        `json:"policy_revision,omitempty"`
	policies.Detail
	Error *itemError `json:"error,omitempty"`
}

// givenReason is a reason as far as the caller may see it: to see more than the code takes a right of its own.
type givenReason struct {
	Code string `json:"code"`
	Rule string `json:"rule,omitempty"`
	Text string `json:"text,omitempty"`
}

// evaluation answers POST /access/v1/evaluation.
func (a *API) evaluation(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in evaluationRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	return a.single(ctx, r, &in)
}

// single is one question with one answer.
func (a *API) single(ctx context.Context, r *enforce.Request, in *evaluationRequest) (enforce.Resolved, error) {
	ip, err := in.check()
	if err != nil {
		return enforce.Resolved{}, err
	}
	found, err := a.find(ctx, r, *in.Subject, ip)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: right(found, in.Resource.Tenant),
		Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
			question := in.question(found, r)
			decision, err := a.answer(ctx, r, parent, &question, in.Options.Reasons)
			if err != nil {
				return enforce.Reply{}, err
			}
			reply := evaluationReply{Decision: decision.Allow}
			if in.Options.Reasons {
				e := explaining{api: a, request: r, parent: parent}
				if reply.Context, err = e.context(ctx, in.Resource.Tenant, decision); err != nil {
					return enforce.Reply{}, err
				}
			}
			return enforce.Reply{Status: http.StatusOK, Header: echo(r), Body: reply}, nil
		},
	}, nil
}

// check demands what the standard requires, and reads the address in the context.
func (in *evaluationRequest) check() (netip.Addr, error) {
	if err := in.complete(); err != nil {
		return netip.Addr{}, err
	}
	return addressOf(in.Context)
}

func (in *evaluationRequest) complete() error {
	switch {
	case in.Subject == nil:
		return missing("/subject")
	case in.Subject.Type == "":
		return missing("/subject/type")
	case in.Subject.ID == "":
		return missing("/subject/id")
	case in.Action == nil:
		return missing("/action")
	case in.Action.Name == "":
		return missing("/action/name")
	case in.Resource == nil:
		return missing("/resource")
	case in.Resource.Type == "":
		return missing("/resource/type")
	case in.Resource.ID == "":
		return missing("/resource/id")
	}
	return objects(
		member{"/context", in.Context}, member{"/subject/properties", in.Subject.Properties},
		member{"/action/properties", in.Action.Properties}, member{"/resource/properties", in.Resource.Properties},
	)
}

// member is a part of a body that is the asker's own.
type member struct {
	pointer string
	raw     json.RawMessage
}

// objects demands objects where there is anything.
func objects(members ...member) error {
	for _, m := range members {
		if len(m.raw) > 0 && m.raw[0] != '{' && !bytes.Equal(m.raw, []byte("null")) {
			return enforce.BadRequest("wrong_type", m.pointer, "want an object")
		}
	}
	return nil
}

func missing(pointer string) error {
	return enforce.BadRequest("missing_key", pointer, "the member is required and must not be empty")
}

// addressOf reads context.ip, the address from which the subject of the question came, if the asker says.
func addressOf(raw json.RawMessage) (netip.Addr, error) {
	if !bytes.Contains(raw, []byte(`"ip"`)) {
		return netip.Addr{}, nil
	}
	var context struct {
		IP *string `json:"ip"`
	}
	if err := json.Unmarshal(raw, &context); err != nil || context.IP == nil {
		return netip.Addr{}, nil //nolint:nilerr // an ip that is no string is the asker's own data
	}
	ip, err := netip.ParseAddr(*context.IP)
	if err != nil {
		return netip.Addr{}, enforce.BadRequest("malformed_value", "/context/ip", "want an IP address")
	}
	return ip.Unmap(), nil
}

func (in *evaluationRequest) question(found asked, r *enforce.Request) policies.Question {
	return policies.Question{
		Entrypoint: policies.EntryDecision, Subject: found.facts, SubjectProperties: object(in.Subject.Properties),
		Action: in.Action.Name, ActionProperties: object(in.Action.Properties),
		Resource: policies.Resource{
			Type: in.Resource.Type, ID: in.Resource.ID, Tenant: in.Resource.Tenant, TenantEnabled: true, Exists: true,
			Properties: object(in.Resource.Properties), OtherOwners: -1, OwnersBefore: -1,
		},
		Context: object(in.Context), Caller: found.caller, Now: r.Now,
	}
}

// object drops a JSON null, which says the same as absence.
func object(raw json.RawMessage) json.RawMessage {
	if bytes.Equal(raw, []byte("null")) {
		return nil
	}
	return raw
}

// answer decides one asked question, with its reasons if they are wanted, and writes its line.
func (a *API) answer(
	ctx context.Context, r *enforce.Request, parent policies.Decision, q *policies.Question, reasons bool,
) (policies.Decision, error) {
	slot, err := a.Log.Reserve()
	if err != nil {
		return policies.Decision{}, err
	}
	defer slot.Release()
	decision, err := a.PDP.Decide(ctx, q)
	if err == nil && reasons && !decision.Allow {
		decision.Reasons, err = a.PDP.Why(ctx, q, decision)
	}
	slot.Write(policies.LogLine{
		Decision: decision, Reasons: decision.Reasons, Entrypoint: q.Entrypoint, RequestID: r.ID, ParentID: enforce.EventFrom(ctx).Parent(parent.ID),
		Route: r.HTTP.Method + " " + r.HTTP.URL.Path, Err: err,
	})
	return decision, err
}

// echo returns the caller's X-Request-ID unchanged (AuthZEN 1.0, section 10.1.3).
func echo(r *enforce.Request) http.Header {
	if id := r.HTTP.Header.Get("X-Request-ID"); id != "" && len(id) <= 256 {
		return http.Header{"X-Request-Id": {id}}
	}
	return nil
}
