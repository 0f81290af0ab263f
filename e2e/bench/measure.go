//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
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
}

// target is a scenario in the middle of its measurement.
type target struct {
	scenario
	load   load
	rounds []spent
	result measurement
}

// pace is how long everything takes.
type pace struct {
	warm, round, open time.Duration
	rounds            int
	connections       int
	openConnections   int
}

// measure takes all targets through their rounds in turn, and then those of opened through an open loop at half of what they
// reached.
func (w *world) measure(ctx context.Context, chosen []scenario, opened func(string) bool, p pace, say func(string, ...any)) (
	[]measurement, error,
) {
	var targets []*target
	for _, s := range chosen {
		t := &target{scenario: s, load: s.load(w), result: measurement{Name: s.name, What: s.what}}
		say("warming up: %s", s.name)
		if err := warm(ctx, &t.load, p.connections, p.warm); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		targets = append(targets, t)
	}
	for round := range p.rounds {
		for _, t := range targets {
			say("round %d of %d: %s", round+1, p.rounds, t.name)
			if err := w.round(ctx, t, p); err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	measured := make([]measurement, 0, len(targets))
	for _, t := range targets {
		t.summarize()
		if opened(t.name) {
			say("open loop at half of the capacity: %s", t.name)
			if err := w.openLoop(ctx, t, p); err != nil {
				return nil, fmt.Errorf("%s, open loop: %w", t.name, err)
			}
		}
		measured = append(measured, t.result)
	}
	return measured, nil
}

// round is one closed loop with the server's usage before and after.
func (w *world) round(ctx context.Context, t *target, p pace) error {
	return w.with(ctx, t, func(ctx context.Context) error {
		before, err := t.load.server.usage(ctx)
		if err != nil {
			return err
		}
		o, err := closed(ctx, &t.load, p.connections, p.round)
		if err != nil {
			return err
		}
		after, err := t.load.server.usage(ctx)
		if err != nil {
			return err
		}
		t.note(o)
		t.rounds = append(t.rounds, between(before, after, o.requests*max(t.units, 1), o.elapsed))
		t.result.Resident, err = t.load.server.resident()
		return err
	})
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

func (w *world) openLoop(ctx context.Context, t *target, p pace) error {
	return w.with(ctx, t, func(ctx context.Context) error {
		rate := t.result.PerSecond / float64(max(t.units, 1)) / 2
		before, err := t.load.server.usage(ctx)
		if err != nil {
			return err
		}
		o, err := open(ctx, &t.load, p.openConnections, rate, p.open)
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
	err := measured(ctx)
	stop(nil)
	work.Wait()
	return err
}
