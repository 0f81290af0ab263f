package mongo

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
)

// knownWithin is how long a primary may be unknown and still count as there: one connection that is lost makes the driver ask its server
// anew, which it does twice a second at most.
const knownWithin = 700 * time.Millisecond

// primary says whether the driver knows of a primary now. The driver hears of a server that is gone from whichever connection finds out first.
type primary struct {
	mu sync.Mutex
	// known is closed while there is a primary.
	known chan struct{}
	there bool
}

func newPrimary() *primary { return &primary{known: make(chan struct{})} }

// monitor is what the driver tells.
func (p *primary) monitor() *event.ServerMonitor {
	return &event.ServerMonitor{TopologyDescriptionChanged: func(e *event.TopologyDescriptionChangedEvent) {
		there := false
		for _, server := range e.NewDescription.Servers {
			there = there || server.Kind == "RSPrimary"
		}
		p.set(there)
	}}
}

func (p *primary) set(there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case there && !p.there:
		close(p.known)
	case !there && p.there:
		p.known = make(chan struct{})
	}
	p.there = there
}

// await says whether a primary is known before a while has passed, or ctx is done: then nobody asks any more.
func (p *primary) await(ctx context.Context) bool {
	p.mu.Lock()
	known := p.known
	p.mu.Unlock()
	limit := time.NewTimer(knownWithin)
	defer limit.Stop()
	select {
	case <-known:
		return true
	case <-ctx.Done():
		return true
	case <-limit.C:
		return false
	}
}
