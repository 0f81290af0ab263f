package storage

import (
	"fmt"
	"time"
)

// Revocation tells other nodes that a session has ended. It is written in the transaction that ends the session and never changed.
type Revocation struct {
	Meta
	SID string `json:"sid"`
	// Epoch is that of the ended session.
	Epoch     int64     `json:"epoch"`
	ExpiresAt time.Time `json:"expires_at"`
}

// RevocationKind is read by time: ids sort by when the revocation was written.
var RevocationKind = Kind{Name: "revocations", New: func() Record { return new(Revocation) }}

// RevocationID is the id of a revocation of sid written at this time; with an empty sid it stands before all of that millisecond.
func RevocationID(at time.Time, sid string) string {
	return fmt.Sprintf("%013d/%s", max(0, at.UnixMilli()), sid)
}

func (r *Revocation) RecordMeta() *Meta { return &r.Meta }
func (*Revocation) Kind() Kind          { return RevocationKind }

// Index implements Record.
func (r *Revocation) Index() Index { return Index{ExpiresAt: r.ExpiresAt} }
