//go:build bench

package main

import (
	"encoding/json"
	"net/http"
	"runtime"
	gauges "runtime/metrics"
	"syscall"
)

// benchUsage is what the process has used since its start. CPU time is getrusage's: the scheduler's own sum, not its ticks.
type benchUsage struct {
	CPUMicros  int64  `json:"cpu_us"` // user and system
	Allocs     uint64 `json:"allocs"`
	AllocBytes uint64 `json:"alloc_bytes"`
	GCCycles   uint64 `json:"gc_cycles"`
	HeapLive   uint64 `json:"heap_live"` // after the last collection
	HeapGoal   uint64 `json:"heap_goal"` // at which the next one is to be done
	GOMAXPROCS int    `json:"gomaxprocs"`
}

// collectNow ends when a collection has: what is measured after it begins with a clean heap.
func collectNow(w http.ResponseWriter, _ *http.Request) {
	runtime.GC()
	w.WriteHeader(http.StatusNoContent)
}

func usageNow(w http.ResponseWriter, _ *http.Request) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	samples := []gauges.Sample{
		{Name: "/gc/heap/allocs:objects"},
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/heap/goal:bytes"},
	}
	gauges.Read(samples)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(benchUsage{ // the client is gone if this fails
		CPUMicros: (r.Utime.Nano() + r.Stime.Nano()) / 1000,
		Allocs:    samples[0].Value.Uint64(), AllocBytes: samples[1].Value.Uint64(), GCCycles: samples[2].Value.Uint64(),
		HeapLive: samples[3].Value.Uint64(), HeapGoal: samples[4].Value.Uint64(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
	})
}
