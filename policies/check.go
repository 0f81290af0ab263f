package policies

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// Source names a policy set; the zero value is the shipped one. See Config for what the directories may hold.
type Source struct {
	Dir     string
	CoreDir string
	// Golden is a further directory of golden decisions for Test.
	Golden string
	// Run limits Test to tests and golden decisions whose name matches; nil: all, with coverage.
	Run *regexp.Regexp
}

// Problem is one finding, with its place where it has one.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Rule    string `json:"rule"` // what is violated: "parse", "compile", "format", "metadata", ...
	Message string `json:"message"`
	// Text is the line itself, in reports of Check.
	Text string `json:"text,omitempty"`
}

func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", p.File, p.Rule, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Column, p.Rule, p.Message)
}

func compareProblems(a, b Problem) int {
	return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// Problems returns the findings that an error of this package consists of, or nil.
func Problems(err error) []Problem {
	if e := (*problemError)(nil); errors.As(err, &e) {
		return e.problems
	}
	return nil
}

// Report is the outcome of Check. A set without problems has revisions.
type Report struct {
	Revision     string    `json:"policy_revision,omitempty"`
	DataRevision string    `json:"data_revision,omitempty"`
	Problems     []Problem `json:"problems"`
}

// Check does everything but judge by tests: layout, parsing, strict compilation under schemas and capabilities, entrypoints, reason
// codes, invariant vectors, format, and the conventions, one of which is that tests see a rule of an application hold and not hold. The
// error is for what cannot be read at all.
func Check(ctx context.Context, source Source) (Report, error) {
	return checkSet(ctx, shipped(), source)
}

func checkSet(ctx context.Context, base fs.FS, source Source) (Report, error) {
	report := Report{Problems: []Problem{}}
	l, err := newLayers(base, source)
	if err != nil {
		return report, err
	}
	s, err := load(l, true, nil)
	if err == nil {
		report.Problems = append(report.Problems, s.lint()...)
		if _, err = s.admit(ctx); err == nil {
			err = s.compileTests() // tests compile under the same rules
		}
		if err == nil {
			var more []Problem
			more, err = s.lintSides(ctx)
			report.Problems = append(report.Problems, more...)
		}
	}
	problems := Problems(err)
	if err != nil && problems == nil {
		return report, err
	}
	report.Problems = append(report.Problems, problems...)
	slices.SortStableFunc(report.Problems, compareProblems)
	if len(report.Problems) == 0 {
		report.Revision, report.DataRevision = s.revision, s.dataRev
	}
	return report, l.quote(report.Problems)
}

// quote gives problems with a place the line that stands there.
func (l layers) quote(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	texts := map[string][]byte{}
	for _, tree := range []struct {
		files fs.FS
		root  string
	}{{l.shipped, "policies/rego"}, {l.core, l.coreDir}, {l.dir, l.dirDir}} {
		if tree.files == nil {
			continue
		}
		files, err := readTree(tree.files, tree.root)
		if Problems(err) != nil {
			continue // it is told already, and has no place
		}
		if err != nil {
			return err
		}
		for _, f := range files {
			texts[f.name] = f.body
		}
	}
	for i := range problems {
		if p := &problems[i]; p.Line > 0 {
			p.Text = lineOf(texts[p.File], p.Line)
		}
	}
	return nil
}

func (s *set) compileTests() error {
	modules := make(map[string]*ast.Module, len(s.modules))
	for _, m := range s.modules {
		modules[m.name] = m.parsed
	}
	c := s.newCompiler()
	if c.Compile(modules); c.Failed() {
		return &problemError{astProblems("", "compile", c.Errors)}
	}
	return nil
}

func formatted(name string, body []byte) ([]byte, error) {
	options := parserOptions()
	return format.SourceWithOpts(name, body, format.Opts{RegoVersion: ast.RegoV1, ParserOptions: &options})
}

// Unformatted is a file that the formatter would write otherwise.
type Unformatted struct {
	File string `json:"file"`
	Diff string `json:"diff"`
}

// Format formats the Rego files below dir, writing them if asked to, and returns those that were not formatted. It goes on after a
// file that does not parse: the error names all of them.
func Format(dir string, write bool) (changed []Unformatted, err error) {
	tree, err := readTree(os.DirFS(dir), dir)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for _, f := range tree {
		if filepath.Ext(f.path) != ".rego" {
			continue
		}
		body, err := formatted(f.name, f.body)
		if err != nil {
			problems = append(problems, astProblems(f.name, "parse", err)...)
			continue
		}
		if bytes.Equal(body, f.body) {
			continue
		}
		changed = append(changed, Unformatted{File: f.name, Diff: lineDiff(string(f.body), string(body))})
		if write {
			if err := os.WriteFile(f.name, body, 0o644); err != nil { //nolint:gosec // rules are no secret
				return changed, fmt.Errorf("format: %w", err)
			}
		}
	}
	if len(problems) > 0 {
		return changed, &problemError{problems}
	}
	return changed, nil
}

// Evaluation is what Eval found.
type Evaluation struct {
	Allow          bool           `json:"allow"`
	Reasons        []Reason       `json:"reasons"`
	Obligations    map[string]any `json:"obligations"`
	PolicyRevision string         `json:"policy_revision"`
	DataRevision   string         `json:"data_revision"`
}

// Eval evaluates an entrypoint of a set on an input, written as JSON or YAML, that may leave out whatever is empty.
func Eval(ctx context.Context, source Source, e Entrypoint, input io.Reader) (Evaluation, error) {
	sn, value, err := asked(ctx, source, e, input)
	if err != nil {
		return Evaluation{}, err
	}
	return sn.explain(ctx, e, value)
}

// asked loads a set and reads a question to it.
func asked(ctx context.Context, source Source, e Entrypoint, input io.Reader) (*snapshot, ast.Value, error) {
	l, err := newLayers(shipped(), source)
	if err != nil {
		return nil, nil, err
	}
	s, err := load(l, false, nil)
	if err != nil {
		return nil, nil, err
	}
	sn, err := s.admit(ctx)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(input, maxDataBytes))
	if err != nil {
		return nil, nil, fmt.Errorf("input: %w", err)
	}
	given, err := decodeObject(file{name: "input", body: body})
	if err != nil {
		return nil, nil, err
	}
	c, err := newCompleter()
	if err != nil {
		return nil, nil, err
	}
	value, err := c.complete(e, given)
	if err != nil {
		return nil, nil, fmt.Errorf("input: %w", err)
	}
	return sn, value, nil
}

func (s *snapshot) explain(ctx context.Context, e Entrypoint, input ast.Value) (Evaluation, error) {
	result, err := s.once(ctx, e, input)
	if err != nil {
		return Evaluation{}, err
	}
	var d Decision
	if err := d.decode(result, s.set.catalogue); err != nil {
		return Evaluation{}, err
	}
	if !d.Allow {
		why, err := s.once(ctx, EntryWhy, input)
		if err != nil {
			return Evaluation{}, err
		}
		if d.Reasons, err = decodeWhy(why, s.set.catalogue); err != nil {
			return Evaluation{}, err
		}
	}
	obligations, err := document(result.(ast.Object).Get(key.obligations).Value)
	if err != nil {
		return Evaluation{}, err
	}
	return Evaluation{
		Allow: d.Allow, Reasons: d.Reasons, Obligations: obligations, PolicyRevision: s.set.revision, DataRevision: s.set.dataRev,
	}, nil
}

// Eject writes the shipped core (rules with their tests, catalogue, settings, schemas) below dir, in the layout of a core
// directory. It overwrites nothing.
func Eject(dir string) error {
	files, err := readTree(shipped(), "")
	if err != nil {
		return err
	}
	for _, f := range keep(files, "writ/", "catalogue/", "settings/", "schemas/") {
		if err := writeNew(filepath.Join(dir, filepath.FromSlash(f.path)), f.body); err != nil {
			return err
		}
	}
	return nil
}
