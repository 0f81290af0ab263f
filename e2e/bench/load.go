//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A script is one connection's part: it returns the next request, or nil if it has no more. last is the reply to the one before, nil at
// first; it is valid during the call only. After a loop's last reply the script is called once more, and what it returns is not sent.
type script func(last *reply) []byte

// load is a stream of requests and the reply that each of them must get.
type load struct {
	server  *server // whose usage counts
	address string  // of one of its listeners
	script  func(connection, connections int) script
	status  int
	holds   string // in the body; empty for anything
	// or are other replies that are as good, whatever is in their bodies: those of a server that defends itself.
	or []int
	// fill makes ready for a loop of so many requests at most; nil where there is nothing to make.
	fill func(ctx context.Context, requests int) error
	// distinct is how many different requests there are: a warm-up sends each of them.
	distinct int
}

// cycle is the script of requests that are made beforehand: each connection begins at its own place and goes through all.
func cycle(requests [][]byte) func(connection, connections int) script {
	return func(connection, connections int) script {
		at := connection * len(requests) / connections
		return func(*reply) []byte {
			request := requests[at]
			at = (at + 1) % len(requests)
			return request
		}
	}
}

// outcome is what a loop did. Requests with a wrong reply are in wrong and nowhere else.
type outcome struct {
	requests  int
	wrong     int
	first     error // of the wrong ones
	elapsed   time.Duration
	latencies []time.Duration // sorted
	// late is how late the generator itself woke up for the requests that it waited for, sorted; open loops only.
	late []time.Duration
}

// check refuses a reply that is not the wanted one.
func (l *load) check(r *reply) error {
	if slices.Contains(l.or, r.status) {
		return nil
	}
	if r.status != l.status || !bytes.Contains(r.body, []byte(l.holds)) {
		return fmt.Errorf("got %d %.300q, want %d with %q", r.status, r.body, l.status, l.holds)
	}
	return nil
}

// closed sends on each connection the next request as soon as the reply to the last one is there.
func closed(ctx context.Context, l *load, connections int, duration time.Duration) (outcome, error) {
	var ended atomic.Bool
	timer := time.AfterFunc(duration, func() { ended.Store(true) })
	defer timer.Stop()
	return closedUntil(ctx, l, connections, &ended)
}

// closedUntil is closed for as long as ended is false.
func closedUntil(ctx context.Context, l *load, connections int, ended *atomic.Bool) (outcome, error) {
	return drive(ctx, l, connections, time.Now(), func(*outcome) (due time.Time, more bool) { return time.Now(), !ended.Load() })
}

// warm sends like closed, for at least the duration, and until each connection has gone through its part of the distinct requests.
func warm(ctx context.Context, l *load, connections int, duration time.Duration) (outcome, error) {
	start := time.Now()
	end := start.Add(duration)
	part := (l.distinct + connections - 1) / connections
	return drive(ctx, l, connections, start, func(o *outcome) (due time.Time, more bool) {
		due = time.Now()
		return due, o.wrong+len(o.latencies) < max(part, 1) || due.Before(end)
	})
}

// open sends requests when they are due. If all connections are busy then, the request waits, and its waiting counts.
func open(ctx context.Context, l *load, connections int, rate float64, duration time.Duration) (outcome, error) {
	plan := schedule{start: time.Now().Add(10 * time.Millisecond), rate: rate}
	end := plan.start.Add(duration)
	var taken atomic.Int64
	return drive(ctx, l, connections, plan.start, func(o *outcome) (due time.Time, more bool) {
		due = plan.due(int(taken.Add(1) - 1))
		if !due.Before(end) {
			return due, false
		}
		if time.Until(due) > 0 {
			sleepUntil(due)
			o.late = append(o.late, time.Since(due))
		}
		return due, true
	})
}

// drive runs one script per connection until next says that there is no more. A connection that fails ends it, and wrong replies
// are an error if they are more than one in a hundred: a few are what the server does under this load, and are reported.
func drive(
	ctx context.Context, l *load, connections int, start time.Time, next func(*outcome) (due time.Time, more bool),
) (outcome, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	parts := make([]outcome, connections)
	var work sync.WaitGroup
	for i := range connections {
		work.Go(func() {
			if err := l.run(ctx, i, connections, &parts[i], next); err != nil {
				stop(err)
			}
		})
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil {
		return outcome{}, err
	}
	whole := outcome{elapsed: time.Since(start)}
	for _, part := range parts {
		whole.wrong += part.wrong
		if part.first != nil {
			whole.first = part.first
		}
		whole.requests += len(part.latencies)
		whole.latencies = append(whole.latencies, part.latencies...)
		whole.late = append(whole.late, part.late...)
	}
	slices.Sort(whole.latencies)
	slices.Sort(whole.late)
	if whole.requests+whole.wrong == 0 {
		return outcome{}, errors.New("no request was sent")
	}
	if whole.wrong*100 > whole.requests {
		return outcome{}, fmt.Errorf("%d of %d replies are wrong: %w", whole.wrong, whole.requests+whole.wrong, whole.first)
	}
	return whole, nil
}

// run is one connection.
func (l *load) run(
	ctx context.Context, number, connections int, o *outcome, next func(*outcome) (due time.Time, more bool),
) error {
	c, err := dial(l.address)
	if err != nil {
		return err
	}
	defer c.close()
	o.latencies = make([]time.Duration, 0, 1<<16)
	script := l.script(number, connections)
	var last *reply
	for ctx.Err() == nil {
		due, more := next(o)
		if !more {
			if last != nil {
				script(last)
			}
			return nil
		}
		request := script(last)
		if request == nil {
			return nil
		}
		if last == nil {
			last = &reply{}
		}
		if err := c.do(request, last); err != nil {
			return err
		}
		took := time.Since(due)
		if err := l.check(last); err != nil {
			o.wrong++
			o.first = err
			continue
		}
		o.latencies = append(o.latencies, took)
	}
	return nil
}

// until sends like closed until ctx ends, which is no error.
func until(ctx context.Context, l *load, connections int) error {
	_, err := drive(ctx, l, connections, time.Now(), func(*outcome) (due time.Time, more bool) { return time.Now(), true })
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
