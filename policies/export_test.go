package policies

import (
	"context"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// InputDocument is the input that a question is evaluated on.
func InputDocument(q *Question) (ast.Value, error) { return q.build(&terms{}) }

// CompleteInput is how written inputs are completed.
func CompleteInput(e Entrypoint, given map[string]any) (ast.Value, error) {
	c, err := newCompleter()
	if err != nil {
		return nil, err
	}
	return c.complete(e, given)
}

// DecodeResult is how the result of an entrypoint is read.
func DecodeResult(result ast.Value, c *Catalogue) (Decision, error) {
	var d Decision
	err := d.decode(result, c)
	return d, err
}

// ParseCatalogue makes a catalogue of YAML.
func ParseCatalogue(text string) (*Catalogue, error) {
	s := &set{catalogue: newCatalogue()}
	err := s.addCatalogue(file{path: "catalogue/data.yaml", name: "test", body: []byte(text)}, "")
	return s.catalogue, err
}

// DecodeYAML is how data files are read.
func DecodeYAML(text string) (any, error) { return decodeYAML([]byte(text)) }

// AllowedBuiltins is the positive list.
func AllowedBuiltins() []string { return slices.Clone(allowedBuiltins()) }

// Goldens runs the golden decisions of a directory and returns what differs, with the questions that were asked.
func Goldens(dir string) (asked []Golden, err error) {
	vectors, err := readVectors(dir)
	for _, v := range vectors {
		resource := v.input.(ast.Object).Get(key.resource).Value.(ast.Object)
		kind, _ := textOf(resource.Get(key.typ))
		action, _ := textOf(v.input.(ast.Object).Get(key.action).Value.(ast.Object).Get(key.name))
		asked = append(asked, Golden{v.name, kind, action, v.entrypoint, v.allow})
	}
	return asked, err
}

// RunGoldens runs the golden decisions that a directory of policies brings, under what it brings, and none of the tests.
func RunGoldens(ctx context.Context, dir string) (results []TestResult, err error) {
	l, err := newLayers(shipped(), Source{Dir: dir})
	if err != nil {
		return nil, err
	}
	s, err := load(l, true, nil)
	if err != nil {
		return nil, err
	}
	sn, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	vectors, err := vectorsOf(s.golden)
	for i := range vectors {
		results = append(results, vectors[i].result(ctx, sn))
	}
	return results, err
}

// Golden is what a golden decision is about.
type Golden struct {
	Name, Type, Action string
	Entrypoint         Entrypoint
	Allow              bool
}

// RuleCache is the engine's cache of rule results.
func RuleCache() interface {
	Push()
	Pop()
	Get(ast.Ref) (*ast.Term, bool)
	Put(ast.Ref, *ast.Term)
	Keys() []ast.Ref
} {
	c := &ruleCache{}
	c.reset()
	return c
}

// ShippedHash is the hash of the shipped set, and whether it is the one that was tested.
func ShippedHash() (string, bool, error) {
	hash, err := shippedHash()
	if err != nil {
		return "", false, err
	}
	ok, err := proven()
	return hash, ok, err
}

// Policy is a policy on its own, with what filters are made of: rules permit and deny of a package apps.zoo.
type Policy struct {
	snapshot *snapshot
	source   *filterSource
	store    []func(*rego.Rego)
}

// NewPolicy compiles a policy with its data.
func NewPolicy(ctx context.Context, text string, data map[string]any) (*Policy, error) {
	module, err := ast.ParseModuleWithOpts("zoo.rego", text, parserOptions())
	if err != nil {
		return nil, err
	}
	c := ast.NewCompiler().WithCapabilities(capabilities())
	if c.Compile(map[string]*ast.Module{"zoo.rego": module}); c.Failed() {
		return nil, c.Errors
	}
	store, txn, _, err := openStore(ctx, data)
	if err != nil {
		return nil, err
	}
	p := &Policy{snapshot: &snapshot{partial: txn, compiler: c}, store: []func(*rego.Rego){
		rego.Compiler(c), rego.Transaction(txn), rego.StrictBuiltinErrors(true), rego.Store(store),
	}}
	ref := ast.MustParseRef("data.apps.zoo.permit")
	var problem *Problem
	if p.source, problem = newFilterSource(c, c.GetAnnotationSet(), c.GetRulesExact(ref)[0], ref); problem != nil {
		return nil, &problemError{[]Problem{*problem}}
	}
	return p, p.source.prepare(ctx, p.store)
}

// Problems are those that loading the policy would name.
func (p *Policy) Problems(ctx context.Context) ([]Problem, error) {
	t := newTranslation(p.snapshot.compiler, p.source.unknown, true)
	_, err := p.source.condition(ctx, p.snapshot, nil, p.source.unknown, t)
	return t.problems, err
}

// Filter is the filter of an input.
func (p *Policy) Filter(ctx context.Context, input map[string]any) (*Filter, error) {
	value, err := ast.InterfaceToValue(input)
	if err != nil {
		return nil, err
	}
	t := newTranslation(p.snapshot.compiler, p.source.unknown, false)
	c, err := p.source.condition(ctx, p.snapshot, value, p.source.unknown, t)
	switch {
	case err != nil:
		return nil, err
	case len(t.problems) > 0:
		return nil, &FilterError{t.problems}
	}
	return &Filter{condition: c, texts: slices.Sorted(maps.Keys(t.texts))}, nil
}

// Texts are the fields that a filter wants to be strings.
func (f *Filter) Texts() []string { return f.texts }

// Permits is the decision on one object: a member of permit and none of deny.
func (p *Policy) Permits(ctx context.Context, input map[string]any) (bool, error) {
	var held [2]bool
	for i, name := range []string{"permit", "deny"} {
		results, err := rego.New(append(slices.Clone(p.store), rego.Query("data.apps.zoo."+name+"[_]"), rego.Input(input))...).Eval(ctx)
		if err != nil {
			return false, err
		}
		held[i] = len(results) > 0
	}
	return held[0] && !held[1], nil
}
