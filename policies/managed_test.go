package policies_test

import (
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

func bundleOf(tb testing.TB, files map[string]string) *policies.Bundle {
	tb.Helper()
	var list []policies.BundleFile
	for path, text := range files {
		list = append(list, policies.BundleFile{Path: path, Body: []byte(text)})
	}
	b, err := policies.NewBundle(list, "")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func closedZoo() map[string]string {
	files := zoo()
	files["apps/zoo/zoo.rego"] = strings.Replace(files["apps/zoo/zoo.rego"], "if input.context.closed", "if not input.context.open", 1)
	files["apps/zoo/zoo_test.rego"] = strings.Replace(files["apps/zoo/zoo_test.rego"], `{"context": {"closed": true}}`, `{"context": {}}`, 1)
	return files
}

func TestAManagedSetServesInThePlaceOfTheDirectory(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, zoo())})
	own := pdp.Status()
	if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); !allowed {
		t.Fatal("the directory does not decide")
	}
	b := bundleOf(t, closedZoo())
	if _, err := pdp.Check(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	candidate, err := pdp.Stage(t.Context(), policies.Managed{Bundle: b})
	if err != nil {
		t.Fatal(err)
	}
	if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); !allowed || pdp.Status().Revision != own.Revision {
		t.Fatal("what is only tried decides")
	}
	if err := pdp.Manage(t.Context(), policies.Managed{Bundle: b}); err != nil {
		t.Fatal(err)
	}
	allowed, codes := decide(t, pdp, zooQuestion("ada", "false"))
	if allowed || codes != "zoo.closed" || pdp.Status().Revision != candidate.PolicyRevision || pdp.Describe().Source != "managed" {
		t.Errorf("allowed %v %s under %s from %s; the candidate is %s", allowed, codes, pdp.Status().Revision, pdp.Describe().Source,
			candidate.PolicyRevision)
	}
	if err := pdp.Manage(t.Context(), policies.Managed{}); err != nil {
		t.Fatal(err)
	}
	if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); !allowed || pdp.Status().Revision != own.Revision {
		t.Error("the directory does not decide again")
	}
}

// Each of these is refused at its place, and what serves is untouched.
func TestSO02WhatTheGateRefusesDoesNotServe(t *testing.T) {
	with := func(name, text string) map[string]string {
		files := zoo()
		files[name] = text
		return files
	}
	for name, c := range map[string]struct {
		files       map[string]string
		check, says string // what Check, and what Stage alone finds
	}{
		"broken":          {with("apps/zoo/zoo.rego", "package apps.zoo\n\npermit contains"), "parse", ""},
		"another package": {with("apps/zoo/more.rego", "package apps.other\n"), "package", ""},
		"a removed builtin": {
			with("apps/zoo/more.rego", "package apps.zoo\n\nx := http.send({\"url\": \"http://127.0.0.1\"})\n"), "undefined function", "",
		},
		"a with on a removed builtin": {
			with("apps/zoo/more.rego", "package apps.zoo\n\nx if true with http.send as 1\n"), "with keyword target", "",
		},
		"the core beside it": {with("writ/admin/x.rego", "package writ.admin\n"), "core is replaced only", ""},
		"half a core":        {with("core/writ/admin/x.rego", "package writ.admin\n"), "compile", ""},
		"Writ's own name":    {with("apps/iam/data.yaml", "a: 1"), "Writ's own", ""},
		"an unknown setting": {with("settings/data.yaml", "nonsense: 1"), "unknown setting", ""},
		"a failing test": {
			with("apps/zoo/zoo_test.rego", "package apps.zoo_test\n\ntest_no if false\n"), "", "test_no",
		},
		"a golden decision that does not hold": {
			with("decisions/zoo.yaml", "- name: nobody\n  why: w\n  entrypoint: writ/decision\n  input: {action: {name: open}, resource: {type: zoo/cage, id: '1'}}\n"+
				"  allow: true\n  reasons: [zoo.keeper]\n"), "", "nobody",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pdp := open(t, policies.Config{})
			before := pdp.Status()
			b := bundleOf(t, c.files)
			_, err := pdp.Check(t.Context(), b)
			if (err != nil) != (c.check != "") || err != nil && !strings.Contains(problems(err), c.check) {
				t.Errorf("Check: got %v, want %q", problems(err), c.check)
			}
			_, err = pdp.Stage(t.Context(), policies.Managed{Bundle: b})
			if err == nil || !strings.Contains(problems(err), c.check+c.says) {
				t.Errorf("Stage: got %v, want %q", problems(err), c.check+c.says)
			}
			if after := pdp.Status(); after.Revision != before.Revision || after.Degraded != "" {
				t.Errorf("it left a trace: %+v", after)
			}
			if c.check == "" {
				return // what only tests find was activated elsewhere, where they passed
			}
			if err := pdp.Manage(t.Context(), policies.Managed{Bundle: b}); err == nil {
				t.Error("a node serves it")
			}
			if after := pdp.Status(); after.Revision != before.Revision || after.Degraded == "" {
				t.Errorf("the last good set does not serve on, or nothing is said: %+v", after)
			}
			if err := pdp.Manage(t.Context(), policies.Managed{}); err != nil || pdp.Status().Degraded != "" {
				t.Errorf("it does not recover: %v", err)
			}
		})
	}
}

// problems is an error with all its findings.
func problems(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, p := range policies.Problems(err) {
		text += "\n" + p.String()
	}
	return text
}

func TestDocumentsLieOverTheDataOfAnApplication(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, zoo())})
	own := pdp.Status()
	serve := func(documents ...policies.Document) {
		t.Helper()
		if err := pdp.StageDocuments(t.Context(), documents); err != nil {
			t.Fatal(err)
		}
		if err := pdp.Manage(t.Context(), policies.Managed{Documents: documents}); err != nil {
			t.Fatal(err)
		}
	}
	keeps := func(id string, want bool) {
		t.Helper()
		if got, _ := decide(t, pdp, zooQuestion(id, "false")); got != want {
			t.Errorf("%s: got %v, want %v", id, got, want)
		}
	}
	keeps("ada", true)
	serve(policies.Document{Path: "apps/zoo/keepers", Body: []byte(`{"bob": true}`)})
	keeps("ada", false) // it stands in the place of what the folder has there
	keeps("bob", true)
	if s := pdp.Status(); s.Revision != own.Revision || s.DataRevision == own.DataRevision {
		t.Error("a document is part of the data revision, and of no other")
	}
	serve(policies.Document{Path: "apps/zoo", Body: []byte(`{"keepers": {"eve": true}}`)},
		policies.Document{Path: "apps/zoo/keepers/bob", Body: []byte(`true`)})
	keeps("ada", false)
	keeps("bob", true)
	keeps("eve", true)
	serve()
	keeps("ada", true)
	if s := pdp.Status(); s.DataRevision != own.DataRevision {
		t.Error("without documents the data is not what it was")
	}
}

func TestDocumentsThatCannotBeMountedAreRefused(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, zoo())})
	for name, documents := range map[string][]policies.Document{
		"in the place of a rule":        {{Path: "apps/zoo/permit", Body: []byte(`["zoo.keeper"]`)}},
		"an application of rules alone": {{Path: "apps/zoo", Body: []byte(`{"deny": []}`)}},
		"no object":                     {{Path: "apps/zoo", Body: []byte(`[]`)}},
		"below a value":                 {{Path: "apps/zoo/keepers/ada/deeper", Body: []byte(`1`)}},
		"outside":                       {{Path: "settings/administrators", Body: []byte(`{}`)}},
		"the top":                       {{Path: "apps", Body: []byte(`{}`)}},
		"no JSON":                       {{Path: "apps/zoo/x", Body: []byte(`{`)}},
		"two documents":                 {{Path: "apps/zoo/x", Body: []byte(`1 2`)}},
		"no number for other readers":   {{Path: "apps/zoo/x", Body: []byte(`{"a": [1e999]}`)}},
	} {
		if err := pdp.StageDocuments(t.Context(), documents); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if err := pdp.Manage(t.Context(), policies.Managed{Documents: documents}); err == nil || pdp.Status().Degraded == "" {
			t.Errorf("%s: served", name)
		}
		if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); !allowed {
			t.Errorf("%s: the last good set does not serve on", name)
		}
	}
}

// An edit of the directory and documents of the store do not take each other back.
func TestAReloadKeepsTheDocuments(t *testing.T) {
	dir := write(t, zoo())
	pdp := open(t, policies.Config{Dir: dir})
	if err := pdp.Manage(t.Context(), policies.Managed{Documents: []policies.Document{{Path: "apps/zoo/keepers", Body: []byte(`{"bob":true}`)}}}); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "apps/zoo/data.yaml", "keepers:\n  ada: true\nmore: 1\n")
	if !pdp.Reload(t.Context()) {
		t.Fatal(pdp.Status().Degraded)
	}
	if allowed, _ := decide(t, pdp, zooQuestion("bob", "false")); !allowed {
		t.Error("the document is gone")
	}
	put(t, dir, "apps/zoo/data.yaml", "keepers: 1\n")
	if !pdp.Reload(t.Context()) {
		t.Error("a document that takes the place of a value is in its way")
	}
}

func TestAShadowTellsWhatItWouldAnswer(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, zoo())})
	candidate, err := pdp.StageShadow(t.Context(), policies.Managed{Bundle: bundleOf(t, closedZoo())})
	if err != nil {
		t.Fatal(err)
	}
	if _, on := pdp.ShadowReport(); on {
		t.Error("a shadow that nobody began reports")
	}
	pdp.Shadow(t.Context(), candidate, "r1", 1)
	t.Cleanup(pdp.EndShadow)
	for id, want := range map[string]bool{"ada": true, "eve": false} {
		for range 10 {
			if allowed, _ := decide(t, pdp, zooQuestion(id, "false")); allowed != want {
				t.Errorf("%s: the shadow touches an answer", id)
			}
		}
	}
	var report policies.ShadowReport
	for range 500 {
		if report, _ = pdp.ShadowReport(); report.Decisions+report.Dropped == 20 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if report.Revision != "r1" || report.Decisions+report.Dropped != 20 || report.NewlyDenied == 0 || report.NewlyDenied > 10 ||
		report.NewlyAllowed+report.Errors+report.Changed != 0 {
		t.Errorf("got %+v", report)
	}
	if len(report.Samples) == 0 || report.Samples[0].Kind != "newly_denied" || report.Samples[0].Action != "open" ||
		report.Samples[0].ResourceType != "zoo/cage" || report.Samples[0].DecisionID == "" {
		t.Errorf("got samples %+v", report.Samples)
	}
	pdp.EndShadow()
	if _, on := pdp.ShadowReport(); on {
		t.Error("it goes on")
	}
}

// A shadow that never ends an evaluation takes nothing from who asks: what it cannot be asked is dropped and counted.
func TestASlowShadowDropsQuestions(t *testing.T) {
	files := zoo()
	files["apps/zoo/zoo.rego"] = strings.Replace(files["apps/zoo/zoo.rego"], "if input.context.closed", `if {
	input.context.closed == false
	some a in numbers
	some b in numbers
	some c in numbers
	some d in numbers
	a + b + c + d < 0
}

# METADATA
# title: Numbers
# labels:
#   rule: zoo.numbers
numbers := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]
`, 1)
	pdp := open(t, policies.Config{Dir: write(t, zoo()), Deadline: 2 * time.Second})
	candidate, err := pdp.StageShadow(t.Context(), policies.Managed{Bundle: bundleOf(t, files)})
	if err != nil {
		t.Fatal(problems(err))
	}
	pdp.Shadow(t.Context(), candidate, "slow", 1)
	t.Cleanup(pdp.EndShadow)
	for range 1000 {
		if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); !allowed {
			t.Fatal("the shadow touches an answer")
		}
	}
	report, _ := pdp.ShadowReport()
	if report.Dropped < 500 {
		t.Errorf("%d were dropped: the shadow is waited for", report.Dropped)
	}
}

// TestWhatWasMadeReadyIsNotCompiledAgain, nor is what served before: whoever activates or rolls back waits for the feed alone. Documents that
// change meanwhile do not matter.
func TestWhatWasMadeReadyIsNotCompiledAgain(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, zoo())})
	own := pdp.Compiled()
	m := policies.Managed{Bundle: bundleOf(t, closedZoo())}
	if err := pdp.Prepare(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	ready := pdp.Prepared()
	with := zoo()
	with["apps/zoo/data.yaml"] = "other: 1\n"
	if err := pdp.Prepare(t.Context(), policies.Managed{Bundle: bundleOf(t, with)}); err != nil { // a later one does not push it out
		t.Fatal(err)
	}
	if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); !allowed || pdp.Compiled() != own {
		t.Fatal("what is only made ready decides")
	}
	m.Documents = []policies.Document{{Path: "apps/zoo/more", Body: []byte("1")}}
	for range 2 {
		if err := pdp.Manage(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); allowed || pdp.Compiled() != ready {
			t.Error("the set that was made ready is not the one that serves")
		}
		if err := pdp.Manage(t.Context(), policies.Managed{}); err != nil {
			t.Fatal(err)
		}
		if allowed, _ := decide(t, pdp, zooQuestion("ada", "false")); !allowed || pdp.Compiled() != own {
			t.Error("what served before was compiled again")
		}
	}
	broken := closedZoo()
	broken["apps/zoo/zoo.rego"] = "package apps.zoo\n\npermit contains"
	if err := pdp.Prepare(t.Context(), policies.Managed{Bundle: bundleOf(t, broken)}); err == nil {
		t.Error("what does not compile is made ready")
	}
	// All tests are run before a set is activated, also where it was made ready without them.
	failing := closedZoo()
	failing["apps/zoo/zoo_test.rego"] += "\ntest_fails if false\n"
	m = policies.Managed{Bundle: bundleOf(t, failing)}
	if err := pdp.Prepare(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, err := pdp.Stage(t.Context(), m); err == nil {
		t.Error("a set whose tests fail passes the gate because it was made ready")
	}
}

// TestOnlyTheShippedSetIsTrustedToBeTyped: a mistake that only a check of types finds is found in whatever is not shipped.
func TestOnlyTheShippedSetIsTrustedToBeTyped(t *testing.T) {
	if !open(t, policies.Config{}).Typed() {
		t.Error("the types of the shipped set are checked at each start")
	}
	if open(t, policies.Config{Dir: write(t, zoo())}).Typed() {
		t.Error("the types of a directory are not checked")
	}
	files := zoo()
	files["apps/zoo/more.rego"] = "package apps.zoo\n\nmore := 1 + \"a\"\n"
	if _, err := policies.Open(t.Context(), policies.Config{Dir: write(t, files), Now: time.Now}); err == nil {
		t.Error("a sum of a number and a string is taken")
	}
}
