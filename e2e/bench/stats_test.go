//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAPartOfACollectionIsChargedByTheWayToIt(t *testing.T) {
	before, collected := usage{HeapLive: 400, HeapGoal: 800, GCCycles: 7}, usage{GCCycles: 8}
	for name, tc := range map[string]struct {
		bytes  uint64
		cpu    int64
		cycles float64
	}{"a quarter of it": {100, 1010, 0.25}, "all of it": {400, 1040, 1}, "more than there can be": {900, 1040, 1}, "nothing": {0, 1000, 0}} {
		got := spent{units: 1, cpu: 1000, bytes: tc.bytes}.charged(before, collected, 40)
		if got.cpu != tc.cpu || got.cycles != tc.cycles {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := (spent{cpu: 1000, bytes: 100}).charged(before, before, 40); got.cpu != 1000 {
		t.Errorf("no collection was made: %+v", got)
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tc := range []struct {
		name   string
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{"of nothing", nil, 0.99, 0},
		{"of one", []time.Duration{7}, 0.99, 7},
		{"the middle of two is the lower one", []time.Duration{1, 2}, 0.5, 1},
		{"just above the middle", []time.Duration{1, 2}, 0.51, 2},
		{"p50 of a hundred", hundred, 0.50, 50},
		{"p99 of a hundred", hundred, 0.99, 99},
		{"p100 is the largest", hundred, 1, 100},
		{"p0 is the least", hundred, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := percentile(tc.sorted, tc.p); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	given := []float64{3, 1, 2}
	for want, sample := range map[float64][]float64{0: nil, 2: given, 2.5: {4, 1, 2, 3}, 9: {9}} {
		if got := median(sample); got != want {
			t.Errorf("median of %v is %v, want %v", sample, got, want)
		}
	}
	if diff := cmp.Diff([]float64{3, 1, 2}, given); diff != "" {
		t.Errorf("the sample was changed: %s", diff)
	}
}

func TestScheduleDoesNotDrift(t *testing.T) {
	s := schedule{start: time.Unix(100, 0), rate: 3} // a third of a second is no whole number of nanoseconds
	for n, want := range map[int]time.Duration{0: 0, 1: 333_333_333, 3: time.Second, 3_000_000: 1_000_000 * time.Second} {
		if got := s.due(n).Sub(s.start); got != want {
			t.Errorf("request %d is due after %s, want %s", n, got, want)
		}
	}
}

func TestCostIsSharedAmongAllRounds(t *testing.T) {
	one := between(usage{CPUMicros: 1000, Allocs: 10, AllocBytes: 100}, usage{CPUMicros: 3000, Allocs: 40, AllocBytes: 700}, 10, time.Second)
	two := between(usage{CPUMicros: 5000, Allocs: 50, AllocBytes: 800}, usage{CPUMicros: 9000, Allocs: 80, AllocBytes: 1400}, 20, time.Second)
	one.core, two.core = 4*time.Millisecond, 102*time.Millisecond
	want := cost{CPUMicros: 200, Allocs: 2, Bytes: 40, PerSecond: 15, Busy: 0.003, Others: 0.05}
	if diff := cmp.Diff(want, one.plus(two).perUnit()); diff != "" {
		t.Error(diff)
	}
	if others := one.perUnit().Others; others != 0.002 {
		t.Errorf("others took %v of the first round", others)
	}
	one.core = 0 // a tick is coarser than what the server used
	if others := one.perUnit().Others; others != 0 {
		t.Errorf("others took %v", others)
	}
	if diff := cmp.Diff(cost{}, (spent{cpu: 5}).perUnit()); diff != "" {
		t.Errorf("nothing was done: %s", diff)
	}
}
