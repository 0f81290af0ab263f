package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	// never stands in the column expires for a record without an end.
	never = math.MaxInt64
	// sortLimit is the number of index entries up to which a list is found by sorting them. Where even the most selective
	// filter has more, so many of the kind's documents match that walking them in order finds a page sooner.
	sortLimit = 2000
)

// view reads on one pool's connections: committed state, or a transaction's own where tx is set.
type view struct {
	store *Store
	stmts statements
	tx    *sql.Tx
}

// Get implements storage.Reader.
func (s *Store) Get(ctx context.Context, into storage.Record, id string) error {
	return s.reader(ctx, func(v view) error { return v.get(ctx, into, id) })
}

// Lookup implements storage.Reader.
func (s *Store) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	return s.reader(ctx, func(v view) error { return v.lookup(ctx, into, index, value) })
}

// List implements storage.Reader.
func (s *Store) List(ctx context.Context, kind storage.Kind, q storage.Query) (records []storage.Record, err error) {
	err = s.reader(ctx, func(v view) error { records, err = v.list(ctx, kind, q); return err })
	return records, err
}

// Sequence implements storage.Reader.
func (s *Store) Sequence(ctx context.Context) (sequence int64, err error) {
	err = s.reader(ctx, func(v view) error { sequence, err = v.sequence(ctx); return err })
	return sequence, err
}

func (s *Store) reader(ctx context.Context, read func(view) error) error {
	release, err := s.acquire(ctx, s.reading)
	if err != nil {
		return err
	}
	defer release()
	return read(view{store: s, stmts: s.read})
}

func (s *Store) collection(kind storage.Kind) (*collection, error) {
	c, ok := s.kinds[kind.Name]
	if !ok {
		return nil, fmt.Errorf("the store keeps no collection %q", kind.Name)
	}
	return c, nil
}

func (v view) stmt(ctx context.Context, text string) *sql.Stmt {
	if v.tx != nil {
		return v.tx.StmtContext(ctx, v.stmts[text])
	}
	return v.stmts[text]
}

// row runs a statement that touches a bounded number of rows, so it is not worth interrupting.
func (v view) row(ctx context.Context, text string, args ...any) *sql.Row {
	ctx = context.WithoutCancel(ctx)
	return v.stmt(ctx, text).QueryRowContext(ctx, args...)
}

func (v view) get(ctx context.Context, into storage.Record, id string) error {
	kind := into.Kind()
	c, err := v.store.collection(kind)
	if err != nil {
		return err
	}
	if err := v.one(into, v.row(ctx, getRecord, c.number, id, v.store.clock())); err != nil {
		return fmt.Errorf("%s: %w", kind.Name, err)
	}
	return nil
}

func (v view) lookup(ctx context.Context, into storage.Record, index, value string) error {
	kind := into.Kind()
	c, err := v.store.collection(kind)
	if err != nil {
		return err
	}
	if !slices.Contains(kind.Unique, index) {
		return fmt.Errorf("%s declares no unique index %q", kind.Name, index)
	}
	if err := v.one(into, v.row(ctx, lookup, c.indexes[index], value, v.store.clock())); err != nil {
		return fmt.Errorf("%s by %s: %w", kind.Name, index, err)
	}
	return nil
}

func (v view) one(into storage.Record, row *sql.Row) error {
	var body []byte
	err := row.Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.ErrNotFound
	}
	if err != nil {
		return unavailable(err)
	}
	return storage.Decode(body, into)
}

func (v view) sequence(ctx context.Context) (sequence int64, err error) {
	if err := v.row(ctx, getSequence).Scan(&sequence); err != nil {
		return 0, unavailable(err)
	}
	return sequence, nil
}

func (v view) list(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	c, err := v.store.collection(kind)
	if err != nil {
		return nil, err
	}
	if err := q.Check(kind); err != nil {
		return nil, err
	}
	wanted := c.conditions(q)
	text, args, err := v.plan(ctx, c, q, wanted)
	if err != nil {
		return nil, err
	}
	rows, err := v.stmt(ctx, text).QueryContext(ctx, args...)
	if err != nil {
		return nil, v.failed(ctx, err)
	}
	defer rows.Close()
	records := []storage.Record{}
	for len(records) < q.Limit && rows.Next() {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return nil, v.failed(ctx, err)
		}
		record := kind.New()
		if err := storage.Decode(body, record); err != nil {
			return nil, err
		}
		// The plan follows one condition; the others are judged here.
		if len(wanted) == 0 || q.Selects(record.Index()) {
			records = append(records, record)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, v.failed(ctx, err)
	}
	if q.Before != "" {
		slices.Reverse(records)
	}
	return records, nil
}

// failed tells an interrupted statement from one that the engine could not run.
func (v view) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return unavailable(err)
}

// condition is one entry of a query: any of values, or where that is nil a prefix.
type condition struct {
	filter string
	number int64
	values []string
	prefix string
}

func (c *collection) conditions(q storage.Query) []condition {
	var all []condition
	for filter, values := range q.Equal {
		all = append(all, condition{filter: filter, number: c.indexes[filter], values: append([]string{}, values...)})
	}
	for filter, prefix := range q.Prefix {
		all = append(all, condition{filter: filter, number: c.indexes[filter], prefix: prefix})
	}
	return all
}

// plan chooses the statement that finds the candidates of a list: along the most selective condition, or along the
// documents.
func (v view) plan(ctx context.Context, c *collection, q storage.Query, wanted []condition) (string, []any, error) {
	now, way := v.store.clock(), wayOf(q)
	if len(wanted) == 0 {
		return way.all, []any{c.number, way.edge, now, q.Limit}, nil
	}
	var best condition
	fewest := math.MaxInt
	for _, w := range wanted {
		if len(wanted) == 1 && len(w.values) == 1 {
			best = w
			break
		}
		count, err := v.count(ctx, w, way)
		if err != nil {
			return "", nil, err
		}
		// Of two that are equally frequent, the one that needs no sorting.
		if count < fewest || count == fewest && len(w.values) == 1 {
			best, fewest = w, count
		}
	}
	switch {
	case len(best.values) == 1:
		return way.equal, []any{best.number, best.values[0], way.edge, now}, nil
	case fewest >= sortLimit:
		return way.all, []any{c.number, way.edge, now, -1}, nil
	case best.values != nil:
		return way.some, []any{best.number, array(best.values), way.edge, now}, nil
	}
	return way.between, []any{best.number, best.prefix, behind(best.prefix), way.edge, now}, nil
}

// way is the direction in which a page is looked for: the id that it is behind, or in front of, and the statements.
type way struct{ edge, all, equal, some, between, count string }

func wayOf(q storage.Query) way {
	if q.Before != "" {
		return way{q.Before, listAllBefore, listEqualBefore, listAnyBefore, listRangeBefore, countAnyBefore}
	}
	return way{q.After, listAll, listEqual, listAny, listRange, countAny}
}

// count returns how many index entries a condition has, up to sortLimit; those of values only on the way.
func (v view) count(ctx context.Context, w condition, on way) (count int, err error) {
	if w.values != nil {
		err = v.row(ctx, on.count, w.number, array(w.values), on.edge, sortLimit).Scan(&count)
	} else {
		err = v.row(ctx, countRange, w.number, w.prefix, behind(w.prefix), sortLimit).Scan(&count)
	}
	if err != nil {
		return 0, unavailable(err)
	}
	return count, nil
}

func array(values []string) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}

// behind returns the least value that is greater than every string with this prefix. Where there is none it is a blob, which
// SQLite orders behind every text.
func behind(prefix string) any {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < math.MaxUint8 {
			end[i]++
			return string(end[:i+1])
		}
	}
	return []byte{0}
}

// clock is now in Unix milliseconds, as the column expires has it.
func (s *Store) clock() int64 { return s.now().UnixMilli() }

func ends(at time.Time) int64 {
	if at.IsZero() {
		return never
	}
	return at.UnixMilli()
}
