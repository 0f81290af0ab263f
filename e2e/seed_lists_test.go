package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// all walks a list to its end and returns the given member of every item.
func (c *scenario) all(path, member string) []string {
	got := []string{}
	for after := ""; c.err == nil; {
		at := path
		if after != "" {
			at += "&after=" + after
		}
		c.get(at).wantStatus(200)
		got = append(got, c.items(member)...)
		v, _ := c.last.value().(map[string]any)
		next, _ := v["next"].(string)
		if next == "" {
			break
		}
		after = next
	}
	return got
}

// allBack walks a list from its end to its start, in pages in front of each other, and returns the given member of every item, in order.
func (c *scenario) allBack(path, member string) []string {
	got := []string{}
	c.get(path).wantStatus(200)
	for page, _ := c.last.value().(map[string]any); c.err == nil; page, _ = c.last.value().(map[string]any) {
		if next, _ := page["next"].(string); next == "" {
			got = c.items(member)
			break
		}
		c.get(path + "&after=" + page["next"].(string)).wantStatus(200)
	}
	for c.err == nil {
		page, _ := c.last.value().(map[string]any)
		first, _ := page["first"].(string)
		if first == "" {
			break
		}
		c.get(path + "&before=" + first).wantStatus(200)
		got = append(c.items(member), got...)
	}
	return got
}

// seen is an object of the world of TestSeedH18, as root reads it.
type seen struct {
	id   string
	body object
}

// has reports whether an object has a value in a list of texts.
func (o seen) has(member string, fits func(string) bool) bool {
	array, _ := o.body[member].([]any)
	return slices.ContainsFunc(array, func(v any) bool { s, ok := v.(string); return ok && fits(s) })
}

// TestSeedH18AndSA08AndSA09ListsShowWhatCanBeReadOneByOne plays random readers in a small world of three tenants. What a list shows, with any
// filters, in pages of any size and in its total, is held against GET of every single object.
func TestSeedH18AndSA08AndSA09ListsShowWhatCanBeReadOneByOne(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	seed := [2]uint64{rand.Uint64(), rand.Uint64()}
	t.Logf("seed %v", seed)
	random := rand.New(rand.NewPCG(seed[0], seed[1]))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	one, two := c.newTenant(), c.newTenant()
	tenants := []string{"", one, two}
	var groups, roles []string
	for n := range 6 {
		tenant := pick(tenants...)
		key := fmt.Sprintf("h%d:%s", n%2, unique("r"))
		c.put("/v1/roles/"+key, merge(object{"grants": list{}}, inTenant(tenant))).wantStatus(201)
		roles = append(roles, key)
		id := unique("g")
		c.put("/v1/groups/"+id, merge(object{"name": pick("Ärzte", "ABC ", "a.*c") + id, "roles": list{key}}, inTenant(tenant))).wantStatus(201)
		groups = append(groups, id)
	}
	var singles []string // the paths of objects
	for range 10 {
		tenant := pick(tenants...)
		in := merge(object{"roles": list{pick(roles...)}, "groups": list{pick(groups...)}}, inTenant(tenant))
		name := pick("Ada", "adam", "Straße", "x%y")
		u := c.newUser(merge(in, object{"name": name, "password": nil}))
		if random.IntN(2) == 0 {
			c.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
		}
		a := c.newApp(merge(in, object{"name": name, "is_active": random.IntN(2) == 0}))
		singles = append(singles, "iam/users/"+u.ID, "iam/applications/"+a.ID, "iam/groups/"+pick(groups...), "iam/tenants/"+pick(one, two))
	}
	type reader struct {
		app    app
		tenant string // of the token, where the reader narrows it
		scope  string
	}
	readers := []reader{{app: c.newApp(object{"grants": grants("iam:read@*", "iam:read")})}} // one who sees all, so that there is something to compare
	for range 32 {
		held := []string{}
		for range 1 + random.IntN(3) {
			right := pick("iam/users:read", "iam/groups:read", "iam/roles:read", "iam/applications:read", "iam/tenants:read", "iam:read", "iam/users:write", "iam:*")
			if random.IntN(2) == 0 { // a right to a single object
				right = pick(singles...) + pick(":read", ":read", ":*", ":write")
			}
			if tenant := pick("", one, two, "*"); tenant != "" {
				right += "@" + tenant
			}
			held = append(held, right)
		}
		r := reader{app: c.newApp(merge(object{"grants": grants(held...)}, inTenant(pick("", "", one))))}
		if tenant := pick("", one); tenant != "" && strings.Contains(strings.Join(held, " "), "@") {
			r.tenant = tenant
		}
		r.scope = pick("", "", "iam/users:read iam/groups:read", pick(singles...)+":read "+pick(singles...)+":read")
		readers = append(readers, r)
	}
	kinds := map[string]string{"users": "id", "groups": "id", "roles": "key", "applications": "id", "tenants": "id"}
	world := map[string][]seen{}
	for kind, member := range kinds {
		for _, id := range c.all("/v1/"+kind+"?limit=100", member) {
			c.get("/v1/" + kind + "/" + id).wantStatus(200)
			body, _ := c.last.value().(map[string]any)
			world[kind] = append(world[kind], seen{id, body})
		}
	}
	c.done()
	// filters of each kind, and what they mean in the words of one who reads bodies.
	is := func(member, value string) func(seen) bool {
		return func(o seen) bool { return fmt.Sprint(o.body[member]) == value }
	}
	begins := func(prefix string, members ...string) func(seen) bool {
		return func(o seen) bool {
			return slices.ContainsFunc(members, func(member string) bool {
				text, _ := o.body[member].(string)
				return strings.HasPrefix(strings.ToLower(text), strings.ToLower(prefix))
			})
		}
	}
	belongs := func(tenant string) func(seen) bool {
		return func(o seen) bool { text, _ := o.body["tenant"].(string); return text == tenant }
	}
	draw := func(kind string) (string, []func(seen) bool) {
		query, fits := url.Values{}, []func(seen) bool{}
		add := func(name, value string, f func(seen) bool) {
			if random.IntN(3) == 0 {
				query.Set(name, value)
				fits = append(fits, f)
			}
		}
		if kind != "tenants" {
			tenant := pick(one, two, "none")
			add("tenant", tenant, belongs(tenant))
		}
		role, group := pick(roles...), pick(groups...)
		switch kind {
		case "users", "applications":
			add("role", role, func(o seen) bool { return o.has("roles", func(s string) bool { return s == role }) })
			add("role_prefix", role[:3], func(o seen) bool {
				return o.has("roles", func(s string) bool { return strings.HasPrefix(s, role[:3]) })
			})
			add("group", group, func(o seen) bool { return o.has("groups", func(s string) bool { return s == group }) })
			prefix := pick("A", "ada", "ADA", "straß", "x%", "%", ".*")
			if kind == "users" {
				add("name_prefix", prefix, begins(prefix, "name", "username"))
				add("email_prefix", "ADA-", begins("ada-", "email"))
				value := pick("true", "false")
				add("suspended", value, func(o seen) bool { return (o.body["suspended_at"] != nil) == (value == "true") })
			} else {
				add("name_prefix", prefix, begins(prefix, "name"))
				value := pick("true", "false")
				add("active", value, is("is_active", value))
				add("protected", "true", is("protected", "true"))
			}
		case "groups":
			add("role", role, func(o seen) bool { return o.has("roles", func(s string) bool { return s == role }) })
			prefix := pick("ä", "abc", "a.", "A")
			add("name_prefix", prefix, begins(prefix, "name"))
		case "roles":
			add("key_prefix", role[:3], func(o seen) bool { return strings.HasPrefix(o.id, role[:3]) })
		}
		return query.Encode(), fits
	}
	compared, shown := 0, 0
	for n, r := range readers {
		form := []string{"grant_type", "client_credentials"}
		if r.tenant != "" {
			form = append(form, "tenant", r.tenant)
		}
		if r.scope != "" {
			form = append(form, "scope", r.scope)
		}
		if c.ask(r.app, form...); c.last.status != 200 {
			continue // nothing of what was named is held, or not in this tenant
		}
		c.as(bearer(c.text("/access_token")))
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			readable := map[string]bool{}
			for _, o := range world[kind] {
				switch c.get("/v1/" + kind + "/" + o.id); c.last.status {
				case 200:
					readable[o.id] = true
				case 403, 404:
				default:
					c.wantStatus(404)
				}
			}
			c.done()
			for range 4 {
				query, fits := draw(kind)
				path := fmt.Sprintf("/v1/%s?limit=%d&count=true&%s", kind, pick1(random, 1, 3, 100), query)
				want := []string{}
				for _, o := range world[kind] {
					if readable[o.id] && !slices.ContainsFunc(fits, func(f func(seen) bool) bool { return !f(o) }) {
						want = append(want, o.id)
					}
				}
				if c.get(path); c.last.status == 403 || c.last.status == 404 && strings.Contains(query, "tenant=") {
					if len(readable) > 0 && !strings.Contains(query, "tenant=") {
						t.Fatalf("reader %d may read %d %s one by one, and not list them\n%s", n, len(readable), kind, c.last)
					}
					if len(want) > 0 {
						t.Fatalf("reader %d may read %v one by one, and not list them\n%s", n, want, c.last)
					}
					continue
				}
				c.wantStatus(200).want("/total", len(want))
				got := c.all(path, kinds[kind])
				slices.Sort(want)
				if !slices.IsSorted(got) {
					t.Fatalf("the list is not in order\n%s", c.last)
				}
				if c.done(); !slices.Equal(got, want) {
					t.Fatalf("reader %d: GET %s shows %v; readable one by one are %v", n, path, got, want)
				}
				if back := c.allBack(path, kinds[kind]); c.err == nil && !slices.Equal(back, want) {
					t.Fatalf("reader %d: GET %s shows %v from the end back; readable one by one are %v", n, path, back, want)
				}
				c.done()
				compared, shown = compared+1, shown+len(got)
			}
		}
	}
	t.Logf("%d lists compared, with %d rows", compared, shown)
	if compared < 30 || shown < 50 {
		t.Errorf("%d lists with %d rows are too few to mean anything", compared, shown)
	}
}

func pick1(random *rand.Rand, from ...int) int { return from[random.IntN(len(from))] }

func inTenant(tenant string) object {
	if tenant == "" {
		return object{}
	}
	return object{"tenant": tenant}
}

// TestSeedH18UnknownFieldsAndOperators asks every list for what it does not have.
func TestSeedH18UnknownFieldsAndOperators(t *testing.T) {
	c := story(t, shared(t)).root()
	for _, name := range lists {
		for _, bad := range []string{
			"name=x", "filter=x", "sort=name", "order_by=id", "fields=id", "limit%5B%24gt%5D=1", "tenant%5B%24ne%5D=x", "role_prefix.x=1",
			"COUNT=true", "offset=1", "select=*",
		} {
			key, _, _ := strings.Cut(bad, "=")
			key, _ = url.QueryUnescape(key)
			c.get("/v1/"+name+"?"+bad).wantProblem(400, "").want("/parameter", key)
			c.expect(name + " " + bad)
		}
	}
	for _, bad := range []string{"count=yes", "count=", "suspended=1", "name_prefix=", "email_prefix=", "role_prefix=", "name_prefix=%00", "name_prefix=%20"} {
		key, _, _ := strings.Cut(bad, "=")
		c.get("/v1/users?"+bad).wantProblem(400, "").want("/parameter", key)
		c.expect(bad)
	}
	c.get("/v1/roles?key_prefix=").wantProblem(400, "").want("/parameter", "key_prefix")
}

// TestSeedH17AndSS4CursorsAreBoundToWhatTheyAreFor takes a cursor to other lists, filters, tenants and callers.
func TestSeedH17AndSS4CursorsAreBoundToWhatTheyAreFor(t *testing.T) {
	c := story(t, shared(t)).root()
	one, two := c.newTenant(), c.newTenant()
	group := c.newGroup()
	for range 3 {
		c.newApp(object{"groups": list{group}, "tenant": one})
		c.newApp(object{"groups": list{group}, "tenant": two})
	}
	inside := c.newApp(object{"tenant": one, "grants": grants("iam/applications:read@" + one)})
	other := c.newApp(object{"tenant": two, "grants": grants("iam/applications:read@" + two)})
	path := "/v1/applications?limit=1&group=" + group
	everywhere := c.get(path).wantStatus(200).text("/next")
	c.as(bearer(c.token(inside)))
	mine := c.get(path).wantStatus(200).text("/next")
	c.get(path + "&after=" + mine).wantStatus(200)
	c.get(path + "&before=" + mine).wantStatus(200)
	c.get(path+"&before="+mine+"&after="+mine).wantProblem(400, "").want("/code", "two_cursors")
	c.get(path+"&before="+everywhere).wantProblem(400, "").want("/parameter", "before")
	refused := func(name, path string) {
		c.get(path).wantProblem(400, "").want("/parameter", "after")
		c.expect(name)
	}
	refused("of one who sees more", path+"&after="+everywhere)
	refused("another filter", "/v1/applications?limit=1&active=true&after="+mine)
	refused("another value", "/v1/applications?limit=1&group=x&after="+mine)
	refused("no filter", "/v1/applications?limit=1&after="+mine)
	c.as(bearer(c.token(other)))
	refused("another tenant's", path+"&after="+mine)
	c.root()
	refused("of one who sees less", path+"&after="+mine)
	refused("another list", "/v1/users?limit=1&group="+group+"&after="+everywhere)
	for i := range everywhere {
		forged := everywhere[:i] + string(rune('A'+(everywhere[i]-'A'+1)%26)) + everywhere[i+1:]
		if everywhere[i] < 'A' || everywhere[i] > 'Z' {
			forged = everywhere[:i] + "A" + everywhere[i+1:]
		}
		refused(fmt.Sprint("edited at ", i), path+"&after="+forged)
	}
	c.get(path + "&after=" + everywhere).wantStatus(200)

	c.step("rows that come and go elsewhere skip and repeat nothing")
	want := c.all(path, "id")
	var got []string
	next := ""
	for n := 0; n < 20; n++ {
		at := path
		if next != "" {
			at += "&after=" + next
		}
		c.get(at).wantStatus(200)
		got = append(got, c.items("id")...)
		v, _ := c.last.value().(map[string]any)
		if next, _ = v["next"].(string); next == "" {
			break
		}
		gone := c.newApp(object{}) // behind the cursor, and gone again before it comes there
		c.delete("/v1/applications/" + gone.ID).wantStatus(204)
		c.put("/v1/applications/A"+unique("a"), object{"name": "before all others"}).wantStatus(201)
	}
	if c.err == nil && !slices.Equal(got, want) {
		c.fail("pages gave %v, want %v", got, want)
	}

	c.step("and so on the way back")
	got = c.items("id")
	for n := 0; n < 20 && c.err == nil; n++ {
		page, _ := c.last.value().(map[string]any)
		first, _ := page["first"].(string)
		if first == "" {
			break
		}
		gone := c.newApp(object{"groups": list{group}})
		c.delete("/v1/applications/" + gone.ID).wantStatus(204)
		c.put("/v1/applications/z"+unique("a"), object{"name": "behind all others", "groups": list{group}}).wantStatus(201)
		c.get(path + "&before=" + first).wantStatus(200)
		got = append(c.items("id"), got...)
	}
	if c.err == nil && !slices.Equal(got, want) {
		c.fail("pages back gave %v, want %v", got, want)
	}
}
