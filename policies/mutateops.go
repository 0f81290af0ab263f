package policies

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// swaps are the operators that are mistaken for each other, by their names in the engine.
func swaps() map[string]string {
	return map[string]string{
		"equal": "neq", "neq": "equal", "lt": "lte", "lte": "lt", "gt": "gte", "gte": "gt",
		"plus": "minus", "minus": "plus", "or": "and", "and": "or", "min": "max", "max": "min",
		"startswith": "endswith", "endswith": "startswith", "union": "intersection", "intersection": "union",
	}
}

// mutator walks the rules of a module and comes by every mistake that could be made, in the same order each time. It notes them,
// or makes the one that is wanted.
type mutator struct {
	module *module
	wanted int // its number; negative: note all
	n      int
	whole  bool // of a default, which is not one branch among others
	label  string
	found  []Mutant
	within string         // the condition that is walked, as written
	names  map[string]int // of the changes of a rule, how often
	made   bool
	at     int // the rule's place in the module
}

// mutantsOf lists the mutants of a module.
func mutantsOf(m *module) []Mutant {
	w := &mutator{module: m, wanted: -1, names: map[string]int{}}
	w.walk()
	return w.found
}

func (w *mutator) walk() {
	for i, rule := range slices.Clone(w.module.parsed.Rules) {
		w.label, w.at, w.within = documentOf(rule), i, ""
		if w.whole = rule.Default; w.whole {
			w.offer(rule.Location, "drop", fmt.Sprintf("default %s := %s", rule.Head.Ref(), rule.Head.Value), func() {
				w.module.parsed.Rules = slices.DeleteFunc(w.module.parsed.Rules, func(r *ast.Rule) bool { return r == rule })
			})
			w.term(rule.Head.Value)
			continue
		}
		for r := rule; r != nil; r = r.Else {
			w.branch(r)
		}
	}
}

// branch is a rule, or what comes after an else.
func (w *mutator) branch(r *ast.Rule) {
	w.within = ""
	w.offer(r.Location, "drop", headText(r), func() {
		never := ast.NewExpr(ast.BooleanTerm(false)).SetLocation(r.Body[0].Location)
		r.Body = ast.NewBody(never)
	})
	if r.Head.Key != nil {
		w.term(r.Head.Key)
	}
	if r.Head.Value != nil && r.Head.Value.Location != nil {
		made := w.made
		w.term(r.Head.Value)
		if text, ok := r.Head.Value.Value.(ast.String); ok && w.made && !made {
			at := *r.Head.Location // from where the formatter takes a text after an else
			at.Text = []byte(text.String())
			r.Head.Location = &at
		}
	}
	if !r.Body.Equal(ast.NewBody(ast.NewExpr(ast.InternedTerm(true)))) {
		w.body(&r.Body)
	}
}

// headText names a branch by its head and the first thing that it asks.
func headText(r *ast.Rule) string {
	text := "rule " + r.Head.Ref().String()
	if first := r.Body[0]; first.Location != nil {
		text += " if " + written(first.Location, first.String())
	}
	return text
}

// written is what stands at a place, on one line.
func written(at *ast.Location, otherwise string) string {
	if at != nil && len(at.Text) > 0 {
		otherwise = string(at.Text)
		if elsewhere, after, found := strings.Cut(otherwise, " if "); found && strings.HasPrefix(elsewhere, "else") {
			otherwise = after // the first condition after an else begins there, for the parser
		}
	}
	const most = 90
	line := []rune(strings.Join(strings.Fields(otherwise), " "))
	if len(line) > most {
		line = append(line[:most], '…')
	}
	return string(line)
}

// offer is one mistake; make makes it.
func (w *mutator) offer(at *ast.Location, what, text string, make func()) {
	n := w.n
	w.n++
	if w.wanted >= 0 {
		if n == w.wanted {
			make()
			w.made = true
		}
		return
	}
	change := what + ": " + text
	if what == "change" && w.within != "" {
		change += " in " + w.within
	}
	w.names[w.label+change]++
	if again := w.names[w.label+change]; again > 1 {
		change += fmt.Sprintf(" #%d", again)
	}
	w.found = append(w.found, Mutant{
		File: w.module.name, Line: at.Row, Column: at.Col, Rule: w.label, Change: change, path: w.module.path, n: n, at: w.at,
		whole: w.whole,
	})
}

func (w *mutator) body(body *ast.Body) {
	for i := 0; i < len(*body) && !w.made; i++ {
		w.expr(body, i)
	}
}

func (w *mutator) expr(body *ast.Body, i int) {
	e := (*body)[i]
	if some, ok := e.Terms.(*ast.SomeDecl); ok {
		for _, symbol := range some.Symbols {
			w.term(symbol)
		}
		return // without it, its variables are not there
	}
	text := written(e.Location, e.String())
	w.within = text
	w.offer(e.Location, "drop", text, func() {
		if len(*body) == 1 {
			*body = ast.NewBody(ast.NewExpr(ast.BooleanTerm(true)).SetLocation(e.Location))
			return
		}
		*body = slices.Delete(slices.Clone(*body), i, i+1)
	})
	if !e.IsAssignment() && !e.IsEvery() {
		w.offer(e.Location, "negate", text, func() { e.Negated = !e.Negated })
	}
	w.terms(e)
}

func (w *mutator) terms(e *ast.Expr) {
	switch terms := e.Terms.(type) {
	case *ast.Term:
		w.term(terms)
	case *ast.Every:
		w.term(terms.Domain)
		w.body(&terms.Body)
	case []*ast.Term:
		w.call(terms, e.Location)
	}
}

// call is an operator or function with its arguments.
func (w *mutator) call(terms []*ast.Term, at *ast.Location) {
	name := terms[0].String()
	if other := swaps()[name]; other != "" {
		w.offer(at, "instead "+other, written(at, ast.Call(terms).String()), func() {
			terms[0] = ast.RefTerm(ast.VarTerm(other)).SetLocation(terms[0].Location)
		})
	}
	for _, t := range terms[1:] {
		w.term(t)
	}
}

// term looks for constants, operators and conditions inside a term.
func (w *mutator) term(t *ast.Term) {
	switch v := t.Value.(type) {
	case ast.Boolean, ast.Number, ast.String:
		w.offer(t.Location, "change", v.String(), func() {
			t.Value = otherConstant(v)
			at := *t.Location // the formatter writes a text as it stands there
			at.Text = []byte(t.Value.String())
			t.Location = &at
		})
	case *ast.Array:
		v.Foreach(w.term)
	case ast.Set:
		v.Foreach(w.term)
	case ast.Object:
		v.Foreach(func(_, item *ast.Term) { w.term(item) })
	case ast.Call:
		w.call(v, t.Location)
	case ast.Ref:
		w.ref(v)
	case *ast.ArrayComprehension:
		w.term(v.Term)
		w.body(&v.Body)
	case *ast.SetComprehension:
		w.term(v.Term)
		w.body(&v.Body)
	case *ast.ObjectComprehension:
		w.term(v.Value)
		w.body(&v.Body)
	}
}

// ref is a path: a name in it that is another is another rule, but what it begins with and counts by may be mistaken.
func (w *mutator) ref(ref ast.Ref) {
	for i, t := range ref {
		switch t.Value.(type) {
		case ast.Var, ast.String, ast.Boolean:
		default:
			if i > 0 || !isConstant(t) {
				w.term(t)
			}
		}
	}
}

func isConstant(t *ast.Term) bool {
	switch t.Value.(type) {
	case ast.Boolean, ast.Number, ast.String, ast.Null:
		return true
	}
	return false
}

func otherConstant(v ast.Value) ast.Value {
	switch v := v.(type) {
	case ast.Boolean:
		return !v
	case ast.Number:
		if n, ok := new(big.Int).SetString(string(v), 10); ok {
			return ast.Number(n.Add(n, big.NewInt(1)).String())
		}
		return ast.Number("0")
	case ast.String:
		return v + "~"
	}
	return v
}

func formattedModule(m *ast.Module) (text []byte, err error) {
	defer func() {
		if problem := recover(); problem != nil { // the formatter is made for trees that were read
			err = fmt.Errorf("format: %v", problem)
		}
	}()
	options := parserOptions()
	return format.AstWithOpts(m, format.Opts{RegoVersion: ast.RegoV1, ParserOptions: &options})
}

// acceptedMutants are the mutants that may survive.
type acceptedMutants []acceptedMutant

type acceptedMutant struct {
	file, path, rule, change, reason string
}

// acceptedMutants reads the list at the top of the set: the directory's, or the shipped one for the shipped rules and a core.
func (l layers) acceptedMutants() (acceptedMutants, error) {
	tree, root := l.shipped, "policies/rego"
	if l.dir != nil {
		tree, root = l.dir, l.dirDir
	}
	f, err := tree.Open(acceptedFile)
	if err != nil {
		return nil, nil //nolint:nilerr // there need not be one
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxRegoBytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", acceptedFile, err)
	}
	return parseAccepted(file{name: path.Join(root, acceptedFile), body: body})
}

func parseAccepted(f file) (acceptedMutants, error) {
	value, err := decodeYAML(f.body)
	if err != nil {
		return nil, refused(f.name, "mutants", "%v", err)
	}
	list, ok := value.([]any)
	if !ok && value != nil {
		return nil, refused(f.name, "mutants", "not a list")
	}
	var accepted acceptedMutants
	for i, item := range list {
		fields, _ := item.(map[string]any)
		entry := acceptedMutant{file: f.name}
		entry.path, _ = fields["file"].(string)
		entry.rule, _ = fields["rule"].(string)
		entry.reason, _ = fields["reason"].(string)
		changes, _ := fields["survive"].([]any)
		if entry.path == "" || entry.rule == "" || entry.reason == "" || len(changes) == 0 || len(fields) != 4 {
			return nil, refused(f.name, "mutants", "entry %d: it has exactly file, rule, survive (a list) and reason", i+1)
		}
		for _, change := range changes {
			if entry.change, ok = change.(string); !ok {
				return nil, refused(f.name, "mutants", "entry %d: survive is a list of texts", i+1)
			}
			accepted = append(accepted, entry)
		}
	}
	return accepted, nil
}

// judge counts, and holds the accepted list to the truth: what it names must survive.
func (a acceptedMutants) judge(mutants []Mutant, outcomes []outcome, left func(path, rule string) bool) MutationReport {
	report := MutationReport{Mutants: len(mutants), Survivors: []Mutant{}, Stale: []Problem{}}
	used := make([]bool, len(a))
	for i, o := range outcomes {
		m := mutants[i]
		at := slices.IndexFunc(a, func(e acceptedMutant) bool {
			return e.path == m.path && e.rule == m.Rule && e.change == m.Change
		})
		switch {
		case o.refused:
			report.Refused++
		case o.killed:
			report.Killed++
		case at >= 0:
			report.Accepted++
			used[at] = true
		default:
			m.Tests, m.Diff = o.tests, o.diff
			report.Survivors = append(report.Survivors, m)
		}
	}
	for i, e := range a {
		if !used[i] && !left(e.path, e.rule) {
			report.Stale = append(report.Stale, Problem{
				File: e.file, Rule: "mutants", Message: fmt.Sprintf("%s %s: %q is killed, or is no mutant; take it off the list", e.path, e.rule, e.change),
			})
		}
	}
	return report
}

// lineDiff is what differs between two texts, line by line, with their numbers in the first.
func lineDiff(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	from := 0
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	toA, toB := len(a), len(b)
	for toA > from && toB > from && a[toA-1] == b[toB-1] {
		toA, toB = toA-1, toB-1
	}
	var out bytes.Buffer
	for _, step := range steps(a[from:toA], b[from:toB]) {
		line := from + step.a
		switch step.kind {
		case '-':
			fmt.Fprintf(&out, "-%4d  %s\n", line+1, a[line])
		case '+':
			fmt.Fprintf(&out, "+      %s\n", b[from+step.b])
		}
	}
	return out.String()
}

type step struct {
	kind byte // '-', '+' or ' '
	a, b int
}

// steps is the shortest way from one list of lines to another, by the longest common subsequence.
func steps(a, b []string) []step {
	if len(a)*len(b) > 1<<22 { // thousands of lines that differ: all out, all in
		var all []step
		for i := range a {
			all = append(all, step{'-', i, 0})
		}
		for j := range b {
			all = append(all, step{'+', len(a), j})
		}
		return all
	}
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var way []step
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			way = append(way, step{' ', i, j})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			way = append(way, step{'-', i, j})
			i++
		default:
			way = append(way, step{'+', i, j})
			j++
		}
	}
	return way
}
