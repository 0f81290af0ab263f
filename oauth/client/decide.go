package client

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-jose/go-jose/v4/json"
)

const (
	evaluationPath = "/access/v1/evaluation"
	// subjectToken is the subject type of an access token that the service received.
	subjectToken = "token"
)

// Subject is who a question is about: a user (by id or username), an application, a received token (Token.Asked), or a type that the
// server's policies know.
type Subject struct {
	Type       string         `json:"type"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties,omitempty"`
}

// String names the subject; an access token is not shown.
func (s Subject) String() string {
	if s.Type == subjectToken {
		return "the holder of the token"
	}
	return s.Type + "/" + s.ID
}

// GoString is String, so that no verb of fmt shows an access token.
func (s Subject) GoString() string { return s.String() }

// LogValue is String.
func (s Subject) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Action is what the subject would do.
type Action struct {
	Name       string         `json:"name"`
	Properties map[string]any `json:"properties,omitempty"`
}

// Resource is what it would be done to. For permissions it is the path type/id: a grant on ledger/accounts covers ledger/accounts/123.
type Resource struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	// Tenant is whose the resource is; empty: of no tenant.
	Tenant     string         `json:"tenant,omitempty"`
	Properties map[string]any `json:"properties,omitempty"`
}

// Question is "may this subject do this?".
type Question struct {
	Subject  Subject        `json:"subject,omitzero"`
	Action   Action         `json:"action,omitzero"`
	Resource Resource       `json:"resource,omitzero"`
	Context  map[string]any `json:"context,omitempty"`
	// Reasons asks for the reasons too; that costs the server a second evaluation of a denial.
	Reasons bool `json:"-"`
}

// check demands what AuthZEN requires, so that no question is decided that the service did not mean.
func (q *Question) check() error {
	for _, member := range []struct{ name, value string }{
		{"Subject.Type", q.Subject.Type},
		{"Subject.ID", q.Subject.ID},
		{"Action.Name", q.Action.Name},
		{"Resource.Type", q.Resource.Type},
		{"Resource.ID", q.Resource.ID},
	} {
		if member.value == "" {
			return fmt.Errorf("%w: %s is empty", ErrBadQuestion, member.name)
		}
	}
	return nil
}

// Reason is why a question was answered as it was. Codes are stable; they are in the server's catalogue. Who may see more than the code
// is for the server to say: the rest may be empty.
type Reason struct {
	Code string `json:"code"`
	Rule string `json:"rule,omitempty"`
	Text string `json:"text,omitempty"`
}

// Answer is the server's. The zero Answer is a denial.
type Answer struct {
	Allowed bool
	// Reasons, DecisionID and PolicyRevision are there if the question asked for reasons.
	Reasons        []Reason
	DecisionID     string
	PolicyRevision string
	// Context is all that the server says beside the answer: the above, and what would have sufficed.
	Context map[string]any
	// Err says why an item of a batch could not be decided; it is not allowed then, nor is it denied.
	Err error
}

// options are Writ's own; other servers ignore them.
type options struct {
	Reasons  bool   `json:"reasons,omitempty"`
	Semantic string `json:"evaluations_semantic,omitempty"`
}

// Evaluate asks one question. An error says that there is no answer.
func (c *Client) Evaluate(ctx context.Context, q Question) (Answer, error) {
	if err := q.check(); err != nil {
		return Answer{}, err
	}
	body, err := c.ask(ctx, evaluationPath, struct {
		Question
		Options options `json:"options,omitzero"`
	}{q, options{Reasons: q.Reasons}})
	if err != nil {
		return Answer{}, err
	}
	var said evaluation
	if err := json.Unmarshal(body, &said); err != nil {
		return Answer{}, unavailable("%s: the reply is malformed", evaluationPath)
	}
	answer := said.answer()
	return answer, answer.Err
}

// Check asks one question and returns nil if the answer is yes, a *DeniedError if it is no, and another error if there is none.
func (c *Client) Check(ctx context.Context, q Question) error {
	answer, err := c.Evaluate(ctx, q)
	switch {
	case err != nil:
		return err
	case !answer.Allowed:
		return &DeniedError{Question: q, Answer: answer}
	default:
		return nil
	}
}

// evaluation is the reply of AuthZEN 1.0, section 6.2, and an item of that of section 7.2.
type evaluation struct {
	Decision *bool           `json:"decision"`
	Context  json.RawMessage `json:"context"`
}

// beside is what is read of the context of an answer.
type beside struct {
	Reasons        []Reason `json:"reasons"`
	DecisionID     string   `json:"decision_id"`
	PolicyRevision string   `json:"policy_revision"`
	Error          *struct {
		Status  int    `json:"status"`
		Message string `json:"message"`
	} `json:"error"`
}

// answer reads a reply: only a decision that is there, and true, and beside which there is no error, allows.
func (e *evaluation) answer() Answer {
	var said beside
	var all map[string]any
	if len(e.Context) > 0 {
		if err := errors.Join(json.Unmarshal(e.Context, &said), json.Unmarshal(e.Context, &all)); err != nil {
			return Answer{Err: unavailable("what stands beside the decision is malformed")}
		}
	}
	switch {
	case e.Decision == nil:
		return Answer{Err: unavailable("the reply has no decision")}
	case said.Error != nil:
		item := reply{status: said.Error.Status, body: []byte(said.Error.Message)}
		return Answer{Err: item.verdict("the item")}
	}
	return Answer{
		Allowed: *e.Decision, Reasons: said.Reasons, DecisionID: said.DecisionID, PolicyRevision: said.PolicyRevision, Context: all,
	}
}

// ask sends a document with the service's own token and returns the reply to it. A token that the server no longer takes, which is how a
// revocation or an exchanged secret shows, is got anew once.
func (c *Client) ask(ctx context.Context, path string, document any) ([]byte, error) {
	body, err := stdjson.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadQuestion, err)
	}
	for again := true; ; again = false {
		token, err := c.own.get(ctx)
		if err != nil {
			return nil, err
		}
		got, err := c.send(ctx, http.MethodPost, path, mediaJSON, "Bearer "+token, string(body))
		switch {
		case err != nil:
			return nil, err
		case got.is(mediaJSON):
			return got.body, nil
		case got.status == http.StatusUnauthorized && again && c.own.expire(func(now string) bool { return now == token }):
		default:
			return nil, got.verdict(path)
		}
	}
}
