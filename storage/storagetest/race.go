package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

const (
	racers = 16
	// briefRounds are what Run and -short have time for, wholeRounds what Race runs.
	briefRounds = 10
	wholeRounds = 300
)

// Race runs each race of the suite for many rounds. With -short it runs as few as Run does, and says so.
func Race(t *testing.T, open Factory) {
	t.Helper()
	s := &suite{open: open, rounds: wholeRounds}
	if testing.Short() {
		s.rounds = briefRounds
		t.Logf("-short: %d rounds instead of %d", briefRounds, wholeRounds)
	}
	t.Logf("%d racers, %d rounds of each race", racers, s.rounds)
	for _, p := range races() {
		t.Run(p.name, func(t *testing.T) { p.holds(t, s) })
	}
}

func races() []property {
	return slices.Concat(swaps(), uniqueInserts(), contests(), bumps())
}

// swaps are races of compare-and-swaps of one record.
func swaps() []property {
	return []property{
		{"of many updates of one version one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), item("a")))
			for round := range int64(s.rounds) {
				records := each(func(n int) *Item { return tagged("a", fmt.Sprint(round, "-", n)) })
				winner := race(t, func(n int) error {
					records[n].Version = round + 1
					return store.Update(t.Context(), records[n])
				}, storage.ErrStale)
				for n, r := range records {
					if n != winner && r.Version != round+1 {
						t.Errorf("round %d: the refused update made version %d", round, r.Version)
					}
				}
				wantStored(t, store, records[winner])
			}
		}},
		{"of an update and a delete of one version one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			for round := range s.rounds {
				id := fmt.Sprint(round)
				must(t, store.Insert(t.Context(), named(id, "name")))
				records := each(func(n int) *Item { return named(id, fmt.Sprint("name-", n)) })
				winner := race(t, func(n int) error {
					if n%2 == 0 {
						return store.Delete(t.Context(), ItemKind, id, 1)
					}
					records[n].Version = 1
					return store.Update(t.Context(), records[n])
				}, storage.ErrStale, storage.ErrNotFound)
				if winner%2 == 0 {
					wantError(t, store.Get(t.Context(), new(Item), id), storage.ErrNotFound)
				} else {
					wantStored(t, store, records[winner])
				}
				// Whoever won, the name that the record had is free.
				wantError(t, store.Lookup(t.Context(), new(Item), "name", "name"), storage.ErrNotFound)
				if winner%2 != 0 {
					must(t, store.Delete(t.Context(), ItemKind, id, 2))
				}
			}
		}},
		{"of many updates to one unique value one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			records := each(func(n int) *Item { return named(fmt.Sprintf("%02d", n), fmt.Sprint("first-", n)) })
			for _, r := range records {
				must(t, store.Insert(t.Context(), r))
			}
			for round := range s.rounds {
				name := fmt.Sprint("name-", round)
				before := each(func(n int) string { return *records[n].Name })
				winner := race(t, func(n int) error {
					records[n].Name = &name
					return store.Update(t.Context(), records[n])
				}, storage.ErrConflict)
				for n, r := range records {
					if n != winner {
						r.Name = &before[n]
					}
					wantStored(t, store, r)
				}
				found, err := storage.Lookup[Item](t.Context(), store, "name", name)
				must(t, err)
				if found.ID != records[winner].ID {
					t.Errorf("%s is %s, want %s", name, found.ID, records[winner].ID)
				}
				wantError(t, store.Lookup(t.Context(), new(Item), "name", before[winner]), storage.ErrNotFound)
			}
		}},
		{"updates that retry are all counted", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), item("a")))
			times := 1 + s.rounds/racers
			for err := range contend(func(n int) error {
				for done := 0; done < times; {
					a, err := storage.Get[Item](t.Context(), store, "a")
					if err != nil {
						return err
					}
					a.Parts = append(a.Parts, Part{Text: fmt.Sprint(n, "-", done)})
					switch err := store.Update(t.Context(), a); {
					case err == nil:
						done++
					case !errors.Is(err, storage.ErrStale):
						return err
					}
				}
				return nil
			}) {
				must(t, err)
			}
			a := read(t, store, "a")
			seen := map[string]bool{}
			for _, part := range a.Parts {
				seen[part.Text] = true
			}
			if want := racers * times; a.Version != int64(want+1) || len(a.Parts) != want || len(seen) != want {
				t.Errorf("version %d with %d parts, %d of them distinct; want %d updates", a.Version, len(a.Parts), len(seen), want)
			}
		}},
		{"of many rotations of one session one wins and the others read its head", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			must(t, store.Insert(t.Context(), &storage.Session{
				Meta: storage.Meta{ID: "sid"}, Subject: "ada", Client: "app_a", ExpiresAt: clock.Now().Add(time.Hour),
			}))
			get := func() (*storage.Session, error) { return storage.Get[storage.Session](t.Context(), store, "sid") }
			for generation := range s.rounds {
				// All have read the same head before anyone rotates it. The user agent stands for the head.
				heads := each(func(int) *storage.Session {
					head, err := get()
					must(t, err)
					return head
				})
				seen := make([]*storage.Session, racers)
				winner := race(t, func(n int) error {
					heads[n].UserAgent = fmt.Sprintf("head %d of racer %d", generation, n)
					err := store.Update(t.Context(), heads[n])
					if errors.Is(err, storage.ErrStale) {
						var unread error
						if seen[n], unread = get(); unread != nil {
							return unread
						}
					}
					return err
				}, storage.ErrStale)
				var err error
				seen[winner], err = get()
				must(t, err)
				for n := range seen {
					if diff := cmp.Diff(heads[winner], seen[n]); diff != "" {
						t.Fatalf("generation %d: racer %d read another head than racer %d wrote: %s", generation, n, winner, diff)
					}
				}
			}
		}},
	}
}

// uniqueInserts are races for an id or a unique value.
func uniqueInserts() []property {
	return []property{
		{"of many inserts of one id one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			for round := range s.rounds {
				id := fmt.Sprint(round)
				records := each(func(n int) *Item { return tagged(id, fmt.Sprint(n)) })
				winner := race(t, func(n int) error { return store.Insert(t.Context(), records[n]) }, storage.ErrConflict)
				wantStored(t, store, records[winner])
			}
		}},
		{"of many inserts of one unique value one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			for round := range s.rounds {
				name := fmt.Sprint("name-", round)
				records := each(func(n int) *Item { return named(fmt.Sprint(round, "-", n), name) })
				winner := race(t, func(n int) error { return store.Insert(t.Context(), records[n]) }, storage.ErrConflict)
				wantSole(t, store, records, winner)
			}
			if got := list(t, store, storage.Query{Limit: 2 * s.rounds}); len(got) != s.rounds {
				t.Errorf("%d records are left of %d rounds", len(got), s.rounds)
			}
		}},
		{"of many inserts of a unique value whose holder is expired one wins", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			for round := range s.rounds {
				name := fmt.Sprint("name-", round)
				holder := named(fmt.Sprint(round, "-0"), name)
				holder.ExpiresAt = clock.Now().Add(time.Second)
				must(t, store.Insert(t.Context(), holder))
				clock.advance(time.Second)
				// Racer 0 wants the holder's id, too.
				records := each(func(n int) *Item { return named(fmt.Sprint(round, "-", n), name) })
				winner := race(t, func(n int) error { return store.Insert(t.Context(), records[n]) }, storage.ErrConflict)
				wantSole(t, store, records, winner)
			}
			if got := list(t, store, storage.Query{Limit: 2 * s.rounds}); len(got) != s.rounds {
				t.Errorf("%d records are left of %d rounds", len(got), s.rounds)
			}
		}},
		{"of many inserts of an id whose holder is expired one wins", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			for round := range s.rounds {
				holder := ending("a", clock.Now().Add(time.Second))
				must(t, store.Insert(t.Context(), holder))
				clock.advance(time.Second)
				records := each(func(n int) *Item { return tagged("a", fmt.Sprint(round, "-", n)) })
				winner := race(t, func(n int) error { return store.Insert(t.Context(), records[n]) }, storage.ErrConflict)
				wantStored(t, store, records[winner])
				wantError(t, store.Lookup(t.Context(), new(Item), "name", *holder.Name), storage.ErrNotFound)
				must(t, store.Delete(t.Context(), ItemKind, "a", 1))
			}
		}},
	}
}

// contests are races of transactions that decide on what they read.
func contests() []property {
	return []property{
		{"of the owners that all resign at once one stays", func(t *testing.T, s *suite) {
			store, clock := s.fresh(t)
			const owners = 3
			for round := range s.rounds {
				role := storage.RoleKey(fmt.Sprint("owner:", round))
				user := func(n int) string { return fmt.Sprint(round, "-", n%owners) }
				must(t, change(t.Context(), store, func(tx storage.Tx) error {
					for n := range owners {
						owner := &storage.User{Meta: storage.Meta{ID: user(n)}, UsernameKey: user(n), EmailKey: user(n)}
						owner.Roles = []storage.RoleKey{role}
						if err := tx.Insert(t.Context(), owner); err != nil {
							return err
						}
					}
					return nil
				}))
				resigned := 0
				for err := range contend(func(n int) error {
					return resign(t.Context(), store, role, user(n), clock.Now(), n%2 == 0)
				}) {
					switch {
					case err == nil:
						resigned++
					case !errors.Is(err, errLastOwner) && !errors.Is(err, errResigned):
						t.Error(err)
					}
				}
				left, err := usableOwners(t.Context(), store, role)
				must(t, err)
				if len(left) != 1 || resigned != owners-1 {
					t.Fatalf("round %d: of %d owners %d resigned and %d are left", round, owners, resigned, len(left))
				}
				wantSequence(t, store, int64((round+1)*owners)) // one change made them, the others are the resignations
			}
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

// bumps are races for the authority sequence.
func bumps() []property {
	return []property{
		{"of many advances from one sequence one wins", func(t *testing.T, s *suite) {
			store := s.store(t)
			var winners []string
			for round := range int64(s.rounds) {
				records := each(func(n int) *Guarded { return guarded(fmt.Sprint(round, "-", n)) })
				winner := race(t, func(n int) error {
					return store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
						if err := tx.Advance(ctx, round); err != nil {
							return err
						}
						return tx.Insert(ctx, records[n])
					})
				}, storage.ErrStale)
				wantSequence(t, store, round+1)
				winners = append(winners, records[winner].ID)
			}
			if diff := cmp.Diff(winners, dense(t, store, s.rounds)); diff != "" {
				t.Error("the feed has others than the winners:", diff)
			}
			stored, err := store.List(t.Context(), GuardedKind, storage.Query{Limit: 2 * s.rounds})
			must(t, err)
			if diff := cmp.Diff(slices.Sorted(slices.Values(winners)), ids(stored)); diff != "" {
				t.Error("the store has others than the winners:", diff)
			}
		}},
		{"advances that retry all get through and the feed is dense", func(t *testing.T, s *suite) {
			store := s.store(t)
			times := 1 + s.rounds/racers
			for err := range contend(func(n int) error {
				for round := range times {
					if err := persist(t.Context(), store, func(tx storage.Tx) error {
						return tx.Insert(t.Context(), guarded(fmt.Sprint(n, "-", round)))
					}); err != nil {
						return err
					}
				}
				return nil
			}) {
				must(t, err)
			}
			wantSequence(t, store, int64(racers*times))
			inFeed := slices.Sorted(slices.Values(dense(t, store, racers*times)))
			stored, err := store.List(t.Context(), GuardedKind, storage.Query{Limit: 2 * racers * times})
			must(t, err)
			if diff := cmp.Diff(ids(stored), inFeed); diff != "" {
				t.Error("the feed and the store differ:", diff)
			}
		}},
	}
}

var (
	errLastOwner = errors.New("the last owner stays")
	errResigned  = errors.New("is no owner any more")
)

// resign deletes or suspends an owner of a role, unless it is the last one. Another change in between makes it decide anew.
func resign(ctx context.Context, store storage.Store, role storage.RoleKey, id string, now time.Time, remove bool) error {
	return persist(ctx, store, func(tx storage.Tx) error {
		owners, err := usableOwners(ctx, tx, role)
		if err != nil {
			return err
		}
		n := slices.IndexFunc(owners, func(u *storage.User) bool { return u.ID == id })
		switch {
		case n < 0:
			return errResigned
		case len(owners) == 1:
			return errLastOwner
		case remove:
			return tx.Delete(ctx, storage.UserKind, id, owners[n].Version)
		}
		owners[n].SuspendedAt = &now
		return tx.Update(ctx, owners[n])
	})
}

func usableOwners(ctx context.Context, r storage.Reader, role storage.RoleKey) ([]*storage.User, error) {
	return storage.List[storage.User](ctx, r, storage.Query{
		Equal: map[string][]string{"role": {string(role)}, "suspended": {"false"}}, Limit: 99,
	})
}

// persist is change, anew until no other change came in between.
func persist(ctx context.Context, store storage.Store, fn func(tx storage.Tx) error) error {
	for {
		if err := change(ctx, store, fn); !errors.Is(err, storage.ErrStale) {
			return err
		}
	}
}

// each returns what of gives for each of the racers.
func each[T any](of func(n int) T) []T {
	all := make([]T, racers)
	for n := range all {
		all[n] = of(n)
	}
	return all
}

// contend runs attempt at once for each of the racers and returns their errors.
func contend(attempt func(n int) error) <-chan error {
	errs := make(chan error, racers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for n := range racers {
		all.Go(func() {
			<-start
			// Else the scheduler lets the one that began last win nearly always.
			for range rand.IntN(racers) {
				runtime.Gosched()
			}
			errs <- attempt(n)
		})
	}
	close(start)
	all.Wait()
	close(errs)
	return errs
}

// race demands that one attempt succeeds and all others fail with one of lost, and returns the winner.
func race(t *testing.T, attempt func(n int) error, lost ...error) (winner int) {
	t.Helper()
	won := make(chan int, racers)
	for err := range contend(func(n int) error {
		err := attempt(n)
		if err == nil {
			won <- n
		}
		return err
	}) {
		if err != nil && !slices.ContainsFunc(lost, func(want error) bool { return errors.Is(err, want) }) {
			t.Errorf("a racer lost with %v, want %v", err, lost)
		}
	}
	if len(won) != 1 {
		t.Fatalf("%d racers won", len(won))
	}
	return <-won
}

// wantStored demands that the store has want, whole.
func wantStored(t *testing.T, store storage.Store, want *Item) {
	t.Helper()
	if diff := cmp.Diff(want, read(t, store, want.ID)); diff != "" {
		t.Fatal("the stored record is not the winner's:", diff)
	}
}

// wantSole demands that of records, which all have one name, the store has the winner's alone.
func wantSole(t *testing.T, store storage.Store, records []*Item, winner int) {
	t.Helper()
	found, err := storage.Lookup[Item](t.Context(), store, "name", *records[winner].Name)
	must(t, err)
	if diff := cmp.Diff(records[winner], found); diff != "" {
		t.Fatal("the name is not the winner's:", diff)
	}
	for n, r := range records {
		if n != winner {
			wantError(t, store.Get(t.Context(), new(Item), r.ID), storage.ErrNotFound)
		}
	}
}

// dense demands the changes 1 to last, each with one item, and returns the ids of those.
func dense(t *testing.T, store storage.Store, last int) []string {
	t.Helper()
	changes, err := store.Changes(t.Context(), 0, last+10)
	must(t, err)
	if len(changes) != last {
		t.Fatalf("the feed has %d changes, want %d", len(changes), last)
	}
	var ids []string
	for n, c := range changes {
		if c.Sequence != int64(n+1) || len(c.Items) != 1 {
			t.Fatalf("change %d is %+v", n+1, c)
		}
		ids = append(ids, c.Items[0].ID)
	}
	return ids
}
