package policies_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

func check(tb testing.TB, source policies.Source) []policies.Problem {
	tb.Helper()
	report, err := policies.Check(tb.Context(), source)
	if err != nil {
		tb.Fatal(err)
	}
	if (len(report.Problems) == 0) != (report.Revision != "") {
		tb.Errorf("revision %q beside %d problems", report.Revision, len(report.Problems))
	}
	return slices.DeleteFunc(report.Problems, func(p policies.Problem) bool {
		return strings.HasPrefix(p.File, "policies/rego/") // those are rego_test.go's
	})
}

// testedZoo is the zoo with a test of each side of its rules.
func testedZoo() map[string]string {
	files := zoo()
	files["apps/zoo/zoo_test.rego"] += `
test_stranger if zoo.permit == set() with input as {"subject": {"id": "bob"}} with data.apps.zoo.keepers as {"ann": true}

test_open if zoo.deny == set() with input as {"context": {"closed": false}}
`
	return files
}

func TestCheckHasNothingAgainstAGoodDirectory(t *testing.T) {
	if problems := check(t, policies.Source{Dir: write(t, testedZoo())}); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestCheckNamesTheRuleAndThePlace(t *testing.T) {
	const meta = "# METADATA\n# title: T\n# labels:\n#   rule: FOLDER.x\n"
	cases := map[string]struct{ body, rule, place string }{ // by folder
		"unformatted": {meta + "x  if true\n", "format", "1:1"},
		"bare":        {"x if input.a\n", "metadata", "3:1"},
		"zoology":     {strings.Replace(meta, "FOLDER.x", "zoo.keeper", 1) + "x if input.a\n", "metadata", "7:1"},
		"untested":    {meta + "x if input.a\n", "test", "1:1"},
		"denying":     {meta + "deny contains \"granted\" if input.a\n", "deny", "7:1"},
		"printing":    {meta + "x if {\n\tprint(\"x\")\n\tinput.a\n}\n", "debug", "8:2"},
		"replacing":   {meta + "x if input.a with input as {}\n", "with", "7:6"},
		"repeating":   {meta + "# scope: document\ndefault x := false\n\nx := false if input.a\n", "default", "10:1"},
		"constant":    {meta + "x if {\n\tinput.a\n\ttrue\n}\n", "constant", "9:2"},
		"looping":     {meta + "x if input.a[_] != 1\n", "loop", "7:6"},
		"gathering":   {meta + "x := {y | some y in input.a; y > 1}\n", "comprehension", "7:11"},
		"collecting":  {meta + "x := [y | y := input.a[i]; i > 1]\n", "comprehension", "7:16"},
		"unchecked":   {meta + "x if input.a\n", "schema", "7:6"},
		"elsewhere":   {meta + "x if data.apps.elsewhere.lmits[input.a]\n", "reference", "7:6"},
	}
	files := zoo()
	for folder, c := range cases {
		files["apps/"+folder+"/b.rego"] = "package apps." + folder + "\n\n" + strings.ReplaceAll(c.body, "FOLDER", folder)
	}
	problems := check(t, policies.Source{Dir: write(t, files)}) // all at once: each check compiles the shipped rules, too
	for folder, c := range cases {
		if !slices.ContainsFunc(problems, func(p policies.Problem) bool {
			return p.Rule == c.rule && strings.Contains(p.String(), "apps/"+folder+"/b.rego:"+c.place)
		}) {
			t.Errorf("want %s at %s:%s, got %v", c.rule, folder, c.place, problems)
		}
	}
	for _, p := range problems {
		if strings.HasSuffix(p.File, "looping/b.rego") && p.Rule == "loop" && p.Text != "x if input.a[_] != 1" {
			t.Errorf("the line is told as %q", p.Text)
		}
	}
	// What does not compile is told beside the rest.
	files = zoo()
	files["apps/zoo/b.rego"] = "package apps.zoo\n\n" + strings.ReplaceAll(meta, "FOLDER", "zoo") + "x if y\n"
	if problems := check(t, policies.Source{Dir: write(t, files)}); !slices.ContainsFunc(problems, func(p policies.Problem) bool {
		return p.Rule == "compile" && strings.Contains(p.String(), "b.rego:7:6")
	}) {
		t.Errorf("want a compile error, got %v", problems)
	}
}

// A rule whose tests see one side of it alone may be wider or narrower than meant.
func TestCheckWantsBothSidesOfARuleTested(t *testing.T) {
	rule := func(name, code string) string {
		return "# METADATA\n# title: T\n# labels:\n#   rule: zoo." + name + "\n" + code
	}
	const input = ` with input as {"action": {"name": "%s"}, "resource": {"properties": {"n": %d}}}`
	asked := func(name string, n int) string { return fmt.Sprintf(input, name, n) }
	head := "# METADATA\n# schemas:\n#   - input: schema.input\npackage apps.ark\n\n"
	rules := head + rule("two", "permit contains \"granted\" if {\n\tinput.action.name == \"feed\"\n\tinput.resource.properties.n > 1\n}\n")
	var many strings.Builder // the engine runs tests beside each other, and would let one tell of a rule that another does not need
	for n := range 400 {
		fmt.Fprintf(&many, "test_feeds_%d if data.apps.ark.permit == {\"granted\"}"+input+"\n\n", n, "feed", n+2)
	}
	for name, c := range map[string]struct{ tests, want string }{
		"held by many": {strings.TrimSuffix(many.String(), "\n"), "no test has a case in which permit does not hold"},
		"both sides": {
			"test_feeds if data.apps.ark.permit == {\"granted\"}" + asked("feed", 2) + "\n\ntest_not if data.apps.ark.permit == set()" + asked("feed", 1) + "\n", "",
		},
		"left out by the index": {
			"test_feeds if data.apps.ark.permit == {\"granted\"}" + asked("feed", 2) + "\n\ntest_not if data.apps.ark.permit == set()" + asked("look", 2) + "\n", "",
		},
		"only held":  {"test_feeds if data.apps.ark.permit == {\"granted\"}" + asked("feed", 2) + "\n", "no test has a case in which permit does not hold"},
		"never held": {"test_not if data.apps.ark.permit == set()" + asked("feed", 1) + "\n", "no test has a case in which permit holds"},
		"not looked at": {
			"test_true if 1 + 1 == 2\n", "no test has a case in which permit holds, and none one in which it does not hold",
		},
	} {
		files := testedZoo()
		files["apps/ark/ark.rego"] = rules
		files["apps/ark/ark_test.rego"] = "package apps.ark_test\n\n" + c.tests
		var got []string
		for _, p := range check(t, policies.Source{Dir: write(t, files)}) {
			got = append(got, p.Message)
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// An author repairs all of it before the next try.
func TestCheckTellsAllMistakesAtOnce(t *testing.T) {
	files := zoo()
	files["apps/zoo/b.rego"] = "package apps.zoo\n\npermit contains {\n"
	files["apps/zoo/c.rego"] = "package apps.zoo\n\nx if y ==\n"
	files["apps/park/data.yaml"] = "[1]\n"
	problems := check(t, policies.Source{Dir: write(t, files)})
	var names []string
	for _, p := range problems {
		names = append(names, filepath.Base(p.File)+" "+p.Rule)
	}
	for _, want := range []string{"b.rego parse", "c.rego parse", "data.yaml data"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, problems)
		}
	}
	files = zoo()
	files["apps/zoo/b.rego"], files["apps/zoo/b_test.rego"] = "package apps.zoo\n\n", "package apps.zoo_test\n\ntest_closed if true\n"
	for n := range 12 { // more than the engine tells by itself
		files["apps/zoo/b.rego"] += fmt.Sprintf("x%d if y%d\n\n", n, n)
	}
	unsafe, twice := 0, 0
	for _, p := range check(t, policies.Source{Dir: write(t, files)}) {
		switch {
		case p.Rule == "compile" && strings.HasPrefix(p.Text, "x"):
			unsafe++
		case p.Rule == "twice":
			twice++
		}
	}
	if unsafe != 12 || twice != 1 {
		t.Errorf("%d unsafe variables, want 12; %d tests of one name, want 1", unsafe, twice)
	}
}

func TestCheckKeepsTheCoreClosed(t *testing.T) {
	dir := core(t)
	put(t, dir, "writ/introspection/more.rego", `package writ.introspection

# METADATA
# title: T
# labels:
#   rule: introspection.deny
deny if input.context.x
`)
	replace(t, dir, "writ/decision/subject.rego", "default settled := false\n\n", "")
	report, err := policies.Check(t.Context(), policies.Source{CoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"deny: the core has guards", "guard: writ.decision.settled has no default"} {
		if !slices.ContainsFunc(report.Problems, func(p policies.Problem) bool { return strings.Contains(p.String(), want) }) {
			t.Errorf("want %q, got %v", want, report.Problems)
		}
	}
}

func TestTestReportsFailuresAndWhatIsNotCovered(t *testing.T) {
	files := zoo()
	files["apps/zoo/b.rego"] = "package apps.zoo\n\n# METADATA\n# title: T\n# labels:\n#   rule: zoo.b\npermit contains \"granted\" if {\n\tinput.a\n\tinput.b\n}\n"
	files["apps/zoo/b_test.rego"] = `package apps.zoo_test

test_cases[note] if {
	some note, tc in {"good": {"n": 1}, "bad": {"n": 2}}
	tc.n == 1
}

test_strict if not to_number(input.x) == 1 with input as {"x": "y"}
`
	files["decisions/zoo.yaml"] = `
- name: keepers open cages
  why: it is their work
  entrypoint: writ/decision
  input: {subject: {type: animal, id: ada, not_after: 9223372036854775807}, action: {name: open}, resource: {type: zoo/cage}, caller: {address: unknown}}
  allow: true
  reasons: [zoo.keeper]
- name: but not here
  why: the golden decision is wrong
  entrypoint: writ/decision
  input: {subject: {type: animal, id: ada}, action: {name: open}, resource: {type: zoo/cage}, caller: {address: unknown}}
  allow: false
`
	report, err := policies.Test(t.Context(), policies.Source{Dir: write(t, files)})
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]policies.TestResult{}
	for _, r := range report.Tests {
		results[r.Name] = r
	}
	for name, want := range map[string]string{
		"apps.zoo_test.test_keeper": "", "apps.zoo_test.test_cases": "bad", "apps.zoo_test.test_strict": "to_number",
		"golden: keepers open cages": "", "golden: but not here": "allow is true",
	} {
		r, ran := results[name]
		if !ran || r.Pass != (want == "") || !strings.Contains(r.Message, want) {
			t.Errorf("%s: ran %t, %+v", name, ran, r)
		}
	}
	rows := results["apps.zoo_test.test_cases"].Cases
	if want := []policies.CaseResult{{Name: "bad"}, {Name: "good", Pass: true}}; !slices.Equal(rows, want) {
		t.Errorf("the rows of a table test are %v, want %v", rows, want)
	}
	if report.Failed() < 3 {
		t.Errorf("%d failed", report.Failed())
	}
	found := false
	for _, c := range report.Coverage {
		if filepath.Base(c.File) == "b.rego" {
			found = c.Percent < 100 && len(c.Uncovered) > 0
		}
		if filepath.Base(c.File) == "zoo.rego" && c.Percent != 100 {
			t.Errorf("%+v", c)
		}
	}
	if !found {
		t.Error("what no test reaches is not reported")
	}
}

func TestTestRunsWhatIsNamed(t *testing.T) {
	files := zoo()
	files["decisions/zoo.yaml"] = "- {name: n, why: w, entrypoint: writ/decision, input: {}, allow: false}\n"
	dir := write(t, files)
	for pattern, want := range map[string]string{"zoo_test.test_k": "apps.zoo_test.test_keeper", "golden": "golden: n"} {
		report, err := policies.Test(t.Context(), policies.Source{Dir: dir, Run: regexp.MustCompile(pattern)})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Tests) != 1 || report.Tests[0].Name != want || len(report.Coverage) != 0 {
			t.Errorf("%s: %+v", pattern, report)
		}
	}
}

// What is saved is tested again, and nothing else; a broken set is told, and its repair.
func TestRetestFollowsTheDirectory(t *testing.T) {
	files := zoo()
	for name, body := range zoo() {
		files[strings.ReplaceAll(name, "zoo", "park")] = strings.ReplaceAll(body, "zoo", "park")
	}
	dir := write(t, files)
	ctx, cancel := context.WithCancel(t.Context())
	told, done := make(chan string), make(chan struct{})
	go func() {
		defer close(done)
		policies.Retest(ctx, policies.Source{Dir: dir}, time.Hour, func(report policies.TestReport, err error) {
			names := []string{}
			for _, r := range report.Tests {
				names = append(names, fmt.Sprint(strings.TrimPrefix(r.Name, "apps."), " ", r.Pass))
			}
			outcome := strings.Join(names, ", ")
			if err != nil {
				outcome = policies.Problems(err)[0].Rule
			}
			select {
			case told <- outcome:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { cancel(); <-done }()
	want := func(what string) {
		t.Helper()
		select {
		case got := <-told:
			if got != what {
				t.Errorf("told %q, want %q", got, what)
			}
		case <-time.After(time.Minute):
			t.Fatalf("nothing told, want %q", what)
		}
	}
	want("park_test.test_closed true, park_test.test_keeper true, zoo_test.test_closed true, zoo_test.test_keeper true")
	put(t, dir, "apps/zoo/zoo.rego", strings.Replace(files["apps/zoo/zoo.rego"], "if input.context.closed", "if not input.context.closed", 1))
	want("zoo_test.test_closed false, zoo_test.test_keeper true")
	put(t, dir, "apps/zoo/zoo.rego", "package apps.zoo\n\npermit contains {\n")
	want("parse")
	put(t, dir, "apps/zoo/zoo.rego", files["apps/zoo/zoo.rego"]+"\n# edited\n")
	want("zoo_test.test_closed true, zoo_test.test_keeper true")
}

func TestFormatFormats(t *testing.T) {
	files := zoo()
	files["apps/zoo/b.rego"] = "package apps.zoo\nx   if { true }\n"
	dir := write(t, files)
	changed, err := policies.Format(dir, false)
	if err != nil || len(changed) != 1 || filepath.Base(changed[0].File) != "b.rego" || !strings.Contains(changed[0].Diff, "x   if { true }") {
		t.Fatalf("%v %v", changed, err)
	}
	if _, err := policies.Format(dir, true); err != nil {
		t.Fatal(err)
	}
	if body, _ := os.ReadFile(changed[0].File); !strings.HasPrefix(string(body), "package apps.zoo\n\nx ") {
		t.Errorf("formatted to %s", body)
	}
	if changed, err := policies.Format(dir, false); err != nil || len(changed) != 0 {
		t.Errorf("%v %v", changed, err)
	}
	put(t, dir, "apps/zoo/b.rego", "package\n")
	if _, err := policies.Format(dir, true); err == nil || len(policies.Problems(err)) == 0 {
		t.Errorf("%v", err)
	}
}

func TestEvalExplains(t *testing.T) {
	source := policies.Source{Dir: write(t, zoo())}
	for input, want := range map[string]struct {
		allow bool
		code  string
	}{
		`{"subject": {"id": "ada"}, "resource": {"type": "zoo/cage"}, "caller": {"address": "unknown"}}`:                              {true, "zoo.keeper"},
		"subject: {id: bob}\nresource: {type: zoo/cage}\ncaller: {address: unknown}\n":                                                {false, "not_granted"},
		`{"subject": {"id": "ada"}, "resource": {"type": "zoo/cage"}, "caller": {"address": "unknown"}, "context": {"closed": true}}`: {false, "zoo.closed"},
	} {
		e, err := policies.Eval(t.Context(), source, policies.EntryDecision, strings.NewReader(input))
		if err != nil {
			t.Fatal(err)
		}
		if e.Allow != want.allow || len(e.Reasons) != 1 || e.Reasons[0].Code != want.code || e.PolicyRevision == "" {
			t.Errorf("%s: %+v", input, e)
		}
	}
	if _, err := policies.Eval(t.Context(), source, policies.EntryDecision, strings.NewReader(`{"sbject": {}}`)); err == nil {
		t.Error("a misspelt input is evaluated")
	}
}
