//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFlagsThatCannotBeMeantAreRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"needs --mongodb-uri":    {"--store", "mongodb"},
		"neither sqlite nor":     {"--store", "paper"},
		"none of floor":          {"--scenario", "token-es256,nonsense"},
		"unexpected argument":    {"token-es256"},
		"at least 1000":          {"--users", "10"},
		"are positive":           {"--rounds", "0"},
		"at most 46 connections": {"--connections", "60"},
	} {
		if _, err := parse(args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
	o, err := parse([]string{"--mongodb-uri", "mongodb://x/?replicaSet=rs0"}, io.Discard)
	if err != nil || o.store != "mongodb" || !filepath.IsAbs(o.shipped) || !filepath.IsAbs(o.bench) {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestAFilterChoosesScenariosWithTheirFloors(t *testing.T) {
	for filter, want := range map[string][]string{
		"PF-01":       {"floor-es256", "token-es256"},
		"token-es256": {"floor-es256", "token-es256"},
		"PF-02":       {"floor", "evaluation-permit", "evaluation-deny"},
		"PD-09":       {"floor", "evaluation-permit"}, // its scenario has a row with a floor
		"floor-aead":  {"floor-aead"},
		"PO-07":       {"floor-argon2id", "password"},
		"PO-08": { // against themselves without the flood, and those against their floors
			"floor", "floor-es256", "evaluation-permit", "token-es256", "evaluation-calm", "evaluation-flooded", "token-calm", "token-flooded",
		},
		"PF-04": nil,
	} {
		o, err := parse([]string{"--scenario", filter}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range append(o.choose(floors()), o.choose(scenarios())...) {
			got = append(got, s.name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filter, diff)
		}
	}
	all, err := parse(nil, io.Discard)
	if err != nil || len(all.choose(floors())) != len(floors()) || len(all.choose(scenarios())) != len(scenarios()) {
		t.Errorf("without a filter not everything is measured: %v", err)
	}
}

func TestEveryRowNamesWhatExists(t *testing.T) {
	var names []string
	for _, s := range append(floors(), scenarios()...) {
		if slices.Contains(names, s.name) || s.what == "" || (s.load == nil) != (s.as != "") || s.as != "" && !slices.Contains(names, s.as) {
			t.Errorf("scenario %q is there twice or half made", s.name)
		}
		names = append(names, s.name)
	}
	for _, r := range rows() {
		for _, name := range []string{r.scenario, r.floor} {
			if name != "" && !slices.Contains(names, name) {
				t.Errorf("%s: there is no %q", r.id, name)
			}
		}
	}
}

func TestTheSeedIsWhatTheQuestionsAreAbout(t *testing.T) {
	for n := range 2 * roles {
		own := map[int]bool{held(n, 0): true, held(n, 1): true, held(n, 2): true}
		if len(own) != rolesPerUser || own[(held(n, 0)+offHeld)%roles] {
			t.Fatalf("user %d holds %v", n, own)
		}
	}
	want := []string{"shop:r0007", "shop:r0338", "shop:r0669"}
	if diff := cmp.Diff(want, user(1)["roles"]); diff != "" {
		t.Error(diff)
	}
	given := role(7)["grants"].([]object)
	if len(given) != grants || given[3]["resource"] != resourceOf(held(1, 0), 3) {
		t.Errorf("role 7 gives %v", given)
	}
}

func TestCoresAreSplit(t *testing.T) {
	for _, tc := range []struct{ all, server, load []int }{
		{[]int{3}, []int{3}, []int{3}},
		{[]int{0, 1}, []int{1}, []int{0}},
		{[]int{0, 2, 4, 6}, []int{6}, []int{0, 2, 4}},
	} {
		c := split(tc.all)
		if !slices.Equal(c.server, tc.server) || !slices.Equal(c.load, tc.load) {
			t.Errorf("%v is split into %v", tc.all, c)
		}
		if shared := strings.Contains(c.String(), "shared"); shared != (len(tc.all) == 1) {
			t.Errorf("%v: %s", tc.all, c)
		}
	}
}

func TestResidentMemoryIsReadFromTheKernelsText(t *testing.T) {
	if got, err := vmRSS("VmPeak:\t  9 kB\nVmRSS:\t   51200 kB\nRssAnon:\t 1 kB\n"); err != nil || got != 50<<20 {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := vmRSS("VmPeak:\t  9 kB\n"); err == nil {
		t.Error("no VmRSS is no error")
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getpid()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := vmRSS(string(text)); err != nil || got < 1<<20 {
		t.Errorf("this process: got %d, %v", got, err)
	}
}

func TestABusyCoreIsReadFromTheKernelsText(t *testing.T) {
	const stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 10 2 30 400 5 6 7 8 0 0\ncpu11 1 1 1 1 1 1 1 1 0 0\n"
	if got, err := busyTime(stat, 1); err != nil || got != 500*time.Millisecond {
		t.Errorf("got %s, %v", got, err)
	}
	for _, text := range []string{stat, "cpu2 x 1 1 1 1 1 1 1 1 1\n", "cpu2 1 1\n"} {
		if _, err := busyTime(text, 2); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
}

func TestADisturbedOpenLoopIsSaid(t *testing.T) {
	r := measured(map[string]float64{"floor": 10})
	r.Measurements[0].Open = &latency{Others: 0.04}
	if got := r.disturbed(); got != nil {
		t.Errorf("got %v", got)
	}
	r.Measurements[0].Open.Others = 0.06
	var b strings.Builder
	if err := r.write(&b); err != nil || !strings.Contains(b.String(), "DISTURBED: others computed on the server's core during the open loops of floor;") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

// measured is a run with given CPU times.
func measured(cpu map[string]float64) *results {
	r := &results{Singles: map[string]float64{"binary": 61}}
	for name, micros := range cpu {
		r.Measurements = append(r.Measurements, measurement{Name: name, cost: cost{CPUMicros: micros}})
	}
	return r
}

func TestRowsAreJudgedByTheirFloorAndMissesAreSaid(t *testing.T) {
	r := measured(map[string]float64{"floor": 10, "floor-es256": 50, "token-es256": 100, "evaluation-permit": 45, "user-get": 26})
	r.judge(rows())
	got := map[string]bool{}
	for _, v := range r.Rows {
		got[v.ID+" "+v.Scenario] = v.Holds
	}
	want := map[string]bool{"PF-01 token-es256": true, "PF-02 evaluation-permit": false, "PI-01 user-get": false, "PF-05 ": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows that were measured (-want +got):\n%s", diff)
	}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| PF-01 | client_credentials, JWT ES256 | 100.0 µs CPU | ≤ 100.0 (2.0 × floor-es256) | 1.00 | holds |",
		"| PF-02 | AuthZEN evaluation, RBAC, permit | 45.0 µs CPU | ≤ 30.0 (3.0 × floor) | 1.50 | MISSES |",
		"3 of 4 rows MISS: PF-02 AuthZEN evaluation, RBAC, permit (× 1.50 of its budget); ",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("the report lacks %q:\n%s", line, b.String())
		}
	}
}

func TestRowsThatAreNoRatioOfCPUTime(t *testing.T) {
	r := measured(map[string]float64{"floor-argon2id": 50_000, "password": 60_000, "token-calm": 1, "token-flooded": 1})
	for i := range r.Measurements {
		switch m := &r.Measurements[i]; m.Name {
		case "token-calm":
			m.Open = &latency{P99: 4000}
		case "token-flooded":
			m.Open = &latency{P99: 9000}
		}
	}
	r.judge(rows())
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| PO-07 | password logins per second of one core | 16.7 /s | ≥ 18.0 (0.9 × floor-argon2id) | 1.08 | MISSES |",
		"| PO-08 | p99 of client_credentials beside them | 9.00 ms | ≤ 12.00 (3.0 × token-calm) | 0.75 | holds |",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("the report lacks %q:\n%s", line, b.String())
		}
	}
	if strings.Contains(b.String(), "beside 50 connections") {
		t.Errorf("the report has a row of which nothing was measured:\n%s", b.String())
	}
}

func TestThePageIsTheReportAsADocument(t *testing.T) {
	r := measured(map[string]float64{"floor": 10, "user-get": 26})
	r.Measurements[0].Rounds, r.Measurements[0].Cycles = []float64{10}, 3
	r.Measurements[0].Open = &latency{Others: 0.06, Again: true}
	r.Version = "writ"
	file := filepath.Join(t.TempDir(), "page.md")
	if err := r.page(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"```\n, : ``\nwrit\n", "part of one\n```\n\n| row |", " | 3.0 | ", "run once more: " + r.Measurements[0].Name + ".\n"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("it lacks %q:\n%s", part, text)
		}
	}
}

func TestARoundEndsWithACollection(t *testing.T) {
	var asked atomic.Int64
	var every int64
	meter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"gc_cycles":%d}`, asked.Add(1)/every)
	}))
	defer meter.Close()
	s := &server{public: strings.TrimPrefix(meter.URL, "http://")}
	for _, tc := range []struct {
		every int64
		whole bool
	}{{3, true}, {1 << 40, false}} {
		asked.Store(0)
		every = tc.every
		if whole, err := s.awaitCollection(t.Context(), time.Millisecond, 300*time.Millisecond); err != nil || whole != tc.whole {
			t.Errorf("one in %d: %t, %v", tc.every, whole, err)
		}
	}
}

func TestWrongRepliesAreReportedAndAnError(t *testing.T) {
	r := measured(map[string]float64{"floor": 10})
	if err := r.wrong(); err != nil {
		t.Error(err)
	}
	r.Measurements[0].Wrong, r.Measurements[0].Why = 3, "got 503"
	var b strings.Builder
	if err := r.write(&b); err != nil || r.wrong() == nil || !strings.Contains(b.String(), "WRONG replies: 3 of floor, such as: got 503") {
		t.Errorf("%v, %v:\n%s", err, r.wrong(), b.String())
	}
}
