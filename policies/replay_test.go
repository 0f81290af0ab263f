package policies_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/policies"
)

// over reads records one after the other.
func over(records []policies.Record) func() (policies.Record, error) {
	return func() (policies.Record, error) {
		if len(records) == 0 {
			return policies.Record{}, io.EOF
		}
		rec := records[0]
		records = records[1:]
		return rec, nil
	}
}

// recording is a log that is read again.
type recording struct {
	tb  testing.TB
	pdp *policies.PDP
	out gate
	log *policies.Log
}

func record(tb testing.TB, pdp *policies.PDP) *recording {
	r := &recording{tb: tb, pdp: pdp}
	r.log = policies.NewLog(policies.LogConfig{Writer: &r.out, Now: now, Queue: 1 << 16})
	return r
}

// ask decides and writes the line, with the reasons of a denial if they are wanted.
func (r *recording) ask(q *policies.Question, reasons bool) {
	r.tb.Helper()
	d, err := r.pdp.Decide(r.tb.Context(), q)
	line := policies.LogLine{Decision: d, Entrypoint: q.Entrypoint, Err: err}
	if err == nil && reasons && !d.Allow {
		if line.Reasons, err = r.pdp.Why(r.tb.Context(), q, d); err != nil {
			r.tb.Fatal(err)
		}
	}
	reserve(r.tb, r.log).Write(line)
}

func (r *recording) text() string {
	r.tb.Helper()
	if err := r.log.Close(r.tb.Context()); err != nil {
		r.tb.Fatal(err)
	}
	return r.out.buffer.String()
}

func replaySet(tb testing.TB, source policies.Source) *policies.ReplaySet {
	tb.Helper()
	set, err := policies.OpenReplaySet(tb.Context(), source, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func replay(tb testing.TB, c policies.ReplayConfig, text string) policies.ReplayReport {
	tb.Helper()
	if c.Now == nil {
		c.Now = time.Now
	}
	report, err := policies.Replay(tb.Context(), c, policies.NewLogReader(strings.NewReader(text)).Next)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

// TestReplayIsExact: what the log holds of a decision is enough to take it again. Of every golden decision, the same set gives the same
// answer for the same reasons with the same obligations.
func TestReplayIsExact(t *testing.T) {
	pdp := open(t, policies.Config{})
	r := record(t, pdp)
	n, err := policies.LogGoldens(t.Context(), pdp, goldens, r.log)
	if err != nil {
		t.Fatal(err)
	}
	text := r.text()
	for name, base := range map[string]*policies.ReplaySet{"recorded": nil, "asked": pdp.ReplaySet()} {
		report := replay(t, policies.ReplayConfig{Candidate: replaySet(t, policies.Source{}), Base: base}, text)
		if report.Same != n || report.Decisions != n || n < 150 {
			t.Errorf("%s: %d of %d golden decisions come out the same: %+v %+v", name, report.Same, n, report.Samples, report.Causes)
		}
		if report.Candidate.Latency == nil || report.Candidate.Latency.P50 <= 0 || (report.Base.Latency != nil) != (base != nil) {
			t.Errorf("%s: latencies are %+v and %+v", name, report.Candidate.Latency, report.Base.Latency)
		}
	}
}

// visit asks about the zoo: ada is a keeper, bob is none.
func visit(r *recording) {
	r.ask(zooQuestion("ada", "false"), true)
	r.ask(zooQuestion("ada", "true"), true)
	r.ask(zooQuestion("bob", "false"), true)
	r.ask(zooQuestion("bob", "true"), false)
	r.ask(question(person(), "read"), true)
}

func TestReplayTellsWhatACandidateChanges(t *testing.T) {
	r := record(t, open(t, policies.Config{Dir: write(t, zoo())}))
	visit(r)
	text := r.text()
	for name, c := range map[string]struct {
		change func(map[string]string)
		want   policies.Tally
	}{
		"nothing": {func(map[string]string) {}, policies.Tally{Same: 5}},
		"a keeper more": {
			func(d map[string]string) { d["apps/zoo/data.yaml"] = "keepers:\n  ada: true\n  bob: true\n" }, policies.Tally{Same: 4, NewlyAllowed: 1},
		},
		"a keeper less": {
			func(d map[string]string) { d["apps/zoo/data.yaml"] = "keepers: {}\n" }, policies.Tally{Same: 4, NewlyDenied: 1},
		},
		"always open": {
			func(d map[string]string) {
				d["apps/zoo/zoo.rego"] = strings.ReplaceAll(d["apps/zoo/zoo.rego"], "if input.context.closed", "if input.context.shut")
				d["apps/zoo/zoo_test.rego"] = strings.ReplaceAll(d["apps/zoo/zoo_test.rego"], `{"closed"`, `{"shut"`)
			}, policies.Tally{Same: 4, NewlyAllowed: 1},
		},
		"a rule that fails": {
			func(d map[string]string) {
				d["apps/zoo/zoo.rego"] = strings.ReplaceAll(d["apps/zoo/zoo.rego"], "if input.context.closed", `if to_number(concat("", ["x", input.subject.id]))`)
			}, policies.Tally{Same: 2, Errors: 3},
		},
	} {
		dir := zoo()
		c.change(dir)
		c.want.Decisions = 5
		candidate := replaySet(t, policies.Source{Dir: write(t, dir)})
		report := replay(t, policies.ReplayConfig{Candidate: candidate}, text)
		if diff := cmp.Diff(c.want, report.Tally); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		switch name { // a recorded denial has reasons where somebody asked for them; a set that is asked has them always
		case "always open":
			c.want.Reasons, c.want.Same = 1, 3
		case "a rule that fails":
			c.want.Errors, c.want.Same = 4, 1
		}
		report = replay(t, policies.ReplayConfig{Candidate: candidate, Base: replaySet(t, policies.Source{Dir: write(t, zoo())}), Workers: 3}, text)
		if diff := cmp.Diff(c.want, report.Tally); diff != "" {
			t.Errorf("%s, both asked: %s", name, diff)
		}
	}
}

func TestAReportGroupsAndShowsExamples(t *testing.T) {
	r := record(t, open(t, policies.Config{Dir: write(t, zoo())}))
	for range 30 {
		visit(r)
	}
	dir := zoo()
	dir["apps/zoo/data.yaml"] = "keepers:\n  bob: true\n"
	text := r.text()
	report := replay(t, policies.ReplayConfig{Candidate: replaySet(t, policies.Source{Dir: write(t, dir)}), Samples: 4}, text)
	if report.Lines != 150 || report.NewlyAllowed != 30 || report.NewlyDenied != 30 {
		t.Fatalf("%+v", report.Tally)
	}
	group := func(by, name string) policies.Tally {
		for _, g := range report.Groups {
			if g.By == by && g.Name == name {
				return g.Tally
			}
		}
		return policies.Tally{}
	}
	for name, want := range map[[2]string][2]int{
		{"entrypoint", "writ/decision"}: {30, 150}, {"action", "zoo/cage:open"}: {30, 120}, {"action", "ledger/kind42:read"}: {0, 30},
		{"subject_type", "animal"}: {30, 120}, {"role", "ops:role1"}: {0, 30}, {"rule", "apps.zoo.permit zoo.keeper"}: {30, 30},
	} {
		if got := group(name[0], name[1]); got.NewlyAllowed != want[0] || got.Decisions != want[1] {
			t.Errorf("%v: %d newly allowed of %d, want %v", name, got.NewlyAllowed, got.Decisions, want)
		}
	}
	if g := report.Groups[0]; g.By != "entrypoint" || g.NewlyAllowed != 30 {
		t.Errorf("the first group is %+v", g)
	}
	if len(report.Samples) < 8 {
		t.Fatalf("%d examples", len(report.Samples))
	}
	for i, s := range report.Samples[:4] {
		if s.Outcome != policies.OutcomeAllowed || s.Line != 5*i+3 || s.Subject != "animal:bob" || s.Action != "zoo/cage:open" || s.Old.Allow || !s.New.Allow ||
			len(s.New.Reasons) != 1 || s.New.Reasons[0].Code != "zoo.keeper" || !strings.Contains(text, s.DecisionID) {
			t.Errorf("example %d is %+v", i, s)
		}
	}
	if len(report.Recorded) != 1 || report.Recorded[0].Decisions != 150 || !report.Since.Equal(now()) || !report.Until.Equal(now()) {
		t.Errorf("recorded under %+v from %s to %s", report.Recorded, report.Since, report.Until)
	}
}

// However many work at it, the report is the same but for its times.
func TestReplayDoesNotDependOnWhoTakesALine(t *testing.T) {
	r := record(t, open(t, policies.Config{Dir: write(t, zoo())}))
	for range 100 {
		visit(r)
	}
	text := r.text() + "broken\n" + "{}\n"
	dir := zoo()
	dir["apps/zoo/data.yaml"] = "keepers:\n  bob: true\n"
	candidate := replaySet(t, policies.Source{Dir: write(t, dir)})
	var first policies.ReplayReport
	for i, workers := range []int{1, 2, 7} {
		told := 0
		report := replay(t, policies.ReplayConfig{Candidate: candidate, Workers: workers, Progress: func(n int) { told += n }}, text)
		report.Candidate.Latency = nil
		if told != 502 || report.Broken != 2 {
			t.Errorf("%d lines told of, %d broken", told, report.Broken)
		}
		if i == 0 {
			first = report
		} else if diff := cmp.Diff(first, report); diff != "" {
			t.Errorf("with %d: %s", workers, diff)
		}
	}
}

func TestWhatIsMaskedIsReplayedOnlyWhereNoRuleReadsIt(t *testing.T) {
	for _, c := range []struct {
		pointer string
		reads   bool
	}{
		{"/input/context/closed", true},
		{"/input/context", true},
		{"/input/subject/id", true},
		{"/input/resource/type", true},
		{"/input/context/ssn", false},
		{"/input/subject/properties/pin", false},
		{"/input/action/properties", false},
		{"/input/caller/sid", false},
		{"/input/resource/properties/colour", false},
	} {
		r := record(t, open(t, policies.Config{Dir: write(t, masking("\nmask contains \""+c.pointer+"\"\n"))}))
		q := zooQuestion("ada", "false")
		q.Context = json.RawMessage(`{"closed":false,"ssn":"1"}`)
		q.SubjectProperties, q.Resource.Properties = json.RawMessage(`{"pin":"1"}`), json.RawMessage(`{"colour":"red"}`)
		q.ActionProperties, q.Caller.SID = json.RawMessage(`{"a":1}`), "s1"
		r.ask(q, true)
		q.Context = json.RawMessage(`{"closed":true,"ssn":"1"}`)
		r.ask(q, true)
		text := r.text()
		if !strings.Contains(text, "**MASKED**") {
			t.Fatalf("%s masks nothing: %s", c.pointer, text)
		}
		report := replay(t, policies.ReplayConfig{Candidate: replaySet(t, policies.Source{Dir: write(t, zoo())})}, text)
		if want := (policies.Tally{Decisions: 2, Same: 2}); !c.reads && report.Tally != want {
			t.Errorf("%s, which no rule reads: %+v %+v", c.pointer, report.Tally, report.Causes)
		}
		if want := (policies.Tally{Decisions: 2, Unreplayable: 2}); c.reads && (report.Tally != want || report.Causes[0].Cause != "the rules read what is masked") {
			t.Errorf("%s, which a rule reads: %+v %+v", c.pointer, report.Tally, report.Causes)
		}
	}
}

func TestLinesThatCannotBeReplayedAreCountedByCause(t *testing.T) {
	pdp := open(t, policies.Config{})
	r := record(t, pdp)
	r.ask(question(person(), "read"), true)
	good := r.text()
	changed := func(old, new string) string {
		text := strings.Replace(good, old, new, 1)
		if text == good {
			t.Fatalf("the line has no %s", old)
		}
		return text
	}
	revision := pdp.Describe().PolicyRevision
	begin := strings.Index(good, `"input":`)
	text := strings.Join([]string{
		good,
		changed(`"context":{`, `"contexts":{`),   // of a version that has another member
		changed(`"context":{"dialect":""},`, ``), // of one that had it not yet
		changed(`"tenant_enabled":true,"type":"user"`, `"type":"user"`), // nor a fact
		changed(`"caller":{`, `"caller":null,"call":{`),
		changed(`"entrypoint":"writ/decision","route"`, `"entrypoint":"writ/later","route"`),
		changed(`"entrypoint":"writ/decision","route"`, `"entrypoint":"writ/why","route"`),
		changed(`"allow":`, `"brief":true,"allow":`),
		changed(revision, strings.Repeat("0", 64)),
		good[:begin] + `"input":null,"masked":["/input"]` + good[strings.Index(good, `,"allow"`):],
		good[:begin] + `"input":null` + good[strings.Index(good, `,"allow"`):],
		good[:begin] + `"input":[]` + good[strings.Index(good, `,"allow"`):],
		changed(`"now":`, `"now":1,"now":`),
		"broken\n",
	}, "")
	report := replay(t, policies.ReplayConfig{Candidate: pdp.ReplaySet(), Revision: revision}, text)
	want := map[string][]int{
		"the input is that of another version of Writ": {2, 3, 4, 5}, "no entrypoint of this version": {6, 7},
		"the line holds no input (decision_log_brief)": {8}, "another policy revision took the decision": {9}, "all of the input is masked": {10},
		"the question was bad in itself and has no input": {11}, "the input is no JSON object of the data model": {12, 13},
		"not one JSON object of the right types": {14},
	}
	got := map[string][]int{}
	for _, cause := range report.Causes {
		got[cause.Cause] = cause.Lines
		if cause.Count != len(cause.Lines) || cause.Broken != (cause.Cause == "not one JSON object of the right types") {
			t.Errorf("cause %+v", cause)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || report.Same != 1 || report.Unreplayable != 12 || report.Broken != 1 {
		t.Errorf("%+v %s", report.Tally, diff)
	}
}

// A question that had no answer, and is permitted now, is newly allowed.
func TestErrorsThatWereRecorded(t *testing.T) {
	failing := zoo()
	failing["apps/zoo/zoo.rego"] = strings.ReplaceAll(failing["apps/zoo/zoo.rego"], "if input.context.closed", `if to_number(concat("", ["x", input.subject.id]))`)
	failing["apps/zoo/zoo_test.rego"] = "package apps.zoo_test\n\ntest_nothing if true\n"
	r := record(t, open(t, policies.Config{Dir: write(t, failing)}))
	r.ask(zooQuestion("ada", "false"), false)
	r.ask(zooQuestion("ada", "true"), false)
	report := replay(t, policies.ReplayConfig{Candidate: replaySet(t, policies.Source{Dir: write(t, zoo())})}, r.text())
	if want := (policies.Tally{Decisions: 2, NewlyAllowed: 1, Decided: 1}); report.Tally != want {
		t.Errorf("%+v", report.Tally)
	}
	if s := report.Samples[0]; s.Old.Error == "" || s.Old.Allow || !s.New.Allow {
		t.Errorf("the first example is %+v", s)
	}
}

func TestReplayEndsWhenItIsTold(t *testing.T) {
	pdp := open(t, policies.Config{})
	r := record(t, pdp)
	r.ask(question(person(), "read"), true)
	rec, err := policies.ReadRecord([]byte(r.text()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err = policies.Replay(ctx, policies.ReplayConfig{Candidate: pdp.ReplaySet(), Now: now}, func() (policies.Record, error) {
		if n++; n == 200 {
			cancel()
		}
		return rec, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	_, err = policies.Replay(t.Context(), policies.ReplayConfig{Candidate: pdp.ReplaySet(), Now: now}, func() (policies.Record, error) {
		return policies.Record{}, errDisk
	})
	if !errors.Is(err, errDisk) {
		t.Errorf("a log that cannot be read: %v", err)
	}
	if _, err = policies.Replay(t.Context(), policies.ReplayConfig{}, nil); err == nil {
		t.Error("no candidate is accepted")
	}
}

// A candidate that never ends is cut off, line by line.
func TestAnEndlessCandidateIsAnError(t *testing.T) {
	dir := zoo()
	dir["apps/zoo/zoo.rego"] = strings.ReplaceAll(dir["apps/zoo/zoo.rego"], "if input.context.closed",
		"if count([1 | some a in endless; some b in endless; some c in endless; some d in endless; a+b+c+d == input.now]) > 0\n\n"+
			"# METADATA\n# title: Endless\n# labels:\n#   rule: zoo.endless\nendless := split(concat(\",\", [input.resource.type | some _ in split(\""+strings.Repeat("x", 200)+"\", \"\")]), \"\")")
	dir["apps/zoo/zoo.rego"] = strings.ReplaceAll(dir["apps/zoo/zoo.rego"], "a+b+c+d == input.now", "concat(\"\", [a, b, c, d]) == input.subject.id")
	dir["apps/zoo/zoo_test.rego"] = "package apps.zoo_test\n\ntest_nothing if true\n"
	r := record(t, open(t, policies.Config{Dir: write(t, zoo())}))
	r.ask(zooQuestion("ada", "false"), true)
	report := replay(t, policies.ReplayConfig{Candidate: replaySet(t, policies.Source{Dir: write(t, dir)}), Deadline: 20 * time.Millisecond}, r.text())
	if report.Errors != 1 || !strings.Contains(report.Samples[0].New.Error, "eval_cancel_error") {
		t.Errorf("%+v %+v", report.Tally, report.Samples)
	}
}

func TestWhyIsEvaluatedOnTheRecordedInput(t *testing.T) {
	dir := write(t, zoo())
	pdp := open(t, policies.Config{Dir: dir})
	recent := policies.NewRecent(1 << 20)
	l := policies.NewLog(policies.LogConfig{Now: now, Recent: recent})
	ids := map[string]string{}
	for _, closed := range []string{"false", "true"} {
		q := zooQuestion("ada", closed)
		d, err := pdp.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		ids[closed] = d.ID
		reserve(t, l).Write(policies.LogLine{Decision: d, Entrypoint: q.Entrypoint})
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	why := func(closed string) policies.Explanation {
		line, _ := recent.Find(ids[closed])
		rec, err := policies.ReadRecord(line)
		if err != nil {
			t.Fatal(err)
		}
		x, err := pdp.WhyRecorded(t.Context(), rec)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := why("false"); !x.Allow || len(x.Reasons) != 1 || x.Reasons[0].Code != "zoo.keeper" || x.PolicyRevision != pdp.Describe().PolicyRevision {
		t.Errorf("a permit: %+v", x)
	}
	if x := why("true"); x.Allow || len(x.Reasons) != 1 || x.Reasons[0].Code != "zoo.closed" {
		t.Errorf("a denial: %+v", x)
	}
	put(t, dir, "apps/zoo/data.yaml", "keepers: {}\n")
	pdp.Reload(t.Context())
	if x := why("false"); x.Allow || len(x.Reasons) != 1 || x.Reasons[0].Code != "not_granted" || x.DataRevision != pdp.Describe().DataRevision {
		t.Errorf("under other data: %+v", x)
	}
	x, err := pdp.WhyRecorded(t.Context(), policies.Record{Entrypoint: policies.EntryDecision, Input: json.RawMessage("null"), Masked: []string{"/input"}})
	if err != nil || x.Unavailable == "" || x.Allow || x.Reasons == nil {
		t.Errorf("a masked one: %+v, %v", x, err)
	}
}

// BenchmarkReplay is row PD-08: recorded decisions of many people, put to a candidate on one core, read from their text. With a base both
// are asked.
func BenchmarkReplay(b *testing.B) {
	pdp := open(b, policies.Config{})
	r := record(b, pdp)
	const people = 500
	for n := range people {
		someone := policies.Identity{Type: "user", ID: fmt.Sprint("u", n), Exists: true, Active: true, TenantEnabled: true}
		for _, role := range []int{n, n * 7 % 1000, n * 31 % 1000} {
			someone.Roles = append(someone.Roles, fmt.Sprint("r:", role))
			for g := range 20 {
				someone.Grants = append(someone.Grants, policies.Grant{Resource: fmt.Sprintf("ledger/kind%d", role+g), Action: "read", Via: fmt.Sprint("role:r:", role)})
			}
		}
		action := "read"
		if n%4 == 0 {
			action = "write"
		}
		q := question(policies.NewFacts(someone), action)
		q.Resource.Type = fmt.Sprint("ledger/kind", n)
		r.ask(q, true)
	}
	text := r.text()
	for _, c := range []struct {
		name string
		base *policies.ReplaySet
	}{{"recorded", nil}, {"base", pdp.ReplaySet()}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			candidate := replaySet(b, policies.Source{})
			before, lines := cpu(b), 0
			for b.Loop() {
				report := replay(b, policies.ReplayConfig{Candidate: candidate, Base: c.base, Workers: 1}, text)
				if report.Same != people {
					b.Fatalf("%+v", report.Tally)
				}
				lines += people
			}
			spent := float64(cpu(b)-before) / float64(lines)
			b.ReportMetric(spent/1e3, "cpu-us/decision")
			b.ReportMetric(60e9/spent, "decisions/cpu-minute")
			b.ReportMetric(float64(len(text))/people, "bytes/line")
		})
	}
}
