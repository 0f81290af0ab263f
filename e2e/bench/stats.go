//go:build linux

package main

import (
	"math"
	"slices"
	"time"
)

// percentile is the nearest-rank percentile of a sorted sample: the least value that at least p of the sample is not above.
// An empty sample has none and gives 0.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median of a sample in any order; the mean of the middle two where there are two, and 0 of nothing.
func median(sample []float64) float64 {
	if len(sample) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(sample))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// schedule says when the requests of an open loop are due, whatever became of the ones before.
type schedule struct {
	start time.Time
	rate  float64 // requests per second
}

// due is the time of request n, counted from 0. It is computed from the start, so that rounding does not add up.
func (s schedule) due(n int) time.Time {
	return s.start.Add(time.Duration(float64(n) / s.rate * float64(time.Second)))
}

// usage is what /bench/usage tells, totals of the server process since its start, and how busy its cores were by then.
type usage struct {
	CPUMicros  int64  `json:"cpu_us"`
	Allocs     uint64 `json:"allocs"`
	AllocBytes uint64 `json:"alloc_bytes"`
	GCCycles   uint64 `json:"gc_cycles"`
	HeapLive   uint64 `json:"heap_live"` // after the last collection
	HeapGoal   uint64 `json:"heap_goal"` // at which the next one is to be done
	GOMAXPROCS int    `json:"gomaxprocs"`

	core time.Duration // of the server's cores, with anything; from /proc/stat
}

// cost is what one unit of work took on average.
type cost struct {
	CPUMicros float64 `json:"cpu_us"`
	Allocs    float64 `json:"allocs"`
	Bytes     float64 `json:"alloc_bytes"`
	Cycles    float64 `json:"gc_cycles"` // in all rounds, with the parts that were charged
	PerSecond float64 `json:"per_second"`
	// Busy is the server's CPU time by wall time: well below 1 on one core, the generator and not the server was the limit.
	Busy float64 `json:"server_busy"`
	// Others is the part of the time that something else computed on the server's core.
	Others float64 `json:"others_busy"`
}

// spent is what the server used while it did a number of units. Rounds are added, not averaged: the collector, which comes once in
// many rounds where there is much to keep, is part of the cost and would fall out of a median.
type spent struct {
	units   int
	elapsed time.Duration
	cpu     int64 // microseconds
	allocs  uint64
	bytes   uint64
	cycles  float64
	core    time.Duration
}

// between is what was used from one reading to the next.
func between(before, after usage, units int, elapsed time.Duration) spent {
	return spent{
		units: units, elapsed: elapsed, cpu: after.CPUMicros - before.CPUMicros, allocs: after.Allocs - before.Allocs,
		bytes: after.AllocBytes - before.AllocBytes, cycles: float64(after.GCCycles - before.GCCycles), core: after.core - before.core,
	}
}

// charged adds the part of a collection that is due for what was allocated since the one before s: as much of it as that is of the way
// from what was live to the next. A collection takes what it takes by what is live, so that the one that was made is the measure.
func (s spent) charged(before, collected usage, took int64) spent {
	way := float64(before.HeapGoal) - float64(before.HeapLive)
	if way <= 0 || collected.GCCycles == before.GCCycles {
		return s
	}
	part := min(1, max(0, float64(s.bytes)/way-s.cycles))
	s.cpu += int64(part * float64(took))
	s.cycles += part
	return s
}

func (s spent) plus(t spent) spent {
	return spent{
		units: s.units + t.units, elapsed: s.elapsed + t.elapsed, cpu: s.cpu + t.cpu, allocs: s.allocs + t.allocs,
		bytes: s.bytes + t.bytes, cycles: s.cycles + t.cycles, core: s.core + t.core,
	}
}

// perUnit shares it among the units; nothing done costs nothing.
func (s spent) perUnit() cost {
	if s.units == 0 || s.elapsed <= 0 {
		return cost{}
	}
	n := float64(s.units)
	return cost{
		CPUMicros: float64(s.cpu) / n, Allocs: float64(s.allocs) / n, Bytes: float64(s.bytes) / n, Cycles: s.cycles,
		PerSecond: n / s.elapsed.Seconds(), Busy: float64(s.cpu) / float64(s.elapsed.Microseconds()),
		Others: max(0, float64(s.core-time.Duration(s.cpu)*time.Microsecond)/float64(s.elapsed)),
	}
}
