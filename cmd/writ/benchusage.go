//go:build bench

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	gauges "runtime/metrics"
	"strconv"
	"strings"
	"syscall"
)

// benchUsage is what the process has used since its start. CPU time is getrusage's: the scheduler's own sum, not its ticks, but for
// those of a child that runs.
type benchUsage struct {
	CPUMicros  int64  `json:"cpu_us"` // user and system, of this process and of those that it started
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
	var own, ended syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) != nil || syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended) != nil {
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
		CPUMicros: (own.Utime.Nano()+own.Stime.Nano()+ended.Utime.Nano()+ended.Stime.Nano())/1000 + childrenMicros("/proc", os.Getpid()),
		Allocs:    samples[0].Value.Uint64(), AllocBytes: samples[1].Value.Uint64(), GCCycles: samples[2].Value.Uint64(),
		HeapLive: samples[3].Value.Uint64(), HeapGoal: samples[4].Value.Uint64(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
	})
}

// childrenMicros is the CPU time of the living children of a process, by /proc/PID/stat, whose ticks are of 10 ms on Linux.
func childrenMicros(proc string, parent int) int64 {
	const tick, parentField, userField, systemField = 10_000, 1, 11, 12 // fields behind the name, which may hold anything
	files, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	sum := int64(0)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) <= systemField || fields[parentField] != strconv.Itoa(parent) {
			continue
		}
		user, _ := strconv.ParseInt(fields[userField], 10, 64)
		system, _ := strconv.ParseInt(fields[systemField], 10, 64)
		sum += (user + system) * tick
	}
	return sum
}
