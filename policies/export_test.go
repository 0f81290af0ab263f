package policies

import (
	"context"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
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
