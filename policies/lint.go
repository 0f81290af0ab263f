package policies

import (
	"bytes"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// lint reports what violates the house rules of policies. Only text and syntax are looked at; the set need not compile.
func (s *set) lint() []Problem {
	var problems []Problem
	for _, m := range s.modules {
		body, err := formatted(m.name, m.body)
		if err == nil && !bytes.Equal(body, m.body) {
			problems = append(problems, Problem{
				File: m.name, Line: 1, Column: 1, Rule: "format", Message: "not formatted; run writ policy fmt",
			})
		}
		problems = append(problems, lintCalls(m)...)
		if m.test {
			continue
		}
		if m.core || m.dir || !s.untested {
			problems = append(problems, s.lintTested(m)...)
		}
		problems = append(problems, lintRules(m)...)
	}
	problems = append(problems, s.lintTestNames()...)
	problems = append(problems, s.lintReferences()...)
	problems = append(problems, s.lintMetadata()...)
	return append(problems, s.lintGuards()...)
}

// lintSchemas demands a schema of the input where rules read it: without one, a misspelt name is undefined for ever. It tells of
// the first rule in a file.
func lintSchemas(m *module, annotations *ast.AnnotationSet) []Problem {
	of := func(a *ast.Annotations) bool {
		return a != nil && slices.ContainsFunc(a.Schemas, func(s *ast.SchemaAnnotation) bool {
			return s.Path.HasPrefix(ast.InputRootRef)
		})
	}
	if of(annotations.GetPackageScope(m.parsed.Package)) || m.parsed.Package.Path.HasPrefix(maskRef()[:3]) {
		return nil // the input of masks is a line of the decision log
	}
	for _, rule := range m.parsed.Rules {
		here := append(annotations.GetRuleScope(rule), annotations.GetDocumentScope(rule.Ref().GroundPrefix()))
		if slices.ContainsFunc(here, of) {
			continue
		}
		var at *ast.Location
		ast.WalkRefs(rule, func(ref ast.Ref) bool {
			if at == nil && ref[0].Equal(ast.InputRootDocument) {
				at = ref[0].Location
			}
			return false
		})
		if at != nil {
			return []Problem{problemAt(at, "schema", "the package needs METADATA with schemas: [input: schema.input]")}
		}
	}
	return nil
}

// lintTestNames refuses a test name that stands twice in a package: the rules would be one test, which any of them passes.
func (s *set) lintTestNames() []Problem {
	var problems []Problem
	first := map[string]*ast.Rule{}
	for _, m := range s.modules {
		if !m.test {
			continue
		}
		for _, rule := range m.parsed.Rules {
			name := documentOf(rule)
			if !strings.HasPrefix(strings.TrimPrefix(name, m.pkg()+"."), "test_") {
				continue
			}
			if other := first[name]; other != nil {
				problems = append(problems, problemAt(rule.Location, "twice", "%s is also at %s", rule.Head.Ref(), other.Location))
				continue
			}
			first[name] = rule
		}
	}
	return problems
}

// lintReferences reports what refers to a document that neither a rule nor the data make: it is undefined for ever, and most often
// misspelt. Below a document of the data anything may come.
func (s *set) lintReferences() []Problem {
	known := map[string]bool{}
	for _, m := range s.modules {
		known[m.pkg()] = true
		for _, rule := range m.parsed.Rules {
			known[documentOf(rule)] = true
		}
	}
	there := func(name string) bool {
		if known[name] || exists(s.data, strings.Split(name, ".")) {
			return true
		}
		for other := range known {
			if below(other, name) {
				return true
			}
		}
		return false
	}
	var problems []Problem
	for _, m := range s.modules {
		if m.test { // which put documents there, and fail if they misspell one
			continue
		}
		ast.WalkRefs(m.parsed, func(ref ast.Ref) bool {
			if len(ref) < 2 || !ref[0].Equal(ast.DefaultRootDocument) || ref.Equal(m.parsed.Package.Path) || ref[0].Location == nil {
				return false
			}
			parts := strings.Split(dotted(ref[1:]), ".")
			deep := 3 // data.writ.decision.granted, data.apps.invoice.limit
			if parts[0] == "settings" || parts[0] == "catalogue" {
				deep = 2
			}
			if name := strings.Join(parts[:min(deep, len(parts))], "."); name != "" && !there(name) {
				problems = append(problems, problemAt(ref[0].Location, "reference", "there is no data.%s", name))
			}
			return false
		})
	}
	return problems
}

// lintCalls refuses what is for debugging, and in rules also "with", which would let a rule ask about another input than
// was asked.
func lintCalls(m *module) []Problem {
	var problems []Problem
	ast.WalkExprs(m.parsed, func(e *ast.Expr) bool {
		if e.IsCall() {
			if name := e.Operator().String(); name == "print" || name == "trace" {
				problems = append(problems, problemAt(e.Location, "debug", "%s stays out of policies", name))
			}
		}
		if !m.test && len(e.With) > 0 {
			problems = append(problems, problemAt(e.Location, "with", "with is for tests"))
		}
		return false
	})
	return problems
}

// lintTested demands a test file beside every file of rules, and for every deny of an application a test that names its
// code.
func (s *set) lintTested(m *module) []Problem {
	var problems []Problem
	var tests []*module
	for _, other := range s.modules {
		if other.test && other.pkg() == m.pkg()+"_test" {
			tests = append(tests, other)
		}
	}
	want := strings.TrimSuffix(m.path, ".rego") + "_test.rego"
	if !slices.ContainsFunc(tests, func(t *module) bool { return t.path == want }) {
		problems = append(problems, Problem{File: m.name, Line: 1, Column: 1, Rule: "test", Message: "there is no " + want})
	}
	if m.core {
		return problems
	}
	for _, rule := range m.parsed.Rules {
		if rule.Head.Name != "deny" || rule.Head.Key == nil {
			continue
		}
		code, ok := textOf(rule.Head.Key)
		if ok && !slices.ContainsFunc(tests, func(t *module) bool { return bytes.Contains(t.body, []byte(code)) }) {
			problems = append(problems, problemAt(rule.Location, "deny", "no test fires %q", code))
		}
	}
	return problems
}

func lintRules(m *module) []Problem {
	var problems []Problem
	defaults := map[string]*ast.Rule{}
	for _, rule := range m.parsed.Rules {
		if rule.Default {
			defaults[rule.Head.Ref().String()] = rule
		}
	}
	for _, rule := range m.parsed.Rules {
		name := rule.Head.Name.String()
		if m.core && name == "deny" {
			problems = append(problems, problemAt(rule.Location, "deny",
				"the core has guards, no deny rules: an undefined deny would open"))
		}
		if d := defaults[rule.Head.Ref().String()]; d != nil && !rule.Default && rule.Head.Value != nil && rule.Else == nil &&
			rule.Head.Value.Equal(d.Head.Value) {
			problems = append(problems, problemAt(rule.Location, "default", "the rule assigns its own default"))
		}
		problems = append(problems, lintBody(rule)...)
		if !m.core { // which goes through the grants of a target, whose number is bounded before it is asked
			problems = append(problems, lintComprehensions(rule)...)
		}
	}
	return problems
}

// lintComprehensions refuses comprehensions over the input.
func lintComprehensions(rule *ast.Rule) []Problem {
	var problems []Problem
	ast.WalkTerms(rule, func(term *ast.Term) bool {
		var body ast.Body
		switch c := term.Value.(type) {
		case *ast.ArrayComprehension:
			body = c.Body
		case *ast.SetComprehension:
			body = c.Body
		case *ast.ObjectComprehension:
			body = c.Body
		}
		if at := overInput(body); at != nil {
			problems = append(problems, problemAt(at, "comprehension",
				"a comprehension over the input costs what the asker likes; use in, some or every, or a look-up by key"))
		}
		return false
	})
	return problems
}

func lintBody(rule *ast.Rule) []Problem {
	var problems []Problem
	ast.WalkBodies(rule, func(body ast.Body) bool {
		for _, e := range body {
			term, ok := e.Terms.(*ast.Term)
			if !ok || len(body) == 1 && term.Equal(ast.InternedBooleanTrue) {
				continue // a rule without a body has the body true
			}
			switch term.Value.(type) {
			case ast.Boolean, ast.Number, ast.String, ast.Null:
				problems = append(problems, problemAt(e.Location, "constant", "the condition is always the same"))
			}
		}
		return false
	})
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if e.IsCall() && e.Operator().Equal(ast.NotEqual.Ref()) && slices.ContainsFunc(e.Operands(), iterates) {
			problems = append(problems, problemAt(e.Location, "loop",
				"!= over a loop asks whether any differs; use not … in, or every"))
		}
		return false
	})
	return problems
}

// overInput is where a body goes through what is below input, or nil.
func overInput(body ast.Body) *ast.Location {
	var at *ast.Location
	fromInput := func(term *ast.Term) bool {
		ref, ok := term.Value.(ast.Ref)
		return ok && ref[0].Equal(ast.InputRootDocument)
	}
	ast.WalkExprs(body, func(e *ast.Expr) bool {
		declared, ok := e.Terms.(*ast.SomeDecl)
		if !ok || at != nil {
			return at != nil
		}
		for _, symbol := range declared.Symbols {
			if call, ok := symbol.Value.(ast.Call); ok && fromInput(call[len(call)-1]) {
				at = e.Location
			}
		}
		return false
	})
	ast.WalkRefs(body, func(ref ast.Ref) bool {
		if at == nil && ref[0].Equal(ast.InputRootDocument) && !ref.IsGround() {
			at = ref[0].Location
		}
		return false
	})
	return at
}

// iterates reports whether a term is a reference through a wildcard, such as xs[_].
func iterates(term *ast.Term) bool {
	ref, ok := term.Value.(ast.Ref)
	return ok && slices.ContainsFunc(ref[1:], func(t *ast.Term) bool {
		v, isVar := t.Value.(ast.Var)
		return isVar && v.IsWildcard()
	})
}

// lintMetadata demands a schema, and a title and a rule label of every rule, on the document or on each of its parts, and that
// no two documents share a label.
func (s *set) lintMetadata() []Problem {
	var modules []*ast.Module
	for _, m := range s.modules {
		if !m.test {
			modules = append(modules, m.parsed)
		}
	}
	annotations, errs := ast.BuildAnnotationSet(modules)
	if len(errs) > 0 {
		return astProblems("", "metadata", errs)
	}
	var problems []Problem
	for _, m := range s.modules {
		if !m.test {
			problems = append(problems, lintSchemas(m, annotations)...)
		}
	}
	owner := map[string]string{}
	for _, m := range modules {
		for _, rule := range m.Rules {
			path := rule.Ref().GroundPrefix()
			here := annotations.GetRuleScope(rule)
			if document := annotations.GetDocumentScope(path); document != nil {
				here = append(here, document)
			}
			at := slices.IndexFunc(here, func(a *ast.Annotations) bool { return a.Title != "" && a.Labels["rule"] != nil })
			if at < 0 {
				problems = append(problems, problemAt(rule.Location, "metadata",
					"%s needs METADATA with title and labels.rule", rule.Head.Ref()))
				continue
			}
			label, _ := here[at].Labels["rule"].(string)
			if first, taken := owner[label]; taken && first != path.String() {
				problems = append(problems, problemAt(rule.Location, "metadata", "label %q is also that of %s", label, first))
			}
			owner[label] = path.String()
		}
	}
	return problems
}

// lintGuards demands a default of every rule that an allow of the core calls for: what is undefined must refuse in a way
// that why can tell.
func (s *set) lintGuards() []Problem {
	closed, guards := map[string]bool{}, map[string]*ast.Location{}
	for _, m := range s.modules {
		if m.test || !m.core {
			continue
		}
		for _, rule := range m.parsed.Rules {
			if rule.Default {
				closed[m.pkg()+"."+rule.Head.Ref().String()] = true
			}
			if rule.Head.Name != "allow" {
				continue
			}
			guards[m.pkg()+".allow"] = rule.Location
			for _, e := range rule.Body {
				if term, ok := e.Terms.(*ast.Term); ok && !e.Negated {
					if guard, ok := term.Value.(ast.Var); ok {
						guards[m.pkg()+"."+string(guard)] = e.Location
					}
				}
			}
		}
	}
	var problems []Problem
	for name, at := range guards {
		if !closed[name] {
			problems = append(problems, problemAt(at, "guard", "%s has no default", name))
		}
	}
	return problems
}
