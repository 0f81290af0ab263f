package decide_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/decide"
	"github.com/writ-authz/writ/policies/enforce"
)

// archive is the recorded decisions of a node, and who may read them: by the name of the caller.
type archive struct {
	*world
	recent  *policies.Recent
	handler http.Handler
	log     *policies.Log
}

func newArchive(t *testing.T) *archive {
	w := newWorld(t, nil)
	pdp, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{world: w, recent: policies.NewRecent(1 << 20)}
	a.log = policies.NewLog(policies.LogConfig{Now: now, Recent: a.recent})
	records := &decide.Records{Node: "n1", Recent: a.recent, PDP: pdp}
	plane := enforce.Plane{
		Name: policies.PlaneRuntime, Authenticator: w, // in this test both audiences are the same
		WriteError: func(rw http.ResponseWriter, _ *enforce.Request, err error) {
			status := http.StatusServiceUnavailable
			if protocol := (*enforce.ProtocolError)(nil); asProtocol(err, &protocol) {
				status = protocol.Status
			}
			http.Error(rw, err.Error(), status)
		},
		WriteDenial: func(rw http.ResponseWriter, _ *enforce.Request, _ policies.Decision, r []policies.Reason) {
			http.Error(rw, r[0].Code, http.StatusForbidden)
		},
	}
	if a.handler, err = enforce.Mount(enforce.Config{
		PDP: pdp, Log: policies.NewLog(policies.LogConfig{Now: now}), Now: now, Fallback: plane,
		Groups: []enforce.Group{{Plane: plane, Routes: records.Routes()}},
	}); err != nil {
		t.Fatal(err)
	}
	for name, tenant := range map[string]string{"auditor": "*", "acme": "acme", "system": ""} {
		w.identity("application", name, []policies.Grant{{Tenant: tenant, Resource: "decisions", Action: "read", Via: "own"}})
	}
	return a
}

func asProtocol(err error, into **enforce.ProtocolError) bool {
	found, ok := err.(*enforce.ProtocolError) //nolint:errorlint // as it is returned
	*into = found
	return ok
}

// decided takes a decision about a subject of a tenant and an object of a tenant, and returns its id.
func (a *archive) decided(subject, tenant, action, kind, of string) string {
	a.tb.Helper()
	pdp, _ := loaded()
	q := &policies.Question{
		Entrypoint: policies.EntryDecision, Now: now(), Action: action,
		Subject: policies.NewFacts(policies.Identity{
			Type: "user", ID: subject, Tenant: tenant, Exists: true, Active: true, TenantEnabled: true,
			Grants: []policies.Grant{{Tenant: "*", Resource: "ledger", Action: "read", Via: "own"}},
		}),
		Resource: policies.Resource{Type: kind, ID: "1", Tenant: of, TenantEnabled: true, Exists: true},
		Caller:   policies.Caller{Address: policies.AddressUnknown},
	}
	d, err := pdp.Decide(a.tb.Context(), q)
	slot, full := a.log.Reserve()
	if full != nil {
		a.tb.Fatal(full)
	}
	slot.Write(policies.LogLine{Decision: d, Entrypoint: q.Entrypoint, Err: err, RequestID: "r"})
	for range 1000 { // lines are gathered for a moment
		if _, ok := a.recent.Find(d.ID); ok {
			return d.ID
		}
		time.Sleep(time.Millisecond)
	}
	a.tb.Fatal("the log remembers no line")
	return ""
}

func (a *archive) get(caller, path string) (int, map[string]any) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+caller)
	reply := httptest.NewRecorder()
	a.handler.ServeHTTP(reply, r)
	var body map[string]any
	_ = json.Unmarshal(reply.Body.Bytes(), &body)
	return reply.Code, body
}

func (a *archive) ids(caller, query string) []string {
	a.tb.Helper()
	status, body := a.get(caller, "/v1/decisions"+query)
	if status != http.StatusOK {
		a.tb.Fatalf("%s: status %d", query, status)
	}
	var ids []string
	for _, item := range body["items"].([]any) {
		ids = append(ids, item.(map[string]any)["decision_id"].(string))
	}
	return ids
}

func TestRecordedDecisionsAreSelected(t *testing.T) {
	a := newArchive(t)
	permit := a.decided("ada", "", "read", "ledger/accounts", "")
	denial := a.decided("ada", "", "write", "ledger/accounts", "")
	other := a.decided("bob", "", "read", "ledger/books", "")
	for query, want := range map[string][]string{
		"": {other, denial, permit}, "?limit=2": {other, denial}, "?allow=true": {other, permit}, "?allow=false": {denial}, "?error=true": nil,
		"?error=false&limit=1": {other}, "?subject=ada": {denial, permit}, "?subject=user:bob": {other}, "?subject=application:bob": nil,
		"?action=read": {other, permit}, "?resource_type=ledger/books": {other}, "?resource_type=ledger": nil,
		"?entrypoint=writ/decision": {other, denial, permit}, "?entrypoint=writ/admin": nil,
		"?since=2026-03-01T12:00:00Z": {other, denial, permit}, "?since=2026-03-01T12:00:00.000000001Z": nil, "?since=2027-01-01T00:00:00Z": nil,
		"?subject=ada&allow=true&action=read&resource_type=ledger/accounts": {permit},
	} {
		if got := a.ids("auditor", query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{
		"?limit=0", "?limit=101", "?limit=x", "?allow=yes", "?error=1", "?since=yesterday", "?after=x", "?after=", "?subject=", "?action=", "?x=1", "?limit=01",
		"?after=bjIvMQ", "?after=bjEvMA", "?after=bjEvMDE", // of n2; the numbers 0 and 01
	} {
		if status, _ := a.get("auditor", "/v1/decisions"+query); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, status)
		}
	}
}

func TestRecordedDecisionsComeInPages(t *testing.T) {
	a := newArchive(t)
	var want []string
	for n := range 25 {
		subject := "ada"
		if n%3 == 0 {
			subject = "bob"
		}
		if id := a.decided(subject, "", "read", "ledger/accounts", ""); subject == "ada" {
			want = append([]string{id}, want...)
		}
	}
	var got []string
	for after := ""; ; {
		status, body := a.get("auditor", "/v1/decisions?subject=ada&limit=4"+after)
		if status != http.StatusOK || len(got) > 25 {
			t.Fatalf("status %d, %d decisions", status, len(got))
		}
		for _, item := range body["items"].([]any) {
			got = append(got, item.(map[string]any)["decision_id"].(string))
		}
		next, more := body["next"].(string)
		if !more {
			break
		}
		after = "&after=" + next
		a.decided("ada", "", "read", "ledger/accounts", "") // what comes meanwhile is on no later page
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d decisions on all pages, want %d", len(got), len(want))
	}
}

// A reader of one tenant sees what tells of nobody and nothing outside it; what it does not see looks like what is not there.
func TestRecordedDecisionsOfATenant(t *testing.T) {
	a := newArchive(t)
	inside := a.decided("ada", "acme", "read", "ledger/accounts", "acme")
	system := a.decided("ada", "", "read", "ledger/accounts", "")
	mixed := a.decided("ada", "", "read", "ledger/accounts", "acme")
	outside := a.decided("ada", "globex", "read", "ledger/accounts", "acme")
	for caller, sees := range map[string][]string{"auditor": {outside, mixed, system, inside}, "acme": {inside}, "system": {system}} {
		if got := a.ids(caller, ""); !slices.Equal(got, sees) {
			t.Errorf("%s sees %v, want %v", caller, got, sees)
		}
		for _, id := range []string{inside, system, mixed, outside, "none", "%22"} {
			status, body := a.get(caller, "/v1/decisions/"+id)
			if want := map[bool]int{true: 200, false: 404}[slices.Contains(sees, id)]; status != want {
				t.Errorf("%s gets %s: status %d", caller, id, status)
			} else if status == 200 && body["decision_id"] != id {
				t.Errorf("%s gets %v for %s", caller, body["decision_id"], id)
			}
		}
	}
	for _, caller := range []string{"asker", "meek", "ada"} {
		for _, path := range []string{"/v1/decisions", "/v1/decisions/" + inside, "/v1/decisions/none"} {
			if status, _ := a.get(caller, path); status != http.StatusForbidden {
				t.Errorf("%s without the right gets %s: status %d", caller, path, status)
			}
		}
	}
}

func TestARecordedDecisionSaysWhy(t *testing.T) {
	a := newArchive(t)
	permit, denial := a.decided("ada", "", "read", "ledger/accounts", ""), a.decided("ada", "", "write", "ledger/accounts", "")
	for id, want := range map[string]string{permit: `{"allow":true,"code":"granted"}`, denial: `{"allow":false,"code":"not_granted"}`} {
		status, body := a.get("auditor", "/v1/decisions/"+id)
		if status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		why := body["why"].(map[string]any)
		reasons := why["reasons"].([]any)
		if got := fmt.Sprintf(`{"allow":%v,"code":"%v"}`, why["allow"], reasons[0].(map[string]any)["code"]); got != want || why["policy_revision"] != body["policy_revision"] {
			t.Errorf("why is %v", why)
		}
		if input := body["input"].(map[string]any); len(input) != 9 || !strings.Contains(fmt.Sprint(input["subject"]), "ada") {
			t.Errorf("the input is %v", input)
		}
	}
}
