package policies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// ErrNotPublished says that the active set publishes no such document, or none that filters can be made of.
var ErrNotPublished = errors.New("not published")

// PublishedDecision is the name under which services may ask for the decision itself.
const PublishedDecision = "writ/decision/result"

// entryGuards are the guards that are common to grants and to application policies.
const entryGuards Entrypoint = "writ/decision/allow"

// publication is a document of an application's folder that services may ask for: a rule of its package with METADATA entrypoint.
type publication struct {
	ref ast.Ref
	// closed is what those get for whom the common guards do not hold.
	closed json.RawMessage
	// filter is nil where METADATA has no compile.
	filter *filterSource
}

// publications finds what the application folders publish.
func (s *set) publications(c *ast.Compiler) (map[Entrypoint]*publication, []Problem) {
	found := map[Entrypoint]*publication{}
	var problems []Problem
	annotations := c.GetAnnotationSet()
	for _, m := range s.modules {
		if m.test || !strings.HasPrefix(m.path, "apps/") {
			continue
		}
		compiled := c.Modules[m.name]
		for _, rule := range compiled.Rules {
			if rule.Default || !marked(annotations, rule) {
				continue
			}
			p, problem := publish(c, annotations, rule)
			if problem != nil {
				problems = append(problems, *problem)
				continue
			}
			found[p.name()] = p
		}
		if a := annotations.GetPackageScope(compiled.Package); a != nil && a.Entrypoint {
			problems = append(problems, problemAt(a.Location, "entrypoint", "what is published is a rule, not a package"))
		}
	}
	if len(found) > 0 && len(c.GetRulesExact(entryGuards.ref())) == 0 {
		problems = append(problems, Problem{
			File: string(entryGuards), Rule: "entrypoint", Message: "the core has no such rule, which applications' documents stand behind",
		})
	}
	return found, problems
}

func (p *publication) name() Entrypoint {
	parts := make([]string, 0, len(p.ref)-1)
	for _, term := range p.ref[1:] {
		name, _ := textOf(term)
		parts = append(parts, name)
	}
	return Entrypoint(strings.Join(parts, "/"))
}

// ref is the document of a whole path.
func (e Entrypoint) ref() ast.Ref {
	result := e.resultRef()
	return result[:len(result)-1]
}

// marked reports whether a rule, or the document that it is a part of, is an entrypoint.
func marked(annotations *ast.AnnotationSet, rule *ast.Rule) bool {
	here := annotations.GetRuleScope(rule)
	if document := annotations.GetDocumentScope(rule.Ref().GroundPrefix()); document != nil {
		here = append(slices.Clone(here), document)
	}
	return slices.ContainsFunc(here, func(a *ast.Annotations) bool { return a.Entrypoint })
}

// publish reads one rule's document. Its path is apps/<type>/<name>, which is what a route can name.
func publish(c *ast.Compiler, annotations *ast.AnnotationSet, rule *ast.Rule) (*publication, *Problem) {
	refuse := func(format string, args ...any) (*publication, *Problem) {
		p := problemAt(rule.Location, "entrypoint", format, args...)
		return nil, &p
	}
	ref := rule.Ref().GroundPrefix()
	if len(ref) != 4 || len(rule.Head.Args) > 0 {
		return refuse("an entrypoint of an application is a rule of package apps.<type>, and no function")
	}
	p := &publication{ref: ref}
	name := rule.Head.Name.String()
	if !validSegment(name) {
		return refuse("the name of an entrypoint is letters, digits, . _ and -")
	}
	switch {
	case rule.Head.RuleKind() == ast.MultiValue:
		p.closed = json.RawMessage("[]")
	case len(rule.Ref()) > len(ref):
		p.closed = json.RawMessage("{}")
	default:
		value, problem := defaultOf(c, ref)
		if problem != "" {
			return refuse("%s %s", name, problem)
		}
		p.closed = value
	}
	source, problem := newFilterSource(c, annotations, rule, ref)
	if problem != nil {
		return nil, problem
	}
	p.filter = source
	return p, nil
}

// defaultOf is the default of a rule with one value, as JSON.
func defaultOf(c *ast.Compiler, ref ast.Ref) (json.RawMessage, string) {
	for _, rule := range c.GetRulesExact(ref) {
		if !rule.Default {
			continue
		}
		if !ast.IsConstant(rule.Head.Value.Value) {
			return nil, "has a default that is computed"
		}
		value, err := plainJSON(rule.Head.Value.Value)
		if err != nil {
			return nil, "has a default that is no JSON"
		}
		return value, ""
	}
	return nil, "has no default, so it could be undefined"
}

// plainJSON is a value as JSON; sets are arrays in order.
func plainJSON(v ast.Value) (json.RawMessage, error) {
	plain, err := ast.JSONWithOpt(v, ast.JSONOpt{SortSets: true})
	if err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}

// prepareDocument adds the query of what is published to a snapshot.
func prepareDocument(ctx context.Context, ref ast.Ref, options []func(*rego.Rego)) (rego.PreparedEvalQuery, error) {
	query := rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(ref))))
	return rego.New(append(slices.Clone(options), query)...).PrepareForEval(ctx)
}

// Published names the documents that services may ask for, in order.
func (p *PDP) Published() []string {
	names := []string{PublishedDecision}
	for e := range p.active.Load().publications {
		names = append(names, string(e))
	}
	slices.Sort(names)
	return names
}

// Publishes reports whether services may ask for a document.
func (p *PDP) Publishes(name string) bool {
	return name == PublishedDecision || p.active.Load().publications[Entrypoint(name)] != nil
}

// Filters reports whether services may ask for filters of a document.
func (p *PDP) Filters(name string) bool {
	published := p.active.Load().publications[Entrypoint(name)]
	return published != nil && published.filter != nil
}

// Document answers a question with a published document in place of a decision. The common guards come first: of a question for which
// they do not hold, the answer is what the document is by default, and Decision.Allow is false. It fails with
// ErrNotPublished, or with an error that wraps ErrUndecided.
func (p *PDP) Document(ctx context.Context, name string, q *Question) (Decision, json.RawMessage, error) {
	s := p.active.Load()
	published := s.publications[Entrypoint(name)]
	if published == nil {
		return Decision{}, nil, ErrNotPublished
	}
	q.Entrypoint = Entrypoint(name)
	d, allowed, err := p.guarded(ctx, s, q)
	if err != nil || !allowed {
		return d, published.closed, err
	}
	value, err := p.evaluate(ctx, s, Entrypoint(name), d.input)
	if err != nil {
		return d, nil, p.undecided(ctx, q.Entrypoint, err)
	}
	result, err := plainJSON(value)
	if err != nil {
		return d, nil, p.undecided(ctx, q.Entrypoint, err)
	}
	d.Allow = true
	return d, result, nil
}

// guarded builds the input of a question and evaluates the common guards on it.
func (p *PDP) guarded(ctx context.Context, s *snapshot, q *Question) (Decision, bool, error) {
	d := Decision{ID: q.ID, PolicyRevision: s.set.revision, DataRevision: s.set.dataRev, snapshot: s}
	if d.ID == "" {
		d.ID = NewDecisionID()
	}
	input, err := q.build(&p.terms, Dialect(ctx))
	if err != nil {
		return d, false, p.undecided(ctx, q.Entrypoint, err)
	}
	d.input, d.facts = input, [3]*Facts{q.Subject, q.Client, q.Resource.Before}
	value, err := p.evaluate(ctx, s, entryGuards, input)
	if err != nil {
		return d, false, p.undecided(ctx, q.Entrypoint, err)
	}
	allowed, ok := value.(ast.Boolean)
	if !ok {
		return d, false, p.undecided(ctx, q.Entrypoint, malformed("the guards are not true or false"))
	}
	return d, bool(allowed), nil
}

// prepare makes the queries of what is published.
func (s *snapshot) prepare(ctx context.Context, options []func(*rego.Rego), partial []func(*rego.Rego)) error {
	if len(s.publications) == 0 {
		return nil
	}
	documents := map[Entrypoint]ast.Ref{entryGuards: entryGuards.ref()}
	for name, p := range s.publications {
		documents[name] = p.ref
		if p.filter != nil {
			if err := p.filter.prepare(ctx, partial); err != nil {
				return fmt.Errorf("entrypoint %s: %w", name, err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		query, err := prepareDocument(ctx, documents[name], options)
		if err != nil {
			return fmt.Errorf("entrypoint %s: %w", name, err)
		}
		s.queries[name] = query
	}
	return nil
}
