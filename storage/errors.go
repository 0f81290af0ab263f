package storage

import "errors"

// The sentinels a store wraps; compare with errors.Is.
var (
	// ErrNotFound says that no live record has this id or look-up key.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that an id or a unique index value is taken; errors.As with *ConflictError names the index.
	ErrConflict = errors.New("conflict")
	// ErrStale says that the version, or the authority sequence, is not the one the caller decided on.
	ErrStale = errors.New("stale")
	// ErrUnavailable says that the store cannot tell now: closed, cut off, too busy or out of time.
	ErrUnavailable = errors.New("store unavailable")
	// ErrAuthority says that a record of an authority kind was written without [Tx.Advance]; it is a programming error.
	ErrAuthority = errors.New("authority record written without advancing the authority sequence")
)

// ConflictError names the unique index that refused a write. Index is "id" for the record's own id. It is an ErrConflict.
type ConflictError struct {
	Kind  string
	Index string
}

func (e *ConflictError) Error() string { return e.Kind + ": " + e.Index + " is taken" }

// Is makes errors.Is(err, ErrConflict) hold.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
