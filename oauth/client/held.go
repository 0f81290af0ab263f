package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// failurePause is how long a fetch that failed is not repeated: a server that is down is not asked by every request, and a request does
// not wait for what failed a moment ago.
const failurePause = time.Second

// lease is a fetched value. Once it is no longer fresh it is fetched anew; until it is no longer good it is used meanwhile.
type lease[T any] struct {
	value       T
	fresh, good time.Time
}

// held is a value that is fetched when it is wanted, by one goroutine for all that want it. A fetch outlives the request that began it.
type held[T any] struct {
	fetch func(context.Context) (lease[T], error)
	now   func() time.Time

	mu      sync.Mutex
	lease   lease[T]
	flight  chan struct{} // closed when the fetch that is under way ends; nil: none is
	ended   time.Time     // when the last fetch ended
	failure error         // of the last fetch; nil: it succeeded
}

var errShortLived = errors.New("what the server gives has expired when it arrives")

// get returns a value that is good.
func (h *held[T]) get(ctx context.Context) (T, error) {
	var none T
	for range 2 { // what a fetch brought is looked at once
		h.mu.Lock()
		now := h.now()
		if now.Before(h.lease.fresh) {
			defer h.mu.Unlock()
			return h.lease.value, nil
		}
		if h.flight == nil && (h.failure == nil || now.Sub(h.ended) >= failurePause) {
			h.begin(ctx)
		}
		flight, failure := h.flight, h.failure
		if now.Before(h.lease.good) {
			defer h.mu.Unlock()
			return h.lease.value, nil
		}
		h.mu.Unlock()
		if flight == nil {
			return none, failure
		}
		if err := wait(ctx, flight); err != nil {
			return none, err
		}
	}
	return none, unavailable("%w", errShortLived)
}

// begin starts a fetch; the caller holds mu.
func (h *held[T]) begin(ctx context.Context) {
	flight := make(chan struct{})
	h.flight = flight
	go func(ctx context.Context) {
		got, err := h.fetch(ctx)
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil {
			h.lease = got
		}
		h.flight, h.failure, h.ended = nil, err, h.now()
		close(flight)
	}(context.WithoutCancel(ctx))
}

// newer returns a value that was fetched since the call, and says so. If the last fetch is not longer ago than pause, or one was under way
// already, what there is may be older than the call.
func (h *held[T]) newer(ctx context.Context, pause time.Duration) (value T, since bool, err error) {
	h.mu.Lock()
	if h.flight == nil && h.now().Sub(h.ended) >= pause {
		h.begin(ctx)
		since = true
	}
	flight := h.flight
	h.mu.Unlock()
	if flight != nil {
		if err := wait(ctx, flight); err != nil {
			return value, false, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease.value, since, h.failure
}

// expire has the value fetched anew, if it is still what the caller was given and was not fetched just now, and says whether there may be
// another one.
func (h *held[T]) expire(isThe func(T) bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !isThe(h.lease.value) {
		return true
	}
	if h.now().Sub(h.ended) < failurePause {
		return false
	}
	h.lease = lease[T]{}
	return true
}

func wait(ctx context.Context, flight <-chan struct{}) error {
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return unavailable("%w", ctx.Err())
	}
}
