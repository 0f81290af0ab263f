package policies_test

import (
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/writ-authz/writ/policies"
)

const goldens = "testdata/decisions"

var update = flag.Bool("update", false, "write tested.sha256")

// The shipped set: format, strict compilation with schemas and capabilities, conventions.
func TestShippedPoliciesKeepTheConventions(t *testing.T) {
	report, err := policies.Check(t.Context(), policies.Source{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Error(p)
	}
}

// The shipped set: every test, every golden decision, and every line of a rule evaluated by a test.
func TestShippedPoliciesPassTheirTests(t *testing.T) {
	report, err := policies.Test(t.Context(), policies.Source{Golden: goldens})
	if err != nil {
		for _, p := range policies.Problems(err) {
			t.Error(p)
		}
		t.Fatal(err)
	}
	for _, r := range report.Tests {
		if !r.Pass {
			t.Errorf("%s:%d: %s: %s", r.File, r.Line, r.Name, r.Message)
		}
	}
	for _, c := range report.Coverage {
		for _, u := range c.Uncovered {
			t.Errorf("%s:%d-%d: no test evaluates this %v", c.File, u.From, u.To, u.Kinds)
		}
	}
	t.Logf("%d tests and golden decisions, %d files", len(report.Tests), len(report.Coverage))
}

// What an operator may demand beyond the shipped settings has golden decisions of its own, in a directory with those settings.
func TestGoldenDecisionsUnderStricterSettings(t *testing.T) {
	results, err := policies.RunGoldens(t.Context(), "testdata/strict")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Pass {
			t.Errorf("%s: %s: %s", r.File, r.Name, r.Message)
		}
	}
	if len(results) < 4 {
		t.Errorf("%d golden decisions, want at least a permit and a denial for each of two settings", len(results))
	}
}

// What is tested here is what the binary trusts at its start. With -update the hash is written, if all tests pass.
func TestTheShippedSetIsProven(t *testing.T) {
	hash, ok, err := policies.ShippedHash()
	if err != nil {
		t.Fatal(err)
	}
	if ok {
		return
	}
	if !*update {
		t.Fatal("the shipped policies changed; run: go test ./policies -run Proven -update")
	}
	report, err := policies.Test(t.Context(), policies.Source{Golden: goldens})
	if err != nil || report.Failed() > 0 {
		t.Fatalf("%d tests of the shipped policies fail, %v", report.Failed(), err)
	}
	if err := os.WriteFile("tested.sha256", []byte(hash+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each action of the catalogue is permitted by one golden decision and denied by another.
func TestEveryActionHasAGoldenPermitAndDenial(t *testing.T) {
	asked, err := policies.Goldens(goldens)
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		kind, action string
		allow        bool
	}
	seen := map[outcome]int{}
	entrypoints := map[policies.Entrypoint][2]int{}
	for _, g := range asked {
		seen[outcome{g.Type, g.Action, g.Allow}]++
		counts := entrypoints[g.Entrypoint]
		if g.Allow {
			counts[0]++
		} else {
			counts[1]++
		}
		entrypoints[g.Entrypoint] = counts
	}
	for _, kind := range open(t, policies.Config{}).Catalogue().Types() {
		for _, action := range kind.Actions {
			for _, allow := range []bool{true, false} {
				if seen[outcome{kind.Type, action.Name, allow}] == 0 {
					t.Errorf("no golden decision says %s:%s with allow: %t", kind.Type, action.Name, allow)
				}
			}
		}
	}
	for _, e := range []policies.Entrypoint{
		policies.EntryDecision, policies.EntryAdmin, policies.EntryToken, policies.EntryIntrospection, policies.EntryCredential,
	} {
		if counts := entrypoints[e]; counts[0] == 0 || counts[1] == 0 {
			t.Errorf("%s has %d golden permits and %d denials", e, counts[0], counts[1])
		}
	}
	t.Logf("%d golden decisions, entrypoints %v", len(asked), slices.Sorted(maps.Keys(entrypoints)))
}
