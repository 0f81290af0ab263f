package main

import (
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// mostRoom is the most garbage that may gather beside what is live. A login leaves 19 MiB of Argon2, so that at the runtime's own
	// pace a directory in memory is gone through every few logins, and costs more than they do.
	mostRoom  = 256 << 20
	leastRoom = 16 << 20
	// Collections that come faster than busyWithin lend more room, those that come slower than idleAfter take it back. One comes every two
	// minutes if nothing else brings it, so that a server at rest keeps little.
	busyWithin = time.Second
	idleAfter  = 10 * time.Second
	// paceOfRuntime is GOGC as it is without any of this, and its least here.
	paceOfRuntime = 100
	mostPace      = 10_000
)

// collector paces garbage collections by what a server can spare.
type collector struct {
	now  func() time.Time
	most int64 // room

	mu      sync.Mutex
	room    int64 // 0: the runtime's own pace
	last    time.Time
	pace    int
	stopped bool
}

// paceCollector begins to pace the collector, unless the environment does, and returns what ends it.
func paceCollector(env []string, now func() time.Time) (stop func()) {
	set := func(name string) bool {
		return slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	}
	limit := memoryLimit("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
	limited := limit > 0 && !set("GOMEMLIMIT")
	var before int64
	if limited {
		before = debug.SetMemoryLimit(limit - limit/10)
	}
	c := &collector{now: now, most: roomWithin(limit), last: now(), pace: paceOfRuntime}
	if c.stopped = set("GOGC"); !c.stopped {
		c.watch()
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.stopped {
			debug.SetGCPercent(paceOfRuntime)
		}
		if c.stopped = true; limited {
			debug.SetMemoryLimit(before)
		}
	}
}

// roomWithin is the most room beside a limit of memory, which is 0 for none.
func roomWithin(limit int64) int64 {
	if limit > 0 {
		return min(mostRoom, limit/4)
	}
	return mostRoom
}

// memoryLimit is what the first of the files that is there allows this process, or 0.
func memoryLimit(files ...string) int64 {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || limit >= 1<<50 { // "max", or what the older form says for it
			return 0
		}
		return limit
	}
	return 0
}

// sentinel is garbage from the start: when it is collected, a collection has ended.
type sentinel struct{ c *collector }

func (c *collector) watch() {
	runtime.AddCleanup(&sentinel{c}, (*collector).collected, c)
}

// collected sets the pace to the next collection.
func (c *collector) collected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	now := c.now()
	c.room = nextRoom(c.room, c.most, now.Sub(c.last))
	c.last = now
	live := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(live)
	if pace := paceFor(c.room, int64(live[0].Value.Uint64())); pace != c.pace {
		c.pace = pace
		debug.SetGCPercent(pace)
	}
	c.watch()
}

// nextRoom is the room after a collection that came so long after the one before it.
func nextRoom(room, most int64, after time.Duration) int64 {
	switch {
	case after < busyWithin:
		return min(most, max(leastRoom, 2*room))
	case after < idleAfter:
		return room
	}
	if room /= 2; room < leastRoom {
		return 0
	}
	return room
}

// paceFor is the GOGC that leaves this room beside what is live, and no less than the runtime would.
func paceFor(room, live int64) int {
	pace := room * 100 / max(live, 1<<20)
	return int(min(max(pace/10*10, paceOfRuntime), mostPace)) // in steps, because setting it stops the world for a moment
}
