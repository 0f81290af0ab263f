package decide_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/policies"
)

// batchOf asks whether ada may do each of these actions on her accounts.
func batchOf(semantic string, actions ...string) string {
	items := make([]string, len(actions))
	for n, name := range actions {
		items[n] = fmt.Sprintf(`{"action":{"name":%q}}`, name)
	}
	return fmt.Sprintf(`{"subject":{"type":"user","id":"ada"},"resource":{"type":"ledger/accounts","id":"1"},
		"options":{"evaluations_semantic":%q},"evaluations":[%s]}`, semantic, strings.Join(items, ","))
}

func TestEvaluationsInTheThreeSemantics(t *testing.T) {
	w := newWorld(t, nil)
	const yes, no = `{"decision":true}`, `{"decision":false}`
	for _, tc := range []struct {
		name, body, want string
	}{
		{"all", batchOf("execute_all", "read", "write", "read"), yes + "," + no + "," + yes},
		{"all, without a word", strings.Replace(batchOf("", "read", "write"), `"evaluations_semantic":""`, "", 1), yes + "," + no},
		{"until a denial", batchOf("deny_on_first_deny", "read", "write", "read"), yes + "," + no},
		{"until a denial that does not come", batchOf("deny_on_first_deny", "read", "read"), yes + "," + yes},
		{"until a permit", batchOf("permit_on_first_permit", "write", "read", "read"), no + "," + yes},
		{"until a permit that does not come", batchOf("permit_on_first_permit", "write", "close"), no + "," + no},
	} {
		reply := w.ask("asker", "/access/v1/evaluations", tc.body)
		if want := `{"evaluations":[` + tc.want + `]}`; reply.Code != http.StatusOK || reply.Body.String() != want {
			t.Errorf("%s: got %d %s", tc.name, reply.Code, reply.Body)
		}
	}
}

// Defaults are replaced as whole objects: what the item does not say of its resource is not taken from the default.
func TestDefaultsAreReplacedAsAWhole(t *testing.T) {
	w := newWorld(t, nil)
	reply := w.ask("asker", "/access/v1/evaluations", `{
		"subject":{"type":"user","id":"ada"},"action":{"name":"write"},"resource":{"type":"ledger/accounts","id":"1","tenant":"acme"},
		"evaluations":[{},{"resource":{"type":"ledger/accounts","id":"1"}},{"resource":null},{"subject":{"type":"user","id":"bob"}},
			{"resource":{"type":"ledger/accounts"}}]}`)
	var got struct {
		Evaluations []struct {
			Decision bool
			Context  struct {
				Error struct {
					Status  int
					Message string
				}
			}
		}
	}
	if err := json.Unmarshal(reply.Body.Bytes(), &got); err != nil || reply.Code != http.StatusOK {
		t.Fatalf("got %d %s", reply.Code, reply.Body)
	}
	var decisions []bool
	for _, e := range got.Evaluations {
		decisions = append(decisions, e.Decision)
	}
	if diff := cmp.Diff([]bool{true, false, true, false, false}, decisions); diff != "" {
		t.Fatal(diff)
	}
	if last := got.Evaluations[4].Context.Error; last.Status != 400 || !strings.Contains(last.Message, "/resource/id") {
		t.Errorf("the item without an id says %+v", last)
	}
}

func TestABatchOfNoneIsOneEvaluation(t *testing.T) {
	w := newWorld(t, nil)
	for _, given := range []string{"", `"evaluations":[],`} {
		body := strings.Replace(about("user", "ada", "", "read"), "{", "{"+given, 1)
		reply := w.ask("asker", "/access/v1/evaluations", body)
		if !strings.HasPrefix(reply.Body.String(), `{"decision":true,"context":`) {
			t.Errorf("got %d %s", reply.Code, reply.Body)
		}
	}
	if reply := w.ask("asker", "/access/v1/evaluations", `{"action":{"name":"read"}}`); reply.Code != http.StatusBadRequest {
		t.Errorf("one that lacks a subject: %d %s", reply.Code, reply.Body)
	}
}

// A bad item is answered as one; what is wrong with the batch is 400.
func TestBadBatches(t *testing.T) {
	w := newWorld(t, nil)
	for name, tc := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"unknown semantic":        {batchOf("majority", "read"), 400, "/options/evaluations_semantic"},
		"a semantic that is none": {strings.Replace(batchOf("x", "read"), `"x"`, `7`, 1), 400, "/options/evaluations_semantic"},
		"too many":                {batchOf("execute_all", make([]string, 1001)...), 400, "at most 1000"},
		"no list":                 {`{"evaluations":{}}`, 400, "/evaluations"},
		"an item that is none":    {`{"evaluations":[1]}`, 400, "/evaluations/0"},
		"a key twice":             {`{"evaluations":[{"action":{"name":"a"},"action":{"name":"b"}}]}`, 400, "/evaluations/0/action"},
		"a key twice inside":      {`{"evaluations":[{"action":{"name":"a","name":"b"}}]}`, 400, "/evaluations/0/action/name"},
		"a default of another type": {
			`{"subject":"ada","evaluations":[{}]}`, 400, "/subject",
		},
		"an action of another type": {
			strings.Replace(batchOf("", "read", "x"), `{"name":"x"}`, `{"name":1}`, 1), 200, `{"status":400,"message":"/action/name`,
		},
		"an address that is none": {
			strings.Replace(batchOf("", "read", "x"), `{"action":{"name":"x"}}`, `{"action":{"name":"x"},"context":{"ip":"here"}}`, 1), 200,
			`/context/ip`,
		},
		"an action without a name": {batchOf("", "read", ""), 200, `[{"decision":true},{"decision":false,"context":{"error":`},
		"nothing but bad items":    {`{"evaluations":[{}]}`, 200, `[{"decision":false,"context":{"error":{"status":400,"message":"/subject`},
	} {
		reply := w.ask("asker", "/access/v1/evaluations", tc.body)
		if reply.Code != tc.status || !strings.Contains(reply.Body.String(), tc.says) {
			t.Errorf("%s: got %d %s", name, reply.Code, reply.Body)
		}
	}
}

// Each tenant, and asking about oneself, is a right of its own: what may not be asked is refused beside what may.
func TestTheRightToAskIsThatOfEachTenant(t *testing.T) {
	w := newWorld(t, nil)
	w.identity("application", "local", []policies.Grant{{Tenant: "acme", Resource: "decisions", Action: "ask", Via: "own"}})
	item := func(who, tenant string) string {
		return fmt.Sprintf(`{"subject":{"type":"user","id":%q},"resource":{"type":"ledger/accounts","id":"1","tenant":%q}}`, who, tenant)
	}
	body := func(items ...string) string {
		return `{"action":{"name":"write"},"evaluations":[` + strings.Join(items, ",") + `]}`
	}
	refused := `{"decision":false,"context":{"error":{"status":403,`
	reply := w.ask("local", "/access/v1/evaluations", body(item("ada", "acme"), item("ada", "globex"), item("ada", "acme")))
	if got := reply.Body.String(); !strings.HasPrefix(got, `{"evaluations":[{"decision":true},`+refused) || !strings.HasSuffix(got, `,{"decision":true}]}`) {
		t.Errorf("got %d %s", reply.Code, got)
	}
	if reply := w.ask("local", "/access/v1/evaluations", body(item("ada", "globex"), item("ada", "acme"))); reply.Code != http.StatusForbidden {
		t.Errorf("the first may not be asked: %d %s", reply.Code, reply.Body)
	}
	reply = w.ask("ada", "/access/v1/evaluations", body(item("ada", "acme"), item("bob", "acme")))
	if got := reply.Body.String(); !strings.HasPrefix(got, `{"evaluations":[{"decision":true},`+refused) {
		t.Errorf("about oneself and another: %d %s", reply.Code, got)
	}
}

// Of a batch, what cannot be told is an error of its items; nothing of it looks like a denial by rules.
func TestAnOutageInABatchIsThatOfItsItems(t *testing.T) {
	w := newWorld(t, nil)
	w.down = errors.New("store unavailable")
	reply := w.ask("asker", "/access/v1/evaluations", `{"subject":{"type":"robot","id":"r2"},"action":{"name":"read"},
		"resource":{"type":"record","id":"record-1"},"evaluations":[{"subject":{"type":"user","id":"ada"}},{}]}`)
	want := `{"evaluations":[{"decision":false,"context":{"error":{"status":503,"message":"no decision can be taken now"}}},{"decision":false}]}`
	if reply.Code != http.StatusOK || reply.Body.String() != want {
		t.Errorf("got %d %s", reply.Code, reply.Body)
	}
}

// The same question with another context is another question: nothing of a batch is answered from what was answered before.
func TestSO07TheSameTupleInAnotherContextIsAnotherQuestion(t *testing.T) {
	w := newWorld(t, nil)
	reply := w.ask("asker", "/access/v1/evaluations", `{"subject":{"type":"user","id":"ada"},"action":{"name":"read"},
		"resource":{"type":"ledger/accounts","id":"1"},
		"evaluations":[{"context":{"ip":"203.0.113.9"}},{"context":{"ip":"198.51.100.1"}},{"context":{"ip":"203.0.113.9"}}]}`)
	if want := `{"evaluations":[{"decision":false},{"decision":true},{"decision":false}]}`; reply.Body.String() != want {
		t.Errorf("got %d %s", reply.Code, reply.Body)
	}
}

func TestEachItemHasALineOfItsOwn(t *testing.T) {
	w := newWorld(t, nil)
	reply := w.ask("asker", "/access/v1/evaluations", batchOf("execute_all", "read", "write", "read"))
	if err := w.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	request, ids := reply.Header().Get("Decision-Id"), map[string]bool{}
	for line := range strings.Lines(w.lines.String()) {
		var l struct {
			DecisionID string `json:"decision_id"`
			ParentID   string `json:"parent_id"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.DecisionID != request && l.ParentID != request {
			t.Errorf("a line that names another request: %s", line)
		}
		ids[l.DecisionID] = true
	}
	if len(ids) != 4 || !ids[request] {
		t.Errorf("%d lines of three questions and the request", len(ids))
	}
}

// BenchmarkEvaluations is a batch of a hundred through the in-process handler; what is reported is the price of one decision.
func BenchmarkEvaluations(b *testing.B) {
	w := newWorld(b, nil)
	grants := make([]policies.Grant, 60)
	for n := range grants {
		grants[n] = policies.Grant{Resource: fmt.Sprintf("ledger/kind%d", n), Action: "read", Via: fmt.Sprintf("role:ops:r%d", n/20)}
	}
	w.identity("user", "pat", grants)
	w.caller("service", w.subjects["application/asker"], "decisions:ask")
	items := make([]string, 100)
	for n := range items {
		items[n] = fmt.Sprintf(`{"resource":{"type":"ledger/kind%d","id":"%d"}}`, n%60, n)
	}
	body := `{"subject":{"type":"user","id":"pat"},"action":{"name":"read"},"evaluations":[` + strings.Join(items, ",") + `]}`
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if reply := w.ask("service", "/access/v1/evaluations", body); reply.Code != http.StatusOK || strings.Contains(reply.Body.String(), "false") {
			b.Fatalf("%d %s", reply.Code, reply.Body)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3/100, "cpu-us/decision")
}
