package mongo

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/writ-authz/writ/storage"
)

// A transaction whose end was lost on the way holds what it has written, the authority document mostly, against everybody until the
// server gives it up by itself. So its end is asked for until the server answers: for as long as MongoDB keeps transactions unless it is
// told otherwise, at growing intervals, and for so many at once.
const (
	endWithin    = time.Minute
	endPause     = 50 * time.Millisecond
	endPauseMost = 2 * time.Second
	endsAtOnce   = 100
)

// endings are the ends of transactions that are asked for in the background.
type endings struct {
	mu      sync.Mutex
	closed  bool
	running int
	all     sync.WaitGroup
	// life ends with close.
	life context.Context
	end  context.CancelFunc
}

func newEndings(ctx context.Context) *endings {
	e := &endings{}
	e.life, e.end = context.WithCancel(context.WithoutCancel(ctx))
	return e
}

// follow asks until there is an answer, and calls then in any case. It returns at once; where there are too many already, or the store is
// closed, it only calls then.
func (e *endings) follow(ask func(ctx context.Context) (answered bool), then func()) {
	e.mu.Lock()
	taken := !e.closed && e.running < endsAtOnce
	if taken {
		e.running++
		e.all.Add(1)
	}
	e.mu.Unlock()
	if !taken {
		then()
		return
	}
	go func() {
		defer e.all.Done()
		defer then()
		e.insist(ask)
		e.mu.Lock()
		e.running--
		e.mu.Unlock()
	}()
}

// insist asks again and again.
func (e *endings) insist(ask func(ctx context.Context) (answered bool)) {
	within, cancel := context.WithTimeout(e.life, endWithin)
	defer cancel()
	for pause := endPause; ; pause = min(2*pause, endPauseMost) {
		select {
		case <-time.After(pause):
		case <-within.Done():
			return
		}
		each, cancel := context.WithTimeout(within, selectWithin)
		answered := ask(each)
		cancel()
		if answered {
			return
		}
	}
}

// close stops asking and returns when nobody asks any more.
func (e *endings) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.end()
	e.all.Wait()
}

// finish asks for the end of a transaction and returns what came of it. Nobody is kept waiting by a store that is away; and what is not
// answered is asked for again in the background.
func (s *Store) finish(ctx context.Context, session *mongo.Session, ask func(ctx context.Context) error, answered func(error) bool) error {
	lasting := context.WithoutCancel(ctx)
	over := func() {
		// The driver would ask once more on its own. With a context that is done it does not.
		done, cancel := context.WithCancel(lasting)
		cancel()
		session.EndSession(done)
	}
	return unlessAway(ctx, func() error {
		err := ask(lasting)
		if answered(err) {
			over()
		} else {
			s.endings.follow(func(ctx context.Context) bool { return answered(ask(ctx)) }, over)
		}
		if err != nil {
			return failed(lasting, err)
		}
		return nil
	})
}

// commit asks for the commit a few times. ctx must not end with the caller: a commit that was sent may have taken place.
func commit(ctx context.Context, session *mongo.Session) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for range commits {
		err = session.CommitTransaction(ctx)
		var labelled mongo.LabeledError
		if err == nil || !errors.As(err, &labelled) || !labelled.HasErrorLabel(unknownCommit) {
			break
		}
	}
	return err
}

// committed says whether the server has answered a commit: with anything but that it does not know.
func committed(err error) bool {
	answer := refusal(err)
	return err == nil || answer != nil && !answer.HasErrorLabel(unknownCommit)
}

// abort gives a transaction up. The driver's own AbortTransaction keeps to itself whether the server has heard of it.
func abort(ctx context.Context, session *mongo.Session) (err error) {
	ctx, cancel := context.WithTimeout(mongo.NewSessionContext(ctx, session), callTimeout)
	defer cancel()
	for range aborts {
		err = session.Client().Database("admin").RunCommand(ctx, bson.D{{Key: "abortTransaction", Value: 1}}).Err()
		if aborted(err) || ctx.Err() != nil {
			break
		}
	}
	return err
}

// aborted says whether a transaction that was given up is known to be over: the server has ended it now or before.
func aborted(err error) bool {
	answer := refusal(err)
	return err == nil || answer != nil &&
		(answer.HasErrorCode(codeNoSuchTransaction) || answer.HasErrorCode(codeTransactionTooOld) || answer.HasErrorCode(codeTransactionCommitted))
}

// unlessAway runs to its end what goes on after its caller has gone, and waits for it unless ctx was ended because the store is away: then
// it is an outage at once, and what comes of it nobody is told.
func unlessAway(ctx context.Context, run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), storage.ErrUnavailable) {
		return ended(ctx)
	}
	return <-done
}
