package storage

import (
	"fmt"
	"time"
)

// AuditEntry is one link of a hash chain. The chain of authority changes is "authority", each node has one of its own beside.
type AuditEntry struct {
	Meta
	Chain string    `json:"chain"`
	Seq   int64     `json:"seq"`
	Time  time.Time `json:"time"`
	// Event says which half this is: "intent" (before) or "outcome" (after).
	Event    string `json:"event"`
	Actor    string `json:"actor"`
	OnBehalf string `json:"on_behalf_of,omitempty"`
	Action   string `json:"action"`
	Target   string `json:"target"`
	// Outcome is "ok", "refused" or "failed" in an outcome, empty in an intent.
	Outcome        string `json:"outcome,omitempty"`
	Reason         string `json:"reason,omitempty"`
	DecisionID     string `json:"decision_id,omitempty"`
	PolicyRevision string `json:"policy_revision,omitempty"`
	RequestID      string `json:"request_id,omitempty"`
	// FromVersion and ToVersion are the target's versions, 0 where it did not exist.
	FromVersion int64 `json:"from_version,omitempty"`
	ToVersion   int64 `json:"to_version,omitempty"`
	// Prev and Hash are hex SHA-256: Hash covers Prev and the entry's canonical JSON without Meta and Hash.
	Prev string `json:"prev"`
	Hash string `json:"hash"`
}

// AuditKind is appended to and never changed; the id makes (chain, seq) unique.
var AuditKind = Kind{Name: "audit", Filters: []string{"chain", "target", "actor"}, New: func() Record { return new(AuditEntry) }}

// AuditID is the id of the entry at seq of chain; ids of one chain sort by seq.
func AuditID(chain string, seq int64) string { return fmt.Sprintf("%s/%016d", chain, seq) }

func (e *AuditEntry) RecordMeta() *Meta { return &e.Meta }
func (*AuditEntry) Kind() Kind          { return AuditKind }

// Index implements Record.
func (e *AuditEntry) Index() Index {
	return Index{Filters: map[string][]string{"chain": {e.Chain}, "target": {e.Target}, "actor": {e.Actor}}}
}
