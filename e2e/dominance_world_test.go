package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"pgregory.net/rapid"
)

// worlds numbers the worlds of a run, so that each has names of its own.
var worlds atomic.Int64

// A play is one world on a server: what the model knows of it, and who acts there.
type play struct {
	t       *rapid.T
	s       *Server
	fixed   *fixture
	name    string
	u       *universe
	is      state
	callers []*caller
	gone    map[string]bool // the paths of what was deleted
	script  []string        // what was done, for the report
	tally   *tally
}

// fixture is what all worlds of a server share: an application to sign in through, and an owner who steps aside while a world has one.
type fixture struct {
	front        app
	keeper, root string // the id of a user; an Authorization
	hash         string // a verifier of worldPassword
}

// worldHash is bcrypt of worldPassword at the least cost: a world has many people, and hashing is not what it is about.
const (
	worldPassword = "a quite long pass phrase of the worlds"
	worldHash     = "$2a$04$ZCLKHumrkfGCLR/2PBZfrO/kvKjl1jQbTlxBYicR17zTCDKbc8RLm"
)

// tally counts what was tried.
type tally struct{ actions, accepted, refused, lists, strict, late, imported, plans int }

// rare tells whether what is seldom played, imports and the plans of some, was played too seldom to say something.
func (y *tally) rare() bool { return y.imported < y.actions/100 || y.plans == 0 }

// call does one request. On a busy machine a decision may come too late, which says nothing: the request is sent again.
func (p *play) call(method, path, auth string, body any) reply {
	p.t.Helper()
	for again := 0; ; again++ {
		r := p.once(method, path, auth, body)
		if r.status != 503 || again == 20 {
			return r
		}
		p.tally.late++
	}
}

// once is outside of the harness's accounts: there are too many requests to remember every secret.
func (p *play) once(method, path, auth string, body any) reply {
	p.t.Helper()
	host := p.s.Admin
	var data []byte
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case url.Values:
		host, data, kind = p.s.Public, []byte(b.Encode()), "application/x-www-form-urlencoded"
	default:
		var err error
		if data, err = json.Marshal(b); err != nil {
			p.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, host+path, bytes.NewReader(data)) //nolint:noctx // the client has a timeout
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", auth)
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	r := reply{request: method + " " + path, status: resp.StatusCode, header: resp.Header}
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// text is a text of a reply, or empty.
func (r reply) text(pointer string) string {
	v, _ := at(r.value(), pointer)
	text, _ := v.(string)
	return text
}

// asRoot makes something that must succeed.
func (p *play) asRoot(method, path string, body any, status int) reply {
	p.t.Helper()
	r := p.call(method, path, p.fixed.root, body)
	if r.status != status {
		p.t.Fatalf("as root: %d, want %d\n%s %v\n%s", r.status, status, method, body, r)
	}
	return r
}

func pickOf[T any](p *play, label string, list ...T) T {
	return rapid.SampledFrom(list).Draw(p.t, label)
}

func (p *play) chance(label string, percent int) bool {
	return rapid.IntRange(1, 100).Draw(p.t, label) > 100-percent
}

// begin makes a world: two tenants, roles, a group, and administrators of random strength.
func (p *play) begin() {
	if r := p.call("GET", "/v1/users", p.fixed.root, nil); strings.Count(string(r.body), `"username"`) != 1 {
		p.t.Fatalf("the world before is still there: %s", r)
	}
	p.name = fmt.Sprintf("w%d", worlds.Add(1))
	a, b, third := p.name+"-A", p.name+"-B", p.name+"-C"
	p.u, p.is, p.gone = newUniverse(a, b, third), state{}, map[string]bool{}
	p.is = p.is.with(&thing{kind: "roles", id: "system:owner", protected: true, active: true, grants: []right{
		{tenant: "*", resource: "*", action: "*"},
		{tenant: "*", resource: "iam/applications", action: "reveal"},
		{tenant: "*", resource: "tokens", action: "revoke_all"},
	}})
	for _, id := range []string{a, b} {
		p.asRoot("PUT", "/v1/tenants/"+id, object{"name": id}, 201)
		p.is = p.is.with(&thing{kind: "tenants", id: id, active: true, text: id})
	}
	for i, tenant := range []string{"", a} {
		role := &thing{kind: "roles", id: fmt.Sprintf("%s:role%d", p.name, i), tenant: tenant, active: true, grants: p.grants("role")}
		p.asRoot("PUT", "/v1/roles/"+role.id, p.body(role), 201)
		p.is = p.is.with(role)
	}
	group := &thing{kind: "groups", id: p.name + "-g0", active: true, roles: []string{p.name + ":role0"}, text: "g"}
	if p.chance("the group is of owners", 20) {
		group.roles = append(group.roles, "system:owner")
	}
	p.asRoot("PUT", "/v1/groups/"+group.id, p.body(group), 201)
	p.is = p.is.with(group)
	owner := p.newPerson(&thing{roles: []string{"system:owner"}})
	if p.chance("two owners", 30) {
		p.newPerson(&thing{grants: []right{{tenant: "*", resource: "*", action: "*"}}})
	}
	p.asRoot("PATCH", "/v1/users/"+p.fixed.keeper, object{"suspended_at": yearly(2020)}, 200)
	for i, strength := range [][]right{
		utmost("*"),
		{{tenant: "*", resource: "iam", action: "*"}, {tenant: "*", resource: "shop", action: "*"}},
		{{tenant: a, resource: "iam", action: "*"}, {tenant: a, resource: "shop", action: "buy"}},
		p.grants("administrator"),
	} {
		admin := &thing{grants: strength}
		if i == 2 && p.chance("belongs to a tenant", 60) {
			admin.tenant = a
		}
		if i > 0 && p.chance("in the group", 25) {
			admin.groups = []string{group.id}
		}
		p.newMachine(admin)
	}
	if p.chance("a person acts", 20) {
		p.login(owner)
	}
}

// end removes the world, also one that went wrong and is not as the model has it.
func (p *play) end() {
	p.call("PATCH", "/v1/users/"+p.fixed.keeper, p.fixed.root, object{"suspended_at": nil})
	for _, id := range p.u.tenants[2:] { // nothing of a disabled tenant goes
		p.call("PATCH", "/v1/tenants/"+id, p.fixed.root, object{"enabled": true})
	}
	for _, kind := range []string{"users", "applications", "groups", "roles", "tenants"} {
		r := p.call("GET", "/v1/"+kind+"?limit=100", p.fixed.root, nil)
		items, _ := at(r.value(), "/items")
		all, _ := items.([]any)
		for _, item := range all {
			id, _ := at(item, map[bool]string{true: "/key", false: "/id"}[kind == "roles"])
			if id == p.fixed.keeper || id == p.fixed.front.ID || id == "root" || id == "system:owner" {
				continue
			}
			force := map[bool]string{true: "?force=true"}[kind == "roles" || kind == "groups"]
			p.call("DELETE", fmt.Sprintf("/v1/%s/%s%s", kind, id, force), p.fixed.root, nil)
		}
	}
}

// body is what makes a thing as it is.
func (p *play) body(t *thing) object {
	o := object{}
	grants := list{}
	for _, g := range t.grants {
		grants = append(grants, g.body())
	}
	if t.tenant != "" {
		o["tenant"] = t.tenant
	}
	switch t.kind {
	case "tenants":
		o["name"] = t.text
		return o
	case "roles":
		o["grants"], o["inherits"] = grants, texts(t.roles)
		return o
	case "groups":
		o["name"], o["roles"] = t.text, texts(t.roles)
		return o
	case "users":
		o["username"], o["email"], o["name"], o["password_hash"] = t.id, t.id+"@example.com", t.text, p.fixed.hash
	case "applications":
		o["name"], o["grant_types"] = t.text, texts(t.grantTypes)
		if t.scopes != nil {
			o["scopes"] = texts(t.scopes)
		}
	}
	o["grants"], o["roles"], o["groups"] = grants, texts(t.roles), texts(t.groups)
	if t.until != 0 {
		o["not_after"] = yearly(t.until)
	}
	return o
}

func texts(values []string) list {
	out := list{}
	for _, v := range values {
		out = append(out, v)
	}
	return out
}

func (p *play) newPerson(t *thing) *thing {
	t.kind, t.active, t.text, t.id = "users", true, "x", worldUUID()
	body := p.body(t)
	r := p.asRoot("PUT", "/v1/users/"+t.id, p.named(body), 201)
	_ = r
	p.is = p.is.with(t)
	return t
}

// named gives a person a username, which has not the shape of an id.
func (p *play) named(body object) object {
	name := unique("u")
	body["username"], body["email"] = name, name+"@example.com"
	return body
}

func worldUUID() string {
	n := worlds.Add(1)
	return fmt.Sprintf("0198f0a4-7b1e-7c3a-9a51-%012x", n)
}

// newMachine makes an administrator who acts with its secret, and with a narrow token now and then.
func (p *play) newMachine(t *thing) {
	t.kind, t.active, t.text, t.id = "applications", true, "x", fmt.Sprintf("%s-app%d", p.name, worlds.Add(1))
	t.grantTypes = []string{"client_credentials"}
	r := p.asRoot("PUT", "/v1/applications/"+t.id, p.body(t), 201)
	t.secrets = []string{r.text("/secret/id")}
	p.is = p.is.with(t)
	c := &caller{self: path(t.path()), auth: plainBasic(t.id, r.text("/secret/value")), secret: t.secrets[0], basic: true}
	p.callers = append(p.callers, c)
	if p.chance("a narrow token", 40) {
		p.mint(c)
	}
}

func plainBasic(id, secret string) string {
	r, _ := http.NewRequest(http.MethodGet, "http://x", nil) //nolint:noctx // nothing is sent
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return r.Header.Get("Authorization")
}

// mint gets a token for an application: with all its rights, or with some scopes or a tenant only.
func (p *play) mint(c *caller) {
	form := fields("grant_type", "client_credentials")
	narrow := &caller{self: c.self, secret: c.secret, scoped: true}
	switch pickOf(p, "a token", "all", "scopes", "tenant") {
	case "scopes":
		form.Set("scope", strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"iam/users:write", "iam/users:read", "iam/applications:*", "iam/roles:*", "iam/groups:write", "iam/imports:write", "iam:*", "shop:*", "shop:read",
			"*:*",
		}), 1, 4, rapid.ID[string]).Draw(p.t, "scopes"), " "))
	case "tenant":
		narrow.tenant = pickOf(p, "tenant of the token", p.u.tenants[2:4]...)
		form.Set("tenant", narrow.tenant)
	}
	r := p.call("POST", "/oauth2/token", c.auth, form)
	if r.status != 200 {
		return // not one of its tenants, or none of the scopes is held
	}
	narrow.auth, narrow.scopes = "Bearer "+r.text("/access_token"), strings.Fields(r.text("/scope"))
	p.callers = append(p.callers, narrow)
}

// login lets a person act.
func (p *play) login(t *thing) {
	who := p.asRoot("GET", "/v1/users/"+t.id, nil, 200).text("/username")
	r := p.call("POST", "/oauth2/token", plainBasic(p.fixed.front.ID, p.fixed.front.Secret),
		fields("grant_type", "password", "username", who, "password", worldPassword))
	if r.status != 200 {
		p.t.Fatalf("sign in: %s", r)
	}
	p.callers = append(p.callers, &caller{
		self: path(t.path()), auth: "Bearer " + r.text("/access_token"), scoped: true, scopes: strings.Fields(r.text("/scope")),
	})
}

// grants draws a few grants.
func (p *play) grants(label string) []right {
	var out []right
	for range rapid.IntRange(0, 3).Draw(p.t, label+": grants") {
		if g := p.grant(label); !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

func (p *play) grant(label string) right {
	permission := pickOf(p, label+": grant", "iam/users:read", "iam/users:write", "iam/users:*", "iam/applications:write",
		"iam/applications:write_scopes", "iam/applications:*", "iam/applications:reveal", "iam/roles:write", "iam/roles:*", "iam/groups:*",
		"iam/tenants:write", "iam/tenants:*", "iam/sessions:delete", "iam/sessions:*", "iam/imports:write", "iam:*", "shop:read", "shop:buy", "shop:*", "shop/1:read",
		"shop/1:*", "*:read", "*:*")
	at := strings.LastIndexByte(permission, ':')
	g := right{resource: permission[:at], action: permission[at+1:]}
	g.tenant = pickOf(p, label+": tenant", "", "", "*", "*", p.u.tenants[2], p.u.tenants[3])
	if p.chance(label+": a window", 20) {
		g.until = pickOf(p, label+": until", 2091, 2095)
		g.from = pickOf(p, label+": from", 0, 0, 0, 2090)
	}
	return g
}

// live are the callers whom the server must know.
func (p *play) live() []*caller {
	var out []*caller
	for _, c := range p.callers {
		me := p.is[string(c.self)]
		if c.dead || !p.is.usable(me) || !p.is.tenantEnabled(c.tenant) {
			continue
		}
		if !me.person() && !slices.Contains(me.grantTypes, "client_credentials") {
			continue
		}
		out = append(out, c)
	}
	return out
}

// things are those of a kind, in order.
func (p *play) things(kinds ...string) []*thing {
	var out []*thing
	for _, path := range slices.Sorted(keysOf(p.is)) {
		if t := p.is[path]; slices.Contains(kinds, t.kind) {
			out = append(out, t)
		}
	}
	return out
}

func keysOf(s state) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range s {
			if !yield(k) {
				return
			}
		}
	}
}
