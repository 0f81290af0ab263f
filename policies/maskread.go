package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// maskReads notes whether an evaluation reads what is masked in its input. It is asked before every expression, so it must be used
// without rule indexing, which reads the input besides. What it cannot tell counts as read: an answer that could have come out
// otherwise must not be taken for the one that was given.
type maskReads struct {
	masked   []string // JSON pointers
	compiler *ast.Compiler
	// aliases are the expressions that only give a part of the input a name.
	aliases map[*ast.Expr]bool
	// names are those that parts of the input have, and the pointers to these.
	names map[ast.Var][]string
	read  string // the first of the masked that is read
}

// Enabled makes the engine tell.
func (*maskReads) Enabled() bool { return true }

// Config wants no local variables: what only the evaluation knows counts as anything.
func (*maskReads) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent looks at an expression that is about to be evaluated.
func (m *maskReads) TraceEvent(e topdown.Event) {
	expr, ok := e.Node.(*ast.Expr)
	if m.read != "" || e.Op != topdown.EvalOp || !ok {
		return
	}
	switch {
	case m.aliases[expr]:
		name, part := aliasOf(expr)
		m.name(name, part)
	case m.subset(expr) || m.call(expr):
	default:
		m.look(expr)
	}
}

// look finds everything that an expression takes of the input. The bodies of comprehensions are expressions of their own.
func (m *maskReads) look(x any) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Body:
			return true
		case ast.Ref, ast.Var:
			term := ast.NewTerm(x.(ast.Value))
			for _, pointer := range m.pointers(term) {
				m.reads(pointer)
			}
			if ref, ok := x.(ast.Ref); ok {
				for _, term := range ref[1:] {
					m.look(term)
				}
			}
			return true
		}
		return false
	}).Walk(x)
}

// pointers are those that a term may stand for: of a reference to the input, or of a name that a part of it has.
func (m *maskReads) pointers(term *ast.Term) []string {
	ref, ok := term.Value.(ast.Ref)
	if !ok {
		ref = ast.Ref{term}
	}
	name, ok := ref[0].Value.(ast.Var)
	if !ok {
		return nil
	}
	from := m.names[name]
	if name.Equal(ast.InputRootDocument.Value) {
		from = []string{"/input"}
	}
	if len(from) == 0 {
		return nil
	}
	below := ""
	for _, term := range ref[1:] {
		s, ok := term.Value.(ast.String)
		if !ok {
			break // a name or a number that may be any
		}
		below += "/" + escaped(string(s))
	}
	pointers := make([]string, len(from))
	for i, pointer := range from {
		pointers[i] = pointer + below
	}
	return pointers
}

// name gives a name to what a term stands for. To get there is to read what is masked above it.
func (m *maskReads) name(name ast.Var, part *ast.Term) {
	for _, pointer := range m.pointers(part) {
		if slices.ContainsFunc(m.masked, func(masked string) bool { return strings.HasPrefix(pointer, masked+"/") }) {
			m.reads(pointer)
		}
		if !slices.Contains(m.names[name], pointer) {
			m.names[name] = append(m.names[name], pointer)
		}
	}
}

// reads notes a pointer: what stands there is read with all that is below, and nothing of what is beside it.
func (m *maskReads) reads(at string) {
	for _, pointer := range m.masked {
		if m.read == "" && (pointer == at || strings.HasPrefix(pointer, at+"/") || strings.HasPrefix(at, pointer+"/")) {
			m.read = pointer
		}
	}
}

// subset looks at object.subset(x, {…}), which compares the members that the second one names and reads no others.
func (m *maskReads) subset(e *ast.Expr) bool {
	if !e.IsCall() || len(e.With) > 0 || e.Operator().String() != ast.ObjectSubset.Name || len(e.Operands()) < 2 {
		return false
	}
	from := m.pointers(e.Operand(0))
	members, literal := e.Operand(1).Value.(ast.Object)
	if len(from) == 0 || !literal || !members.IsGround() {
		return false
	}
	members.Foreach(func(name, _ *ast.Term) {
		for _, pointer := range from {
			if s, ok := textOf(name); ok {
				pointer += "/" + escaped(s)
			}
			m.reads(pointer)
		}
	})
	for _, rest := range e.Operands()[2:] {
		m.look(rest)
	}
	return true
}

// call looks at the call of a function of the set: what it takes of its arguments is seen in its own expressions.
func (m *maskReads) call(e *ast.Expr) bool {
	if !e.IsCall() || len(e.With) > 0 {
		return false
	}
	rules := m.compiler.GetRulesExact(e.Operator())
	if len(rules) == 0 {
		return false
	}
	for i, operand := range e.Operands() {
		pointers := m.pointers(operand)
		if len(pointers) == 0 || i >= len(rules[0].Head.Args) {
			m.look(operand)
			continue
		}
		for _, rule := range rules {
			for ; rule != nil; rule = rule.Else {
				if name, ok := rule.Head.Args[i].Value.(ast.Var); ok {
					m.name(name, operand)
					continue
				}
				for _, pointer := range pointers { // a pattern
					m.reads(pointer)
				}
			}
		}
	}
	return true
}

// aliasesOf finds the expressions that do no more than give a part of the input, or of what has a name, another name: name = part, where
// nothing before says what the name stands for and where it is no result.
func aliasesOf(c *ast.Compiler) map[*ast.Expr]bool {
	aliases := map[*ast.Expr]bool{}
	for _, module := range c.Modules {
		ast.WalkRules(module, func(rule *ast.Rule) bool {
			seen := ast.NewVarSet()
			for _, part := range []any{rule.Head.Args, rule.Head.Key, rule.Head.Value, rule.Head.Reference} {
				addNames(seen, part)
			}
			findAliases(rule.Body, seen, aliases)
			return false
		})
	}
	return aliases
}

// watchedCache remembers no results of functions: of one that is called again with equal arguments, which may be another part of the
// input, every expression is to be seen again.
type watchedCache struct{ ruleCache }

// Get returns the result of a rule that is none of a function.
func (c *watchedCache) Get(ref ast.Ref) (*ast.Term, bool) {
	if _, call := ref[0].Value.(ast.Ref); call { // the function, before its arguments
		return nil, false
	}
	return c.ruleCache.Get(ref)
}

func findAliases(body ast.Body, seen ast.VarSet, aliases map[*ast.Expr]bool) {
	for _, expr := range body {
		if name, part := aliasOf(expr); part != nil && !seen.Contains(name) {
			aliases[expr] = true
		}
		addResults(seen, expr)
		ast.WalkBodies(expr, func(inner ast.Body) bool {
			findAliases(inner, seen, aliases)
			return true
		})
		addNames(seen, expr)
	}
}

// addResults adds the names that comprehensions gather: they are looked at before their bodies are.
func addResults(seen ast.VarSet, expr *ast.Expr) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension:
			addNames(seen, x.Term)
		case *ast.SetComprehension:
			addNames(seen, x.Term)
		case *ast.ObjectComprehension:
			addNames(seen, x.Key)
			addNames(seen, x.Value)
		}
		return false
	}).Walk(expr)
}

func addNames(seen ast.VarSet, x any) {
	switch x := x.(type) {
	case *ast.Term:
		if x == nil {
			return
		}
	case ast.Args:
		for _, term := range x {
			addNames(seen, term)
		}
		return
	}
	ast.WalkVars(x, func(name ast.Var) bool {
		seen.Add(name)
		return false
	})
}

// aliasOf takes name = part apart; part is nil for any other expression.
func aliasOf(e *ast.Expr) (name ast.Var, part *ast.Term) {
	if e.Negated || len(e.With) > 0 || !e.IsEquality() || len(e.Operands()) != 2 {
		return "", nil
	}
	left, right := e.Operand(0), e.Operand(1)
	name, ok := left.Value.(ast.Var)
	if !ok {
		return "", nil
	}
	switch v := right.Value.(type) {
	case ast.Ref:
		if v.IsGround() {
			return name, right
		}
	case ast.Var:
		return name, right
	}
	return "", nil
}
