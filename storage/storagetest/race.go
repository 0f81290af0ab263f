package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/writ-authz/writ/storage"
)

const (
	racers = 16
	rounds = 4
)

func races() []property {
	return []property{
		{"of many updates of one version one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), item("a")))
			for round := range int64(rounds) {
				winner := race(t, storage.ErrStale, func(n int) error {
					a := item("a")
					a.Version, a.Colour = round+1, fmt.Sprint(n)
					return store.Update(t.Context(), a)
				})
				if got := read(t, store, "a"); got.Version != round+2 || got.Colour != fmt.Sprint(winner) {
					t.Errorf("got version %d of racer %s, want %d of %d", got.Version, got.Colour, round+2, winner)
				}
			}
		}},
		{"of many inserts of one id one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			for round := range rounds {
				id := fmt.Sprint(round)
				winner := race(t, storage.ErrConflict, func(n int) error {
					return store.Insert(t.Context(), tagged(id, fmt.Sprint(n)))
				})
				if got := read(t, store, id); got.Colour != fmt.Sprint(winner) {
					t.Errorf("got the record of racer %s, want %d", got.Colour, winner)
				}
			}
		}},
		{"of many inserts of one unique value one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			for round := range rounds {
				name := fmt.Sprint("name", round)
				winner := race(t, storage.ErrConflict, func(n int) error {
					return store.Insert(t.Context(), named(fmt.Sprint(round, "-", n), name))
				})
				found, err := storage.Lookup[Item](t.Context(), store, "name", name)
				must(t, err)
				if found.ID != fmt.Sprint(round, "-", winner) {
					t.Errorf("%s is %s, want %d", name, found.ID, winner)
				}
			}
			if got := list(t, store, storage.Query{Limit: 100}); len(got) != rounds {
				t.Errorf("got %v", got)
			}
		}},
		{"of an update and a delete of one version one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			for round := range rounds {
				id := fmt.Sprint(round)
				must(t, store.Insert(t.Context(), item(id)))
				var wins, lost int
				for err := range contend(func(n int) error {
					if n%2 == 0 {
						return store.Delete(t.Context(), ItemKind, id, 1)
					}
					a := item(id)
					a.Version = 1
					return store.Update(t.Context(), a)
				}) {
					switch {
					case err == nil:
						wins++
					case errors.Is(err, storage.ErrStale), errors.Is(err, storage.ErrNotFound):
						lost++
					default:
						t.Error(err)
					}
				}
				if wins != 1 || lost != racers-1 {
					t.Errorf("%d won and %d lost", wins, lost)
				}
			}
		}},
		{"of many advances from one sequence one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			for round := range int64(rounds) {
				race(t, storage.ErrStale, func(n int) error {
					return store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
						if err := tx.Advance(ctx, round); err != nil {
							return err
						}
						return tx.Insert(ctx, guarded(fmt.Sprint(round, "-", n)))
					})
				})
				wantSequence(t, store, round+1)
			}
			wantDense(t, store, rounds)
		}},
		{"advances that retry all get through and the feed is dense", func(t *testing.T, s *suite) {
			store := s.store(t)
			for err := range contend(func(n int) error {
				for {
					err := change(t.Context(), store, func(tx storage.Tx) error {
						return tx.Insert(t.Context(), guarded(fmt.Sprint(n)))
					})
					if !errors.Is(err, storage.ErrStale) {
						return err
					}
				}
			}) {
				must(t, err)
			}
			wantSequence(t, store, racers)
			wantDense(t, store, racers)
		}},
		{"readers see whole transactions while others write", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), tagged("total", "0")))
			const writes = 20
			done := make(chan struct{})
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						records, err := storage.List[Item](t.Context(), store, storage.Query{Limit: 100})
						if err != nil {
							t.Error(err)
							return
						}
						if total := records[len(records)-1]; total.Colour != fmt.Sprint(len(records)-1) {
							t.Errorf("read %d records and a total of %s", len(records)-1, total.Colour)
							return
						}
					}
				})
			}
			for n := range writes {
				must(t, store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
					total, err := storage.Get[Item](ctx, tx, "total")
					if err != nil {
						return err
					}
					total.Colour = fmt.Sprint(n + 1)
					return errors.Join(tx.Insert(ctx, item(fmt.Sprintf("%03d", n))), tx.Update(ctx, total))
				}))
			}
			close(done)
			readers.Wait()
		}},
	}
}

// contend runs attempt at once for each of the racers and returns their errors.
func contend(attempt func(n int) error) <-chan error {
	errs := make(chan error, racers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for n := range racers {
		all.Go(func() {
			<-start
			errs <- attempt(n)
		})
	}
	close(start)
	all.Wait()
	close(errs)
	return errs
}

// race demands that one attempt succeeds and all others fail with lost, and returns the winner.
func race(t *testing.T, lost error, attempt func(n int) error) (winner int) {
	t.Helper()
	won := make(chan int, racers)
	for err := range contend(func(n int) error {
		err := attempt(n)
		if err == nil {
			won <- n
		}
		return err
	}) {
		if err != nil && !errors.Is(err, lost) {
			t.Errorf("a racer lost with %v, want %v", err, lost)
		}
	}
	if len(won) != 1 {
		t.Fatalf("%d racers won", len(won))
	}
	return <-won
}

// wantDense demands the changes 1 to last, each with one item.
func wantDense(t *testing.T, store storage.Store, last int) {
	t.Helper()
	changes, err := store.Changes(t.Context(), 0, last+10)
	must(t, err)
	if len(changes) != last {
		t.Fatalf("the feed has %d changes, want %d", len(changes), last)
	}
	for n, c := range changes {
		if c.Sequence != int64(n+1) || len(c.Items) != 1 {
			t.Errorf("change %d is %+v", n+1, c)
		}
	}
}
