package client

import (
	"context"
	"fmt"
	"reflect"

	"github.com/go-jose/go-jose/v4/json"
)

const evaluationsPath = "/access/v1/evaluations"

// Semantic says when a batch ends (AuthZEN 1.0, section 7.1.2.1).
type Semantic string

// The semantics. Absent is ExecuteAll.
const (
	ExecuteAll          Semantic = "execute_all"
	DenyOnFirstDeny     Semantic = "deny_on_first_deny"
	PermitOnFirstPermit Semantic = "permit_on_first_permit"
)

// Batch is many questions in one call.
type Batch struct {
	// Defaults are the parts that items leave out, each as a whole.
	Defaults  Question
	Questions []Question
	Semantic  Semantic
	// Reasons asks for the reasons of every answer.
	Reasons bool
}

// whole is an item with the defaults for what it leaves out, as the server sees it.
func (b *Batch) whole(item Question) Question {
	if reflect.ValueOf(item.Subject).IsZero() {
		item.Subject = b.Defaults.Subject
	}
	if reflect.ValueOf(item.Action).IsZero() {
		item.Action = b.Defaults.Action
	}
	if reflect.ValueOf(item.Resource).IsZero() {
		item.Resource = b.Defaults.Resource
	}
	return item
}

// EvaluateAll asks many questions at once and returns the answers in their order. With ExecuteAll there is one for each; otherwise they end
// with the one that decided. An item that could not be decided has Err. An error says that there is no answer at all.
func (c *Client) EvaluateAll(ctx context.Context, b Batch) ([]Answer, error) {
	if len(b.Questions) == 0 {
		return nil, fmt.Errorf("%w: the batch is empty", ErrBadQuestion)
	}
	for i, item := range b.Questions {
		item = b.whole(item)
		if err := item.check(); err != nil {
			return nil, fmt.Errorf("question %d: %w", i, err)
		}
	}
	body, err := c.ask(ctx, evaluationsPath, struct {
		Question
		Evaluations []Question `json:"evaluations"`
		Options     options    `json:"options,omitzero"`
	}{b.Defaults, b.Questions, options{Reasons: b.Reasons, Semantic: string(b.Semantic)}})
	if err != nil {
		return nil, err
	}
	var said struct {
		Evaluations []evaluation `json:"evaluations"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, unavailable("%s: the reply is malformed", evaluationsPath)
	}
	answers := make([]Answer, len(said.Evaluations))
	for i := range said.Evaluations {
		answers[i] = said.Evaluations[i].answer()
	}
	if !b.fits(answers) {
		return nil, unavailable("%s: the answers do not fit the questions", evaluationsPath)
	}
	return answers, nil
}

// fits reports whether these can be the answers: as many as there are questions, or, where the semantic may end the batch, up to the first
// one that decides.
func (b *Batch) fits(answers []Answer) bool {
	var ends func(Answer) bool
	switch b.Semantic {
	case DenyOnFirstDeny:
		ends = func(a Answer) bool { return !a.Allowed }
	case PermitOnFirstPermit:
		ends = func(a Answer) bool { return a.Allowed }
	default:
		return len(answers) == len(b.Questions)
	}
	for i, answer := range answers {
		if ends(answer) {
			return i == len(answers)-1 && len(answers) <= len(b.Questions)
		}
	}
	return len(answers) == len(b.Questions)
}
