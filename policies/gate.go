package policies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

// candidate takes a set through the whole gate: load, compile, entrypoints, codes, tests by tier, invariant vectors. Base
// is the set that serves now, nil at the start; a candidate with the same content as base is base.
func (p *PDP) candidate(ctx context.Context, base *snapshot, m Managed, tests testTier) (*snapshot, error) {
	l, err := p.layers(m)
	if err != nil {
		return nil, err
	}
	var old *set
	switch {
	case base != nil:
		old = base.gated
	case l.core != nil && p.tested: // what of it is as it is shipped passed its tests when this was built
		if old, err = l.asShipped(); err != nil {
			return nil, err
		}
	}
	shippedAlone := l.core == nil && l.dir == nil && l.bundle == nil // its tests ran when it was built
	s, err := load(l, !shippedAlone && tests != noTests, old)
	if err != nil {
		return nil, err
	}
	s.typed = shippedAlone && p.tested
	if known := p.known(base, s.content, tests); known != nil {
		if known == base && base.documents == hashDocuments(m.Documents) {
			return base, nil
		}
		return p.finish(ctx, known.unbound(), m.Documents)
	}
	sn, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case shippedAlone || tests == noTests:
	case tests == allTests:
		packages, err := s.unproven(l)
		if err != nil {
			return nil, err
		}
		if err := s.prove(ctx, sn, packages); err != nil {
			return nil, err
		}
		s.proven = true
	default:
		packages := s.affected(old)
		if len(packages) > 0 { // those of the core take their time, and nothing serves meanwhile at a start
			p.logger.InfoContext(ctx, "running the tests of policies", "packages", slices.Sorted(maps.Keys(packages)))
		}
		if err := s.prove(ctx, sn, packages); err != nil {
			return nil, err
		}
	}
	return p.finish(ctx, sn, m.Documents)
}

// asShipped is the shipped set as it is where a core of one's own is used: without the tests of its examples.
func (l layers) asShipped() (*set, error) {
	s, err := load(layers{shipped: l.shipped}, true, nil)
	if err == nil {
		s.modules = slices.DeleteFunc(s.modules, func(m *module) bool { return m.test && !m.core })
	}
	return s, err
}

// pin gives the exact audiences of this server to the planes for which the settings name none. It comes after the gate: tests and
// vectors are about rules, whatever the server's name is.
func (sn *snapshot) pin(ctx context.Context, audiences map[string][]string) (*snapshot, error) {
	if len(audiences) == 0 {
		return sn, nil
	}
	planes := map[string]any{}
	if block, ok := sn.set.settings["audiences"].(map[string]any); ok {
		maps.Copy(planes, block)
	}
	for plane, names := range audiences {
		if len(names) == 0 || slices.Contains(names, "") {
			return nil, fmt.Errorf("audiences of plane %q: %q has none or an empty one, so that tokens for any server would do", plane, names)
		}
		if given, ok := planes[plane].(map[string]any); ok && len(given) > 0 {
			continue
		}
		exact := make(map[string]any, len(names))
		for _, name := range names {
			exact[name] = true
		}
		planes[plane] = exact
	}
	s := *sn.set
	s.settings, s.data = maps.Clone(s.settings), maps.Clone(s.data)
	s.settings["audiences"] = planes
	s.data["settings"] = s.settings
	s.dataRev = hashJSON(s.data)
	pinned, err := newSnapshot(ctx, &s, sn.compiler)
	if err != nil {
		return nil, err
	}
	pinned.gated, pinned.documents = sn.gated, sn.documents
	return pinned, nil
}

// admit compiles a set and checks what does not need its tests.
func (s *set) admit(ctx context.Context) (*snapshot, error) {
	read := sync.OnceValues(invariantVectors)
	go func() { _, _ = read() }() // beside the compiler, which has one core
	compiler, err := s.compile()
	if err != nil {
		return nil, err
	}
	if problems := append(s.checkEntrypoints(compiler), s.checkCodes()...); len(problems) > 0 {
		return nil, &problemError{problems}
	}
	if err := s.checkData(ctx, compiler); err != nil {
		return nil, err
	}
	sn, err := newSnapshot(ctx, s, compiler)
	if err != nil {
		return nil, err
	}
	if err := sn.checkFilters(ctx); err != nil {
		return nil, err
	}
	if err := sn.checkMask(ctx); err != nil {
		return nil, err
	}
	vectors, err := read()
	if err != nil {
		return nil, err
	}
	if err := sn.hold(ctx, vectors); err != nil {
		return sn, err
	}
	if s.untested { // a core of one's own; of the shipped one a test says that lists can follow it
		return sn, sn.checkRows(ctx)
	}
	return sn, nil
}

func invariantVectors() ([]vector, error) {
	return parseVectors(file{name: "invariants.yaml", body: invariants})
}

// holdInvariants holds the snapshot to the vectors that hold for any core.
func (sn *snapshot) holdInvariants(ctx context.Context) error {
	vectors, err := invariantVectors()
	if err != nil {
		return err
	}
	return sn.hold(ctx, vectors)
}

// hold demands the answers of all vectors.
func (sn *snapshot) hold(ctx context.Context, vectors []vector) error {
	for i := range vectors {
		if err := vectors[i].hold(ctx, sn, false); err != nil {
			return err
		}
	}
	return nil
}

func (v *vector) hold(ctx context.Context, sn *snapshot, byRule bool) error {
	differs, err := v.run(ctx, sn, byRule)
	if err != nil {
		return refused(v.file, "golden", "%s: %v", v.name, err)
	}
	if differs != "" {
		return refused(v.file, "golden", "%s: %s", v.name, differs)
	}
	return nil
}

// prove runs the tests of the named packages (nil: all) and the directory's golden decisions.
func (s *set) prove(ctx context.Context, sn *snapshot, packages map[string]bool) error {
	results, _, err := s.runTests(ctx, packages, nil, nil)
	if err != nil {
		return err
	}
	var problems []Problem
	for _, r := range results {
		if !r.Pass {
			message := r.Name + ": " + r.Message
			problems = append(problems, Problem{File: r.File, Line: r.Line, Column: 1, Rule: "test", Message: message})
		}
	}
	if len(problems) > 0 {
		return &problemError{problems}
	}
	vectors, err := vectorsOf(s.golden)
	if err != nil {
		return err
	}
	for i := range vectors {
		if err := vectors[i].hold(ctx, sn, true); err != nil {
			return err
		}
	}
	return nil
}

// maxProblems is how many mistakes of a set are told at once.
const maxProblems = 100

func (s *set) newCompiler() *ast.Compiler {
	schemas := ast.NewSchemaSet()
	for name, schema := range s.schemas {
		ref := ast.SchemaRootRef.Copy()
		for part := range strings.SplitSeq(name, "/") {
			ref = append(ref, ast.StringTerm(part))
		}
		schemas.Put(ref, schema)
	}
	return ast.NewCompiler().WithStrict(true).WithCapabilities(capabilities()).WithDefaultRegoVersion(ast.RegoV1).
		WithSchemas(schemas).WithUseTypeCheckAnnotations(true).SetErrorLimit(maxProblems).
		WithPathConflictsCheck(func(path []string) (bool, error) { return exists(s.data, path), nil })
}

// exists says whether data has something at a path, so that no rule and no document hide each other.
func exists(data map[string]any, path []string) bool {
	for i, name := range path {
		value, found := data[name]
		if !found {
			return false
		}
		if i == len(path)-1 {
			return true
		}
		inner, ok := value.(map[string]any)
		if !ok {
			return true
		}
		data = inner
	}
	return true
}

// compile compiles the rules without their tests.
func (s *set) compile() (*ast.Compiler, error) {
	modules := make(map[string]*ast.Module, len(s.modules))
	for _, m := range s.modules {
		if !m.test {
			modules[m.name] = m.parsed
		}
	}
	c := s.newCompiler()
	if s.typed {
		c.WithSkipStages(ast.StageCheckTypes)
	}
	if c.Compile(modules); c.Failed() {
		return nil, &problemError{astProblems("", "compile", c.Errors)}
	}
	return c, nil
}

// astProblems turns the engine's errors into problems with places.
func astProblems(name, rule string, err error) []Problem {
	var list ast.Errors
	if one := (*ast.Error)(nil); !errors.As(err, &list) && errors.As(err, &one) {
		list = ast.Errors{one}
	}
	if len(list) == 0 {
		return []Problem{{File: name, Rule: rule, Message: err.Error()}}
	}
	problems := make([]Problem, 0, len(list))
	for _, e := range list {
		p := Problem{File: name, Rule: rule, Message: strings.TrimSpace(e.Message)}
		if e.Location != nil {
			p.Line, p.Column = e.Location.Row, e.Location.Col
			if e.Location.File != "" {
				p.File = e.Location.File
			}
		}
		if e.Details != nil {
			if lines := e.Details.Lines(); len(lines) > 0 {
				p.Message += " (" + strings.Join(trimmed(lines), " ") + ")"
			}
		}
		problems = append(problems, p)
	}
	slices.SortStableFunc(problems, compareProblems)
	return problems
}

func trimmed(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimSpace(line)
	}
	return out
}

// checkEntrypoints demands every entrypoint, closed by a default.
func (s *set) checkEntrypoints(c *ast.Compiler) []Problem {
	var problems []Problem
	for _, e := range entrypoints() {
		rules := c.GetRulesExact(e.resultRef())
		if len(rules) == 0 {
			problems = append(problems, Problem{File: string(e), Rule: "entrypoint", Message: "there is no rule result"})
			continue
		}
		if !slices.ContainsFunc(rules, func(r *ast.Rule) bool { return r.Default }) {
			at := rules[0].Location
			problems = append(problems, Problem{
				File: at.File, Line: at.Row, Column: at.Col, Rule: "entrypoint", Message: "result has no default",
			})
		}
	}
	return problems
}

// checkCodes demands that every reason code that is written in a rule is in the catalogue.
func (s *set) checkCodes() []Problem {
	var problems []Problem
	for _, m := range s.modules {
		if m.test {
			continue
		}
		for _, term := range codes(m) {
			code, _ := textOf(term)
			if _, known := s.catalogue.reasons[code]; !known {
				problems = append(problems, problemAt(term.Location, "code", "reason code %q is not in the catalogue", code))
			}
		}
	}
	return problems
}

// codes returns the reason codes written in a module: those of {"code": …} objects and, in application policies, the members
// of permit and deny.
func codes(m *module) []*ast.Term {
	var found []*ast.Term
	literal := func(term *ast.Term) {
		if term != nil && term.Location != nil {
			if _, ok := term.Value.(ast.String); ok {
				found = append(found, term)
			}
		}
	}
	ast.WalkTerms(m.parsed, func(term *ast.Term) bool {
		if object, ok := term.Value.(ast.Object); ok {
			if object.Get(key.rule) != nil {
				literal(object.Get(key.code))
			}
		}
		return false
	})
	if !m.core {
		for _, rule := range m.parsed.Rules {
			if name := rule.Head.Name.String(); (name == "permit" || name == "deny") && rule.Head.Key != nil {
				literal(rule.Head.Key)
			}
		}
	}
	return found
}

func problemAt(at *ast.Location, rule, format string, args ...any) Problem {
	return Problem{File: at.File, Line: at.Row, Column: at.Col, Rule: rule, Message: fmt.Sprintf(format, args...)}
}

// unproven names all test packages but those of the shipped core that see nothing of what a set replaces: they passed when this was built.
// Nil is all, for a shipped core that was not tested.
func (s *set) unproven(l layers) (map[string]bool, error) {
	tested, err := proven()
	if err != nil || !tested {
		return nil, err
	}
	packages := map[string]bool{}
	if s.parts.Core != "" {
		shipped, err := l.asShipped()
		if err != nil {
			return nil, err
		}
		packages = s.affected(shipped)
	}
	for _, m := range s.modules {
		if m.test && !m.core {
			packages[m.pkg()] = true
		}
	}
	return packages, nil
}

// affected names the test packages to run for a set that replaces old: those whose rules, data or tests differ, and all that
// depend on them. Nil old: everything that is not shipped counts as different.
func (s *set) affected(old *set) map[string]bool {
	changed := map[string]bool{} // dotted paths below data
	before := map[string]string{}
	if old != nil {
		for _, m := range old.modules {
			before[m.path] = m.sha
		}
		for _, m := range old.modules {
			if !slices.ContainsFunc(s.modules, func(n *module) bool { return n.path == m.path }) {
				changed[strings.TrimSuffix(m.pkg(), "_test")] = true
			}
		}
		for _, name := range s.changedData(old) {
			changed[name] = true
		}
	}
	for _, m := range s.modules {
		if old == nil && (m.dir || m.core && s.source != "directory") || old != nil && before[m.path] != m.sha {
			changed[strings.TrimSuffix(m.pkg(), "_test")] = true
		}
	}
	if old == nil && s.source != "directory" {
		changed["catalogue"], changed["settings"] = true, true
	}
	s.spread(changed)
	tests := map[string]bool{}
	for _, m := range s.modules {
		if m.test && (changed[strings.TrimSuffix(m.pkg(), "_test")] || touches(m, changed)) {
			tests[m.pkg()] = true
		}
	}
	return tests
}

// changedData names the documents that differ. The core's tests are about its rules under its own catalogue and settings; what a
// directory adds to them concerns the applications of the directory.
func (s *set) changedData(old *set) []string {
	var names []string
	if s.coreData != old.coreData {
		names = append(names, "catalogue", "settings")
	}
	added := !reflect.DeepEqual(s.data["catalogue"], old.data["catalogue"]) || !reflect.DeepEqual(s.settings, old.settings)
	all := maps.Clone(s.apps)
	maps.Copy(all, old.apps)
	for name := range all {
		if added && s.brought(name) || !reflect.DeepEqual(s.apps[name], old.apps[name]) {
			names = append(names, "apps."+name)
		}
	}
	return names
}

// brought reports whether the directory brings the application.
func (s *set) brought(name string) bool {
	return slices.ContainsFunc(s.modules, func(m *module) bool { return m.dir && strings.HasPrefix(m.path, "apps/"+name+"/") })
}

// spread adds every package that depends on a changed one.
func (s *set) spread(changed map[string]bool) {
	for again := true; again; {
		again = false
		for _, m := range s.modules {
			if !m.test && !changed[m.pkg()] && touches(m, changed) {
				changed[m.pkg()], again = true, true
			}
		}
	}
}

// touches says whether a module refers to something changed, or to something above or below it.
func touches(m *module, changed map[string]bool) bool {
	for _, ref := range m.uses() {
		for name := range changed {
			if below(ref, name) || below(name, ref) {
				return true
			}
		}
	}
	return false
}

func below(a, b string) bool {
	return a == b || b == "" || strings.HasPrefix(a, b+".")
}

// uses returns the dotted ground prefixes of what a module refers to below data. That the core finds applications by the
// first segment of a question's type (data.apps[…]) does not count: no test of the core asks about an application that it
// does not name.
func (m *module) uses() []string {
	if m.refs == nil {
		seen := map[string]bool{}
		ast.WalkRefs(m.parsed, func(ref ast.Ref) bool {
			if len(ref) > 1 && ref[0].Equal(ast.DefaultRootDocument) && !ref.Equal(m.parsed.Package.Path) {
				seen[dotted(ref[1:])] = true
			}
			return false
		})
		delete(seen, "apps")
		m.refs = slices.Sorted(maps.Keys(seen))
	}
	return m.refs
}

func dotted(ref ast.Ref) string {
	var parts []string
	for _, term := range ref {
		s, ok := term.Value.(ast.String)
		if !ok {
			break
		}
		parts = append(parts, string(s))
	}
	return strings.Join(parts, ".")
}
