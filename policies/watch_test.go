package policies_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

// eventually polls; the limit only bounds a failing test.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit.C:
			tb.Fatal("never: " + what)
		case <-tick.C:
		}
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// watch opens a PDP on a directory and watches it until the test ends.
func watch(tb testing.TB, config policies.Config) *policies.PDP {
	tb.Helper()
	pdp := open(tb, config)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		pdp.Watch(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
	return pdp
}

func TestSO05ASavedEditDecidesAndABrokenOneChangesNothing(t *testing.T) {
	dir := write(t, zoo())
	var logged safeBuffer
	pdp := watch(t, policies.Config{Dir: dir, Poll: time.Hour, Logger: slog.New(slog.NewJSONHandler(&logged, nil))})
	first := pdp.Status()

	put(t, dir, "apps/zoo/data.yaml", "keepers:\n  bob: true\n")
	eventually(t, "the edit decides", func() bool {
		allow, _ := decide(t, pdp, zooQuestion("bob", "false"))
		return allow
	})
	second := pdp.Status()
	if second.Reloads != 1 || second.DataRevision == first.DataRevision || second.Revision != first.Revision || second.Degraded != "" {
		t.Fatalf("%+v", second)
	}

	good, err := os.ReadFile(filepath.Join(dir, "apps/zoo/zoo.rego"))
	if err != nil {
		t.Fatal(err)
	}
	for n, c := range []struct{ name, body, want string }{
		{"apps/zoo/zoo.rego", string(good) + "\npermit contains {\n", "parse"},
		{"apps/zoo/zoo.rego", strings.Replace(string(good), "input.context.closed", "inptu.context.closed", 1), "compile"},
		{"apps/zoo/zoo.rego", strings.Replace(string(good), "if input.context.closed", "if not input.context.closed", 1), "test_closed: failed"},
		{"apps/iam/iam.rego", "package apps.iam\n", "Writ's own"},
	} {
		put(t, dir, c.name, c.body)
		eventually(t, c.want, func() bool { return strings.Contains(pdp.Status().Degraded, c.want) })
		if s := pdp.Status(); s.Revision != second.Revision || s.Reloads != 1 || s.Failures != int64(n+1) {
			t.Fatalf("after %s: %+v", c.want, s)
		}
		if allow, codes := decide(t, pdp, zooQuestion("bob", "true")); allow || codes != "zoo.closed" {
			t.Fatalf("after %s: %t %s", c.want, allow, codes)
		}
		if !strings.Contains(logged.String(), c.want) {
			t.Fatalf("%s is not in the log", c.want)
		}
	}

	if err := os.RemoveAll(filepath.Join(dir, "apps/iam")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "apps/zoo/zoo.rego", string(good))
	eventually(t, "the last good set is back on disk", func() bool { return pdp.Status().Degraded == "" })
	if s := pdp.Status(); s.Reloads != 1 || s.Revision != second.Revision {
		t.Fatalf("%+v", s)
	}
}

// The name of a file is told as it is, and makes no line of its own.
func TestSH18TheNameOfAFileWritesNoLineOfTheLog(t *testing.T) {
	dir := write(t, zoo())
	var logged safeBuffer
	pdp := open(t, policies.Config{Dir: dir, Logger: slog.New(slog.NewJSONHandler(&logged, nil))})
	put(t, dir, "apps/zoo/x\r\n{\"msg\":\"forged\"}\n.rego", "package apps.zoo\n\npermit contains {\n")
	if pdp.Reload(t.Context()) || !strings.Contains(pdp.Status().Degraded, "forged") {
		t.Fatalf("the file is taken, or not named: %q", pdp.Status().Degraded)
	}
	told := false
	for line := range strings.Lines(logged.String()) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil || event["msg"] == "forged" {
			t.Errorf("a line is no event of ours: %v: %s", err, line)
		}
		told = told || strings.Contains(line, "forged")
	}
	if !told {
		t.Errorf("the log does not name the file: %s", logged.String())
	}
}

func TestNewFoldersAreSeen(t *testing.T) {
	dir := write(t, zoo())
	pdp := watch(t, policies.Config{Dir: dir, Poll: time.Hour})
	for name, body := range zoo() {
		put(t, dir, strings.ReplaceAll(name, "zoo", "park"), strings.ReplaceAll(body, "zoo", "park"))
	}
	eventually(t, "the new application decides", func() bool {
		q := zooQuestion("ada", "false")
		q.Resource.Type = "park/cage"
		allow, _ := decide(t, pdp, q)
		return allow
	})
	put(t, dir, "apps/park/data.yaml", "keepers: {eve: true}\n")
	eventually(t, "an edit in the new folder decides", func() bool {
		q := zooQuestion("eve", "false")
		q.Resource.Type = "park/cage"
		allow, _ := decide(t, pdp, q)
		return allow
	})
}

// A ConfigMap changes by a link that is replaced; nobody writes to the files that are read.
func TestPollingSeesWhatNobodyTells(t *testing.T) {
	outside := write(t, zoo())
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(outside, "apps"), filepath.Join(dir, "apps")); err != nil {
		t.Fatal(err)
	}
	pdp := watch(t, policies.Config{Dir: dir, Poll: 5 * time.Millisecond})
	next := zoo()
	next["apps/zoo/data.yaml"] = "keepers: {bob: true}\n"
	other := write(t, next)
	if err := os.Symlink(filepath.Join(other, "apps"), filepath.Join(dir, "apps.tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "apps.tmp"), filepath.Join(dir, "apps")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other generation decides", func() bool {
		allow, _ := decide(t, pdp, zooQuestion("bob", "false"))
		return allow
	})
}

func TestDecisionsGoOnWhileSetsAreSwapped(t *testing.T) {
	dir := write(t, zoo())
	pdp := open(t, policies.Config{Dir: dir})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			d, err := pdp.Decide(t.Context(), zooQuestion("ada", "false"))
			if err != nil {
				t.Error(err)
				return
			}
			if !d.Allow {
				if _, err := pdp.Why(t.Context(), zooQuestion("ada", "false"), d); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for _, keeper := range []string{"bob", "ada", "eve", "ada"} {
		put(t, dir, "apps/zoo/data.yaml", "keepers: {"+keeper+": true}\n")
		if !pdp.Reload(t.Context()) {
			t.Fatal(pdp.Status().Degraded)
		}
		if allow, _ := decide(t, pdp, zooQuestion(keeper, "false")); !allow {
			t.Fatal("the swapped set does not decide")
		}
	}
	close(stop)
	<-done
}

func TestWatchingNothingEndsAtOnce(t *testing.T) {
	open(t, policies.Config{}).Watch(t.Context())
}

// Row PD-07: from a saved edit to the first decision by it, with 200 rules in the directory and the tests of what changed. The
// debounce of 50 ms comes on top.
func BenchmarkReload(b *testing.B) {
	files := zoo()
	for app := range 9 {
		name := fmt.Sprintf("park%d", app)
		rules := "package apps." + name + "\n"
		tests := "package apps." + name + "_test\n\nimport data.apps." + name + "\n"
		for rule := range 22 {
			rules += fmt.Sprintf("\n# METADATA\n# title: T\n# labels:\n#   rule: %s.r%d\npermit contains \"granted\" if input.context.n == %d\n", name, rule, rule)
			tests += fmt.Sprintf("\ntest_r%d if %s.permit == {\"granted\"} with input as {\"context\": {\"n\": %d}}\n", rule, name, rule)
		}
		files["apps/"+name+"/rules.rego"], files["apps/"+name+"/rules_test.rego"] = rules, tests
	}
	dir := write(b, files)
	pdp := open(b, policies.Config{Dir: dir})
	before := cpu(b)
	n := 0
	for b.Loop() {
		n++
		put(b, dir, "apps/park3/rules.rego", files["apps/park3/rules.rego"]+strings.Repeat("\n# edited", n))
		if !pdp.Reload(b.Context()) {
			b.Fatal(pdp.Status().Degraded)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
}

func BenchmarkOpen(b *testing.B) {
	before := cpu(b)
	for b.Loop() {
		open(b, policies.Config{})
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
}
