package storagetest

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func restoring() []property {
	return []property{
		{"a restored store is the one that was dumped", func(t *testing.T, s *suite) {
			from := s.store(t)
			must(t, change(t.Context(), from, func(tx storage.Tx) error {
				for _, kind := range storage.Kinds() {
					if err := tx.Insert(t.Context(), specimen(kind)); err != nil {
						return err
					}
				}
				return nil
			}))
			must(t, change(t.Context(), from, func(tx storage.Tx) error {
				user, err := storage.Get[storage.User](t.Context(), tx, "one")
				must(t, err)
				user.Name = "another"
				return tx.Update(t.Context(), user)
			}))
			records, sequence := dumped(t, from, func(storage.Record) {})
			if len(records) != len(storage.Kinds()) || sequence != 2 {
				t.Fatalf("%d records at sequence %d", len(records), sequence)
			}
			into := s.store(t)
			must(t, into.Restore(t.Context(), records[:3], 0))
			must(t, into.Restore(t.Context(), records[3:], sequence))
			again, restored := dumped(t, into, func(storage.Record) {})
			if diff := cmp.Diff(records, again); diff != "" || restored != sequence {
				t.Errorf("sequence %d, was %d; %s", restored, sequence, diff)
			}
			index := storage.UserKind.Unique[0]
			found, err := storage.Lookup[storage.User](t.Context(), into, index, specimen(storage.UserKind).Index().Unique[index])
			must(t, err)
			if found.Version != 2 || found.Name != "another" {
				t.Errorf("found version %d of %s", found.Version, found.Name)
			}
			if feed, err := into.Changes(t.Context(), 0, 10); err != nil || len(feed) > 0 {
				t.Errorf("the feed has %v, %v", feed, err)
			}
			must(t, into.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
				if err := tx.Advance(ctx, sequence); err != nil {
					return err
				}
				return tx.Update(ctx, found)
			}))
			if feed, err := into.Changes(t.Context(), sequence, 10); err != nil || len(feed) != 1 || feed[0].Sequence != sequence+1 {
				t.Errorf("then the feed has %v, %v", feed, err)
			}
		}},
		{"a restore that meets what is there changes nothing", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), &Item{Meta: storage.Meta{ID: "b"}}))
			taken := []storage.Record{&Item{Meta: storage.Meta{ID: "a", Version: 7}}, &Item{Meta: storage.Meta{ID: "b", Version: 7}}}
			var conflict *storage.ConflictError
			if err := store.Restore(t.Context(), taken, 9); !errors.As(err, &conflict) {
				t.Errorf("got %v", err)
			}
			wantError(t, store.Get(t.Context(), new(Item), "a"), storage.ErrNotFound)
			if sequence, err := store.Sequence(t.Context()); err != nil || sequence != 0 {
				t.Errorf("sequence %d, %v", sequence, err)
			}
		}},
		{"a dump has what is appended while it is made, once", func(t *testing.T, s *suite) {
			store := s.store(t)
			write := func(chain string, seq int64) {
				must(t, store.Insert(t.Context(), &storage.AuditEntry{Meta: storage.Meta{ID: storage.AuditID(chain, seq)}, Chain: chain, Seq: seq}))
			}
			write("b", 1)
			write("b", 2)
			var once bool
			records, _ := dumped(t, store, func(storage.Record) {
				if !once { // the pages that were read do not have these
					once = true
					write("a", 1)
					write("b", 3)
					write("b-c", 1)
					write("c", 1)
				}
			})
			var ids []string
			for _, r := range records {
				ids = append(ids, r.RecordMeta().ID)
			}
			want := []string{"b/0000000000000001", "b/0000000000000002", "a/0000000000000001", "b-c/0000000000000001", "b/0000000000000003", "c/0000000000000001"}
			if diff := cmp.Diff(want, ids); diff != "" {
				t.Error(diff)
			}
		}},
		{"a dump that is not wanted any more ends", func(t *testing.T, s *suite) {
			store := s.store(t)
			must(t, store.Insert(t.Context(), &storage.AuditEntry{Meta: storage.Meta{ID: "a/1"}, Chain: "a"}))
			unwanted := errors.New("enough")
			_, err := storage.Dump(t.Context(), store, func(storage.Record) error { return unwanted })
			wantError(t, err, unwanted)
		}},
	}
}

// specimen is a record whose fields all have a value.
func specimen(kind storage.Kind) storage.Record {
	r := kind.New()
	(&filler{}).fill(reflect.ValueOf(r).Elem())
	*r.RecordMeta() = storage.Meta{ID: "one"}
	return r
}

// dumped are the records of a dump as they are stored.
func dumped(t *testing.T, store storage.Store, visit func(storage.Record)) (records []storage.Record, sequence int64) {
	t.Helper()
	sequence, err := storage.Dump(t.Context(), store, func(r storage.Record) error {
		visit(r)
		records = append(records, normalised(r))
		return nil
	})
	must(t, err)
	return records, sequence
}
