package storagetest

import (
	"context"
	"testing"

	"github.com/writ-authz/writ/storage"
)

func TestFeedFindsWhatIsWrong(t *testing.T) {
	wrong := faults()
	for name, maker := range map[string]func() *fault{
		"commits what was aborted": wrong["commits what was aborted"],
		"skips a change": func() *fault {
			return feeding(func(c *storage.Change) {
				if c.Sequence >= 7 {
					c.Sequence++
				}
			})
		},
		"repeats a change": func() *fault {
			f := &fault{}
			f.changes = func(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
				return f.store.Changes(ctx, after-after%7/6, limit)
			}
			return f
		},
		"loses an item of a change": func() *fault {
			return feeding(func(c *storage.Change) {
				if c.Sequence == 7 {
					c.Items = c.Items[1:]
				}
			})
		},
		"names a record before it can be read": func() *fault {
			return feeding(func(c *storage.Change) { c.Items[0].ID += "-not-yet" })
		},
		"ends before the end": func() *fault {
			f := &fault{}
			f.changes = func(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
				if after >= 7 {
					return nil, nil
				}
				return f.store.Changes(ctx, after, 1)
			}
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			store := faulty(maker)(t, Kinds(), clock.Now)
			l := &ledger{}
			l.run(t.Context(), store, store, clock.Now)
			if len(l.findings) == 0 {
				t.Error("nothing was found")
			}
			for _, finding := range l.findings[:min(1, len(l.findings))] {
				t.Log(finding)
			}
		})
	}
}
