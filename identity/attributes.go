package identity

import (
	"slices"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// view is the state that rights are flattened over: the mirror, or the mirror as a change would leave it.
type view interface {
	role(key storage.RoleKey) *storage.Role // nil where there is none
	group(id storage.GroupID) *storage.Group
	tenant(id storage.TenantID) *storage.Tenant
}

// overlay is a view in which some records are different. A nil record is one that is gone.
type overlay struct {
	view
	roles   map[storage.RoleKey]*storage.Role
	groups  map[storage.GroupID]*storage.Group
	tenants map[storage.TenantID]*storage.Tenant
}

func (o overlay) role(key storage.RoleKey) *storage.Role {
	if r, ok := o.roles[key]; ok {
		return r
	}
	return o.view.role(key)
}

func (o overlay) group(id storage.GroupID) *storage.Group {
	if g, ok := o.groups[id]; ok {
		return g
	}
	return o.view.group(id)
}

func (o overlay) tenant(id storage.TenantID) *storage.Tenant {
	if t, ok := o.tenants[id]; ok {
		return t
	}
	return o.view.tenant(id)
}

// window is half-open; zero ends are open.
type window struct{ from, until time.Time }

func windowOf(from, until *time.Time) window {
	var w window
	if from != nil {
		w.from = *from
	}
	if until != nil {
		w.until = *until
	}
	return w
}

// clip returns the common part of two windows, and whether there is any.
func (w window) clip(by window) (window, bool) {
	if w.from.Before(by.from) {
		w.from = by.from
	}
	if w.until.IsZero() || !by.until.IsZero() && by.until.Before(w.until) {
		w.until = by.until
	}
	return w, w.until.IsZero() || w.from.Before(w.until)
}

// flattening collects the rights of one identity. Data preparation only: nothing here says what a right is good for.
type flattening struct {
	view   view
	window window // of the identity itself; every grant is clipped by it
	grants []policies.Grant
	seen   map[policies.Grant]bool
	roles  []string
	held   map[storage.RoleKey]bool
}

func newFlattening(v view, w window) *flattening {
	return &flattening{view: v, window: w, seen: map[policies.Grant]bool{}, held: map[storage.RoleKey]bool{}}
}

func (f *flattening) add(grants []storage.Grant, via string) {
	for _, g := range grants {
		w, some := windowOf(g.NotBefore, g.NotAfter).clip(f.window)
		if !some {
			continue
		}
		flat := policies.Grant{
			Tenant: string(g.Tenant), Resource: g.Resource, Action: g.Action, Via: via, NotBefore: w.from, NotAfter: w.until,
		}
		if !f.seen[flat] {
			f.seen[flat] = true
			f.grants = append(f.grants, flat)
		}
	}
}

// addRole adds a role with everything it inherits. A cycle ends where it closes, a key without a role gives nothing.
func (f *flattening) addRole(key storage.RoleKey, via string) {
	visited := map[storage.RoleKey]bool{}
	var walk func(storage.RoleKey)
	walk = func(key storage.RoleKey) {
		if visited[key] {
			return
		}
		visited[key] = true
		role := f.view.role(key)
		if role == nil {
			return
		}
		if !f.held[key] {
			f.held[key] = true
			f.roles = append(f.roles, string(key))
		}
		f.add(role.Grants, via)
		for _, inherited := range role.Inherits {
			walk(inherited)
		}
	}
	walk(key)
}

func (f *flattening) addGroup(id storage.GroupID) {
	group := f.view.group(id)
	if group == nil {
		return
	}
	for _, key := range group.Roles {
		f.addRole(key, "group:"+string(id))
	}
}

// flattened are the rights of an identity, with the roles and groups that they come from.
type flattened struct {
	roles, groups []string
	grants        []policies.Grant
}

func flatten(v view, i *storage.Identity) flattened {
	flat := newFlattening(v, windowOf(i.NotBefore, i.NotAfter))
	flat.add(i.Grants, "own")
	for _, key := range i.Roles {
		flat.addRole(key, "role:"+string(key))
	}
	groups := make([]string, 0, len(i.Groups))
	for _, group := range i.Groups {
		flat.addGroup(group)
		groups = append(groups, string(group))
	}
	return flattened{roles: flat.roles, groups: groups, grants: slices.Clone(flat.grants)} // a copy as long as it must be, because it is kept
}

// identityFacts fills what users and applications have in common.
func identityFacts(v view, kind, id string, i *storage.Identity, flat flattened) policies.Identity {
	w := windowOf(i.NotBefore, i.NotAfter)
	return policies.Identity{
		Type: kind, ID: id, Exists: true, Tenant: string(i.Tenant), TenantEnabled: tenantEnabled(v, i.Tenant),
		NotBefore: w.from, NotAfter: w.until, Protected: i.Protected, Groups: flat.groups, Roles: flat.roles, Grants: flat.grants,
		Attributes: i.Attributes,
	}
}

// tenantEnabled is true also where there is no tenant. A tenant that is gone is not enabled.
func tenantEnabled(v view, id storage.TenantID) bool {
	if id == "" {
		return true
	}
	t := v.tenant(id)
	return t != nil && t.Enabled
}

func userFacts(v view, u *storage.User) policies.Identity {
	return userFactsOf(v, u, flatten(v, &u.Identity))
}

// userFactsOf are the facts of a user whose rights are known.
func userFactsOf(v view, u *storage.User, flat flattened) policies.Identity {
	i := identityFacts(v, kindUser, u.ID, &u.Identity, flat)
	i.Active = u.SuspendedAt == nil
	i.TemporaryPassword = u.Password.Temporary
	return i
}

func applicationFacts(v view, a *storage.Application, audiences []string) policies.Identity {
	return applicationFactsOf(v, a, audiences, flatten(v, &a.Identity))
}

// applicationFactsOf are the facts of an application whose rights are known.
func applicationFactsOf(v view, a *storage.Application, audiences []string, flat flattened) policies.Identity {
	i := identityFacts(v, kindApplication, a.ID, &a.Identity, flat)
	i.Active = a.IsActive
	i.Scopes = a.Scopes
	i.Audiences = a.Audiences
	if i.Audiences == nil {
		i.Audiences = audiences
	}
	i.GrantTypes = a.GrantTypes
	i.Retrievable = a.Retrievable
	return i
}

// roleFacts are a role with its expansion, which is what giving it gives.
func roleFacts(v view, r *storage.Role) policies.Identity {
	flat := newFlattening(v, window{})
	flat.add(r.Grants, "own")
	for _, key := range r.Inherits {
		flat.addRole(key, "role:"+string(key))
	}
	return policies.Identity{
		Type: kindRole, ID: r.ID, Exists: true, Tenant: string(r.Tenant), TenantEnabled: tenantEnabled(v, r.Tenant), Active: true,
		Protected: r.Protected, Roles: flat.roles, Grants: flat.grants,
	}
}

func groupFacts(v view, g *storage.Group) policies.Identity {
	flat := newFlattening(v, window{})
	for _, key := range g.Roles {
		flat.addRole(key, "role:"+string(key))
	}
	return policies.Identity{
		Type: kindGroup, ID: g.ID, Exists: true, Tenant: string(g.Tenant), TenantEnabled: tenantEnabled(v, g.Tenant), Active: true,
		Protected: g.Protected, Roles: flat.roles, Grants: flat.grants,
	}
}

// tenantFacts: a tenant holds no rights and belongs to no tenant.
func tenantFacts(t *storage.Tenant) policies.Identity {
	return policies.Identity{Type: kindTenant, ID: t.ID, Exists: true, TenantEnabled: true, Active: true, Protected: t.Protected}
}

// imagined is a view in which a tenant exists: whoever names one that does not is told so after the decision, which must not
// fail over it.
func imagined(v view, id storage.TenantID) view {
	if id == "" || v.tenant(id) != nil {
		return v
	}
	return overlay{view: v, tenants: map[storage.TenantID]*storage.Tenant{id: {Enabled: true}}}
}
