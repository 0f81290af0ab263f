package storage

import (
	"encoding/json"
	"time"
)

// The ids of the things that grants, memberships and tokens name. They are distinct types so that they cannot be swapped.
type (
	UserID        string
	ApplicationID string
	TenantID      string
	GroupID       string
	RoleKey       string
)

// AnyTenant is the tenant of a grant that covers every tenant and none.
const AnyTenant TenantID = "*"

// Grant is one ACL entry of a role or an identity. The window is half-open; nil ends are open.
type Grant struct {
	// Tenant is a tenant's id, AnyTenant, or empty for objects that belong to no tenant.
	Tenant    TenantID   `json:"tenant,omitempty"`
	Resource  string     `json:"resource"`
	Action    string     `json:"action"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
}

// Identity is what users and applications have in common.
type Identity struct {
	Name string `json:"name"`
	// NameKey is the folded form under which the name is searched.
	NameKey   string     `json:"name_key,omitempty"`
	Tenant    TenantID   `json:"tenant,omitempty"`
	Groups    []GroupID  `json:"groups"`
	Roles     []RoleKey  `json:"roles"`
	Grants    []Grant    `json:"grants"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	// Addresses are the CIDRs from which the identity may come; nil means anywhere.
	Addresses []string `json:"addresses,omitempty"`
	// Properties and Attributes are JSON objects, or nil for empty ones.
	Properties json.RawMessage `json:"properties,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Protected  bool            `json:"protected,omitempty"`
	// Epoch is compared with the one in a token: a token with a lower one is dead. It never falls.
	Epoch int64 `json:"epoch"`
}
