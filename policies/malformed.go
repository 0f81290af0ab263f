package policies

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// malformedRule is the rule in which an application policy says what is wrong with its own data: a set of texts, empty for good data.
const malformedRule = "malformed"

// malformedWithin bounds how long the rules of one application may look at its data.
const malformedWithin = 5 * time.Second

// checkData asks every application policy that judges its data what is wrong with it. A set with malformed data is not taken, so that a
// mistake in a table is told when it is made, and not to those whom it refuses.
func (s *set) checkData(ctx context.Context, compiler *ast.Compiler) error {
	var problems []Problem
	for _, name := range s.ruledApps() {
		ref := ast.Ref{ast.DefaultRootDocument, ast.StringTerm("apps"), ast.StringTerm(name), ast.StringTerm(malformedRule)}
		if len(compiler.GetRulesExact(ref)) == 0 {
			continue
		}
		messages, err := s.malformed(ctx, compiler, ref)
		if err != nil {
			return refused("apps/"+name, "data", "the rule %s: %v", malformedRule, err)
		}
		for _, message := range messages {
			problems = append(problems, Problem{File: "apps/" + name, Rule: "data", Message: message})
		}
	}
	if len(problems) > 0 {
		return &problemError{problems}
	}
	return nil
}

// malformed evaluates one such rule, without an input.
func (s *set) malformed(ctx context.Context, compiler *ast.Compiler, ref ast.Ref) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, malformedWithin)
	defer cancel()
	store, txn, _, err := openStore(ctx, s.data)
	if err != nil {
		return nil, err
	}
	results, err := rego.New(
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(ref)))), rego.Compiler(compiler), rego.Store(store), rego.Transaction(txn),
		rego.StrictBuiltinErrors(true),
	).Eval(ctx)
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, errUndefined
	}
	list, ok := results[0].Expressions[0].Value.([]any)
	if !ok {
		return nil, fmt.Errorf("it is no set of texts: %w", errResult)
	}
	messages := make([]string, 0, len(list))
	for _, item := range list {
		message, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("it is no set of texts: %w", errResult)
		}
		messages = append(messages, message)
	}
	slices.Sort(messages)
	return messages, nil
}
