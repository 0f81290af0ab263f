package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

const stored = "exists: true, active: true, tenant_enabled: true"

func explain(t *testing.T, source policies.Source, input string) policies.Trace {
	t.Helper()
	trace, err := policies.Explain(t.Context(), source, policies.EntryDecision, strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func guard(t *testing.T, trace policies.Trace, rule string) policies.Guard {
	t.Helper()
	at := slices.IndexFunc(trace.Guards, func(g policies.Guard) bool { return g.Rule == rule })
	if at < 0 {
		t.Fatalf("no guard %s among %v", rule, trace.Guards)
	}
	return trace.Guards[at]
}

// place finds a place by its file and line text, however deep.
func place(places []policies.Place, file, text string) bool {
	return slices.ContainsFunc(places, func(p policies.Place) bool {
		return strings.HasSuffix(p.File, file) && p.Line > 0 && strings.Contains(p.Text, text) || place(p.Because, file, text)
	})
}

func TestATraceSaysWhatHeldAndWhereTheRestFailed(t *testing.T) {
	trace := explain(t, policies.Source{}, `
subject: {type: user, id: ada, exists: true, active: false, tenant_enabled: true}
action: {name: read}
resource: {type: ledger/accounts, id: "1"}
caller: {address: refused}
`)
	if trace.Allow || trace.PolicyRevision == "" {
		t.Errorf("%+v", trace.Evaluation)
	}
	for rule, want := range map[string]bool{
		"decision.usable": false, "decision.valid": true, "decision.addressed": false, "decision.known": true, "decision.granted": false,
	} {
		g := guard(t, trace, rule)
		if g.Held != want || g.Title == "" || g.Code == "" || g.Line == 0 || g.Held != (len(g.Places) == 0) {
			t.Errorf("%s: %+v", rule, g)
		}
	}
	usable := guard(t, trace, "decision.usable").Places
	if len(usable) != 2 || !place(usable, "subject.rego", "usable if lib.standing(input.subject)") || !place(usable[0].Because, "lib/usable.rego", "identity.active") {
		t.Errorf("%+v", usable)
	}
	if addressed := guard(t, trace, "decision.addressed").Places; !place(addressed, "subject.rego", `input.caller.address in {"allowed", "unknown"}`) {
		t.Errorf("%+v", addressed)
	}
	if granted := guard(t, trace, "decision.granted").Places; !place(granted, "right.rego", "resources := input.subject.grants[tenant]") {
		t.Errorf("%+v", granted)
	}
	// A grant alone would not be enough, and what would be left is said.
	if len(trace.Suffices) != 2 || trace.Suffices[0].Allow || fmt.Sprint(trace.Suffices[0].Left) != "[{not_usable decision.usable} {address_not_allowed decision.addressed}]" {
		t.Errorf("%+v", trace.Suffices)
	}
}

func TestATraceLooksAtGrants(t *testing.T) {
	question := `
subject: {type: user, id: ada, ` + stored + `, grants: {acme: {ledger: {write: {own: {}}, read: {own: {not_after: 500}}}, other: {read: {own: {}}}}, "*": {"*": {"*": {late: {not_before: 5000}}}}}}
action: {name: read}
resource: {type: ledger/accounts, id: "1", tenant: acme}
caller: {address: allowed}
now: 1000
`
	trace := explain(t, policies.Source{}, question)
	var looked []string
	for _, g := range trace.Grants {
		looked = append(looked, fmt.Sprintf("%s %s:%s %s counts %t closed %t", g.Tenant, g.Resource, g.Action, g.Via, g.Counts, g.Closed))
	}
	want := []string{
		"acme ledger:read own counts false closed true", "acme ledger:write own counts false closed false", "* *:* late counts false closed true",
	}
	if !slices.Equal(looked, want) {
		t.Errorf("looked at\n%s", strings.Join(looked, "\n"))
	}
	if got := fmt.Sprint(trace.Suffices); got != "[{acme ledger/accounts/1 read true []} {acme ledger/accounts read true []}]" {
		t.Errorf("what would suffice is %s", got)
	}
	// With what it says, the answer is another.
	trace = explain(t, policies.Source{}, strings.Replace(question, "other: {", "ledger/accounts/1: {", 1))
	if !trace.Allow || len(trace.Suffices) != 0 || !trace.Grants[0].Counts {
		t.Errorf("%+v", trace)
	}
}

func TestATraceOfAnApplication(t *testing.T) {
	source := policies.Source{Dir: write(t, zoo())}
	ask := func(id, closed string) policies.Trace {
		return explain(t, source, `
subject: {type: user, id: `+id+`, `+stored+`}
resource: {type: zoo/cage, id: "1"}
action: {name: open}
caller: {address: allowed}
context: {closed: `+closed+`}
`)
	}
	if permit := guard(t, ask("bob", "false"), "apps.zoo.permit"); permit.Held || !place(permit.Places, "zoo.rego", "data.apps.zoo.keepers[input.subject.id]") {
		t.Errorf("%+v", permit)
	}
	if trace := ask("bob", "false"); len(trace.Suffices) != 0 {
		t.Errorf("a policy that asks for no grant: %+v", trace.Suffices)
	}
	// Of a deny, where it held.
	if deny := guard(t, ask("ada", "true"), "apps.zoo.deny"); deny.Code != "zoo.closed" || len(deny.Places) != 1 || deny.Places[0].Line != deny.Line {
		t.Errorf("%+v", deny)
	}
	if trace := ask("ada", "false"); !trace.Allow || !guard(t, trace, "apps.zoo.permit").Held {
		t.Errorf("%+v", trace)
	}
}

// The other entrypoints have guards too; a question that is none is refused.
func TestATraceOfOtherEntrypoints(t *testing.T) {
	for entrypoint, rule := range map[policies.Entrypoint]string{
		policies.EntryAdmin: "admin.usable", policies.EntryToken: "token.usable", policies.EntryIntrospection: "introspection.entitled",
		policies.EntryCredential: "credential.administrative",
	} {
		trace, err := policies.Explain(t.Context(), policies.Source{}, entrypoint, strings.NewReader(`{resource: {type: iam/users, id: u}}`))
		if err != nil {
			t.Errorf("%s: %v", entrypoint, err)
			continue
		}
		if g := guard(t, trace, rule); trace.Allow || g.Held || len(g.Places) == 0 {
			t.Errorf("%s: %+v", entrypoint, g)
		}
	}
	for _, bad := range []string{"{sbject: {}}", "[", "[]", "{subject: 1}"} {
		if _, err := policies.Explain(t.Context(), policies.Source{}, policies.EntryDecision, strings.NewReader(bad)); err == nil {
			t.Errorf("%s is explained", bad)
		}
	}
}
