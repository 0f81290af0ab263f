package decide_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
)

// page is the reply of a search; the results are ids or names.
type page struct {
	Page struct {
		Next  string `json:"next_token"`
		Count int
	}
	Results []struct{ Type, ID, Name string }
}

func (p page) names() []string {
	names := []string{}
	for _, r := range p.Results {
		names = append(names, r.ID+r.Name)
	}
	return names
}

func (w *world) search(caller, what, body string) page {
	w.tb.Helper()
	reply := w.ask(caller, "/access/v1/search/"+what, body)
	var p page
	if err := json.Unmarshal(reply.Body.Bytes(), &p); err != nil || reply.Code != http.StatusOK {
		w.tb.Fatalf("%s %s: %d %s", what, body, reply.Code, reply.Body)
	}
	if p.Page.Count != len(p.Results) {
		w.tb.Errorf("the count is %d of %d results", p.Page.Count, len(p.Results))
	}
	return p
}

// searching is a search about an object of a type; what it looks for has an id that is to be ignored, or none.
func searching(kind, id, action, resource, object, tenant string) string {
	return fmt.Sprintf(`{"subject":{"type":%q,"id":%q},"action":{"name":%q},"resource":{"type":%q,"id":%q,"tenant":%q},"future":1}`,
		kind, id, action, resource, object, tenant)
}

func TestSearches(t *testing.T) {
	w := newWorld(t, nil)
	w.identity("user", "bob", []policies.Grant{
		{Resource: "ledger/accounts/7", Action: "read", Via: "own"},
		{Resource: "ledger/accounts/8", Action: "read", Via: "own"},
		{Resource: "ledger/accounts/9/pages", Action: "read", Via: "own"},
		{Resource: "ledger/accounts/8", Action: "close", Via: "own"},
		{Resource: "ledger/accounts/6", Action: "read", Via: "own", NotAfter: now().Add(-time.Hour)},
	})
	w.identity("user", "zoe", []policies.Grant{{Tenant: "*", Resource: "*", Action: "*", Via: "own"}})
	idle := *w.identity("user", "ida", []policies.Grant{{Tenant: "*", Resource: "*", Action: "*", Via: "own"}}).Facts.Identity()
	idle.Active = false
	w.subjects["user/ida"].Facts = policies.NewFacts(idle)
	w.caller("narrow", w.subjects["user/zoe"], "ledger/accounts/3:read", "ledger/accounts/4:write")
	for _, tc := range []struct {
		name, caller, what, body string
		want                     []string
	}{
		{"who reads", "asker", "subject", searching("user", "", "read", "ledger/accounts", "7", ""), []string{"ada", "bob", "zoe"}},
		{"an id is ignored", "asker", "subject", searching("user", "bob", "read", "ledger/accounts", "7", ""), []string{"ada", "bob", "zoe"}},
		{"who reads another", "asker", "subject", searching("user", "", "read", "ledger/accounts", "1", ""), []string{"ada", "zoe"}},
		{"who reads in a tenant", "asker", "subject", searching("user", "", "read", "ledger/accounts", "7", "acme"), []string{"ada", "zoe"}},
		{"who reveals", "asker", "subject", searching("user", "", "reveal", "iam/applications", "app_x", ""), []string{}},
		{"which applications", "asker", "subject", searching("application", "", "ask", "decisions", "1", ""), []string{"asker"}},
		{"a type of nobody", "asker", "subject", searching("spaceship", "", "read", "ledger/accounts", "7", ""), []string{}},
		{"facts of an application", "asker", "subject", searching("user", "", "read", "record", "record-1", ""), []string{"alice", "bob", "zoe"}},
		{"facts of an application, narrower", "asker", "subject", searching("user", "", "write", "record", "record-2", ""), []string{"bob", "zoe"}},
		{"which resources", "asker", "resource", searching("user", "bob", "read", "ledger/accounts", "", ""), []string{"7", "8"}},
		{"which resources, an id is ignored", "asker", "resource", searching("user", "bob", "close", "ledger/accounts", "7", ""), []string{"8"}},
		{"what a scope names", "zoe", "resource", searching("user", "zoe", "read", "ledger/accounts", "", ""), []string{}},
		{"what a scope names, within it", "narrow", "resource", searching("user", "zoe", "read", "ledger/accounts", "", ""), []string{"3"}},
		{"what a received token may", "asker", "resource", searching("token", "narrow", "read", "ledger/accounts", "", ""), []string{"3"}},
		{"records of facts", "asker", "resource", searching("user", "alice", "write", "record", "", ""), []string{"record-1"}},
		{"records of nobody", "asker", "resource", searching("user", "mallory", "read", "record", "", ""), []string{}},
		{"which actions", "asker", "action", searching("user", "bob", "x", "ledger/accounts", "8", ""), []string{"close", "read"}},
		{"which actions of the catalogue", "asker", "action", searching("user", "zoe", "", "iam/users", "u", ""), []string{"delete", "read", "reset_password", "revoke_tokens", "write"}},
		{"which actions of facts", "asker", "action", searching("user", "alice", "", "record", "record-1", ""), []string{"read", "write"}},
		{"which actions of nobody", "asker", "action", searching("user", "mallory", "", "record", "record-1", ""), []string{}},
		{"which actions, within the token", "narrow", "action", searching("user", "zoe", "", "ledger/accounts", "4", ""), []string{"write"}},
	} {
		got := w.search(tc.caller, tc.what, tc.body).names()
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

// Every size of page gives the same results in the same order, each once; a token is good for its own search, with or without a limit.
func TestPagesOfASearch(t *testing.T) {
	w := newWorld(t, nil)
	for n := range 25 {
		grants := []policies.Grant{{Resource: "record", Action: "read", Via: "role:ops:reader"}}
		if n%3 == 0 {
			grants[0].NotAfter = now().Add(-time.Hour)
		}
		w.identity("user", fmt.Sprintf("user%02d", n), grants)
	}
	with := func(page string) string {
		return strings.Replace(searching("user", "", "read", "record", "record-1", ""), `"future":1`, `"page":`+page, 1)
	}
	all := w.search("asker", "subject", with(`{}`)).names()
	if len(all) != 18 || all[0] != "alice" || all[1] != "bob" {
		t.Fatalf("%d results: %v", len(all), all)
	}
	var token string
	for limit := 1; limit < 20; limit++ {
		var got []string
		for next := ""; ; {
			p := w.search("asker", "subject", with(fmt.Sprintf(`{"limit":%d,"token":%q,"properties":{}}`, limit, next)))
			got = append(got, p.names()...)
			if next = p.Page.Next; next == "" {
				break
			}
			if token = next; len(p.Results) != limit {
				t.Fatalf("a page of %d has %d results and a next one", limit, len(p.Results))
			}
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Fatalf("pages of %d: %s", limit, diff)
		}
	}
	w.search("asker", "subject", with(fmt.Sprintf(`{"token":%q}`, token)))
	for name, body := range map[string]string{
		"another action":   strings.Replace(with(fmt.Sprintf(`{"token":%q}`, token)), `"read"`, `"write"`, 1),
		"another resource": strings.Replace(with(fmt.Sprintf(`{"token":%q}`, token)), `record-1`, `record-2`, 1),
		"another type":     strings.Replace(with(fmt.Sprintf(`{"token":%q}`, token)), `"user"`, `"robot"`, 1),
		"another context":  strings.Replace(with(fmt.Sprintf(`{"token":%q}`, token)), `"page"`, `"context":{"a":1},"page"`, 1),
		"none of ours":     with(`{"token":"garbage"}`),
		"a limit of none":  with(`{"limit":0}`),
		"a negative limit": with(`{"limit":-1}`),
		"half a limit":     with(`{"limit":1.5}`),
		"a page of text":   with(`"first"`),
	} {
		if reply := w.ask("asker", "/access/v1/search/subject", body); reply.Code != http.StatusBadRequest || !strings.Contains(reply.Body.String(), "/page") {
			t.Errorf("%s: %d %s", name, reply.Code, reply.Body)
		}
	}
	if reply := w.ask("asker", "/access/v1/search/resource", with(fmt.Sprintf(`{"token":%q}`, token))); reply.Code != http.StatusBadRequest {
		t.Errorf("a token of another search: %d %s", reply.Code, reply.Body)
	}
}

func TestBadSearches(t *testing.T) {
	w := newWorld(t, nil)
	for _, tc := range []struct {
		name, caller, what, body string
		status                   int
		says                     string
	}{
		{"no action", "asker", "subject", `{"subject":{"type":"user"},"resource":{"type":"record","id":"1"}}`, 400, "/action"},
		{"no id of the resource", "asker", "subject", `{"subject":{"type":"user"},"action":{"name":"read"},"resource":{"type":"record"}}`, 400, "/resource/id"},
		{"no type", "asker", "subject", `{"subject":{},"action":{"name":"read"},"resource":{"type":"record","id":"1"}}`, 400, "/subject/type"},
		{"no subject", "asker", "resource", `{"action":{"name":"read"},"resource":{"type":"record"}}`, 400, "/subject"},
		{"no id of the subject", "asker", "resource", `{"subject":{"type":"user"},"action":{"name":"read"},"resource":{"type":"record"}}`, 400, "/subject/id"},
		{"no resource", "asker", "action", `{"subject":{"type":"user","id":"ada"}}`, 400, "/resource"},
		{"no subject of actions", "asker", "action", `{"subject":{"type":"user"},"resource":{"type":"record","id":"1"}}`, 400, "/subject/id"},
		{"a key twice", "asker", "action", `{"subject":{"type":"user","type":"user","id":"1"}}`, 400, "/subject/type"},
		{"without the right", "meek", "subject", searching("user", "", "read", "record", "record-1", ""), 403, "not_granted"},
		{"without the right, about nobody", "meek", "resource", searching("user", "nobody", "read", "record", "", ""), 403, "not_granted"},
		{"nobody", "nobody", "action", searching("user", "ada", "", "record", "1", ""), 401, "no such token"},
	} {
		reply := w.ask(tc.caller, "/access/v1/search/"+tc.what, tc.body)
		if reply.Code != tc.status || !strings.Contains(reply.Body.String(), tc.says) {
			t.Errorf("%s: got %d %s", tc.name, reply.Code, reply.Body)
		}
	}
	w.down = errors.New("store unavailable")
	for _, what := range []string{"subject", "resource"} {
		reply := w.ask("asker", "/access/v1/search/"+what, searching("user", "ada", "read", "ledger", "1", ""))
		if reply.Code != http.StatusServiceUnavailable || reply.Header().Get("Retry-After") == "" {
			t.Errorf("%s, with the directory away: %d %s", what, reply.Code, reply.Body)
		}
	}
}

// What a search finds is what an evaluation permits: each result is, and of a small world nothing is left out.
func TestSearchesEqualEvaluation(t *testing.T) {
	w := newWorld(t, nil)
	delete(w.subjects, "user/ada")
	actions, ids := []string{"read", "write", "close"}, []string{"1", "2", "record-1", "record-2"}
	users := []string{"alice", "bob", "eve", "joe"}
	rapid.Check(t, func(rt *rapid.T) {
		for _, user := range users[1:] {
			var grants []policies.Grant
			for range rapid.IntRange(0, 4).Draw(rt, "grants of "+user) {
				kind := rapid.SampledFrom([]string{"ledger/books", "record", "*", "ledger"}).Draw(rt, "on")
				if kind == "ledger/books" || kind == "record" {
					kind += rapid.SampledFrom([]string{"", "/1", "/2", "/record-2"}).Draw(rt, "object")
				}
				g := policies.Grant{
					Tenant: rapid.SampledFrom([]string{"", "acme", "*"}).Draw(rt, "tenant"), Resource: kind,
					Action: rapid.SampledFrom(append([]string{"*"}, actions...)).Draw(rt, "to"), Via: "own",
				}
				if rapid.Bool().Draw(rt, "ended") {
					g.NotAfter = now().Add(-time.Hour)
				}
				grants = append(grants, g)
			}
			w.identity("user", user, grants)
		}
		tenant := rapid.SampledFrom([]string{"", "acme"}).Draw(rt, "asked tenant")
		kind := rapid.SampledFrom([]string{"ledger/books", "record"}).Draw(rt, "asked type")
		permitted := func(user, action, id string) bool {
			return strings.HasPrefix(w.ask("asker", "/access/v1/evaluation", searching("user", user, action, kind, id, tenant)).Body.String(), `{"decision":true`)
		}
		action, id := rapid.SampledFrom(actions).Draw(rt, "action"), rapid.SampledFrom(ids).Draw(rt, "id")
		user := rapid.SampledFrom(users).Draw(rt, "user")
		var want []string
		for _, user := range users {
			if permitted(user, action, id) {
				want = append(want, user)
			}
		}
		found := w.search("asker", "subject", searching("user", "", action, kind, id, tenant)).names()
		slices.Sort(found)
		if !slices.Equal(found, want) {
			rt.Fatalf("who may %s %s/%s in %q: found %v, permitted %v", action, kind, id, tenant, found, want)
		}
		for _, id := range w.search("asker", "resource", searching("user", user, action, kind, "", tenant)).names() {
			if !permitted(user, action, id) {
				rt.Fatalf("%s may not %s %s/%s, which was found", user, action, kind, id)
			}
		}
		for _, action := range w.search("asker", "action", searching("user", user, "", kind, id, tenant)).names() {
			if !permitted(user, action, id) {
				rt.Fatalf("%s may not %s %s/%s, which was found", user, action, kind, id)
			}
		}
	})
}
