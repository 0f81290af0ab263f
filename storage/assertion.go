package storage

import "time"

// AssertionUse says that a client assertion was used. Its id is a digest of the assertion's issuer and jti, and its insert is the
// check: one request wins. It is written by itself and never changed.
type AssertionUse struct {
	Meta
	// DecisionID is that of the request that used it, which may come back with it when it lost a compare-and-swap.
	DecisionID string `json:"decision_id"`
	// ExpiresAt is later than the end of the assertion on any node's clock.
	ExpiresAt time.Time `json:"expires_at"`
}

// AssertionUseKind has no index: a use is found by its id alone.
var AssertionUseKind = Kind{Name: "assertion_uses", New: func() Record { return new(AssertionUse) }}

func (a *AssertionUse) RecordMeta() *Meta { return &a.Meta }
func (*AssertionUse) Kind() Kind          { return AssertionUseKind }

// Index implements Record.
func (a *AssertionUse) Index() Index { return Index{ExpiresAt: a.ExpiresAt} }
