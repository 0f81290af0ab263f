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
	EndedBy    SessionEnd    `json:"ended_by,omitempty"`
	// Epoch grows when the session ends; a token with a lower one is dead.
	Epoch int64 `json:"epoch"`

	// What follows is what refreshing needs: all of it is set at the login and only the tokens change.

	// AuthTime is when the password was given. Refreshing does not move it.
	AuthTime time.Time `json:"auth_time,omitzero"`
	// AbsoluteExpiresAt is the end that no refresh moves; ExpiresAt never lies behind it.
	AbsoluteExpiresAt time.Time `json:"absolute_expires_at,omitzero"`
	// Tenant, Scopes and Audience are those of the first access token: the most that a later one may have.
	Tenant   TenantID `json:"tenant,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	Audience []string `json:"audience,omitempty"`
	// Since holds the epochs of the login. One that has grown ends the family.
	Since SessionEpochs `json:"since"`
	// Head is the hash of the refresh token that is good now, Prev that of the one before it; empty where there is none.
	Head string `json:"head,omitempty"`
	Prev string `json:"prev,omitempty"`
	// PrevUsedAt is when Prev was exchanged. SealedSuccessor is what it was exchanged for, kept for a retry within the grace.
	PrevUsedAt      *time.Time `json:"prev_used_at,omitempty"`
	SealedSuccessor []byte     `json:"sealed_successor,omitempty"`
	// Generation counts the rotations.
	Generation int64 `json:"generation,omitempty"`
}

// SessionEnd is what ended a session.
type SessionEnd string

// What ends sessions.
const (
	EndSignOut       SessionEnd = "sign_out"      // its own subject
	EndAdministrator SessionEnd = "administrator" // somebody who may end the sessions of others
	EndRevocation    SessionEnd = "revocation"    // its client, by the refresh token (RFC 7009)
	EndReuse         SessionEnd = "reuse"         // a refresh token that was used twice
	EndIdentity      SessionEnd = "identity"      // a change of the subject: password, status, tenant, its end, or all its tokens
)

// SessionEpochs are the epochs that a session began with.
type SessionEpochs struct {
	Global      int64 `json:"global"`
	Application int64 `json:"application"`
	Identity    int64 `json:"identity"`
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
	// ExpiresAt is when nobody asks any more: the end of the token, or of its session where it has one, as an expired token still names
	// its session.
	ExpiresAt time.Time `json:"expires_at"`
	// TokenExpiresAt is when the token ends; zero says that it is ExpiresAt.
	TokenExpiresAt time.Time `json:"token_expires_at,omitzero"`
}

// DenialKind is written by a unique insert.
var DenialKind = Kind{Name: "denials", New: func() Record { return new(Denial) }}

func (d *Denial) RecordMeta() *Meta { return &d.Meta }
func (*Denial) Kind() Kind          { return DenialKind }

// Index implements Record.
func (d *Denial) Index() Index { return Index{ExpiresAt: d.ExpiresAt} }
