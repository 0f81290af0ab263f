package storage

// Group is a set of members, which name it in their own records, that carries roles.
type Group struct {
	Meta
	Name string `json:"name"`
	// NameKey is the folded form under which the name is searched.
	NameKey     string    `json:"name_key,omitempty"`
	Description string    `json:"description,omitempty"`
	Roles       []RoleKey `json:"roles"`
	Tenant      TenantID  `json:"tenant,omitempty"`
	Protected   bool      `json:"protected,omitempty"`
}

// GroupKind: filter by tenant, role and the name's folded form.
var GroupKind = Kind{
	Name: "groups", Filters: []string{"tenant", "role", "name"}, Authority: true, New: func() Record { return new(Group) },
}

func (g *Group) RecordMeta() *Meta { return &g.Meta }
func (*Group) Kind() Kind          { return GroupKind }

// Index implements Record.
func (g *Group) Index() Index {
	return Index{Filters: map[string][]string{"tenant": {string(g.Tenant)}, "role": texts(g.Roles), "name": folded(g.NameKey)}}
}
