package policies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// acceptedFile lists, at the top of a policy set, the mutants that may survive, with reasons.
const acceptedFile = "mutants.yaml"

// Mutation says what to mutate, beside the set itself.
type Mutation struct {
	// Rules limits it to rules whose name (writ.decision.granted) matches; nil: all that are not somebody else's.
	Rules *regexp.Regexp
	// Every takes each n-th mutant only, a sample that is the same each time. Zero or one: all.
	Every int
	// Progress, if set, is called with 1 for each mutant that is done, and first with the negative number of all.
	Progress func(n int)
}

// Mutant is a rule with one mistake in it.
type Mutant struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Rule   string `json:"rule"`
	// Change names the mutant within its rule: what was done, and to what.
	Change string `json:"change"`
	Diff   string `json:"diff"`
	// Tests counts the tests and golden decisions that evaluate the rule and passed all the same.
	Tests  int    `json:"tests"`
	Reason string `json:"reason,omitempty"` // why it may survive

	path  string
	n     int // its place among the mutants of its module
	at    int // the place of its rule in the module
	whole bool
}

// MutationReport is the outcome of Mutate.
type MutationReport struct {
	Mutants  int `json:"mutants"`
	Killed   int `json:"killed"`
	Refused  int `json:"refused"` // that do not compile, or that check would not take
	Accepted int `json:"accepted"`
	// Survivors are mutants that no test notices and that are not accepted.
	Survivors []Mutant `json:"survivors"`
	// Stale are entries of the accepted list whose mutant is killed, or is not there.
	Stale []Problem `json:"stale"`
}

// Mutate puts one mistake after the other into the rules of a set (a condition negated, dropped or widened, a constant changed, a
// rule or default dropped) and runs the tests and golden decisions that evaluate the rule. A mistake that none of them notices
// survives. The error says that the set does not compile, or that its tests fail before anything is changed.
func Mutate(ctx context.Context, source Source, m Mutation) (MutationReport, error) {
	return mutateSet(ctx, shipped(), source, m)
}

func mutateSet(ctx context.Context, base fs.FS, source Source, m Mutation) (MutationReport, error) {
	l, err := newLayers(base, source)
	if err != nil {
		return MutationReport{}, err
	}
	accepted, err := l.acceptedMutants()
	if err != nil {
		return MutationReport{}, err
	}
	lab, err := newLaboratory(ctx, l, source)
	if err != nil {
		return MutationReport{}, err
	}
	defer lab.close(ctx)
	mutants, others := lab.set.mutants(m)
	if err := lab.observe(ctx, mutants); err != nil {
		return MutationReport{}, err
	}
	if m.Progress != nil {
		m.Progress(-len(mutants))
	}
	outcomes, err := lab.try(ctx, l, mutants, m.Progress)
	if err != nil {
		return MutationReport{}, err
	}
	return accepted.judge(mutants, outcomes, others), nil
}

// laboratory is a set with what its tests do on the rules as they are.
type laboratory struct {
	set     *set
	plain   *snapshot
	vectors []vector
	// reach lists, by the document that a rule makes, the tests that evaluate it, the cheapest first.
	reach map[string][]*trial
	store storage.Store
	txn   storage.Transaction
}

// trial is a test rule or a golden decision.
type trial struct {
	name string
	ref  ast.Ref // of a test rule
	// want is what a test rule is on the rules as they are: a failed case of a table is missing in it.
	want   ast.Value
	golden *vector
	cost   int // steps
}

func newLaboratory(ctx context.Context, l layers, source Source) (*laboratory, error) {
	s, err := load(l, true, nil)
	if err != nil {
		return nil, err
	}
	sn, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	lab := &laboratory{set: s, reach: map[string][]*trial{}}
	if lab.vectors, err = vectorsOf(s.golden); err != nil {
		return nil, err
	}
	if source.Golden != "" {
		more, err := readVectors(source.Golden)
		if err != nil {
			return nil, err
		}
		lab.vectors = append(lab.vectors, more...)
	}
	if lab.store, lab.txn, _, err = openStore(ctx, s.data); err != nil {
		return nil, err
	}
	lab.plain = sn
	return lab, nil
}

func (lab *laboratory) close(ctx context.Context) { lab.store.Abort(ctx, lab.txn) }

// observe runs every test that may evaluate one of the rules once, on the rules as they are, and notes what it evaluates.
func (lab *laboratory) observe(ctx context.Context, mutants []Mutant) error {
	compiler, err := lab.set.compileWith(lab.set.parsed(), "", nil)
	if err != nil {
		return err
	}
	changed := map[string]bool{}
	for _, m := range lab.set.modules {
		if slices.ContainsFunc(mutants, func(o Mutant) bool { return o.File == m.name }) {
			changed[m.pkg()] = true
		}
	}
	lab.set.spread(changed)
	for _, m := range lab.set.modules {
		if !m.test || !changed[strings.TrimSuffix(m.pkg(), "_test")] && !touches(m, changed) {
			continue
		}
		seen := map[string]bool{}
		for _, rule := range m.parsed.Rules {
			name := rule.Head.Name.String()
			if rule.Head.Name == "" && len(rule.Head.Reference) > 0 {
				name = rule.Head.Reference[0].String()
			}
			if !strings.HasPrefix(name, "test_") || seen[name] {
				continue
			}
			seen[name] = true
			ref := m.parsed.Package.Path.Append(ast.StringTerm(name))
			if err := lab.observeTest(ctx, compiler, &trial{name: m.pkg() + "." + name, ref: ref}); err != nil {
				return err
			}
		}
	}
	for i := range lab.vectors {
		v := &lab.vectors[i]
		if err := v.hold(ctx, lab.plain, true); err != nil {
			return err
		}
		if err := lab.observeGolden(ctx, compiler, v); err != nil {
			return err
		}
	}
	for _, tests := range lab.reach {
		slices.SortStableFunc(tests, func(a, b *trial) int { return a.cost - b.cost })
	}
	return nil
}

func (lab *laboratory) observeTest(ctx context.Context, compiler *ast.Compiler, t *trial) error {
	seen := &reached{rules: map[string]bool{}}
	var err error
	if t.want, err = lab.ask(ctx, compiler, t.ref, nil, seen); err != nil {
		return refused(t.name, "test", "%v", err)
	}
	if t.want == nil || t.want.Compare(ast.Boolean(false)) == 0 {
		return refused(t.name, "test", "fails on the rules as they are")
	}
	lab.note(t, seen)
	return nil
}

// goldenCost is what the first golden decision of a mutant takes besides, in steps; tests that try every combination cost more.
const goldenCost = 2000

func (lab *laboratory) observeGolden(ctx context.Context, compiler *ast.Compiler, v *vector) error {
	seen := &reached{rules: map[string]bool{}}
	for _, e := range []Entrypoint{v.entrypoint, EntryWhy} {
		if _, err := lab.ask(ctx, compiler, e.resultRef(), v.input, seen); err != nil {
			return refused(v.file, "golden", "%s: %v", v.name, err)
		}
		if v.allow {
			break
		}
	}
	lab.note(&trial{name: "golden: " + v.name, golden: v, cost: goldenCost}, seen)
	return nil
}

func (lab *laboratory) note(t *trial, seen *reached) {
	t.cost += seen.steps
	for document := range seen.rules {
		lab.reach[document] = append(lab.reach[document], t)
	}
}

// ask evaluates a document; nil is undefined. With a tracer every rule of a document is tried, whatever an index or an early exit
// would leave out, because a mutant may differ in just that.
func (lab *laboratory) ask(
	ctx context.Context, compiler *ast.Compiler, ref ast.Ref, input ast.Value, seen *reached,
) (ast.Value, error) {
	ctx, done := context.WithTimeout(ctx, testTimeout)
	defer done()
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	result := ast.VarTerm("result")
	query := topdown.NewQuery(ast.NewBody(ast.Equality.Expr(ast.NewTerm(ref), result))).WithCompiler(compiler).
		WithStore(lab.store).WithTransaction(lab.txn).WithStrictBuiltinErrors(true).WithCancel(cancel)
	if input != nil {
		query = query.WithInput(ast.NewTerm(input))
	}
	if seen != nil {
		query = query.WithQueryTracer(seen).WithIndexing(false).WithEarlyExit(false)
	}
	var value ast.Value
	err := query.Iter(ctx, func(found topdown.QueryResult) error {
		value = found[result.Value.(ast.Var)].Value
		return nil
	})
	return value, err
}

// reached is a tracer that notes which documents are evaluated.
type reached struct {
	rules map[string]bool
	steps int
}

// Enabled is true.
func (*reached) Enabled() bool { return true }

// Config wants no variables.
func (*reached) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent notes the document of a rule that is entered.
func (r *reached) TraceEvent(e topdown.Event) {
	r.steps++
	if rule, ok := e.Node.(*ast.Rule); ok && e.Op == topdown.EnterOp {
		r.rules[documentOf(rule)] = true
	}
}

// documentOf names the document that a rule makes a part of, without "data.".
func documentOf(rule *ast.Rule) string { return dotted(rule.Ref().GroundPrefix()[1:]) }

// parsed returns the modules as parsed, by name.
func (s *set) parsed() map[string]*ast.Module {
	modules := make(map[string]*ast.Module, len(s.modules))
	for _, m := range s.modules {
		modules[m.name] = m.parsed
	}
	return modules
}

// compileWith compiles modules, the one of that name replaced. It is not strict: what a mutant no longer uses is no mistake of its
// own.
func (s *set) compileWith(modules map[string]*ast.Module, name string, instead *ast.Module) (*ast.Compiler, error) {
	if instead != nil {
		modules = maps.Clone(modules)
		modules[name] = instead
	}
	c := s.newCompiler().WithStrict(false).SetErrorLimit(0)
	if c.Compile(modules); c.Failed() {
		return nil, &problemError{astProblems("", "compile", c.Errors)}
	}
	return c, nil
}

// mutants lists the mutants of a set in order of their places. Others says of an accepted entry that it is about a rule that was
// left out.
func (s *set) mutants(m Mutation) (mutants []Mutant, left func(path, rule string) bool) {
	wanted := func(rule string) bool { return m.Rules == nil || m.Rules.MatchString(rule) }
	var all []Mutant
	for _, module := range s.modules {
		if module.test || !s.own(module) {
			continue
		}
		for _, mutant := range mutantsOf(module) {
			if wanted(mutant.Rule) {
				all = append(all, mutant)
			}
		}
	}
	if m.Every <= 1 {
		return all, func(_, rule string) bool { return !wanted(rule) }
	}
	for i := m.Every / 2; i < len(all); i += m.Every {
		mutants = append(mutants, all[i])
	}
	return mutants, func(string, string) bool { return true }
}

// own reports whether a module is the author's: of the directory or the core directory where there is one, else of the shipped set.
func (s *set) own(m *module) bool {
	switch s.source {
	case "embedded":
		return true
	case "directory":
		return m.dir
	}
	return m.dir || m.core
}

// outcome is what became of a mutant.
type outcome struct {
	killed, refused bool
	tests           int
	diff            string
}

// try tries all mutants, on all processors: a module after the other, those with most mutants first.
func (lab *laboratory) try(ctx context.Context, l layers, mutants []Mutant, progress func(int)) ([]outcome, error) {
	outcomes := make([]outcome, len(mutants))
	byFile := map[string][]int{}
	for i, m := range mutants {
		byFile[m.File] = append(byFile[m.File], i)
	}
	files := slices.SortedFunc(maps.Keys(byFile), func(a, b string) int { return len(byFile[b]) - len(byFile[a]) })
	var lock sync.Mutex
	var failed error
	take := func() []int {
		lock.Lock()
		defer lock.Unlock()
		if failed != nil || len(files) == 0 {
			return nil
		}
		next := byFile[files[0]]
		files = files[1:]
		return next
	}
	done := func() {
		lock.Lock()
		defer lock.Unlock()
		if progress != nil {
			progress(1)
		}
	}
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), max(1, len(files))) {
		workers.Go(func() {
			own, err := load(l, true, nil) // the compiler writes into what it is given
			b := &bench{lab: lab, set: own, outcomes: outcomes, mutants: mutants, done: done}
			for next := take(); err == nil && next != nil; next = take() {
				err = b.tryAll(ctx, next)
			}
			lock.Lock()
			defer lock.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	workers.Wait()
	return outcomes, failed
}

// bench is where one processor tries mutants.
type bench struct {
	lab      *laboratory
	set      *set
	mutants  []Mutant
	outcomes []outcome
	done     func()
}

// tryAll tries mutants of one module. Compiling costs a hundred times what the tests of one rule do, so all mutants that change one
// branch of a rule are compiled together, beside the branch that they stand for, and the data say which of them is there.
func (b *bench) tryAll(ctx context.Context, mutants []int) error {
	var branches []int
	texts := map[int]*module{}
	for _, i := range mutants {
		m := &b.mutants[i]
		changed, diff, err := b.set.mutated(m)
		if err != nil {
			return fmt.Errorf("mutant of %s:%d, %s: %w", m.File, m.Line, m.Change, err)
		}
		b.outcomes[i] = outcome{refused: changed == nil, tests: len(b.lab.reach[m.Rule]), diff: diff}
		switch {
		case changed == nil:
			b.done()
		case m.whole:
			if err := b.tryWhole(ctx, i, changed); err != nil {
				return err
			}
			b.done()
		default:
			branches, texts[i] = append(branches, i), changed
		}
	}
	compiler, err := b.together(branches, texts)
	if err != nil {
		return err
	}
	for _, i := range branches {
		if !b.outcomes[i].refused {
			switched := map[string]any{"n": i, "rules": map[string]any{fmt.Sprint(b.mutants[i].at): true}}
			if err := b.run(ctx, i, compiler, switched); err != nil {
				return err
			}
		}
		b.done()
	}
	return nil
}

// tryWhole tries a mutant that is compiled alone.
func (b *bench) tryWhole(ctx context.Context, i int, changed *module) error {
	compiler, err := b.set.compileWith(b.set.parsed(), changed.name, changed.parsed)
	if err != nil || len(b.set.with(changed).lintGuards()) > 0 || len(b.set.checkEntrypoints(compiler)) > 0 {
		b.outcomes[i].refused = true
		return nil //nolint:nilerr // a mutant that does not compile is no mistake that could be made
	}
	return b.run(ctx, i, compiler, nil)
}

// switches is the document, beside those of a set, that says which mutant is there.
const switches = "mutant"

// together compiles a module with all its mutants. Those that do not compile are noted as refused.
func (b *bench) together(mutants []int, texts map[int]*module) (*ast.Compiler, error) {
	if len(mutants) == 0 {
		return nil, nil
	}
	name := b.mutants[mutants[0]].File
	for {
		at := slices.IndexFunc(b.set.modules, func(m *module) bool { return m.name == name })
		all, err := ast.ParseModuleWithOpts(name, string(b.set.modules[at].body), parserOptions())
		if err != nil {
			return nil, err
		}
		changed := map[int]bool{}
		own := slices.Clone(all.Rules)
		for _, i := range mutants {
			if b.outcomes[i].refused {
				continue
			}
			m := &b.mutants[i]
			if changed[m.at] = true; strings.HasPrefix(m.Change, "drop: rule ") && own[m.at].Else == nil {
				continue // it is enough that the branch is not there
			}
			rule := texts[i].parsed.Rules[m.at].Copy()
			guard(rule, fmt.Sprintf("data.%s.n == %d", switches, i))
			adopt(rule, all)
			all.Rules = append(all.Rules, rule)
		}
		for at := range changed {
			guard(own[at], fmt.Sprintf("not data.%s.rules[%q]", switches, fmt.Sprint(at)))
		}
		compiler, err := b.set.compileWith(b.set.parsed(), name, all)
		if err == nil {
			return compiler, nil
		}
		if !b.refuse(mutants, err) {
			return nil, err
		}
	}
}

// guard puts a condition before those of every branch of a rule.
func guard(rule *ast.Rule, condition string) {
	for r := rule; r != nil; r = r.Else {
		body := ast.MustParseBody(condition)
		for _, e := range body {
			e.Location = r.Location
		}
		r.Body = append(body, r.Body...)
	}
}

// adopt makes a rule one of another module.
func adopt(rule *ast.Rule, m *ast.Module) {
	for r := rule; r != nil; r = r.Else {
		r.Module, r.Annotations = m, nil
	}
}

// mutantFile is the name that a mutant's text is read under, so that what the compiler says about it is known to be about it.
func mutantFile(m *Mutant) string { return fmt.Sprintf("%s (mutant %d)", m.File, m.n) }

// refuse notes the mutants that the compiler complains of, and reports whether there are any.
func (b *bench) refuse(mutants []int, err error) bool {
	named := map[string]bool{}
	for _, p := range Problems(err) {
		named[p.File] = true
	}
	found := false
	for _, i := range mutants {
		if m := &b.mutants[i]; !b.outcomes[i].refused && named[mutantFile(m)] {
			b.outcomes[i].refused, found = true, true
		}
	}
	return found
}

// run runs the tests that evaluate the mutant's rule, until one notices.
func (b *bench) run(ctx context.Context, i int, compiler *ast.Compiler, switched map[string]any) error {
	s := *b.lab.set
	s.data = maps.Clone(s.data)
	if switched != nil {
		s.data[switches] = switched
	}
	store, txn, _, err := openStore(ctx, s.data)
	if err != nil {
		return err
	}
	defer store.Abort(ctx, txn)
	lab := &laboratory{store: store, txn: txn}
	var sn *snapshot
	for _, t := range b.lab.reach[b.mutants[i].Rule] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if t.golden == nil {
			if got, err := lab.ask(ctx, compiler, t.ref, nil, nil); err != nil || got == nil || got.Compare(t.want) != 0 {
				b.outcomes[i].killed = true
				return nil
			}
			continue
		}
		if sn == nil {
			if sn, err = newSnapshot(ctx, &s, compiler); err != nil {
				return err
			}
		}
		if t.golden.hold(ctx, sn, true) != nil {
			b.outcomes[i].killed = true
			return nil
		}
	}
	return nil
}

// with returns the set with one module replaced.
func (s *set) with(changed *module) *set {
	other := *s
	other.modules = slices.Clone(s.modules)
	for i, m := range other.modules {
		if m.name == changed.name {
			other.modules[i] = changed
		}
	}
	return &other
}

// mutated returns the module with the mutant's mistake in it, and what differs. No module: the mistake cannot be written.
func (s *set) mutated(m *Mutant) (*module, string, error) {
	at := slices.IndexFunc(s.modules, func(o *module) bool { return o.name == m.File })
	changed := *s.modules[at]
	before, err := formatted(changed.name, changed.body)
	if err != nil {
		return nil, "", err
	}
	if changed.parsed, err = ast.ParseModuleWithOpts(changed.name, string(changed.body), parserOptions()); err != nil {
		return nil, "", err
	}
	w := &mutator{module: &changed, wanted: m.n}
	w.walk()
	text, err := formattedModule(changed.parsed)
	if err != nil {
		return nil, "", nil //nolint:nilerr // what has no text cannot be written
	}
	if bytes.Equal(text, before) {
		return nil, "", errors.New("it changed nothing")
	}
	// The mistake is read as an author's would be: no trace of the change is left in the tree.
	if changed.parsed, err = ast.ParseModuleWithOpts(mutantFile(m), string(text), parserOptions()); err != nil {
		return nil, "", nil //nolint:nilerr // as above
	}
	changed.body, changed.refs = text, nil
	return &changed, lineDiff(string(before), string(text)), nil
}
