package mongo

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/writ-authz/writ/storage"
)

// TestACommitIsLetGoOfOnlyWhereTheStoreIsAway: a caller who has gone hears nothing, so what was sent is followed to its end; but nobody
// waits for a store that is known to be away.
func TestACommitIsLetGoOfOnlyWhereTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan error)
		run := func() error { return <-answer }
		for name, row := range map[string]struct {
			cause error
			waits bool
		}{
			"the caller has gone": {context.Canceled, true},
			"the store is away":   {errors.Join(errors.New("away"), storage.ErrUnavailable), false},
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			got := make(chan error, 1)
			go func() { got <- unlessAway(ctx, run) }()
			synctest.Wait()
			if len(got) != 0 {
				t.Errorf("%s: it does not wait for an answer", name)
			}
			cancel(row.cause)
			synctest.Wait()
			if waits := len(got) == 0; waits != row.waits {
				t.Errorf("%s: it waits: %v", name, waits)
			}
			answer <- nil // of the server, in the end
			if err := <-got; row.waits && err != nil || !row.waits && !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

func TestAPrimaryIsWaitedForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPrimary()
		if p.await(t.Context()) {
			t.Error("there is none, and nobody says so")
		}
		go func() { p.set(true) }()
		if !p.await(t.Context()) {
			t.Error("one that is found in time counts")
		}
		p.set(true)
		p.set(false)
		p.set(false)
		if p.await(t.Context()) {
			t.Error("it is lost, and nobody says so")
		}
		p.set(true)
		if !p.await(t.Context()) {
			t.Error("it is back, and nobody says so")
		}
	})
}
