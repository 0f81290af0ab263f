package storagetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/writ-authz/writ/storage"
)

// operation is one step of a random sequence. It is plain data, so that a sequence can be printed, shortened and run again,
// and it says what it means relative to the store ("the right version"), so that it still means it in a shortened sequence.
type operation struct {
	// Do is a case of perform.
	Do string
	// Guarded chooses GuardedKind instead of ItemKind.
	Guarded bool `json:",omitzero"`
	// Outside makes a step of a transaction read past it, from the store.
	Outside bool   `json:",omitzero"`
	ID      string `json:",omitzero"`
	// Off is added to the right version of an update or a delete, and to the right sequence of an advance.
	Off int64 `json:",omitzero"`
	// Written is what an insert or an update writes.
	Written Item `json:",omitzero"`
	// Lives is for how long the written record lives from now; 0 is for ever. Born, unless 0, is when it says that it was made.
	Lives time.Duration `json:",omitzero"`
	Born  time.Duration `json:",omitzero"`
	// Index and Value are those of a look-up, Query that of a list, After and Limit those of changes.
	Index, Value string        `json:",omitzero"`
	Query        storage.Query `json:",omitzero"`
	After        int64         `json:",omitzero"`
	Limit        int           `json:",omitzero"`
	// By is how far the clock is moved, or how far from now a purge looks.
	By time.Duration `json:",omitzero"`
	// Steps and End are those of a transaction.
	Steps []operation `json:",omitzero"`
	End   string      `json:",omitzero"`
}

// The ends of a transaction; without one its function returns nil.
const (
	abort        = "abort"
	atFirstError = "at the first error"
)

var errAborted = errors.New("aborted")

func (o operation) String() string {
	text, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (o operation) kind() storage.Kind {
	if o.Guarded {
		return GuardedKind
	}
	return ItemKind
}

// record returns the record that the operation writes at a moment.
func (o operation) record(now time.Time) storage.Record {
	written := o.Written
	written.Meta = storage.Meta{ID: o.ID}
	if o.Lives != 0 {
		written.ExpiresAt = now.Add(o.Lives)
	}
	if o.Born != 0 {
		written.CreatedAt = now.Add(o.Born)
	}
	if o.Guarded {
		return &Guarded{Item: written}
	}
	return &written
}

// reply is all that a caller can see of an operation.
type reply struct {
	// Error names the sentinels that the error is.
	Error string
	// Taken are the look-up values that stood in the way of a write, as the store itself answers when asked for them. Where
	// there are several a store may name any.
	Taken []string
	// Record is what a read filled or, with its times as a store keeps them, what a write left to its caller.
	Record  storage.Record
	Records []storage.Record
	Number  int64
	Changes []storage.Change
	Steps   []reply
}

// perform runs an operation on a store or, where tx is not nil, in its transaction.
func perform(ctx context.Context, store storage.Store, tx storage.Tx, o operation, now time.Time) reply {
	var reader storage.Reader = store
	var writer storage.Writer = store
	if tx != nil {
		writer = tx
		if !o.Outside {
			reader = tx
		}
	}
	switch o.Do {
	case "insert":
		r := o.record(now)
		return written(ctx, reader, r, true, writer.Insert(ctx, r))
	case "update":
		stored := o.kind().New()
		if err := reader.Get(ctx, stored, o.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return reply{Error: class(err)}
		}
		r := o.record(now)
		meta := r.RecordMeta()
		meta.Version = stored.RecordMeta().Version + o.Off
		if o.Born == 0 {
			meta.CreatedAt = stored.RecordMeta().CreatedAt
		}
		return written(ctx, reader, r, false, writer.Update(ctx, r))
	case "delete":
		stored := o.kind().New()
		if err := reader.Get(ctx, stored, o.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return reply{Error: class(err)}
		}
		return reply{Error: class(writer.Delete(ctx, o.kind(), o.ID, stored.RecordMeta().Version+o.Off))}
	case "get":
		r := o.kind().New()
		return filled(r, reader.Get(ctx, r, o.ID))
	case "lookup":
		r := o.kind().New()
		return filled(r, reader.Lookup(ctx, r, o.Index, o.Value))
	case "list":
		records, err := reader.List(ctx, o.kind(), o.Query)
		return reply{Error: class(err), Records: slices.Concat(records)} // an empty list is nil
	case "sequence":
		at, err := reader.Sequence(ctx)
		return reply{Error: class(err), Number: at}
	case "changes":
		changes, err := store.Changes(ctx, o.After, o.Limit)
		changes = slices.Concat(changes)
		for n := range changes {
			changes[n].Items = slices.Concat(changes[n].Items)
		}
		return reply{Error: class(err), Changes: changes}
	case "advance":
		at, err := tx.Sequence(ctx)
		if err == nil {
			err = tx.Advance(ctx, at+o.Off)
		}
		// A second one is refused, no matter as what.
		return reply{Error: strings.Replace(class(err), storage.ErrAuthority.Error(), refused, 1)}
	case "purge":
		removed, err := store.Purge(ctx, now.Add(o.By))
		again, errAgain := store.Purge(ctx, now.Add(o.By))
		if again != 0 {
			err = errors.Join(err, fmt.Errorf("the second purge removed %d", again))
		}
		return reply{Error: class(errors.Join(err, errAgain)), Number: int64(removed)}
	case "transaction":
		return transact(ctx, store, o, now)
	}
	panic("no operation " + o.Do)
}

func transact(ctx context.Context, store storage.Store, o operation, now time.Time) reply {
	var got reply
	var own error
	err := store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		for _, step := range o.Steps {
			r := perform(ctx, store, tx, step, now)
			got.Steps = append(got.Steps, r)
			if r.Error != "" && o.End == atFirstError {
				own = errors.New(r.Error)
				return own
			}
		}
		if o.End == abort {
			own = errAborted
		}
		return own
	})
	switch {
	case own == nil:
		got.Error = class(err)
	case err == own: //nolint:errorlint // as it is, not wrapped
		got.Error = "its own"
	default:
		got.Error = fmt.Sprintf("%q instead of its own", err)
	}
	return got
}

// written is the reply to an insert or an update of r. What a conflict says is held against the store's own look-ups.
func written(ctx context.Context, reader storage.Reader, r storage.Record, inserted bool, err error) reply {
	got := reply{Error: class(err), Record: normalised(r)}
	var conflict *storage.ConflictError
	if !errors.As(err, &conflict) {
		return got
	}
	other := r.Kind().New()
	if inserted && reader.Get(ctx, other, r.RecordMeta().ID) == nil {
		got.Taken = append(got.Taken, "id")
	}
	for index, value := range r.Index().Unique {
		if reader.Lookup(ctx, other, index, value) == nil && other.RecordMeta().ID != r.RecordMeta().ID {
			got.Taken = append(got.Taken, index)
		}
	}
	slices.Sort(got.Taken)
	if conflict.Kind != r.Kind().Name || !slices.Contains(got.Taken, conflict.Index) {
		got.Error = fmt.Sprintf("conflict of %q of %q, which is free", conflict.Index, conflict.Kind)
	}
	return got
}

func filled(r storage.Record, err error) reply {
	if err != nil {
		return reply{Error: class(err)}
	}
	return reply{Record: r}
}

const refused = "refused"

// class names the sentinels that err is.
func class(err error) string {
	if err == nil {
		return ""
	}
	var names []string
	for _, sentinel := range []error{
		storage.ErrNotFound, storage.ErrConflict, storage.ErrStale, storage.ErrUnavailable, storage.ErrAuthority,
	} {
		if errors.Is(err, sentinel) {
			names = append(names, sentinel.Error())
		}
	}
	switch {
	case names == nil:
		return refused
	case errors.Is(err, storage.ErrUnavailable): // then one wants to know why
		return err.Error()
	}
	return strings.Join(names, ", ")
}

// sequence returns a random sequence of operations, at the end of which everything is read.
func sequence(random *rand.Rand) []operation {
	var ops []operation
	for range 20 + random.IntN(40) {
		ops = append(ops, randomOperation(random, false))
	}
	for _, guarded := range []bool{false, true} {
		ops = append(ops, operation{Do: "list", Guarded: guarded, Query: storage.Query{Limit: 1000}})
	}
	return append(ops, operation{Do: "changes", Limit: 1000}, operation{Do: "sequence"})
}

func randomOperation(random *rand.Rand, inside bool) operation {
	o := operation{Do: pick(random, "insert", "insert", "insert", "update", "update", "update", "delete", "delete", "get", "lookup",
		"lookup", "list", "list", "list", "sequence", "changes", "more", "more", "more", "more", "more")}
	if o.Do == "more" {
		if o.Do = pick(random, "transaction", "transaction", "transaction", "wait", "wait", "purge"); inside {
			o.Do = pick(random, "insert", "insert", "update", "delete", "delete", "list", "advance")
		}
	}
	o.Guarded = random.IntN(5) == 0 || inside && random.IntN(2) == 0
	if slices.Contains([]string{"insert", "update", "delete", "get"}, o.Do) {
		o.ID = oddID(random)
	}
	switch o.Do {
	case "insert", "update":
		o.Written, o.Lives, o.Born = randomItem(random), randomLife(random), pick(random, 0, 0, 0, time.Hour, -time.Hour-time.Nanosecond)
		o.Off = randomOffset(random)
	case "delete", "advance":
		o.Off = randomOffset(random)
	case "lookup":
		o.Index, o.Value = pick(random, "name", "name", "name", "code", "code", "tag"), oddText(random)
	case "list":
		o.Query = randomSelection(random)
	case "changes":
		o.After, o.Limit = random.Int64N(6), random.IntN(5)
	case "wait":
		o.By = pick(random, time.Millisecond, 300*time.Microsecond, time.Second, 2*time.Second)
	case "purge":
		o.By = pick(random, 0, 0, time.Second, -time.Second)
	case "transaction":
		o.End = pick(random, "", "", "", abort, atFirstError)
		if random.IntN(4) > 0 {
			o.Steps = append(o.Steps, operation{Do: "advance", Off: randomOffset(random)})
		}
		for range random.IntN(12) {
			o.Steps = append(o.Steps, randomOperation(random, true))
		}
	}
	if reads := []string{"get", "lookup", "list", "sequence"}; inside && slices.Contains(reads, o.Do) {
		o.Outside = random.IntN(3) == 0
	}
	return o
}

// oddID returns one of few ids, and mostly of very few, so that operations meet.
func oddID(random *rand.Rand) string {
	if random.IntN(3) > 0 {
		return pick(random, "a", "a", "b")
	}
	return pick(random, "A", "a/b", "a b", "a\x00b", "é", "e\u0301", "\ufffd", "\U0001f600", "$a.b", "%", "")
}

// oddText returns one of few look-up values.
func oddText(random *rand.Rand) string {
	if random.IntN(3) == 0 {
		return "ada"
	}
	return pick(random, "bob", "Ada", "Ada", "", "a", "ab", "a%", "a_", "a\x00", "a\x00b", "é", "\U0001f600", `{"$ne":null}`)
}

func randomItem(random *rand.Rand) Item {
	i := Item{Colour: oddText(random)}
	if random.IntN(2) == 0 {
		i.Name = new(string)
		*i.Name = oddText(random)
	}
	if random.IntN(4) == 0 {
		i.Code = new(string)
		*i.Code = oddText(random)
	}
	switch n := random.IntN(5); n {
	case 0:
		i.Tags, i.Parts = []string{}, []Part{} // not nil
	default:
		for range n - 1 {
			i.Tags = append(i.Tags, oddText(random))
		}
	}
	if random.IntN(4) == 0 {
		at := time.Date(2000, 1, 1, 0, 0, 0, random.IntN(1e9), time.FixedZone("", 3600))
		i.Parts = append(i.Parts, Part{At: &at, Text: oddText(random)}, Part{})
		i.Raw = json.RawMessage(pick(random, `{"a.b":{"$c":[1,null,"\u0000"]}}`, `[]`, `{}`, `12345678901234567890`, `"x"`))
	}
	return i
}

func randomLife(random *rand.Rand) time.Duration {
	return pick(random, 0, 0, 0, 0, time.Second, time.Second, 2*time.Second+700*time.Microsecond, time.Millisecond, -time.Second)
}

func randomOffset(random *rand.Rand) int64 {
	return pick[int64](random, 0, 0, 0, 0, 0, 0, 0, 1, -1, -100)
}

func randomSelection(random *rand.Rand) storage.Query {
	q := storage.Query{Limit: pick(random, 1, 2, 3, 100, 100, 100)}
	if random.IntN(20) == 0 {
		q.Limit = -random.IntN(2)
	}
	way := random.IntN(30) // one of which is both at once
	if way < 10 {
		q.After = oddID(random)
	}
	if way >= 9 && way < 18 {
		q.Before = oddID(random)
	}
	for _, filter := range []string{"tag", "colour", "size"} {
		if filter == "size" && random.IntN(20) > 0 { // which is not declared
			continue
		}
		switch random.IntN(6) {
		case 0, 1:
			values := []string{}
			for range random.IntN(4) {
				values = append(values, oddText(random))
			}
			q.Equal = with(q.Equal, filter, values)
		case 2:
			q.Prefix = with(q.Prefix, filter, oddText(random))
		}
	}
	return q
}

func with[V any](m map[string]V, key string, value V) map[string]V {
	if m == nil {
		m = map[string]V{}
	}
	m[key] = value
	return m
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }
