package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// compare holds the whole model to the server at the end of a world: what is there, value by value, and what is not there any more.
func (p *play) compare() {
	p.t.Helper()
	for _, path := range slices.Sorted(keysOf(p.is)) {
		p.compareOne(path)
	}
	for path := range p.gone {
		p.compareOne(path)
	}
}

// compareChanged does the same for what an accepted action changed, so that a later one cannot cover it up.
func (p *play) compareChanged(was state) {
	p.t.Helper()
	for path, t := range p.is {
		if was[path] != t {
			p.compareOne(path)
		}
	}
	for path := range was {
		if p.is[path] == nil {
			p.gone[path] = true
			p.compareOne(path)
		}
	}
}

func (p *play) compareOne(path string) {
	p.t.Helper()
	fail := func(format string, args ...any) {
		p.t.Helper()
		p.t.Fatalf("%s "+format+"\n%s", append(append([]any{path}, args...), strings.Join(p.script, "\n"))...)
	}
	t, r := p.is[path], p.call("GET", "/v1/"+path, p.fixed.root, nil)
	if t == nil {
		if r.status != http.StatusNotFound {
			fail("was deleted, the server says %s", r)
		}
		return
	}
	if r.status != http.StatusOK {
		fail("is in the model, the server says %s", r)
	}
	stored := r.value()
	for member, want := range t.members() {
		got, _ := at(stored, "/"+member)
		if got, want := canonical(got), canonical(want); got != want {
			fail("has %s %s, the model says %s", member, got, want)
		}
	}
}

// members are what the server has to say of a thing; nil is null or absent.
func (t *thing) members() object {
	grants := list{}
	for _, g := range t.grants {
		grants = append(grants, g.body())
	}
	when := func(set bool, value any) any {
		if set {
			return value
		}
		return nil
	}
	o := object{}
	if t.kind != "tenants" {
		o["tenant"] = when(t.tenant != "", t.tenant)
	}
	switch t.kind {
	case "tenants":
		o["name"], o["enabled"] = t.text, t.active
		return o
	case "roles":
		o["inherits"] = texts(t.roles)
		if t.id != "system:owner" { // its grants and its description are the server's own
			o["grants"], o["description"] = grants, t.text
		}
		return o
	case "groups":
		o["name"], o["roles"] = t.text, texts(t.roles)
		return o
	case "users":
		o["suspended_at"] = when(!t.active, yearly(2020))
	case "applications":
		o["is_active"], o["grant_types"], o["scopes"] = t.active, texts(t.grantTypes), when(t.scopes != nil, texts(t.scopes))
	}
	o["name"], o["grants"], o["roles"], o["groups"] = t.text, grants, texts(t.roles), texts(t.groups)
	o["not_before"], o["not_after"] = nil, when(t.until != 0, yearly(t.until))
	o["addresses"] = when(t.addresses, list{"192.0.2.0/24"})
	return o
}

// canonical is a value as JSON; the order of a list says nothing.
func canonical(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var items []json.RawMessage
	if json.Unmarshal(data, &items) != nil || items == nil {
		return string(data)
	}
	var sorted []string
	for _, item := range items {
		sorted = append(sorted, string(item))
	}
	slices.Sort(sorted)
	return "[" + strings.Join(sorted, ",") + "]"
}
