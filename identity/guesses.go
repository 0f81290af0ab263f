package identity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	// mergeEvery is how often a node writes down what it counted; a flood costs the store no more than mergeMost records each time.
	mergeEvery = time.Second
	mergeMost  = 200
	// mergeAttempts bounds the compare-and-swaps of one record.
	mergeAttempts = 4
)

// unmerged is one count on its way to the store.
type unmerged struct {
	id    string
	count *count
	// What it held when it was taken.
	fresh           int
	forgiven, reset bool
	last, success   time.Time
	name            string
}

func (t *throttle) id(level string, of digest) string {
	return t.title + "/" + level + "/" + hex.EncodeToString(of[:])
}

// take returns counts that the store does not have yet.
func (t *throttle) take() []unmerged {
	t.mu.Lock()
	defer t.mu.Unlock()
	var taken []unmerged
	for level, in := range map[string]map[digest]*count{"place": t.places, "name": t.names} {
		for of, c := range in {
			if len(taken) == mergeMost {
				return taken
			}
			if c.fresh == 0 && !c.forgiven && !c.reset {
				continue
			}
			u := unmerged{
				id: t.id(level, of), count: c, fresh: c.fresh, forgiven: c.forgiven, reset: c.reset, last: c.last, success: c.success,
			}
			if level == "place" {
				u.name = hex.EncodeToString(c.name[:])
			}
			taken = append(taken, u)
		}
	}
	return taken
}

// merge adds what was counted here to what the store has, and takes the sum.
func (t *throttle) merge(ctx context.Context, store storage.Store) error {
	var errs []error
	for _, u := range t.take() {
		sum, err := u.write(ctx, store)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.mu.Lock()
		// What was counted while the record was written goes on top. A success meanwhile stands.
		if u.count.fresh >= u.fresh && (!u.count.reset || u.reset) {
			u.count.reset = false
			u.count.fresh -= u.fresh
			u.count.failures = sum.Failures + u.count.fresh
			u.count.forgiven = u.count.forgiven && !u.forgiven
			if sum.LastAt.After(u.count.last) {
				u.count.last = sum.LastAt
			}
			if sum.SuccessAt.After(u.count.success) {
				u.count.success = sum.SuccessAt
			}
		}
		t.mu.Unlock()
	}
	return errors.Join(errs...)
}

// write is one compare-and-swap, tried again where another node was faster.
func (u *unmerged) write(ctx context.Context, store storage.Store) (*storage.Guesses, error) {
	for range mergeAttempts {
		record, err := storage.Get[storage.Guesses](ctx, store, u.id)
		found := err == nil
		switch {
		case errors.Is(err, storage.ErrNotFound):
			record = &storage.Guesses{Meta: storage.Meta{ID: u.id}}
		case err != nil:
			return nil, fmt.Errorf("read failed attempts: %w", err)
		}
		record.Name = u.name
		if u.forgiven || u.reset {
			record.Failures = 0
		}
		if u.reset {
			record.SuccessAt = time.Time{}
		}
		record.Failures += u.fresh
		if u.last.After(record.LastAt) {
			record.LastAt = storage.Time(u.last)
		}
		if u.success.After(record.SuccessAt) {
			record.SuccessAt = storage.Time(u.success)
		}
		record.ExpiresAt = record.LastAt.Add(forgetAfter)
		if proven := record.SuccessAt.Add(provenFor); !record.SuccessAt.IsZero() && proven.After(record.ExpiresAt) {
			record.ExpiresAt = proven
		}
		if found {
			err = store.Update(ctx, record)
		} else {
			err = store.Insert(ctx, record)
		}
		switch {
		case err == nil:
			return record, nil
		case !errors.Is(err, storage.ErrStale) && !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("write failed attempts: %w", err)
		}
	}
	return nil, fmt.Errorf("write failed attempts: %w: they keep changing", storage.ErrUnavailable)
}

// load takes in what the store has, so that a restart forgives nobody.
func (t *throttle) load(ctx context.Context, store storage.Reader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.recount()
	q := storage.Query{Limit: loadPage, After: t.title + "/"}
	for {
		page, err := storage.List[storage.Guesses](ctx, store, q)
		if err != nil {
			return err
		}
		for _, record := range page {
			q.After = record.ID
			rest, ours := strings.CutPrefix(record.ID, t.title+"/")
			if !ours {
				return nil
			}
			level, text, _ := strings.Cut(rest, "/")
			in := map[string]map[digest]*count{"place": t.places, "name": t.names}[level]
			var of digest
			raw, err := hex.DecodeString(text)
			if err != nil || len(raw) != len(of) || in == nil {
				return fmt.Errorf("the record %q counts nothing that is known", record.ID)
			}
			copy(of[:], raw)
			if c := room(in, of); c != nil {
				*c = count{failures: record.Failures, last: record.LastAt, success: record.SuccessAt}
				if name, err := hex.DecodeString(record.Name); err == nil && len(name) == len(c.name) {
					copy(c.name[:], name)
				}
			}
		}
		if len(page) < loadPage {
			return nil
		}
	}
}
