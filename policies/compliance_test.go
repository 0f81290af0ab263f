package policies_test

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/test/cases"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/writ-authz/writ/policies"
)

// What the engine's authors say that it must do, in 2,343 files: so many cases run as a policy would, with our capabilities, store,
// caches and strict builtin errors. The rest are left out by name, in testdata/compliance.skipped, which -update writes.
const (
	complianceFiles   = 2343
	complianceRun     = 3205
	complianceSkipped = 1222
	complianceList    = "testdata/compliance.skipped"
)

// Reasons to leave a case out. Each is verified, not believed.
const (
	needsBuiltin  = "needs "
	wantsLeniency = "a failed builtin is undefined"
)

func TestTheEnginesComplianceCases(t *testing.T) {
	strict := policies.NewEngine()
	full, lenient := policies.NewEngine(), policies.NewEngine()
	full.Capabilities, lenient.Lenient = ast.CapabilitiesForThisVersion(), true
	files, run, left := 0, 0, 0
	skipped := map[string]bool{}
	for name, language := range map[string]ast.RegoVersion{"v0": ast.RegoV0, "v1": ast.RegoV1} {
		for _, e := range []*policies.Engine{strict, full, lenient} {
			e.Language = language
		}
		set, found := complianceCases(t, name)
		files += found
		for _, c := range set {
			problem := comply(t, strict, c)
			if problem == "" {
				run++
				continue
			}
			reason := ""
			if missing := removed(full, c); missing != "" && lacksFunction(problem) {
				reason = needsBuiltin + missing
			} else if strings.Contains(problem, ": eval_") && comply(t, lenient, c) == "" {
				reason = wantsLeniency
			} else {
				t.Errorf("%s %s (%s): %s", name, c.Note, filepath.Base(c.Filename), problem)
				continue
			}
			left++
			skipped[fmt.Sprintf("%s\t%s\t%s#%s", reason, name, filepath.Base(c.Filename), c.Note)] = true
		}
	}
	if files != complianceFiles || run != complianceRun || left != complianceSkipped {
		t.Errorf("%d files, %d cases run, %d left out; want %d, %d, %d", files, run, left, complianceFiles, complianceRun, complianceSkipped)
	}
	lines := slices.Sorted(maps.Keys(skipped))
	if *update {
		if err := os.WriteFile(complianceList, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := os.ReadFile(complianceList)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(listed)), "\n") {
		if !skipped[line] {
			t.Errorf("left out in %s, and it runs: %s", complianceList, line)
		}
		delete(skipped, line)
	}
	for line := range skipped {
		t.Errorf("left out, and not in %s: %s", complianceList, line)
	}
	t.Logf("%d cases run, %d left out", run, left)
}

// lacksFunction reports whether the compiler knows no such function, called or replaced.
func lacksFunction(problem string) bool {
	return strings.Contains(problem, "rego_type_error: undefined function ") ||
		strings.Contains(problem, "rego_type_error: with keyword target must reference existing input, data, or a function")
}

// complianceCases reads the cases of a language from the engine's module, wherever that is.
func complianceCases(t *testing.T, language string) (all []cases.TestCase, files int) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/open-policy-agent/opa/v1/test/cases").Output()
	if err != nil {
		t.Fatalf("where is the engine's module? %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(dir)), "testdata", language)
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var set cases.Set
		if err := util.Unmarshal(body, &set); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i := range set.Cases {
			set.Cases[i].Filename = name
		}
		all = append(all, set.Cases...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, files
}

func modulesOf(c cases.TestCase) map[string]string {
	modules := map[string]string{}
	for i, text := range c.Modules {
		modules[fmt.Sprintf("test-%d.rego", i)] = text
	}
	return modules
}

// comply runs a case and says what is wrong, or nothing.
func comply(t *testing.T, e *policies.Engine, c cases.TestCase) string {
	t.Helper()
	compiler, err := e.Compile(modulesOf(c))
	if err != nil {
		return err.Error()
	}
	var input ast.Value
	switch {
	case c.InputTerm != nil:
		input = ast.MustParseTerm(*c.InputTerm).Value
	case c.Input != nil:
		input = ast.MustInterfaceToValue(*c.Input)
	}
	data := map[string]any{}
	if c.Data != nil {
		data = *c.Data
	}
	results, err := e.Query(t.Context(), compiler, c.Query, data, input)
	switch {
	case c.WantErrorCode == nil && c.WantError == nil && err != nil:
		return err.Error()
	case c.WantError != nil && (err == nil || !strings.Contains(err.Error(), *c.WantError)):
		return fmt.Sprintf("got %v, %v, want the error %q", results, err, *c.WantError)
	case c.WantErrorCode != nil && !hasCode(err, *c.WantErrorCode):
		return fmt.Sprintf("got %v, %v, want an error %s", results, err, *c.WantErrorCode)
	case err == nil && c.WantResult == nil:
		return "the case wants nothing"
	case err == nil:
		return compareBindings(results, c)
	}
	return ""
}

func hasCode(err error, code string) bool {
	var failure *topdown.Error
	return errors.As(err, &failure) && failure.Code == code
}

// compareBindings compares as sets, as the engine's own tests do.
func compareBindings(results rego.ResultSet, c cases.TestCase) string {
	want, got := ast.NewSet(), ast.NewSet()
	for _, bindings := range *c.WantResult {
		want.Add(ast.NewTerm(ast.MustInterfaceToValue(bindings)))
	}
	for _, result := range results {
		bindings := map[string]any{}
		for name, value := range result.Bindings {
			if list, ok := value.([]any); ok && c.SortBindings {
				slices.SortFunc(list, util.Compare)
			}
			if !c.IgnoreGeneratedVars || !strings.HasPrefix(name, "__localq") {
				bindings[name] = value
			}
		}
		got.Add(ast.NewTerm(ast.MustInterfaceToValue(bindings)))
	}
	if want.Compare(got) != 0 {
		return fmt.Sprintf("got %v, want %v", got, want)
	}
	return ""
}

// removed names a builtin that a case calls or replaces and that policies do not have, or nothing.
func removed(full *policies.Engine, c cases.TestCase) string {
	known := map[string]bool{}
	for _, builtin := range full.Capabilities.Builtins {
		known[builtin.Name] = true
	}
	allowed := policies.AllowedBuiltins()
	var missing []string
	note := func(ref ast.Ref) {
		if name := ref.String(); known[name] && !slices.Contains(allowed, name) {
			missing = append(missing, name)
		}
	}
	options := ast.ParserOptions{RegoVersion: full.Language, Capabilities: full.Capabilities}
	texts := []any{}
	for name, text := range modulesOf(c) {
		if module, err := ast.ParseModuleWithOpts(name, text, options); err == nil {
			texts = append(texts, module)
		}
	}
	if query, err := ast.ParseBodyWithOpts(c.Query, options); err == nil {
		texts = append(texts, query)
	}
	for _, text := range texts {
		ast.WalkRefs(text, func(ref ast.Ref) bool { note(ref); return false })
	}
	slices.Sort(missing)
	return cmp.Or(missing...)
}
