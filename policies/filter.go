package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Limits of one filter. What is larger is refused: a store could do little with it.
const (
	maxLeaves  = 1000 // tests about fields
	maxObjects = 1000 // objects that the subject's rights name one by one
	maxKinds   = 16   // among which this many hold different rights
)

// loadDeadline ends the look at what one policy's filters could be when a set is loaded.
const loadDeadline = 2 * time.Second

// idField is what filters call the id of an object.
const idField = "id"

// What of a question about many objects is not known: their ids and, as far as METADATA compile says, their properties.
var (
	idRef         = ast.MustParseRef("input.resource.id")
	pathRef       = ast.MustParseRef("input.resource.path")
	propertiesRef = ast.MustParseRef("input.resource.properties")
)

// filterSource is a document of which filters can be made: the objects for which it is true or, if it is a set, has a member. Of permit, the
// objects for which deny has a member are left out, as the decision does.
type filterSource struct {
	unknown        []ast.Ref
	mask           ast.Ref // nil: none
	wanted, vetoed ast.Body
	// prepared; veto and masks where there are such rules.
	want, veto *rego.PreparedPartialQuery
	masks      *rego.PreparedEvalQuery
}

// newFilterSource reads METADATA compile of a rule, of its document or of its package; nil where there is none.
func newFilterSource(c *ast.Compiler, annotations *ast.AnnotationSet, rule *ast.Rule, ref ast.Ref) (*filterSource, *Problem) {
	var given *ast.CompileAnnotation
	var at *ast.Location
	for _, a := range annotations.Chain(rule) {
		if a.Annotations != nil && a.Annotations.Compile != nil {
			given, at = a.Annotations.Compile, a.Annotations.Location
			break
		}
	}
	if given == nil {
		return nil, nil
	}
	refuse := func(format string, args ...any) (*filterSource, *Problem) {
		p := problemAt(at, ruleFilter, format, args...)
		return nil, &p
	}
	source := &filterSource{unknown: []ast.Ref{idRef, pathRef}}
	for _, unknown := range given.Unknowns {
		if !unknown.HasPrefix(propertiesRef) && !unknown.Equal(idRef) || len(unknown) > len(propertiesRef)+1 || !unknown.IsGround() {
			return refuse("unknown %v: what is unknown is input.resource.properties or single ones of them, and always input.resource.id", unknown)
		}
		source.unknown = append(source.unknown, unknown)
	}
	if mask := given.MaskRule; mask != nil {
		if !mask.HasPrefix(ast.DefaultRootRef) {
			mask = rule.Module.Package.Path.Extend(mask)
		}
		rules := c.GetRulesExact(mask)
		if len(rules) == 0 {
			return refuse("mask rule %v: there is no such rule", mask)
		}
		if _, problem := defaultOf(c, mask); problem != "" && rules[0].Ref().GroundPrefix().Equal(rules[0].Ref()) {
			return refuse("mask rule %v %s: what is undefined would mask nothing", mask, problem)
		}
		source.mask = mask
	}
	switch {
	case rule.Head.RuleKind() == ast.MultiValue:
		source.wanted = anyMember(ref)
	case rule.Head.Value != nil && rule.Head.Value.Equal(ast.InternedBooleanTrue):
		source.wanted = ast.NewBody(ast.NewExpr(ast.NewTerm(ref)))
	default:
		return refuse("filters are made of sets and of rules that are true or false")
	}
	if deny := rule.Module.Package.Path.Append(ast.StringTerm("deny")); rule.Head.Name == "permit" && len(c.GetRulesExact(deny)) > 0 {
		source.vetoed = anyMember(deny)
	}
	return source, nil
}

// anyMember asks for any member of a set.
func anyMember(ref ast.Ref) ast.Body {
	return ast.NewBody(ast.NewExpr(ast.NewTerm(append(slices.Clone(ref), ast.VarTerm("reason")))))
}

func (f *filterSource) prepare(ctx context.Context, options []func(*rego.Rego)) error {
	for body, to := range map[*ast.Body]**rego.PreparedPartialQuery{&f.wanted: &f.want, &f.vetoed: &f.veto} {
		if *body == nil {
			continue
		}
		// Shallow: rules stay rules. Written out, "not x != 1", which is undefined where x is, and "not" of a rule whose body is
		// x != 1, which then holds, would both be left as the first.
		query, err := rego.New(append(slices.Clone(options), rego.ParsedQuery(*body), rego.ShallowInlining(true))...).PrepareForPartial(ctx)
		if err != nil {
			return err
		}
		*to = &query
	}
	if f.mask == nil {
		return nil
	}
	query, err := prepareDocument(ctx, f.mask, options)
	f.masks = &query
	return err
}

// FilterError is a filter that cannot be made, with the places in the policy.
type FilterError struct{ Problems []Problem }

func (e *FilterError) Error() string {
	return (&problemError{e.Problems}).Error()
}

func tooLarge(what string) error {
	return &FilterError{[]Problem{{Rule: ruleFilter, Message: "the filter is too large: " + what}}}
}

// ErrUnknown says that a request names as unknown what the policy does not.
var ErrUnknown = errors.New("not unknown to the policy")

// Filter makes the filter that selects those objects for which the question would be permitted, of the type and the tenant that it
// names. Unknowns narrows what of an object is not known; nil is all that the policy says. It fails with ErrNotPublished, ErrUnknown, a
// *FilterError, or an error that wraps ErrUndecided.
func (p *PDP) Filter(ctx context.Context, name string, q *Question, unknowns []string) (Decision, *Filter, error) {
	s := p.active.Load()
	published := s.publications[Entrypoint(name)]
	if published == nil || published.filter == nil {
		return Decision{}, nil, ErrNotPublished
	}
	unknown, err := published.filter.narrowed(unknowns)
	if err != nil {
		return Decision{}, nil, err
	}
	ctx, done := context.WithTimeout(ctx, p.config.Deadline)
	defer done()
	q.Entrypoint = Entrypoint(name)
	m := filterMaker{pdp: p, snapshot: s, source: published.filter, unknown: unknown, question: q, texts: map[string]bool{}}
	d, filter, err := m.make(ctx)
	if problem := (*FilterError)(nil); err != nil && !errors.As(err, &problem) && !errors.Is(err, ErrUndecided) {
		err = p.undecided(ctx, q.Entrypoint, err)
	}
	return d, filter, err
}

// narrowed is what is unknown to a request: what the policy says, or less.
func (f *filterSource) narrowed(names []string) ([]ast.Ref, error) {
	if names == nil {
		return f.unknown, nil
	}
	unknown := []ast.Ref{idRef, pathRef}
	for _, name := range names {
		ref, err := ast.ParseRef(name)
		if err != nil || !ref.IsGround() || len(ref) > len(propertiesRef)+1 {
			return nil, ErrUnknown
		}
		if !slices.ContainsFunc(f.unknown, func(known ast.Ref) bool { return ref.HasPrefix(known) }) {
			return nil, ErrUnknown
		}
		unknown = append(unknown, ref)
	}
	return unknown, nil
}

// filterMaker makes one filter.
type filterMaker struct {
	pdp      *PDP
	snapshot *snapshot
	source   *filterSource
	unknown  []ast.Ref
	question *Question
	texts    map[string]bool
}

// make asks once for objects that no right of the subject names, and once for each kind of objects that rights do name: what these
// rights give is part of the filter.
func (m *filterMaker) make(ctx context.Context) (Decision, *Filter, error) {
	d, general, err := m.one(ctx, *m.question)
	if err != nil {
		return d, nil, err
	}
	kinds, err := m.named()
	if err != nil {
		return d, nil, err
	}
	parts, apart := []*condition{}, []any{}
	for _, ids := range kinds {
		single := *m.question
		single.Resource.ID = ids[0]
		_, c, err := m.one(ctx, single)
		if err != nil {
			return d, nil, err
		}
		if c.text() == general.text() {
			continue
		}
		values := make([]any, len(ids))
		for i, id := range ids {
			values[i] = id
		}
		apart = append(apart, values...)
		parts = append(parts, all(among(idField, values), c))
	}
	if len(parts) > 0 {
		general = either(append(parts, all(not(among(idField, apart)), general))...)
	}
	if general.leaves() > maxLeaves {
		return d, nil, tooLarge(fmt.Sprintf("more than %d comparisons", maxLeaves))
	}
	filter := &Filter{condition: general}
	for field := range m.texts {
		filter.texts = append(filter.texts, field)
	}
	slices.Sort(filter.texts)
	d.Allow = !filter.Nobody()
	if d.Allow && m.source.masks != nil {
		value, err := m.snapshot.partly(ctx, func(options []rego.EvalOption) (ast.Value, error) {
			return single(m.source.masks.Eval(ctx, append(options, rego.EvalParsedInput(d.input))...))
		})
		if err != nil {
			return d, nil, err
		}
		if filter.Masks, err = plainJSON(value); err != nil {
			return d, nil, err
		}
	}
	return d, filter, nil
}

// one is the condition of a question about objects that no right names, or about those of one id. If the guards do not hold, it is nothing.
func (m *filterMaker) one(ctx context.Context, q Question) (Decision, *condition, error) {
	d, allowed, err := m.pdp.guarded(ctx, m.snapshot, &q)
	if err != nil || !allowed {
		return d, nothing(), err
	}
	t := newTranslation(m.snapshot.compiler, m.unknown, false)
	c, err := m.source.condition(ctx, m.snapshot, d.input, m.unknown, t)
	if err != nil {
		return d, nil, err
	}
	if len(t.problems) > 0 {
		return d, nil, &FilterError{t.problems}
	}
	for field := range t.texts {
		m.texts[field] = true
	}
	return d, c, nil
}

// condition evaluates a policy as far as it can be, and translates the rest.
func (f *filterSource) condition(ctx context.Context, s *snapshot, input ast.Value, unknown []ast.Ref, t *translation) (*condition, error) {
	terms := make([]*ast.Term, len(unknown))
	for i, ref := range unknown {
		terms[i] = ast.NewTerm(ref)
	}
	if t.abstract {
		terms = []*ast.Term{ast.NewTerm(ast.InputRootRef)}
	}
	var parts [2]*condition
	for i, query := range []*rego.PreparedPartialQuery{f.want, f.veto} {
		parts[i] = nothing()
		if query == nil {
			continue
		}
		var left *rego.PartialQueries
		_, err := s.partly(ctx, func(options []rego.EvalOption) (ast.Value, error) {
			options = append(options, rego.EvalParsedUnknowns(terms), rego.EvalRuleIndexing(false))
			if input != nil {
				options = append(options, rego.EvalParsedInput(input))
			}
			var err error
			left, err = query.Partial(ctx, options...)
			return nil, err
		})
		if err != nil {
			return nil, err
		}
		if len(left.Queries) > maxLeaves && !t.abstract {
			return nil, tooLarge(fmt.Sprintf("more than %d alternatives", maxLeaves))
		}
		parts[i] = t.queries(left)
	}
	return all(parts[0], not(parts[1])), nil
}

// partly evaluates until ctx ends.
func (s *snapshot) partly(ctx context.Context, run func([]rego.EvalOption) (ast.Value, error)) (ast.Value, error) {
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	return run([]rego.EvalOption{
		rego.EvalMetrics(metrics.NoOp()), rego.EvalTransaction(s.txn), rego.EvalExternalCancel(cancel),
		rego.EvalGenerateJSON(func(term *ast.Term, _ *rego.EvalContext) (any, error) { return term, nil }),
	})
}

// named lists the objects of the type that rights or scopes of the subject name one by one, those with the same rights together.
func (m *filterMaker) named() ([][]string, error) {
	rights := map[string][]string{} // by id
	prefix := m.question.Resource.Type + "/"
	note := func(resource, right string) {
		if id, ok := strings.CutPrefix(resource, prefix); ok && !strings.Contains(id, "/") {
			rights[id] = append(rights[id], right)
		}
	}
	for _, g := range m.question.Subject.Identity().Grants {
		note(g.Resource, fmt.Sprintf("%q %q %q %d %d", g.Tenant, g.Action, g.Via, g.NotBefore.UnixNano(), g.NotAfter.UnixNano()))
	}
	for _, scope := range m.question.Caller.Scopes.List() {
		if resource, action, err := ParsePermission(scope); err == nil {
			note(resource, "scope "+action)
		}
	}
	if len(rights) > maxObjects {
		return nil, tooLarge(fmt.Sprintf("the rights of the subject name more than %d objects", maxObjects))
	}
	kinds := map[string][]string{}
	for id, held := range rights {
		slices.Sort(held)
		name := strings.Join(slices.Compact(held), "\n")
		kinds[name] = append(kinds[name], id)
	}
	if len(kinds) > maxKinds {
		return nil, tooLarge(fmt.Sprintf("the rights of the subject to single objects differ in more than %d ways", maxKinds))
	}
	list := make([][]string, 0, len(kinds))
	for _, ids := range kinds {
		slices.Sort(ids)
		list = append(list, ids)
	}
	slices.SortFunc(list, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	return list, nil
}

// checkFilters looks at every policy of which filters are made, whoever may ask: with nothing of the input known, what
// is left must be translatable wherever an object takes part.
func (s *snapshot) checkFilters(ctx context.Context) error {
	var problems []Problem
	for name, p := range s.publications {
		if p.filter == nil {
			continue
		}
		t := newTranslation(s.compiler, p.filter.unknown, true)
		within, done := context.WithTimeout(ctx, loadDeadline)
		_, err := p.filter.condition(within, s, nil, p.filter.unknown, t)
		done()
		if err != nil {
			problems = append(problems, Problem{File: string(name), Rule: ruleFilter, Message: err.Error()})
		}
		problems = append(problems, t.problems...)
	}
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, compareProblems)
	return &problemError{problems}
}
