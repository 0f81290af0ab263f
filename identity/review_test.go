package identity_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

// reviewItem is one identity of a review.
type reviewItem struct {
	Type, ID, Name, Tenant string
	Usable, Unused         bool
	LastUsedAt             *time.Time `json:"last_used_at"`
	Permissions            []struct {
		Tenant, Resource, Action string
		Via                      []string
		NotAfter                 *time.Time `json:"not_after"`
	}
	Reveals []struct {
		Application string
		Secrets     []string
	}
	Secrets []struct {
		ID     string
		Unused bool
	}
}

// review reads all pages of a review.
func (a as) review(query string) map[string]reviewItem {
	a.w.t.Helper()
	found := map[string]reviewItem{}
	for after := ""; ; {
		r := a.get("/v1/access-review?limit=3" + query + after).is(200)
		var page struct {
			Items []reviewItem
			Next  string
		}
		must(a.w.t, json.Unmarshal([]byte(r.body), &page))
		for _, item := range page.Items {
			if _, twice := found[item.ID]; twice {
				a.w.t.Fatalf("%s is in the review twice", item.ID)
			}
			found[item.ID] = item
		}
		if page.Next == "" {
			return found
		}
		after = "&after=" + page.Next
	}
}

// lists says, from the list alone, whether an item gives a right: naively, by the words of the design.
func (i reviewItem) lists(tenant, resource, action string, explicit bool) bool {
	for _, p := range i.Permissions {
		inside := p.Resource == "*" || p.Resource == resource || strings.HasPrefix(resource, p.Resource+"/")
		if (p.Tenant == "*" || p.Tenant == tenant) && inside && (p.Action == action || p.Action == "*" && !explicit) {
			return true
		}
	}
	return false
}

// somebody makes an identity with random rights, by whatever ways there are, and returns its type and id.
func (w *world) somebody(r *rand.Rand, n int) (kind, id string) {
	w.t.Helper()
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	grant := func() string {
		right := strings.Split(pick("*:*", "*:read", "iam:read", "iam:*", "iam/users:write", "iam/applications:reveal", "iam/applications:*",
			"ledger:read", "ledger/accounts:post", "ledger/accounts/7:read", "keys:write", "tokens:revoke_all", "decisions:ask"), ":")
		window := pick("", "", "", `,"not_after":"2026-06-01T12:00:01Z"`, `,"not_before":"2026-06-01T12:00:01Z"`)
		return fmt.Sprintf(`{"tenant":%q,"resource":%q,"action":%q%s}`, pick("", "", "t1", "t2", "*"), right[0], right[1], window)
	}
	grants := func(most int) string {
		var all []string
		for range r.IntN(most + 1) {
			all = append(all, strings.ReplaceAll(grant(), `"tenant":"",`, ""))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	low, high, group := fmt.Sprintf("low:r%d", n), fmt.Sprintf("high:r%d", n), fmt.Sprintf("g%d", n)
	w.role(low, grants(2))
	w.root().put("/v1/roles/"+high, `{"grants":`+grants(2)+`,"inherits":["`+low+`"]}`).is(201)
	w.root().put("/v1/groups/"+group, `{"name":"g","roles":["`+pick(low, high)+`"]}`).is(201)
	more := `,"grants":` + grants(3) + `,"roles":[` + pick(`"`+low+`"`, `"`+high+`"`, "") + `],"groups":[` + pick(`"`+group+`"`, "") + `]` +
		pick("", "", `,"tenant":"t1"`, `,"tenant":"t2"`) + pick("", "", "", `,"not_after":"2027-01-01T00:00:00Z"`)
	if r.IntN(2) == 0 {
		id = fmt.Sprintf("app-%d", n)
		w.application(id, more+pick("", "", `,"is_active":false`))
		return "application", id
	}
	id = w.user(fmt.Sprintf("user-%d", n), more)
	switch r.IntN(6) {
	case 0:
		w.root().patch("/v1/users/"+id, `{"suspended_at":"2026-06-01T11:00:00Z"}`).is(200)
	case 1:
		w.root().post("/v1/users/"+id+"/password/reset", "").is(200)
	}
	return "user", id
}

// TestAccessReviewAgreesWithEvaluation: what a review lists an evaluation permits, and nothing else, for every action of the catalogue
// and some that it leaves open.
func TestAccessReviewAgreesWithEvaluation(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	engine, err := pdp()
	must(t, err)
	type right struct {
		resource, action string
		explicit         bool
	}
	asked := []right{{"ledger", "read", false}, {"ledger/accounts", "post", false}, {"ledger/accounts/7", "read", false}, {"ledger", "never", false}}
	for _, kind := range engine.Catalogue().Types() {
		for _, action := range kind.Actions {
			if kind.Type != "me" && kind.Group != "Example" { // the one needs no right, and about the others their own rules decide
				asked = append(asked, right{kind.Type, action.Name, action.Explicit})
			}
		}
	}
	permitted, denied := 0, 0
	for range 3 {
		w := newWorld(t)
		w.root().put("/v1/tenants/t1", `{"name":"t1"}`).is(201)
		w.root().put("/v1/tenants/t2", `{"name":"t2"}`).is(201)
		// Somebody at random may be the only full administrator among the users, whom nobody can suspend: another one stands by.
		kinds := map[string]string{w.user("owner", `,"grants":[{"tenant":"*","resource":"*","action":"*"}]`): "user"}
		for n := range 8 {
			kind, id := w.somebody(r, n)
			kinds[id] = kind
		}
		w.root().patch("/v1/tenants/t2", `{"enabled":false}`).is(200)
		found := w.root().review("")
		equal(t, "identities in the review", len(found), len(kinds)+1) // and root
		for id, kind := range kinds {
			item := found[id]
			subject, err := w.room.Subject(t.Context(), kind, id)
			must(t, err)
			for _, tenant := range []string{"", "t1", "t2", "t3"} {
				for _, a := range asked {
					d, err := engine.Decide(t.Context(), &policies.Question{
						Entrypoint: policies.EntryDecision, Subject: subject.Facts, Action: a.action, Now: w.now(),
						Resource: policies.Resource{
							Type: a.resource, ID: "7", Tenant: tenant, TenantEnabled: true, Exists: true, OtherOwners: -1, OwnersBefore: -1,
						},
						Caller: policies.Caller{Address: policies.AddressUnknown},
					})
					must(t, err)
					listed := item.lists(tenant, a.resource+"/7", a.action, a.explicit)
					if d.Allow != listed {
						t.Errorf("%s %s, %s:%s in %q: the evaluation says %v, the review lists %+v", kind, id, a.resource, a.action, tenant, d.Allow,
							item.Permissions)
					}
					if d.Allow {
						permitted++
					} else {
						denied++
					}
				}
			}
		}
	}
	if permitted < 50 || denied < 50 {
		t.Errorf("%d permits and %d denials prove little", permitted, denied)
	}
}

func TestAccessReviewNamesTheSourcesOfARight(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read","not_after":"2026-07-01T00:00:00Z"}]`)
	w.root().put("/v1/groups/g1", `{"name":"g","roles":["ops:viewer"]}`).is(201)
	ada := w.user("ada", `,"roles":["ops:viewer"],"groups":["g1"],"grants":[{"resource":"ledger","action":"read","not_after":"2026-08-01T00:00:00Z"}]`)
	p := w.root().review("")[ada].Permissions
	equal(t, "rights", len(p), 1)
	equal(t, "sources", strings.Join(p[0].Via, " "), "group:g1 own role:ops:viewer")
	equal(t, "end", p[0].NotAfter.Format(time.RFC3339), "2026-08-01T00:00:00Z")
	w.root().patch("/v1/roles/ops:viewer", `{"grants":[{"resource":"ledger","action":"read"}]}`).is(200)
	if end := w.root().review("")[ada].Permissions[0].NotAfter; end != nil {
		t.Errorf("the right ends at %v, and a source of it never does", end)
	}
}

func TestAccessReviewFilters(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/t1", `{"name":"t1"}`).is(201)
	ada := w.user("ada", `,"grants":[{"resource":"ledger","action":"*"}]`)
	bob := w.user("bob", `,"tenant":"t1","grants":[{"tenant":"t1","resource":"ledger/accounts","action":"read"}]`)
	w.application("billing", `,"tenant":"t1"`)
	names := func(caller as, query string) string {
		var ids []string
		for id := range caller.review(query) {
			ids = append(ids, map[string]string{ada: "ada", bob: "bob"}[id])
			if ids[len(ids)-1] == "" {
				ids[len(ids)-1] = id
			}
		}
		slices.Sort(ids)
		return strings.Join(ids, " ")
	}
	for query, want := range map[string]string{
		"":                                 "ada billing bob root",
		"&type=user":                       "ada bob",
		"&type=application":                "billing root",
		"&tenant=t1":                       "billing bob",
		"&permission=ledger:read":          "ada root",
		"&permission=ledger/accounts:read": "ada bob root",
		"&permission=ledger:*":             "ada root",
		"&role=system:owner":               "root",
	} {
		equal(t, query, names(w.root(), query), want)
	}
	for query, parameter := range map[string]string{
		"type=role": "type", "permission=ledger": "permission", "permission=": "permission", "application=": "application", "unused_for=0": "unused_for",
		"unused_for=90d": "unused_for", "unused_for=090": "unused_for", "unused_for=3651": "unused_for", "limit=0": "limit", "after=x": "after",
	} {
		equal(t, query, w.root().get("/v1/access-review?"+query).is(400).text("parameter"), parameter)
	}
	// A cursor is of one review with its filters.
	next := w.root().get("/v1/access-review?limit=1&type=user").is(200).text("next")
	w.root().get("/v1/access-review?limit=1&type=application&after="+next).want(400, "unknown_cursor")

	// Who reviews in one tenant sees its identities alone, and who may not review sees none.
	auditor := w.user("aud", `,"grants":[{"tenant":"t1","resource":"iam/access","action":"read"}]`)
	equal(t, "the auditor's view", names(w.as("user:"+auditor), ""), "billing bob")
	w.as("user:" + auditor).get("/v1/access-review?tenant=t2").refused("not_granted")
	w.as("user:" + bob).get("/v1/access-review").refused("not_granted")
}

// TestAccessReviewListsWhoRevealsWhat holds the list to the route that reveals.
func TestAccessReviewListsWhoRevealsWhat(t *testing.T) {
	w := newWorld(t)
	olga := w.user("olga", `,"roles":["system:owner"]`)
	clerk := w.user("clerk", `,"grants":[{"tenant":"*","resource":"iam","action":"*"},{"tenant":"*","resource":"iam/applications","action":"reveal"}]`)
	robot := "robot"
	w.application(robot, `,"roles":["system:owner"]`)
	w.application("open", "")
	w.application("sealed", `,"retrievable":false`)
	w.application("two", "")
	second := w.root().post("/v1/applications/two/secrets", `{"label":"blue"}`).is(201).text("id")
	first := strings.Fields(w.root().get("/v1/applications/two/secrets").ids("id"))[0]
	w.root().del("/v1/applications/two/secrets/" + first).is(204)
	found := w.root().review("")
	listed := map[string]bool{}
	for id, item := range found {
		for _, r := range item.Reveals {
			for _, s := range r.Secrets {
				listed[id+" "+r.Application+" "+s] = true
			}
		}
	}
	tried := 0
	for _, caller := range []string{"user:" + olga, "user:" + clerk, "application:" + robot, "application:root"} {
		_, id, _ := strings.Cut(caller, ":")
		for _, app := range []string{"open", "sealed", "two", robot, "root"} {
			for _, s := range strings.Fields(w.root().get("/v1/applications/" + app + "/secrets").ids("id")) {
				r := w.as(caller+",fresh").post("/v1/applications/"+app+"/secrets/"+s+"/reveal", `{"reason":"test"}`)
				if listed[id+" "+app+" "+s] != (r.status == 200) {
					t.Errorf("%s reveals %s of %s: %d, and the review lists %v", caller, s, app, r.status, listed)
				}
				if r.status == 200 {
					tried++
				}
			}
		}
	}
	equal(t, "revealed", tried, 3) // olga: open, two, robot
	if !listed[olga+" two "+second] || listed[olga+" two "+first] {
		t.Errorf("the review lists %v", listed)
	}
	var who []string
	for id := range w.root().review("&application=two") {
		who = append(who, id)
	}
	equal(t, "who reads the secrets of two", strings.Join(who, " "), olga)
	equal(t, "who reads those of an application that keeps none", len(w.root().review("&application=sealed")), 0)
}

func TestAccessReviewTellsWhatNobodyUses(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.user("ada", ""), w.user("bob", "")
	billing := w.application("billing", "")
	w.application("idle", "")
	w.application("keyed", `,"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://keys.example.com/jwks"`)
	w.pass(60 * 24 * time.Hour)
	w.application("young", "")
	w.works("billing", billing, true)
	second := w.root().post("/v1/applications/idle/secrets", `{"label":"blue"}`).is(201).text("id")
	if _, _, err := w.room.Check(t.Context(), home, "ada", goodPassword); err != nil {
		t.Fatal(err)
	}
	w.room.Close()
	w.pass(40 * 24 * time.Hour)
	found := w.root().review("&unused_for=90")
	for id, want := range map[string]bool{ada: false, bob: true, "billing": false, "idle": true, "young": false, "keyed": false} {
		if item, in := found[id]; in != want || in && !item.Unused {
			t.Errorf("%s is in the review of what was not used for 90 days: %v (%+v)", id, in, item)
		}
	}
	for _, s := range found["idle"].Secrets {
		equal(t, "the secret "+s.ID+" was unused", s.Unused, s.ID != second)
	}
	if found := w.root().review("&unused_for=30"); len(found) < 5 || !found["billing"].Unused || !found[ada].Unused {
		t.Errorf("after 30 days: %+v", found)
	}
	all := w.root().review("")
	if last := all[ada].LastUsedAt; last == nil || !last.Equal(start().Add(60*24*time.Hour)) || all[ada].Unused {
		t.Errorf("ada was last seen at %v", last)
	}
	if all[bob].LastUsedAt != nil || all["billing"].LastUsedAt == nil {
		t.Error("the last uses are wrong")
	}
}
