package storage

import (
	"encoding/json"
	"fmt"
	"time"
)

// PolicyRevision is a policy set that was pushed, without its files. Its id is the hash of the files, in hexadecimal. It is written
// once and never changed; it decides nothing unless the setting "policies" names it.
type PolicyRevision struct {
	Meta
	// Author pushed it: "<type>:<id>". Note is what the author says about it.
	Author string `json:"author"`
	Note   string `json:"note,omitempty"`
	// Files and Bytes are how many there are; Apps are the applications that it brings.
	Files int      `json:"files"`
	Bytes int64    `json:"bytes"`
	Apps  []string `json:"apps"`
	// Core and Settings are hashes of what replaces the core's rules, or its settings; empty where it brings none.
	Core     string `json:"core,omitempty"`
	Settings string `json:"settings,omitempty"`
	// SignedBy is the id of the key that signed it, empty where no signature was checked.
	SignedBy string `json:"signed_by,omitempty"`
}

// PolicyRevisionKind: filter by author.
var PolicyRevisionKind = Kind{
	Name: "policy_revisions", Filters: []string{"author"}, Authority: true, New: func() Record { return new(PolicyRevision) },
}

func (p *PolicyRevision) RecordMeta() *Meta { return &p.Meta }
func (*PolicyRevision) Kind() Kind          { return PolicyRevisionKind }

// Index implements Record.
func (p *PolicyRevision) Index() Index {
	return Index{Filters: map[string][]string{"author": {p.Author}}}
}

// PolicyContent holds the files of the PolicyRevision of the same id, apart from it because it is large.
type PolicyContent struct {
	Meta
	Files []PolicyFile `json:"files"`
	// Signature is the signed token of the bundle, empty where it has none.
	Signature string `json:"signature,omitempty"`
}

// PolicyFile is one file of a bundle; Path is relative to its root.
type PolicyFile struct {
	Path string `json:"path"`
	Body []byte `json:"body"`
}

// PolicyContentKind has no index: content is read by its revision alone.
var PolicyContentKind = Kind{Name: "policy_contents", Authority: true, New: func() Record { return new(PolicyContent) }}

func (p *PolicyContent) RecordMeta() *Meta { return &p.Meta }
func (*PolicyContent) Kind() Kind          { return PolicyContentKind }

// Index implements Record.
func (*PolicyContent) Index() Index { return Index{} }

// PolicyActivation says that a revision began to serve, when, by whom and why. Activations are numbered from 1; number 0 is the state
// before the first, in which every node serves its own policies.
type PolicyActivation struct {
	Meta
	Number int64 `json:"number"`
	// Revision serves from now on; empty is each node's own policies. Replaced is the one that served until now.
	Revision string    `json:"revision,omitempty"`
	Replaced string    `json:"replaced,omitempty"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	// Rollback says that it took back what came before it. Back is the number of the activation that a rollback leads to from here.
	Rollback bool  `json:"rollback,omitempty"`
	Back     int64 `json:"back"`
	// Acknowledged says that the actor took on what the impact shows.
	Acknowledged bool            `json:"acknowledged,omitempty"`
	Impact       json.RawMessage `json:"impact,omitempty"`
	DecisionID   string          `json:"decision_id"`
}

// PolicyActivationID is the id of an activation; ids sort by number.
func PolicyActivationID(number int64) string { return fmt.Sprintf("%016d", number) }

// PolicyActivationKind: filter by revision.
var PolicyActivationKind = Kind{
	Name: "policy_activations", Filters: []string{"revision"}, Authority: true, New: func() Record { return new(PolicyActivation) },
}

func (p *PolicyActivation) RecordMeta() *Meta { return &p.Meta }
func (*PolicyActivation) Kind() Kind          { return PolicyActivationKind }

// Index implements Record.
func (p *PolicyActivation) Index() Index {
	return Index{Filters: map[string][]string{"revision": {p.Revision}}}
}

// PolicyData is a document that application policies see. Its id is the path below data at which it stands, with slashes.
type PolicyData struct {
	Meta
	Document json.RawMessage `json:"document,omitempty"`
}

// PolicyDataKind has no index: there are few documents, and nodes read them all.
var PolicyDataKind = Kind{Name: "policy_data", Authority: true, New: func() Record { return new(PolicyData) }}

func (p *PolicyData) RecordMeta() *Meta { return &p.Meta }
func (*PolicyData) Kind() Kind          { return PolicyDataKind }

// Index implements Record.
func (*PolicyData) Index() Index { return Index{} }
