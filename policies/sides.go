package policies

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// sides sees which ways rules go while tests run. It is a tracer of the engine.
type sides struct {
	documents map[string][]*side
	rules     map[string]*side
}

// side is one rule and what was seen of it.
type side struct {
	rule       *ast.Rule
	held       bool // in some evaluation
	refused    bool // in some evaluation
	looked     bool // its document was looked up
	heldLately bool // since that was looked up last
}

func placeOf(at *ast.Location) string { return fmt.Sprintf("%s:%d:%d", at.File, at.Row, at.Col) }

func (*sides) Enabled() bool { return true }

func (*sides) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent is told of each look-up of a document, whether or not the index leaves one of its rules out, and of each rule that holds.
func (s *sides) TraceEvent(event topdown.Event) {
	switch event.Op { //nolint:exhaustive // the rest is about other things
	case topdown.IndexOp:
		if event.Ref != nil && len(*event.Ref) > 1 {
			for _, rule := range s.documents[dotted((*event.Ref)[1:])] {
				rule.settle()
				rule.looked = true
			}
		}
	case topdown.ExitOp:
		if rule, ok := event.Node.(*ast.Rule); ok && rule.Location != nil {
			if known := s.rules[placeOf(rule.Location)]; known != nil {
				known.held, known.heldLately = true, true
			}
		}
	}
}

func (r *side) settle() {
	r.refused = r.refused || r.looked && !r.heldLately
	r.heldLately = false
}

// lintSides runs the tests of applications, and reports the rules of their permit and deny sets that no test sees hold, or none sees
// not hold: such a rule may be wider or narrower than meant, and no test would notice.
func (s *set) lintSides(ctx context.Context) ([]Problem, error) {
	seen := &sides{documents: map[string][]*side{}, rules: map[string]*side{}}
	packages := map[string]bool{}
	var all []*side
	brought := s.source != "embedded" // the shipped ones are held to it where they are made
	for _, m := range s.modules {
		if m.test || m.core || !m.dir && brought {
			continue
		}
		for _, rule := range m.parsed.Rules {
			if rule.Head.Name != "permit" && rule.Head.Name != "deny" || rule.Default {
				continue
			}
			one := &side{rule: rule}
			name := documentOf(rule)
			seen.documents[name], seen.rules[placeOf(rule.Location)] = append(seen.documents[name], one), one
			all = append(all, one)
			packages[m.pkg()+"_test"] = true
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	if _, err := s.eachTest(ctx, packages, seen, nil, func(*tester.Result) {}); err != nil {
		return nil, err
	}
	var problems []Problem
	for _, one := range all {
		one.settle()
		var never []string
		if !one.held {
			never = append(never, "holds")
		}
		if !one.refused {
			never = append(never, "does not hold")
		}
		if len(never) > 0 {
			problems = append(problems, problemAt(one.rule.Location, "sides", "no test has a case in which %s %s",
				one.rule.Head.Ref(), strings.Join(never, ", and none one in which it ")))
		}
	}
	return problems, nil
}
