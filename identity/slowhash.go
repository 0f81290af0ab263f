package identity

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	// overdue is when a hash has given way long enough to everything else that the machine does, and is computed by the node itself.
	overdue = 500 * time.Millisecond
	// longestHash is when a process that has not answered is given up and ended.
	longestHash = 30 * time.Second
	// hashesIdle is how long a process that has nothing to hash is kept.
	hashesIdle = time.Minute
	// jobsBehind is how many hashes may wait to be sent to a process.
	jobsBehind = 64
	// paceOfHashes is the pace (GOGC) of garbage collections in a process that only hashes: what it has in memory beside a hash is small.
	paceOfHashes = 400
)

// slowHash is one slow hash: of the secret with the parameters and the salt of an Argon2id verifier to be made, or else to see whether the
// secret fits.
type slowHash struct {
	ID       uint64 `json:"id"`
	Make     bool   `json:"make,omitempty"`
	Verifier string `json:"verifier"`
	Secret   []byte `json:"secret"`
}

// slowHashed answers the slowHash of the same id.
type slowHashed struct {
	ID   uint64 `json:"id"`
	Hash []byte `json:"hash,omitempty"`
	Fits bool   `json:"fits,omitempty"`
}

func (h slowHash) compute() (slowHashed, error) {
	done := slowHashed{ID: h.ID}
	v, err := parseVerifier(h.Verifier)
	if err != nil {
		return done, err
	}
	if !h.Make {
		done.Fits = v.fits(string(h.Secret))
		return done, nil
	}
	p, ok := v.(phc)
	if !ok {
		return done, errVerifier
	}
	done.Hash = p.of(string(h.Secret))
	return done, nil
}

// ServeHashes computes slow hashes for the node at the other end of r and w until r ends, as many at a time as there are processors. It is
// for a process of its own, which from then on gives way to all others of the machine.
func ServeHashes(r io.Reader, w io.Writer) error {
	giveWay()
	debug.SetGCPercent(paceOfHashes)
	return serveHashes(r, w)
}

func serveHashes(r io.Reader, w io.Writer) error {
	var writing sync.Mutex
	encoder := json.NewEncoder(w)
	jobs := make(chan slowHash)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for job := range jobs {
				done, err := job.compute()
				if err != nil {
					continue // the node sends what it has parsed; without a reply it gives this process up
				}
				writing.Lock()
				_ = encoder.Encode(done) // a node that is gone has closed r too
				writing.Unlock()
			}
		})
	}
	decoder := json.NewDecoder(bufio.NewReader(r))
	var err error
	for err == nil {
		var job slowHash
		if err = decoder.Decode(&job); err == nil {
			jobs <- job
		}
	}
	close(jobs)
	workers.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read what to hash: %w", err)
}

// hashers computes slow hashes in a process that open starts and that runs [ServeHashes], or here where there is none.
type hashers struct {
	open   func() (io.ReadWriteCloser, error) // nil: here
	logger *slog.Logger
	once   sync.Once

	mu     sync.Mutex
	closed bool
	last   uint64
	peer   *hashPeer
	idle   *time.Timer
}

// compute returns ErrUnavailable for what was not computed because the process died of it; what only gets no turn there is computed here.
func (h *hashers) compute(job slowHash) (slowHashed, error) {
	peer, answer := h.ask(&job)
	if peer == nil {
		return job.compute()
	}
	late := time.NewTimer(overdue)
	defer late.Stop()
	select {
	case done, ok := <-answer:
		h.rest(peer)
		switch {
		case ok:
			return done, nil
		case peer.givenUp.Load(): // with another hash; this one has done nothing
			return job.compute()
		}
		return done, fmt.Errorf("the process that hashes passwords has ended: %w", storage.ErrUnavailable)
	case <-late.C:
		go h.give(peer, answer)
		return job.compute()
	}
}

// give gives a process that is late some more time, after which it is taken for one that hangs.
func (h *hashers) give(peer *hashPeer, answer <-chan slowHashed) {
	hangs := time.NewTimer(longestHash - overdue)
	defer hangs.Stop()
	select {
	case <-answer:
		h.rest(peer)
	case <-hangs.C:
		peer.givenUp.Store(true)
		peer.end()
	}
}

// ask hands a job to the other process, which it starts where none runs. No peer says that there is none.
func (h *hashers) ask(job *slowHash) (*hashPeer, <-chan slowHashed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil || h.closed {
		return nil, nil
	}
	if h.idle != nil {
		h.idle.Stop()
	}
	if h.peer == nil || h.peer.ended() {
		connection, err := h.open()
		if err != nil {
			h.once.Do(func() {
				h.logger.Warn("passwords are hashed in this process, beside its requests", "error", err)
			})
			return nil, nil
		}
		h.peer = newHashPeer(connection)
	}
	h.last++
	job.ID = h.last
	return h.peer, h.peer.ask(*job)
}

// rest ends the other process once it has had nothing to do for a while.
func (h *hashers) rest(peer *hashPeer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.peer != peer || peer.busy() {
		return
	}
	at := h.last
	if h.idle != nil {
		h.idle.Stop()
	}
	h.idle = time.AfterFunc(hashesIdle, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.peer == peer && h.last == at {
			h.peer = nil
			peer.end()
		}
	})
}

// release ends the other process unless it has something to do.
func (h *hashers) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.peer != nil && !h.peer.busy() {
		h.peer.end()
	}
}

// close ends the other process. What is hashed later is hashed here.
func (h *hashers) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.idle != nil {
		h.idle.Stop()
	}
	if h.peer != nil {
		h.peer.end()
	}
}

// hashPeer is the other process, from its start to its end.
type hashPeer struct {
	connection io.ReadWriteCloser
	givenUp    atomic.Bool // for being late with a hash, and not ended by what it computed
	jobs       chan slowHash
	gone       chan struct{}

	mu      sync.Mutex
	waiting map[uint64]chan slowHashed // nil: ended
}

func newHashPeer(connection io.ReadWriteCloser) *hashPeer {
	p := &hashPeer{
		connection: connection, jobs: make(chan slowHash, jobsBehind), gone: make(chan struct{}), waiting: map[uint64]chan slowHashed{},
	}
	go p.read()
	go p.write()
	return p
}

// ask returns where the answer comes; without one it is closed.
func (p *hashPeer) ask(job slowHash) <-chan slowHashed {
	answer := make(chan slowHashed, 1)
	if !p.await(job.ID, answer) {
		close(answer)
		return answer
	}
	select {
	case p.jobs <- job:
	default: // it is far behind, and late with this one, too
	}
	return answer
}

func (p *hashPeer) await(id uint64, answer chan slowHashed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		return false
	}
	p.waiting[id] = answer
	return true
}

// write waits for a process that gets no turn and so reads nothing, that nobody else has to: what fits into a pipe is soon there.
func (p *hashPeer) write() {
	encoder := json.NewEncoder(p.connection)
	for {
		select {
		case job := <-p.jobs:
			_ = encoder.Encode(job) // what cannot be written has no reader left, and read sees that too
		case <-p.gone:
			return
		}
	}
}

func (p *hashPeer) read() {
	decoder := json.NewDecoder(bufio.NewReader(p.connection))
	for {
		var done slowHashed
		if err := decoder.Decode(&done); err != nil {
			p.end()
			return
		}
		p.mu.Lock()
		if answer, ok := p.waiting[done.ID]; ok {
			delete(p.waiting, done.ID)
			answer <- done
		}
		p.mu.Unlock()
	}
}

func (p *hashPeer) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0
}

func (p *hashPeer) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting == nil
}

// end gives the process up, and all that wait for it.
func (p *hashPeer) end() {
	p.mu.Lock()
	waiting := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	if waiting == nil {
		return
	}
	for _, answer := range waiting {
		close(answer)
	}
	close(p.gone)
	_ = p.connection.Close()
}
