package storage

import (
	"fmt"
	"strings"
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
	// Tenant is that of the target, or the one that it moves into from none; empty for what belongs to no tenant.
	Tenant TenantID `json:"tenant,omitempty"`
	// Outcome is "ok", "refused" or "failed" in an outcome, empty in an intent.
	Outcome        string `json:"outcome,omitempty"`
	Reason         string `json:"reason,omitempty"`
	DecisionID     string `json:"decision_id,omitempty"`
	PolicyRevision string `json:"policy_revision,omitempty"`
	RequestID      string `json:"request_id,omitempty"`
	// FromVersion and ToVersion are the target's versions, 0 where it did not exist.
	FromVersion int64 `json:"from_version,omitempty"`
	ToVersion   int64 `json:"to_version,omitempty"`
	// LeftOut is, in a refusal, how many of the same actor in the same tenant came before it and have no entry of their own.
	LeftOut int64 `json:"left_out,omitempty"`
	// Prev and Hash are hex SHA-256: Hash covers Prev and the entry's canonical JSON without Meta and Hash.
	Prev string `json:"prev"`
	Hash string `json:"hash"`
}

// targets are the values under which an entry is found: its target, and each of those that a bulk names together. Those of an import
// come with their kinds; an id has no slash.
func (e *AuditEntry) targets() []string {
	kind, ids, _ := strings.Cut(e.Target, "/")
	all := []string{e.Target}
	if strings.Contains(ids, ",") {
		for id := range strings.SplitSeq(ids, ",") {
			if !strings.Contains(id, "/") {
				id = kind + "/" + id
			}
			all = append(all, id)
		}
	}
	return all
}

// AuditKind is appended to and never changed; the id makes (chain, seq) unique. An intent has no value under outcome, and an entry
// without a decision none under decision.
var AuditKind = Kind{
	Name: "audit", Filters: []string{"chain", "target", "actor", "action", "outcome", "decision", "tenant", "day"},
	New: func() Record { return new(AuditEntry) },
}

// AuditID is the id of the entry at seq of chain; ids of one chain sort by seq.
func AuditID(chain string, seq int64) string { return fmt.Sprintf("%s/%016d", chain, seq) }

// AuditDay is the value of the filter day at an instant.
func AuditDay(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func (e *AuditEntry) RecordMeta() *Meta { return &e.Meta }
func (*AuditEntry) Kind() Kind          { return AuditKind }

// Index implements Record.
func (e *AuditEntry) Index() Index {
	filters := map[string][]string{
		"chain": {e.Chain}, "target": e.targets(), "actor": {e.Actor}, "action": {e.Action}, "tenant": {string(e.Tenant)}, "day": {AuditDay(e.Time)},
	}
	for name, value := range map[string]string{"outcome": e.Outcome, "decision": e.DecisionID} {
		if value != "" {
			filters[name] = []string{value}
		}
	}
	return Index{Filters: filters}
}

// AuditCheckpoint is a node's signed word on how far its chain and the authority chain were.
type AuditCheckpoint struct {
	Meta
	Chain string `json:"chain"`
	// Number counts the checkpoints of the chain from 1.
	Number int64 `json:"number"`
	// Seq and Hash are those of the chain's last entry, 0 and empty before its first.
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
	// HeadSeq and Head are those of the last entry of the authority chain.
	HeadSeq int64     `json:"head_seq"`
	Head    string    `json:"head"`
	Time    time.Time `json:"time"`
	// Signature is Ed25519 over the fields above.
	Signature []byte `json:"signature"`
}

// AuditCheckpointKind is appended to and never changed; the id is AuditID of chain and number.
var AuditCheckpointKind = Kind{Name: "audit_checkpoints", Filters: []string{"chain"}, New: func() Record { return new(AuditCheckpoint) }}

func (c *AuditCheckpoint) RecordMeta() *Meta { return &c.Meta }
func (*AuditCheckpoint) Kind() Kind          { return AuditCheckpointKind }

// Index implements Record.
func (c *AuditCheckpoint) Index() Index {
	return Index{Filters: map[string][]string{"chain": {c.Chain}}}
}
