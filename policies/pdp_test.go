package policies_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-authz/writ/policies"
)

// write lays files below a fresh directory and returns it.
func write(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, body := range files {
		put(tb, dir, name, body)
	}
	return dir
}

// put writes a file as an editor that saves by renaming does: at no time is it half there.
func put(tb testing.TB, dir, name, body string) {
	tb.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(body), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		tb.Fatal(err)
	}
}

// zoo is a small application with everything a directory may bring.
func zoo() map[string]string {
	return map[string]string{
		"apps/zoo/catalogue.yaml": `
types:
  zoo/cage: {title: Cages, group: Zoo, actions: {open: {title: Open a cage}, feed: {title: Feed}}}
reasons:
  zoo.keeper: {title: Keeper, administrator: The subject is a keeper., user: You are a keeper.}
  zoo.closed: {title: Closed, administrator: The zoo is closed., user: The zoo is closed.}
`,
		"apps/zoo/data.yaml": "keepers:\n  ada: true\n",
		"apps/zoo/zoo.rego": `package apps.zoo

# METADATA
# title: Keepers
# schemas:
#   - input: schema.input
# labels:
#   rule: zoo.keeper
permit contains "zoo.keeper" if data.apps.zoo.keepers[input.subject.id]

# METADATA
# title: Closed
# schemas:
#   - input: schema.input
# labels:
#   rule: zoo.closed
deny contains "zoo.closed" if input.context.closed
`,
		"apps/zoo/zoo_test.rego": `package apps.zoo_test

import data.apps.zoo

test_keeper if zoo.permit == {"zoo.keeper"} with input as {"subject": {"id": "ann"}} with data.apps.zoo.keepers as {"ann": true}

test_closed if zoo.deny == {"zoo.closed"} with input as {"context": {"closed": true}}
`,
	}
}

func zooQuestion(id, closed string) *policies.Question {
	q := question(policies.NewFacts(policies.Identity{Type: "animal", ID: id}), "open")
	q.Resource.Type = "zoo/cage"
	q.Context = []byte(`{"closed":` + closed + `}`)
	return q
}

func decide(tb testing.TB, pdp *policies.PDP, q *policies.Question) (bool, string) {
	tb.Helper()
	d, err := pdp.Decide(tb.Context(), q)
	if err != nil {
		tb.Fatal(err)
	}
	reasons := d.Reasons
	if !d.Allow {
		if reasons, err = pdp.Why(tb.Context(), q, d); err != nil {
			tb.Fatal(err)
		}
	}
	var codes []string
	for _, r := range reasons {
		codes = append(codes, r.Code)
	}
	return d.Allow, strings.Join(codes, " ")
}

func TestGrantsDecideWhereNoApplicationDoes(t *testing.T) {
	pdp := open(t, policies.Config{})
	if allow, codes := decide(t, pdp, question(person(), "read")); !allow || codes != "granted" {
		t.Errorf("a granted action: %t %s", allow, codes)
	}
	if allow, codes := decide(t, pdp, question(person(), "write")); allow || codes != "not_granted" {
		t.Errorf("another action: %t %s", allow, codes)
	}
	if allow, codes := decide(t, pdp, question(policies.Nobody("user", "x"), "read")); allow || codes != "no_such_subject" {
		t.Errorf("nobody: %t %s", allow, codes)
	}
}

func TestADirectoryAddsAnApplication(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, zoo())})
	if allow, codes := decide(t, pdp, zooQuestion("ada", "false")); !allow || codes != "zoo.keeper" {
		t.Errorf("a keeper: %t %s", allow, codes)
	}
	if allow, codes := decide(t, pdp, zooQuestion("bob", "false")); allow || codes != "not_granted" {
		t.Errorf("a visitor: %t %s", allow, codes)
	}
	if allow, codes := decide(t, pdp, zooQuestion("ada", "true")); allow || codes != "zoo.closed" {
		t.Errorf("a closed zoo: %t %s", allow, codes)
	}
	if c := pdp.Catalogue(); !c.Known("zoo/cage", "feed") || c.Check("zoo/tent", "open") == nil {
		t.Error("the application's catalogue is not in force")
	}
	shipped, zoo := open(t, policies.Config{}).Describe(), pdp.Describe()
	if zoo.Source != "directory" || shipped.Source != "embedded" || zoo.PolicyRevision == shipped.PolicyRevision ||
		zoo.DataRevision == shipped.DataRevision || len(zoo.Modules) != len(shipped.Modules)+1 || len(zoo.Apps) != len(shipped.Apps)+1 {
		t.Errorf("described as %+v", zoo)
	}
}

func TestADecisionSaysWhatItWasTakenOn(t *testing.T) {
	pdp := open(t, policies.Config{})
	q := question(person(), "read")
	one, err := pdp.Decide(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := pdp.Decide(t.Context(), q)
	if one.ID == "" || one.ID == two.ID || one.PolicyRevision != pdp.Status().Revision || one.DataRevision != pdp.Describe().DataRevision {
		t.Errorf("%+v", one)
	}
	q.ID = "given"
	if d, _ := pdp.Decide(t.Context(), q); d.ID != "given" {
		t.Errorf("id is %s", d.ID)
	}
	if _, err := pdp.Why(t.Context(), q, policies.Decision{}); !errors.Is(err, policies.ErrUndecided) {
		t.Errorf("reasons for a decision that was not taken here: %v", err)
	}
}

// slow is an application whose permit takes longer than anybody waits.
func slow() map[string]string {
	return map[string]string{
		"apps/slow/data.yaml": "xs: [" + strings.TrimSuffix(strings.Repeat("1,", 400), ",") + "]\n",
		"apps/slow/slow.rego": `package apps.slow

# METADATA
# title: Slow
# labels:
#   rule: slow.permit
permit contains "granted" if {
	count([1 | some a in data.apps.slow.xs; some b in data.apps.slow.xs; some c in data.apps.slow.xs; a + b + c == 0]) == 1
}
`,
		"apps/slow/slow_test.rego": "package apps.slow_test\n\ntest_nothing := true\n",
	}
}

func TestAnEvaluationThatRunsLongIsAnErrorAndCounted(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, slow()), Deadline: 5 * time.Millisecond})
	q := question(person(), "read")
	q.Resource.Type = "slow/thing"
	for range 3 {
		if d, err := pdp.Decide(t.Context(), q); !errors.Is(err, policies.ErrUndecided) || d.Allow {
			t.Fatalf("%t %v", d.Allow, err)
		}
	}
	if s := pdp.Status(); s.Undecided != 3 || s.Overdue != 3 {
		t.Errorf("counted %+v", s)
	}
	// The next one has its full time.
	if allow, _ := decide(t, open(t, policies.Config{}), question(person(), "read")); !allow {
		t.Error("a quick decision suffers")
	}
}

func TestAnEvaluationEndsWithItsCaller(t *testing.T) {
	pdp := open(t, policies.Config{Dir: write(t, slow()), Deadline: time.Hour})
	q := question(person(), "read")
	q.Resource.Type = "slow/thing"
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := pdp.Decide(ctx, q)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, policies.ErrUndecided) {
		t.Fatal(err)
	}
}

func TestSO06FailuresOfRulesAreErrorsNotDenials(t *testing.T) {
	files := map[string]string{}
	for name, body := range map[string]string{
		"code":    `permit contains input.context.code`,
		"type":    `permit contains 7 if input.context`,
		"builtin": `permit contains "granted" if to_number(input.context.code) > 1`,
		"complex": `permit contains {"code": "granted"} if input.context`,
		"conflict": `permit contains "granted" if level == 1

level := 1 if input.context.code

level := 2 if input.context.code != ""`,
	} {
		files["apps/x"+name+"/x.rego"] = "package apps.x" + name + "\n\n# METADATA\n# title: X\n# labels:\n#   rule: x." + name + "\n" + body + "\n"
		files["apps/x"+name+"/x_test.rego"] = "package apps.x" + name + "_test\n\ntest_nothing := true\n"
	}
	pdp := open(t, policies.Config{Dir: write(t, files)})
	names := []string{"code", "type", "builtin", "complex", "conflict"}
	for _, name := range names {
		q := question(person(), "read")
		q.Resource.Type = "x" + name + "/thing"
		q.Context = []byte(`{"code":"no.such.code"}`)
		if d, err := pdp.Decide(t.Context(), q); !errors.Is(err, policies.ErrUndecided) || d.Allow {
			t.Errorf("%s: %t %v", name, d.Allow, err)
		}
	}
	if n := pdp.Status().Undecided; n != int64(len(names)) {
		t.Errorf("%d errors are counted, want %d", n, len(names))
	}
	for _, e := range []policies.Entrypoint{"", "writ/nothing", policies.EntryWhy, "writ/admin/result"} {
		q := question(person(), "read")
		q.Entrypoint = e
		if d, err := pdp.Decide(t.Context(), q); !errors.Is(err, policies.ErrUndecided) || d.Allow {
			t.Errorf("entrypoint %q: %t %v", e, d.Allow, err)
		}
	}
	if _, err := pdp.Decide(t.Context(), &policies.Question{Entrypoint: policies.EntryDecision}); !errors.Is(err, policies.ErrUndecided) {
		t.Errorf("no subject: %v", err)
	}
}

func TestSO06AResultThatIsNoDecisionIsRefused(t *testing.T) {
	c := open(t, policies.Config{}).Catalogue()
	const reasons = `"reasons": [{"code": "granted", "rule": "r"}]`
	for _, bad := range []string{
		`true`, `[]`, `{}`, `{"allow": true}`, `{"allow": true, ` + reasons + `}`, `{"allow": "true", ` + reasons + `, "obligations": {}}`,
		`{"allow": 1, ` + reasons + `, "obligations": {}}`, `{"allow": null, ` + reasons + `, "obligations": {}}`,
		`{"allow": true, ` + reasons + `, "obligations": {}, "more": 1}`, `{"allow": true, ` + reasons + `, "obligation": {}}`,
		`{"allow": true, "reasons": [], "obligations": {}}`, `{"allow": true, "reasons": {}, "obligations": {}}`,
		`{"allow": true, "reasons": ["granted"], "obligations": {}}`, `{"allow": true, "reasons": [{"code": "granted"}], "obligations": {}}`,
		`{"allow": true, "reasons": [{"code": "nonsense", "rule": "r"}], "obligations": {}}`,
		`{"allow": true, "reasons": [{"code": "granted", "rule": "r", "x": 1}], "obligations": {}}`,
		`{"allow": true, ` + reasons + `, "obligations": []}`, `{"allow": true, ` + reasons + `, "obligations": {"erase": true}}`,
		`{"allow": true, ` + reasons + `, "obligations": {"scopes": "a:b"}}`, `{"allow": true, ` + reasons + `, "obligations": {"scopes": [1]}}`,
		`{"allow": true, ` + reasons + `, "obligations": {"lifetime": "60"}}`, `{"allow": true, ` + reasons + `, "obligations": {"lifetime": 1.5}}`,
		`{"allow": true, ` + reasons + `, "obligations": {"lifetime": -1}}`, `{"allow": true, ` + reasons + `, "obligations": {"lifetime": 1e300}}`,
		`{"allow": true, ` + reasons + `, "obligations": {"format": "saml"}}`, `{"allow": true, ` + reasons + `, "obligations": {"refresh": 1}}`,
		`{"allow": true, ` + reasons + `, "obligations": {"claims": []}}`, `{"allow": true, ` + reasons + `, "obligations": {"filter": true}}`,
		`{"allow": true, ` + reasons + `, "obligations": {"conceal": "yes"}}`, `{"allow": true, ` + reasons + `, "obligations": {"redact": {"a": 1}}}`,
	} {
		if d, err := policies.DecodeResult(ast.MustParseTerm(bad).Value, c); err == nil || d.Allow {
			t.Errorf("%s is taken for a decision", bad)
		}
	}
	d, err := policies.DecodeResult(ast.MustParseTerm(`{"allow": true, "reasons": {{"code": "own", "rule": "b"}, {"code": "granted", "rule": "a"}},
		"obligations": {"scopes": {"b:b", "a:a"}, "audience": [], "lifetime": 60, "format": "jwt", "refresh": false, "claims": {"x": {1}},
		"filter": {}, "redact": ["x"]}}`).Value, c)
	if err != nil {
		t.Fatal(err)
	}
	o := d.Obligations
	if !d.Allow || len(d.Reasons) != 2 || d.Reasons[0].Code != "granted" || len(o.Scopes) != 2 || o.Scopes[0] != "a:a" || o.Audience == nil ||
		*o.Lifetime != 60 || *o.Refresh || len(o.Names()) != 8 {
		t.Errorf("%+v", d)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	pdp := open(t, policies.Config{})
	subject := person()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 50 {
				action := []string{"read", "write"}[n%2]
				d, err := pdp.Decide(t.Context(), question(subject, action))
				if err != nil || d.Allow != (action == "read") {
					t.Errorf("%t %v", d.Allow, err)
				}
				if !d.Allow {
					if _, err := pdp.Why(t.Context(), question(subject, action), d); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}

// The engine's caches are ours; they must behave as its own do.
func TestTheRuleCacheIsAStackOfMaps(t *testing.T) {
	c := policies.RuleCache()
	ref := func(s string) ast.Ref { return ast.MustParseRef(s) }
	if v, undefined := c.Get(ref("data.a")); v != nil || undefined {
		t.Error("something is in an empty cache")
	}
	for n := range 500 {
		c.Put(append(ref("data.a.b"), ast.InternedTerm(n)), ast.InternedTerm(n))
	}
	c.Put(ref("data.a.c"), nil)
	c.Put(ref("data.a"), ast.InternedTerm(true))
	c.Push()
	if v, undefined := c.Get(ref("data.a")); v != nil || undefined {
		t.Error("a new frame is not empty")
	}
	c.Put(ref("data.a"), ast.InternedTerm(false))
	c.Pop()
	for n := range 500 {
		if v, _ := c.Get(append(ref("data.a.b"), ast.InternedTerm(n))); v == nil || !v.Equal(ast.InternedTerm(n)) {
			t.Fatalf("%d: %v", n, v)
		}
	}
	if v, undefined := c.Get(ref("data.a.c")); v != nil || !undefined {
		t.Error("what is undefined is not remembered")
	}
	if v, _ := c.Get(ref("data.a")); v == nil || !v.Equal(ast.InternedTerm(true)) {
		t.Errorf("data.a is %v", v)
	}
	if n := len(c.Keys()); n != 501 {
		t.Errorf("%d keys", n)
	}
	f, g := ast.Ref{ast.StringTerm("f"), ast.MustParseTerm(`{"a": [1]}`)}, ast.Ref{ast.StringTerm("f"), ast.MustParseTerm(`{"a": [2]}`)}
	c.Put(f, ast.InternedTerm(1))
	if v, _ := c.Get(g); v != nil {
		t.Error("arguments are confused")
	}
}

// A server accepts its own audiences by exact name, not another's that ends alike, unless its settings name others.
func TestAudiencesAreTheServersOwn(t *testing.T) {
	const own, other = "https://writ.example/management", "https://other.example/management"
	asks := func(audience string) *policies.Question {
		q := question(policies.NewFacts(policies.Identity{
			Type: "application", ID: "app_x", Exists: true, TenantEnabled: true, Active: true,
			Grants: []policies.Grant{{Tenant: "*", Resource: "iam/users", Action: "read", Via: "own"}},
		}), "read")
		q.Entrypoint, q.Resource = policies.EntryAdmin, policies.Resource{Type: "iam/users", ID: "u", TenantEnabled: true, Exists: true}
		q.Caller.Plane, q.Caller.Address, q.Caller.Audiences = policies.PlaneManagement, policies.AddressAllowed, []string{audience}
		return q
	}
	named := t.TempDir()
	if err := os.MkdirAll(named+"/settings", 0o700); err != nil {
		t.Fatal(err)
	}
	settings := []byte("audiences: {management: {\"" + other + "\": true}}\n")
	if err := os.WriteFile(named+"/settings/data.yaml", settings, 0o600); err != nil {
		t.Fatal(err)
	}
	pinned := map[string][]string{policies.PlaneManagement: {own}}
	for _, tc := range []struct {
		name   string
		config policies.Config
		admits map[string]bool
	}{
		{"its own", policies.Config{Audiences: pinned}, map[string]bool{own: true, other: false}},
		{"those of the settings", policies.Config{Audiences: pinned, Dir: named}, map[string]bool{own: false, other: true}},
		{"none named", policies.Config{}, map[string]bool{own: true, other: true}},
	} {
		pdp := open(t, tc.config)
		for audience, want := range tc.admits {
			if d, err := pdp.Decide(t.Context(), asks(audience)); err != nil || d.Allow != want {
				t.Errorf("%s: %s is admitted %t, want %t (%v)", tc.name, audience, d.Allow, want, err)
			}
		}
	}
}

// A plane whose audiences are configured to be none would ask for nothing.
func TestSJ6EmptyAudiencesAreRefusedAtStart(t *testing.T) {
	for name, names := range map[string][]string{"none": {}, "nil": nil, "an empty one": {"https://writ.example/management", ""}} {
		_, err := policies.Open(t.Context(), policies.Config{
			Now: time.Now, Deadline: time.Second, Audiences: map[string][]string{policies.PlaneManagement: names},
		})
		if err == nil || !strings.Contains(err.Error(), "audiences of plane") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
