package identity

import (
	"context"
	"slices"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// everything is, as an index value, the grant that makes a full administrator where it has no window.
const everything = "* * *"

// owners returns the ids of the users that are full administrators, belong to no tenant that would confine them, and are usable, over a view that may be one of a change. It only
// counts; whether enough remain is said in Rego.
func (r *Room) owners(ctx context.Context, v view, now time.Time) ([]string, error) {
	roles, groups := r.bundles(v)
	candidates := map[string]*storage.User{}
	for filter, values := range map[string][]string{
		"role": roles, "group": groups, "grant": {everything},
	} {
		if len(values) == 0 {
			continue
		}
		for after := ""; ; {
			page, err := storage.List[storage.User](ctx, r.store, storage.Query{
				Equal: map[string][]string{filter: values}, After: after, Limit: loadPage,
			})
			if err != nil {
				return nil, err
			}
			for _, u := range page {
				candidates[u.ID], after = u, u.ID
			}
			if len(page) < loadPage {
				break
			}
		}
	}
	var found []string
	for id, u := range candidates {
		facts := userFacts(v, u)
		if u.Tenant == "" && facts.Usable(now, policies.AddressUnknown) && slices.ContainsFunc(facts.Grants, givesEverything) {
			found = append(found, id)
		}
	}
	return found, nil
}

func givesEverything(g policies.Grant) bool {
	return g.Tenant+" "+g.Resource+" "+g.Action == everything && g.NotBefore.IsZero() && g.NotAfter.IsZero()
}

// bundles returns the roles and groups that give everything, before or after the change.
func (r *Room) bundles(v view) (roles, groups []string) {
	var keys []storage.RoleKey
	var ids []storage.GroupID
	otherRoles, otherGroups := different(v)
	r.directory.read(func(view) { keys, ids = r.directory.givers.candidates(otherRoles, otherGroups) })
	for _, key := range keys {
		if role := v.role(key); role != nil && slices.ContainsFunc(roleFacts(v, role).Grants, givesEverything) {
			roles = append(roles, string(key))
		}
	}
	for _, id := range ids {
		if group := v.group(id); group != nil && slices.ContainsFunc(groupFacts(v, group).Grants, givesEverything) {
			groups = append(groups, string(id))
		}
	}
	return roles, groups
}

// countOwners fills the two counts of a question about changing touched users (none for a change of a bundle or a tenant, which
// after shows instead).
func (r *Room) countOwners(ctx context.Context, q *policies.Question, before, after view, now time.Time, touched ...string) error {
	had, err := r.owners(ctx, before, now)
	if err != nil {
		return err
	}
	have := had
	if len(touched) == 0 {
		if have, err = r.owners(ctx, after, now); err != nil {
			return err
		}
	}
	have = slices.DeleteFunc(slices.Clone(have), func(id string) bool { return slices.Contains(touched, id) })
	q.Resource.OwnersBefore, q.Resource.OtherOwners = len(had), len(have)
	return nil
}
