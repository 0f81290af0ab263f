package policies

import (
	"context"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// InputDocument is the input that a question is evaluated on.
func InputDocument(q *Question) (ast.Value, error) { return q.build(&terms{}, "") }

// InputOfDialect is the same for a request that came by a dialect.
func InputOfDialect(q *Question, dialect string) (ast.Value, error) {
	return q.build(&terms{}, dialect)
}

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
	p := &Policy{snapshot: &snapshot{txn: txn, compiler: c}, store: []func(*rego.Rego){
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

// Remember keeps a line.
func (r *Recent) Remember(line []byte) { r.add(line) }

// LogGoldens writes the answers to the golden decisions of a directory, as the shipped set gives them, to a log.
func LogGoldens(ctx context.Context, p *PDP, dir string, log *Log) (int, error) {
	vectors, err := readVectors(dir)
	if err != nil {
		return 0, err
	}
	s := p.active.Load()
	for _, v := range vectors {
		d := Decision{ID: NewDecisionID(), PolicyRevision: s.set.revision, DataRevision: s.set.dataRev, snapshot: s, input: v.input}
		result, err := s.once(ctx, v.entrypoint, v.input)
		if err == nil {
			err = d.decode(result, s.set.catalogue)
		}
		line := LogLine{Entrypoint: v.entrypoint, Err: err}
		if err == nil && !d.Allow {
			if line.Reasons, err = p.Why(ctx, nil, d); err != nil {
				return 0, err
			}
		}
		slot, err := log.Reserve()
		if err != nil {
			return 0, err
		}
		line.Decision = d
		slot.Write(line)
	}
	return len(vectors), nil
}

// MaskedLeaves takes every question of the golden decisions of a directory, and every value in its input that is no object, as if it alone
// were masked. What no rule is said to read is replaced by other values. It returns how many were said to be read and how many not, and
// where an answer came out otherwise although nothing that it depends on was said to be read.
func MaskedLeaves(ctx context.Context, p *PDP, dir string, one func(n int) bool) (read, unread int, wrong []string, err error) {
	vectors, err := readVectors(dir)
	if err != nil {
		return 0, 0, nil, err
	}
	s := p.active.Load()
	answer := func(e Entrypoint, input ast.Value) string {
		result, err := p.evaluate(ctx, s, e, input)
		if err != nil {
			return told(err)
		}
		return result.String()
	}
	others := []*ast.Term{
		ast.StringTerm(maskedValue), ast.StringTerm(""), ast.StringTerm("*"), ast.NullTerm(), ast.BooleanTerm(true), ast.BooleanTerm(false),
		ast.IntNumberTerm(1), ast.NewTerm(ast.Number("9223372036854775807")), key.object, ast.ArrayTerm(),
	}
	n := 0
	for _, v := range vectors {
		for _, e := range []Entrypoint{v.entrypoint, EntryWhy} {
			want := answer(e, v.input)
			for pointer, path := range pathsOf(v.input, "/input", nil) {
				if n++; !one(n) {
					continue
				}
				_, reads, _ := s.watched(ctx, p, e, v.input, []string{pointer})
				if reads {
					read++
					continue
				}
				unread++
				for _, other := range others {
					if got := answer(e, withValue(v.input, path, other)); got != want {
						wrong = append(wrong, v.name+": "+string(e)+" reads "+pointer+" ("+other.String()+"): "+got+", was "+want)
						break
					}
				}
			}
		}
	}
	return read, unread, wrong, nil
}

func pathsOf(v ast.Value, at string, path []*ast.Term) map[string][]*ast.Term {
	found := map[string][]*ast.Term{}
	o, ok := v.(ast.Object)
	if !ok || o.Len() == 0 {
		found[at] = path
		return found
	}
	o.Foreach(func(name, value *ast.Term) {
		text, _ := textOf(name)
		maps.Copy(found, pathsOf(value.Value, at+"/"+escaped(text), append(slices.Clone(path), name)))
	})
	return found
}

func withValue(v ast.Value, path []*ast.Term, other *ast.Term) ast.Value {
	if len(path) == 0 {
		return other.Value
	}
	var pairs []pair
	v.(ast.Object).Foreach(func(name, value *ast.Term) {
		if name.Equal(path[0]) {
			value = ast.NewTerm(withValue(value.Value, path[1:], other))
		}
		pairs = append(pairs, pair{name, value})
	})
	return ast.NewObject(pairs...)
}

// ReadAsked is how the JSON of an asker is read.
func ReadAsked(text []byte) (ast.Value, error) {
	term, err := jsonObject(text)
	if err != nil {
		return nil, err
	}
	return term.Value, nil
}

// InputReader reads inputs from the log, one after the other.
func InputReader() func([]byte) (ast.Value, error) { return new(inputParser).object }

// Compiled is what tells one compilation of the set that serves from another.
func (p *PDP) Compiled() any { return p.active.Load().compiler }

// Prepared is the same of the set that was made ready last.
func (p *PDP) Prepared() any { return (*p.kept.Load())[0].compiler }

// Typed says whether the set that serves was compiled without a look at types.
func (p *PDP) Typed() bool { return p.active.Load().gated.typed }
