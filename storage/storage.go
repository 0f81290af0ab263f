package storage

import (
	"context"
	"time"
)

// Meta is what every record has. The store sets Version and the times; the caller chooses ID.
type Meta struct {
	ID string `json:"id"`
	// Version is 1 after Insert and grows by one with each Update. It is the value of the object's ETag.
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Record is a document of one kind. Implementations are pointers to the structs of this package.
type Record interface {
	// RecordMeta returns the record's own Meta, not a copy.
	RecordMeta() *Meta
	// Kind returns the description of the collection the record lives in.
	Kind() Kind
	// Index returns the look-up values of the record as it stands.
	Index() Index
}

// Kind describes one collection.
type Kind struct {
	// Name is the collection's name: lower-case, plural, stable.
	Name string
	// Unique and Filters name every index that Index may fill. A store creates and asserts exactly these.
	Unique  []string
	Filters []string
	// Authority marks records that say who may do what: they change only under the authority sequence.
	Authority bool
	// New returns an empty record of this kind.
	New func() Record
}

// Index holds a record's look-up values, normalised by the caller.
type Index struct {
	// Unique maps an index of Kind.Unique to its one value. A unique index that is not in the map does not hold the record.
	Unique map[string]string
	// Filters maps an index of Kind.Filters to any number of values.
	Filters map[string][]string
	// ExpiresAt, unless zero, is the instant from which the record counts as absent.
	ExpiresAt time.Time
}

// Query selects records of one kind. A page is in ascending byte order of the id, whichever way it is found.
type Query struct {
	// Equal maps a declared filter to the values of which a record must have at least one. All entries must hold.
	Equal map[string][]string
	// Prefix maps a declared filter to a literal prefix that at least one of the record's values must begin with.
	Prefix map[string]string
	// After is the id behind which the page begins; empty begins at the start. It need not exist.
	After string
	// Before is the id in front of which the page ends: of those in front of it, the page has the last ones. Empty, the page has the first
	// ones behind After. It need not exist. Both at once are an error.
	Before string
	// Limit is the largest number of records wanted; it must be positive.
	Limit int
}

// Reader reads records. Reads outside a transaction see committed state; inside, their own writes too.
type Reader interface {
	// Get fills into with the record of into's kind and this id, or returns ErrNotFound.
	Get(ctx context.Context, into Record, id string) error
	// Lookup fills into by a declared unique index, or returns ErrNotFound. An index that the kind does not declare is an error.
	Lookup(ctx context.Context, into Record, index, value string) error
	// List returns the records that q selects. Naming a filter that the kind does not declare is an error.
	List(ctx context.Context, kind Kind, q Query) ([]Record, error)
	// Sequence returns the authority sequence: 0 for a new store, one more with each committed Advance.
	Sequence(ctx context.Context) (int64, error)
}

// Writer changes one record at a time; each call is atomic by itself.
type Writer interface {
	// Insert stores a new record. It must set Version to 1 and, where they are zero, CreatedAt and UpdatedAt on r. A taken
	// id or unique value is a *ConflictError and changes nothing. An expired record does not count as taking its id.
	Insert(ctx context.Context, r Record) error
	// Update replaces the record whole if its stored version is still r's Version, and then sets r's Version to one more
	// and UpdatedAt. It must return ErrStale if the version moved, ErrNotFound if the record is gone.
	Update(ctx context.Context, r Record) error
	// Delete removes the record if its stored version is still version. It must return ErrStale or ErrNotFound as Update does.
	Delete(ctx context.Context, kind Kind, id string, version int64) error
}

// Tx is a transaction: its writes become visible together or not at all.
type Tx interface {
	Reader
	Writer
	// Advance moves the authority sequence from from to from+1, or returns ErrStale if it is not at from. It must be called
	// before a record of an authority kind is written; every such write is then appended to the feed under from+1. At most
	// one Advance per transaction.
	Advance(ctx context.Context, from int64) error
}

// Store keeps records. It is safe for concurrent use.
type Store interface {
	Reader
	// Writer outside a transaction serves kinds that are not authority kinds; others are refused with ErrAuthority.
	Writer
	// Txn runs fn in one transaction and commits if fn returns nil. fn's error is returned as it is. A conflict with another
	// transaction is ErrStale. fn must not keep tx and may be run once only per call; nor may it write through the
	// store itself, which would wait for the transaction. Records that fn wrote keep their new Meta if it is not committed.
	Txn(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// Changes returns up to limit changes with a sequence above after, in order and without a gap.
	Changes(ctx context.Context, after int64, limit int) ([]Change, error)
	// Restore adds records as they are, version and times included, and sets the authority sequence, all together. Nothing of it is in
	// the feed: it is for a store that is filled from a copy and that no node reads yet. A taken id or unique value is a *ConflictError.
	Restore(ctx context.Context, records []Record, sequence int64) error
	// Purge removes records that are expired at now and returns how many. It only tidies up.
	Purge(ctx context.Context, now time.Time) (int, error)
	// Ping returns nil if the store can serve now.
	Ping(ctx context.Context) error
	// Describe names the store and its version for logs and test output, without credentials.
	Describe() string
	Close() error
}

// Change is what one committed authority transaction touched.
type Change struct {
	// Sequence is the authority sequence that the transaction advanced to.
	Sequence int64 `json:"sequence"`
	// Items are the records written or deleted, once each, in the order of the first write.
	Items []ChangeItem `json:"items"`
}

// ChangeItem names one record of a change; read the record itself for its state.
type ChangeItem struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Deleted bool   `json:"deleted,omitempty"`
}

// Time returns t as stores keep it: UTC, whole milliseconds.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Pointer constrains a type parameter to the pointer that makes T a Record.
type Pointer[T any] interface {
	*T
	Record
}

// Get returns the record of type T with this id.
func Get[T any, P Pointer[T]](ctx context.Context, r Reader, id string) (P, error) {
	into := P(new(T))
	if err := r.Get(ctx, into, id); err != nil {
		return nil, err
	}
	return into, nil
}

// Lookup returns the record of type T that a unique index names.
func Lookup[T any, P Pointer[T]](ctx context.Context, r Reader, index, value string) (P, error) {
	into := P(new(T))
	if err := r.Lookup(ctx, into, index, value); err != nil {
		return nil, err
	}
	return into, nil
}

// List returns the records of type T that q selects.
func List[T any, P Pointer[T]](ctx context.Context, r Reader, q Query) ([]P, error) {
	records, err := r.List(ctx, P(new(T)).Kind(), q)
	if err != nil {
		return nil, err
	}
	typed := make([]P, len(records))
	for i, record := range records {
		typed[i] = record.(P)
	}
	return typed, nil
}
