package policies_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
)

func recentLine(n, size int) []byte {
	line := fmt.Sprintf(`{"decision_id":"d%d","entrypoint":"writ/decision","allow":true,"policy_revision":"p","data_revision":"d","x":"`, n)
	return append([]byte(line), strings.Repeat("x", max(size-len(line)-3, 0))+"\"}\n"...)
}

// The lines that are kept are the last ones, whole, whatever their lengths; and there is no room for one more.
func TestRecentKeepsTheLastLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1024, 8192).Draw(t, "size")
		r := policies.NewRecent(size)
		var all [][]byte
		for n, length := range rapid.SliceOfN(rapid.IntRange(0, size/4), 0, 60).Draw(t, "lengths") {
			line := recentLine(n, length)
			if r.Remember(line); len(line) <= size/4 {
				all = append(all, line)
			}
		}
		kept := r.Before(0, 64)
		bytes := 0
		for i, k := range kept {
			if want := all[len(all)-1-i]; string(k.Line) != string(want) || k.Number != uint64(len(all)-i) {
				t.Fatalf("line %d from the end is number %d, %.60s, want %.60s", i, k.Number, k.Line, want)
			}
			bytes += len(k.Line)
		}
		if len(kept) < len(all) && len(kept) < 64 && bytes < size/2-size/4 {
			t.Fatalf("%d bytes of %d are kept, though %d lines came", bytes, size, len(all))
		}
		next := r.Records()
		for i := range slices.Backward(kept) {
			rec, err := next()
			if err != nil || rec.DecisionID == "" || !strings.HasPrefix(string(kept[i].Line), `{"decision_id":"`+rec.DecisionID+`"`) {
				t.Fatalf("%v is not %.60s: %v", rec, kept[i].Line, err)
			}
		}
		if _, err := next(); len(kept) < 64 && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}

func TestRecentFindsADecisionAndGoesOnFromANumber(t *testing.T) {
	r := policies.NewRecent(1 << 20)
	for n := range 300 {
		r.Remember(recentLine(n, 200))
	}
	if line, ok := r.Find("d7"); !ok || !strings.HasPrefix(string(line), `{"decision_id":"d7",`) {
		t.Errorf("found %.40s, %t", line, ok)
	}
	for _, id := range []string{"d", "d70000", "", `d7","x":"`, "d300"} {
		if line, ok := r.Find(id); ok {
			t.Errorf("%q is found: %.40s", id, line)
		}
	}
	seen := 0
	for number := uint64(0); ; {
		kept := r.Before(number, 50)
		if len(kept) == 0 {
			break
		}
		seen, number = seen+len(kept), kept[len(kept)-1].Number
	}
	if seen != 300 {
		t.Errorf("%d lines on all pages", seen)
	}
	var none *policies.Recent
	none.Remember([]byte("x"))
	if _, ok := none.Find("x"); ok || none.Before(0, 1) != nil {
		t.Error("what is kept nowhere is found")
	}
	if _, err := none.Records()(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestRecentIsReadWhileItIsWritten(t *testing.T) {
	r := policies.NewRecent(1 << 14)
	var all sync.WaitGroup
	all.Go(func() {
		for n := range 5000 {
			r.Remember(recentLine(n, 150+n%500))
		}
	})
	all.Go(func() {
		for range 200 {
			for _, k := range r.Before(0, 20) {
				if _, err := policies.ReadRecord(k.Line); err != nil {
					t.Error(err)
				}
			}
			for next := r.Records(); ; {
				if _, err := next(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Error(err)
					break
				}
			}
		}
	})
	all.Wait()
}

// What a node remembers is what it writes, masked.
func TestTheLogRemembersWhatItWrote(t *testing.T) {
	pdp := open(t, policies.Config{})
	var out gate
	recent := policies.NewRecent(1 << 20)
	l := policies.NewLog(policies.LogConfig{Writer: &out, Now: now, Recent: recent})
	q := question(person(), "read")
	q.Context = []byte(`{"token":"canary"}`)
	for range 3 {
		d, err := pdp.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		reserve(t, l).Write(policies.LogLine{Decision: d, Entrypoint: q.Entrypoint})
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, k := range slices.Backward(recent.Before(0, 10)) {
		text.Write(k.Line)
	}
	if text.String() != out.buffer.String() || strings.Contains(text.String(), "canary") {
		t.Errorf("remembered is %s, written %s", text.String(), out.buffer.String())
	}
}
