package storage

import (
	"encoding/json"
	"time"
)

// Key is a key of the server. Its id is the kid: for a key pair the RFC 7638 thumbprint of the public half, for a secret key eight
// random hexadecimal digits.
type Key struct {
	Meta
	// Ring is what the key is for: "access" (JWTs), "introspection" (signed replies), "opaque" (sealed tokens) or "refresh".
	Ring string `json:"ring"`
	// Algorithm is a JOSE name: "ES256", "RS256" or "EdDSA", or "XC20P" and "HS256" for secret keys. State is "next", "active",
	// "retiring" or "retired".
	Algorithm string `json:"alg"`
	State     string `json:"state"`
	// Public is the public JWK of a key pair.
	Public json.RawMessage `json:"public,omitempty"`
	// Sealed is the private JWK, or the secret key as it is, sealed with the key encryption key. It is gone once it is of no use: of a
	// key pair that no longer signs, and of every retired key.
	Sealed   []byte     `json:"sealed,omitempty"`
	ActiveAt *time.Time `json:"active_at,omitempty"`
	// RetireAt is when a retiring key is retired, or when a retired one was.
	RetireAt *time.Time `json:"retire_at,omitempty"`
}

// KeyKind: filter by ring.
var KeyKind = Kind{Name: "keys", Filters: []string{"ring"}, Authority: true, New: func() Record { return new(Key) }}

func (k *Key) RecordMeta() *Meta { return &k.Meta }
func (*Key) Kind() Kind          { return KeyKind }

// Index implements Record.
func (k *Key) Index() Index { return Index{Filters: map[string][]string{"ring": {k.Ring}}} }

// Setting is one small document of the server's own: the sealed keyset ("keyset"), the global epoch ("epoch"), the mark of
// the first start ("bootstrap").
type Setting struct {
	Meta
	Value []byte `json:"value,omitempty"`
	Epoch int64  `json:"epoch,omitempty"`
}

// SettingKind has no index but the id.
var SettingKind = Kind{Name: "settings", Authority: true, New: func() Record { return new(Setting) }}

func (s *Setting) RecordMeta() *Meta { return &s.Meta }
func (*Setting) Kind() Kind          { return SettingKind }

// Index implements Record.
func (*Setting) Index() Index { return Index{} }
