package policies_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

// tree writes a directory of policies.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// An application policy says what is wrong with its data, and the set is not taken. The shipped examples judge the data that a
// directory gives them.
func TestMalformedDataIsRefused(t *testing.T) {
	const rules = `# METADATA
# title: Shops
package apps.shop

# METADATA
# title: Malformed
# labels:
#   rule: shop.malformed
malformed contains "a shop is open or not" if data.apps.shop.open == "maybe"
`
	shop := func(data string) map[string]string {
		return map[string]string{"apps/shop/shop.rego": rules, "apps/shop/shop_test.rego": "package apps.shop_test\n", "apps/shop/data.yaml": data}
	}
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  string // in the only problem; empty: none
	}{
		{"good data", shop("open: true\n"), ""},
		{"malformed data", shop("open: maybe\n"), "a shop is open or not"},
		{"rules that fail", func() map[string]string {
			files := shop("open: true\n")
			files["apps/shop/shop.rego"] = strings.Replace(rules, `data.apps.shop.open == "maybe"`, "count(data.apps.shop.open) > 0", 1)
			return files
		}(), "count"},
		{"texts that are none", func() map[string]string {
			files := shop("open: maybe\n")
			files["apps/shop/shop.rego"] = strings.Replace(rules, `"a shop is open or not"`, "5", 1)
			return files
		}(), "no set of texts"},
		{"a table of routes", map[string]string{"apps/route/data.yaml": "routes: {'*': {/a: {/: {GET: 'a:read'}}}}\ncounts_as: {}\naudiences: {}\n"}, ""},
		{"a malformed one", map[string]string{"apps/route/data.yaml": "routes: {'*': {/a/: {}}}\ncounts_as: {}\naudiences: {}\n"}, "routes * /a/"},
		{"none at all", map[string]string{"apps/route/data.json": "{}"}, "audiences: is not an object"},
		{"no tree", map[string]string{"apps/policytree/data.yaml": ""}, "nodes: is not an object"},
		{"a tree", map[string]string{"apps/policytree/data.yaml": "nodes: {a: {roles: {x: {}}}, a/b: {permissions: {see: {x: true}}}}\n"}, ""},
		{"two siblings of one name", map[string]string{"apps/policytree/data.yaml": "nodes:\n  a: {}\n  a: {}\n"}, "a"},
		{"a name outside the alphabet", map[string]string{"apps/policytree/data.yaml": "nodes: {'a:b': {}}\n"}, "nodes a:b"},
		{"a node without what is above", map[string]string{"apps/policytree/data.yaml": "nodes: {a/b: {}}\n"}, "there is no a"},
		{"a cycle", map[string]string{"apps/policytree/data.yaml": "nodes:\n  a: &a\n    roles:\n      x: *a\n"}, "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := tree(t, tc.files)
			report, err := policies.Check(t.Context(), policies.Source{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" && len(report.Problems) > 0 {
				t.Fatal(report.Problems)
			}
			if tc.want != "" && (len(report.Problems) == 0 || !strings.Contains(report.Problems[0].String(), tc.want)) {
				t.Fatalf("got %v, want a problem about %q", report.Problems, tc.want)
			}
		})
	}
}

// A folder without rules gives data to the shipped example, whose rules and tests stay; one with rules takes its place.
func TestADirectoryGivesAnExampleItsData(t *testing.T) {
	dir := tree(t, map[string]string{"apps/schedule/data.yaml": "own: {read: true}\nroles: {'ward:sister': {read: department}}\n"})
	report, err := policies.Test(t.Context(), policies.Source{Dir: dir})
	if err != nil || report.Failed() > 0 {
		t.Fatalf("%d tests fail, %v", report.Failed(), err)
	}
	pdp := open(t, policies.Config{Dir: dir})
	asks := func(role string) bool {
		d, err := pdp.Decide(t.Context(), &policies.Question{
			Entrypoint: policies.EntryDecision, Action: "read", Now: now(), Caller: policies.Caller{Address: policies.AddressUnknown},
			Subject: policies.NewFacts(policies.Identity{
				Type: "user", ID: "ada", Exists: true, Active: true, TenantEnabled: true, Roles: []string{role},
				Attributes: []byte(`{"department":"a","hospital":"b"}`),
			}),
			Resource: policies.Resource{Type: "schedule", ID: "1", Properties: []byte(`{"owner":"bob","department":"a","hospital":"b"}`)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return d.Allow
	}
	if !asks("ward:sister") || asks("hospital:nurse") {
		t.Error("the data of the directory does not take the place of the example's")
	}
}
