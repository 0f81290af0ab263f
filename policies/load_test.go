package policies_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

// core is a copy of the shipped core.
func core(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := policies.Eject(dir); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func replace(tb testing.TB, dir, name, old, with string) {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	if !strings.Contains(string(body), old) {
		tb.Fatalf("%s has no %q", name, old)
	}
	put(tb, dir, name, strings.Replace(string(body), old, with, 1))
}

func TestADirectoryWithAMistakeIsRefusedAndTheMistakeNamed(t *testing.T) {
	for name, c := range map[string]struct {
		file, body string
		want       string
	}{
		"Writ's own name":                 {"apps/iam/x.rego", "package apps.iam\n", "apps/iam is Writ's own"},
		"me":                              {"apps/me/data.yaml", "a: 1\n", "apps/me is Writ's own"},
		"writ":                            {"apps/writ/x.rego", "package apps.writ\n", "apps/writ is Writ's own"},
		"decisions":                       {"apps/decisions/x.rego", "package apps.decisions\n", "apps/decisions is Writ's own"},
		"tokens":                          {"apps/tokens/x.rego", "package apps.tokens\n", "apps/tokens is Writ's own"},
		"policies":                        {"apps/policies/x.rego", "package apps.policies\n", "apps/policies is Writ's own"},
		"the core":                        {"writ/admin/x.rego", "package writ.admin\n", "--policies-core"},
		"a stray rule":                    {"zoo.rego", "package zoo\n", "no effect"},
		"a stray folder":                  {"app/zoo/zoo.rego", "package app.zoo\n", "no effect"},
		"a file beside the folders":       {"apps/zoo.rego", "package apps\n", "apps/<type>/"},
		"a strange name":                  {"apps/a b/x.rego", "package apps[\"a b\"]\n", "no segment"},
		"another package":                 {"apps/zoo/b.rego", "package apps.other\n", "the folder is apps.zoo"},
		"a test in the package":           {"apps/zoo/b_test.rego", "package apps.zoo\n", "apps.zoo_test"},
		"a syntax error":                  {"apps/zoo/b.rego", "package apps.zoo\n\npermit contains {\n", "b.rego:4:"},
		"a misspelt variable":             {"apps/zoo/b.rego", "package apps.zoo\n\nx if y\n", "b.rego:3:6: compile: var y is unsafe"},
		"an unused variable":              {"apps/zoo/b.rego", "package apps.zoo\n\nx if {\n\ty := 1\n}\n", "b.rego:4:2: compile"},
		"the network":                     {"apps/zoo/b.rego", "package apps.zoo\n\nx := http.send({\"url\": \"http://localhost\", \"method\": \"get\"})\n", "http.send"},
		"a clock":                         {"apps/zoo/b.rego", "package apps.zoo\n\nx := time.now_ns()\n", "time.now_ns"},
		"randomness":                      {"apps/zoo/b.rego", "package apps.zoo\n\nx := rand.intn(\"a\", 5)\n", "rand.intn"},
		"the runtime":                     {"apps/zoo/b.rego", "package apps.zoo\n\nx := opa.runtime()\n", "opa.runtime"},
		"a removed builtin by with":       {"apps/zoo/b_test.rego", "package apps.zoo_test\n\ntest_x if true with time.now_ns as 1\n", "with keyword target"},
		"a remote schema":                 {"apps/zoo/b.rego", "package apps.zoo\n\n# METADATA\n# schemas:\n#   - input: {$ref: \"http://localhost/s.json\"}\nx if input.y\n", "b.rego"},
		"an unknown code":                 {"apps/zoo/b.rego", "package apps.zoo\n\npermit contains \"zoo.nobody\" if input.x\n", "\"zoo.nobody\" is not in the catalogue"},
		"a failing test":                  {"apps/zoo/b_test.rego", "package apps.zoo_test\n\ntest_b if 1 == 2\n", "test_b: failed"},
		"a test that errs":                {"apps/zoo/b_test.rego", "package apps.zoo_test\n\ntest_b if not to_number(\"x\") == 2\n", "test_b"},
		"data over a rule":                {"apps/zoo/data.yaml", "permit: 1\n", "conflict"},
		"data that is a list":             {"apps/zoo/data.yaml", "[1]\n", "not an object"},
		"a key twice":                     {"apps/zoo/data.yaml", "a: 1\na: 2\n", "twice"},
		"a bomb":                          {"apps/zoo/data.yaml", bomb(), "more than"},
		"infinity":                        {"apps/zoo/data.yaml", "a: .inf\n", "no JSON number"},
		"a catalogue of another":          {"apps/zoo/catalogue.yaml", "types: {iam/users: {title: T, actions: {x: {title: X}}}}\n", "does not begin with"},
		"a catalogue with the core's":     {"catalogue/data.yaml", "types: {iam/users: {title: T, actions: {x: {title: X}}}}\n", "declared twice"},
		"a core segment reopened":         {"catalogue/data.yaml", "types: {iam/cats: {title: T, actions: {x: {title: X}}}}\n", "Writ's own"},
		"an unknown setting":              {"settings/data.yaml", "delete_require_inactive: true\n", "did you mean delete_requires_inactive"},
		"a setting of an unknown dialect": {"settings/data.yaml", "dialects: {rustic: {delete_requires_inactive: true}}\n", "did you mean rustici"},
		"an unknown setting of a dialect": {"settings/data.yaml", "dialects: {rustici: {delete_require_inactive: true}}\n", "did you mean delete_requires_inactive"},
		"an application of a dialect that is not":      {"settings/data.yaml", "dialects: {lerian: {application: my-app}}\n", "begins with dialect- (of the dialect lerian)"},
		"a setting of a dialect, of another kind":      {"settings/data.yaml", "dialects: {rustici: {delete_requires_inactive: 1}}\n", "of another kind (of the dialect rustici)"},
		"an own setting of a dialect, of another kind": {"settings/data.yaml", "dialects: {lerian: {owner: true}}\n", "of another kind"},
		"a dialect that is none":                       {"settings/data.yaml", "dialects: {lerian: true}\n", "setting dialects.lerian is of another kind"},
		"dialects of a dialect":                        {"settings/data.yaml", "dialects: {lerian: {dialects: {}}}\n", "unknown setting dialects"},
		"a nested unknown setting":                     {"settings/data.yaml", "login: {fresh_second: 1}\n", "login.fresh_second"},
		"a setting of another kind":                    {"settings/data.yaml", "require_if_match: maybe\n", "another kind"},
		"a golden decision that differs": {
			"decisions/a.yaml", "- {name: n, why: w, entrypoint: writ/decision, input: {}, allow: true}\n", "allow is false",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := zoo()
			files[c.file] = c.body
			_, err := policies.Open(t.Context(), policies.Config{Dir: write(t, files), Now: now})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("want %q, got %v", c.want, err)
			}
			if len(policies.Problems(err)) == 0 {
				t.Errorf("no problem with a place: %v", err)
			}
		})
	}
}

// bomb is a YAML document that aliases blow up.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		n, m := string(rune('0'+i)), string(rune('0'+i-1))
		b.WriteString("a" + n + ": &a" + n + " [" + strings.TrimSuffix(strings.Repeat("*a"+m+",", 10), ",") + "]\n")
	}
	return b.String()
}

// What is given for a dialect is a setting of its own; what is not, is the general one, also as another line changes it.
func TestSettingsOfADirectoryForADialect(t *testing.T) {
	files := map[string]string{"settings/data.yaml": "token: {user_client_credentials: true}\n" +
		"dialects: {lerian: {owner: acme, token: {application_password: true}, me: {fields: {x: true}}}}\n"}
	pdp := open(t, policies.Config{Dir: write(t, files)})
	for dialect, want := range map[string]map[string]bool{
		"":       {"application_password": false, "user_client_credentials": true},
		"lerian": {"application_password": true, "user_client_credentials": true},
	} {
		for name, allowed := range want {
			q := policies.Question{Entrypoint: policies.EntryToken, Now: now(), Caller: policies.Caller{Address: policies.AddressAllowed}}
			identity := policies.Identity{
				Type: "application", ID: "app_x", Exists: true, Active: true, TenantEnabled: true, GrantTypes: []string{"password", "client_credentials"},
			}
			q.Token = &policies.TokenRequest{GrantType: "password", Lifetime: 60, Format: "jwt"}
			if name == "user_client_credentials" {
				identity.Type, q.Token.GrantType = "user", "client_credentials"
			}
			q.Subject = policies.NewFacts(identity)
			q.Client = q.Subject
			d, err := pdp.Decide(policies.WithDialect(t.Context(), dialect), &q)
			if err != nil || d.Allow != allowed {
				t.Errorf("%s by %q: %t, %v", name, dialect, d.Allow, err)
			}
			if claims := d.Obligations.Claims; allowed && (dialect == "lerian") != (claims["owner"] == "acme") {
				t.Errorf("%s by %q: claims %v", name, dialect, claims)
			}
		}
	}
}

func TestSettingsOfADirectoryLieOverTheShippedOnes(t *testing.T) {
	files := map[string]string{"settings/data.yaml": "administrators: {roles: {\"ops:admin\": true}}\nlogin: {fresh_seconds: 60}\ncatalogue: {closed: true}\n"}
	pdp := open(t, policies.Config{Dir: write(t, files)})
	if pdp.Catalogue().Check("open/thing", "read") == nil {
		t.Error("catalogue.closed is not obeyed")
	}
	shipped := open(t, policies.Config{}).Describe()
	if d := pdp.Describe(); d.DataRevision == shipped.DataRevision || d.PolicyRevision != shipped.PolicyRevision {
		t.Error("settings are data: they change its revision and no other")
	}
}

func TestAMountedConfigMapIsRead(t *testing.T) {
	dir := t.TempDir()
	for name, body := range zoo() {
		put(t, dir, "..2026_03_01/"+name, body)
	}
	for link, target := range map[string]string{"..data": "..2026_03_01", "apps": "..data/apps"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if allow, _ := decide(t, open(t, policies.Config{Dir: dir}), zooQuestion("ada", "false")); !allow {
		t.Error("the application is not loaded")
	}
}

func TestALoopOfLinksEnds(t *testing.T) {
	dir := write(t, zoo())
	if err := os.Symlink(".", filepath.Join(dir, "apps", "zoo", "loop")); err != nil {
		t.Fatal(err)
	}
	if _, err := policies.Open(t.Context(), policies.Config{Dir: dir, Now: now}); err == nil || !strings.Contains(err.Error(), "folders deep") {
		t.Fatal(err)
	}
}

func TestNoSetNoPDP(t *testing.T) {
	file := filepath.Join(write(t, map[string]string{"a": "b"}), "a")
	for _, dir := range []string{"/does/not/exist", file} {
		for _, c := range []policies.Config{{Dir: dir, Now: now}, {CoreDir: dir, Now: now}} {
			if pdp, err := policies.Open(t.Context(), c); err == nil || pdp != nil {
				t.Errorf("%+v opens", c)
			}
		}
	}
	if _, err := policies.Open(t.Context(), policies.Config{}); err == nil {
		t.Error("opens without a clock")
	}
}

func TestTheCoreIsReplacedByItsOwnDirectoryOnly(t *testing.T) {
	dir := core(t)
	pdp := open(t, policies.Config{CoreDir: dir, Dir: write(t, zoo())})
	if d := pdp.Describe(); d.Source != "directory and core directory" {
		t.Errorf("source is %s", d.Source)
	}
	same := open(t, policies.Config{Dir: write(t, zoo())})
	if pdp.Status().Revision != same.Status().Revision || pdp.Status().DataRevision != same.Status().DataRevision {
		t.Error("an ejected core is not the shipped one")
	}
	if err := policies.Eject(dir); err == nil {
		t.Error("eject overwrites")
	}
	if _, err := policies.Open(t.Context(), policies.Config{CoreDir: write(t, zoo()), Now: now}); err == nil {
		t.Error("a directory of applications is taken for a core")
	}
}

// TestOfACoreWhatDiffersIsTested: the tests of the whole core take half a minute of a core's time, at every start.
func TestOfACoreWhatDiffersIsTested(t *testing.T) {
	tested := func(dir string) string {
		var log strings.Builder
		open(t, policies.Config{CoreDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		_, packages, _ := strings.Cut(log.String(), "packages=")
		return strings.Trim(strings.TrimSpace(packages), `"`)
	}
	dir := core(t)
	if packages := tested(dir); packages != "" {
		t.Errorf("tests of %s run for a core as it is shipped", packages)
	}
	replace(t, dir, "writ/detail/result.rego", "package writ.detail\n", "package writ.detail\n\n# edited\n")
	if packages, want := tested(dir), "[writ.detail_test]"; packages != want {
		t.Errorf("tests of %s run, want those of %s", packages, want)
	}
	put(t, dir, "writ/detail/more_test.rego", "package writ.detail_test\n\ntest_more if false\n")
	if _, err := policies.Open(t.Context(), policies.Config{CoreDir: dir, Now: now}); err == nil || !strings.Contains(err.Error(), "test_more") {
		t.Errorf("a test that is added fails, and the set opens: %v", err)
	}
}

func TestAnOpenCoreIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, old, with, want string }{
		"an entrypoint is gone":  {"writ/introspection/result.rego", "result", "outcome", "there is no rule result"},
		"an entrypoint is open":  {"writ/decision/result.rego", "default result :=", "fallback :=", "no default"},
		"a misspelt input":       {"writ/decision/subject.rego", "input.caller.address", "input.caler.address", "undefined ref: input.caler"},
		"a code without a text":  {"catalogue/data.yaml", "  not_granted:", "  not_grunted:", "\"not_granted\" is not in the catalogue"},
		"a test that then fails": {"writ/detail/result.rego", "[input.resource.tenant, \"*\"]", "[\"*\"]", "test"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := core(t)
			if c.old == "result" {
				body, err := os.ReadFile(filepath.Join(dir, c.file))
				if err != nil {
					t.Fatal(err)
				}
				put(t, dir, c.file, strings.NewReplacer("default result", "default outcome", "\nresult :=", "\noutcome :=").Replace(string(body)))
			} else {
				replace(t, dir, c.file, c.old, c.with)
			}
			if _, err := policies.Open(t.Context(), policies.Config{CoreDir: dir, Now: now}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("want %q, got %v", c.want, err)
			}
		})
	}
}

func TestInvariantsHoldForAnyCore(t *testing.T) {
	dir := core(t)
	replace(t, dir, "writ/admin/result.rego", "default allow := false", "default allow := true")
	report, err := policies.Check(t.Context(), policies.Source{CoreDir: dir}) // runs no tests, which an open core would not have
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(report.Problems, func(p policies.Problem) bool { return p.File == "invariants.yaml" }) {
		t.Fatalf("an open core passes: %v", report.Problems)
	}
}

func TestRevisionsDependOnRulesAndDataAlone(t *testing.T) {
	one := open(t, policies.Config{Dir: write(t, zoo())}).Status()
	two := open(t, policies.Config{Dir: write(t, zoo())}).Status()
	if one.Revision != two.Revision || one.DataRevision != two.DataRevision {
		t.Error("the same set has two revisions")
	}
	files := maps.Clone(zoo())
	files["apps/zoo/zoo_test.rego"] += "\ntest_more := true\n"
	files["README.md"] = "# Zoo\n"
	if three := open(t, policies.Config{Dir: write(t, files)}).Status(); one.Revision != three.Revision || one.DataRevision != three.DataRevision {
		t.Error("a test or a text changes a revision")
	}
}

func jsonText(v any) string {
	n, _ := v.(json.Number)
	return n.String()
}

func TestYAMLIsReadAsJSON(t *testing.T) {
	v, err := policies.DecodeYAML("a: 2024-01-01\nb: 9007199254740993\nc: 0x10\nd: 1.50\ne: [null, ~, yes, true, \"true\"]\n7: x\n")
	if err != nil {
		t.Fatal(err)
	}
	o := v.(map[string]any)
	list := o["e"].([]any)
	if o["a"] != "2024-01-01" || jsonText(o["b"]) != "9007199254740993" || jsonText(o["c"]) != "16" || jsonText(o["d"]) != "1.5" || list[0] != nil ||
		list[2] != "yes" || list[3] != true || list[4] != "true" || o["7"] != "x" {
		t.Errorf("%#v", o)
	}
	for _, bad := range []string{"a: 1\n---\nb: 2\n", "a: !!binary aGk=\n", "? [a]\n: 1\n", "<<: {a: 1}\n", "a: &x {b: *x}\n"} {
		if _, err := policies.DecodeYAML(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
