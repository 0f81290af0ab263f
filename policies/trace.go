package policies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Trace is how a set comes to its answer, for a person.
type Trace struct {
	Evaluation
	// Guards are the checks of the entrypoint in the order in which they are told.
	Guards []Guard `json:"guards"`
	// Grants are those of the subject that were looked up for the question.
	Grants []GrantLook `json:"grants"`
	// Suffices are grants that would change the answer, or what would be left to refuse.
	Suffices []Remedy `json:"suffices"`
}

// Guard is one check.
type Guard struct {
	Code  string `json:"code"`
	Rule  string `json:"rule"`
	Title string `json:"title,omitempty"`
	Held  bool   `json:"held"`
	// File and Line are where its rule begins.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Places are where it failed; for a deny, where it held.
	Places []Place `json:"places,omitempty"`
}

// Place is a condition that did not hold, with those of the rules that it asks.
type Place struct {
	File    string  `json:"file"`
	Line    int     `json:"line"`
	Column  int     `json:"column"`
	Text    string  `json:"text"`
	Because []Place `json:"because,omitempty"`
}

// GrantLook is a grant that was looked up.
type GrantLook struct {
	Tenant    string `json:"tenant"`
	Resource  string `json:"resource"`
	Action    string `json:"action"`
	Via       string `json:"via"`
	NotBefore string `json:"not_before"`
	NotAfter  string `json:"not_after"`
	// Counts says that it gives the right; Closed, that it would if its window were open.
	Counts bool `json:"counts"`
	Closed bool `json:"closed,omitempty"`
}

// Remedy is a grant that the subject does not have, and what the answer would be with it.
type Remedy struct {
	Tenant   string   `json:"tenant"`
	Resource string   `json:"resource"`
	Action   string   `json:"action"`
	Allow    bool     `json:"allow"`
	Left     []Reason `json:"left,omitempty"` // what would be left to refuse
}

// maxLooks bounds how many grants are looked at one by one.
const maxLooks = 50

// Explain evaluates an entrypoint of a set on an input, as Eval does, and says which checks held, where the others failed, which
// grants were looked at, and which would have sufficed. All of it is asked of the rules themselves.
func Explain(ctx context.Context, source Source, e Entrypoint, input io.Reader) (Trace, error) {
	s, value, err := asked(ctx, source, e, input)
	if err != nil {
		return Trace{}, err
	}
	t := tracer{snapshot: s, entrypoint: e, input: value}
	var trace Trace
	if trace.Evaluation, err = s.explain(ctx, e, value); err != nil {
		return Trace{}, err
	}
	if trace.Guards, err = t.guards(ctx); err != nil {
		return Trace{}, err
	}
	if trace.Grants, err = t.looks(ctx); err != nil {
		return Trace{}, err
	}
	trace.Suffices = []Remedy{}
	if !trace.Allow {
		trace.Suffices, err = t.remedies(ctx)
	}
	return trace, err
}

// tracer asks a snapshot about one input.
type tracer struct {
	snapshot   *snapshot
	entrypoint Entrypoint
	input      ast.Value
}

// ask evaluates any document; nil is undefined.
func (t *tracer) ask(ctx context.Context, ref ast.Ref, input ast.Value, seen topdown.QueryTracer) (ast.Value, error) {
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	query, err := rego.New(
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(ref)))), rego.Compiler(t.snapshot.compiler), rego.StrictBuiltinErrors(true),
		rego.Store(wholeStore{t.snapshot.store}), rego.Transaction(t.snapshot.txn),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	options := append(slices.Clone(t.snapshot.options), rego.EvalParsedInput(input), rego.EvalExternalCancel(cancel))
	if seen != nil {
		options = append(options, rego.EvalQueryTracer(seen), rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false))
	}
	results, err := query.Eval(ctx, options...)
	if err != nil || len(results) == 0 {
		return nil, err
	}
	term, ok := results[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		return nil, errUndefined
	}
	return term.Value, nil
}

// guards reads the checks that writ/why lists for the entrypoint: pairs of whether a guard held and what it stands for.
func (t *tracer) guards(ctx context.Context) ([]Guard, error) {
	guards := []Guard{}
	ref := append(EntryWhy.resultRef()[:3:3], ast.StringTerm("checks"), ast.StringTerm(string(t.entrypoint)))
	value, err := t.ask(ctx, ref, t.input, nil)
	if err != nil {
		return nil, fmt.Errorf("why: %w", err)
	}
	list, ok := value.(*ast.Array)
	if !ok {
		return guards, nil // a core of its own need not list any
	}
	rules := t.labels()
	var failed error
	list.Foreach(func(item *ast.Term) {
		pair, ok := item.Value.(*ast.Array)
		if !ok || pair.Len() != 2 || failed != nil {
			return
		}
		about, ok := pair.Elem(1).Value.(ast.Object)
		if !ok {
			return
		}
		g := Guard{Held: pair.Elem(0).Equal(ast.InternedTerm(true))}
		g.Code, _ = textOf(about.Get(key.code))
		g.Rule, _ = textOf(about.Get(key.rule))
		failed = t.place(ctx, &g, rules)
		guards = append(guards, g)
	})
	return guards, failed
}

// labelled is the document of a rule label.
type labelled struct {
	title string
	ref   ast.Ref
	at    *ast.Location
}

// labels finds the documents by their labels, and those of applications by their paths, as their reasons name them.
func (t *tracer) labels() map[string]labelled {
	found := map[string]labelled{}
	var modules []*ast.Module
	for _, m := range t.snapshot.set.modules {
		if !m.test {
			modules = append(modules, m.parsed)
		}
	}
	annotations, errs := ast.BuildAnnotationSet(modules)
	if len(errs) > 0 {
		return found
	}
	for _, m := range modules {
		for _, rule := range m.Rules {
			here := annotations.GetRuleScope(rule)
			if document := annotations.GetDocumentScope(rule.Ref().GroundPrefix()); document != nil {
				here = append(here, document)
			}
			for _, a := range here {
				label, _ := a.Labels["rule"].(string)
				for _, name := range []string{label, documentOf(rule)} {
					if _, known := found[name]; !known && name != "" {
						found[name] = labelled{a.Title, rule.Ref().GroundPrefix(), rule.Location}
					}
				}
			}
		}
	}
	return found
}

// place says where a guard failed, and of a deny where it held.
func (t *tracer) place(ctx context.Context, g *Guard, rules map[string]labelled) error {
	known, found := rules[g.Rule]
	if !found {
		return nil
	}
	g.Title, g.File, g.Line = known.title, known.at.File, known.at.Row
	if g.Held {
		return nil
	}
	seen := newFailures()
	if _, err := t.ask(ctx, known.ref, t.input, seen); err != nil {
		return fmt.Errorf("%s: %w", g.Rule, err)
	}
	g.Places = seen.places(t.snapshot.set, strings.HasSuffix(g.Rule, ".deny"))
	return nil
}

// failures is a tracer that keeps, for each body that was evaluated, how far it came.
type failures struct {
	bodies map[uint64]*body
	order  []uint64
}

type body struct {
	parent uint64
	rule   *ast.Rule
	at     *ast.Location // of the furthest condition that failed
	held   bool
}

func newFailures() *failures { return &failures{bodies: map[uint64]*body{}} }

// Enabled is true.
func (*failures) Enabled() bool { return true }

// Config wants no variables.
func (*failures) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent follows the evaluation. The engine's own expressions have the places of those that they were made of.
func (f *failures) TraceEvent(e topdown.Event) {
	b := f.bodies[e.QueryID]
	if b == nil {
		b = &body{parent: e.ParentID}
		f.bodies[e.QueryID] = b
		f.order = append(f.order, e.QueryID)
	}
	switch node := e.Node.(type) {
	case *ast.Rule:
		if b.rule == nil {
			b.rule = node
		}
		b.held = b.held || e.Op == topdown.ExitOp
	case *ast.Expr:
		if e.Op == topdown.FailOp && node.Location != nil && (b.at == nil || later(node.Location, b.at)) {
			b.at = node.Location
		}
	}
}

func later(a, b *ast.Location) bool { return a.Row > b.Row || a.Row == b.Row && a.Col > b.Col }

// maxBecause is how deep the rules that a rule asks are followed.
const maxBecause = 4

// places lists the branches of the traced document: where each failed or, with held, where each held.
func (f *failures) places(s *set, held bool) []Place {
	if len(f.order) == 0 {
		return nil
	}
	return f.below(s, f.order[0], held, 0)
}

func (f *failures) below(s *set, parent uint64, held bool, depth int) []Place {
	var places []Place
	if depth > maxBecause {
		return nil
	}
	for _, id := range f.order {
		b := f.bodies[id]
		if b.parent != parent || id == parent {
			continue
		}
		switch {
		case b.rule == nil || b.rule.Default: // a comprehension, an every: its rules count for the body that it stands in
			places = append(places, f.below(s, id, held, depth)...)
		case held && b.held:
			places = append(places, s.placeAt(b.rule.Location))
		case !held && !b.held && b.at != nil:
			p := s.placeAt(b.at)
			p.Because = f.below(s, id, false, depth+1)
			places = append(places, p)
		}
	}
	return distinct(places)
}

func distinct(places []Place) []Place {
	var once []Place
	for _, p := range places {
		if !slices.ContainsFunc(once, func(o Place) bool { return o.File == p.File && o.Line == p.Line && o.Column == p.Column }) {
			once = append(once, p)
		}
	}
	return once
}

// placeAt is a place with the line that stands there.
func (s *set) placeAt(at *ast.Location) Place {
	return Place{File: at.File, Line: at.Row, Column: at.Col, Text: strings.TrimSpace(s.line(at.File, at.Row))}
}

// line is a line of a file of the set, counted from 1; empty where there is none.
func (s *set) line(name string, row int) string {
	for _, m := range s.modules {
		if m.name == name {
			return lineOf(m.body, row)
		}
	}
	return ""
}

func lineOf(text []byte, row int) string {
	for ; row > 1; row-- {
		_, rest, found := bytes.Cut(text, []byte("\n"))
		if !found {
			return ""
		}
		text = rest
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r")))
}

// granted is the rule of an entrypoint that asks for a grant, if it has one.
func (t *tracer) granted() ast.Ref {
	ref := t.entrypoint.resultRef()
	ref = append(ref[:len(ref)-1:len(ref)-1], ast.StringTerm("granted"))
	if len(t.snapshot.compiler.GetRulesExact(ref)) == 0 {
		return nil
	}
	return ref
}

// looks asks the rule about each grant that the question looks up, alone.
func (t *tracer) looks(ctx context.Context) ([]GrantLook, error) {
	looks := []GrantLook{}
	granted := t.granted()
	if granted == nil {
		return looks, nil
	}
	question, err := document(t.input)
	if err != nil {
		return nil, err
	}
	resource, subject := objectIn(question, "resource"), objectIn(question, "subject")
	tenant, _ := resource["tenant"].(string)
	covers, _ := resource["covers"].([]any)
	for _, tenant := range slices.Compact([]string{tenant, "*"}) {
		for _, on := range covers {
			name, _ := on.(string)
			actions := objectIn(objectIn(objectIn(subject, "grants"), tenant), name)
			for _, action := range slices.Sorted(maps.Keys(actions)) {
				vias := objectIn(actions, action)
				for _, via := range slices.Sorted(maps.Keys(vias)) {
					if len(looks) == maxLooks {
						return looks, nil
					}
					look := GrantLook{Tenant: tenant, Resource: name, Action: action, Via: via}
					look.NotBefore, look.NotAfter = fmt.Sprint(objectIn(vias, via)["not_before"]), fmt.Sprint(objectIn(vias, via)["not_after"])
					if look.Counts, err = t.gives(ctx, granted, question, look, objectIn(vias, via)); err == nil && !look.Counts {
						look.Closed, err = t.gives(ctx, granted, question, look, always())
					}
					if err != nil {
						return nil, err
					}
					looks = append(looks, look)
				}
			}
		}
	}
	return looks, nil
}

func objectIn(of map[string]any, name string) map[string]any {
	inner, _ := of[name].(map[string]any)
	return inner
}

func always() map[string]any {
	return map[string]any{"not_before": int64(0), "not_after": int64(Forever)}
}

// gives asks the rule about a subject that has one grant and no other.
func (t *tracer) gives(ctx context.Context, rule ast.Ref, question map[string]any, g GrantLook, window map[string]any) (bool, error) {
	input, err := withGrants(question, map[string]any{
		g.Tenant: map[string]any{g.Resource: map[string]any{g.Action: map[string]any{"own": window}}},
	})
	if err != nil {
		return false, err
	}
	value, err := t.ask(ctx, rule, input, nil)
	return value != nil && value.Compare(ast.Boolean(true)) == 0, err
}

func withGrants(question, grants map[string]any) (ast.Value, error) {
	changed, subject := maps.Clone(question), maps.Clone(objectIn(question, "subject"))
	if subject == nil {
		return nil, errors.New("input.subject is no object")
	}
	subject["grants"] = grants
	changed["subject"] = subject
	value, err := ast.InterfaceToValue(changed)
	if err != nil {
		return nil, err
	}
	settle(value)
	return value, nil
}

// remedies tries the narrowest grants there are: on the object, on its type. The rules say what each would change.
func (t *tracer) remedies(ctx context.Context) ([]Remedy, error) {
	remedies := []Remedy{}
	granted := t.granted()
	if granted == nil {
		return remedies, nil
	}
	question, err := document(t.input)
	if err != nil {
		return nil, err
	}
	if value, err := t.ask(ctx, granted, t.input, nil); err != nil || value != nil && value.Compare(ast.Boolean(true)) == 0 {
		return remedies, err // it is not a grant that is missing
	}
	resource := objectIn(question, "resource")
	tenant, _ := resource["tenant"].(string)
	action, _ := objectIn(question, "action")["name"].(string)
	covers, _ := resource["covers"].([]any)
	kind, _ := resource["type"].(string)
	for _, on := range covers {
		name, _ := on.(string)
		if !below(strings.ReplaceAll(name, "/", "."), strings.ReplaceAll(kind, "/", ".")) {
			continue // above the type: more than is needed
		}
		remedy := Remedy{Tenant: tenant, Resource: name, Action: action}
		if useful, err := t.try(ctx, granted, question, &remedy); err != nil {
			return nil, err
		} else if useful {
			remedies = append(remedies, remedy)
		}
	}
	return remedies, nil
}

// try reports whether a grant beside those of the subject gives the right or changes the answer.
func (t *tracer) try(ctx context.Context, granted ast.Ref, question map[string]any, r *Remedy) (bool, error) {
	grants := cloneTree(objectIn(objectIn(question, "subject"), "grants"))
	at := grants
	for _, name := range []string{r.Tenant, r.Resource, r.Action} {
		next, ok := at[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[name] = next
		}
		at = next
	}
	at["own"] = always()
	input, err := withGrants(question, grants)
	if err != nil {
		return false, err
	}
	value, err := t.ask(ctx, granted, input, nil)
	if err != nil || value == nil || value.Compare(ast.Boolean(true)) != 0 {
		return false, err
	}
	answer, err := t.snapshot.explain(ctx, t.entrypoint, input)
	if err != nil {
		return false, err
	}
	if r.Allow = answer.Allow; !r.Allow {
		r.Left = answer.Reasons
		// A policy that asks for no grant is told to nobody as one that a grant would open.
		return !slices.ContainsFunc(r.Left, func(left Reason) bool { return left.Code == "not_granted" }), nil
	}
	return true, nil
}

func cloneTree(tree map[string]any) map[string]any {
	clone := make(map[string]any, len(tree))
	for name, value := range tree {
		if inner, ok := value.(map[string]any); ok {
			value = cloneTree(inner)
		}
		clone[name] = value
	}
	return clone
}
