package identity

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-authz/writ/storage"
)

// theOther is the other end of a connection as a process would be: it runs until its input ends.
type theOther struct {
	started, ended atomic.Int64
	serve          func(net.Conn)
}

func (o *theOther) open() (io.ReadWriteCloser, error) {
	here, there := net.Pipe()
	o.started.Add(1)
	go func() {
		defer o.ended.Add(1)
		defer there.Close()
		o.serve(there)
	}()
	return here, nil
}

func hashing(t *testing.T, serve func(net.Conn)) (*hashers, *theOther) {
	t.Helper()
	other := &theOther{serve: serve}
	h := &hashers{open: other.open, logger: slog.New(slog.DiscardHandler)}
	t.Cleanup(h.close)
	return h, other
}

// cheap is a verifier that costs little, of the secret "right".
func cheap(t *testing.T) string {
	t.Helper()
	p := phc{variant: variantID, memory: 64, time: 1, threads: 1, salt: make([]byte, saltBytes), hash: make([]byte, hashBytes)}
	p.hash = p.of("right")
	return p.String()
}

func TestHashesOfAnotherProcessAreThoseOfThisOne(t *testing.T) {
	h, other := hashing(t, func(c net.Conn) {
		if err := serveHashes(c, c); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
	verifier := cheap(t)
	var callers sync.WaitGroup
	for i := range 32 {
		callers.Go(func() {
			secret := []string{"right", "wrong", "\xff\x00not text"}[i%3]
			done, err := h.compute(slowHash{Verifier: verifier, Secret: []byte(secret)})
			if err != nil || done.Fits != (secret == "right") {
				t.Errorf("%q: %v, %v", secret, done.Fits, err)
			}
			made, err := h.compute(slowHash{Make: true, Verifier: verifier, Secret: []byte(secret)})
			p, _ := parsePHC(verifier)
			if err != nil || string(made.Hash) != string(p.of(secret)) {
				t.Errorf("%q: %x, %v", secret, made.Hash, err)
			}
		})
	}
	callers.Wait()
	if n := other.started.Load(); n != 1 {
		t.Errorf("%d processes", n)
	}
}

// A process that ends takes with it what it was computing, which is an outage and no wrong password; the next hash starts another.
func TestAHashProcessThatEndsIsAnOutageAndIsReplaced(t *testing.T) {
	dies := true
	h, other := hashing(t, func(c net.Conn) {
		if dies {
			dies = false
			_, _ = c.Read(make([]byte, 10))
			return
		}
		_ = serveHashes(c, c)
	})
	if _, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")}); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")})
	if err != nil || !done.Fits || other.started.Load() != 2 {
		t.Errorf("got %v, %v; %d processes", done.Fits, err, other.started.Load())
	}
}

// On a machine so busy that what gives way gets no turn, a hash is late and not lost. A process that never answers is ended.
func TestAHashThatGetsNoTurnElsewhereIsComputedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, other := hashing(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		for secret, fits := range map[string]bool{"right": true, "wrong": false} {
			began := time.Now()
			done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte(secret)})
			if took := time.Since(began); err != nil || done.Fits != fits || took != overdue {
				t.Errorf("%s after %v: %v, %v", secret, took, done.Fits, err)
			}
		}
		time.Sleep(longestHash - 2*overdue - time.Second)
		synctest.Wait()
		if other.ended.Load() != 0 {
			t.Error("ended while it may only be slow")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if other.ended.Load() != 1 {
			t.Error("kept although it hangs")
		}
	})
}

// Nor does anybody wait longer for a process that does not even read what it is to hash.
func TestAHashProcessThatReadsNothingHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		h, other := hashing(t, func(net.Conn) { <-over })
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				began := time.Now()
				done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")})
				if took := time.Since(began); err != nil || !done.Fits || took != overdue {
					t.Errorf("after %v: %v, %v", took, done.Fits, err)
				}
			})
		}
		callers.Wait()
		time.Sleep(2 * longestHash)
		if done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")}); err != nil || !done.Fits || other.started.Load() != 2 {
			t.Errorf("got %v, %v; %d processes", done.Fits, err, other.started.Load())
		}
	})
}

// A process that is given up for one hash that it never answered takes nothing from the others that wait for it then.
func TestWhatWaitsForAHashProcessThatIsGivenUpIsComputedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, other := hashing(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		compute := func() {
			if done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")}); err != nil || !done.Fits {
				t.Errorf("got %v, %v", done.Fits, err)
			}
		}
		compute()
		time.Sleep(longestHash - overdue - overdue/2)
		began := time.Now()
		compute()
		took := time.Since(began)
		synctest.Wait()
		if took != overdue/2 || other.ended.Load() != 1 {
			t.Errorf("after %v; %d processes have ended", took, other.ended.Load())
		}
	})
}

func TestAHashProcessThatIsLateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, other := hashing(t, func(c net.Conn) {
			time.Sleep(overdue + time.Second)
			_ = serveHashes(c, c)
		})
		for range 2 {
			if done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")}); err != nil || !done.Fits {
				t.Errorf("got %v, %v", done.Fits, err)
			}
			time.Sleep(2 * time.Second)
		}
		time.Sleep(longestHash)
		synctest.Wait()
		if other.started.Load() != 1 || other.ended.Load() != 0 {
			t.Errorf("%d processes, of which %d have ended", other.started.Load(), other.ended.Load())
		}
		time.Sleep(hashesIdle)
		synctest.Wait()
		if other.ended.Load() != 1 {
			t.Error("kept without work")
		}
	})
}

func TestAHashProcessWithoutWorkIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, other := hashing(t, func(c net.Conn) { _ = serveHashes(c, c) })
		compute := func() {
			if done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")}); err != nil || !done.Fits {
				t.Errorf("got %v, %v", done.Fits, err)
			}
		}
		compute()
		time.Sleep(hashesIdle - time.Second)
		compute()
		time.Sleep(hashesIdle - time.Second)
		synctest.Wait()
		if other.ended.Load() != 0 {
			t.Error("ended while it was used")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if other.ended.Load() != 1 {
			t.Error("kept without work")
		}
		compute()
		if other.started.Load() != 2 {
			t.Errorf("%d processes", other.started.Load())
		}
	})
}

// Where no process can be started, hashes are computed here, and the log says so once.
func TestWithoutAHashProcessHashesAreComputedHere(t *testing.T) {
	var log strings.Builder
	h := &hashers{
		open:   func() (io.ReadWriteCloser, error) { return nil, errors.New("no processes here") },
		logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	for range 2 {
		if done, err := h.compute(slowHash{Verifier: cheap(t), Secret: []byte("right")}); err != nil || !done.Fits {
			t.Errorf("got %v, %v", done.Fits, err)
		}
	}
	if strings.Count(log.String(), "no processes here") != 1 {
		t.Errorf("got %q", log.String())
	}
}

// What asks to be hashed comes from the node; what else comes ends the process, or is left without an answer.
func TestServeHashesAnswersOnlyWhatItCanRead(t *testing.T) {
	var out strings.Builder
	in := `{"id":1,"verifier":"$argon2id$v=19$m=99999999,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA","secret":"YQ=="}
{"id":2,"make":true,"verifier":"$2a$04$abcdefghijklmnopqrstuuJcXkyTHaa3Hz2hyMXQsMJ1TnQAXEVKG","secret":"YQ=="}
{"id":3,`
	if err := serveHashes(strings.NewReader(in), &out); err == nil || !strings.Contains(err.Error(), "what to hash") {
		t.Errorf("got %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("answered %s", &out)
	}
}
