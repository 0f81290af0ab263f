package policies_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/writ-authz/writ/policies"
)

// answers are the results of all golden questions and of why, as JSON.
type answers map[string][2]string

func goldenInputs(t *testing.T) []policies.GoldenInput {
	t.Helper()
	all, err := policies.GoldenInputs(goldens)
	for i := range all {
		all[i].Name = fmt.Sprint(i, " ", all[i].Name) // a name is one file's
	}
	if err != nil || len(all) < 150 {
		t.Fatalf("%d golden decisions, %v", len(all), err)
	}
	return all
}

func variant(t *testing.T, change func(name, text string) (string, error)) *policies.Variant {
	t.Helper()
	v, err := policies.NewVariant(t.Context(), change)
	if err != nil {
		for _, p := range policies.Problems(err) {
			t.Error(p)
		}
		t.Fatal(err)
	}
	return v
}

// ask puts every golden question to a variant of the set.
func ask(t *testing.T, v *policies.Variant, options ...rego.EvalOption) answers {
	t.Helper()
	given := answers{}
	for _, g := range goldenInputs(t) {
		result, why, err := v.Ask(t.Context(), g, options...)
		if err != nil {
			t.Fatalf("%s: %v", g.Name, err)
		}
		given[g.Name] = [2]string{asJSON(t, result), asJSON(t, why)}
	}
	return given
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	if term, ok := value.(ast.Value); ok {
		plain, err := ast.JSON(term)
		if err != nil {
			t.Fatal(err)
		}
		value = plain
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantSame holds every answer to that of the set as it is shipped and evaluated.
func wantSame(t *testing.T, want, got answers) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if diff := cmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s (-shipped +variant)\n%s", name, diff)
		}
	}
}

// TestSO03OptimisationsChangeNoAnswer: the engine's index of rules and its early exit are ways to be quicker, and nothing else.
func TestSO03OptimisationsChangeNoAnswer(t *testing.T) {
	v := variant(t, nil)
	want := ask(t, v)
	for name, options := range map[string][]rego.EvalOption{
		"without the index":      {rego.EvalRuleIndexing(false)},
		"without the early exit": {rego.EvalEarlyExit(false)},
		"without both":           {rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false)},
	} {
		t.Run(name, func(t *testing.T) { wantSame(t, want, ask(t, v, options...)) })
	}
}

// TestSO03FormattingChangesNoAnswer: rules without any indentation answer as those that are formatted, and formatting brings the shipped text
// back, byte by byte.
func TestSO03FormattingChangesNoAnswer(t *testing.T) {
	shipped := variant(t, nil)
	want := ask(t, shipped)
	unformatted := variant(t, func(name, text string) (string, error) {
		flat := flatten(text)
		if flat == text {
			return flat, nil
		}
		again, err := format.SourceWithOpts(name, []byte(flat), format.Opts{RegoVersion: ast.RegoV1})
		if err == nil && string(again) != text {
			t.Errorf("%s, formatted anew, differs:\n%s", name, cmp.Diff(text, string(again)))
		}
		return flat, err
	})
	if maps.Equal(shipped.Rules(), unformatted.Rules()) {
		t.Fatal("nothing was unformatted")
	}
	wantSame(t, want, ask(t, unformatted))
}

// flatten takes the indentation away and puts blank lines at the end.
func flatten(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimLeft(line, "\t"))
	}
	return out.String() + "\n\n"
}

// TestThePlainEngineGivesTheSameAnswers: what opa eval would say, with every builtin, its own store, an input of JSON and none of our
// options, is what a PDP says.
func TestThePlainEngineGivesTheSameAnswers(t *testing.T) {
	v := variant(t, nil)
	want := ask(t, v)
	modules := []func(*rego.Rego){rego.Store(inmem.NewFromObject(v.Data()))}
	for name, text := range v.Rules() {
		modules = append(modules, rego.Module(name, text))
	}
	queries := map[policies.Entrypoint]rego.PreparedEvalQuery{}
	plain := func(e policies.Entrypoint, input any) string {
		query, ok := queries[e]
		if !ok {
			var err error
			if query, err = rego.New(append(slices.Clone(modules), rego.Query(e.ResultQuery()))...).PrepareForEval(t.Context()); err != nil {
				t.Fatal(err)
			}
			queries[e] = query
		}
		results, err := query.Eval(t.Context(), rego.EvalInput(input))
		if err != nil || len(results) != 1 {
			t.Fatalf("%s: %v, %v", e, results, err)
		}
		return asJSON(t, results[0].Expressions[0].Value)
	}
	got := answers{}
	for _, g := range goldenInputs(t) {
		input, err := ast.JSON(g.Input)
		if err != nil {
			t.Fatal(err)
		}
		got[g.Name] = [2]string{plain(g.Entrypoint, input), plain(policies.EntryWhy, input)}
	}
	wantSame(t, want, got)
}
