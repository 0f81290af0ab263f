package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// Holders implements enforce.Holders: from the grant to the roles that give it, and from those to the groups that carry them, in the
// mirror; from there to who has one of them, by the store's indexes. So a page costs what is on it and not how many there are.
func (r *Room) Holders(ctx context.Context, h enforce.Holding, after string, limit int) ([]*enforce.Subject, error) {
	found := r.directory.holding(h)
	var entries []*entry
	var err error
	switch h.Type {
	case kindUser:
		entries, err = holders(ctx, r.store, found, after, limit, r.directory.known)
	case kindApplication:
		entries, err = holders(ctx, r.store, found, after, limit, func(a *storage.Application) *entry {
			if e := r.directory.application(a.ID); e != nil {
				return e
			}
			return applicationEntry(a)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("find holders: %w", err)
	}
	subjects := make([]*enforce.Subject, len(entries))
	for n, e := range entries {
		subjects[n] = r.directory.subject(e)
	}
	return subjects, nil
}

// SealPage returns a token for the place where a search goes on; OpenPage takes it back, for the same search alone.
func (r *Room) SealPage(search, place string) string { return r.cursors.seal(searching(search), place) }

// OpenPage returns false for a token that was not made for this search.
func (r *Room) OpenPage(search, token string) (place string, ok bool) {
	place, err := r.cursors.open(searching(search), "page", token)
	return place, err == nil
}

func searching(search string) binding {
	return binding{list: "search", filters: map[string]string{"search": search}}
}

// known is the entry of a user that was just read. What the cache has is at least as new; it is not made to keep what a search passes.
func (d *directory) known(u *storage.User) *entry {
	if e := d.users.id(u.ID); e != nil {
		return e
	}
	return &entry{user: u, addresses: prefixes(u.Addresses)}
}

// holding returns, by the indexes of identities, the values of those that have such a grant: of their own, by a role, or by a group.
func (d *directory) holding(h enforce.Holding) map[string][]string {
	wanted := map[string]bool{}
	for _, tenant := range h.Tenants {
		for _, resource := range h.Resources {
			for _, action := range h.Actions {
				wanted[strings.Join([]string{tenant, resource, action}, " ")] = true
			}
		}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var giving []storage.RoleKey
	for key, role := range d.roles {
		if slices.ContainsFunc(role.Grants, func(g storage.Grant) bool {
			return slices.Contains(h.Actions, g.Action) && wanted[strings.Join([]string{string(g.Tenant), g.Resource, g.Action}, " ")]
		}) {
			giving = append(giving, key)
		}
	}
	roles, groups := d.givers.heirsOf(giving)
	return map[string][]string{"grant": keysOf(wanted), "role": texts(roles), "group": texts(groups)}
}

func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for n, s := range list {
		out[n] = string(s)
	}
	return out
}

// streamed is how many values of an index are read one by one, each in order; more are read at once, and sorted by the store.
const streamed = 16

// holders are the first identities behind after that have one of the values in one of the indexes.
func holders[T any, P storage.Pointer[T]](
	ctx context.Context, store storage.Reader, values map[string][]string, after string, limit int, known func(P) *entry,
) ([]*entry, error) {
	var records []P
	for name, all := range values {
		queries := [][]string{all}
		if name != "grant" && len(all) <= streamed {
			queries = slices.Collect(slices.Chunk(all, 1))
		}
		for _, some := range queries {
			if len(some) == 0 {
				continue
			}
			page, err := storage.List[T, P](ctx, store, storage.Query{Equal: map[string][]string{name: some}, After: after, Limit: limit})
			if err != nil {
				return nil, err
			}
			records = append(records, page...)
		}
	}
	slices.SortFunc(records, func(a, b P) int { return strings.Compare(a.RecordMeta().ID, b.RecordMeta().ID) })
	records = slices.CompactFunc(records, func(a, b P) bool { return a.RecordMeta().ID == b.RecordMeta().ID })
	records = records[:min(limit, len(records))]
	entries := make([]*entry, len(records))
	for n, record := range records {
		entries[n] = known(record)
	}
	return entries, nil
}
