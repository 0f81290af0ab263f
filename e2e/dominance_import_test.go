package e2e

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// An import is many changes in one: each is judged like a PUT of the object, before it by the state that there is, after it by the one
// that all of them leave. One that is refused refuses all.

// sections are the members of an import, by kind.
var sections = []string{"tenants", "roles", "groups", "users", "applications"}

// judgeBatch says why an import must be refused, and why it may be.
func (s state) judgeBatch(u *universe, a *attempt) (must, may []string) {
	if !s.permitted(a.by, "imports", "", s.confined(a.by), "write") {
		return []string{"not_granted"}, []string{"not_granted"}
	}
	if a.plan { // it says what it would do, and does nothing
		return nil, nil
	}
	for _, part := range a.parts {
		partMust, partMay := s.judge(u, part)
		must, may = append(must, partMust...), append(may, partMay...)
	}
	return must, may
}

// importSeveral imports a few objects together, or asks what an import of them would do.
func (p *play) importSeveral(c *caller) {
	a := &attempt{by: c, method: "POST", path: "/v1/import", kind: "imports", action: "write", body: object{}, next: p.is}
	a.parts = p.batch(c)
	for _, part := range a.parts {
		items, _ := a.body[part.kind].(list)
		part.pointer = fmt.Sprintf("/%s/%d", part.kind, len(items))
		a.body[part.kind] = append(items, part.body)
	}
	if a.plan = p.chance("a plan", 30); a.plan {
		a.body["dry_run"] = true
		a.done = func(r reply) { p.tally.plans++; p.heed(a, r) }
	} else {
		a.next = a.parts[0].next
		a.done = func(reply) { p.tally.imported += len(a.parts) }
	}
	was := p.tally.accepted
	p.try(a)
	if a.plan || p.tally.accepted == was { // nothing of it was written
		for _, part := range a.parts {
			p.compareOne(part.at())
		}
	}
}

// heed holds what a plan says of each object to what the oracle says of it.
func (p *play) heed(a *attempt, r reply) {
	p.t.Helper()
	items, _ := at(r.value(), "/items")
	all, _ := items.([]any)
	if len(all) != len(a.parts) {
		p.t.Fatalf("%s: a plan of %d objects says\n%s", a, len(a.parts), r)
	}
	for _, part := range a.parts {
		here := func(item any) bool { pointer, _ := at(item, "/pointer"); return pointer == part.pointer }
		n := slices.IndexFunc(all, here)
		if n < 0 {
			p.t.Fatalf("%s: the plan says nothing of %s\n%s", a, part.pointer, r)
		}
		outcome, _ := at(all[n], "/outcome")
		must, may := p.is.judge(p.u, part)
		// That no owner is left is told of one object at least, which need not be this one.
		blamed := slices.ContainsFunc(must, func(why string) bool { return why != "last_owner" })
		good := outcome == "create" && part.before == nil || (outcome == "change" || outcome == "unchanged") && part.before != nil
		if bad := outcome == "refused" || outcome == "faulty"; !good && !bad || blamed && good || len(may) == 0 && bad {
			p.t.Fatalf("%s: the plan says %v of %s; the oracle: must %v, may %v\n%s", a, outcome, part.pointer, must, may, r)
		}
	}
}

// batch draws changes of different objects. Later ones may name what earlier ones make.
func (p *play) batch(c *caller) []*attempt {
	was := p.is
	defer func() { p.is = was }()
	var parts []*attempt
	for range rapid.IntRange(1, 4).Draw(p.t, "objects") {
		if part := p.imported(c, parts); part != nil {
			parts, p.is = append(parts, part), part.next
		}
	}
	if parts == nil {
		p.t.Skip("everything is there, or none of it")
	}
	for _, part := range parts {
		part.next, part.late = p.is, ""
		p.cycle(part)
		p.unknownTenants(part)
	}
	return parts
}

// imported draws one change, of an object that the parts before it do not have. It is nil where there is none.
func (p *play) imported(c *caller, before []*attempt) *attempt {
	kind := pickOf(p, "imported", sections...)
	if p.chance("a new one", 35) {
		t := p.newThing(kind)
		if t == nil {
			return nil
		}
		part := p.about(c, "write", nil, t)
		if part.body = p.body(t); kind == "users" {
			p.named(part.body)
		}
		part.body[idOf(kind)] = t.id
		return part
	}
	free := slices.DeleteFunc(p.things(kind), func(t *thing) bool {
		named := slices.ContainsFunc(before, func(part *attempt) bool { return part.at() == t.path() })
		return named || t.id == "system:owner" && !p.chance("imported: the role of owners", 5)
	})
	if len(free) == 0 {
		return nil
	}
	is := pickOf(p, "imported: which", free...)
	after, body := is.copied(), object{idOf(kind): is.id}
	p.change(after, body, map[string][]string{
		"tenants": {"text", "enabled"}, "roles": roleParts, "groups": groupParts, "users": identityParts, "applications": applicationParts,
	}[kind]...)
	part := p.about(c, "write", is, after)
	part.body = body
	return part
}

// newThing draws something that is not there. An application comes without a secret.
func (p *play) newThing(kind string) *thing {
	t := &thing{kind: kind, active: true, text: "x", id: fmt.Sprintf("%s-new%d", p.name, worlds.Add(1))}
	switch kind {
	case "tenants":
		if t.id = p.u.tenants[4]; p.is[t.path()] != nil {
			return nil
		}
		return t
	case "roles":
		t.id, t.text = fmt.Sprintf("%s:role%d", p.name, worlds.Add(1)), ""
	case "users":
		t.id = worldUUID()
	case "applications":
		t.grantTypes = []string{"client_credentials"}
	}
	if len(p.things(kind)) > 8 {
		return nil
	}
	t.tenant = pickOf(p, "of tenant", p.u.tenants[0], p.u.tenants[2], p.u.tenants[3])
	t.roles = p.some("roles", nil)
	if kind != "groups" {
		t.grants = p.grants("new")
	}
	if t.identity() {
		t.groups = p.some("groups", nil)
	}
	return t
}

func idOf(kind string) string {
	if kind == "roles" {
		return "key"
	}
	return "id"
}

// at is the path of what an attempt is about.
func (a *attempt) at() string {
	if a.before != nil {
		return a.before.path()
	}
	return a.after.path()
}
