package storage

import "time"

// LoginUse records when a user last proved a password, to within an hour, outside the user's version. Its id is the user's.
type LoginUse struct {
	Meta
	LastUsedAt time.Time `json:"last_used_at"`
}

// LoginUseKind is not an authority kind: logging in changes nobody's rights.
var LoginUseKind = Kind{Name: "login_uses", New: func() Record { return new(LoginUse) }}

func (l *LoginUse) RecordMeta() *Meta { return &l.Meta }
func (*LoginUse) Kind() Kind          { return LoginUseKind }

// Index implements Record.
func (*LoginUse) Index() Index { return Index{} }
