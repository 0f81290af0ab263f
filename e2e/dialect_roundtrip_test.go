package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// journey is one server on which every dialect is on, and what was said to it: each reply of a dialect by its Decision-Id.
type journey struct {
	*scenario
	rootAuth string
	boss     user // a full administrator
	revealed int  // how often secrets were asked for in its name; there is a limit, of each administrator
	tenants  []string
	roles    []string
	groups   []string
	products []string
	said     map[string]saying
}

// saying is what a reply of a dialect must have in the decision log: a line for each native call that it took, the first by the id of the
// reply and the others below it.
type saying struct {
	dialect string
	about   string // the id of the object that the first call is about; empty is not looked at
	routes  []string
}

// travel starts a server with what random objects refer to.
func travel(t *testing.T) *journey {
	t.Helper()
	j := &journey{scenario: story(t, fresh(t, Options{Env: dialectSettings(builtDialects()...)})), said: map[string]saying{}}
	j.root()
	j.rootAuth = j.auth
	j.front()
	for range 3 {
		j.roles = append(j.roles, j.newRole("ledger:read"))
		j.tenants = append(j.tenants, j.newTenant())
	}
	for _, name := range []string{"Betrachter é", "<Sehen & \"Gesehen\">"} {
		id := unique("group")
		j.put("/v1/groups/"+id, object{"name": name, "roles": list{j.roles[0]}}).wantStatus(201)
		j.groups = append(j.groups, id)
	}
	for range 2 {
		name := unique("product")
		j.put("/v1/roles/lerian:"+name, object{"description": name, "grants": grants("accounts:get")}).wantStatus(201)
		j.products = append(j.products, name)
	}
	j.put("/v1/roles/"+psAdministrator, object{"description": "administers", "grants": list{}}).wantStatus(201)
	j.done()
	return j
}

// each plays random objects of one kind, a few seconds of them, or many.
func (j *journey) each(name string, few int, play func(*trip)) {
	checks := few
	if long() {
		checks *= 20
	}
	withFlags(j.t, map[string]string{"rapid.checks": fmt.Sprint(checks), "rapid.shrinktime": shrinking(), "rapid.nofailfile": "true"}, func() {
		j.t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				p := &trip{journey: j, rt: rt, secrets: map[string]string{}}
				p.as(j.rootAuth)
				play(p)
				p.ok()
			})
		})
	})
}

// account stops the server and holds every Decision-Id of a dialect to the lines of the native calls behind it.
func (j *journey) account() {
	j.t.Helper()
	if err := j.s.Stop(); err != nil {
		j.t.Fatal(err)
	}
	lines, err := j.s.decisionLog()
	if err != nil {
		j.t.Fatal(err)
	}
	found := map[string][]logLine{}
	natively := map[string]string{} // the entrypoint of each route, where it was called natively
	for _, line := range lines {
		id := line.DecisionID
		if line.ParentID != "" {
			id = line.ParentID
		}
		found[id] = append(found[id], line)
		if spokenIn(line).Context.Dialect == "" {
			natively[line.Route] = line.Entrypoint
		}
	}
	for id, want := range j.said {
		var routes []string
		for i, line := range found[id] {
			routes = append(routes, line.Route)
			read := spokenIn(line)
			if read.Context.Dialect != want.dialect {
				j.t.Errorf("%s: the line of %s has the dialect %q, want %q", id, line.Route, read.Context.Dialect, want.dialect)
			}
			if native, called := natively[line.Route]; called && native != line.Entrypoint && line.Entrypoint != "writ/decision" {
				j.t.Errorf("%s: %s is decided by %s, natively by %s", id, line.Route, line.Entrypoint, native)
			}
			if i == 0 && (line.DecisionID != id || want.about != "" && read.Resource.ID != want.about) {
				j.t.Errorf("%s: the first line is %s about %q, want about %q", id, line.DecisionID, read.Resource.ID, want.about)
			}
		}
		if diff := cmp.Diff(want.routes, routes); diff != "" {
			j.t.Errorf("%s of %s: other native calls (-want +got):\n%s", id, want.dialect, diff)
		}
		if j.t.Failed() {
			return
		}
	}
	j.t.Logf("%d replies of dialects, each with the lines of its native calls", len(j.said))
}

// inputRead is what is read of the input of a decision.
type inputRead struct {
	Context  struct{ Dialect string }
	Resource struct{ ID string }
}

func spokenIn(line logLine) (read inputRead) {
	_ = json.Unmarshal(line.Input, &read) // an input that is none has no dialect, which is found
	return read
}

// trip is one random object on its way through the dialects.
type trip struct {
	*journey
	rt      *rapid.T
	secrets map[string]string // what each is
	allowed map[string]int    // how often each is in the next reply, where it is
	script  []string
}

// ok ends the check with what went wrong, and how it came to it.
func (p *trip) ok() {
	p.rt.Helper()
	if err := p.err; err != nil {
		p.err = nil
		p.rt.Fatalf("%v\n%s\n%s", err, p.last, strings.Join(p.script, "\n"))
	}
}

// say sends a request to a dialect, which takes these native calls, the first of them about an object of this id.
func (p *trip) say(method, path string, body any, about string, routes ...string) *trip {
	p.rt.Helper()
	dialect, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for _, public := range []string{"/login/", "/oauth/", "/connect/", "/pam/"} {
		if strings.Contains(path, public) {
			p.onPublic()
		}
	}
	if p.host == "" {
		p.onAdmin()
	}
	p.sent(method, path, body)
	if id := p.header("Decision-Id"); id != "" {
		p.said[id] = saying{dialect, about, routes}
	}
	return p
}

// natively sends a request to a route of Writ's own.
func (p *trip) natively(method, path string, body any) *trip {
	p.rt.Helper()
	p.sent(method, path, body)
	return p
}

// sent sends a request. On a busy machine a decision may come too late, which says nothing: it is sent again.
func (p *trip) sent(method, path string, body any) {
	p.rt.Helper()
	header, host, allowed := p.next.Clone(), p.host, p.allowed
	for range 20 {
		p.next, p.host, p.allowed = header.Clone(), host, allowed
		if p.send(method, path, body); p.last.status != http.StatusServiceUnavailable {
			break
		}
	}
	p.note(method, path)
}

// note holds the reply to the secrets that are known: each is where it may be, and nowhere else.
func (p *trip) note(method, path string) {
	p.rt.Helper()
	p.ok()
	p.script = append(p.script, fmt.Sprintf("  %s %s -> %d", method, path, p.last.status))
	for secret, what := range p.secrets {
		if n := p.shown(secret); n != p.allowed[secret] {
			p.fail("%s is shown %d times, want %d", what, n, p.allowed[secret])
		}
	}
	p.allowed = nil
	p.ok()
}

// shown counts where the reply has a secret.
func (p *trip) shown(secret string) int {
	n := 0
	for _, values := range p.last.header {
		n += strings.Count(strings.Join(values, "\n"), secret)
	}
	value := p.last.value()
	if value == nil {
		return n + strings.Count(string(p.last.body), secret)
	}
	return n + shownIn(value, secret)
}

func shownIn(value any, secret string) (n int) {
	switch v := value.(type) {
	case string:
		return strings.Count(v, secret)
	case map[string]any:
		for name, member := range v {
			n += strings.Count(name, secret) + shownIn(member, secret)
		}
	case []any:
		for _, item := range v {
			n += shownIn(item, secret)
		}
	}
	return n
}

// hidden is a secret that the server is told, and shows to nobody.
func (p *trip) hidden(what, secret string) string {
	p.secrets[canary(secret)] = what
	return secret
}

// made is a secret that the last reply shows, so often, and none after it.
func (p *trip) made(what, pointer string, times int) string {
	p.rt.Helper()
	secret := p.text(pointer)
	if p.err == nil && p.shown(secret) != times {
		p.fail("%s is shown %d times, want %d", what, p.shown(secret), times)
	}
	p.ok()
	return p.hidden(what, secret)
}

// may lets the next reply show a secret.
func (p *trip) may(secret string, times int) *trip {
	p.allowed = map[string]int{secret: times}
	return p
}

func (p *trip) chance(label string, percent int) bool {
	return rapid.IntRange(1, 100).Draw(p.rt, label) > 100-percent
}

func among[T any](p *trip, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(p.rt, label)
}

// some is a part of a list, in its order; at least none.
func some[T any](p *trip, label string, from []T) []T {
	return slices.DeleteFunc(slices.Clone(from), func(T) bool { return rapid.Bool().Draw(p.rt, label) })
}

// native reads an object natively and holds it to what it should be, but for what only the server knows. It returns all of it.
func (p *trip) native(path string, want object) object {
	p.rt.Helper()
	p.natively("GET", path, nil).wantStatus(http.StatusOK)
	got, _ := p.last.value().(map[string]any)
	kept := object{}
	for name, value := range got {
		if !slices.Contains([]string{"id", "key", "created_at", "updated_at", "version", "password", "permissions"}, name) {
			kept[name] = value
		}
	}
	if diff := cmp.Diff(normal(want), any(kept)); p.err == nil && diff != "" {
		p.fail("natively it is otherwise (-want +got):\n%s", diff)
	}
	p.ok()
	return got
}

// tagged holds the ETag of the last reply to another one.
func (p *trip) tagged(etag string) *trip {
	p.rt.Helper()
	p.wantHeader("ETag", etag)
	p.ok()
	return p
}

// exactly holds the reply of a dialect to a value, all of it.
func (p *trip) exactly(status int, want any) *trip {
	p.rt.Helper()
	p.wantStatus(status).want("", want)
	p.ok()
	return p
}

// having holds what is at a place of the reply to some members; it may have more. One that is nil is not there.
func (p *trip) having(status int, pointer string, want object) *trip {
	p.rt.Helper()
	p.wantStatus(status)
	for name, value := range want {
		if value == nil {
			p.wantAbsent(pointer + "/" + name)
		} else {
			p.want(pointer+"/"+name, value)
		}
	}
	p.ok()
	return p
}

// listed finds the object of a list by a member, and returns where it is.
func (p *trip) listed(pointer, member, id string) string {
	p.rt.Helper()
	p.wantStatus(http.StatusOK)
	items, _ := at(p.last.value(), pointer)
	all, _ := items.([]any)
	for i, item := range all {
		if got, _ := at(item, "/"+member); got == id {
			return fmt.Sprintf("%s/%d", pointer, i)
		}
	}
	p.fail("%s is not in the list", id)
	p.ok()
	return ""
}

// gone holds every reader to there being no such object.
func (p *trip) gone(paths ...[2]string) {
	p.rt.Helper()
	for _, path := range paths {
		if path[1] == "" {
			p.natively("GET", path[0], nil)
		} else {
			p.say("GET", path[0], nil, "", path[1])
		}
		p.wantStatus(http.StatusNotFound)
		p.ok()
	}
}
