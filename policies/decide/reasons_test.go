package decide_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
)

// explanation is what stands beside an answer.
type explanation struct {
	Reasons []struct{ Code, Rule, Text string }
	Grant   *policies.WantedGrant   `json:"missing_grant"`
	Scope   string                  `json:"missing_scope"`
	Closed  []policies.ClosedWindow `json:"closed_windows"`
}

func (w *world) explained(caller, body string) (bool, explanation) {
	w.tb.Helper()
	reply := w.ask(caller, "/access/v1/evaluation", body)
	var answer struct {
		Decision bool
		Context  *explanation
	}
	if err := json.Unmarshal(reply.Body.Bytes(), &answer); err != nil || answer.Context == nil {
		w.tb.Fatalf("%d %s", reply.Code, reply.Body)
	}
	return answer.Decision, *answer.Context
}

// auditor may ask and see why, in one tenant and in none.
func (w *world) auditor() {
	grants := []policies.Grant{{Tenant: "*", Resource: "decisions", Action: "ask", Via: "own"}}
	for _, tenant := range []string{"", "acme"} {
		grants = append(grants, policies.Grant{Tenant: tenant, Resource: "decisions", Action: "explain", Via: "own"})
	}
	w.identity("application", "auditor", grants)
}

func TestReasonsSayWhatWouldHaveSufficed(t *testing.T) {
	w := newWorld(t, nil)
	w.auditor()
	ended := now().Add(-time.Hour)
	w.identity("user", "eve", []policies.Grant{
		{Resource: "ledger", Action: "read", Via: "role:ops:night", NotAfter: ended},
		{Resource: "ledger/accounts", Action: "write", Via: "own"},
	})
	w.caller("narrow", w.subjects["user/eve"], "ledger/accounts:read")
	gone := *w.subjects["user/ada"].Facts.Identity()
	gone.NotAfter = ended
	w.identity("user", "gone", nil).Facts = policies.NewFacts(gone)
	wanted := &policies.WantedGrant{Resource: "ledger/accounts/1", Action: "read"}
	for name, tc := range map[string]struct {
		body   string
		code   string
		rule   string
		grant  *policies.WantedGrant
		scope  string
		closed []policies.ClosedWindow
	}{
		"a grant": {
			about("user", "ada", "acme", "seal2"), "", "decision.granted", nil, "", nil,
		},
		"nothing granted": {
			about("user", "ada", "", "close"), "not_granted", "decision.granted",
			&policies.WantedGrant{Resource: "ledger/accounts/1", Action: "close"}, "", nil,
		},
		"in a tenant": {
			about("user", "eve", "acme", "read"), "not_granted", "decision.granted",
			&policies.WantedGrant{Tenant: "acme", Resource: "ledger/accounts/1", Action: "read"}, "", nil,
		},
		"a grant that has ended": {
			about("user", "eve", "", "read"), "not_granted", "decision.granted", wanted, "",
			[]policies.ClosedWindow{{Via: "role:ops:night", Resource: "ledger", Action: "read", NotAfter: &ended}},
		},
		"a scope": {
			about("token", "narrow", "", "write"), "insufficient_scope", "decision.scoped", nil, "ledger/accounts/1:write", nil,
		},
		"a grant and a scope": {
			about("token", "narrow", "", "close"), "not_granted", "decision.granted",
			&policies.WantedGrant{Resource: "ledger/accounts/1", Action: "close"}, "ledger/accounts/1:close", nil,
		},
		"a subject that has ended": {
			about("user", "gone", "", "read"), "outside_validity", "decision.valid", nil, "",
			[]policies.ClosedWindow{{Via: "subject", NotAfter: &ended}},
		},
		"nobody, to whom no grant helps": {about("user", "bob", "", "read"), "no_such_subject", "decision.known", nil, "", nil},
		"an application that takes grants": {
			strings.Replace(about("user", "ada", "", "write"), "ledger/accounts", "record", 1), "not_granted", "apps.record.permit",
			&policies.WantedGrant{Resource: "record/1", Action: "write"}, "", nil,
		},
	} {
		permitted, got := w.explained("auditor", tc.body)
		if tc.code == "" {
			if !permitted || len(got.Reasons) != 1 || got.Reasons[0].Rule != tc.rule {
				t.Errorf("%s: %t %+v", name, permitted, got)
			}
			continue
		}
		if permitted || len(got.Reasons) == 0 || got.Reasons[0].Code != tc.code || got.Reasons[0].Rule != tc.rule || got.Reasons[0].Text == "" {
			t.Errorf("%s: %t %+v", name, permitted, got.Reasons)
		}
		want := explanation{Reasons: got.Reasons, Grant: tc.grant, Scope: tc.scope, Closed: tc.closed}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Who may only ask sees codes, wherever it may not see more; so does who asks about oneself.
func TestReasonsAreCodesWithoutTheRight(t *testing.T) {
	w := newWorld(t, nil)
	w.auditor()
	for name, tc := range map[string][2]string{
		"who may only ask":                 {"asker", about("user", "ada", "", "close")},
		"in a tenant without the right":    {"auditor", about("user", "ada", "globex", "close")},
		"about oneself":                    {"ada", about("user", "ada", "", "close")},
		"about oneself, what is permitted": {"ada", about("user", "ada", "", "read")},
	} {
		_, got := w.explained(tc[0], tc[1])
		if len(got.Reasons) == 0 || got.Reasons[0].Code == "" {
			t.Errorf("%s: no codes", name)
		}
		for _, reason := range got.Reasons {
			if reason.Rule != "" || reason.Text != "" {
				t.Errorf("%s: %+v", name, reason)
			}
		}
		if got.Grant != nil || got.Scope != "" || got.Closed != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestABatchSaysWhyToo(t *testing.T) {
	w := newWorld(t, nil)
	w.auditor()
	body := strings.Replace(batchOf("execute_all", "read", "close"), `"options":{`, `"options":{"reasons":true,`, 1)
	reply := w.ask("auditor", "/access/v1/evaluations", body).Body.String()
	for _, wanted := range []string{`"rule":"decision.granted"`, `"missing_grant":{"resource":"ledger/accounts/1","action":"close"}`} {
		if !strings.Contains(reply, wanted) {
			t.Errorf("no %s in %s", wanted, reply)
		}
	}
}

// What is said to suffice does: with that grant, to anybody who has it beside what there was, the question is permitted.
func TestWhatWouldHaveSufficedDoes(t *testing.T) {
	w := newWorld(t, nil)
	w.auditor()
	rapid.Check(t, func(rt *rapid.T) {
		tenant := rapid.SampledFrom([]string{"", "acme"}).Draw(rt, "tenant")
		kind := rapid.SampledFrom([]string{"ledger/accounts", "iam/applications", "record", "document", "todo"}).Draw(rt, "type")
		id := rapid.SampledFrom([]string{"1", "record-1", "a b"}).Draw(rt, "id")
		name := rapid.SampledFrom([]string{"read", "write", "reveal"}).Draw(rt, "action")
		identity := policies.Identity{
			Type: "user", ID: "eve", Exists: true, TenantEnabled: true, Active: rapid.Bool().Draw(rt, "active"),
			Tenant: rapid.SampledFrom([]string{"", "acme", "globex"}).Draw(rt, "own tenant"),
		}
		for range rapid.IntRange(0, 2).Draw(rt, "grants") {
			identity.Grants = append(identity.Grants, policies.Grant{
				Tenant:   rapid.SampledFrom([]string{"", "acme", "*"}).Draw(rt, "of"),
				Resource: rapid.SampledFrom([]string{"*", "ledger", "record/record-1"}).Draw(rt, "on"),
				Action:   rapid.SampledFrom([]string{"*", "read", "write"}).Draw(rt, "to"), Via: "own",
			})
		}
		w.identity("user", "eve", nil).Facts = policies.NewFacts(identity)
		body := fmt.Sprintf(`{"subject":{"type":"user","id":"eve"},"action":{"name":%q},"options":{"reasons":true},
			"resource":{"type":%q,"id":%q,"tenant":%q,"properties":{"sealed":false}}}`, name, kind, id, tenant)
		permitted, before := w.explained("auditor", body)
		if permitted && before.Grant != nil {
			rt.Fatal("a permit lacks nothing")
		}
		if before.Grant == nil {
			return
		}
		identity.Grants = append(identity.Grants, policies.Grant{
			Tenant: before.Grant.Tenant, Resource: before.Grant.Resource, Action: before.Grant.Action, Via: "own",
		})
		w.identity("user", "eve", nil).Facts = policies.NewFacts(identity)
		if permitted, after := w.explained("auditor", body); !permitted {
			rt.Fatalf("%+v was said to suffice, and did not: %+v", before.Grant, after)
		}
	})
}
