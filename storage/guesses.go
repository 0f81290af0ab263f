package storage

import "time"

// Guesses counts the failed attempts to prove to be somebody. Its id is a keyed digest, so the records are no list of names.
type Guesses struct {
	Meta
	// Name is the digest of the name alone, where the record is about a name from one network.
	Name string `json:"name,omitempty"`
	// Failures are those in a row; Since and LastAt are when the first and the last one were, SuccessAt the last success, if any.
	Failures  int       `json:"failures"`
	Since     time.Time `json:"since"`
	LastAt    time.Time `json:"last_at"`
	SuccessAt time.Time `json:"success_at"`
	// ResetAt is when the name last began anew: what other records say of it from before counts no more.
	ResetAt   time.Time `json:"reset_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// GuessesKind is changed by a compare-and-swap of the one document.
var GuessesKind = Kind{Name: "guesses", New: func() Record { return new(Guesses) }}

func (g *Guesses) RecordMeta() *Meta { return &g.Meta }
func (*Guesses) Kind() Kind          { return GuessesKind }

// Index implements Record.
func (g *Guesses) Index() Index { return Index{ExpiresAt: g.ExpiresAt} }
