package policies

import (
	"context"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
)

// Engine evaluates queries as a PDP does: with its capabilities, its store and caches, which it keeps from one evaluation to the
// next, and its options.
type Engine struct {
	Capabilities *ast.Capabilities
	// Lenient leaves out the option that makes a failed builtin an error.
	Lenient bool
	// Language is that of the modules; policies are written in ast.RegoV1.
	Language   ast.RegoVersion
	evaluation *evaluation
}

// NewEngine is the engine of a policy set.
func NewEngine() *Engine {
	return &Engine{Capabilities: capabilities(), Language: ast.RegoV1, evaluation: newEvaluation()}
}

func (e *Engine) parserOptions() ast.ParserOptions {
	options := parserOptions()
	options.Capabilities, options.RegoVersion = e.Capabilities, e.Language
	return options
}

// Compile parses and compiles modules.
func (e *Engine) Compile(modules map[string]string) (*ast.Compiler, error) {
	options := e.parserOptions()
	parsed := make(map[string]*ast.Module, len(modules))
	for name, text := range modules {
		module, err := ast.ParseModuleWithOpts(name, text, options)
		if err != nil {
			return nil, err
		}
		parsed[name] = module
	}
	c := ast.NewCompiler().WithCapabilities(e.Capabilities).WithDefaultRegoVersion(e.Language).WithUseTypeCheckAnnotations(true)
	if c.Compile(parsed); c.Failed() {
		return nil, c.Errors
	}
	return c, nil
}

// Query evaluates a query over a data document and an input, which may be nil.
func (e *Engine) Query(ctx context.Context, c *ast.Compiler, query string, data map[string]any, input ast.Value) (rego.ResultSet, error) {
	body, err := ast.ParseBodyWithOpts(query, e.parserOptions())
	if err != nil {
		return nil, err
	}
	store, txn, document, err := openStore(ctx, data)
	if err != nil {
		return nil, err
	}
	prepared, err := rego.New(
		rego.ParsedQuery(body), rego.Compiler(c), rego.Store(wholeStore{store}), rego.Transaction(txn), rego.StrictBuiltinErrors(!e.Lenient),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	e.evaluation.cache.reset()
	given := []rego.EvalOption{
		rego.EvalMetrics(metrics.NoOp()), rego.EvalTransaction(txn), rego.EvalBaseCache(dataCache{document}),
		e.evaluation.cancel, e.evaluation.caching,
	}
	if input != nil {
		given = append(given, rego.EvalParsedInput(input))
	}
	return prepared.Eval(ctx, given...)
}

// Variant is the shipped set, its rules rewritten by change, or as they are if that is nil.
type Variant struct{ snapshot *snapshot }

// NewVariant loads and admits it.
func NewVariant(ctx context.Context, change func(name, text string) (string, error)) (*Variant, error) {
	l, err := newLayers(shipped(), Source{})
	if err != nil {
		return nil, err
	}
	s, err := load(l, false, nil)
	if err != nil {
		return nil, err
	}
	for _, m := range s.modules {
		if change == nil {
			break
		}
		text, err := change(m.name, string(m.body))
		if err != nil {
			return nil, err
		}
		m.body = []byte(text)
		if problems := m.parse(parserOptions()); problems != nil {
			return nil, &problemError{problems}
		}
	}
	sn, err := s.admit(ctx)
	return &Variant{sn}, err
}

// Rules are the texts of the set's rules, and Data its whole data document.
func (v *Variant) Rules() map[string]string {
	texts := map[string]string{}
	for _, m := range v.snapshot.set.modules {
		if !m.test {
			texts[m.name] = string(m.body)
		}
	}
	return texts
}

func (v *Variant) Data() map[string]any { return v.snapshot.set.data }

// Ask puts a golden question to it, under further options, and returns the result of the entrypoint and of why.
func (v *Variant) Ask(ctx context.Context, g GoldenInput, options ...rego.EvalOption) (result, why ast.Value, err error) {
	e := newEvaluation()
	e.cache.reset()
	all := append(append([]rego.EvalOption{}, v.snapshot.options...), rego.EvalParsedInput(g.Input), e.cancel, e.caching)
	if result, err = v.snapshot.eval(ctx, g.Entrypoint, append(all, options...)); err != nil {
		return nil, nil, err
	}
	e.cache.reset()
	why, err = v.snapshot.eval(ctx, EntryWhy, append(all, options...))
	return result, why, err
}

// GoldenInput is the question of a golden decision.
type GoldenInput struct {
	Name       string
	Entrypoint Entrypoint
	Input      ast.Value
}

// ResultQuery is the document that the entrypoint stands for, as text.
func (e Entrypoint) ResultQuery() string {
	return "data." + strings.ReplaceAll(string(e), "/", ".") + ".result"
}

// GoldenInputs are the questions of the golden decisions of a directory.
func GoldenInputs(dir string) (all []GoldenInput, err error) {
	vectors, err := readVectors(dir)
	for _, v := range vectors {
		all = append(all, GoldenInput{v.name, v.entrypoint, v.input})
	}
	return all, err
}
