package main

import (
	"runtime"
	"sync"
)

// mostWarm is how many goroutines are kept for the next requests.
const mostWarm = 64

// warm runs handlers on few goroutines, of which the one that was used last is used next. A decision needs a deep stack, which a goroutine
// of its own would grow again after each collection, and find cold: with 256 connections that was a sixth of what a decision costs.
// And a connection that only waits keeps a small one.
type warm struct {
	mu   sync.Mutex
	idle []*worker
}

type worker struct {
	work chan func()
	done chan outcome
}

// outcome is how work has ended.
type outcome struct {
	cause any  // what it panicked with, or nil
	gone  bool // it has ended its goroutine
}

// do runs f and returns when it has ended. A panic of f is one of do. It never waits for others.
func (w *warm) do(f func()) {
	runs := w.take()
	runs.work <- f
	ended := <-runs.done
	if ended.gone {
		runtime.Goexit()
	}
	w.put(runs)
	if ended.cause != nil {
		panic(ended.cause)
	}
}

func (w *warm) take() *worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := len(w.idle) - 1; last >= 0 {
		runs := w.idle[last]
		w.idle = w.idle[:last]
		return runs
	}
	runs := &worker{work: make(chan func()), done: make(chan outcome)}
	go runs.run()
	return runs
}

// put keeps a worker for the next, if there are not enough.
func (w *warm) put(runs *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.idle) == mostWarm {
		close(runs.work)
		return
	}
	w.idle = append(w.idle, runs)
}

func (w *worker) run() {
	for f := range w.work {
		w.runOne(f)
	}
}

func (w *worker) runOne(f func()) {
	ended := outcome{gone: true}
	defer func() {
		if cause := recover(); cause != nil {
			ended = outcome{cause: cause}
		}
		w.done <- ended
	}()
	f()
	ended.gone = false
}
