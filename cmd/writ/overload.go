package main

import (
	"context"
	"log/slog"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
)

const (
	// sampleEvery is how often the gate looks at how much waits for a core.
	sampleEvery = 10 * time.Millisecond
	// lastingSamples is for how many looks in a row too much must wait before anything is turned away. They are looks and not a time: a
	// process that is stopped, or gets no core from the machine, looks less often.
	lastingSamples = 10
	// The overload is over when of windowSamples looks freeSamples saw the cores keep up. How much is turned away says nothing about that: a burst
	// that would be served in calm times finds no place in an overload.
	windowSamples = 100
	freeSamples   = 25
	// lastingRequests is how many requests, in queues, must have come meanwhile. A burst has drained by then, however slow the machine is.
	lastingRequests = 4
	// placesPart is the part of a queue that may wait while requests are turned away.
	placesPart = 20
)

// class is what shares places in an overload. A flood of one class leaves those of the others free.
type class int

const (
	exempt class = iota // never turned away
	decisions
	tokens
	management
	classes
)

func (c class) String() string {
	return [classes]string{"exempt", "decisions", "tokens", "management"}[c]
}

// classOf is the class of a request to a listener: what takes no decision is exempt; what changes or ends something is management, on the
// public listener too.
func classOf(listener, path string) class {
	under := func(prefixes ...string) bool {
		for _, prefix := range prefixes {
			if strings.HasPrefix(path, prefix) {
				return true
			}
		}
		return false
	}
	switch {
	case enforce.Open(path):
		return exempt
	case strings.HasSuffix(listener, "admin"):
		return management
	case listener != "public": // the paths of a dialect are its own
		return decisions
	case under("/oauth2/revoke", "/oauth2/sessions/"):
		return management
	case under("/oauth2/", "/connect/", "/token"):
		return tokens
	case under("/v1/data/", "/v1/batch/", "/v1/compile/", "/v1/permissions"):
		return decisions
	case under("/v1/"):
		return management
	}
	return decisions
}

// gate turns requests away while more come than are served. What is to be kept short is the queue for the cores, and that is in the
// runtime: a request that waits is a goroutine that could run, before any code of ours has seen it. So the gate looks at how many of
// those there are, and in an overload it lets every request come as far as itself, which costs little, and lets all that are there stand
// in line once more. Those it can count, and it keeps few of them.
type gate struct {
	queue  int64 // requests per core that may wait as a lasting state; 0: any number
	load   func() (runnable, cores int64)
	yield  func()
	now    func() time.Time
	logger *slog.Logger

	came     atomic.Int64 // requests that are not exempt
	places   atomic.Int64 // of each class; 0: nothing is turned away
	waiting  [classes]atomic.Int64
	shed     [classes]atomic.Int64
	runnable atomic.Int64 // at the last look

	// What follows is sample's own.
	high     int   // looks in a row that saw too much waiting
	cameAt   int64 // at the first of them
	looks    int   // of this window of an overload
	free     int   // of them, those that saw the cores keep up
	shedThen int64 // when the overload began
	began    time.Time
}

func newGate(queue int, now func() time.Time, logger *slog.Logger) *gate {
	return &gate{queue: int64(queue), load: runtimeLoad(), yield: runtime.Gosched, now: now, logger: logger}
}

// runtimeLoad reads the goroutines that wait for a core, and the cores.
func runtimeLoad() func() (runnable, cores int64) {
	samples := []runtimemetrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}, {Name: "/sched/gomaxprocs:threads"}}
	return func() (int64, int64) {
		runtimemetrics.Read(samples)
		return int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64())
	}
}

// run looks until ctx ends.
func (g *gate) run(ctx context.Context) {
	if g.queue == 0 {
		return
	}
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			g.sample(ctx)
		}
	}
}

// sample takes one look, and begins or ends the overload.
func (g *gate) sample(ctx context.Context) {
	runnable, cores := g.load()
	g.runnable.Store(runnable)
	if g.places.Load() == 0 {
		if g.lasting(runnable, cores) {
			g.begin(ctx, runnable, cores)
		}
		return
	}
	if g.looks++; runnable <= cores {
		g.free++
	}
	switch {
	case g.free == freeSamples:
		g.end(ctx)
	case g.looks == windowSamples:
		g.looks, g.free = 0, 0
	}
}

// lasting says whether the queue is one that does not drain by itself.
func (g *gate) lasting(runnable, cores int64) bool {
	if runnable <= g.queue*cores {
		g.high = 0
		return false
	}
	came := g.came.Load()
	if g.high == 0 {
		g.cameAt = came
	}
	g.high++
	return g.high > lastingSamples && came-g.cameAt >= lastingRequests*g.queue*cores
}

func (g *gate) begin(ctx context.Context, runnable, cores int64) {
	g.began, g.looks, g.free, g.shedThen = g.now(), 0, 0, g.turnedAway()
	g.places.Store(max(1, g.queue*cores/placesPart))
	g.logger.WarnContext(ctx, "overload: what cannot be served soon is answered 503", "waiting", runnable, "cores", cores)
}

func (g *gate) end(ctx context.Context) {
	g.places.Store(0)
	g.high = 0
	g.logger.InfoContext(ctx, "the overload is over", "lasted", g.now().Sub(g.began).Round(time.Millisecond).String(),
		"turned_away", g.turnedAway()-g.shedThen)
}

// turnedAway counts all classes.
func (g *gate) turnedAway() int64 {
	var sum int64
	for c := range g.shed {
		sum += g.shed[c].Load()
	}
	return sum
}

// overloaded says whether requests are turned away.
func (g *gate) overloaded() bool { return g.places.Load() != 0 }

// admit says whether a request is served. In an overload it returns when those have come that were there before it.
func (g *gate) admit(c class) bool {
	if c == exempt {
		return true
	}
	if !g.overloaded() {
		g.came.Add(1)
		return true
	}
	if !g.reserve(c) {
		return false
	}
	g.standInLine(c)
	return true
}

// reserve gives a request a place in an overload, if there is one. It is given back by standInLine or release.
func (g *gate) reserve(c class) bool {
	g.came.Add(1)
	places := g.places.Load() // 0 when the overload has just ended
	if g.waiting[c].Add(1) > places && places != 0 {
		g.release(c)
		g.shed[c].Add(1)
		return false
	}
	return true
}

// standInLine lets everything go first that is there, and gives the place back.
func (g *gate) standInLine(c class) {
	g.yield()
	g.release(c)
}

func (g *gate) release(c class) { g.waiting[c].Add(-1) }
