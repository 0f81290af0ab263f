//go:build linux

package main

import (
	"io"
	"strings"
	"testing"
)

// sample are two directories, of which the larger is dearer in one operation.
func sample() *results {
	made := func(profile string, users int, edited float64) sized {
		return sized{
			Profile: profile, Users: users, StartSeconds: 2, RestMiB: 300, FirstPage: 1000, DeepPage: 1200, Deep: 10, Effective: 0.5,
			Operations: []sizedTiming{{"user by id", 100}, {"user edited", edited}, {commonEdited, edited * 10}},
			Decisions:  []sizedTiming{{floorDecided, 50}, {permitDecided, edited}, {searchDecided, 10 * edited}},
		}
	}
	small := sized{
		Profile: "1k", Users: 1000, StartSeconds: 1, Logged: 130, Unlogged: 100,
		Decisions: []sizedTiming{{floorDecided, 50}, {permitDecided, 100}, {searchDecided, 900}},
	}
	return &results{Sizes: []sized{small, made("10k", 10_000, 200), made("large", 1_000_000, 300)}}
}

func TestSizesAreJudgedByWhatGrowsMost(t *testing.T) {
	r := sample()
	r.judge(rows())
	got := map[string]verdict{}
	for _, v := range r.Rows {
		name := v.ID + " " + v.Unit
		if _, taken := got[name]; taken {
			name += ", second"
		}
		got[name] = v
	}
	for name, want := range map[string]struct {
		measured float64
		holds    bool
	}{
		"PI-02 ×": {1.5, false}, "PI-03 ×": {1.2, true}, "PI-04 s": {2, true}, "PI-04 MiB": {300, true}, "PI-05 µs CPU": {3000, true},
		"PI-05 s": {0.5, true}, "PD-03 ×": {6, false}, "PD-03 ×, second": {3, false}, "PD-06 ×": {1.3, false}, "PD-10 µs CPU": {3000, true},
	} {
		if v := got[name]; v.Measured != want.measured || v.Holds != want.holds {
			t.Errorf("%s: got %v, holds %t; want %v, %t", name, v.Measured, v.Holds, want.measured, want.holds)
		}
	}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| directory | 1k, 1000 users | 10k, 10000 users | large, 1000000 users |", "| user edited |  | 200 µs CPU | 300 µs CPU |",
		"| evaluation, permit by a role | 100 µs CPU | 200 µs CPU | 300 µs CPU |",
		"What grew most from the smallest to the largest: user edited, × 1.50.",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("%q is not in\n%s", line, b.String())
		}
	}
	(&results{}).judge(rows()) // a run without them has no such rows, and no fault
}

func TestSizesAreMeasuredWhereTheyAreNamed(t *testing.T) {
	for filter, want := range map[string]bool{"": false, "PI-02": true, "PF-02,PI-05": true, "PI-01": false, "PD-03": true, "PD-07": false} {
		o, err := parse([]string{"--scenario", filter}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.wantsSizes(); got != want {
			t.Errorf("%q: got %t, want %t", filter, got, want)
		}
	}
}
