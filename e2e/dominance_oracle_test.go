package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The oracle of the dominance test. It keeps its own picture of a small world and says what a caller may do there, from DESIGN section 3
// alone: rights are sets of concrete points (tenant, resource, action, instant), and within is set inclusion.

// bits is a set of points.
type bits [38]uint64

func (b *bits) add(o bits) {
	for i := range b {
		b[i] |= o[i]
	}
}

func (b bits) minus(o bits) bits {
	for i := range b {
		b[i] &^= o[i]
	}
	return b
}

func (b bits) and(o bits) bits {
	for i := range b {
		b[i] &= o[i]
	}
	return b
}

func (b bits) within(o bits) bool { return b.minus(o) == bits{} }

// A right is a grant as the oracle knows it. The ends of its window are years, 0 is open; it is year 1 now, and what has ended is not made.
type right struct {
	tenant, resource, action string
	from, until              int
	via                      string
}

func (g right) String() string {
	return fmt.Sprintf("%s:%s@%q[%d,%d)%s", g.resource, g.action, g.tenant, g.from, g.until, g.via)
}

// body is the grant in JSON.
func (g right) body() object {
	o := object{"resource": g.resource, "action": g.action}
	if g.tenant != "" {
		o["tenant"] = g.tenant
	}
	if g.from != 0 {
		o["not_before"] = yearly(g.from)
	}
	if g.until != 0 {
		o["not_after"] = yearly(g.until)
	}
	return o
}

func yearly(year int) string { return fmt.Sprintf("%d-01-01T00:00:00Z", year) }

var (
	dominanceResources = []string{
		"iam/users", "iam/users/x", "iam/applications", "iam/applications/x", "iam/roles", "iam/groups", "iam/tenants", "iam/sessions", "iam/imports",
		"tokens", "keys", "shop", "shop/1", "shop/den", "fresh",
	}
	dominanceActions = []string{"read", "write", "delete", "write_scopes", "reset_password", "reveal", "revoke_all", "buy"}
	// A year of each interval that the windows of the worlds make.
	dominanceYears = []int{1, 2090, 2092, 2099}
)

// explicitHere says that no wildcard gives the action on the resource.
func explicitHere(resource, action string) bool {
	return action == "reveal" && under(resource, "iam/applications") || action == "revoke_all" && under(resource, "tokens")
}

func under(resource, granted string) bool {
	return granted == "*" || granted == resource || strings.HasPrefix(resource, granted+"/")
}

func gives(granted, action, resource string) bool {
	return granted == action || granted == "*" && !explicitHere(resource, action)
}

// A thing is any object of the world: a user, application, role, group or tenant.
type thing struct {
	kind, id, tenant string
	grants           []right
	roles, groups    []string // of a role: what it inherits
	active           bool     // of a tenant: enabled
	from, until      int
	scopes           []string // nil: no ceiling
	grantTypes       []string
	addresses        bool // limited to where nobody comes from
	protected        bool
	secrets          []string
	text             string // a name or a description
}

func (t *thing) path() string     { return t.kind + "/" + t.id }
func (t *thing) person() bool     { return t.kind == "users" }
func (t *thing) identity() bool   { return t.kind == "users" || t.kind == "applications" }
func (t *thing) GoString() string { return t.path() } // as rapid shows it
func (t *thing) copied() *thing   { c := *t; return &c }

// path names a thing: users/…, roles/….
type path string

// A state is all things by their paths. It is not modified, but replaced.
type state map[string]*thing

func (s state) with(t *thing) state {
	next := maps.Clone(s)
	next[t.path()] = t
	return next
}

func (s state) without(paths ...string) state {
	next := maps.Clone(s)
	for _, p := range paths {
		delete(next, p)
	}
	return next
}

// clip is the common part of two windows, and whether there is any.
func (g right) clip(from, until int) (right, bool) {
	g.from = max(g.from, from)
	if g.until == 0 || until != 0 && until < g.until {
		g.until = until
	}
	return g, g.until == 0 || g.from < g.until
}

// rights are all grants of a thing, with what its roles and groups give, clipped by its window.
func (s state) rights(t *thing) []right {
	if t == nil {
		return nil
	}
	var out []right
	add := func(grants []right, via string) {
		for _, g := range grants {
			g.via = via
			if g, some := g.clip(t.from, t.until); some {
				out = append(out, g)
			}
		}
	}
	add(t.grants, "own")
	for _, key := range t.roles {
		for _, inherited := range s.expand(key) {
			add(s["roles/"+inherited].grants, "role:"+key)
		}
	}
	for _, id := range t.groups {
		if group := s["groups/"+id]; group != nil {
			for _, key := range group.roles {
				for _, inherited := range s.expand(key) {
					add(s["roles/"+inherited].grants, "group:"+id)
				}
			}
		}
	}
	return out
}

// expand is a role and all that it inherits.
func (s state) expand(keys ...string) []string {
	var out []string
	for len(keys) > 0 {
		key := keys[0]
		keys = keys[1:]
		if role := s["roles/"+key]; role != nil && !slices.Contains(out, key) {
			out = append(out, key)
			keys = append(keys, role.roles...)
		}
	}
	return out
}

// holds are the roles of a thing, by all ways.
func (s state) holds(t *thing) []string {
	if t == nil {
		return nil
	}
	keys := slices.Clone(t.roles)
	for _, id := range t.groups {
		if group := s["groups/"+id]; group != nil {
			keys = append(keys, group.roles...)
		}
	}
	return s.expand(keys...)
}

func (s state) tenantEnabled(id string) bool {
	return id == "" || s["tenants/"+id] != nil && s["tenants/"+id].active
}

// usable says whether an identity may act now.
func (s state) usable(t *thing) bool {
	return t != nil && t.active && !t.addresses && s.tenantEnabled(t.tenant) && t.from <= 1 && (t.until == 0 || t.until > 1)
}

// full says that a thing has everything, everywhere, without end.
func (s state) full(t *thing) bool {
	return t != nil && (!t.identity() || t.tenant == "") && slices.ContainsFunc(s.rights(t), everythingForever)
}

func everythingForever(g right) bool {
	return g.tenant == "*" && g.resource == "*" && g.action == "*" && g.from == 0 && g.until == 0
}

// owners counts the usable persons who are full administrators. One that is limited to addresses counts: somebody may come from there.
func (s state) owners(but string) int {
	n := 0
	for _, t := range s {
		if anywhere := t.copied(); t.person() && t.path() != but {
			if anywhere.addresses = false; s.full(t) && s.usable(anywhere) {
				n++
			}
		}
	}
	return n
}

// universe has the tenants of one world; the index of a point is its bit.
type universe struct {
	tenants []string
	points  []concrete
	known   map[right]bits
}

type concrete struct {
	tenant, resource, action string
	year                     int
}

func newUniverse(tenants ...string) *universe {
	u := &universe{tenants: append([]string{"", "fresh"}, tenants...), known: map[right]bits{}}
	for _, tenant := range u.tenants {
		for _, resource := range dominanceResources {
			for _, action := range dominanceActions {
				for _, year := range dominanceYears {
					u.points = append(u.points, concrete{tenant, resource, action, year})
				}
			}
		}
	}
	return u
}

// utmost is everything in a tenant, the explicit actions by name.
func utmost(tenant string) []right {
	return []right{
		{tenant: tenant, resource: "*", action: "*"},
		{tenant: tenant, resource: "iam/applications", action: "reveal"},
		{tenant: tenant, resource: "tokens", action: "revoke_all"},
	}
}

// of is the set of points of one grant.
func (u *universe) of(g right) bits {
	g.via = ""
	if known, ok := u.known[g]; ok {
		return known
	}
	var b bits
	for n, p := range u.points {
		if (g.tenant == "*" || g.tenant == p.tenant) && under(p.resource, g.resource) && gives(g.action, p.action, p.resource) &&
			g.from <= p.year && (g.until == 0 || p.year < g.until) {
			b[n/64] |= 1 << (n % 64)
		}
	}
	u.known[g] = b
	return b
}

func (u *universe) sum(grants []right) bits {
	var b bits
	for _, g := range grants {
		b.add(u.of(g))
	}
	return b
}

// scopesAsRights are permissions in every tenant and at any time.
func scopesAsRights(scopes []string, tenant string) []right {
	out := make([]right, len(scopes))
	for i, scope := range scopes {
		at := strings.LastIndexByte(scope, ':')
		out[i] = right{tenant: tenant, resource: scope[:at], action: scope[at+1:]}
	}
	return out
}

// explain names a point of a set.
func (u *universe) explain(b bits) string {
	for n, p := range u.points {
		if b[n/64]&(1<<(n%64)) != 0 {
			return fmt.Sprintf("%s:%s@%q in %d", p.resource, p.action, p.tenant, p.year)
		}
	}
	return "nothing"
}

// A caller is an identity with a credential: its registered scopes or its token's limit it, and its tenant or its token's confines it.
type caller struct {
	self   path
	auth   string   // Authorization
	secret string   // the id of the secret that it proved, of an application
	scoped bool     // to scopes
	scopes []string // nil: nothing
	tenant string   // of the token
	dead   bool     // revoked
	basic  bool
}

func (c *caller) String() string {
	return fmt.Sprintf("%s (basic %t, scoped %t to %v, tenant %q)", c.self, c.basic, c.scoped, c.scopes, c.tenant)
}

// GoString is how rapid shows it.
func (c *caller) GoString() string { return c.String() }

func (s state) confined(c *caller) string {
	if c.tenant != "" {
		return c.tenant
	}
	return s[string(c.self)].tenant
}

// reaches says whether the caller's tenant lets it act on a tenant's behalf.
func (s state) reaches(c *caller, tenant string) bool {
	confined := s.confined(c)
	return confined == "" || tenant == confined || tenant == "" && confined == s[string(c.self)].tenant
}

// limits are the scopes of a caller; an application with Basic has its registered ones.
func (s state) limits(c *caller) (scopes []string, scoped bool) {
	if c.basic {
		me := s[string(c.self)]
		return me.scopes, me.scopes != nil
	}
	return c.scopes, c.scoped
}

// owned are the caller's grants that are valid now.
func (s state) owned(c *caller) []right {
	return slices.DeleteFunc(s.rights(s[string(c.self)]), func(g right) bool { return g.from > 1 })
}

// effective is the set of points that the caller has: by its grants, within its scopes and its tenant.
func (s state) effective(u *universe, c *caller) bits {
	b := u.sum(s.owned(c))
	if scopes, scoped := s.limits(c); scoped {
		b = b.and(u.sum(scopesAsRights(scopes, "*")))
	}
	var reached bits
	for _, tenant := range u.tenants {
		if s.reaches(c, tenant) {
			reached.add(u.sum(utmost(tenant)))
		}
	}
	return b.and(reached)
}

// covers says whether one of the caller's grants and one of its scopes alone cover a wanted grant.
func (s state) covers(u *universe, c *caller, wanted right) bool {
	if !s.reaches(c, wanted.tenant) || wanted.tenant == "*" && s.confined(c) != "" {
		return false
	}
	permission := u.of(right{tenant: "fresh", resource: wanted.resource, action: wanted.action})
	if scopes, scoped := s.limits(c); scoped && !slices.ContainsFunc(scopesAsRights(scopes, "fresh"), func(g right) bool {
		return permission.within(u.of(g))
	}) {
		return false
	}
	return slices.ContainsFunc(s.owned(c), func(g right) bool { return singly(u, g, wanted) })
}

func singly(u *universe, g, wanted right) bool {
	wanted.from = 0 // it may begin whenever it likes
	return u.of(wanted).within(u.of(g))
}

// permitted says whether the caller holds an action on an object now.
func (s state) permitted(c *caller, kind, id, tenant, action string) bool {
	resource := "iam/" + kind
	if id != "" {
		resource += "/" + id
	}
	return slices.ContainsFunc(s.owned(c), func(g right) bool {
		return (g.tenant == tenant || g.tenant == "*") && under(resource, g.resource) && gives(g.action, action, resource)
	}) && s.scopedTo(c, resource, action)
}

func (s state) scopedTo(c *caller, resource, action string) bool {
	scopes, scoped := s.limits(c)
	return !scoped || slices.ContainsFunc(scopesAsRights(scopes, "*"), func(g right) bool {
		return under(resource, g.resource) && gives(g.action, action, resource)
	})
}

// readable says whether the caller could GET the object.
func (s state) readable(c *caller, t *thing) bool {
	place := t.tenant
	if t.kind == "tenants" {
		place = ""
	}
	confined := s.confined(c)
	if confined != "" && place != "" && place != confined {
		return false
	}
	if s.permitted(c, t.kind, t.id, place, "read") {
		return true
	}
	if t.kind == "roles" && place == "" { // every tenant uses them
		for _, g := range s.owned(c) {
			if (confined == "" || g.tenant == "" || g.tenant == "*" || g.tenant == confined) && s.permitted(c, "roles", t.id, g.tenant, "read") {
				return true
			}
		}
	}
	return false
}

func (s state) fullAdministrator(c *caller) bool {
	scopes, scoped := s.limits(c)
	return s.confined(c) == "" && s.full(s[string(c.self)]) && (!scoped || slices.Contains(scopes, "*:*"))
}
