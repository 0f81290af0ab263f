package e2e

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// TestDegradedKill9 kills a node at random points while workers write to it, over and over: every acknowledged write is there, once; no bulk
// operation is half there; the histories of objects are those of single objects; the audit has each of them and verifies. How long a node
// takes from its start to readiness is printed.
func TestDegradedKill9(t *testing.T) {
	acknowledged, every := 80, 20
	if long() {
		acknowledged, every = 1000, 40
	}
	t.Logf("%d operations; %s=1 makes it 1000", acknowledged, longVariable)
	seed := seeded(t)
	o := Options{}
	if suite.store == "mongo" {
		o.Among = newCluster(impatient(t))
	}
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLedger()
	l.mortal = true
	s := fresh(t, o)
	var starts []time.Duration
	for kills := 0; l.acknowledged() < acknowledged; kills++ {
		until := l.acknowledged() + 1 + random.IntN(every)
		var over atomic.Bool
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			for begun := time.Now(); l.acknowledged() < until && time.Since(begun) < bindsWithin; {
				time.Sleep(time.Millisecond)
			}
			s.Kill()
			over.Store(true)
		}()
		l.work(t, []*Server{s}, 6, seed+uint64(kills), over.Load)
		<-killed
		if l.acknowledged() < until {
			t.Fatalf("the node acknowledged too little: %v", l.statuses)
		}
		began := time.Now()
		s = fresh(t, Options{From: s})
		starts = append(starts, time.Since(began))
		s.guests = true // requests that were decided and cut off
	}
	settle(t, []*Server{s})
	got := l.audit(t, s)
	report := auditVerifies(t, []*Server{s})
	if len(report.Chains) < len(starts)+1 {
		t.Errorf("%d chains after %d kills", len(report.Chains), len(starts))
	}
	if got.unknown+got.uncertain == 0 || l.statuses[0] == 0 {
		t.Errorf("no kill struck a request: %v", l.statuses)
	}
	figure(t, "kill -9 while objects are written", "%d kills over %d acknowledged writes: %d lost, %d done twice; %d bulk deletions, %d half-applied; "+
		"%d histories of %d requests (%d of unknown outcome), all linearizable; %d chains verify; start to ready: %s", len(starts), len(l.decisions),
		got.lost, got.doubled, got.bulks, got.half, got.histories, got.operations, got.unknown, len(report.Chains), spread(starts))
}
