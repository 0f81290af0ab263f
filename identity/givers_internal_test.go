package identity

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/writ-authz/writ/storage"
)

// Whoever counts owners must find every role and group that gives everything, however it came to: what goes through all of them is the
// oracle.
func TestTheIndexFindsAllThatGivesEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := []storage.RoleKey{"a:a", "a:b", "a:c", "a:d", "a:e"}
		ids := []storage.GroupID{"g1", "g2", "g3"}
		role := func() *storage.Role {
			if rapid.IntRange(0, 4).Draw(t, "gone") == 0 {
				return nil
			}
			made := &storage.Role{Inherits: rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, 3, rapid.ID).Draw(t, "inherits")}
			if rapid.IntRange(0, 3).Draw(t, "gives") == 0 {
				made.Grants = []storage.Grant{{Tenant: "*", Resource: "*", Action: "*"}}
			}
			return made
		}
		group := func() *storage.Group {
			if rapid.IntRange(0, 4).Draw(t, "gone") == 0 {
				return nil
			}
			return &storage.Group{Roles: rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, 2, rapid.ID).Draw(t, "roles")}
		}
		d := newDirectory(nil, nil, 1)
		r := &Room{directory: d}
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			if rapid.Bool().Draw(t, "of a role") {
				d.putRole(rapid.SampledFrom(keys).Draw(t, "role"), role())
			} else {
				d.putGroup(rapid.SampledFrom(ids).Draw(t, "group"), group())
			}
		}
		var v view = mirror{d}
		for range rapid.IntRange(0, 2).Draw(t, "overlays") {
			v = overlay{
				view: v, roles: map[storage.RoleKey]*storage.Role{rapid.SampledFrom(keys).Draw(t, "other role"): role()},
				groups: map[storage.GroupID]*storage.Group{rapid.SampledFrom(ids).Draw(t, "other group"): group()},
			}
		}
		var want []string
		for _, key := range keys {
			if role := v.role(key); role != nil && slices.ContainsFunc(roleFacts(v, role).Grants, givesEverything) {
				want = append(want, fmt.Sprint("role ", key))
			}
		}
		for _, id := range ids {
			if group := v.group(id); group != nil && slices.ContainsFunc(groupFacts(v, group).Grants, givesEverything) {
				want = append(want, fmt.Sprint("group ", id))
			}
		}
		var got []string
		roles, groups := r.bundles(v)
		for _, key := range roles {
			got = append(got, "role "+key)
		}
		for _, id := range groups {
			got = append(got, "group "+id)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
