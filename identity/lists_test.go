package identity_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

func TestL02ListsArePagedWithinBounds(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.root().put(fmt.Sprintf("/v1/groups/g%d", i), `{"name":"x"}`).is(201)
	}
	seen, after := "", ""
	for range 3 {
		r := w.root().get("/v1/groups?limit=2" + after).is(200)
		seen += r.ids("id") + ";"
		after = "&after=" + r.text("next")
	}
	equal(t, "pages", seen, "g0 g1;g2 g3;g4;")
	equal(t, "next of the last", after, "&after=")
	for _, limit := range []string{"0", "101", "-1", "ten", "", "01", "+5", "1e1"} {
		r := w.root().get("/v1/groups?limit=" + strings.ReplaceAll(limit, "+", "%2B")).is(400)
		equal(t, "parameter", r.text("parameter"), "limit")
	}
	w.root().get("/v1/groups?limit=100").is(200)
}

// The store goes away after each of the reads that a list takes: the reply is an error, or all that it says it is.
func TestSS06AListIsWholeOrAnError(t *testing.T) {
	w := newWorld(t)
	var many strings.Builder
	const people = 240
	for i := range people {
		tenant := ""
		if i%60 == 59 {
			tenant = `,"tenant":"acme"`
		}
		fmt.Fprintf(&many, `,{"username":"u%03d","email":"u%03d@example.com"%s}`, i, i, tenant)
	}
	all := many.String()[1:]
	w.root().put("/v1/tenants/acme", `{"name":"x"}`).is(201)
	rows := strings.Split(strings.ReplaceAll(all, "},{", "}\n{"), "\n")
	for len(rows) > 0 {
		n := min(80, len(rows))
		w.root().post("/v1/import", `{"users":[`+strings.Join(rows[:n], ",")+`]}`).is(200)
		rows = rows[n:]
	}
	w.application("acme-reader", `,"tenant":"acme","grants":[{"tenant":"acme","resource":"iam/users","action":"read"}]`)
	for name, who := range map[string]struct {
		caller, query string
		want          int
	}{
		"everything, in pages": {"root", "?limit=7", people}, "a few among many": {"acme-reader", "?limit=3", people / 60}, "with a total": {"root", "?limit=90&count=true", people},
	} {
		caller := w.root()
		if who.caller != "root" {
			caller = w.as("application:" + who.caller)
		}
		failed := 0
		for reads := int64(2); ; reads++ { // the first so many lists but one are read
			got, after, outage := 0, "", false
			for page := 0; ; page++ {
				w.store.lists.Store(0)
				if page == 1 || who.want <= 7 || strings.Contains(who.query, "count") { // cut in the second page, or in the only one
					w.store.lists.Store(reads)
				}
				r := caller.get("/v1/users" + who.query + after)
				w.store.lists.Store(0)
				if r.status == 503 {
					outage = true
					break
				}
				r.is(200)
				got += len(strings.Fields(r.ids("id")))
				if strings.Contains(who.query, "count") {
					equal(t, name+": total", fmt.Sprint(r.value("total")), fmt.Sprint(people))
				}
				next, _ := r.value("next").(string)
				if next == "" {
					break
				}
				after = "&after=" + next
			}
			if !outage {
				equal(t, name, got, who.want)
				break
			}
			if failed++; failed > 1000 {
				t.Fatal(name + ": it never ends")
			}
		}
		w.store.lists.Store(1)
		caller.get("/v1/users"+who.query).want(503, "unavailable")
		w.store.lists.Store(0)
	}
}

func TestH17CursorsAreOfOneListWithItsFilters(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/t1", `{"name":"x"}`).is(201)
	for i := range 4 {
		w.root().put(fmt.Sprintf("/v1/groups/g%d", i), `{"name":"x"}`).is(201)
		w.root().put(fmt.Sprintf("/v1/roles/r:%d", i), `{}`).is(201)
	}
	next := w.root().get("/v1/groups?limit=1").text("next")
	w.root().put("/v1/groups/a", `{"name":"x"}`).is(201)
	w.root().put("/v1/groups/g00", `{"name":"x"}`).is(201)
	equal(t, "behind the cursor", w.root().get("/v1/groups?limit=100&after="+next).is(200).ids("id"), "g00 g1 g2 g3")
	for _, path := range []string{
		"/v1/roles?after=" + next, "/v1/groups?tenant=t1&after=" + next, "/v1/groups?after=" + changedToken(next), "/v1/groups?after=nonsense",
		"/v1/groups?after=", "/v1/groups?after=" + next + "A",
	} {
		r := w.root().get(path).want(400, "unknown_cursor")
		equal(t, "parameter", r.text("parameter"), "after")
	}
	w.application("admin", `,"tenant":"t1","grants":[{"tenant":"t1","resource":"iam/groups","action":"read"}]`)
	w.as("application:admin").get("/v1/groups?after="+next).want(400, "unknown_cursor")
}

func TestH17AListGoesBackToo(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.root().put(fmt.Sprintf("/v1/groups/g%d", i), `{"name":"x"}`).is(201)
	}
	first := w.root().get("/v1/groups?limit=2").is(200)
	second := w.root().get("/v1/groups?limit=2&after=" + first.text("next")).is(200)
	equal(t, "last of a page with more behind", first.text("last"), first.text("next"))
	third := w.root().get("/v1/groups?limit=2&after=" + second.text("last")).is(200)
	equal(t, "the end", third.ids("id")+";"+third.text("next"), "g4;")
	equal(t, "behind the end", w.root().get("/v1/groups?after="+third.text("last")).is(200).ids("id"), "")

	back := w.root().get("/v1/groups?limit=2&count=true&before=" + third.text("first")).is(200)
	equal(t, "the page in front", back.ids("id"), "g2 g3")
	equal(t, "total", fmt.Sprint(back.value("total")), "5")
	equal(t, "it goes on", back.text("next"), back.text("last"))
	equal(t, "and on", w.root().get("/v1/groups?limit=3&after="+back.text("next")).is(200).ids("id"), "g4")
	equal(t, "the first page", w.root().get("/v1/groups?limit=2&before="+back.text("first")).is(200).ids("id"), "g0 g1")
	equal(t, "fewer than asked for", w.root().get("/v1/groups?limit=9&before="+back.text("first")).is(200).ids("id"), "g0 g1")
	none := w.root().get("/v1/groups?before=" + first.text("first")).is(200)
	equal(t, "in front of the first", none.ids("id")+none.text("first")+none.text("last")+none.text("next"), "")

	w.root().put("/v1/groups/g15", `{"name":"x"}`).is(201)
	w.root().put("/v1/groups/z", `{"name":"x"}`).is(201)
	w.root().del("/v1/groups/g2").is(204) // a cursor is a place, and need not be an object
	equal(t, "what came between is there", w.root().get("/v1/groups?limit=2&before="+second.text("first")).is(200).ids("id"), "g1 g15")

	w.root().get("/v1/groups?before="+first.text("first")+"&after="+first.text("last")).want(400, "two_cursors")
	w.root().get("/v1/groups?before=&after=").want(400, "two_cursors")
	for _, path := range []string{
		"/v1/roles?before=" + first.text("first"), "/v1/groups?tenant=t1&before=" + first.text("first"), "/v1/groups?before=nonsense", "/v1/groups?before=",
	} {
		equal(t, "parameter", w.root().get(path).want(400, "unknown_cursor").text("parameter"), "before")
	}
	w.root().get("/v1/sessions?before=" + first.text("first")).is(400) // it goes one way
}

func TestOneOfSeveralRoles(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a:x", "b:x", "c:x"} {
		w.role(key, `[]`)
	}
	w.user("ada", `,"roles":["a:x"]`)
	w.user("bob", `,"roles":["b:x","a:x"]`)
	w.user("eve", `,"roles":["c:x"]`)
	for query, want := range map[string]string{
		"role=a:x,c:x": "ada bob eve", "role=b:x,c:x": "bob eve", "role=b:x,no:role": "bob", "role=a:x,a:x": "ada bob", "role=,": "",
		"role=a:x,c:x&role_prefix=b": "bob", "role=a:x,b:x&limit=1": "ada",
	} {
		equal(t, query, w.root().get("/v1/users?"+query).is(200).ids("username"), want)
	}
}

func TestH08AndSS01FiltersAreLiteral(t *testing.T) {
	w := newWorld(t)
	w.role("support:agent", `[]`)
	w.role("supporter:x", `[]`)
	w.user("ada", `,"roles":["support:agent"]`)
	w.user("bob", `,"roles":["supporter:x"]`)
	w.user("eve", `,"roles":["support:agent","supporter:x"],"suspended_at":"2026-06-01T11:00:00Z"`)
	for query, want := range map[string]string{
		"role_prefix=support:":                  "ada eve",
		"role_prefix=support":                   "ada bob eve",
		"role_prefix=.*":                        "",
		"role_prefix=support%25":                "",
		"role=support:agent":                    "ada eve",
		"suspended=true":                        "eve",
		"suspended=false":                       "ada bob",
		"role_prefix=support:&role=supporter:x": "eve",
		"tenant=nowhere":                        "",
		"":                                      "ada bob eve",
	} {
		equal(t, query, w.root().get("/v1/users?"+query).is(200).ids("username"), want)
	}
	w.root().get("/v1/users?role_prefix=").is(400)
	w.root().get("/v1/users?suspended=yes").is(400)
	w.root().get("/v1/users?username[$ne]=x").is(400)
}

func TestH18AListHoldsWhatItsReaderCouldGet(t *testing.T) {
	w := newWorld(t)
	ids := map[string]string{}
	for _, tenant := range []string{"acme", "globex"} {
		w.root().put("/v1/tenants/"+tenant, `{"name":"x"}`).is(201)
		ids[tenant] = w.user("of-"+tenant, `,"tenant":"`+tenant+`"`)
	}
	ids["none"] = w.user("of-none", "")
	w.application("acme-admin", `,"tenant":"acme","grants":[{"tenant":"acme","resource":"iam/users","action":"read"}]`)
	w.application("acme-reader", `,"grants":[{"tenant":"acme","resource":"iam/users","action":"read"}]`)
	w.application("plain", `,"grants":[{"resource":"iam/users","action":"read"}]`)
	w.application("all", `,"grants":[{"tenant":"*","resource":"iam/users","action":"read"}]`)
	for caller, want := range map[string]string{
		"acme-admin": "of-acme", "acme-reader": "of-acme", "plain": "of-none", "all": "of-acme of-globex of-none",
		"all,tenant=acme": "of-acme of-none",
	} {
		c := w.as("application:" + caller)
		got := c.get("/v1/users").is(200).ids("username")
		equal(t, "list of "+caller, got, want)
		for name, id := range ids {
			equal(t, caller+" gets "+name, c.get("/v1/users/"+id).status == 200, strings.Contains(got, "of-"+name))
		}
	}
	w.as("application:acme-reader").get("/v1/users?tenant=globex").is(403)
	equal(t, "named tenant", w.as("application:acme-reader").get("/v1/users?tenant=acme").is(200).ids("username"), "of-acme")
}

// Rights to single objects let their holder ask for a list as long as they are not too many to look at in the decision; who may ask anyway sees
// them all.
func TestManyRightsToSingleObjects(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/acme", `{"name":"x"}`).is(201)
	w.write(&storage.Group{Meta: storage.Meta{ID: "g0001"}, Name: "x"}, &storage.Group{Meta: storage.Meta{ID: "g9999"}, Name: "x"})
	w.write(&storage.Group{Meta: storage.Meta{ID: "of-acme"}, Name: "x", Tenant: "acme"})
	for name, reader := range map[string]struct {
		rights int
		beside string
		status int
		shown  string
	}{
		"as many as are looked at":   {1000, "", 200, "g0001"},
		"more":                       {1001, "", 403, ""},
		"more, and a tenant of them": {1001, `,{"tenant":"acme","resource":"iam/groups","action":"read"}`, 200, "g0001 of-acme"},
	} {
		var grants []string
		for i := range reader.rights - 1 {
			grants = append(grants, fmt.Sprintf(`{"resource":"iam/groups/g%04d","action":"read"}`, i))
		}
		id := fmt.Sprintf("reader-%d-%d", reader.rights, len(reader.beside))
		w.role("many:"+id, "["+strings.Join(grants, ",")+"]")
		w.application(id, fmt.Sprintf(`,"roles":["many:%s"],"grants":[{"resource":"iam/groups/g%04d","action":"read"}%s]`, id, reader.rights-1, reader.beside))
		r := w.as("application:" + id).get("/v1/groups?limit=100").is(reader.status)
		if reader.status == 200 {
			equal(t, name, r.ids("id"), reader.shown)
		}
		w.as("application:" + id).get("/v1/groups/g0001").is(200)
		w.as("application:" + id).get("/v1/groups/g9999").is(404)
	}
}

// houseWorld is a world whose administrators have added a rule to the shipped ones about what is read: nobody reads what is hidden.
func houseWorld(t *testing.T, rules string) *world {
	t.Helper()
	dir := t.TempDir()
	must(t, policies.Eject(dir))
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, "_test.rego") { // an edited core is opened without them
			return os.Remove(path)
		}
		return err
	}))
	admin := filepath.Join(dir, "writ", "admin")
	for name, edit := range map[string][2]string{
		"result.rego": {"allow if {\n\taccepted\n", "allow if {\n\tnot hidden\n\taccepted\n"},
		"plain.rego":  {"plain if {\n\tinput.action.name == \"read\"\n", "plain if {\n\tinput.action.name == \"read\"\n\tnot hidden\n"},
	} {
		body, err := os.ReadFile(filepath.Join(admin, name))
		must(t, err)
		edited := strings.Replace(string(body), edit[0], edit[1], 1)
		if edited == string(body) {
			t.Fatalf("%s has no %q", name, edit[0])
		}
		must(t, os.WriteFile(filepath.Join(admin, name), []byte(edited), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(admin, "house.rego"), []byte("package writ.admin\n\ndefault hidden := false\n\n"+rules+"\n"), 0o600))
	engine, err := policies.Open(t.Context(), policies.Config{Now: start, Deadline: time.Hour, CoreDir: dir})
	must(t, err)
	return newWorldWith(t, func(c *config) { c.PDP = engine })
}

// walk reads a list to its end, a few rows at a time.
func (a as) walk(path, field string) string {
	a.w.t.Helper()
	var all []string
	for after := ""; ; {
		r := a.get(path + after).is(200)
		all = append(all, strings.Fields(r.ids(field))...)
		next, _ := r.value("next").(string)
		if next == "" {
			return strings.Join(all, " ")
		}
		after = "&after=" + next
	}
}

// walkBack reads a list from its end to its beginning, a few rows at a time.
func (a as) walkBack(path, field string) string {
	a.w.t.Helper()
	var all []string
	end, after := "", ""
	for {
		r := a.get(path + after).is(200)
		if last, _ := r.value("last").(string); last != "" {
			end, all = last, strings.Fields(r.ids(field))
		}
		next, _ := r.value("next").(string)
		if next == "" {
			break
		}
		after = "&after=" + next
	}
	all = all[len(all)-1:]
	for before := end; before != ""; {
		r := a.get(path + "&before=" + before).is(200)
		all = append(strings.Fields(r.ids(field)), all...)
		before, _ = r.value("first").(string)
	}
	return strings.Join(all, " ")
}

// Where rules hide more between two rows than a page looks at, it is short and says where it goes on, both ways.
func TestAPageEndsWhereTooMuchIsHidden(t *testing.T) {
	w := houseWorld(t, "hidden if {\n\tinput.resource.type == \"iam/groups\"\n\tinput.resource.tenant == \"globex\"\n}")
	w.root().put("/v1/tenants/globex", `{"name":"x"}`).is(201)
	groups := []storage.Record{&storage.Group{Meta: storage.Meta{ID: "a1"}}, &storage.Group{Meta: storage.Meta{ID: "z1"}}}
	for i := range 5200 {
		groups = append(groups, &storage.Group{Meta: storage.Meta{ID: fmt.Sprintf("h%04d", i)}, Tenant: "globex"})
	}
	w.write(groups...)
	w.application("all", `,"grants":[{"tenant":"*","resource":"iam/groups","action":"read"},{"tenant":"globex","resource":"iam/groups/h2600","action":"read"}]`)
	caller := w.as("application:all")
	first := caller.get("/v1/groups?limit=100").is(200)
	equal(t, "the first page", first.ids("id"), "a1")
	second := caller.get("/v1/groups?limit=100&after=" + first.text("next")).is(200)
	equal(t, "the second page", second.ids("id"), "z1")
	back := caller.get("/v1/groups?limit=100&before=" + second.text("last")).is(200)
	equal(t, "back, and nothing yet", back.ids("id")+";"+fmt.Sprint(back.value("next")), ";<nil>")
	equal(t, "back, and on", caller.get("/v1/groups?limit=100&before="+back.text("first")).is(200).ids("id"), "a1")
	equal(t, "all the way back", caller.walkBack("/v1/groups?limit=100", "id"), "a1 z1")
}

// A policy author edits what may be read, and nothing else: lists, their totals and their pages follow.
func TestH18AnEditedRuleChangesTheLists(t *testing.T) {
	for name, house := range map[string]struct {
		rule string
		want map[string]string // by reader
	}{
		"a tenant is hidden": {
			"hidden if {\n\tinput.resource.type == \"iam/groups\"\n\tinput.resource.tenant == \"globex\"\n}",
			map[string]string{"all": "a1 a2 n1 n2", "few": "a1 a2", "one": "n1"},
		},
		"an object is hidden": {
			`hidden if input.resource.id == "a2"`, map[string]string{"all": "a1 g1 g2 n1 n2", "few": "a1 g1 g2", "one": "g2 n1"},
		},
		"a named object is hidden": {
			`hidden if input.resource.id == "g2"`, map[string]string{"all": "a1 a2 g1 n1 n2", "few": "a1 a2 g1", "one": "n1"},
		},
		"what has no tenant is hidden, by a reader's name": {
			"hidden if {\n\tinput.resource.id != \"\"\n\tinput.resource.tenant == \"\"\n\tinput.resource.type == \"iam/groups\"\n\tinput.subject.id == \"all\"\n}",
			map[string]string{"all": "a1 a2 g1 g2", "few": "a1 a2 g1 g2", "one": "g2 n1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := houseWorld(t, house.rule)
			ids := []string{"a1", "a2", "g1", "g2", "n1", "n2"}
			w.root().put("/v1/tenants/acme", `{"name":"x"}`).is(201)
			w.root().put("/v1/tenants/globex", `{"name":"x"}`).is(201)
			var groups []storage.Record
			for _, id := range ids {
				g := &storage.Group{Name: id, Tenant: map[byte]storage.TenantID{'a': "acme", 'g': "globex"}[id[0]]}
				g.ID = id
				groups = append(groups, g)
			}
			w.write(groups...)
			w.application("all", `,"grants":[{"tenant":"*","resource":"iam/groups","action":"read"}]`)
			w.application("few", `,"grants":[{"tenant":"acme","resource":"iam/groups","action":"read"},{"tenant":"globex","resource":"iam","action":"read"}]`)
			w.application("one", `,"grants":[{"resource":"iam/groups/n1","action":"read"},{"tenant":"globex","resource":"iam/groups/g2","action":"read"}]`)
			for reader, want := range house.want {
				caller := w.as("application:" + reader)
				for _, limit := range []string{"1", "2", "100"} {
					equal(t, reader+", by "+limit, caller.walk("/v1/groups?limit="+limit, "id"), want)
					equal(t, reader+", back by "+limit, caller.walkBack("/v1/groups?limit="+limit, "id"), want)
				}
				total := caller.get("/v1/groups?limit=1&count=true").is(200).value("total")
				equal(t, reader+": total", fmt.Sprint(total), fmt.Sprint(len(strings.Fields(want))))
				for _, id := range ids {
					equal(t, reader+" gets "+id, caller.get("/v1/groups/"+id).status == 200, slices.Contains(strings.Fields(want), id))
				}
			}
		})
	}
}

// Where most rows are hidden, a page ends after a bounded number of records and says where it goes on; none is left out.
func TestH18APageLooksAtABoundedNumberOfRecords(t *testing.T) {
	w := houseWorld(t, "hidden if {\n\tinput.resource.type == \"iam/groups\"\n\tinput.resource.id != \"\"\n\tnot startswith(input.resource.id, \"z\")\n}")
	var groups []storage.Record
	for i := range 5200 {
		g := &storage.Group{Name: "x"}
		g.ID = fmt.Sprintf("g%04d", i)
		groups = append(groups, g)
	}
	last := &storage.Group{Name: "x"}
	last.ID = "z1"
	w.write(append(groups, last)...)
	r := w.root().get("/v1/groups?limit=100&count=true").is(200)
	equal(t, "rows of the first page", r.ids("id"), "")
	if next, _ := r.value("next").(string); next == "" {
		t.Error("the list ends before its only row")
	}
	equal(t, "rows", w.root().walk("/v1/groups?limit=100", "id"), "z1")
}
