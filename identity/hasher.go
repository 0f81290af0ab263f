package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	// leastQueue and mostQueue bound how many may wait for each core of the pool; longestWait is what the queue is cut to when the
	// node has measured what a hash takes.
	leastQueue  = 4
	mostQueue   = 16
	longestWait = 350 * time.Millisecond
	// holdBack is how long one who finds no place waits for the refusal on average, half of it at least, while no more than mostHeld do.
	holdBack = 250 * time.Millisecond
	mostHeld = 1024
	// calibrations is how many hashes are measured; the fastest counts, because the others were disturbed.
	calibrations = 2
)

// hasher runs slow hashes in a bounded pool: one at a time on each core, and a short queue. What does not fit is
// storage.ErrUnavailable.
type hasher struct {
	rand io.Reader
	now  func() time.Time
	// hashed is told what each hash took, which elsewhere computes.
	hashed    func(time.Duration)
	elsewhere *hashers
	slots     chan struct{}
	// inside counts those that hash or wait, room is the most of them.
	inside, room atomic.Int64
	decoy        phc
	hashes, full atomic.Int64
	// held counts those whose refusal waits, for so long.
	held     atomic.Int64
	holdBack time.Duration
}

func newHasher(c Config) (*hasher, error) {
	random, hashed := c.Rand, c.Hashed
	if hashed == nil {
		hashed = func(time.Duration) {}
	}
	h := &hasher{rand: random, now: c.Now, hashed: hashed, elsewhere: &hashers{open: c.HashProcess, logger: c.Logger}, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), decoy: emptyPHC(), holdBack: holdBack}
	h.room.Store(h.places(leastQueue))
	if _, err := io.ReadFull(random, h.decoy.salt); err != nil {
		return nil, fmt.Errorf("make the decoy: %w", err)
	}
	if _, err := io.ReadFull(random, h.decoy.hash); err != nil {
		return nil, fmt.Errorf("make the decoy: %w", err)
	}
	return h, nil
}

// places is how many fit in with so many waiting for each core.
func (h *hasher) places(queue int64) int64 { return int64(cap(h.slots)) * (1 + queue) }

// run computes one slow hash when there is room.
func (h *hasher) run(ctx context.Context, job slowHash) (slowHashed, error) {
	if !h.enter() {
		h.full.Add(1)
		h.hold(ctx)
		return slowHashed{}, fmt.Errorf("the password pool is full: %w", storage.ErrUnavailable)
	}
	defer h.inside.Add(-1)
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return slowHashed{}, fmt.Errorf("wait for the password pool: %w", errors.Join(ctx.Err(), storage.ErrUnavailable))
	}
	h.hashes.Add(1)
	started := h.now()
	done, err := h.elsewhere.compute(job)
	h.hashed(h.now().Sub(started))
	return done, err
}

// hold lets a refusal wait, at the cost of nothing but memory: a flood of those who try again at once would take with refusals what
// the pool leaves to everybody else. No two wait equally long, or those who came together would come again together.
func (h *hasher) hold(ctx context.Context) {
	defer h.held.Add(-1)
	if h.held.Add(1) > mostHeld {
		return
	}
	wait := time.NewTimer(h.holdBack/2 + rand.N(h.holdBack+1))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

func (h *hasher) enter() bool {
	for {
		inside := h.inside.Load()
		if inside >= h.room.Load() {
			return false
		}
		if h.inside.CompareAndSwap(inside, inside+1) {
			return true
		}
	}
}

// make returns the verifier of a secret that a person chose.
func (h *hasher) make(ctx context.Context, secret string) (string, error) {
	p := emptyPHC()
	if _, err := io.ReadFull(h.rand, p.salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	done, err := h.run(ctx, slowHash{Make: true, Verifier: p.String(), Secret: []byte(secret)})
	if err != nil {
		return "", err
	}
	p.hash = done.Hash
	return p.String(), nil
}

// verify costs one hash whatever it is given: a verifier that is empty or cannot be read is replaced by the decoy, which no
// secret fits.
func (h *hasher) verify(ctx context.Context, text, secret string) (bool, error) {
	_, err := parseVerifier(text)
	known := err == nil
	if !known {
		text = h.decoy.String()
	}
	done, err := h.run(ctx, slowHash{Verifier: text, Secret: []byte(secret)})
	return done.Fits && known, err
}

// calibrate measures what a hash takes here, and cuts the queue so that who waits in it waits no longer than longestWait, or than
// leastQueue hashes on a machine that is slow. The parameters of the hash stay: nodes that differ in speed share one store.
func (h *hasher) calibrate(ctx context.Context, logger *slog.Logger) error {
	fastest := time.Duration(0)
	for range calibrations {
		started := h.now()
		if _, err := h.run(ctx, slowHash{Verifier: h.decoy.String()}); err != nil {
			return err
		}
		if took := h.now().Sub(started); fastest == 0 || took < fastest {
			fastest = took
		}
	}
	h.elsewhere.release() // a node that has just started is not asked for passwords yet, and may never be
	queue := queueFor(fastest)
	h.room.Store(h.places(queue))
	cores := cap(h.slots)
	logger.InfoContext(ctx, "password pool", "hashes_at_once", cores, "waiting_at_most", int64(cores)*queue,
		"memory_mib", cores*argonMemory/1024, "hash", fastest.Round(time.Millisecond).String())
	return nil
}

// queueFor is how many may wait for a core where a hash takes so long.
func queueFor(hash time.Duration) int64 {
	if hash <= 0 {
		return leastQueue
	}
	return min(max(int64(longestWait/hash), leastQueue), mostQueue)
}
