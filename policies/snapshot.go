package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// errUndefined says that an entrypoint gave no result, or more than one.
var errUndefined = errors.New("not exactly one result")

// snapshot is one set, ready to evaluate. It is immutable: a reload makes another one.
type snapshot struct {
	set      *set
	gated    *set // what went through the gate: set without managed documents and what the server itself adds
	compiler *ast.Compiler
	queries  map[Entrypoint]rego.PreparedEvalQuery
	store    storage.Store
	txn      storage.Transaction
	// options are the same for every evaluation: no metrics, the one transaction, the result as a term.
	options []rego.EvalOption
	masks   []string // the author's of the settings: JSON pointers into the input
	// documents is a hash over the managed documents that are mounted, empty for none.
	documents string
	// publications are what application folders publish beside the fixed entrypoints.
	publications map[Entrypoint]*publication
	// rows says which objects of Writ's own lists their reader sees.
	rows       *rowSource
	recentRows [rowsKept]atomic.Pointer[recentRows]
	loadedAt   time.Time
	// aliases are those of the rules, see maskReads; they are found when they are first asked for.
	aliases func() map[*ast.Expr]bool
}

func entrypoints() []Entrypoint {
	return []Entrypoint{
		EntryAdmin, EntryCandidates, EntryCredential, EntryDecision, EntryDetail, EntryIntrospection, EntryToken, EntryWhy,
	}
}

// resultRef is the document that an entrypoint stands for.
func (e Entrypoint) resultRef() ast.Ref {
	if e == entryMask {
		return maskRef()
	}
	ref := ast.Ref{ast.DefaultRootDocument}
	for part := range strings.SplitSeq(string(e), "/") {
		ref = append(ref, ast.StringTerm(part))
	}
	return append(ref, ast.StringTerm("result"))
}

// newSnapshot prepares a compiled set.
func newSnapshot(ctx context.Context, s *set, compiler *ast.Compiler) (*snapshot, error) {
	store, txn, data, err := openStore(ctx, s.data)
	if err != nil {
		return nil, err
	}
	masks, err := s.settingMasks()
	if err != nil {
		return nil, err
	}
	published, problems := s.publications(compiler)
	if len(problems) > 0 {
		return nil, &problemError{problems}
	}
	sn := &snapshot{
		set: s, gated: s, compiler: compiler, queries: make(map[Entrypoint]rego.PreparedEvalQuery, len(entrypoints())+3), masks: masks,
		store: store, txn: txn, publications: published,
	}
	sn.aliases = sync.OnceValue(func() map[*ast.Expr]bool { return aliasesOf(compiler) })
	asked := entrypoints()
	if len(compiler.GetRules(maskRef())) > 0 {
		asked = append(asked, entryMask)
	}
	common := []func(*rego.Rego){rego.Compiler(compiler), rego.Transaction(txn), rego.StrictBuiltinErrors(true)}
	whole := append(slices.Clone(common), rego.Store(wholeStore{store}))
	for _, e := range asked {
		query, err := prepareDocument(ctx, e.resultRef(), whole)
		if err != nil {
			return nil, fmt.Errorf("entrypoint %s: %w", e, err)
		}
		sn.queries[e] = query
	}
	if err := sn.prepare(ctx, whole, append(slices.Clone(common), rego.Store(store))); err != nil {
		return nil, err
	}
	if sn.rows, err = newRowSource(ctx, s, append(slices.Clone(common), rego.Store(store))); err != nil {
		return nil, err
	}
	sn.options = []rego.EvalOption{
		rego.EvalMetrics(metrics.NoOp()), rego.EvalTransaction(txn), rego.EvalBaseCache(dataCache{data}),
		rego.EvalGenerateJSON(func(term *ast.Term, _ *rego.EvalContext) (any, error) { return term, nil }),
	}
	return sn, nil
}

// openStore puts a data document into a store whose one read transaction stays open for as long as the store is used.
func openStore(ctx context.Context, data map[string]any) (storage.Store, storage.Transaction, ast.Object, error) {
	value, err := ast.InterfaceToValue(data)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("data: %w", err)
	}
	settle(value)
	document := value.(ast.Object)
	store := inmem.NewFromASTObject(document)
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("data: %w", err)
	}
	return store, txn, document, nil
}

// eval evaluates an entrypoint with the options, which hold the snapshot's own. The result is exactly one defined value, or
// an error.
func (s *snapshot) eval(ctx context.Context, e Entrypoint, options []rego.EvalOption) (ast.Value, error) {
	query, ok := s.queries[e]
	if !ok {
		return nil, fmt.Errorf("no entrypoint %q", e)
	}
	return single(query.Eval(ctx, options...))
}

// single is exactly one defined value of an evaluation.
func single(results rego.ResultSet, err error) (ast.Value, error) {
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, errUndefined
	}
	term, ok := results[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		return nil, errUndefined
	}
	return term.Value, nil
}

// once evaluates an entrypoint outside of any PDP, until ctx ends.
func (s *snapshot) once(ctx context.Context, e Entrypoint, input ast.Value) (ast.Value, error) {
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	options := append(slices.Clone(s.options), rego.EvalParsedInput(input), rego.EvalExternalCancel(cancel))
	return s.eval(ctx, e, options)
}
