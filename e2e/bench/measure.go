//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// measurement is one scenario or floor.
type measurement struct {
	Name string `json:"name"`
	What string `json:"what"`
	cost
	// Rounds are the CPU microseconds per unit of each round.
	Rounds []float64 `json:"cpu_us_rounds"`
	// Resident is after the last round, in bytes.
	Resident int64    `json:"resident_bytes"`
	Open     *latency `json:"open_loop,omitempty"`
	// Wrong is how many replies of all loops were not the wanted ones; Why is what was wrong with one.
	Wrong int    `json:"wrong,omitempty"`
	Why   string `json:"why,omitempty"`
}

// latency is of an open loop at Rate requests per second, in microseconds from when each request was due.
type latency struct {
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	Max  float64 `json:"max_us"`
	// Late is the p99 of how late the generator woke up: that much of P99 is not the server's.
	Late float64 `json:"generator_late_p99_us"`
	// CPUMicros per unit at this rate, and Others as in cost.
	CPUMicros float64 `json:"cpu_us"`
	Others    float64 `json:"others_busy"`
	// Again says that the loop was disturbed and run once more; the less disturbed one is told.
	Again bool `json:"again,omitempty"`
}

// bearable is the part of the server's core that others may take before latencies say nothing of the server.
const bearable = 0.05

// target is a scenario in the middle of its measurement.
type target struct {
	scenario
	load   load
	rounds []spent
	rate   float64 // requests per second that it may reach
	result measurement
}

// borrow takes the load of the scenario that this one is as, which keeps its own.
func (t *target) borrow(as *target) {
	t.load, t.units, t.connections, t.rate = as.load, as.units, as.connections, as.rate
	t.load.or = append(slices.Clone(as.load.or), t.or...)
}

// firstRate is what a target may reach before anything of it is known.
const firstRate = 8000

// at is how many connections a loop has.
func (t *target) at(usual int) int {
	if t.connections > 0 {
		return t.connections
	}
	return usual
}

// ready makes what a loop of that length spends.
func (t *target) ready(ctx context.Context, length time.Duration) error {
	if t.load.fill == nil {
		return nil
	}
	const room = 1.5
	return t.load.fill(ctx, int(room*t.rate*length.Seconds()))
}

// pace is how long everything takes.
type pace struct {
	warm, round, open time.Duration
	rounds            int
	connections       int
	openConnections   int
}

// measure takes all targets through their rounds in turn, and then those of opened through an open loop at half of what they
// reached, or another part of it.
func (w *world) measure(ctx context.Context, chosen []scenario, opened func(string) bool, p pace, say func(string, ...any)) (
	[]measurement, error,
) {
	var targets []*target
	for _, s := range chosen {
		t := &target{scenario: s, rate: firstRate, result: measurement{Name: s.name, What: s.what}}
		targets = append(targets, t)
		if s.as != "" {
			continue
		}
		t.load = s.load(w)
		say("warming up: %s", s.name)
		if err := t.ready(ctx, p.warm); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		o, err := warm(ctx, &t.load, t.at(p.connections), p.warm)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		t.rate = float64(o.requests) / o.elapsed.Seconds()
	}
	for round := range p.rounds {
		for _, t := range targets {
			if t.as != "" {
				continue
			}
			say("round %d of %d: %s", round+1, p.rounds, t.name)
			if err := w.round(ctx, t, p); err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	measured := make([]measurement, 0, len(targets))
	for _, t := range targets {
		if t.as == "" {
			t.summarize()
			t.rate = t.result.PerSecond / float64(max(t.units, 1))
		} else {
			t.borrow(targets[slices.IndexFunc(targets, func(other *target) bool { return other.name == t.as })])
		}
		if opened(t.name) {
			say("open loop: %s", t.name)
			if err := w.openLoop(ctx, t, p, say); err != nil {
				return nil, fmt.Errorf("%s, open loop: %w", t.name, err)
			}
		}
		measured = append(measured, t.result)
	}
	return measured, nil
}

// longestRound is how many times the usual length a round may take to end with a collection.
const longestRound = 2

// round is one closed loop with the server's usage before and after. It begins after a collection and goes on until one has ended, so
// that it holds all that the collector takes for it and nothing of what it takes for others. Where that would take too long, a
// collection is made after it, and the part of it that is due is charged.
func (w *world) round(ctx context.Context, t *target, p pace) error {
	if err := t.ready(ctx, longestRound*p.round); err != nil {
		return err
	}
	return w.with(ctx, t, func(ctx context.Context) error {
		s := t.load.server
		if err := s.collect(ctx); err != nil {
			return err
		}
		before, err := s.usage(ctx)
		if err != nil {
			return err
		}
		var ended atomic.Bool
		var whole bool
		var watched error
		var watch sync.WaitGroup
		loop, stop := context.WithCancel(ctx)
		defer stop()
		watch.Go(func() {
			whole, watched = s.awaitCollection(loop, p.round, longestRound*p.round)
			ended.Store(true)
		})
		o, err := closedUntil(ctx, &t.load, t.at(p.connections), &ended)
		stop()
		watch.Wait()
		if err != nil {
			return err
		}
		if watched != nil && !errors.Is(watched, context.Canceled) { // it is, if the load ran out of requests
			return watched
		}
		after, err := s.usage(ctx)
		if err != nil {
			return err
		}
		t.note(o)
		used := between(before, after, o.requests*max(t.units, 1), o.elapsed)
		if !whole {
			if err := s.collect(ctx); err != nil {
				return err
			}
			collected, err := s.usage(ctx)
			if err != nil {
				return err
			}
			used = used.charged(before, collected, collected.CPUMicros-after.CPUMicros)
		}
		t.rounds = append(t.rounds, used)
		t.result.Resident, err = s.resident()
		return err
	})
}

// awaitCollection returns after the shortest time with the next end of a collection, which is true, or after the longest.
func (s *server) awaitCollection(ctx context.Context, shortest, longest time.Duration) (bool, error) {
	const every = 50 * time.Millisecond
	began := time.Now()
	if err := sleep(ctx, shortest); err != nil {
		return false, err
	}
	first, err := s.usage(ctx)
	for err == nil && time.Since(began) < longest {
		if err = sleep(ctx, every); err != nil {
			break
		}
		var u usage
		if u, err = s.usage(ctx); err == nil && u.GCCycles > first.GCCycles {
			return true, nil
		}
	}
	return false, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// note keeps what was wrong.
func (t *target) note(o outcome) {
	if o.wrong > 0 {
		t.result.Wrong += o.wrong
		t.result.Why = o.first.Error()
	}
}

func (t *target) summarize() {
	var whole spent
	for _, round := range t.rounds {
		whole = whole.plus(round)
		t.result.Rounds = append(t.result.Rounds, round.perUnit().CPUMicros)
	}
	t.result.cost = whole.perUnit()
}

// openLoop is run once more if it was disturbed.
func (w *world) openLoop(ctx context.Context, t *target, p pace, say func(string, ...any)) error {
	if err := w.openOnce(ctx, t, p); err != nil || t.result.Open.Others <= bearable {
		return err
	}
	first := t.result.Open
	say("others took %.0f %% of the server's core; once more: %s", 100*first.Others, t.name)
	if err := w.openOnce(ctx, t, p); err != nil {
		return err
	}
	if first.Others < t.result.Open.Others {
		t.result.Open = first
	}
	t.result.Open.Again = true
	return nil
}

func (w *world) openOnce(ctx context.Context, t *target, p pace) error {
	rate := t.rate * cmp.Or(t.part, 0.5)
	if err := t.ready(ctx, p.open); err != nil {
		return err
	}
	return w.with(ctx, t, func(ctx context.Context) error {
		before, err := t.load.server.usage(ctx)
		if err != nil {
			return err
		}
		o, err := open(ctx, &t.load, t.at(p.openConnections), rate, p.open)
		if err != nil {
			return err
		}
		after, err := t.load.server.usage(ctx)
		if err != nil {
			return err
		}
		t.note(o)
		whole := between(before, after, o.requests*max(t.units, 1), o.elapsed).perUnit()
		t.result.Open = &latency{
			Rate: rate, P50: inMicros(percentile(o.latencies, 0.50)), P99: inMicros(percentile(o.latencies, 0.99)),
			Max: inMicros(percentile(o.latencies, 1)), Late: inMicros(percentile(o.late, 0.99)),
			CPUMicros: whole.CPUMicros, Others: whole.Others,
		}
		return nil
	})
}

func inMicros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// with runs what is measured, and beside it what the scenario wants beside it, on logs that begin empty.
func (w *world) with(ctx context.Context, t *target, measured func(context.Context) error) error {
	if err := t.load.server.emptyLogs(); err != nil {
		return err
	}
	if t.beside == nil {
		return measured(ctx)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	flood := t.beside(w)
	var work sync.WaitGroup
	work.Go(func() {
		if err := until(ctx, &flood, t.besideConnections); err != nil {
			stop(fmt.Errorf("beside it: %w", err))
		}
	})
	err := sleep(ctx, gatherFlood)
	if err == nil {
		err = measured(ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	stop(nil)
	work.Wait()
	return err
}

// gatherFlood is how long what is beside a measurement runs before it.
const gatherFlood = 500 * time.Millisecond
