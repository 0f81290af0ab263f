package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is one of the certification.
type vector struct {
	ID, Endpoint string
	Request      json.RawMessage
	Raw          *string
	Headers      map[string]string
	Repeat       int
	Expect       struct {
		Status     int
		Decision   *bool
		Decisions  []*bool // nil: whatever
		Results    []any   `json:"results_include"`
		Exact      *[]any  `json:"results_exact"`
		SameAs     string  `json:"same_results_as"`
		EchoHeader string  `json:"echo_header"`
	}
}

// authzen reads a file of the public test data.
func authzen(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "authzen", filepath.FromSlash(name)))
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// asker makes the scenario act as a service that may ask, and no more.
func (c *scenario) asker() *scenario {
	return c.as(bearer(once(c, "asker", func() string {
		was := c.auth
		c.as(basic("root", c.s.Secret))
		a := c.newApp(object{"grants": grants("decisions:ask@*")})
		c.auth = was
		return c.token(a)
	})))
}

// TestAuthZENCertification puts all vectors of the certification to the shipped example apps/record.
func TestAuthZENCertification(t *testing.T) {
	var file struct{ Vectors []vector }
	authzen(t, "cert/vectors-1.0.json", &file)
	if len(file.Vectors) != 55 {
		t.Fatalf("%d vectors, want 55", len(file.Vectors))
	}
	c := story(t, shared(t)).asker()
	results := map[string]any{}
	for _, v := range file.Vectors {
		for range max(v.Repeat, 1) {
			c.vector(v, results)
		}
		c.expect(v.ID)
	}
}

func (c *scenario) vector(v vector, results map[string]any) {
	body := any(string(v.Request))
	if v.Raw != nil {
		body = *v.Raw
	}
	for name, value := range v.Headers {
		c.with(name, value)
	}
	c.post("/access/v1/"+v.Endpoint, body).wantStatus(v.Expect.Status)
	if name := v.Expect.EchoHeader; name != "" {
		c.wantHeader(name, v.Headers[name])
	}
	if v.Expect.Decision != nil {
		c.want("", object{"decision": *v.Expect.Decision})
	}
	for n, wanted := range v.Expect.Decisions {
		at := fmt.Sprintf("/evaluations/%d/decision", n)
		if wanted != nil {
			c.want(at, *wanted)
		} else if got := c.value(at); got != true && got != false {
			c.fail("at %s is %v", at, got)
		}
	}
	if n := len(v.Expect.Decisions); n > 0 && len(c.array("/evaluations")) != n {
		c.fail("%d answers to %d questions", len(c.array("/evaluations")), n)
	}
	if v.Expect.Results == nil {
		return
	}
	got := c.array("/results")
	results[v.ID] = got
	for _, wanted := range v.Expect.Results {
		if !slices.ContainsFunc(got, func(r any) bool { return cmp.Equal(r, wanted) }) {
			c.fail("the results lack %v", wanted)
		}
	}
	if v.Expect.Exact != nil && len(got) != len(*v.Expect.Exact) {
		c.fail("%d results, want %d", len(got), len(*v.Expect.Exact))
	}
	if v.Expect.SameAs != "" && !cmp.Equal(got, results[v.Expect.SameAs]) {
		c.fail("the results differ from those of %s", v.Expect.SameAs)
	}
}

// value is what is at a JSON pointer, or nil.
func (c *scenario) value(pointer string) any {
	v, _ := at(c.last.value(), pointer)
	return v
}

// array is the list at a JSON pointer; its absence is an error.
func (c *scenario) array(pointer string) []any {
	if c.err != nil {
		return nil
	}
	a, ok := c.value(pointer).([]any)
	if !ok {
		c.fail("there is no list at %s", pointer)
	}
	return a
}

// TestAuthZENCertificationPages is c-4-5-2: c-4-5-1 again with the token of each page, until there is none.
func TestAuthZENCertificationPages(t *testing.T) {
	c := story(t, shared(t)).asker()
	search := func(page object) object {
		return object{
			"subject": object{"type": "user"}, "action": object{"name": "read"},
			"resource": object{"type": "record", "id": "record-1"}, "page": page,
		}
	}
	var found []string
	page := object{"limit": 1}
	for pages := 0; pages < 50; pages++ {
		c.post("/access/v1/search/subject", search(page)).wantStatus(200)
		for n := range c.array("/results") {
			found = append(found, c.text(fmt.Sprintf("/results/%d/id", n)))
		}
		next, _ := c.value("/page/next_token").(string)
		if page = (object{"token": next, "limit": 1}); next == "" || c.err != nil {
			break
		}
		if pages == 0 { // the certification leaves the limit out
			c.post("/access/v1/search/subject", search(object{"token": next})).wantStatus(200)
			changed := search(object{"token": next})
			changed["action"] = object{"name": "write"}
			c.post("/access/v1/search/subject", changed).wantStatus(400)
		}
	}
	c.done()
	if len(found) < 2 || !slices.Contains(found, "alice") || !slices.Contains(found, "bob") {
		t.Errorf("found %v", found)
	}
	slices.Sort(found)
	if len(slices.Compact(slices.Clone(found))) != len(found) {
		t.Errorf("somebody was found twice: %v", found)
	}
}

// TestAuthZENMetadata is c-6.
func TestAuthZENMetadata(t *testing.T) {
	s := shared(t)
	c := story(t, s)
	c.with("X-Forwarded-Host", "evil.example").get("/.well-known/authzen-configuration").wantStatus(200).
		wantHeader("Content-Type", "application/json").want("/policy_decision_point", s.Public)
	for key, path := range map[string]string{
		"access_evaluation_endpoint": "evaluation", "access_evaluations_endpoint": "evaluations",
		"search_subject_endpoint": "search/subject", "search_resource_endpoint": "search/resource", "search_action_endpoint": "search/action",
	} {
		c.want("/"+key, s.Public+"/access/v1/"+path)
	}
	for _, urn := range c.array("/capabilities") {
		if text, _ := urn.(string); !strings.HasPrefix(text, "urn:") {
			c.fail("the capability %v is no URN", urn)
		}
	}
}

// TestAuthZENTodo puts the public decisions of the to-do scenario to the shipped examples apps/todo and apps/user.
func TestAuthZENTodo(t *testing.T) {
	c := story(t, shared(t)).asker()
	for name, want := range map[string][2]int{"todo/decisions-1_0-01.json": {40, 0}, "todo/decisions-1_0-02.json": {40, 3}} {
		var file struct {
			Evaluation []struct {
				Request  json.RawMessage
				Expected bool
			}
			Evaluations []struct {
				Request  json.RawMessage
				Expected json.RawMessage
			}
		}
		authzen(t, name, &file)
		if len(file.Evaluation) != want[0] || len(file.Evaluations) != want[1] {
			t.Errorf("%s has %d evaluations and %d batches", name, len(file.Evaluation), len(file.Evaluations))
		}
		for n, e := range file.Evaluation {
			c.post("/access/v1/evaluation", string(e.Request)).wantStatus(200).want("/decision", e.Expected)
			c.expect(fmt.Sprint(name, " evaluation ", n))
		}
		for n, e := range file.Evaluations {
			var expected any
			if err := json.Unmarshal(e.Expected, &expected); err != nil {
				t.Fatal(err)
			}
			c.post("/access/v1/evaluations", string(e.Request)).wantStatus(200).want("/evaluations", expected)
			c.expect(fmt.Sprint(name, " batch ", n))
		}
	}
}

// TestShippedExamplesDisturbNobody: whose own types are called as those of the examples, grants decide as anywhere.
func TestShippedExamplesDisturbNobody(t *testing.T) {
	c := story(t, shared(t)).root()
	for _, kind := range []string{"todo", "user", "record", "record/pages"} {
		u := c.newUser(object{"grants": grants(kind + ":prune")})
		c.asker().decides(question("user", u.ID, "prune", kind, "1"), true)
		c.decides(question("user", u.ID, "read", kind, "1"), false)
		c.root()
		c.expect(kind)
	}
}

// TestSearchFindsWhoHolds makes people with a right of each kind, and finds them and no others.
func TestSearchFindsWhoHolds(t *testing.T) {
	c := story(t, shared(t)).root()
	kind := "vault" + strings.ReplaceAll(unique(""), "_", "-")
	role := c.newRole(kind + ":open")
	group := c.newGroup(role)
	tenant := c.newTenant()
	own := c.newUser(object{"grants": grants(kind + "/front:open")})
	byRole, byGroup := c.newUser(object{"roles": list{role}}), c.newUser(object{"groups": list{group}})
	c.newUser(object{"grants": grants(kind + ":close")})
	c.newUser(object{"grants": grants(kind + ":open@" + tenant)})
	gone := c.newUser(object{"roles": list{role}})
	machine := c.newApp(object{"roles": list{role}})
	c.patch("/v1/users/"+gone.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.done()
	who := func(of string) []string {
		c.post("/access/v1/search/subject", object{
			"subject": object{"type": of, "id": "ignored"}, "action": object{"name": "open"}, "resource": object{"type": kind, "id": "front"},
		}).wantStatus(200)
		var ids []string
		for n := range c.array("/results") {
			ids = append(ids, c.text(fmt.Sprintf("/results/%d/id", n)))
		}
		return ids
	}
	c.asker()
	people := who("user")
	c.done()
	for _, u := range []user{own, byRole, byGroup} {
		if !slices.Contains(people, u.ID) {
			t.Errorf("%s was not found", u.ID)
		}
	}
	for _, id := range people { // full administrators of other tests are among them
		c.decides(question("user", id, "open", kind, "front"), true)
	}
	if slices.Contains(people, gone.ID) {
		t.Error("a suspended user was found")
	}
	if !slices.Contains(who("application"), machine.ID) {
		t.Error("the application was not found")
	}
	c.post("/access/v1/search/resource", object{
		"subject": object{"type": "user", "id": own.Username}, "action": object{"name": "open"}, "resource": object{"type": kind},
	}).wantStatus(200).want("/results", list{object{"type": kind, "id": "front"}})
	c.post("/access/v1/search/action", object{
		"subject": object{"type": "user", "id": own.Username}, "resource": object{"type": kind, "id": "front"},
	}).wantStatus(200).want("/results", list{object{"name": "open"}})
	c.step("who may not ask is refused, and so is a bad one")
	c.root()
	plain := c.newApp(object{})
	for _, path := range []string{"/access/v1/search/subject", "/access/v1/search/resource", "/access/v1/search/action", "/access/v1/evaluations"} {
		c.as(bearer(c.token(plain))).post(path, question("user", own.ID, "open", kind, "front")).wantStatus(403)
		c.asker().post(path, `{"subject":{"type":"user","type":"user"}}`).wantStatus(400)
		c.asker().with("Content-Type", "text/plain").post(path, "{}").wantStatus(400)
		c.root().expect(path)
	}
}

// TestReasonsForWhoMaySeeThem: root sees the rule and what would have sufficed, a service that may only ask the code; and what is said to
// suffice does.
func TestReasonsForWhoMaySeeThem(t *testing.T) {
	c := story(t, shared(t)).root()
	tenant := c.newTenant()
	u := c.newUser(object{"grants": list{object{"resource": "ledger", "action": "read", "not_after": "2020-01-01T00:00:00Z"}}})
	ask := withReasons(question("user", u.ID, "read", "ledger/accounts", "7"))
	c.post("/access/v1/evaluation", ask).wantStatus(200).want("/decision", false).
		want("/context/reasons/0/code", "not_granted").want("/context/reasons/0/rule", "decision.granted").
		want("/context/missing_grant", object{"resource": "ledger/accounts/7", "action": "read"}).
		want("/context/closed_windows", list{object{"via": "own", "resource": "ledger", "action": "read", "not_after": "2020-01-01T00:00:00Z"}})
	c.text("/context/reasons/0/text")
	c.step("codes only")
	c.asker().post("/access/v1/evaluation", ask).wantStatus(200).want("/context/reasons", list{object{"code": "not_granted"}}).
		wantAbsent("/context/missing_grant").wantAbsent("/context/closed_windows")
	c.step("the right is one of a tenant")
	c.root()
	local := c.newApp(object{"grants": grants("decisions:ask@*", "decisions:explain@"+tenant)})
	c.as(bearer(c.token(local))).post("/access/v1/evaluation", ask).wantAbsent("/context/reasons/0/rule")
	ask["resource"].(object)["tenant"] = tenant
	c.as(bearer(c.token(local, "tenant", tenant))).post("/access/v1/evaluation", ask).wantStatus(200).
		want("/context/missing_grant", object{"tenant": tenant, "resource": "ledger/accounts/7", "action": "read"})
	c.step("it suffices")
	grant := c.value("/context/missing_grant")
	c.root().patch("/v1/users/"+u.ID, object{"grants": list{grant}}).wantStatus(200)
	c.post("/access/v1/evaluation", ask).wantStatus(200).want("/decision", true).want("/context/reasons/0/rule", "decision.granted")
}
