package policies_test

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

var seed = flag.Uint64("seed", 0, "seed of the random worlds of the dominance tests; 0 draws one")

// menagerie is a catalogue for these worlds: feed implies read, but not in a cage; open is explicit.
const menagerie = `
types:
  zoo:
    title: Zoo
    group: Test
    actions:
      read: {title: Read}
      feed: {title: Feed, implies: [read]}
      open: {title: Open, explicit: true}
  zoo/cage:
    title: Cages
    group: Test
    actions:
      read: {title: Read}
      feed: {title: Feed}
      open: {title: Open}
`

// The closed universe. "fresh", "misc" and "zoo/fresh" stand for all that nobody named: what only a wildcard covers.
var (
	pointTenants   = []string{"", "t1", "t2", "fresh"}
	pointResources = []string{
		"zoo", "zoo/1", "zoo/den", "zoo/den/1", "zoo/cage", "zoo/cage/1", "zoo/fresh",
		"shop", "shop/1", "shop/den", "shop/cage", "shop/fresh", "fresh",
	}
	pointActions = []string{"read", "feed", "open", "misc"}
	// Instants are in seconds after the epoch; it is second 10 now.
	pointInstants = []int64{10, 14, 15, 19, 20, 1 << 30}
)

const presentSecond = 10

// A point is one concrete permission: this action on this object of this tenant at this instant.
type point struct {
	tenant, resource, action string
	instant                  int64
}

func points(yield func(point) bool) {
	for _, tenant := range pointTenants {
		for _, resource := range pointResources {
			for _, action := range pointActions {
				for _, instant := range pointInstants {
					if !yield(point{tenant, resource, action, instant}) {
						return
					}
				}
			}
		}
	}
}

// The oracle knows the semantics from DESIGN section 3 and nothing of covering patterns by patterns.

func matches(g policies.Grant, p point) bool {
	return (g.Tenant == "*" || g.Tenant == p.tenant) && resourceMatches(g.Resource, p.resource) &&
		actionMatches(g.Action, p.resource, p.action) && instantMatches(g, p.instant)
}

func resourceMatches(granted, resource string) bool {
	return granted == "*" || granted == resource || strings.HasPrefix(resource, granted+"/")
}

func actionMatches(granted, resource, action string) bool {
	inZoo := resource == "zoo" || strings.HasPrefix(resource, "zoo/")
	inCage := resource == "zoo/cage" || strings.HasPrefix(resource, "zoo/cage/")
	switch {
	case granted == action:
		return true
	case granted == "*":
		return !inZoo || action != "open"
	default:
		return granted == "feed" && action == "read" && inZoo && !inCage
	}
}

func instantMatches(g policies.Grant, instant int64) bool {
	return (g.NotBefore.IsZero() || g.NotBefore.Unix() <= instant) && (g.NotAfter.IsZero() || instant < g.NotAfter.Unix())
}

// A world is an actor with a token, and a target before and after a change.
type world struct {
	owned         []policies.Grant
	tenant        string // of the actor's identity
	token         string // the token's tenant
	scoped        bool
	scopes        []string
	before, after []policies.Grant
}

// may says whether the actor has the right of a point, by one of its grants, one of its scopes and its tenant.
func (w *world) may(p point) bool {
	confined := w.token
	if confined == "" {
		confined = w.tenant
	}
	if confined != "" && p.tenant != confined && (p.tenant != "" || confined != w.tenant) {
		return false
	}
	if w.scoped && !slices.ContainsFunc(w.scopes, func(scope string) bool {
		resource, action, _ := strings.Cut(scope, ":")
		return resourceMatches(resource, p.resource) && actionMatches(action, p.resource, p.action)
	}) {
		return false
	}
	return slices.ContainsFunc(w.owned, func(g policies.Grant) bool { return matches(g, p) })
}

// excess is a point that the target has before or after and the actor has not.
func (w *world) excess() (point, bool) {
	for p := range points {
		has := func(g policies.Grant) bool { return matches(g, p) }
		if (slices.ContainsFunc(w.before, has) || slices.ContainsFunc(w.after, has)) && !w.may(p) {
			return p, true
		}
	}
	return point{}, false
}

func (w *world) String() string {
	return fmt.Sprintf("actor of tenant %q with %v, token of tenant %q, scoped %t to %v; target before %v, after %v",
		w.tenant, texts(w.owned), w.token, w.scoped, w.scopes, texts(w.before), texts(w.after))
}

func texts(grants []policies.Grant) []string {
	list := make([]string, len(grants))
	for i, g := range grants {
		from, until := max(g.NotBefore.Unix(), 0), max(g.NotAfter.Unix(), 0)
		list[i] = fmt.Sprintf("%s|%s:%s[%d,%d)", g.Tenant, g.Resource, g.Action, from, until)
	}
	return list
}

// question asks whether the actor may make the change; all that it needs besides is there.
func (w *world) question(t *testing.T) *policies.Question {
	t.Helper()
	manage := policies.Grant{Tenant: "*", Resource: "iam/users", Action: "write", Via: "role:test:manager"}
	scopes, err := policies.NewScopes(append([]string{"iam/users:write"}, w.scopes...))
	if err != nil {
		t.Fatal(err)
	}
	place := w.token
	if place == "" {
		place = w.tenant
	}
	target := policies.Identity{Type: "user", ID: "target", Exists: true, Active: true, Tenant: place, TenantEnabled: true}
	before, after := target, target
	before.Grants, after.Grants = w.before, w.after
	return &policies.Question{
		Entrypoint: policies.EntryAdmin, Action: "write", Now: time.Unix(presentSecond, 0),
		Subject: policies.NewFacts(policies.Identity{
			Type: "user", ID: "actor", Exists: true, Active: true, Tenant: w.tenant, TenantEnabled: true,
			Grants: append([]policies.Grant{manage}, w.owned...),
		}),
		Resource: policies.Resource{
			Type: "iam/users", ID: "target", Tenant: place, TenantEnabled: true, Exists: true, OtherOwners: -1, OwnersBefore: -1,
			Before: policies.NewFacts(before), After: policies.NewFacts(after), Changes: []string{"grants"}, Proof: "none",
			AfterDetail: json.RawMessage(`{"references":{}}`),
		},
		Caller: policies.Caller{
			ClientID: "app_console", Scoped: w.scoped, Scopes: scopes, Tenant: w.token,
			Audiences: []string{"https://writ.example/management"}, UserToken: true,
			Plane: policies.PlaneManagement, Address: policies.AddressAllowed,
		},
	}
}

// decide puts the world to the PDP. A denial must be for dominance alone.
func (w *world) decide(t *testing.T, pdp *policies.PDP) bool {
	t.Helper()
	q := w.question(t)
	d, err := pdp.Decide(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", w, err)
	}
	if !d.Allow {
		reasons, err := pdp.Why(t.Context(), q, d)
		if err != nil || len(reasons) != 1 || reasons[0].Code != "delegation_exceeds_actor" {
			t.Fatalf("%s: reasons %v, %v", w, reasons, err)
		}
	}
	return d.Allow
}

// dice makes worlds. Plain ones have no windows, no wildcards and no action that another implies.
type dice struct {
	*mathrand.Rand
	plain bool
}

func roll(t *testing.T) *mathrand.Rand {
	t.Helper()
	s := *seed
	for s == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			t.Fatal(err)
		}
		s = binary.LittleEndian.Uint64(b[:])
	}
	t.Logf("again with: go test ./policies -run '^%s$' -seed %d", t.Name(), s)
	return mathrand.New(mathrand.NewPCG(s, s))
}

// longVariable, set to 1, runs what takes minutes at full length.
const longVariable = "WRIT_TEST_LONG"

// short is how many worlds are tried: some, and all of them at full length.
func short(t *testing.T, some, all int) int {
	t.Helper()
	worlds := some
	if os.Getenv(longVariable) == "1" {
		worlds = all
	}
	t.Logf("%d worlds; %s=1 makes it %d", worlds, longVariable, all)
	return worlds
}

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

func (d dice) grant() policies.Grant {
	g := policies.Grant{
		Tenant:   pick(d, "", "t1", "t2"),
		Resource: pick(d, "zoo", "zoo/den", "zoo/den/1", "zoo/cage", "zoo/cage/1", "shop", "shop/1"),
		Action:   pick(d, "read", "open"), Via: pick(d, "own", "role:a:b", "group:g"),
	}
	if d.plain {
		return g
	}
	g.Action = pick(d, "read", "feed", "open", "*", "*")
	if d.IntN(3) == 0 {
		g.Tenant = "*"
	}
	if d.IntN(5) == 0 {
		g.Resource = "*"
	}
	if d.IntN(3) == 0 {
		g.NotBefore = pick(d, time.Time{}, time.Unix(5, 0), time.Unix(10, 0), time.Unix(15, 0))
		g.NotAfter = pick(d, time.Time{}, time.Unix(10, 0), time.Unix(11, 0), time.Unix(15, 0), time.Unix(20, 0))
	}
	return g
}

// within makes a grant that is often, not always, within another.
func (d dice) within(g policies.Grant) policies.Grant {
	g.Via = pick(d, "own", "role:c:d")
	if g.Tenant == "*" && d.IntN(2) == 0 {
		g.Tenant = pick(d, pointTenants[:3]...)
	}
	if g.Resource == "*" && d.IntN(2) == 0 {
		g.Resource = pick(d, "zoo", "shop")
	} else if (g.Resource == "zoo" || g.Resource == "shop") && d.IntN(2) == 0 {
		g.Resource += pick(d, "/1", "/den", "/cage")
	}
	if g.Action == "*" && d.IntN(2) == 0 {
		g.Action = pick(d, "read", "feed", "open")
	} else if g.Action == "feed" && d.IntN(2) == 0 {
		g.Action = "read"
	}
	if !d.plain && d.IntN(4) == 0 {
		g.NotAfter = pick(d, time.Unix(11, 0), time.Unix(15, 0))
	}
	return g
}

func (d dice) grants(n int) []policies.Grant {
	grants := make([]policies.Grant, d.IntN(n+1))
	for i := range grants {
		grants[i] = d.grant()
	}
	return grants
}

func (d dice) wanted(owned []policies.Grant) []policies.Grant {
	var grants []policies.Grant
	for _, g := range owned {
		if d.IntN(2) == 0 {
			grants = append(grants, d.within(g))
		}
	}
	if d.IntN(5) == 0 {
		grants = append(grants, d.grant())
	}
	return grants
}

func (d dice) world() *world {
	w := &world{owned: d.grants(5), scoped: d.IntN(3) == 0}
	switch d.IntN(6) {
	case 0:
		w.tenant, w.token = "t1", "t1"
	case 1:
		w.token = "t1"
	case 2:
		w.tenant = "t1"
	}
	if w.scoped {
		for _, g := range d.grants(4) {
			w.scopes = append(w.scopes, g.Resource+":"+g.Action)
		}
		for _, g := range w.owned {
			if d.IntN(2) == 0 {
				w.scopes = append(w.scopes, g.Resource+":"+g.Action)
			}
		}
	}
	w.before, w.after = d.wanted(w.owned), d.wanted(w.owned)
	return w
}

func openMenagerie(t *testing.T) *policies.PDP {
	t.Helper()
	return open(t, policies.Config{Dir: write(t, map[string]string{"catalogue/data.yaml": menagerie})})
}

func TestDominanceNeverExceedsTheOracle(t *testing.T) {
	pdp, d := openMenagerie(t), dice{Rand: roll(t)}
	permitted, worlds := 0, short(t, 2500, 7500)
	for range worlds {
		w := d.world()
		if !w.decide(t, pdp) {
			continue
		}
		permitted++
		if p, exceeds := w.excess(); exceeds {
			t.Fatalf("permitted, but the actor lacks %+v: %s", p, w)
		}
	}
	if permitted < worlds/10 || permitted > worlds*9/10 {
		t.Fatalf("%d of %d worlds were permitted: they say little", permitted, worlds)
	}
}

func TestDominanceIsTheOracleWithoutWindowsAndWildcards(t *testing.T) {
	pdp, d := openMenagerie(t), dice{Rand: roll(t), plain: true}
	permitted, worlds := 0, short(t, 2500, 5000)
	for range worlds {
		w := d.world()
		p, exceeds := w.excess()
		allow := w.decide(t, pdp)
		if allow == exceeds {
			t.Fatalf("permitted is %t, and the oracle sees an excess: %t %+v; %s", allow, exceeds, p, w)
		}
		if allow {
			permitted++
		}
	}
	if permitted < worlds/10 || permitted > worlds*9/10 {
		t.Fatalf("%d of %d worlds were permitted: they say little", permitted, worlds)
	}
}

// One grant against one: the rule is the Go catalogue's Covers.
func TestDominanceAgreesWithTheCatalogue(t *testing.T) {
	pdp, d := openMenagerie(t), dice{Rand: roll(t)}
	catalogue := pdp.Catalogue()
	for range 1000 {
		owned, wanted := d.grant(), d.grant()
		if d.IntN(2) == 0 {
			wanted = d.within(owned)
		}
		for _, g := range []*policies.Grant{&owned, &wanted} {
			g.Tenant, g.NotBefore, g.NotAfter = "", time.Time{}, time.Time{}
		}
		w := &world{owned: []policies.Grant{owned}, after: []policies.Grant{wanted}}
		covers := catalogue.Covers(owned.Resource, owned.Action, wanted.Resource, wanted.Action)
		if allow := w.decide(t, pdp); allow != covers {
			t.Fatalf("Rego says %t and Go %t of %v for %v", allow, covers, texts(w.owned), texts(w.after))
		}
	}
}

// What a giver gives, and its receiver gives on, and so forth, is never more than the first one had.
func TestDelegationChainsNeverExceedTheirRoot(t *testing.T) {
	pdp, d := openMenagerie(t), dice{Rand: roll(t)}
	links := 0
	for range 300 {
		root := &world{owned: d.grants(5)}
		holder := root.owned
		for range 5 {
			next := d.wanted(holder)
			link := &world{owned: holder, after: next}
			if !link.decide(t, pdp) {
				continue
			}
			links++
			holder = next
			end := &world{owned: root.owned, after: holder}
			if p, exceeds := end.excess(); exceeds {
				t.Fatalf("after a chain of permitted changes the root lacks %+v: %s", p, end)
			}
		}
	}
	if links < 100 {
		t.Fatalf("only %d links were permitted: they say little", links)
	}
}

// Losing a grant never adds a right: what the lesser actor may give, the greater may.
func TestLosingAGrantNeverAddsARight(t *testing.T) {
	pdp, d := openMenagerie(t), dice{Rand: roll(t)}
	for range short(t, 500, 1000) {
		w := d.world()
		if len(w.owned) == 0 || w.decide(t, pdp) {
			continue
		}
		lesser := *w
		lost := d.IntN(len(w.owned))
		lesser.owned = slices.Delete(slices.Clone(w.owned), lost, lost+1)
		if lesser.decide(t, pdp) {
			t.Fatalf("without %v it is permitted: %s", texts(w.owned[lost:lost+1]), w)
		}
	}
}

// Identity.Usable in Go and the rules say the same of random identities.
func TestUsableIsWhatTheRulesSay(t *testing.T) {
	pdp, d := open(t, policies.Config{}), dice{Rand: roll(t)}
	usable := 0
	for range 2000 {
		identity := policies.Identity{
			Type: pick(d, "user", "application"), ID: "x", Exists: d.IntN(6) > 0, Active: d.IntN(6) > 0, Tenant: pick(d, "", "t1"),
			TenantEnabled: d.IntN(6) > 0, Grants: []policies.Grant{{Tenant: "*", Resource: "shop", Action: "read", Via: "own"}},
		}
		identity.NotBefore = pick(d, time.Time{}, time.Unix(9, 0), time.Unix(10, 0), time.Unix(10, 1), time.Unix(11, 0))
		identity.NotAfter = pick(d, time.Time{}, time.Unix(10, 0), time.Unix(10, 1), time.Unix(11, 0))
		address := pick(d, policies.AddressAllowed, policies.AddressAllowed, policies.AddressUnknown, policies.AddressRefused)
		present := time.Unix(presentSecond, int64(d.IntN(2)))
		want := identity.Usable(present, address)
		decision, err := pdp.Decide(t.Context(), &policies.Question{
			Entrypoint: policies.EntryDecision, Subject: policies.NewFacts(identity), Action: "read", Now: present,
			Resource: policies.Resource{Type: "shop", ID: "1", Tenant: identity.Tenant, TenantEnabled: true, Exists: true},
			Caller:   policies.Caller{ClientID: "app_asker", Address: address},
		})
		if err != nil {
			t.Fatal(err)
		}
		if decision.Allow != want {
			t.Fatalf("Rego says %t and Go %t of %+v at %s from %s", decision.Allow, want, identity, present, address)
		}
		if want {
			usable++
		}
	}
	if usable < 100 {
		t.Fatalf("only %d were usable: they say little", usable)
	}
}
