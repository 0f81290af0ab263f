package policies_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

const (
	// held are the rules of which no mutant survives, but for those of mutants.yaml: all. make mutate tries them.
	held = `^(writ|apps)\.`
	// sampled are those of which one mutant in ten is tried here.
	sampled = `^(writ\.decision|apps\.document)\.`
)

// A sample of the mistakes that could be made in the rules that are held to it: each is noticed by a test or a golden decision.
func TestASampleOfMutantsIsKilled(t *testing.T) {
	report, err := policies.Mutate(t.Context(), policies.Source{Golden: goldens}, policies.Mutation{Rules: regexp.MustCompile(sampled), Every: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range report.Survivors {
		t.Errorf("%s:%d:%d: %s: %s\n%s", m.File, m.Line, m.Column, m.Rule, m.Change, m.Diff)
	}
	t.Logf("each 10th mutant of %s: %d tried, %d killed, %d refused, %d accepted; make mutate tries all of %s", sampled, report.Mutants,
		report.Killed, report.Refused, report.Accepted, held)
	if report.Mutants < 10 || report.Killed < report.Mutants/2 {
		t.Errorf("%+v", report)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil || !strings.Contains(string(makefile), "RULES ?= "+held+"\n") {
		t.Errorf("make mutate tries other rules: %v", err)
	}
}

func mutate(tb testing.TB, files map[string]string, m policies.Mutation) policies.MutationReport {
	tb.Helper()
	report, err := policies.Mutate(tb.Context(), policies.Source{Dir: write(tb, files)}, m)
	if err != nil {
		tb.Fatal(err)
	}
	if n := report.Killed + report.Refused + report.Accepted + len(report.Survivors); n != report.Mutants {
		tb.Errorf("%d mutants, but %d outcomes", report.Mutants, n)
	}
	return report
}

func changes(mutants []policies.Mutant) string {
	var all []string
	for _, m := range mutants {
		all = append(all, m.Change)
	}
	return strings.Join(all, "\n")
}

func TestWhatNoTestNoticesSurvives(t *testing.T) {
	// The zoo's tests ask nothing that is refused, so a condition may go without being missed.
	report := mutate(t, zoo(), policies.Mutation{})
	want := "drop: data.apps.zoo.keepers[input.subject.id]\ndrop: input.context.closed"
	if got := changes(report.Survivors); got != want {
		t.Fatalf("survivors are\n%s\nwant\n%s", got, want)
	}
	first := report.Survivors[0]
	if !strings.HasSuffix(first.File, "zoo.rego") || first.Line != 9 || first.Column != 33 || first.Rule != "apps.zoo.permit" || first.Tests != 1 ||
		!strings.Contains(first.Diff, "-   9  permit contains \"zoo.keeper\" if data.apps.zoo.keepers[input.subject.id]") ||
		!strings.Contains(first.Diff, "+      permit contains \"zoo.keeper\"") {
		t.Errorf("%+v", first)
	}
	if report.Killed < 4 {
		t.Errorf("%+v", report)
	}
	if only := mutate(t, zoo(), policies.Mutation{Rules: regexp.MustCompile(`\.deny$`)}); len(only.Survivors) != 1 || only.Mutants >= report.Mutants {
		t.Errorf("of deny alone: %+v", only)
	}

	// A survivor is accepted by name, with a reason; and an entry must survive.
	files := zoo()
	entry := "- {file: apps/zoo/zoo.rego, rule: apps.zoo.permit, reason: for a test, survive: ['drop: data.apps.zoo.keepers[input.subject.id]']}\n"
	files["mutants.yaml"] = entry + "- {file: apps/zoo/zoo.rego, rule: apps.zoo.deny, reason: for a test, survive: ['negate: input.context.closed']}\n"
	report = mutate(t, files, policies.Mutation{})
	if report.Accepted != 1 || len(report.Survivors) != 1 || len(report.Stale) != 1 || !strings.Contains(report.Stale[0].Message, "negate: input.context.closed") {
		t.Errorf("%+v", report)
	}

	// The missing tests.
	files = zoo()
	files["apps/zoo/zoo_test.rego"] += `
test_visitor if zoo.permit == set() with input as {"subject": {"id": "bob"}} with data.apps.zoo.keepers as {"ann": true}

test_open if zoo.deny == set() with input as {"context": {"closed": false}}
`
	if report := mutate(t, files, policies.Mutation{}); len(report.Survivors) != 0 {
		t.Errorf("survivors are %s", changes(report.Survivors))
	}
}

// Each kind of mistake is made, in each place where a condition may stand.
func TestEveryKindOfMistakeIsMade(t *testing.T) {
	files := zoo()
	files["apps/zoo/b.rego"] = `package apps.zoo

# METADATA
# title: T
# labels:
#   rule: zoo.x
# scope: document
default x := 1

x := 2 if {
	input.now < 5
	input.action.name in {"a", "b"}
} else := 3 if {
	every k, _ in input.context {
		k != "c"
	}
	not input.subject.exists
} else := count([n | some n in [1, 2]; n == 2]) + 3 if input.resource.id == ""

# METADATA
# title: T
# labels:
#   rule: zoo.f
f(a) if a >= 1

# METADATA
# title: T
# labels:
#   rule: zoo.word
word := "one" if {
	input.now < 1
} else := "two"
`
	report := mutate(t, files, policies.Mutation{Rules: regexp.MustCompile(`zoo\.(x|f|word)$`)})
	got := changes(report.Survivors)
	for _, want := range []string{
		"drop: default x := 1", "change: 1", "drop: rule x if input.now < 5", "change: 2", "drop: input.now < 5", "negate: input.now < 5",
		"instead lte: input.now < 5", "change: 5 in input.now < 5", `change: "a" in input.action.name in {"a", "b"}`,
		"drop: rule x if every", "drop: every k, _ in input.context {", `instead equal: k != "c"`, `change: "c" in k != "c"`,
		"negate: not input.subject.exists", "drop: not input.subject.exists", "instead minus: count([", "instead neq: n == 2",
		"drop: n == 2", `change: "" in input.resource.id == ""`, "drop: rule f if a >= 1", "instead gt: a >= 1", "negate: a >= 1",
		`change: "one"`, `change: "two"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no mistake %q", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
	for _, m := range report.Survivors {
		if m.Diff == "" {
			t.Errorf("%s shows nothing", m.Change)
		}
	}
}

func TestMutantsOfWhatDoesNotHold(t *testing.T) {
	files := zoo()
	files["apps/zoo/zoo_test.rego"] = strings.Replace(files["apps/zoo/zoo_test.rego"], `"closed": true`, `"closed": false`, 1)
	if _, err := policies.Mutate(t.Context(), policies.Source{Dir: write(t, files)}, policies.Mutation{}); err == nil ||
		!strings.Contains(err.Error(), "test_closed") {
		t.Errorf("tests that fail already: %v", err)
	}
	for n, list := range []string{"a: 1\n", "- {file: a, rule: b, survive: [c]}\n", "- {file: a, rule: b, reason: c, survive: [1]}\n", "[\n"} {
		files := zoo()
		files["mutants.yaml"] = list
		if _, err := policies.Mutate(t.Context(), policies.Source{Dir: write(t, files)}, policies.Mutation{}); len(policies.Problems(err)) == 0 {
			t.Errorf("list %d is taken: %v", n, fmt.Sprint(err))
		}
	}
}
