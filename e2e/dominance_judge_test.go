package e2e

import (
	"fmt"
	"slices"
)

// An attempt is one request of a caller with what it would change: the object before and after, and the whole state after.
type attempt struct {
	by           *caller
	method, path string
	body         object
	kind, action string // iam/<kind>:<action>; the kind "me" is oneself
	id           string // "" where the server chooses it, or many are named
	tenant       string // where the object is, and where it would be
	arrival      string
	before       *thing // nil: not there
	after        *thing // nil: not there any more
	next         state
	changes      []string
	forced       bool
	secretsLeft  int        // after a change of secrets
	late         string     // what stands in the way of who may do it: a status in use, a cycle
	several      bool       // a bulk; before is the sum
	includes     bool       // the caller, in a bulk
	places       []string   // the tenants of a bulk
	hidden       bool       // of a bulk one is missing or out of sight
	status       []string   // of me: what is named and is nobody's own
	parts        []*attempt // of an import: the change of each object, its next being that of all
	plan         bool       // it only says what it would do
	pointer      string     // of a part: where it stands
	// done brings the model up to what the reply says; nil if nothing but next.
	done func(reply)
}

func (a *attempt) has(change string) bool { return slices.Contains(a.changes, change) }

func (a *attempt) String() string {
	return fmt.Sprintf("%s: %s %s %v", a.by, a.method, a.path, a.body)
}

// judge says why the attempt must be refused, and why it may be: the second are also grants that only together cover what is wanted.
func (s state) judge(u *universe, a *attempt) (must, may []string) {
	if a.parts != nil {
		return s.judgeBatch(u, a)
	}
	refuse := func(when bool, why string) {
		if when {
			must, may = append(must, why), append(may, why)
		}
	}
	c := a.by
	me := s[string(c.self)]
	self := a.includes || a.before != nil && a.before.path() == string(c.self)
	confined := s.confined(c)
	moves := a.has("tenant")
	allowed := func(action string) bool {
		return s.permitted(c, a.kind, a.id, a.tenant, action) && (!moves || s.permitted(c, a.kind, a.id, a.arrival, action))
	}
	if a.kind != "me" {
		out := func(tenant string) bool { return confined != "" && tenant != "" && tenant != confined }
		refuse(out(a.tenant) || moves && out(a.arrival), "tenant_mismatch")
		refuse(confined != "" && (a.tenant == "" || moves && a.arrival == ""), "system_level_readonly")
		refuse(!allowed(a.action), "not_granted")
		refuse(a.kind == "applications" && s.rightsChanged(a) && !(allowed("write") && allowed("write_scopes")), "not_granted")
		places := slices.Clone(a.places)
		if !a.several {
			places = append(places, a.tenant)
		}
		if a.kind != "sessions" && a.kind != "tenants" {
			refuse(!a.next.tenantEnabled(a.arrival), "tenant_disabled")
			for _, place := range places {
				refuse(!s.tenantEnabled(place), "tenant_disabled")
			}
		}
		if a.forced && (a.kind == "roles" || a.kind == "groups") {
			for _, holder := range s.holders(a.before) {
				refuse(!s.tenantEnabled(holder.tenant), "tenant_disabled")
			}
		}
	} else {
		refuse(len(a.status) > 0, "not_owner")
	}
	refuse(a.hidden, "unknown_id")
	refuse(s.isProtected(c, a), "system_protected")
	refuse(self && s.endsItself(a, me) || s.resigns(a, me), "self_lockout")
	refuse(s.lastOwnerGoes(a), "last_owner")
	refuse(a.has("secrets") && a.before.active && len(a.before.secrets) > 0 && a.secretsLeft == 0 && !a.forced, "last_secret")
	refuse(s.promotes(a) && !s.fullAdministrator(c), "root_only")
	if a.kind == "me" && a.action == "password" || a.kind == "sessions" && self {
		return must, may // it was proved with the present secret, or is one's own to end
	}
	exceeds, unsure := s.exceeds(u, a, self)
	refuse(exceeds != "", "delegation_exceeds_actor: "+exceeds)
	if exceeds == "" && unsure {
		may = append(may, "no single grant covers")
	}
	if a.late != "" {
		refuse(true, a.late)
	}
	return must, may
}

func (s state) rightsChanged(a *attempt) bool {
	if a.has("create") {
		return len(a.after.grants)+len(a.after.roles)+len(a.after.groups)+len(a.after.scopes) > 0
	}
	return a.has("grants") || a.has("roles") || a.has("groups") || a.has("scopes") && !(a.after.scopes != nil && len(a.after.scopes) == 0)
}

func (s state) isProtected(c *caller, a *attempt) bool {
	if a.kind == "sessions" || a.kind == "me" && a.action == "password" {
		return false
	}
	rotation := a.before != nil && len(a.changes) == 1 && (a.has("secrets") || a.has("password") || a.has("epoch"))
	if rotation && s.fullAdministrator(c) {
		return false
	}
	if a.before != nil && a.before.protected {
		return true
	}
	if a.forced && (a.kind == "roles" || a.kind == "groups") {
		for _, holder := range s.holders(a.before) {
			if holder.protected {
				return true
			}
		}
	}
	return false
}

// holders are the things that have a role or are in a group, by themselves.
func (s state) holders(t *thing) []*thing {
	var out []*thing
	for _, holder := range s {
		if t.kind == "roles" && slices.Contains(holder.roles, t.id) || t.kind == "groups" && slices.Contains(holder.groups, t.id) {
			out = append(out, holder)
		}
	}
	return out
}

func (s state) endsItself(a *attempt, me *thing) bool {
	if a.kind == "sessions" {
		return false
	}
	if a.after == nil {
		return true
	}
	can := func(t *thing, grantType string) bool { return slices.Contains(t.grantTypes, grantType) }
	standing := a.after.copied()
	standing.addresses = false
	return a.has("status") || a.has("addresses") || !a.next.usable(standing) ||
		a.after.until != 0 && (me.until == 0 || a.after.until < me.until) ||
		can(me, "client_credentials") && !can(a.after, "client_credentials") ||
		a.has("secrets") && len(a.before.secrets) > 0 && a.secretsLeft == 0
}

// resigns: the change takes the caller's own administration, from itself or from a bundle that it has.
func (s state) resigns(a *attempt, me *thing) bool {
	if a.before == nil || a.kind == "sessions" || a.kind == "tenants" {
		return false
	}
	administrator := func(in state, t *thing) bool { return slices.Contains(in.holds(t), "system:owner") }
	if a.before.path() == me.path() {
		return a.after != nil && (s.full(me) && !a.next.full(a.after) || administrator(s, me) && !administrator(a.next, a.after))
	}
	bundled := a.before.kind == "roles" && slices.Contains(s.holds(me), a.before.id) ||
		a.before.kind == "groups" && slices.Contains(me.groups, a.before.id)
	if !bundled {
		return false
	}
	otherwise := slices.ContainsFunc(s.rights(me), func(g right) bool {
		return everythingForever(g) && (g.via == "own" || g.via == "role:system:owner" ||
			a.before.kind == "groups" && g.via != "group:"+a.before.id)
	})
	return s.full(a.before) && !a.next.full(a.after) && !otherwise || administrator(s, a.before) && !administrator(a.next, a.after)
}

func (s state) lastOwnerGoes(a *attempt) bool {
	if a.kind == "sessions" || s.owners("") == 0 || a.before == nil {
		return false
	}
	if a.has("addresses") && a.before.person() && a.after.addresses && s.full(a.before) {
		return a.next.owners(a.before.path()) == 0
	}
	return a.next.owners("") == 0
}

// promotes: the change gives the role of owners to what had it not.
func (s state) promotes(a *attempt) bool {
	return a.after != nil && a.kind != "sessions" && slices.Contains(a.next.holds(a.after), "system:owner") &&
		!slices.Contains(s.holds(a.before), "system:owner")
}

// exceeds says what of the target, before or after, is not the caller's, and otherwise whether it takes several of its grants together.
// Of oneself, the own grants may be narrowed by any credential; and what one has by a group one may take as one's own like anything else.
func (s state) exceeds(u *universe, a *attempt, self bool) (what string, unsure bool) {
	narrow := self && len(a.changes) > 0 && !slices.ContainsFunc(a.changes, func(change string) bool {
		return !slices.Contains([]string{"name", "description", "properties", "grants"}, change)
	})
	what, unsure = "one's own rights are not one's own to change", false
	if narrow {
		what, unsure = s.widens(u, a)
	}
	if a.kind == "me" || what == "" && !unsure {
		return what, unsure
	}
	if other, doubtful := s.exceedsCaller(u, a); what != "" || other == "" && !doubtful {
		return other, doubtful
	}
	return what, unsure
}

func (s state) exceedsCaller(u *universe, a *attempt) (what string, unsure bool) {
	c := a.by
	effective := s.effective(u, c)
	full := s.fullAdministrator(c)
	for in, t := range map[*state]*thing{&s: a.before, &a.next: a.after} {
		if t == nil {
			continue
		}
		for _, g := range in.rights(t) {
			if !u.of(g).within(effective) {
				return u.explain(u.of(g).minus(effective)), false
			}
			unsure = unsure || !s.covers(u, c, g)
		}
		if slices.Contains(t.grantTypes, "password") && !full {
			if t.scopes == nil {
				return "people sign in through it, and it has no ceiling", false
			}
			for _, g := range scopesAsRights(t.scopes, t.tenant) {
				g.until = 2 // now
				if !u.of(g).within(effective) {
					return "a scope of those who sign in through it: " + u.explain(u.of(g).minus(effective)), false
				}
				unsure = unsure || !s.covers(u, c, g)
			}
		}
	}
	if why := s.givesAway(a, full); why != "" {
		return why, false
	}
	if a.kind == "tenants" && !a.has("create") && (a.has("enabled") || a.has("addresses")) && !full {
		for _, tenant := range []string{"", a.before.id} {
			for _, g := range utmost(tenant) {
				if !s.covers(u, c, g) {
					return "the status of all in the tenant", false
				}
			}
		}
	}
	return "", unsure
}

// givesAway looks at what is given beside rights: grant types, and references that may come to give anything.
func (s state) givesAway(a *attempt, full bool) string {
	if a.after == nil || a.kind == "sessions" {
		return ""
	}
	var had, roles, groups []string
	if a.before != nil {
		had, roles, groups = a.before.grantTypes, a.before.roles, a.before.groups
	}
	me := s[string(a.by.self)]
	for _, grantType := range a.after.grantTypes {
		if !full && !slices.Contains(had, grantType) && !slices.Contains(me.grantTypes, grantType) && !me.person() {
			return "the grant type " + grantType
		}
	}
	confined := s.confined(a.by)
	if confined == "" {
		return ""
	}
	for kind, lists := range map[string][2][]string{"roles/": {roles, a.after.roles}, "groups/": {groups, a.after.groups}} {
		for _, id := range lists[1] {
			if t := a.next[kind+id]; t != nil && !slices.Contains(lists[0], id) && t.tenant != "" && t.tenant != confined {
				return "a reference to " + t.path() + " of another tenant"
			}
		}
	}
	return ""
}

// widens says whether one's own grants come to give what they did not.
func (s state) widens(u *universe, a *attempt) (string, bool) {
	own := func(in state, t *thing) []right {
		return slices.DeleteFunc(in.rights(t), func(g right) bool { return g.via != "own" })
	}
	before := slices.DeleteFunc(own(s, a.before), func(g right) bool { return g.from > 1 })
	had, unsure := u.sum(before), false
	for _, g := range own(a.next, a.after) {
		if slices.Contains(own(s, a.before), g) {
			continue
		}
		if !u.of(g).within(had) {
			return "wider than before: " + u.explain(u.of(g).minus(had)), false
		}
		unsure = unsure || !slices.ContainsFunc(before, func(b right) bool {
			return (b.tenant == g.tenant || b.tenant == "*") && singly(u, b, g)
		})
	}
	return "", unsure
}

// gained is what an identity can do after a change and could not do before, with who it is.
func gained(u *universe, before, after state) (who string, b bits) {
	for path, t := range after {
		if !t.identity() {
			continue
		}
		if gain := after.lives(u, t).minus(before.lives(u, before[path])); gain != (bits{}) {
			return path, gain
		}
	}
	return "", bits{}
}

// lives is what an identity can do while it is usable, whatever the time.
func (s state) lives(u *universe, t *thing) bits {
	if t == nil || !t.active || t.addresses || !s.tenantEnabled(t.tenant) {
		return bits{}
	}
	b := u.sum(s.rights(t))
	if t.tenant == "" {
		return b
	}
	var reached bits
	for _, tenant := range []string{"", t.tenant} {
		reached.add(u.sum(utmost(tenant)))
	}
	return b.and(reached)
}
