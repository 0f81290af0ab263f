package policies_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/writ-authz/writ/policies"
)

// What is scaffolded is as good as what is shipped: no problem, every line tested, every mistake noticed.
func TestAScaffoldedApplicationPassesEverything(t *testing.T) {
	dir := t.TempDir()
	files, err := policies.Scaffold(dir, "leave_request")
	if err != nil || len(files) != 7 {
		t.Fatalf("%v %v", files, err)
	}
	if problems := check(t, policies.Source{Dir: dir}); len(problems) > 0 {
		t.Error(problems)
	}
	report, err := policies.Test(t.Context(), policies.Source{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if report.Failed() > 0 || len(report.Tests) < 5 {
		t.Errorf("%+v", report.Tests)
	}
	for _, c := range report.Coverage {
		if len(c.Uncovered) > 0 {
			t.Errorf("%s: no test evaluates %v", c.File, c.Uncovered)
		}
	}
	mutants, err := policies.Mutate(t.Context(), policies.Source{Dir: dir}, policies.Mutation{})
	if err != nil || len(mutants.Survivors) > 0 || mutants.Killed < 10 {
		t.Errorf("%d killed, survivors are\n%s\n%v", mutants.Killed, changes(mutants.Survivors), err)
	}
	open(t, policies.Config{Dir: dir})
}

func TestAScaffoldOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"iam", "writ", "document", "me", "", "a b", "a-b", "1a", "..", "a/b", "policies"} {
		if _, err := policies.Scaffold(dir, name); !errors.Is(err, policies.ErrScaffold) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Fatalf("a refused name leaves %v, %v", entries, err)
	}
	put(t, dir, "apps/leave/mine.txt", "mine")
	if _, err := policies.Scaffold(dir, "leave"); !errors.Is(err, policies.ErrScaffold) {
		t.Errorf("a folder that is there: %v", err)
	}
	put(t, dir, "decisions/sick.yaml", "[]\n")
	if _, err := policies.Scaffold(dir, "sick"); err == nil {
		t.Error("a file that is there is no obstacle")
	}
	if body, err := os.ReadFile(filepath.Join(dir, "decisions/sick.yaml")); err != nil || string(body) != "[]\n" {
		t.Errorf("%q %v", body, err)
	}
}
