package storage

// Role is a named bundle of grants. Its id is the role's key.
type Role struct {
	Meta
	Description string    `json:"description,omitempty"`
	Grants      []Grant   `json:"grants"`
	Inherits    []RoleKey `json:"inherits"`
	Tenant      TenantID  `json:"tenant,omitempty"`
	Protected   bool      `json:"protected,omitempty"`
}

// RoleKind: filter by tenant, by the roles inherited and by the key.
var RoleKind = Kind{
	Name: "roles", Filters: []string{"tenant", "inherits", "key"}, Authority: true, New: func() Record { return new(Role) },
}

func (r *Role) RecordMeta() *Meta { return &r.Meta }
func (*Role) Kind() Kind          { return RoleKind }

// Index implements Record.
func (r *Role) Index() Index {
	return Index{Filters: map[string][]string{"tenant": {string(r.Tenant)}, "inherits": texts(r.Inherits), "key": {r.ID}}}
}
