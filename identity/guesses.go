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
	counted
	id    string
	count *count
	// What it held when it was taken. looks says that there is nothing to write: the store may know better.
	fresh                  int
	forgiven, reset, faint bool
	looks                  bool
	since, last, success   time.Time
	name                   string
	// resetAt is when its name began anew.
	resetAt time.Time
}

func (t *throttle) id(e counted) string {
	return t.title + "/" + e.level + "/" + hex.EncodeToString(e.of[:])
}

// unwritten returns counts that the store does not have yet, or may know better, names before the rest: they say what counts no more.
// Whoever must wait for his failures comes first, so that a flood of names hides him from no other node.
func (t *throttle) unwritten() []unmerged {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names, rest []unmerged
	for _, from := range []struct {
		counts map[counted]struct{}
		least  int // failures
	}{{t.changed, freeGuesses}, {t.changed, 0}, {t.asked, 0}, {t.welcomed, 0}} {
		for e := range from.counts {
			if len(names)+len(rest) == mergeMost {
				break
			}
			if c := t.level(e.level)[e.of]; c != nil && c.failures < from.least {
				continue
			}
			delete(t.changed, e)
			delete(t.asked, e)
			delete(t.welcomed, e) // once is enough: what is taken twice is added twice
			c := t.level(e.level)[e.of]
			if c == nil {
				continue
			}
			u := unmerged{
				counted: e, id: t.id(e), count: c, fresh: c.fresh, forgiven: c.forgiven, reset: c.reset, faint: c.faint,
				since: c.since, last: c.last, success: c.success, resetAt: c.resetAt,
			}
			u.looks = e.level != levelOwner && c.fresh == 0 && !c.forgiven && !c.reset
			if e.level == levelName {
				names = append(names, u)
				continue
			}
			u.name = hex.EncodeToString(c.name[:])
			rest = append(rest, u)
		}
	}
	return append(names, rest...)
}

// merge adds what was counted here to what the store has, and takes the sum.
func (t *throttle) merge(ctx context.Context, store storage.Store) error {
	var errs []error
	for _, u := range t.unwritten() {
		if u.level == levelPlace {
			t.mu.Lock()
			if name := t.names[u.count.name]; name != nil && name.resetAt.After(u.resetAt) {
				u.resetAt = name.resetAt
			}
			t.mu.Unlock()
		}
		sum, err := u.write(ctx, store)
		t.mu.Lock()
		if err != nil {
			errs = append(errs, err)
			if !u.looks {
				t.changed[u.counted] = struct{}{}
			}
		} else {
			t.settle(&u, sum)
		}
		t.mu.Unlock()
	}
	return errors.Join(errs...)
}

// settle takes in what the store has. What was counted while the record was written goes on top. A success meanwhile stands.
func (t *throttle) settle(u *unmerged, sum *storage.Guesses) {
	c := u.count
	if u.level == levelName && sum.ResetAt.After(c.resetAt) {
		c.resetAt = sum.ResetAt
		t.begin(u.of, c, sum.ResetAt, false)
	}
	if u.faint && c.faint && sum.Version == 0 && c.failures == 0 {
		delete(t.names, u.of)
		return
	}
	if c.fresh < u.fresh || c.reset && (!u.reset || c.resetAt.After(u.resetAt)) {
		return
	}
	c.reset, c.faint = false, false
	c.fresh -= u.fresh
	c.failures = sum.Failures + c.fresh
	c.forgiven = c.forgiven && !u.forgiven
	if !sum.Since.IsZero() {
		c.since = sum.Since
	}
	if sum.LastAt.After(c.last) {
		c.last = sum.LastAt
	}
	if sum.SuccessAt.After(c.success) {
		c.success = sum.SuccessAt
	}
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
		u.addTo(record)
		switch {
		case u.looks || u.faint && !found && u.fresh == 0:
			return record, nil
		case found:
			err = store.Update(ctx, record)
		default:
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

func (u *unmerged) addTo(record *storage.Guesses) {
	record.Name = u.name
	if u.forgiven || u.reset || u.level == levelPlace && record.Since.Before(storage.Time(u.resetAt)) {
		record.Failures = 0
	}
	if record.Failures == 0 {
		record.Since = storage.Time(u.since)
	}
	record.Failures += u.fresh
	record.LastAt = latest(record.LastAt, u.last)
	record.SuccessAt = latest(record.SuccessAt, u.success)
	if u.level == levelName {
		record.ResetAt = latest(record.ResetAt, u.resetAt)
	}
	record.ExpiresAt = record.LastAt.Add(forgetAfter)
	for _, kept := range []time.Time{record.SuccessAt, record.ResetAt} {
		if !kept.IsZero() {
			record.ExpiresAt = latest(record.ExpiresAt, kept.Add(provenFor))
		}
	}
}

func latest(stored, at time.Time) time.Time {
	if at.After(stored) {
		return storage.Time(at)
	}
	return stored
}

// load takes in what the store has, so that a restart forgives nobody.
func (t *throttle) load(ctx context.Context, store storage.Reader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.recount()
	resets := map[digest]time.Time{}
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
			of, ok := digestOf(text)
			if !ok || t.level(level) == nil {
				return fmt.Errorf("the record %q counts nothing that is known", record.ID)
			}
			t.know(counted{level, of}, record, resets)
		}
		if len(page) < loadPage {
			return nil
		}
	}
}

// know takes in one record. Those of names come first, in the order of the ids, and say what of the others counts no more.
func (t *throttle) know(e counted, record *storage.Guesses, resets map[digest]time.Time) {
	c := &count{
		failures: record.Failures, since: record.Since, last: record.LastAt, success: record.SuccessAt, resetAt: record.ResetAt,
	}
	c.name, _ = digestOf(record.Name)
	switch began := resets[c.name]; e.level {
	case levelName:
		if !record.ResetAt.IsZero() {
			resets[e.of] = record.ResetAt
		}
		switch {
		case c.failures > 0 && len(t.names) >= maxCounts:
			*t.sharedNames.of(e.of) = sharedCount{c.failures, c.last}
		case c.failures > 0 || t.now().Sub(c.resetAt) <= forgetAfter:
			t.names[e.of] = c
		}
	case levelOwner:
		if t.proves && !record.SuccessAt.Before(began) {
			t.admitOwner(c.name, e.of).success = c.success
		}
	case levelPlace:
		switch {
		case record.Since.Before(began) || c.failures == 0:
		case len(t.places) >= maxCounts:
			*t.sharedPlaces.of(e.of) = sharedCount{c.failures, c.last}
		default:
			t.places[e.of] = c
			if name := room(t.names, c.name); name != nil { // one that succeeded elsewhere has no failures of its own, and its places
				name.last = latest(name.last, c.last)
				name.places = append(name.places, e.of)
			}
		}
	}
}

func digestOf(text string) (of digest, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(of) {
		return digest{}, false
	}
	copy(of[:], raw)
	return of, true
}
