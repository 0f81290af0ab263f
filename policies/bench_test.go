package policies_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/writ-authz/writ/policies"
)

// now is the clock of all tests here.
func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func open(tb testing.TB, config policies.Config) *policies.PDP {
	tb.Helper()
	if config.Now == nil {
		config.Now = now
	}
	if config.Deadline == 0 {
		config.Deadline = time.Hour // no test depends on the clock
	}
	pdp, err := policies.Open(tb.Context(), config)
	if err != nil {
		for _, p := range policies.Problems(err) {
			tb.Log(p)
		}
		tb.Fatal(err)
	}
	return pdp
}

// person is a user as in row PF-02: three roles of twenty grants each.
func person() *policies.Facts {
	identity := policies.Identity{
		Type: "user", ID: "0198f0a4-7b1e-7c3a-9a51-3f6f1c2d4e5f", Exists: true, TenantEnabled: true, Active: true,
		Groups: []string{"g1"},
	}
	for role := range 3 {
		name := fmt.Sprintf("ops:role%d", role)
		identity.Roles = append(identity.Roles, name)
		for grant := range 20 {
			identity.Grants = append(identity.Grants, policies.Grant{
				Resource: fmt.Sprintf("ledger/kind%d", role*20+grant), Action: "read", Via: "role:" + name,
			})
		}
	}
	return policies.NewFacts(identity)
}

func question(subject *policies.Facts, action string) *policies.Question {
	return &policies.Question{
		Entrypoint: policies.EntryDecision, Subject: subject, Action: action,
		Resource: policies.Resource{Type: "ledger/kind42", ID: "123", TenantEnabled: true, Exists: true},
		Caller: policies.Caller{
			ClientID: "app_asker", Audiences: []string{"https://writ.example/runtime", "https://writ.example/management"},
			Plane: policies.PlaneRuntime, Address: policies.AddressUnknown,
		},
		Now: now(),
	}
}

// BenchmarkSmallestRule is the scale for the others: what the engine takes for the smallest possible rule on this machine.
func BenchmarkSmallestRule(b *testing.B) {
	store := inmem.New()
	txn, err := store.NewTransaction(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	query, err := rego.New(
		rego.Query("data.a.allow"), rego.Module("a.rego", "package a\nallow if input.x == 1"), rego.Store(store), rego.Transaction(txn),
	).PrepareForEval(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	input := ast.MustParseTerm(`{"x": 1}`).Value
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		result, err := query.Eval(
			b.Context(), rego.EvalParsedInput(input), rego.EvalMetrics(metrics.NoOp()), rego.EvalTransaction(txn),
		)
		if err != nil || !result.Allowed() {
			b.Fatal(result, err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-us/op")
}

func BenchmarkDecidePermit(b *testing.B) { benchmarkDecide(b, "read", true, false) }

func BenchmarkDecideDeny(b *testing.B) { benchmarkDecide(b, "write", false, false) }

func BenchmarkDecideDenyWithReasons(b *testing.B) { benchmarkDecide(b, "write", false, true) }

func benchmarkDecide(b *testing.B, action string, allow, reasons bool) {
	pdp := open(b, policies.Config{})
	subject := person()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		q := question(subject, action)
		d, err := pdp.Decide(b.Context(), q)
		if err != nil || d.Allow != allow {
			b.Fatal(d.Allow, err)
		}
		if reasons {
			if why, err := pdp.Why(b.Context(), q, d); err != nil || len(why) != 1 || why[0].Code != "not_granted" {
				b.Fatal(why, err)
			}
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-us/op")
}

// cpu is the processor time of this process, in nanoseconds, which a shared machine blurs less than the clock on the wall.
func cpu(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// Rows PD-01 and PD-02 of the performance budgets. The row allows a permit 150; each ceiling is what was reached, with a little air.
func TestPD01DecideAllocatesLittle(t *testing.T) {
	pdp := open(t, policies.Config{})
	subject := person()
	for name, c := range map[string]struct {
		action  string
		reasons bool
		ceiling float64
	}{
		"a permit": {"read", false, 120}, "a denial": {"write", false, 155}, "a denial with reasons": {"write", true, 490},
	} {
		allocs := testing.AllocsPerRun(200, func() {
			q := question(subject, c.action)
			d, err := pdp.Decide(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if c.reasons {
				if _, err := pdp.Why(t.Context(), q, d); err != nil {
					t.Fatal(err)
				}
			}
		})
		t.Logf("%s: %.0f allocations", name, allocs)
		if allocs > c.ceiling {
			t.Errorf("%s allocates %.0f times, at most %.0f", name, allocs, c.ceiling)
		}
	}
}

// Thousands of identities stay in memory. One of sixty grants in three roles was 68 KB there, most of it the same again and again.
func TestFactsStaySmall(t *testing.T) {
	pdp := open(t, policies.Config{})
	const identities = 100
	kept := make([]*policies.Facts, identities)
	for i := range kept {
		kept[i] = person()
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, facts := range kept {
		if _, err := pdp.Decide(t.Context(), question(facts, "read")); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / identities
	t.Logf("the term of an identity with %d grants: %d bytes", len(kept[0].Identity().Grants), each)
	if each > 16<<10 {
		t.Errorf("%d bytes, at most 16 KiB", each)
	}
}

// manager may change applications everywhere and holds n grants, each on a resource of its own, which two roles of the target give.
func delegation(grants int) *policies.Question {
	actor := policies.Identity{Type: "application", ID: "app_manager", Exists: true, TenantEnabled: true, Active: true}
	target := policies.Identity{Type: "application", ID: "app_target", Exists: true, TenantEnabled: true, Active: true}
	actor.Grants = append(actor.Grants, policies.Grant{Tenant: "*", Resource: "iam/applications", Action: "*", Via: "own"})
	for i := range grants {
		g := policies.Grant{Resource: fmt.Sprintf("ledger/kind%d", i), Action: "read", Via: fmt.Sprintf("role:ops:r%d", i%5)}
		actor.Grants, target.Grants = append(actor.Grants, g), append(target.Grants, g)
	}
	return &policies.Question{
		Entrypoint: policies.EntryAdmin, Subject: policies.NewFacts(actor), Action: "write", Now: now(),
		Resource: policies.Resource{
			Type: "iam/applications", ID: "app_target", TenantEnabled: true, Exists: true, OtherOwners: -1, OwnersBefore: -1, Proof: "none",
			Before: policies.NewFacts(target), After: policies.NewFacts(target), Changes: []string{"description"},
			AfterDetail: []byte(`{"references":{},"conditional":true}`),
		},
		Caller: policies.Caller{
			ClientID: "app_manager", Audiences: []string{"https://writ.example/management"}, Plane: policies.PlaneManagement,
			Address: policies.AddressAllowed,
		},
	}
}

// BenchmarkDominate is the price of a change of an identity with many grants, by somebody who holds each of them by itself. The price of a
// grant must not depend on how many there are.
func BenchmarkDominate(b *testing.B) {
	pdp := open(b, policies.Config{})
	for _, grants := range []int{10, 100, 1000, 5000} {
		b.Run(fmt.Sprint(grants), func(b *testing.B) {
			q := delegation(grants)
			before := cpu(b)
			for b.Loop() {
				if d, err := pdp.Decide(b.Context(), q); err != nil || !d.Allow {
					b.Fatal(d.Allow, err)
				}
			}
			spent := float64(cpu(b)-before) / float64(b.N) / 1e3
			b.ReportMetric(spent, "cpu-us/op")
			b.ReportMetric(spent/float64(grants), "cpu-us/grant")
		})
	}
}
