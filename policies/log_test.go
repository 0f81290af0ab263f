package policies_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-authz/writ/policies"
)

// gate is a writer that can be closed and can fail.
type gate struct {
	mu     sync.Mutex
	open   sync.Mutex // locked: writes wait
	fails  int
	takes  int // what a write that fails takes of its bytes
	buffer bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	g.open.Lock()
	defer g.open.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fails > 0 {
		g.fails--
		n, _ := g.buffer.Write(b[:min(g.takes, len(b))])
		return n, errors.New("disk full")
	}
	return g.buffer.Write(b)
}

func (g *gate) lines(tb testing.TB) []map[string]any {
	tb.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var lines []map[string]any
	for text := range strings.Lines(g.buffer.String()) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			tb.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, line)
	}
	return lines
}

func reserve(tb testing.TB, l *policies.Log) *policies.Slot {
	tb.Helper()
	slot, err := l.Reserve()
	if err != nil {
		tb.Fatal(err)
	}
	return slot
}

func TestALineSaysWhatWasDecidedAndOnWhat(t *testing.T) {
	pdp := open(t, policies.Config{})
	var out gate
	l := policies.NewLog(policies.LogConfig{Writer: &out, Now: now})
	q := question(person(), "write")
	q.Context = json.RawMessage(`{"big":9007199254740993,"text":"a\u0000\"é\u2028"}`)
	d, err := pdp.Decide(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	why, err := pdp.Why(t.Context(), q, d)
	if err != nil {
		t.Fatal(err)
	}
	slot := reserve(t, l)
	slot.Write(policies.LogLine{
		Decision: d, Reasons: why, Entrypoint: q.Entrypoint, RequestID: "r1", ParentID: "p1", Route: "POST /access/v1/evaluation",
	})
	slot.Write(policies.LogLine{}) // once is enough
	slot.Release()
	reserve(t, l).Write(policies.LogLine{Decision: policies.Decision{ID: "d2"}, Err: policies.ErrUndecided})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := out.lines(t)
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	line := lines[0]
	for name, want := range map[string]any{
		"decision_id": d.ID, "request_id": "r1", "parent_id": "p1", "time": "2026-03-01T12:00:00Z", "entrypoint": "writ/decision",
		"route": "POST /access/v1/evaluation", "allow": false, "policy_revision": d.PolicyRevision, "data_revision": d.DataRevision,
	} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
	input := line["input"].(map[string]any)
	context := input["context"].(map[string]any)
	if input["now"].(json.Number) != "1772366400000000000" || context["big"].(json.Number) != "9007199254740993" || context["text"] != "a\x00\"é\u2028" {
		t.Errorf("input is %v", input)
	}
	if line["reasons"].([]any)[0].(map[string]any)["code"] != "not_granted" {
		t.Errorf("reasons are %v", line["reasons"])
	}
	if lines[1]["error"] != "no decision" || lines[1]["input"] != nil {
		t.Errorf("an error is %v", lines[1])
	}
	if _, has := line["error"]; has || line["masked"] != nil {
		t.Error("error or masked is there without a cause")
	}
}

func TestCredentialsAreMasked(t *testing.T) {
	dir := zoo()
	dir["settings/data.yaml"] = "decision_log: {mask: [/input/context/ssn, /input/subject/id]}\n"
	pdp := open(t, policies.Config{Dir: write(t, dir)})
	var out gate
	l := policies.NewLog(policies.LogConfig{Writer: &out, Now: now})
	q := zooQuestion("ada", "false")
	q.SubjectProperties = json.RawMessage(`{"Client-Secret":"canary1","role":"x"}`)
	q.ActionProperties = json.RawMessage(`{"deep":[{"apiKey":"canary2"}]}`)
	q.Resource.Properties = json.RawMessage(`{"h":"Bearer canary3","w":"writ_cs_canary4"}`)
	q.Context = json.RawMessage(`{"x":["eyJcanary5.canary5.canary5"],"new_password":{"a":"canary6"},"kept":"word","ssn":"canary8","a/b~c":{"Set-Cookie":"canary7"}}`)
	d, err := pdp.Decide(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	reserve(t, l).Write(policies.LogLine{Decision: d})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := out.buffer.String(); strings.Contains(text, "canary") || !strings.Contains(text, `"kept":"word"`) || !strings.Contains(text, `"role":"x"`) {
		t.Errorf("masked to %s", text)
	}
	var masked []string
	for _, p := range out.lines(t)[0]["masked"].([]any) {
		masked = append(masked, p.(string))
	}
	for _, want := range []string{
		"/input/subject/properties/Client-Secret", "/input/action/properties/deep/0/apiKey", "/input/resource/properties/h", "/input/context/x/0",
		"/input/context/ssn", "/input/subject/id", "/input/context/new_password", "/input/context/a~1b~0c/Set-Cookie",
	} {
		if !strings.Contains(strings.Join(masked, "\n"), want) {
			t.Errorf("%s is not named as masked", want)
		}
	}
}

// Stored facts are the same text in every line, wherever they stand in the input; an attribute is nobody's credential by its name.
func TestStoredFactsAreLoggedAsTheyWereEvaluated(t *testing.T) {
	pdp := open(t, policies.Config{})
	var out gate
	l := policies.NewLog(policies.LogConfig{Writer: &out, Now: now})
	identity := *person().Identity()
	identity.Attributes = json.RawMessage(`{"properties":{"token":"blue"}}`)
	q := question(policies.NewFacts(identity), "read")
	q.Client, q.Resource.Before = policies.Nobody("application", "app_a"), policies.NewFacts(identity)
	for range 2 {
		d, err := pdp.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		reserve(t, l).Write(policies.LogLine{Decision: d})
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	input, err := policies.InputDocument(q)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ast.JSON(input)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range out.lines(t) {
		if line["masked"] != nil {
			t.Errorf("masked: %v", line["masked"])
		}
		if diff := cmp.Diff(want, line["input"]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAFullLogDropsAndCounts(t *testing.T) {
	var out gate
	out.open.Lock()
	l := policies.NewLog(policies.LogConfig{Writer: &out, Queue: 4, Now: now})
	var slots []*policies.Slot
	for range 7 {
		slots = append(slots, reserve(t, l))
	}
	for _, slot := range slots {
		slot.Write(policies.LogLine{})
	}
	if n := l.Dropped(); n != 3 {
		t.Errorf("%d dropped", n)
	}
	out.open.Unlock()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(out.lines(t)); n != 4 {
		t.Errorf("%d lines", n)
	}
	reserve(t, policies.NewLog(policies.LogConfig{Queue: 1})).Release()
}

// TestALineThatIsLeftTornTakesNoOtherWithIt: a disk that is full for a moment costs the lines that it did not take, and no other.
func TestALineThatIsLeftTornTakesNoOtherWithIt(t *testing.T) {
	for _, row := range []struct {
		required     bool
		fails, takes int
		whole        []string
		dropped      int64
	}{
		{false, 1, 20, []string{"2"}, 1},
		{false, 2, 20, nil, 2}, // the end of the torn line is not taken either, and what is taken of nothing is nothing
		{false, 1, 0, []string{"2"}, 1},
		{true, 3, 20, []string{"1", "2"}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			out := gate{fails: row.fails, takes: row.takes}
			l := policies.NewLog(policies.LogConfig{Writer: &out, Required: row.required, Now: now})
			for _, id := range []string{"1", "2"} {
				reserve(t, l).Write(policies.LogLine{RequestID: id})
				time.Sleep(time.Minute) // it is written, or lost
			}
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			var whole []string
			for line := range strings.Lines(out.buffer.String()) {
				var r policies.Record
				if json.Unmarshal([]byte(line), &r) == nil {
					whole = append(whole, r.RequestID)
				}
			}
			if !slices.Equal(whole, row.whole) || l.Dropped() != row.dropped {
				t.Errorf("%+v: %q, %d dropped\n%s", row, whole, l.Dropped(), out.buffer.String())
			}
		})
	}
}

func TestARequiredLogRefusesRatherThanDrops(t *testing.T) {
	out := gate{fails: 3}
	l := policies.NewLog(policies.LogConfig{Writer: &out, Queue: 2, Required: true, Now: now})
	one, two := reserve(t, l), reserve(t, l)
	if _, err := l.Reserve(); !errors.Is(err, policies.ErrLogFull) {
		t.Fatalf("a third: %v", err)
	}
	two.Release()
	three := reserve(t, l)
	one.Write(policies.LogLine{})
	three.Write(policies.LogLine{})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(out.lines(t)); n != 2 || l.Dropped() != 0 {
		t.Errorf("%d lines, %d dropped", n, l.Dropped())
	}
}

func TestAClosedLogLosesNothingSilently(t *testing.T) {
	out := gate{fails: 1 << 30}
	l := policies.NewLog(policies.LogConfig{Writer: &out, Queue: 8, Required: true, Now: now})
	late := reserve(t, l)
	for range 3 {
		reserve(t, l).Write(policies.LogLine{})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	late.Write(policies.LogLine{})
	if n := l.Dropped(); n != 4 {
		t.Errorf("%d dropped", n)
	}
}

func TestManyWriteAtOnce(t *testing.T) {
	pdp := open(t, policies.Config{})
	var out gate
	l := policies.NewLog(policies.LogConfig{Writer: &out, Queue: 64, Now: now})
	d, err := pdp.Decide(t.Context(), question(person(), "read"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				slot, err := l.Reserve()
				if err != nil {
					t.Error(err)
					return
				}
				slot.Write(policies.LogLine{Decision: d})
			}
		})
	}
	all.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := int64(len(out.lines(t))) + l.Dropped(); n != 800 {
		t.Errorf("%d lines written or counted", n)
	}
}

func BenchmarkLogLine(b *testing.B) {
	pdp := open(b, policies.Config{})
	l := policies.NewLog(policies.LogConfig{Queue: 1 << 20, Now: now})
	d, err := pdp.Decide(b.Context(), question(person(), "read"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		slot, err := l.Reserve()
		if err != nil {
			b.Fatal(err)
		}
		slot.Write(policies.LogLine{Decision: d})
	}
	if err := l.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-us/op")
}

// BenchmarkLogLinesOfMany logs a decision about each of many people in turn. Each has three of 1000 roles with twenty grants, so that
// hardly two have the same rights, and many have the same role.
func BenchmarkLogLinesOfMany(b *testing.B) {
	pdp := open(b, policies.Config{})
	l := policies.NewLog(policies.LogConfig{Queue: 1 << 20, Now: now})
	names, decisions := &policies.Names{}, make([]policies.Decision, 10_000)
	for n := range decisions {
		someone := policies.Identity{Type: "user", ID: fmt.Sprint("u", n), Exists: true, Active: true}
		for _, role := range []int{n % 1000, n * 7 % 1000, n * 31 % 1000} {
			for g := range 20 {
				someone.Grants = append(someone.Grants, policies.Grant{Resource: fmt.Sprintf("ledger/r%d-%d", role, g), Action: "read", Via: fmt.Sprint("role:r:", role)})
			}
		}
		q := question(policies.NewSharedFacts(someone, policies.NewRights(someone.Grants, names)), "read")
		var err error
		if decisions[n], err = pdp.Decide(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	before, n := cpu(b), 0
	for b.Loop() {
		slot, err := l.Reserve()
		if err != nil {
			b.Fatal(err)
		}
		slot.Write(policies.LogLine{Decision: decisions[n%len(decisions)]})
		n++
	}
	if err := l.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-us/op")
}
