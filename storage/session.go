package storage

import "time"

// Session is one password login or refresh family. Its id is the sid of its tokens.
type Session struct {
	Meta
	// Subject is the user's id, Client the application's.
	Subject    string        `json:"subject"`
	Client     ApplicationID `json:"client"`
	LastUsedAt time.Time     `json:"last_used_at"`
	ExpiresAt  time.Time     `json:"expires_at"`
	IP         string        `json:"ip,omitempty"`
	UserAgent  string        `json:"user_agent,omitempty"`
	EndedAt    *time.Time    `json:"ended_at,omitempty"`
	// Epoch grows when the session ends; a token with a lower one is dead.
	Epoch int64 `json:"epoch"`
}

// SessionKind: filter by subject, client and whether it has ended. A change is a compare-and-swap of the one document.
var SessionKind = Kind{
	Name: "sessions", Filters: []string{"subject", "client", "ended"}, New: func() Record { return new(Session) },
}

func (s *Session) RecordMeta() *Meta { return &s.Meta }
func (*Session) Kind() Kind          { return SessionKind }

// Index implements Record. "ended" is "true" or "false".
func (s *Session) Index() Index {
	return Index{
		Filters: map[string][]string{
			"subject": {s.Subject}, "client": {string(s.Client)}, "ended": {boolean(s.EndedAt != nil)},
		},
		ExpiresAt: s.ExpiresAt,
	}
}

// Denial is one revoked token. Its id is the jti.
type Denial struct {
	Meta
	ExpiresAt time.Time `json:"expires_at"`
}

// DenialKind is written by a unique insert.
var DenialKind = Kind{Name: "denials", New: func() Record { return new(Denial) }}

func (d *Denial) RecordMeta() *Meta { return &d.Meta }
func (*Denial) Kind() Kind          { return DenialKind }

// Index implements Record.
func (d *Denial) Index() Index { return Index{ExpiresAt: d.ExpiresAt} }
