package sqlite

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

// No statement walks a whole table, and the lists that promise to stream do not sort.
func TestStatementsUseTheirIndexes(t *testing.T) {
	s := openHere(t)
	streams := []string{listAll, listAllBefore, listEqual, listEqualBefore, getChanges}
	for _, text := range writeStatements() {
		rows, err := s.writer.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		for _, step := range plan {
			walks := strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "json_each") && !strings.Contains(step, "subquery") &&
				step != "SCAN authority"
			sorts := strings.Contains(step, "B-TREE") && slices.Contains(streams, text)
			if walks || sorts {
				t.Errorf("%s\n%s", text, strings.Join(plan, "\n"))
			}
		}
	}
}

// An engine that cannot write is an outage: nothing is half-written, and the store serves again when it can.
func TestAFullDiskIsUnavailable(t *testing.T) {
	s := openHere(t)
	var pages int
	if err := s.writer.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit(t, s, pages+2)
	large := &storage.Session{
		Meta: storage.Meta{ID: "a"}, UserAgent: strings.Repeat("x", 1<<16), ExpiresAt: time.Now().Add(time.Hour),
	}
	if err := s.Insert(t.Context(), large); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if large.Version != 0 {
		t.Errorf("the refused insert set version %d", large.Version)
	}
	if err := s.Get(t.Context(), new(storage.Session), "a"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	limit(t, s, 1<<30)
	if err := s.Insert(t.Context(), large); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A transaction in which a write failed in the engine cannot be committed, even if its function goes on.
func TestAFailedWriteBreaksItsTransaction(t *testing.T) {
	s := openHere(t)
	err := s.transact(t.Context(), func(tx *tx) error {
		if err := tx.Insert(t.Context(), &storage.SecretUse{Meta: storage.Meta{ID: "a"}}); err != nil {
			return err
		}
		if _, err := tx.exec(t.Context(), addUnique, 1, "x", nil); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if err := tx.Get(t.Context(), new(storage.SecretUse), "a"); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := s.Get(t.Context(), new(storage.SecretUse), "a"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestALostConnectionIsUnavailable(t *testing.T) {
	s := openHere(t)
	if err := errors.Join(s.readers.Close(), s.writer.Close()); err != nil {
		t.Fatal(err)
	}
	use := &storage.SecretUse{Meta: storage.Meta{ID: "a"}}
	_, listed := s.List(t.Context(), storage.SecretUseKind, storage.Query{Limit: 1})
	_, changes := s.Changes(t.Context(), 0, 1)
	_, purged := s.Purge(t.Context(), time.Now())
	for _, err := range []error{
		s.Get(t.Context(), use, "a"), s.Insert(t.Context(), use), s.Ping(t.Context()), listed, changes, purged,
	} {
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}

func openHere(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func limit(t *testing.T, s *Store, pages int) {
	t.Helper()
	var set int
	if err := s.writer.QueryRowContext(t.Context(), "PRAGMA max_page_count = "+strconv.Itoa(pages)).Scan(&set); err != nil {
		t.Fatal(err)
	}
}
