package storage

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Revocation tells other nodes that a session has ended or that a token is denied. It is written in the transaction that does so, and
// never changed.
type Revocation struct {
	Meta
	// SID and Epoch are those of an ended session, JTI is the id of a denied token; one of the two is there.
	SID       string    `json:"sid,omitempty"`
	Epoch     int64     `json:"epoch,omitempty"`
	JTI       string    `json:"jti,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// RevocationKind is read by time: ids sort by when the revocation was written.
var RevocationKind = Kind{Name: "revocations", New: func() Record { return new(Revocation) }}

// RevocationID is the id of a revocation of sid written at this time; with an empty sid it stands before all of that millisecond.
func RevocationID(at time.Time, sid string) string {
	return fmt.Sprintf("%013d/%s", max(0, at.UnixMilli()), sid)
}

// RevocationTime is the time in a RevocationID; zero for any other text.
func RevocationTime(id string) time.Time {
	text, _, _ := strings.Cut(id, "/")
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(at).UTC()
}

func (r *Revocation) RecordMeta() *Meta { return &r.Meta }
func (*Revocation) Kind() Kind          { return RevocationKind }

// Index implements Record.
func (r *Revocation) Index() Index { return Index{ExpiresAt: r.ExpiresAt} }
