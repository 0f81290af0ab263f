package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

func TestADifferenceNamesWhatChanged(t *testing.T) {
	old := write(t, zoo())
	files := zoo()
	files["apps/zoo/catalogue.yaml"] = strings.NewReplacer("feed: {title: Feed}", "feed: {title: Feed animals}, clean: {title: Clean}",
		"reasons:", "reasons:\n  zoo.new: {title: New, administrator: N., user: N.}").Replace(files["apps/zoo/catalogue.yaml"])
	files["apps/zoo/data.yaml"] = "keepers:\n  bob: true\n"
	files["settings/data.yaml"] = "login: {fresh_seconds: 60}\n"
	files["apps/zoo/zoo.rego"] = strings.Replace(files["apps/zoo/zoo.rego"], "if input.context.closed", "if not input.context.open", 1) +
		"\n# METADATA\n# title: M\n# labels:\n#   rule: zoo.more\nmore if input.now > 1\n"
	next := write(t, files)
	d, err := policies.Diff(t.Context(), policies.Source{Dir: old}, policies.Source{Dir: next})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range d.Changes {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", c.How, c.What, c.Name, c.Old, c.New)))
	}
	want := []string{
		"changed rule apps.zoo.deny", "added rule apps.zoo.more", "added action zoo/cage:clean", "changed action zoo/cage:feed", "added reason zoo.new",
		"removed data apps.zoo.keepers.ada true", "added data apps.zoo.keepers.bob  true", "changed setting login.fresh_seconds 300 60",
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes are\n%s", strings.Join(got, "\n"))
	}
	if c := d.Changes[0]; !strings.HasSuffix(c.File, "zoo.rego") || c.Line == 0 || !strings.Contains(c.Diff, "if input.context.closed") || !strings.Contains(c.Diff, "if not input.context.open") {
		t.Errorf("%+v", c)
	}
	if !slices.Contains(d.Entrypoints, "writ/decision") || d.Old.Policy == d.New.Policy || d.Old.Data == d.New.Data {
		t.Errorf("%+v", d)
	}
}

func TestADifferenceFollowsDependents(t *testing.T) {
	dir := core(t)
	replace(t, dir, "writ/token/request.rego", "package writ.token\n", "package writ.token\n\n# A comment changes nothing.\n")
	d, err := policies.Diff(t.Context(), policies.Source{}, policies.Source{CoreDir: dir})
	if err != nil || len(d.Changes) != 0 || len(d.Entrypoints) != 0 {
		t.Errorf("a comment: %+v %v", d, err)
	}
	replace(t, dir, "writ/introspection/result.rego", "default result", "unused := 1\n\ndefault result")
	d, err = policies.Diff(t.Context(), policies.Source{}, policies.Source{CoreDir: dir})
	if err != nil || len(d.Changes) != 1 || !slices.Equal(d.Entrypoints, []string{"writ/introspection", "writ/why"}) {
		t.Errorf("a rule of introspection: %+v %v", d, err)
	}
	put(t, dir, "writ/lib/tenant.rego", "package writ.lib\n\nx if {\n")
	if _, err := policies.Diff(t.Context(), policies.Source{}, policies.Source{CoreDir: dir}); len(policies.Problems(err)) == 0 {
		t.Errorf("a set that does not parse is compared: %v", err)
	}
}

func TestBenchMeasuresAnEvaluation(t *testing.T) {
	timing, err := policies.Bench(t.Context(), policies.Source{}, policies.EntryDecision, strings.NewReader(`
subject: {type: user, id: ada, `+stored+`, grants: {"": {ledger: {read: {own: {}}}}}}
action: {name: read}
resource: {type: ledger/accounts, id: "1"}
caller: {address: unknown}
`))
	if err != nil || !timing.Allow || timing.NsPerOp <= 0 || timing.Allocs <= 0 || timing.Runs < 2 || timing.WhyNsPerOp != 0 {
		t.Errorf("%+v %v", timing, err)
	}
	if _, err := policies.Bench(t.Context(), policies.Source{}, "writ/absent", strings.NewReader("{}")); err == nil {
		t.Error("an entrypoint that is not there is measured")
	}
}
