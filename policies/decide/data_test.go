package decide_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// agent is a user of the help desk's teams, with an attribute "clearance".
func (w *world) agent(id string, teams []string, grants ...policies.Grant) {
	attributes, _ := json.Marshal(map[string]any{"teams": teams, "clearance": 2})
	s := &enforce.Subject{Type: "user", ID: id, Name: id, Facts: policies.NewFacts(policies.Identity{
		Type: "user", ID: id, Exists: true, Active: true, TenantEnabled: true, Grants: grants, Attributes: attributes,
		Audiences: []string{issuer + "/runtime", issuer + "/management"},
	})}
	w.subjects["user/"+id] = s
	w.caller(id, s)
}

// aboutTicket is an input of the data API.
func aboutTicket(id, properties string) string {
	return fmt.Sprintf(`{"subject":{"type":"user","id":%q},"action":{"name":"read"},"resource":{"type":"helpdesk/ticket","id":"1","properties":%s}}`, id, properties)
}

func TestData(t *testing.T) {
	w := newWorld(t, nil)
	w.agent("eve", []string{"mail"})
	allowed := `{"reporter":"eve","confidential":false}`
	for _, tc := range []struct {
		name, caller, path, body string
		status                   int
		says                     string
	}{
		{
			"a permit", "asker", "writ/decision/result", `{"input":` + aboutTicket("eve", allowed) + `}`, 200,
			`{"result":{"allow":true,"reasons":[{"code":"helpdesk.reporter","rule":"apps.helpdesk.permit"}],"obligations":{}},"decision_id":"`,
		},
		{
			"a denial is a result", "asker", "writ/decision/result", `{"input":` + aboutTicket("eve", `{}`) + `}`, 200,
			`{"result":{"allow":false,"reasons":[],"obligations":{}}`,
		},
		{"a document", "asker", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"}}}`, 200, `{"result":"agent","decision_id"`},
		{"a set is a list", "asker", "apps/helpdesk/permit", `{"input":` + aboutTicket("eve", allowed) + `}`, 200, `{"result":["helpdesk.reporter"]`},
		{"guards first", "asker", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"},"context":{"ip":"203.0.113.9"}}}`, 200, `{"result":"guest"`},
		{"oneself", "eve", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"}}}`, 200, `"agent"`},
		{"others without the right", "meek", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"}}}`, 403, "not_granted"},
		{
			"what the server knows is not taken from the input", "asker", "writ/decision/result",
			`{"input":{"now":1,"caller":{"scoped":false},"subject":{"type":"user","id":"meek","exists":true,"attributes":{"teams":["mail"]},
				"grants":{"*":{"*":{"*":{"own":{"not_before":0,"not_after":9}}}}}},"action":{"name":"read"},
				"resource":{"type":"helpdesk/ticket","id":"1","properties":{"team":"mail","confidential":false}}}}`,
			200, `"allow":false`,
		},
		{"not published", "asker", "apps/helpdesk/deny", `{"input":{"subject":{"type":"user","id":"eve"}}}`, 599, "not_published"},
		{"the core's rules", "asker", "writ/admin/result", `{"input":{"subject":{"type":"user","id":"eve"}}}`, 599, "not_published"},
		{"the settings", "asker", "settings/login/fresh", `{"input":{"subject":{"type":"user","id":"eve"}}}`, 599, "not_published"},
		{"no input", "asker", "writ/decision/result", `{}`, 599, "missing_key at /input"},
		{"no subject", "asker", "apps/helpdesk/role", `{"input":{}}`, 599, "missing_key at /input/subject"},
		{"no id", "asker", "apps/helpdesk/role", `{"input":{"subject":{"type":"user"}}}`, 599, "missing_key at /input/subject/id"},
		{
			"no action", "asker", "writ/decision/result", `{"input":{"subject":{"type":"user","id":"eve"},"resource":{"type":"a","id":"1"}}}`, 599,
			"missing_key at /input/action",
		},
		{
			"another type", "asker", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"},"resource":{"type":"document"}}}`, 599,
			"malformed_value at /input/resource/type",
		},
		{
			"a property that is none", "asker", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"},"resource":{"properties":1}}}`, 599,
			"wrong_type at /input/resource/properties",
		},
		{
			"an address that is none", "asker", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"},"context":{"ip":"x"}}}`, 599,
			"malformed_value at /input/context/ip",
		},
		{"a key twice", "asker", "apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve","id":"ada"}}}`, 599, "duplicate_key at /input/subject/id"},
		{"a list", "asker", "apps/helpdesk/role", `{"input":[]}`, 599, "wrong_type at /input"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply := w.ask(tc.caller, "/v1/data/"+tc.path, tc.body)
			if reply.Code != tc.status || !strings.Contains(reply.Body.String(), tc.says) {
				t.Errorf("%d %s\nwant %d %s", reply.Code, reply.Body, tc.status, tc.says)
			}
		})
	}
}

// TestSO01PathsAreNotPolicies: what made a path into Rego elsewhere (CVE-2025-46569) names nothing here.
func TestSO01PathsAreNotPolicies(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{
		"/v1/data", "/v1/data/", "/v1/data/writ", "/v1/data/writ/decision", "/v1/data/writ/decision/result/allow", "/v1/data/writ/decision/result/",
		"/v1/data/../data/writ/decision/result", "/v1/data/writ/../writ/decision/result", "/v1/data/writ/./decision/result",
		"/v1/data/writ/decision/%2e%2e/result", "/v1/data/writ%2fdecision/result", "/v1/data/writ%2Fdecision%2Fresult", "/v1/data/writ%5cdecision/x/result",
		"/v1/data//writ/decision/result", "/v1/data/writ/decision/result%22%5d%3b%20x%20%3a%3d%201", `/v1/data/writ/decision/"];%20x%20:=%201`,
		"/v1/data/writ/decision/result%00", "/v1/data/writ/decision/result.allow", "/v1/data/writ/decision/RESULT", "/v1/data/apps/helpdesk/*",
		"/v1/data/apps/*/role", "/v1/data/apps/helpdesk/_", "/v1/data/apps/helpdesk/role%20", "/v1/data/input/subject/id", "/v1/data/apps/helpdesk/role[_]",
		"/v1/compile/writ/decision/result", "/v1/compile/apps/helpdesk/role", "/v1/compile/apps/helpdesk/deny", "/v1/compile/apps/helpdesk/%22%5d",
		"/v1/batch/data/apps/helpdesk/deny", "/v1/batch/data/writ/decision/..", "/v1/batch/data/apps/helpdesk/permit%3b",
	} {
		r := httptest.NewRequest(http.MethodPost, "http://writ.example/", strings.NewReader(
			`{"input":`+aboutTicket("ada", "{}")+`,"inputs":{"a":`+aboutTicket("ada", "{}")+`}}`))
		r.URL.RawPath = path
		r.URL.Path = must(decoded(path))
		r.Header.Set("Authorization", "Bearer asker")
		r.Header.Set("Content-Type", "application/json")
		reply := httptest.NewRecorder()
		w.handler.ServeHTTP(reply, r)
		body := reply.Body.String()
		if reply.Code != 599 || !strings.Contains(body, "not_published") && !strings.Contains(body, enforce.ErrNotFound.Error()) {
			t.Errorf("%s: %d %s", path, reply.Code, body)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func decoded(path string) (string, error) {
	r, err := http.NewRequest(http.MethodPost, "http://writ.example"+strings.ReplaceAll(path, `"`, "%22"), nil)
	if err != nil {
		return "", err
	}
	return r.URL.Path, nil
}

// lines are the decision log's, by parent.
func (w *world) logged(t *testing.T) (children []map[string]any) {
	t.Helper()
	if err := w.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(w.lines.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l["parent_id"] != nil {
			children = append(children, l)
		}
	}
	return children
}

func TestEachDocumentHasALine(t *testing.T) {
	w := newWorld(t, nil)
	w.agent("eve", []string{"mail"})
	w.ask("asker", "/v1/data/apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"}}}`)
	w.ask("asker", "/v1/data/writ/decision/result", `{"input":`+aboutTicket("eve", "{}")+`}`)
	w.ask("asker", "/v1/compile/apps/helpdesk/permit", `{"input":{"subject":{"type":"user","id":"eve"},"action":{"name":"read"}}}`)
	w.ask("asker", "/v1/batch/data/apps/helpdesk/role", `{"inputs":{"a":{"subject":{"type":"user","id":"eve"}},"b":{"subject":{"type":"user","id":"bob"}}}}`)
	var got []string
	for _, l := range w.logged(t) {
		got = append(got, fmt.Sprint(l["entrypoint"], " ", l["allow"]))
	}
	want := []string{"apps/helpdesk/role true", "writ/decision false", "apps/helpdesk/permit true", "apps/helpdesk/role true", "apps/helpdesk/role true"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestBatch(t *testing.T) {
	w := newWorld(t, nil)
	w.agent("eve", []string{"mail"})
	w.identity("application", "acmes", []policies.Grant{{Tenant: "acme", Resource: "decisions", Action: "ask", Via: "own"}})
	type item struct {
		Result         json.RawMessage
		Code, Message  string
		DecisionID     string `json:"decision_id"`
		HTTPStatusCode string `json:"http_status_code"`
	}
	ask := func(caller, path, body string, status int) map[string]item {
		t.Helper()
		reply := w.ask(caller, "/v1/batch/data/"+path, body)
		var in struct {
			BatchDecisionID string `json:"batch_decision_id"`
			Responses       map[string]item
		}
		if err := json.Unmarshal(reply.Body.Bytes(), &in); err != nil || reply.Code != status {
			t.Fatalf("%d %s %v", reply.Code, reply.Body, err)
		}
		if in.BatchDecisionID != reply.Header().Get("Decision-Id") {
			t.Error(in.BatchDecisionID)
		}
		return in.Responses
	}

	t.Run("inputs lie over the common one, however deep", func(t *testing.T) {
		got := ask("asker", "writ/decision/result", `{"common_input":`+aboutTicket("eve", `{"reporter":"eve","confidential":true}`)+`,"inputs":{
			"a":{},"b":{"resource":{"properties":{"confidential":false}}},"c":{"resource":{"properties":{"confidential":false,"reporter":null}}},
			"d":{"subject":{"id":"bob"},"resource":{"properties":{"confidential":false}}}}}`, 200)
		allow, ids := map[string]string{}, map[string]bool{}
		for id, i := range got {
			allow[id] = string(i.Result)[:len(`{"allow":true`)]
			ids[i.DecisionID] = true
			if i.HTTPStatusCode != "" {
				t.Errorf("%s has a status though all succeed", id)
			}
		}
		if want := map[string]string{"a": `{"allow":false`[:13], "b": `{"allow":true`, "c": `{"allow":fals`, "d": `{"allow":fals`}; !reflect.DeepEqual(allow, want) || len(ids) != 4 {
			t.Errorf("%v %v", allow, ids)
		}
	})
	t.Run("the right to ask counts in each tenant", func(t *testing.T) {
		got := ask("acmes", "apps/helpdesk/role", `{"common_input":{"subject":{"type":"user","id":"eve"}},"inputs":{
			"a":{"resource":{"tenant":"acme"}},"b":{"resource":{"tenant":"globex"}}}}`, 207)
		if string(got["a"].Result) != `"agent"` || got["a"].HTTPStatusCode != "200" || got["b"].Result != nil || got["b"].HTTPStatusCode != "403" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an outage of one is no answer to another", func(t *testing.T) {
		w.unanswered = map[string]bool{"eve": true}
		defer func() { w.unanswered = nil }()
		both := `{"inputs":{"a":{"subject":{"type":"user","id":"eve"}},"b":{"subject":{"type":"user","id":"bob"}}}}`
		got := ask("asker", "apps/helpdesk/role", both, 207)
		if got["a"].Result != nil || got["a"].HTTPStatusCode != "503" || got["a"].Code != "unavailable" || string(got["b"].Result) != `"guest"` {
			t.Errorf("%+v", got)
		}
		w.unanswered["bob"] = true
		if got := ask("asker", "apps/helpdesk/role", both, 503); got["a"].Result != nil || got["b"].Result != nil {
			t.Errorf("%+v", got)
		}
		if reply := w.ask("asker", "/v1/data/apps/helpdesk/role", `{"input":{"subject":{"type":"user","id":"eve"}}}`); reply.Code != 599 ||
			!strings.Contains(reply.Body.String(), policies.ErrUndecided.Error()) {
			t.Error(reply.Code, reply.Body)
		}
	})
	t.Run("what is wrong is named", func(t *testing.T) {
		many := make([]string, 1001)
		for i := range many {
			many[i] = fmt.Sprintf(`"%d":{}`, i)
		}
		for body, says := range map[string]string{
			`{}`:                    "missing_key at /inputs",
			`{"inputs":{}}`:         "missing_key at /inputs",
			`{"inputs":{"a/b":{}}}`: "missing_key at /inputs/a~1b/subject",
			`{"inputs":{"a":[]}}`:   "wrong_type at /inputs/a",
			`{"inputs":{"a":[]},"common_input":{"subject":{}}}`:                   "wrong_type at /inputs/a",
			`{"inputs":{"a":{}},"common_input":[]}`:                               "wrong_type at /common_input",
			`{"inputs":{"a":{"subject":{"type":1,"id":"x"}}}}`:                    "wrong_type at /inputs/a/subject/type",
			`{"inputs":{` + strings.Join(many, ",") + `}}`:                        "too_large at /inputs",
			`{"inputs":{"a":{"subject":{"type":"user","id":"eve"},"x":1,"x":2}}}`: "duplicate_key at /inputs/a/x",
		} {
			if reply := w.ask("asker", "/v1/batch/data/apps/helpdesk/role", body); reply.Code != 599 || !strings.Contains(reply.Body.String(), says) {
				t.Errorf("%.60s: %d %s, want %s", body, reply.Code, reply.Body, says)
			}
		}
	})
}

func TestCompile(t *testing.T) {
	w := newWorld(t, nil)
	w.agent("eve", []string{"mail"}, policies.Grant{Resource: "helpdesk/ticket/7", Action: "read", Via: "own"})
	w.agent("boss", nil, policies.Grant{Resource: "helpdesk", Action: "*", Via: "own"})
	question := func(subject string) string {
		return fmt.Sprintf(`{"input":{"subject":{"type":"user","id":%q},"action":{"name":"read"},"resource":{"type":"helpdesk/ticket"}}`, subject)
	}
	for _, tc := range []struct {
		name, accept, body string
		status             int
		says               string
	}{
		{"a filter", "application/vnd.opa.ucast.all+json", question("eve") + "}", 200, `{"result":{"query":{"operator":"or"`},
		{"anything is the whole of UCAST", "*/*", question("eve") + "}", 200, `"operator":"in"`},
		{"without in", "application/vnd.opa.ucast.minimal+json", question("eve") + "}", 200, `"operator":"eq"`},
		{"the first that is known", "application/json, application/vnd.opa.ucast.linq+json;q=0.5", question("eve") + "}", 200, `"operator":"in"`},
		{"MongoDB", "application/vnd.writ.mongodb+json", question("eve") + "}", 200, `{"result":{"query":{"$or":[`},
		{"nobody has no query", "*/*", question("bob") + "}", 200, `{"result":{},"decision_id"`},
		{"masks", "*/*", question("boss") + "}", 200, `"masks":{"note":{"replace":{"value":""}}}`},
		{"OPA's own form", "application/json", question("eve") + "}", 599, "not_acceptable"},
		{"SQL", "application/vnd.opa.sql.postgresql+json", question("eve") + "}", 599, "not_acceptable"},
		{
			"fewer unknowns", "*/*", strings.Replace(question("eve"), `"helpdesk/ticket"`, `"helpdesk/ticket","properties":{"confidential":true}`, 1) +
				`,"unknowns":["input.resource.properties.team","input.resource.properties.reporter","input.resource.properties.state","input.resource.properties.priority"]}`,
			200, `{"field":"team","operator":"eq","type":"field","value":"mail"}`,
		},
		{"names of the caller", "*/*", question("eve") + `,"options":{"mappings":{"reporter":"reported_by","id":"_id"}}}`, 200, `"field":"reported_by"`},
		{"unknowns of others", "*/*", question("eve") + `,"unknowns":["input.subject"]}`, 599, "malformed_value at /unknowns"},
		{"unknown data", "*/*", question("eve") + `,"unknowns":["data.apps"]}`, 599, "malformed_value at /unknowns"},
		{"an unknown that is Rego", "*/*", question("eve") + `,"unknowns":["input.resource.properties; x := 1"]}`, 599, "malformed_value at /unknowns"},
		{"a dangerous name", "*/*", question("eve") + `,"options":{"mappings":{"reporter":"$where"}}}`, 599, "malformed_value at /options/mappings/reporter"},
		{"a name with a dot", "*/*", question("eve") + `,"options":{"mappings":{"reporter":"a.b"}}}`, 599, "malformed_value at /options/mappings/reporter"},
		{"an id", "*/*", strings.Replace(question("eve"), `"helpdesk/ticket"`, `"helpdesk/ticket","id":"1"`, 1) + "}", 599, "malformed_value at /input/resource/id"},
		{"no input", "*/*", `{}`, 599, "missing_key at /input"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/v1/compile/apps/helpdesk/permit", strings.NewReader(tc.body))
			r.Header.Set("Authorization", "Bearer asker")
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", tc.accept)
			reply := httptest.NewRecorder()
			w.handler.ServeHTTP(reply, r)
			if reply.Code != tc.status || !strings.Contains(reply.Body.String(), tc.says) {
				t.Errorf("%d %s\nwant %d %s", reply.Code, reply.Body, tc.status, tc.says)
			}
			if tc.status == 200 && tc.accept[0] == 'a' && !strings.Contains(tc.accept, reply.Header().Get("Content-Type")) {
				t.Error(reply.Header())
			}
		})
	}
	if reply := w.ask("meek", "/v1/compile/apps/helpdesk/permit", question("eve")+"}"); reply.Code != http.StatusForbidden {
		t.Error("who may not ask about others gets their filter", reply.Code)
	}
}
