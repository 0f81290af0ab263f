package policies

import (
	"context"
	"errors"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxCandidates bounds what an application may name.
const maxCandidates = 100_000

// Candidates returns, sorted, what an application policy knows of that which the question leaves out: the ids of subjects where
// Subject has no id, those of resources where Resource has none, else the names of actions. What is allowed of them is asked one by
// one. The error, if any, wraps ErrUndecided.
func (p *PDP) Candidates(ctx context.Context, q *Question) ([]string, error) {
	s := p.active.Load()
	input, err := q.build(&p.terms, Dialect(ctx))
	if err != nil {
		return nil, p.undecided(ctx, EntryCandidates, err)
	}
	result, err := p.evaluate(ctx, s, EntryCandidates, input)
	if err != nil {
		return nil, p.undecided(ctx, EntryCandidates, err)
	}
	names, err := decodeCandidates(result)
	if err != nil {
		return nil, p.undecided(ctx, EntryCandidates, err)
	}
	return names, nil
}

var keyCandidates = ast.StringTerm("candidates")

func decodeCandidates(result ast.Value) ([]string, error) {
	fields, ok := result.(ast.Object)
	if !ok || fields.Len() != 1 || fields.Get(keyCandidates) == nil {
		return nil, malformed("not exactly candidates")
	}
	names, err := texts(fields.Get(keyCandidates).Value)
	if err != nil {
		return nil, malformed("candidates: %v", err)
	}
	if len(names) > maxCandidates {
		return nil, malformed("more than %d candidates", maxCandidates)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Covers returns what covers the resource: its path, what stands above it, and "*", longest first.
func (r *Resource) Covers() []string {
	_, covers := r.paths(&terms{})
	list, err := texts(covers.Value)
	if err != nil { // it is a list of strings
		panic(errors.Join(errors.New("covers of a resource"), err))
	}
	return list
}

// Giving returns the actions that, where they are granted, may give the action: itself, "*", and those that imply it anywhere.
func (c *Catalogue) Giving(action string) []string {
	giving := []string{action, "*"}
	for i := range c.types {
		for _, a := range c.types[i].Actions {
			if slices.Contains(a.Implies, action) && !slices.Contains(giving, a.Name) {
				giving = append(giving, a.Name)
			}
		}
	}
	return giving
}
