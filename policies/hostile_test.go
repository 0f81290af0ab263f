package policies_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

const hostileMeta = "package apps.zoo\n\n# METADATA\n# title: T\n# labels:\n#   rule: zoo.hostile\n"

// What a directory may hold is bounded and half of it is never taken: a broken, half-written, oversized or hostile file is refused
// with its name, and the last good set decides on.
func TestSO02AndSO05HostileFilesAreRefusedAndTheLastGoodSetDecidesOn(t *testing.T) {
	good := zoo()
	half := good["apps/zoo/zoo.rego"]
	cases := map[string]struct{ file, body, want string }{
		"half a file":             {"apps/zoo/zoo.rego", half[:len(half)-30], "zoo.rego"},
		"half a rule":             {"apps/zoo/b.rego", "package apps.zoo\n\npermit contains \"zoo.keeper\" if {\n", "b.rego:4"},
		"an empty file":           {"apps/zoo/b.rego", "", "b.rego"},
		"zeros":                   {"apps/zoo/b.rego", "package apps.zoo\n\x00\x00\x00", "b.rego:2"},
		"not UTF-8":               {"apps/zoo/b.rego", "package apps.zoo\n\nx := \"\xff\xfe\"\n", "b.rego"},
		"a large file":            {"apps/zoo/b.rego", "package apps.zoo\n#" + strings.Repeat("x", 1<<20), "larger than"},
		"large data":              {"apps/zoo/data.yaml", "a: " + strings.Repeat("x", 32<<20), "larger than"},
		"deep data":               {"apps/zoo/data.yaml", strings.Repeat("{a: ", 100) + "1" + strings.Repeat("}", 100), "levels"},
		"deep nesting":            {"apps/zoo/b.rego", "package apps.zoo\n\nx := " + strings.Repeat("[", 300_000) + "\n", "b.rego"},
		"a rule that asks itself": {"apps/zoo/b.rego", hostileMeta + "x contains y if some y in data.apps.zoo.x\n", "recursive"},
		"all of data":             {"apps/zoo/b.rego", hostileMeta + "x if data[_]\n", "recursive"},
		"a value that is two":     {"apps/zoo/b.rego", hostileMeta + "x := 1\n\nx := 2\n\ndefault y := x\n", "b.rego"},
		"a fake clock":            {"apps/zoo/b_test.rego", "package apps.zoo_test\n\ntest_x if data.apps.zoo.permit with time.now_ns as 1\n", "b_test.rego:3:37: compile: with keyword target"},
		"a fake network":          {"apps/zoo/b.rego", hostileMeta + "f(_) := {}\n\nx if data.apps.zoo.permit with http.send as f\n", "b.rego:9:32: compile: with keyword target"},
		"a core rule":             {"apps/zoo/b.rego", "package writ.decision\n\nallow := true\n", "the folder is apps.zoo"},
		"a rule by another name":  {"apps/zoo/b.rego", hostileMeta + "data.writ.decision.allow := true\n", "b.rego:7"},
	}
	for _, target := range []string{"opa.runtime", "rand.intn", "net.lookup_ip_addr"} {
		cases["a fake "+target] = struct{ file, body, want string }{
			"apps/zoo/b_test.rego", "package apps.zoo_test\n\ntest_x if data.apps.zoo.permit with " + target + " as 1\n", "compile: with keyword target",
		}
	}
	for _, name := range []string{
		"http.send({})", "net.lookup_ip_addr(\"localhost\")", "opa.runtime()", "io.jwt.decode(\"a\")", "rand.intn(\"a\", 5)", "time.now_ns()",
		"walk([1])", "regex.replace(\"a\", \"b\", \"c\")", "numbers.range(1, 1000000000)", "rego.parse_module(\"a\", \"b\")", "uuid.rfc4122(\"a\")",
		"crypto.x509.parse_certificates(\"a\")", "providers.aws.sign_req({}, {}, 1)", "json.patch({}, [])", "strings.render_template(\"a\", {})",
		"json.match_schema({}, {})", "graphql.is_valid(\"a\", \"b\")", "yaml.unmarshal(\"a\")", "regex.find_n(\"a\", \"b\", 1)", "bits.lsh(1, 1000000000)",
	} {
		called, _, _ := strings.Cut(name, "(")
		cases[called] = struct{ file, body, want string }{"apps/zoo/b.rego", hostileMeta + "x := " + name + "\n", called}
	}
	dir := write(t, good)
	pdp := open(t, policies.Config{Dir: dir})
	first := pdp.Status()
	for name, c := range cases {
		put(t, dir, c.file, c.body)
		began := time.Now()
		if pdp.Reload(t.Context()) {
			t.Errorf("%s: it is taken", name)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: refused after %s", name, took)
		}
		s := pdp.Status()
		if !strings.Contains(s.Degraded, c.want) || s.Revision != first.Revision || s.DataRevision != first.DataRevision {
			t.Errorf("%s: want %q, degraded: %.300s", name, c.want, s.Degraded)
		}
		if allow, codes := decide(t, pdp, zooQuestion("ada", "false")); !allow || codes != "zoo.keeper" {
			t.Errorf("%s: the last good set says %t %s", name, allow, codes)
		}
		if was, there := good[c.file]; there {
			put(t, dir, c.file, was)
		} else if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
			t.Fatal(err)
		}
	}
	if !pdp.Reload(t.Context()) || pdp.Status().Degraded != "" {
		t.Errorf("the good set is refused: %s", pdp.Status().Degraded)
	}
}

// A policy that never ends, or wants more memory than there is, is cut off at the deadline: no answer, never a permit, and the next
// question is answered as before.
func TestSO04EndlessPoliciesAreCutOff(t *testing.T) {
	double := func(name, next string) string {
		rules := name + "0 := \"xxxxxxxxxxxxxxxx\"\n\n"
		for n := 1; n <= 40; n++ {
			rules += fmt.Sprintf("%s%d := ", name, n) + strings.ReplaceAll(next, "S", fmt.Sprintf("%s%d", name, n-1)) + "\n\n"
		}
		return rules
	}
	conditions := map[string]string{
		"loops in loops":      "count([1 | some a in input.context.xs; some b in input.context.xs; some c in input.context.xs; a + b + c < 0]) == 0",
		"a huge array":        "count([[a, b, c] | some a in input.context.xs; some b in input.context.xs; some c in input.context.xs]) > 0",
		"a huge set":          "count({[a, b, c] | some a, _ in input.context.xs; some b, _ in input.context.xs; some c, _ in input.context.xs}) > 0",
		"a huge object":       "count({k: 1 | some a, _ in input.context.xs; some b, _ in input.context.xs; some c, _ in input.context.xs; k := [a, b, c]}) > 0",
		"every of every":      "every a in input.context.xs { every b in input.context.xs { every c in input.context.xs { a + b + c >= 0 } } }",
		"a text that doubles": "count(twice40) > 0",
		"a text that squares": "count(square40) > 0",
		"expressions":         `every a in input.context.xs { every b in input.context.xs { not regex.match("^(x+x+)+y$", twice12); a + b >= 0 } }`,
	}
	files := zoo()
	rules := "# METADATA\n# title: T\n# scope: package\npackage apps.zoo\n\n" + double("twice", `concat("", [S, S])`) + double("square", `replace(S, "x", S)`)
	for name, condition := range conditions {
		rules += fmt.Sprintf("permit contains \"zoo.keeper\" if {\n\tinput.context.endless == %q\n\t%s\n}\n\n", name, condition)
	}
	files["apps/zoo/b.rego"] = rules
	pdp := open(t, policies.Config{Dir: write(t, files), Deadline: 100 * time.Millisecond})
	xs := strings.TrimSuffix(strings.Repeat("1,", 1000), ",")
	overdue := int64(0)
	for name := range conditions {
		t.Run(name, func(t *testing.T) {
			q := zooQuestion("bob", "false")
			q.Context = fmt.Appendf(nil, `{"endless": %q, "xs": [%s]}`, name, xs)
			most := watchHeap(t)
			began := time.Now()
			d, err := pdp.Decide(t.Context(), q)
			took := time.Since(began)
			if !errors.Is(err, policies.ErrUndecided) || d.Allow {
				t.Errorf("allow %t, %v", d.Allow, err)
			}
			grown := most()
			t.Logf("cut off after %s, heap grown by %d MiB", took.Round(time.Millisecond), grown>>20)
			if took > 10*time.Second || grown > 2<<30 {
				t.Errorf("took %s and %d bytes", took, grown)
			}
			overdue++
			if s := pdp.Status(); s.Overdue != overdue || s.Degraded != "" {
				t.Errorf("%+v", s)
			}
		})
	}
	if allow, codes := decide(t, pdp, zooQuestion("ada", "false")); !allow || codes != "zoo.keeper" {
		t.Errorf("afterwards: %t %s", allow, codes)
	}
}

// watchHeap looks at the heap until the returned function is called, which says by how much it grew at most.
func watchHeap(tb testing.TB) func() uint64 {
	tb.Helper()
	read := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	base := read()
	most, stop, done := base, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				most = max(most, read())
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return max(most, read()) - base
	}
}

// An application's rules may ask the core's under another input, for themselves. That changes nothing of what the core asks.
func TestWithInARuleMovesNoGuard(t *testing.T) {
	files := zoo()
	files["apps/zoo/b.rego"] = hostileMeta + `permit contains "zoo.keeper" if {
	data.writ.decision.usable with input as {"subject": {"exists": true, "active": true, "tenant_enabled": true}}
	data.writ.decision.allow with data.writ.decision.usable as true with input.caller.address as "allowed"
}
`
	pdp := open(t, policies.Config{Dir: write(t, files)})
	q := question(policies.NewFacts(policies.Identity{Type: "user", ID: "eve", Exists: true, TenantEnabled: true}), "open")
	q.Resource.Type = "zoo/cage"
	if allow, codes := decide(t, pdp, q); allow || codes != "not_usable" {
		t.Errorf("a suspended user: %t %s", allow, codes)
	}
	problems := check(t, policies.Source{Dir: write(t, files)})
	refused := 0
	for _, p := range problems {
		if p.Rule == "with" {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("check names %d of 2: %v", refused, problems)
	}
}
