package policies

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Why returns the reasons for a decision, evaluated on the snapshot and the input that it was taken on. It costs more than
// the decision; ask where somebody reads the answer. The error, if any, wraps ErrUndecided.
func (p *PDP) Why(ctx context.Context, q *Question, d Decision) ([]Reason, error) {
	if d.snapshot == nil || d.input == nil {
		return nil, fmt.Errorf("%w: the decision was not taken here", ErrUndecided)
	}
	result, err := p.evaluate(ctx, d.snapshot, EntryWhy, d.input)
	if err != nil {
		return nil, p.undecided(ctx, EntryWhy, err)
	}
	reasons, err := decodeWhy(result, d.snapshot.set.catalogue)
	if err != nil {
		return nil, p.undecided(ctx, EntryWhy, err)
	}
	return reasons, nil
}

// Explain decides on a question that nobody asked, and says why: what would be answered. It is no decision, and is in no log.
func (p *PDP) Explain(ctx context.Context, q *Question) (Decision, error) {
	d, err := p.Decide(ctx, q)
	if err != nil || d.Allow {
		return d, err
	}
	d.Reasons, err = p.Why(ctx, q, d)
	return d, err
}

func decodeWhy(result ast.Value, catalogue *Catalogue) ([]Reason, error) {
	fields, ok := result.(ast.Object)
	if !ok || fields.Len() != 1 || fields.Get(key.reasons) == nil {
		return nil, malformed("not exactly reasons")
	}
	return decodeReasons(fields.Get(key.reasons).Value, catalogue)
}
