package identity_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// flat are the rights of a stored subject, as lines that sort.
func (w *world) flat(kind, id string) []string {
	w.t.Helper()
	s, err := w.room.Subject(w.t.Context(), kind, id)
	must(w.t, err)
	return lines(s.Facts.Identity().Grants)
}

func lines(grants []policies.Grant) []string {
	out := make([]string, len(grants))
	for i, g := range grants {
		out[i] = fmt.Sprintf("%s %s %s via %s [%d,%d)", g.Tenant, g.Resource, g.Action, g.Via, unix(g.NotBefore), unix(g.NotAfter))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func TestSubjectsAreFoundByIDAndByUsernameAndAnIDWins(t *testing.T) {
	w := newWorld(t)
	id := w.user("Ada", "")
	for _, name := range []string{id, "Ada", "ada", "ADA"} {
		s, err := w.room.Subject(t.Context(), "user", name)
		must(t, err)
		equal(t, "id of "+name, s.ID, id)
		equal(t, "name of "+name, s.Name, "Ada")
	}
	for _, nobody := range [][2]string{
		{"user", "bob"},
		{"user", "0193d4c2-7f00-7000-8000-000000000001"},
		{"user", ""},
		{"user", "a\x00b"},
		{"application", id},
		{"user", "root"},
		{"robot", "root"},
	} {
		s, err := w.room.Subject(t.Context(), nobody[0], nobody[1])
		must(t, err)
		equal(t, "exists "+nobody[0]+" "+nobody[1], s.Facts.Identity().Exists, false)
		equal(t, "id", s.ID, nobody[1])
	}
}

func TestASubjectThatCannotBeToldIsAnErrorAndNotNobody(t *testing.T) {
	w := newWorld(t)
	w.store.away.Store(true)
	if _, err := w.room.Subject(t.Context(), "user", "ada"); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	if _, err := w.room.Subject(t.Context(), "application", "root"); err != nil {
		t.Fatalf("an application is in memory: %v", err)
	}
}

func TestRightsFollowRolesAndGroupsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"}]`)
	w.root().put("/v1/roles/ops:editor", `{"grants":[{"resource":"ledger","action":"write"}],"inherits":["ops:viewer"]}`).is(201)
	w.root().put("/v1/groups/g1", `{"name":"One","roles":["ops:editor"]}`).is(201)
	id := w.user("ada", `,"groups":["g1"],"grants":[{"resource":"jobs","action":"read"}]`)
	want := []string{
		" jobs read via own [0,0)", " ledger read via group:g1 [0,0)", " ledger write via group:g1 [0,0)",
	}
	if diff := cmp.Diff(want, w.flat("user", id)); diff != "" {
		t.Fatal(diff)
	}
	w.root().patch("/v1/roles/ops:viewer", `{"grants":[]}`).is(200)
	w.root().patch("/v1/users/"+id, `{"grants":[]}`).is(200)
	if diff := cmp.Diff([]string{" ledger write via group:g1 [0,0)"}, w.flat("user", id)); diff != "" {
		t.Fatal(diff)
	}
	s, err := w.room.Subject(t.Context(), "user", id)
	must(t, err)
	again, err := w.room.Subject(t.Context(), "user", id)
	must(t, err)
	if s.Facts != again.Facts {
		t.Fatal("the facts were flattened twice though nothing changed")
	}
}

func TestRightsAreClippedByTheIdentitysWindow(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/applications/a", `{"name":"a","not_before":"2026-06-02T00:00:00Z","not_after":"2026-06-10T00:00:00Z","grants":[
		{"resource":"x","action":"open"},
		{"resource":"x","action":"early","not_after":"2026-06-01T18:00:00Z"},
		{"resource":"x","action":"over","not_before":"2026-06-05T00:00:00Z","not_after":"2026-07-01T00:00:00Z"}]}`).is(201)
	day := func(d int) int64 { return time.Date(2026, 6, d, 0, 0, 0, 0, time.UTC).Unix() }
	want := []string{
		fmt.Sprintf(" x open via own [%d,%d)", day(2), day(10)), fmt.Sprintf(" x over via own [%d,%d)", day(5), day(10)),
	}
	if diff := cmp.Diff(want, w.flat("application", "a")); diff != "" {
		t.Fatal(diff)
	}
}

// naive walks every path from an identity to a grant, without caches, sharing or shortcuts.
func naive(roles map[string]*storage.Role, groups map[string]*storage.Group, own []string, member []string) map[string]bool {
	found := map[string]bool{}
	var walk func(key, via string, depth int)
	walk = func(key, via string, depth int) {
		role := roles[key]
		if role == nil || depth > 8 {
			return
		}
		for _, g := range role.Grants {
			found[g.Resource+" via "+via] = true
		}
		for _, next := range role.Inherits {
			walk(string(next), via, depth+1)
		}
	}
	for _, key := range own {
		walk(key, "role:"+key, 0)
	}
	for _, id := range member {
		if g := groups[id]; g != nil {
			for _, key := range g.Roles {
				walk(string(key), "group:"+id, 0)
			}
		}
	}
	return found
}

func TestFlatteningEqualsTheNaiveWalkAlsoOverCycles(t *testing.T) {
	w := newWorld(t)
	names := []string{"r:0", "r:1", "r:2", "r:3", "r:4"}
	rapid.Check(t, func(rt *rapid.T) {
		roles, groups := map[string]*storage.Role{}, map[string]*storage.Group{}
		some := rapid.SliceOfDistinct(rapid.SampledFrom(append(names, "r:gone")), rapid.ID[string])
		var records []storage.Record
		for i, name := range names {
			r := &storage.Role{Grants: []storage.Grant{{Resource: "res" + strconv.Itoa(i), Action: "read"}}}
			r.ID = name
			for _, key := range some.Draw(rt, "inherits of "+name) {
				r.Inherits = append(r.Inherits, storage.RoleKey(key))
			}
			roles[name] = r
			records = append(records, r)
		}
		for _, id := range []string{"g0", "g1"} {
			g := &storage.Group{Name: id}
			g.ID = id
			for _, key := range some.Draw(rt, "roles of "+id) {
				g.Roles = append(g.Roles, storage.RoleKey(key))
			}
			groups[id] = g
			records = append(records, g)
		}
		own := some.Draw(rt, "own")
		member := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"g0", "g1", "g9"}), rapid.ID[string]).Draw(rt, "groups")
		a := &storage.Application{IsActive: true}
		a.ID = "subject"
		for _, key := range own {
			a.Roles = append(a.Roles, storage.RoleKey(key))
		}
		for _, id := range member {
			a.Groups = append(a.Groups, storage.GroupID(id))
		}
		w.write(append(records, a)...)
		got := map[string]bool{}
		s, err := w.room.Subject(t.Context(), "application", "subject")
		must(t, err)
		for _, g := range s.Facts.Identity().Grants {
			got[g.Resource+" via "+g.Via] = true
		}
		if diff := cmp.Diff(naive(roles, groups, own, member), got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// write puts records into the store behind the room's back, as another node would, and lets the room follow.
func (w *world) write(records ...storage.Record) {
	w.t.Helper()
	ctx := w.t.Context()
	sequence, err := w.store.Sequence(ctx)
	must(w.t, err)
	must(w.t, w.store.Store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		for _, r := range records {
			old := r.Kind().New()
			if err := tx.Get(ctx, old, r.RecordMeta().ID); err == nil {
				r.RecordMeta().Version = old.RecordMeta().Version
				if err := tx.Update(ctx, r); err != nil {
					return err
				}
			} else if err := tx.Insert(ctx, r); err != nil {
				return err
			}
		}
		return nil
	}))
	must(w.t, w.follow())
}

func TestAddressesOfIdentityAndTenantMustBothAllow(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/acme", `{"name":"Acme","addresses":["192.0.2.0/24"]}`).is(201)
	id := w.user("ada", `,"tenant":"acme","addresses":["192.0.2.7/32","2001:db8::/32"]`)
	s, err := w.room.Subject(t.Context(), "user", id)
	must(t, err)
	for address, want := range map[string]string{
		"192.0.2.7": policies.AddressAllowed, "192.0.2.8": policies.AddressRefused, "2001:db8::1": policies.AddressRefused,
		"::ffff:192.0.2.7": policies.AddressAllowed,
	} {
		equal(t, address, w.room.AddressFact(s, netip.MustParseAddr(address)), want)
	}
	equal(t, "no address", w.room.AddressFact(s, netip.Addr{}), policies.AddressUnknown)
	root, err := w.room.Subject(t.Context(), "application", "root")
	must(t, err)
	equal(t, "no list", w.room.AddressFact(root, netip.Addr{}), policies.AddressAllowed)
}

func TestTheUserCacheIsBoundedAndFollowsChanges(t *testing.T) {
	w := newWorldWith(t, func(c *config) { c.UserCache = 3 })
	var ids []string
	for i := range 5 {
		u := &storage.User{Username: fmt.Sprint("u", i), UsernameKey: fmt.Sprint("u", i), EmailKey: fmt.Sprint("e", i)}
		u.ID = fmt.Sprintf("0193d4c2-7f00-7000-8000-00000000000%d", i)
		w.write(u)
		ids = append(ids, u.ID)
	}
	for range 2 {
		for _, id := range ids {
			s, err := w.room.Subject(t.Context(), "user", id)
			must(t, err)
			equal(t, "active", s.Facts.Identity().Active, true)
		}
	}
	equal(t, "users in memory", w.room.Cached(), 3)
	w.root().patch("/v1/users/"+ids[4], `{"suspended_at":"2026-06-01T11:00:00Z"}`).is(200)
	s, err := w.room.Subject(t.Context(), "user", "u4")
	must(t, err)
	equal(t, "active", s.Facts.Identity().Active, false)
	equal(t, "epoch", s.Epoch, 1)
}

func TestTheMirrorIsFreshOnlyWhileTheFeedIs(t *testing.T) {
	w := newWorld(t)
	must(t, w.room.Fresh())
	w.pass(6 * time.Second)
	if err := w.room.Fresh(); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	must(t, w.follow())
	must(t, w.room.Fresh())
}

func TestAnUnreadableRecordStopsTheFeedAndNotTheMirror(t *testing.T) {
	w := newWorld(t)
	w.store.away.Store(true)
	if err := w.follow(); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	w.store.away.Store(false)
	must(t, w.follow())
}

func TestARestartLoadsTheSameMirror(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"}]`)
	w.root().put("/v1/groups/g1", `{"name":"One","roles":["ops:viewer"]}`).is(201)
	w.application("a", `,"groups":["g1"]`)
	before := w.flat("application", "a")
	w.open()
	if diff := cmp.Diff(before, w.flat("application", "a")); diff != "" || len(before) != 1 {
		t.Fatal(diff, before)
	}
	if !strings.Contains(w.root().get("/v1/groups/g1").is(200).body, `"permissions":[{"resource":"ledger"`) {
		t.Fatal("the group shows its permissions")
	}
}

// Who has the same roles, groups and window shares the rights, which are most of what is kept of a user.
func TestPI04WhoHasTheSameRightsSharesThem(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"},{"resource":"jobs","action":"read"}]`)
	w.root().put("/v1/groups/g1", `{"name":"One","roles":["ops:viewer"]}`).is(201)
	first := func(id string) *policies.Grant {
		s, err := w.room.Subject(t.Context(), "user", id)
		must(t, err)
		return &s.Facts.Identity().Grants[0]
	}
	ada, bob := w.user("ada", `,"roles":["ops:viewer"]`), w.user("bob", `,"roles":["ops:viewer"]`)
	others := map[string]string{
		"own grant": w.user("eve", `,"roles":["ops:viewer"],"grants":[{"resource":"x","action":"read"}]`),
		"window":    w.user("tom", `,"roles":["ops:viewer"],"not_after":"2030-01-01T00:00:00Z"`),
		"group":     w.user("joe", `,"groups":["g1"]`),
		"both":      w.user("sue", `,"roles":["ops:viewer"],"groups":["g1"]`),
	}
	before := first(ada)
	if before != first(bob) {
		t.Fatal("two users with the same role do not share its rights")
	}
	for name, id := range others {
		if first(id) == before {
			t.Errorf("%s: shares the rights of those who have the role alone", name)
		}
	}
	w.root().patch("/v1/roles/ops:viewer", `{"grants":[{"resource":"ledger","action":"write"}]}`).is(200)
	for _, id := range []string{ada, bob} {
		if diff := cmp.Diff([]string{" ledger write via role:ops:viewer [0,0)"}, w.flat("user", id)); diff != "" {
			t.Fatal(diff)
		}
	}
	if first(ada) != first(bob) {
		t.Fatal("they no longer share after the role was edited")
	}
	for _, id := range append(slices.Collect(maps.Values(others)), ada, bob) {
		w.root().del("/v1/users/" + id).is(204)
	}
	w.root().get("/v1/users").is(200)
	for deadline := time.Now().Add(time.Minute); w.room.SharedRights() > 1; runtime.GC() { // root's are left
		if time.Now().After(deadline) {
			t.Fatalf("%d sets of rights are kept for nobody", w.room.SharedRights())
		}
	}
}
