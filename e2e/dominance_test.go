package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSeedG07DominanceEverywhere plays random administrators with random rights. After each attempt an oracle, which knows nothing of the
// product's code, says whether it had to be refused, or might have been: see judge. Fewer actions are played on MongoDB, where each costs
// more and the rules are the same.
func TestSeedG07DominanceEverywhere(t *testing.T) {
	want := map[string]int{"sqlite": 5000, "mongo": 500}[suite.store]
	if os.Getenv(longVariable) == "1" {
		want *= 40
	}
	s := fresh(t, Options{})
	s.guests = true // the requests of the worlds are not remembered one by one
	fixed := fix(t, s)
	seed := flag.Lookup("rapid.seed").Value.String()
	if seed == "0" {
		seed = strconv.FormatUint(rand.Uint64()>>1, 10)
	}
	begun, total := time.Now(), &tally{}
	t.Logf("%d actions; %s=1 plays 40 times as many; again with: go test ./e2e -run '^%s$' -rapid.seed %s", want, longVariable, t.Name(), seed)
	first, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for round := uint64(0); (total.actions < want || total.rare() && total.actions < 3*want) && !t.Failed(); round++ {
		withFlags(t, map[string]string{
			"rapid.seed": strconv.FormatUint(first+round, 10), "rapid.checks": "5", "rapid.steps": "100", "rapid.shrinktime": shrinking(),
			"rapid.nofailfile": "true",
		}, func() {
			rapid.Check(t, func(rt *rapid.T) { (&play{t: rt, s: s, fixed: fixed, tally: total}).run() })
		})
	}
	t.Logf("%d actions in %s: %d accepted, %d refused, %d of them for more than the want of the right; %d lists; %d objects imported, %d plans; %d sent again",
		total.actions, time.Since(begun).Round(time.Second), total.accepted, total.refused, total.strict, total.lists, total.imported, total.plans,
		total.late)
	if total.late > total.actions/20 {
		t.Errorf("%d requests came too late", total.late)
	}
	if total.accepted < total.actions/10 || total.strict < total.actions/20 || total.lists == 0 || total.rare() {
		t.Errorf("%d of %d actions were accepted, %d refused for more than the want of the right, %d lists read, %d objects imported, %d plans: they say little",
			total.accepted, total.actions, total.strict, total.lists, total.imported, total.plans)
	}
}

// shrinking is how long a finding is made smaller; a world takes about a second.
func shrinking() string {
	if given := flag.Lookup("rapid.shrinktime"); given.Value.String() != given.DefValue {
		return given.Value.String()
	}
	return "60s"
}

// withFlags sets flags of the test binary for as long as f runs.
func withFlags(t *testing.T, values map[string]string, f func()) {
	t.Helper()
	for name, value := range values {
		was := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flag.Set(name, was) }()
	}
	f()
}

func fix(t *testing.T, s *Server) *fixture {
	t.Helper()
	c := story(t, s).as(basic("root", s.Secret))
	front := c.newApp(object{"name": "front end", "grant_types": list{"password"}})
	keeper := c.newUser(object{"roles": list{"system:owner"}})
	c.done()
	return &fixture{front: front, keeper: keeper.ID, root: c.auth, hash: worldHash}
}

// run plays one world.
func (p *play) run() {
	defer p.end()
	p.begin()
	p.t.Repeat(map[string]func(*rapid.T){
		"":                 func(*rapid.T) {},
		"edit an identity": p.acting(p.editIdentity), "edit an identity again": p.acting(p.editIdentity),
		"make an identity": p.acting(p.makeIdentity), "delete an identity": p.acting(p.deleteIdentity),
		"delete several": p.acting(p.deleteSeveral), "secrets": p.acting(p.changeSecrets), "revoke tokens": p.acting(p.revokeTokens),
		"end sessions": p.acting(p.endSessions), "reset a password": p.acting(p.resetPassword), "edit a bundle": p.acting(p.editBundle),
		"edit a bundle again": p.acting(p.editBundle), "make a bundle": p.acting(p.makeBundle), "delete a bundle": p.acting(p.deleteBundle),
		"edit a tenant": p.acting(p.editTenant), "make or delete a tenant": p.acting(p.remakeTenant), "oneself": p.acting(p.editOneself),
		"the own secret": p.acting(p.replaceOwnSecret), "read a list": p.acting(p.readList), "a token": p.acting(p.narrow),
		"import a batch": p.acting(p.importSeveral), "import again": p.acting(p.importSeveral), "what owners do": p.acting(p.ownersOnly), "a dead token": p.acting(p.useDead),
	})
	p.compare()
}

// acting draws a caller and lets it try something.
func (p *play) acting(f func(c *caller)) func(*rapid.T) {
	return func(t *rapid.T) {
		p.t = t
		callers := p.live()
		if len(callers) == 0 { // everybody is gone
			p.newMachine(&thing{grants: utmost("*")})
			callers = p.live()
		}
		f(rapid.SampledFrom(callers).Draw(t, "caller"))
	}
}

// try makes an attempt and holds the reply to the oracle.
func (p *play) try(a *attempt) {
	p.t.Helper()
	p.tally.actions++
	must, may := p.is.judge(p.u, a)
	r := p.call(a.method, a.path, a.by.auth, a.body)
	p.script = append(p.script, fmt.Sprintf("%s -> %d", a, r.status))
	fail := func(format string, args ...any) {
		p.t.Helper()
		p.t.Fatalf("%s\n  %s\n  its grants: %v\n  target before: %+v\n  target after: %+v\n  the oracle: must %v, may %v\n%s",
			fmt.Sprintf(format, args...), a, p.is.rights(p.is[string(a.by.self)]), a.before, a.after, must, may, r)
	}
	switch {
	case r.status/100 == 2 && len(must) > 0:
		fail("accepted, and it had to be refused")
	case r.status/100 == 2:
		p.accept(a, r, fail)
	case r.status >= 500 || r.status == 401 || r.status == 429:
		fail("neither accepted nor refused")
	case len(may) == 0:
		fail("refused, and nothing was in the way")
	default:
		p.tally.refused++
		if !slices.Contains(must, "not_granted") {
			p.tally.strict++
		}
	}
}

// accept takes a change over into the model, after a look at what it did.
func (p *play) accept(a *attempt, r reply, fail func(string, ...any)) {
	p.tally.accepted++
	effective := p.is.effective(p.u, a.by)
	if who, gain := gained(p.u, p.is, a.next); !gain.within(effective) {
		fail("%s gained %s, which the caller has not", who, p.u.explain(gain.minus(effective)))
	}
	for path, t := range p.is {
		if t.protected && a.next[path] != t && fmt.Sprint(a.next[path]) != fmt.Sprint(t) {
			fail("%s is protected", path)
		}
	}
	if p.is.owners("") > 0 && a.next.owners("") == 0 {
		fail("no owner is left")
	}
	was := p.is
	p.is = a.next
	if a.done != nil {
		a.done(r)
	}
	me := string(a.by.self)
	if !p.is.usable(p.is[me]) || was.full(was[me]) && !p.is.full(p.is[me]) {
		fail("the caller locked itself out")
	}
	using := a.by.basic && slices.Contains(p.is[me].secrets, a.by.secret) // it may have revoked one of several
	if a.before != nil && me == a.before.path() && using {
		if again := p.call("GET", "/v1/me", a.by.auth, nil); again.status != 200 {
			fail("the caller cannot use its credential any more: %s", again)
		}
	}
	p.bury(was, a)
	p.compareChanged(was)
}

// bury notes whose tokens a change ended.
func (p *play) bury(was state, a *attempt) {
	for _, c := range p.callers {
		before, after := was[string(c.self)], p.is[string(c.self)]
		switch {
		case before == nil: // it was made just now
			continue
		case after == nil:
			c.dead = true
		case before.active && !after.active || before.tenant != after.tenant:
			c.dead = c.dead || !c.basic
		case a.before != nil && a.before.path() == string(c.self) && (a.has("epoch") || a.has("password")):
			c.dead = c.dead || !c.basic
		}
		if a.kind == "sessions" && a.before.path() == string(c.self) && after != nil && after.person() {
			c.dead = true
		}
		if after != nil && !after.person() && !slices.Contains(after.secrets, c.secret) {
			c.dead = true
		}
	}
}

// change draws a new value for one part of a thing, and says which.
func (p *play) change(t *thing, body object, parts ...string) {
	switch part := pickOf(p, "part", parts...); part {
	case "text":
		t.text = pickOf(p, "text", "x", "y", "z")
		body["name"] = t.text
		if t.kind == "roles" {
			delete(body, "name")
			body["description"] = t.text
		}
	case "grants":
		t.grants = slices.Clone(t.grants)
		if len(t.grants) > 0 && p.chance("take a grant", 40) {
			at := rapid.IntRange(0, len(t.grants)-1).Draw(p.t, "which")
			t.grants = slices.Delete(t.grants, at, at+1)
		} else if g := p.grant("given"); !slices.Contains(t.grants, g) {
			t.grants = append(t.grants, g)
		}
		grants := list{}
		for _, g := range t.grants {
			grants = append(grants, g.body())
		}
		body["grants"] = grants
	case "roles", "inherits":
		t.roles = p.some("roles", t.roles)
		body[part] = texts(t.roles)
	case "groups":
		t.groups = p.some("groups", t.groups)
		body[part] = texts(t.groups)
	case "tenant":
		t.tenant = pickOf(p, "to tenant", p.u.tenants[0], p.u.tenants[2], p.u.tenants[3])
		body[part] = t.tenant
		if t.tenant == "" {
			body[part] = nil
		}
	case "window":
		t.until = pickOf(p, "until", 0, 0, 2091, 2095)
		body["not_after"] = nil
		if t.until != 0 {
			body["not_after"] = yearly(t.until)
		}
	case "status":
		t.active = pickOf(p, "active", true, false)
		switch {
		case t.kind == "applications":
			body["is_active"] = t.active
		case t.active:
			body["suspended_at"] = nil
		default:
			body["suspended_at"] = yearly(2020)
		}
	case "enabled":
		t.active = pickOf(p, "enabled", true, true, false)
		body[part] = t.active
	case "addresses":
		t.addresses = pickOf(p, "limited", true, false)
		body[part] = nil
		if t.addresses {
			body[part] = list{"192.0.2.0/24"}
		}
	case "scopes":
		t.scopes = p.ceiling()
		body[part] = texts(t.scopes)
		if t.scopes == nil {
			body[part] = nil
		}
	case "grant_types":
		t.grantTypes = pickOf(p, "grant types", []string{"client_credentials"}, []string{"client_credentials", "password"}, []string{"password"})
		body[part] = texts(t.grantTypes)
	}
}

func (p *play) ceiling() []string {
	return pickOf(p, "ceiling", nil, []string{}, []string{"shop:read"}, []string{"iam:*", "shop:*"}, []string{"*:*"})
}

// some draws at most two of the things of a kind, those that are there more often than not.
func (p *play) some(kind string, had []string) []string {
	var ids []string
	for _, t := range p.things(kind) {
		ids = append(ids, t.id)
	}
	ids = append(ids, had...)
	if len(ids) == 0 {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 0, min(2, len(p.things(kind))), rapid.ID[string]).Draw(p.t, kind)
}

// differences names the parts in which two states of a thing differ, as DESIGN calls changes.
func differences(before, after *thing) []string {
	if after == nil {
		return []string{"delete"}
	}
	var out []string
	add := func(name string, differs bool) {
		if differs {
			out = append(out, name)
		}
	}
	if before == nil {
		out = append(out, "create")
		before = &thing{kind: after.kind, active: true}
	}
	set := func(a, b []string) bool {
		a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
		return !slices.Equal(a, b)
	}
	plain := func(t *thing) (keys []string) {
		for _, g := range t.grants {
			keys = append(keys, g.String())
		}
		return keys
	}
	add("name", before.text != after.text)
	add("grants", set(plain(before), plain(after)))
	add("roles", set(before.roles, after.roles))
	add("groups", set(before.groups, after.groups))
	add("tenant", before.tenant != after.tenant)
	add("window", before.until != after.until)
	add(map[bool]string{true: "enabled", false: "status"}[after.kind == "tenants"], before.active != after.active)
	add("addresses", before.addresses != after.addresses)
	add("scopes", (before.scopes == nil) != (after.scopes == nil) || set(before.scopes, after.scopes))
	add("grant_types", set(before.grantTypes, after.grantTypes))
	return out
}

// about fills an attempt at a change of one thing.
func (p *play) about(c *caller, action string, before, after *thing) *attempt {
	at := before
	if at == nil {
		at = after
	}
	a := &attempt{
		by: c, kind: at.kind, action: action, id: at.id, tenant: at.tenant, before: before, after: after, changes: differences(before, after),
		path: "/v1/" + at.kind + "/" + at.id,
	}
	if at.kind == "tenants" { // they belong to none
		a.tenant = ""
	}
	a.next = p.is.without(at.path())
	if after != nil {
		a.next = p.is.with(after)
		if after.kind != "tenants" {
			a.arrival = after.tenant
		}
		p.unknownTenants(a)
	}
	return a
}

// unknownTenants says where a grant names a tenant that will not be there.
func (p *play) unknownTenants(a *attempt) {
	if slices.ContainsFunc(a.after.grants, func(g right) bool {
		return g.tenant != "" && g.tenant != "*" && a.next["tenants/"+g.tenant] == nil
	}) {
		a.late = "unknown_tenant"
	}
}

func (p *play) target(label string, kinds ...string) *thing {
	things := slices.DeleteFunc(p.things(kinds...), func(t *thing) bool { return t.id == "system:owner" && !p.chance(label+": the role of owners", 5) })
	if len(things) == 0 {
		p.t.Skip("there is none")
	}
	return pickOf(p, label, things...)
}

var (
	identityParts    = []string{"text", "grants", "grants", "roles", "groups", "tenant", "window", "status", "addresses"}
	applicationParts = append(slices.Clone(identityParts), "scopes", "grant_types")
	roleParts        = []string{"text", "grants", "grants", "inherits", "tenant"}
	groupParts       = []string{"text", "roles", "roles", "tenant"}
)

func (p *play) editIdentity(c *caller) {
	before := p.target("target", "users", "applications")
	after, body := before.copied(), object{}
	parts := identityParts
	if before.kind == "applications" {
		parts = applicationParts
	}
	for range rapid.IntRange(1, 2).Draw(p.t, "changes") {
		p.change(after, body, parts...)
	}
	a := p.about(c, "write", before, after)
	a.method, a.body = pickOf(p, "method", "PATCH", "PUT"), body
	if scopes, only := body["scopes"]; only && len(body) == 1 && p.chance("by the route of scopes", 50) {
		a.method, a.path, a.action, a.body = "PUT", a.path+"/scopes", "write_scopes", object{"scopes": scopes}
	}
	p.try(a)
}

func (p *play) makeIdentity(c *caller) {
	if len(p.things("users", "applications")) > 12 {
		p.t.Skip("enough")
	}
	t := &thing{kind: "applications", active: true, text: "x", id: fmt.Sprintf("%s-new%d", p.name, worlds.Add(1)), grants: p.grants("new")}
	t.grantTypes = []string{"client_credentials"}
	discard := object{}
	for range rapid.IntRange(0, 2).Draw(p.t, "parts") {
		p.change(t, discard, "roles", "groups", "tenant", "window", "scopes")
	}
	person := p.chance("a person", 25)
	if person {
		t.kind, t.id, t.scopes, t.grantTypes = "users", worldUUID(), nil, nil
	}
	a := p.about(c, "write", nil, t)
	a.method, a.body = "PUT", p.body(t)
	if person {
		p.named(a.body)
	}
	if !person && p.chance("by POST", 50) {
		a.method, a.path, a.id = "POST", "/v1/applications", ""
	}
	was := p.is
	a.done = func(r reply) {
		made := t.copied()
		made.id = r.text("/id")
		if !person {
			made.secrets = []string{r.text("/secret/id")}
		}
		p.is = was.with(made)
		if !person && made.tenant == "" && p.is.usable(made) && len(p.callers) < 12 {
			self := &caller{self: path(made.path()), auth: plainBasic(made.id, r.text("/secret/value")), secret: made.secrets[0], basic: true}
			p.callers = append(p.callers, self)
		}
	}
	p.try(a)
}

func (p *play) deleteIdentity(c *caller) {
	a := p.about(c, "delete", p.target("target", "users", "applications"), nil)
	a.method = "DELETE"
	p.try(a)
}

// deleteSeveral is a bulk: the target is the sum, in its tenant or in every tenant.
func (p *play) deleteSeveral(c *caller) {
	if len(p.things("applications")) == 0 {
		p.t.Skip("there is none")
	}
	chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(p.things("applications")), 1, 3, func(t *thing) string { return t.id }).Draw(p.t, "several")
	a := &attempt{
		by: c, method: "POST", path: "/v1/applications/bulk-delete", kind: "applications", action: "delete", changes: []string{"delete"}, several: true,
		next: p.is,
	}
	sum := &thing{kind: "applications", active: true, scopes: []string{}}
	var ids list
	for i, t := range chosen {
		ids = append(ids, t.id)
		sum.grants = append(sum.grants, p.is.rights(t)...)
		sum.grantTypes = append(sum.grantTypes, t.grantTypes...)
		if sum.scopes = append(sum.scopes, t.scopes...); t.scopes == nil {
			sum.scopes = nil
		}
		if i == 0 {
			sum.tenant = t.tenant
		} else if sum.tenant != t.tenant {
			sum.tenant = "*"
		}
		a.includes = a.includes || string(c.self) == t.path()
		a.places = append(a.places, t.tenant)
		a.hidden = a.hidden || !p.inSight(c, t.tenant)
		a.next = a.next.without(t.path())
	}
	if p.chance("one that is missing", 10) {
		ids, a.hidden = append(ids, p.name+"-missing"), true
	}
	a.before, a.tenant, a.body = sum, sum.tenant, object{"ids": ids}
	p.try(a)
}

// inSight says whether the caller sees applications of a tenant in a bulk.
func (p *play) inSight(c *caller, tenant string) bool {
	if confined := p.is.confined(c); confined != "" && tenant != "" && tenant != confined {
		return false
	}
	return p.is.permitted(c, "applications", "", tenant, "read") || p.is.permitted(c, "applications", "", tenant, "delete")
}

func (p *play) changeSecrets(c *caller) {
	before := p.target("target", "applications")
	after := before.copied()
	a := p.about(c, "write", before, after)
	a.changes, a.path = []string{"secrets"}, a.path+"/secrets"
	if len(before.secrets) > 0 && (len(before.secrets) > 3 || p.chance("revoke", 50)) {
		gone := pickOf(p, "secret", before.secrets...)
		after.secrets = slices.DeleteFunc(slices.Clone(before.secrets), func(sid string) bool { return sid == gone })
		a.method, a.path, a.forced = "DELETE", a.path+"/"+gone, p.chance("force", 50)
		if a.forced {
			a.path += "?force=true"
		}
		a.secretsLeft = len(after.secrets)
		p.try(a)
		return
	}
	a.method, a.body, a.secretsLeft = "POST", object{"label": "x"}, len(before.secrets)+1
	was := p.is
	a.done = func(r reply) {
		more := before.copied()
		more.secrets = append(slices.Clone(before.secrets), r.text("/id"))
		p.is = was.with(more)
	}
	p.try(a)
}

func (p *play) revokeTokens(c *caller) {
	before := p.target("target", "users", "applications")
	a := p.about(c, "revoke_tokens", before, before.copied())
	a.method, a.path, a.changes = "DELETE", a.path+"/tokens", []string{"epoch"}
	p.try(a)
}

func (p *play) endSessions(c *caller) {
	before := p.target("target", "users", "applications")
	a := p.about(c, "delete", before, before)
	a.method, a.path, a.kind, a.changes, a.next = "DELETE", "/v1/sessions?subject="+before.id, "sessions", nil, p.is
	p.try(a)
}

func (p *play) resetPassword(c *caller) {
	if len(p.things("users")) == 0 || !p.chance("after all", 30) {
		p.t.Skip("a password takes its time")
	}
	before := p.target("target", "users")
	a := p.about(c, "reset_password", before, before.copied())
	a.method, a.path, a.changes, a.body = "POST", a.path+"/password/reset", []string{"password"}, object{}
	p.try(a)
}

func (p *play) editBundle(c *caller) {
	before := p.target("bundle", "roles", "groups")
	after, body := before.copied(), object{}
	if before.kind == "roles" {
		p.change(after, body, roleParts...)
	} else {
		p.change(after, body, groupParts...)
	}
	a := p.about(c, "write", before, after)
	a.method, a.body = pickOf(p, "method", "PATCH", "PUT"), body
	p.cycle(a)
	p.try(a)
}

// cycle says where a role would inherit itself.
func (p *play) cycle(a *attempt) {
	if a.after.kind == "roles" && slices.Contains(a.next.expand(a.after.roles...), a.after.id) {
		a.late = "role_cycle"
	}
}

func (p *play) makeBundle(c *caller) {
	if len(p.things("roles", "groups")) > 8 {
		p.t.Skip("enough")
	}
	t := &thing{kind: "roles", active: true, id: fmt.Sprintf("%s:role%d", p.name, worlds.Add(1)), grants: p.grants("new")}
	if p.chance("a group", 40) {
		t = &thing{kind: "groups", active: true, id: fmt.Sprintf("%s-g%d", p.name, worlds.Add(1)), text: "g"}
	}
	t.tenant = pickOf(p, "of tenant", p.u.tenants[0], p.u.tenants[2], p.u.tenants[3])
	t.roles = p.some("roles", nil)
	a := p.about(c, "write", nil, t)
	a.method, a.body = "PUT", p.body(t)
	p.try(a)
}

func (p *play) deleteBundle(c *caller) {
	before := p.target("bundle", "roles", "groups")
	a := p.about(c, "delete", before, nil)
	a.method, a.forced = "DELETE", p.chance("force", 60)
	if a.forced {
		a.path += "?force=true"
	}
	for _, holder := range p.is.holders(before) {
		freed := holder.copied()
		if before.kind == "roles" {
			freed.roles = slices.DeleteFunc(slices.Clone(holder.roles), func(key string) bool { return key == before.id })
		} else {
			freed.groups = slices.DeleteFunc(slices.Clone(holder.groups), func(id string) bool { return id == before.id })
		}
		a.next = a.next.with(freed)
		if !a.forced {
			a.late = "in_use"
		}
	}
	p.try(a)
}

func (p *play) editTenant(c *caller) {
	before := p.target("tenant", "tenants")
	after, body := before.copied(), object{}
	p.change(after, body, "text", "enabled")
	a := p.about(c, "write", before, after)
	a.method, a.body = "PATCH", body
	p.try(a)
}

// remakeTenant makes the third tenant, or deletes it, or one that is in use.
func (p *play) remakeTenant(c *caller) {
	id := p.u.tenants[4]
	if p.is["tenants/"+id] == nil {
		t := &thing{kind: "tenants", id: id, active: true, text: id}
		a := p.about(c, "write", nil, t)
		a.method, a.body = "PUT", object{"name": id}
		p.try(a)
		return
	}
	before := p.target("tenant", "tenants")
	a := p.about(c, "delete", before, nil)
	a.method = "DELETE"
	for _, t := range p.is {
		if t.tenant == before.id || slices.ContainsFunc(t.grants, func(g right) bool { return g.tenant == before.id }) {
			a.late = "tenant_in_use"
		}
	}
	p.try(a)
}

func (p *play) editOneself(c *caller) {
	before := p.is[string(c.self)]
	after, body := before.copied(), object{}
	p.change(after, body, "text", "grants", "grants", "window", "status")
	a := p.about(c, "write", before, after)
	a.method, a.path, a.kind, a.body = "PUT", "/v1/me", "me", body
	for _, own := range []string{"is_active", "suspended_at", "not_after"} {
		if _, named := body[own]; named && (own != "not_after" || a.has("window")) {
			a.status = append(a.status, own)
		}
	}
	if len(a.changes) == 0 {
		a.changes = []string{"name"} // the least that a PUT touches
	}
	p.try(a)
}

func (p *play) replaceOwnSecret(c *caller) {
	before := p.is[string(c.self)]
	if !c.basic {
		p.t.Skip("it has no secret at hand")
	}
	after := before.copied()
	a := p.about(c, "password", before, after)
	a.method, a.path, a.kind, a.changes, a.body = "POST", "/v1/me/password", "me", []string{"secrets"}, object{}
	a.secretsLeft = len(before.secrets)
	was := p.is
	a.done = func(r reply) {
		fresh := before.copied()
		old := c.secret
		fresh.secrets = append(slices.DeleteFunc(slices.Clone(before.secrets), func(sid string) bool { return sid == old }), r.text("/id"))
		p.is = was.with(fresh)
		c.secret, c.auth = r.text("/id"), plainBasic(before.id, r.text("/value"))
	}
	p.try(a)
}

// narrow gets another token for an application.
func (p *play) narrow(c *caller) {
	if !c.basic || len(p.live()) > 10 {
		p.t.Skip("no")
	}
	p.mint(c)
}

// ownersOnly tries what takes a full administrator, as somebody who is none.
func (p *play) ownersOnly(c *caller) {
	if p.is.fullAdministrator(c) {
		p.t.Skip("an owner would end everybody's tokens")
	}
	p.tally.actions++
	path := pickOf(p, "what", "/v1/tokens", "/v1/keys/nosuchkey")
	r := p.call("DELETE", path, c.auth, nil)
	if r.status != 403 && r.status != 404 {
		p.t.Fatalf("%s: %s", c, r)
	}
	p.tally.refused++
}

// useDead demands that what was revoked stays so.
func (p *play) useDead(*caller) {
	for _, c := range p.callers {
		if c.dead && !c.basic {
			if r := p.call("GET", "/v1/me", c.auth, nil); r.status != 401 {
				p.t.Fatalf("a dead token of %s is accepted: %s", c, r)
			}
			return
		}
	}
	p.t.Skip("none is dead")
}

// readList compares a list with what the caller could read one by one: by the model, and for one object by asking.
func (p *play) readList(c *caller) {
	kind := pickOf(p, "kind", "users", "applications", "roles", "groups", "tenants")
	p.tally.lists++
	var want, got []string
	for _, t := range p.things(kind) {
		if p.is.readable(c, t) {
			want = append(want, t.id)
		}
	}
	for after := ""; ; {
		r := p.call("GET", "/v1/"+kind+"?limit=100"+after, c.auth, nil)
		if r.status == 403 && len(want) == 0 {
			break
		}
		if r.status != http.StatusOK {
			p.t.Fatalf("%s may read %v of %s: %s", c, want, kind, r)
		}
		items, _ := at(r.value(), "/items")
		for _, item := range items.([]any) {
			id, _ := at(item, map[bool]string{true: "/key", false: "/id"}[kind == "roles"])
			if text, _ := id.(string); p.is[kind+"/"+text] != nil {
				got = append(got, text)
			}
		}
		next := r.text("/next")
		if after = "&after=" + next; next == "" {
			break
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		p.t.Fatalf("%s with %v lists %v of %s, and could read %v", c, p.is.rights(p.is[string(c.self)]), got, kind, want)
	}
	if len(p.things(kind)) == 0 {
		return
	}
	one := pickOf(p, "object", p.things(kind)...)
	r := p.call("GET", "/v1/"+kind+"/"+one.id, c.auth, nil)
	if readable := slices.Contains(want, one.id); readable != (r.status == 200) && string(c.self) != one.path() {
		p.t.Fatalf("%s: in the list %t, and by itself %s", c, readable, r)
	}
}
