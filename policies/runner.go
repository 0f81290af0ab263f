package policies

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// testTimeout bounds one test rule.
const testTimeout = time.Minute

// TestReport is the outcome of Test.
type TestReport struct {
	Tests    []TestResult   `json:"tests"`
	Coverage []FileCoverage `json:"coverage"`
}

// Failed counts what did not pass.
func (r TestReport) Failed() int {
	n := 0
	for _, t := range r.Tests {
		if !t.Pass {
			n++
		}
	}
	return n
}

// TestResult is one test rule or golden decision.
type TestResult struct {
	Name     string        `json:"name"`
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Pass     bool          `json:"pass"`
	Message  string        `json:"message,omitempty"`
	Duration time.Duration `json:"duration_ns"`
	// Cases are the rows of a table test.
	Cases []CaseResult `json:"cases,omitempty"`
}

// CaseResult is one row of a table test.
type CaseResult struct {
	Name string `json:"name"`
	Pass bool   `json:"pass"`
}

// FileCoverage is how much of a file's rules the tests of its set evaluate.
type FileCoverage struct {
	File      string     `json:"file"`
	Percent   float64    `json:"percent"`
	Uncovered []Uncovers `json:"uncovered,omitempty"`
}

// Uncovers is a range of lines that no test evaluates. Kinds says which optimization hides it, if one does:
// "index_excluded", "early_exit".
type Uncovers struct {
	From  int      `json:"from"`
	To    int      `json:"to"`
	Kinds []string `json:"kinds,omitempty"`
}

// Test runs tests with coverage, and golden decisions. Of the shipped set it runs all, and of a core that replaces the shipped one; of a
// directory those of what it brings and of what depends on that, as loading does, beside the golden decisions of the directory
// (decisions/*.yaml) and of Source.Golden. The error says that the set cannot be loaded or compiled; failures of tests are in the report.
func Test(ctx context.Context, source Source) (TestReport, error) {
	return testSet(ctx, shipped(), source)
}

func testSet(ctx context.Context, base fs.FS, source Source) (TestReport, error) {
	l, err := newLayers(base, source)
	if err != nil {
		return TestReport{}, err
	}
	s, err := load(l, true, nil)
	if err != nil {
		return TestReport{}, err
	}
	var packages map[string]bool // of the shipped set: all
	if source.Dir != "" || source.CoreDir != "" {
		packages = s.affected(nil)
	}
	return s.test(ctx, source, packages)
}

// test runs the tests of the named packages, or all if packages is nil, and the golden decisions.
func (s *set) test(ctx context.Context, source Source, packages map[string]bool) (TestReport, error) {
	report := TestReport{Tests: []TestResult{}, Coverage: []FileCoverage{}}
	sn, err := s.admit(ctx)
	if err != nil {
		return report, err
	}
	results, covered, err := s.runTests(ctx, packages, source.Run, []cover.Kind{})
	if err != nil {
		return report, err
	}
	if slices.ContainsFunc(covered, func(c FileCoverage) bool { return len(c.Uncovered) > 0 }) && source.Run == nil {
		// Once more, without each optimization, to say which of them hides a line.
		if _, covered, err = s.runTests(ctx, packages, nil, []cover.Kind{cover.KindIndexExcluded, cover.KindEarlyExit}); err != nil {
			return report, err
		}
	}
	report.Tests = append(report.Tests, results...)
	if source.Run == nil { // some of the tests cover some of the lines
		report.Coverage = append(report.Coverage, covered...)
	}
	vectors, err := vectorsOf(s.golden)
	if err != nil {
		return report, err
	}
	if source.Golden != "" {
		more, err := readVectors(source.Golden)
		if err != nil {
			return report, err
		}
		vectors = append(vectors, more...)
	}
	for i := range vectors {
		if source.Run == nil || source.Run.MatchString("golden: "+vectors[i].name) {
			report.Tests = append(report.Tests, vectors[i].result(ctx, sn))
		}
	}
	return report, nil
}

// Retest tests a set and then, whenever its directories change until ctx ends, what changed and what depends on it. Each outcome is
// told: a report, or the error of a set that cannot be loaded or compiled.
func Retest(ctx context.Context, source Source, poll time.Duration, tell func(TestReport, error)) {
	var last *set
	w := watcher{dirs: (&Config{Dir: source.Dir, CoreDir: source.CoreDir}).dirs(), poll: poll, warn: func(string, ...any) {}}
	w.follow(ctx, func() {
		l, err := newLayers(shipped(), source)
		var s *set
		if err == nil {
			s, err = load(l, true, last)
		}
		if err == nil && last != nil && s.content == last.content {
			return
		}
		var report TestReport
		if err == nil {
			report, err = s.test(ctx, source, s.affected(last))
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil && report.Failed() == 0 {
			last = s // what failed runs again with the next change, whatever that is
		}
		tell(report, err)
	})
}

func (v *vector) result(ctx context.Context, sn *snapshot) TestResult {
	r := TestResult{Name: "golden: " + v.name, File: v.file}
	differs, err := v.run(ctx, sn, true)
	switch {
	case err != nil:
		r.Message = err.Error()
	case differs != "":
		r.Message = differs
	default:
		r.Pass = true
	}
	return r
}

// runTests runs the tests of the named packages, or all if packages is nil, and of these the ones whose name matches. With kinds,
// which may be none, it also reports coverage.
func (s *set) runTests(
	ctx context.Context, packages map[string]bool, names *regexp.Regexp, kinds []cover.Kind,
) ([]TestResult, []FileCoverage, error) {
	if packages != nil && len(packages) == 0 {
		return nil, nil, nil
	}
	tracer := cover.New()
	var traced topdown.QueryTracer
	if kinds != nil {
		traced = tracer
	}
	var results []TestResult
	modules, err := s.eachTest(ctx, packages, traced, kinds, func(r *tester.Result) {
		if result := testResult(r); names == nil || names.MatchString(result.Name) {
			results = append(results, result)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(results, func(a, b TestResult) int { return strings.Compare(a.Name, b.Name) })
	if kinds == nil {
		return results, nil, nil
	}
	for _, m := range s.modules {
		if m.test || packages != nil && !packages[m.pkg()+"_test"] {
			delete(modules, m.name)
		}
	}
	return results, coverage(tracer.Report(modules), modules), nil
}

// eachTest runs the tests of the named packages, or all if packages is nil, and tells the outcome of each. The tracer may be nil; kinds
// are for one that is a *cover.Cover. It returns the modules that took part.
func (s *set) eachTest(
	ctx context.Context, packages map[string]bool, tracer topdown.QueryTracer, kinds []cover.Kind, tell func(*tester.Result),
) (map[string]*ast.Module, error) {
	modules := make(map[string]*ast.Module, len(s.modules))
	helpers := s.helpers(packages)
	for _, m := range s.modules {
		if !m.test || packages == nil || helpers[m.pkg()] {
			modules[m.name] = m.parsed
		}
	}
	store, txn, _, err := openStore(ctx, s.data)
	if err != nil {
		return nil, err
	}
	defer store.Abort(ctx, txn)
	runner := tester.NewRunner().SetCompiler(s.newCompiler()).SetStore(store).SetModules(modules).SetTimeout(testTimeout).
		CapturePrintOutput(false).RaiseBuiltinErrors(true)
	runner = runner.SetPrefixMatchers(packageRefs(packages)...)
	if tracer != nil {
		runner = runner.SetCoverageQueryTracer(tracer).SetCoverageRuns(kinds)
	}
	if _, ordered := tracer.(*sides); ordered { // what it sees of one test must not be taken for that of another
		runner = runner.SetParallel(1)
	}
	channel, err := runner.RunTests(ctx, txn)
	if err != nil {
		return nil, &problemError{astProblems("", "compile", err)}
	}
	for r := range channel {
		tell(r)
	}
	return modules, ctx.Err()
}

// helpers adds to the packages the test packages whose helpers they call, directly or not.
func (s *set) helpers(packages map[string]bool) map[string]bool {
	needed := maps.Clone(packages)
	for again := true; again; {
		again = false
		for _, m := range s.modules {
			if !m.test || !needed[m.pkg()] {
				continue
			}
			for _, other := range s.modules {
				if other.test && !needed[other.pkg()] && touches(m, map[string]bool{other.pkg(): true}) {
					needed[other.pkg()], again = true, true
				}
			}
		}
	}
	return needed
}

func packageRefs(packages map[string]bool) []ast.Ref {
	var refs []ast.Ref
	for name := range packages {
		ref := ast.Ref{ast.DefaultRootDocument}
		for part := range strings.SplitSeq(name, ".") {
			ref = append(ref, ast.StringTerm(part))
		}
		refs = append(refs, ref)
	}
	return refs
}

func testResult(r *tester.Result) TestResult {
	t := TestResult{
		Name: strings.TrimPrefix(r.Package, "data.") + "." + r.Name, Pass: r.Pass(), Duration: r.Duration,
	}
	if r.Location != nil {
		t.File, t.Line = r.Location.File, r.Location.Row
	}
	for name, row := range r.SubResults.Iter {
		if len(row.SubResults) == 0 {
			t.Cases = append(t.Cases, CaseResult{Name: strings.Join(name, "/"), Pass: !row.Fail})
		}
	}
	switch {
	case r.Error != nil:
		t.Message = r.Error.Error()
	case r.Skip:
		t.Message = "skipped"
	case r.Fail:
		t.Message = "failed"
		var failed []string
		for _, row := range t.Cases {
			if !row.Pass {
				failed = append(failed, row.Name)
			}
		}
		if len(failed) > 0 {
			t.Message = "failed: " + strings.Join(failed, ", ")
		}
	}
	return t
}

// coverage lists the coverage of the modules.
func coverage(report cover.Report, modules map[string]*ast.Module) []FileCoverage {
	all := make([]FileCoverage, 0, len(modules))
	for name := range modules {
		f := report.Files[name]
		if f == nil {
			f = &cover.FileReport{}
		}
		c := FileCoverage{File: name, Percent: 100}
		if f.CoveredLines+f.NotCoveredLines > 0 {
			c.Percent = f.Coverage
		}
		for _, r := range f.NotCovered {
			u := Uncovers{From: r.Start.Row, To: r.End.Row}
			for _, kind := range r.Kinds {
				u.Kinds = append(u.Kinds, fmt.Sprint(kind))
			}
			c.Uncovered = append(c.Uncovered, u)
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b FileCoverage) int { return strings.Compare(a.File, b.File) })
	return all
}
