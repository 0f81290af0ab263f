package mongo

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnEndIsAskedForUntilItIsAnswered: again and again at growing intervals, no longer than the server keeps the transaction, and no
// longer than the store is open.
func TestAnEndIsAskedForUntilItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, row := range map[string]struct {
			answer, hang bool
			close        time.Duration
			fewest, most int
			until        time.Duration
		}{
			"the third time is answered":  {answer: true, fewest: 3, most: 3, until: endPause + 2*endPause + 4*endPause},
			"nothing is ever answered":    {fewest: 20, most: 40, until: endWithin},
			"nothing ever comes back":     {hang: true, fewest: 14, most: 20, until: endWithin},
			"the store is closed":         {close: time.Second, fewest: 4, most: 5, until: time.Second},
			"the store is closed at once": {close: 1, until: 1},
		} {
			e, asked := newEndings(t.Context()), 0
			over := make(chan struct{})
			began := time.Now()
			e.follow(func(ctx context.Context) bool {
				asked++
				if row.hang {
					<-ctx.Done()
				}
				return row.answer && asked == 3
			}, func() { close(over) })
			if row.close > 0 {
				time.Sleep(row.close)
				e.close()
			}
			<-over
			if took := time.Since(began); asked < row.fewest || asked > row.most || took != row.until {
				t.Errorf("%s: asked %d times in %s, want %d to %d in %s", name, asked, took, row.fewest, row.most, row.until)
			}
			e.close()
		}
	}) // fails if anything is left running
}

func TestOnlySoManyEndsAreAskedForAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, over := newEndings(t.Context()), 0
		answered := false
		for range endsAtOnce {
			e.follow(func(context.Context) bool { return answered }, func() {})
		}
		e.follow(func(context.Context) bool { t.Error("one too many is asked for"); return true }, func() { over++ })
		if over != 1 {
			t.Error("one too many is not let go of")
		}
		answered = true
		time.Sleep(endPauseMost)
		synctest.Wait()
		e.follow(func(context.Context) bool { return true }, func() { over++ })
		time.Sleep(endPauseMost)
		synctest.Wait()
		if over != 2 {
			t.Error("there is no room when the others are over")
		}
		e.close()
		e.follow(func(context.Context) bool { t.Error("a closed store asks"); return true }, func() { over++ })
		if over != 3 {
			t.Error("a closed store does not let go")
		}
	})
}
