package storage

// Tenant is a compartment of identities and objects.
type Tenant struct {
	Meta
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	// Addresses are the CIDRs from which the tenant's identities may come; nil means anywhere.
	Addresses []string `json:"addresses,omitempty"`
	Protected bool     `json:"protected,omitempty"`
}

// TenantKind has no index but the id.
var TenantKind = Kind{Name: "tenants", Authority: true, New: func() Record { return new(Tenant) }}

func (t *Tenant) RecordMeta() *Meta { return &t.Meta }
func (*Tenant) Kind() Kind          { return TenantKind }

// Index implements Record.
func (*Tenant) Index() Index { return Index{} }

// Tombstone keeps the epoch of a deleted user or application. Its id is "users/<id>" or "applications/<id>".
type Tombstone struct {
	Meta
	Epoch int64 `json:"epoch"`
}

// TombstoneKind is written in the transaction that deletes the object.
var TombstoneKind = Kind{Name: "tombstones", Authority: true, New: func() Record { return new(Tombstone) }}

func (t *Tombstone) RecordMeta() *Meta { return &t.Meta }
func (*Tombstone) Kind() Kind          { return TombstoneKind }

// Index implements Record.
func (*Tombstone) Index() Index { return Index{} }
