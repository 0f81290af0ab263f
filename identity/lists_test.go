package identity_test

import (
	"fmt"
	"strings"
	"testing"
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
	edited := "A" + next[1:]
	if edited == next {
		edited = "B" + next[1:]
	}
	for _, path := range []string{
		"/v1/roles?after=" + next, "/v1/groups?tenant=t1&after=" + next, "/v1/groups?after=" + edited, "/v1/groups?after=nonsense",
		"/v1/groups?after=", "/v1/groups?after=" + next + "A",
	} {
		r := w.root().get(path).want(400, "unknown_cursor")
		equal(t, "parameter", r.text("parameter"), "after")
	}
	w.application("admin", `,"tenant":"t1","grants":[{"tenant":"t1","resource":"iam/groups","action":"read"}]`)
	w.as("application:admin").get("/v1/groups?after="+next).want(400, "unknown_cursor")
}

func TestH08FiltersAreLiteral(t *testing.T) {
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
