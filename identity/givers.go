package identity

import (
	"slices"

	"github.com/writ-authz/writ/storage"
)

// givers finds the roles and groups that can give everything without going through all of them, which are many. It is an index of the
// mirror, kept with it.
type givers struct {
	direct map[storage.RoleKey]bool                     // with such a grant of their own
	heirs  map[storage.RoleKey]map[storage.RoleKey]bool // by what they inherit
	groups map[storage.RoleKey]map[storage.GroupID]bool // by what they carry
}

func newGivers() givers {
	return givers{
		direct: map[storage.RoleKey]bool{}, heirs: map[storage.RoleKey]map[storage.RoleKey]bool{},
		groups: map[storage.RoleKey]map[storage.GroupID]bool{},
	}
}

// role notes that a role is another than before; nil is none.
func (g *givers) role(key storage.RoleKey, before, after *storage.Role) {
	delete(g.direct, key)
	if before != nil {
		leave(g.heirs, before.Inherits, key)
	}
	if after != nil {
		enter(g.heirs, after.Inherits, key)
		if slices.ContainsFunc(after.Grants, everywhere) {
			g.direct[key] = true
		}
	}
}

// group is the same of a group.
func (g *givers) group(id storage.GroupID, before, after *storage.Group) {
	if before != nil {
		leave(g.groups, before.Roles, id)
	}
	if after != nil {
		enter(g.groups, after.Roles, id)
	}
}

func everywhere(g storage.Grant) bool {
	return g.Tenant == storage.AnyTenant && g.Resource == "*" && g.Action == "*" && g.NotBefore == nil && g.NotAfter == nil
}

func enter[V comparable](index map[storage.RoleKey]map[V]bool, keys []storage.RoleKey, value V) {
	for _, key := range keys {
		if index[key] == nil {
			index[key] = map[V]bool{}
		}
		index[key][value] = true
	}
}

func leave[V comparable](index map[storage.RoleKey]map[V]bool, keys []storage.RoleKey, value V) {
	for _, key := range keys {
		if delete(index[key], value); len(index[key]) == 0 {
			delete(index, key)
		}
	}
}

// candidates returns all roles and groups that may give everything in a view of the mirror in which these are different. A role gives it
// by a grant of its own, or by what it inherits: so it is in the index, or different, or an heir of such a one over roles that are not.
func (g *givers) candidates(roles []storage.RoleKey, groups []storage.GroupID) ([]storage.RoleKey, []storage.GroupID) {
	foundRoles, foundGroups := g.heirsOf(append(keysOf(g.direct), roles...))
	for _, id := range groups {
		if !slices.Contains(foundGroups, id) {
			foundGroups = append(foundGroups, id)
		}
	}
	return foundRoles, foundGroups
}

// heirsOf returns the roles with all that inherit one of them, and the groups that carry any of those.
func (g *givers) heirsOf(roles []storage.RoleKey) ([]storage.RoleKey, []storage.GroupID) {
	foundRoles, foundGroups := map[storage.RoleKey]bool{}, map[storage.GroupID]bool{}
	var visit func(storage.RoleKey)
	visit = func(key storage.RoleKey) {
		if foundRoles[key] {
			return
		}
		foundRoles[key] = true
		for id := range g.groups[key] {
			foundGroups[id] = true
		}
		for heir := range g.heirs[key] {
			visit(heir)
		}
	}
	for _, key := range roles {
		visit(key)
	}
	return keysOf(foundRoles), keysOf(foundGroups)
}

func keysOf[K comparable](set map[K]bool) []K {
	keys := make([]K, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	return keys
}

// different returns the roles and groups in which a view is not the mirror.
func different(v view) (roles []storage.RoleKey, groups []storage.GroupID) {
	for {
		o, ok := v.(overlay)
		if !ok {
			return roles, groups
		}
		for key := range o.roles {
			roles = append(roles, key)
		}
		for id := range o.groups {
			groups = append(groups, id)
		}
		v = o.view
	}
}
