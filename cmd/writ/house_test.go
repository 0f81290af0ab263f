package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/writ-authz/writ"

// room says what a package may import of ours. A name ending in "/..." stands for every package below it.
type room struct {
	dir    string
	may    []string
	inTest []string // beside may, in its tests
}

// rooms is the table of the design: a package that is not here has no place in the tree.
func rooms() []room {
	doubles := []string{"policies", "policies/enforce", "storage", "storage/seal", "storage/sqlite", "storage/storagetest"}
	onBoth := append(slices.Clone(doubles), "storage/mongo") // their rows are proven on each store, so their tests open each
	return []room{
		{dir: "cmd/writ", may: []string{"..."}, inTest: []string{"cmd/writ"}},
		{dir: "cmd/writ/dialects"},
		{dir: "cmd/writ/dialects/...", may: []string{"cmd/writ/dialects"}},
		{dir: "policies"},
		{dir: "policies/enforce", may: []string{"policies"}, inTest: doubles},
		{dir: "policies/decide", may: []string{"policies", "policies/enforce"}, inTest: doubles},
		{dir: "oauth", may: []string{"policies", "policies/enforce", "storage", "storage/seal"}, inTest: onBoth},
		{dir: "identity", may: []string{"policies", "policies/enforce", "storage", "storage/seal"}, inTest: onBoth},
		{dir: "storage", inTest: doubles},
		{dir: "storage/mongo", may: []string{"storage"}, inTest: doubles},
		{dir: "storage/sqlite", may: []string{"storage"}, inTest: doubles},
		{dir: "storage/storagetest", may: []string{"storage"}, inTest: doubles},
		{dir: "storage/seal"},
		{dir: "e2e"},
		{dir: "e2e/bench"},
	}
}

// homes maps an import path prefix to the only directories that may import it, tests included.
func homes() map[string][]string {
	return map[string][]string{
		"crypto/pbkdf2":                               {"identity"},
		"golang.org/x/crypto/bcrypt":                  {"identity"},
		"github.com/spf13/cobra":                      {"cmd/writ"},
		"github.com/knadh/koanf":                      {"cmd/writ"},
		"github.com/open-policy-agent/opa":            {"policies"},
		"github.com/getkin/kin-openapi":               {"cmd/writ", "e2e"}, // both in tests: the document is judged by others
		"github.com/santhosh-tekuri/jsonschema":       {"e2e"},
		"github.com/gin-gonic/gin":                    {"policies/enforce"},
		"github.com/gin-contrib":                      {"policies/enforce"},
		"github.com/ory/fosite":                       {"oauth"},
		"github.com/go-jose/go-jose":                  {"oauth"},
		"golang.org/x/crypto/argon2":                  {"identity"},
		"golang.org/x/crypto/chacha20poly1305":        {"oauth", "cmd/writ"}, // writ bench measures what it costs
		"go.mongodb.org/mongo-driver":                 {"storage/mongo"},
		"modernc.org/sqlite":                          {"storage/sqlite"},
		"github.com/tink-crypto/tink-go":              {"storage/seal"},
		"github.com/testcontainers/testcontainers-go": {"e2e", "storage/mongo"},
		"go.opentelemetry.io":                         {"cmd/writ", "e2e"}, // there a collector of its own
		"github.com/anishathalye/porcupine":           {"e2e"},
	}
}

// programs are the rooms whose clock, context and output are the real ones: the server, and the load generator that times it.
func programs() []string { return []string{"cmd/writ", "e2e/bench"} }

// banned names the functions that only programs and tests may call, with what to do instead.
func banned() map[string]string {
	return map[string]string{
		"context.Background": "take a context from the caller",
		"context.TODO":       "take a context from the caller",
		"time.Now":           "take now func() time.Time",
		"time.Since":         "take now func() time.Time",
		"time.Until":         "take now func() time.Time",
		"fmt.Print":          "return an error or use the injected logger",
		"fmt.Printf":         "return an error or use the injected logger",
		"fmt.Println":        "return an error or use the injected logger",
	}
}

// judge returns what is wrong with the Go sources of the module; the keys are slash-separated paths below its root.
func judge(sources map[string]string) []string {
	var findings []string
	packages := map[string]bool{}
	for name, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments)
		if err != nil {
			findings = append(findings, fmt.Sprintf("%s: %s", name, err))
			continue
		}
		packages[path.Dir(name)] = true
		findings = append(findings, judgeFile(name, file)...)
	}
	for dir := range packages {
		findings = append(findings, judgeDoc(dir, sources[dir+"/doc.go"])...)
	}
	slices.Sort(findings)
	return findings
}

func judgeFile(name string, file *ast.File) []string {
	dir, inTest := path.Dir(name), strings.HasSuffix(name, "_test.go")
	place := slices.IndexFunc(rooms(), func(r room) bool { return matches(r.dir, dir) })
	if place < 0 {
		return []string{fmt.Sprintf("%s: the table of rooms has no %s", name, dir)}
	}
	may := rooms()[place].may
	if inTest {
		may = append(slices.Clone(may), rooms()[place].inTest...)
		may = append(may, dir) // an external test imports what it tests
	}
	var findings []string
	imported := map[string]string{} // local name -> path
	for _, spec := range file.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		local := path.Base(target)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		imported[local] = target
		if target == module || strings.HasPrefix(target, module+"/") {
			ours := strings.TrimPrefix(strings.TrimPrefix(target, module), "/")
			allowed := slices.ContainsFunc(may, func(pattern string) bool { return matches(pattern, ours) })
			if !allowed || ours == "cmd/writ" && dir != "cmd/writ" {
				findings = append(findings, fmt.Sprintf("%s: %s may not import %s", name, dir, ours))
			}
		}
		for prefix, only := range homes() {
			if (target == prefix || strings.HasPrefix(target, prefix+"/")) && !slices.Contains(only, dir) {
				findings = append(findings, fmt.Sprintf("%s: %s is at home in %s only", name, target, strings.Join(only, ", ")))
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				findings = append(findings, name+": init is not used; build it in a constructor")
			}
		case *ast.SelectorExpr:
			local, ok := n.X.(*ast.Ident)
			if !ok || inTest || slices.Contains(programs(), dir) {
				return true
			}
			call := imported[local.Name] + "." + n.Sel.Name
			if instead, ok := banned()[call]; ok {
				findings = append(findings, fmt.Sprintf("%s: %s is for cmd/writ and tests; %s", name, call, instead))
			}
		}
		return true
	})
	return findings
}

// judgeDoc checks that a package says what it owns, what not, and what always holds.
func judgeDoc(dir, doc string) []string {
	if doc == "" {
		return []string{dir + ": has no doc.go"}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", doc, parser.ParseComments)
	if err != nil || file.Doc == nil {
		return []string{dir + "/doc.go: has no package comment"}
	}
	var findings []string
	for _, heading := range []string{"Owns:", "Does not own:", "Invariants"} {
		if !strings.Contains(file.Doc.Text(), "\n"+heading) {
			findings = append(findings, fmt.Sprintf("%s/doc.go: the package comment has no paragraph %q", dir, heading))
		}
	}
	return findings
}

// matches says whether a directory is the pattern, or below it where the pattern ends in "...".
func matches(pattern, dir string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(dir+"/", prefix)
	}
	return pattern == dir
}

// root is the root of the module, from this package's directory.
const root = "../.."

// walk calls visit for every file of the module that is not below a dot-folder or another module.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			_, other := os.Stat(filepath.Join(file, "go.mod"))
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || other == nil || slices.Contains(ignored(t), name)) {
				return fs.SkipDir
			}
			return nil
		}
		visit(name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ignored returns what .gitignore names at the top level.
func ignored(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(content)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "/"); ok {
			names = append(names, strings.TrimSuffix(name, "/"))
		}
	}
	return names
}

func TestHouseArrowsHomesAndBans(t *testing.T) {
	sources := map[string]string{}
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			return
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		sources[name] = string(content)
	})
	for _, finding := range judge(sources) {
		t.Error(finding)
	}
}

func TestHouseTestCanFail(t *testing.T) {
	doc := func(name string) string {
		return "// Package " + name + " is.\n//\n// Owns: a.\n//\n// Does not own: b.\n//\n// Invariants:\n//   - c.\npackage " + name
	}
	for _, c := range []struct {
		name    string
		sources map[string]string
		want    []string
	}{
		{
			name: "a clean room has no findings",
			sources: map[string]string{
				"oauth/doc.go":        doc("oauth"),
				"oauth/token.go":      `package oauth; import (_ "github.com/ory/fosite"; _ "` + module + `/storage")`,
				"oauth/token_test.go": `package oauth_test; import ("time"; _ "` + module + `/oauth"); var t = time.Now`,
			},
		},
		{
			name: "an arrow between siblings",
			sources: map[string]string{
				"oauth/doc.go":   doc("oauth"),
				"oauth/token.go": `package oauth; import _ "` + module + `/identity"`,
			},
			want: []string{"oauth/token.go: oauth may not import identity"},
		},
		{
			name: "an arrow between siblings in a test",
			sources: map[string]string{
				"identity/doc.go":    doc("identity"),
				"identity/x_test.go": `package identity_test; import _ "` + module + `/oauth"`,
			},
			want: []string{"identity/x_test.go: identity may not import oauth"},
		},
		{
			name: "an arrow backwards",
			sources: map[string]string{
				"storage/doc.go": doc("storage"),
				"storage/x.go":   `package storage; import _ "` + module + `/policies"`,
			},
			want: []string{"storage/x.go: storage may not import policies"},
		},
		{
			name: "somebody imports the command",
			sources: map[string]string{
				"e2e/doc.go":    doc("e2e"),
				"e2e/x_test.go": `package e2e_test; import _ "` + module + `/cmd/writ"`,
			},
			want: []string{"e2e/x_test.go: e2e may not import cmd/writ"},
		},
		{
			name: "a dialect knows the kit alone, and the kit nothing",
			sources: map[string]string{
				"cmd/writ/dialects/doc.go":         doc("dialects"),
				"cmd/writ/dialects/x.go":           `package dialects; import _ "` + module + `/policies"`,
				"cmd/writ/dialects/lerian/doc.go":  doc("lerian"),
				"cmd/writ/dialects/lerian/x.go":    `package lerian; import (_ "` + module + `/cmd/writ/dialects"; _ "` + module + `/storage")`,
				"cmd/writ/dialects/hantera/doc.go": doc("hantera"),
				"cmd/writ/dialects/hantera/x.go":   `package hantera; import _ "` + module + `/cmd/writ/dialects/lerian"`,
			},
			want: []string{
				"cmd/writ/dialects/hantera/x.go: cmd/writ/dialects/hantera may not import cmd/writ/dialects/lerian",
				"cmd/writ/dialects/lerian/x.go: cmd/writ/dialects/lerian may not import storage",
				"cmd/writ/dialects/x.go: cmd/writ/dialects may not import policies",
			},
		},
		{
			name: "foreign homes",
			sources: map[string]string{
				"policies/decide/doc.go": doc("decide"),
				"policies/decide/x.go": `package decide; import (_ "github.com/gin-gonic/gin"; ` +
					`_ "github.com/open-policy-agent/opa/v1/rego"; _ "go.mongodb.org/mongo-driver/v2/mongo")`,
				"cmd/writ/doc.go": doc("main"),
				"cmd/writ/x.go":   `package main; import _ "github.com/ory/fosite"`,
			},
			want: []string{
				"cmd/writ/x.go: github.com/ory/fosite is at home in oauth only",
				"policies/decide/x.go: github.com/gin-gonic/gin is at home in policies/enforce only",
				"policies/decide/x.go: github.com/open-policy-agent/opa/v1/rego is at home in policies only",
				"policies/decide/x.go: go.mongodb.org/mongo-driver/v2/mongo is at home in storage/mongo only",
			},
		},
		{
			name: "a name that only begins alike is not at home there",
			sources: map[string]string{
				"identity/doc.go": doc("identity"),
				"identity/x.go":   `package identity; import _ "github.com/spf13/cobrax"`,
			},
		},
		{
			name:    "a room that the table lacks",
			sources: map[string]string{"util/doc.go": doc("util")},
			want:    []string{"util/doc.go: the table of rooms has no util"},
		},
		{
			name: "banned calls, also under another name, and init",
			sources: map[string]string{
				"storage/doc.go": doc("storage"),
				"storage/x.go": `package storage; import (clock "time"; "context"; "fmt"); func init() {}; ` +
					`func f() { _ = clock.Now(); _ = context.Background(); fmt.Println() }`,
				"cmd/writ/doc.go": doc("main"),
				"cmd/writ/x.go":   `package main; import "time"; func f() { _ = time.Now() }`,
			},
			want: []string{
				"storage/x.go: context.Background is for cmd/writ and tests; take a context from the caller",
				"storage/x.go: fmt.Println is for cmd/writ and tests; return an error or use the injected logger",
				"storage/x.go: init is not used; build it in a constructor",
				"storage/x.go: time.Now is for cmd/writ and tests; take now func() time.Time",
			},
		},
		{
			name: "a package without doc.go, and one that says too little",
			sources: map[string]string{
				"storage/x.go":    `package storage`,
				"identity/doc.go": "// Package identity is.\n//\n// Owns: a.\npackage identity",
			},
			want: []string{
				`identity/doc.go: the package comment has no paragraph "Does not own:"`,
				`identity/doc.go: the package comment has no paragraph "Invariants"`,
				"storage: has no doc.go",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, judge(c.sources)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHouseTopLevel(t *testing.T) {
	fixed := []string{"cmd", "policies", "oauth", "identity", "storage", "e2e", "go.mod", "go.sum", "Makefile", "README.md"}
	optional := append([]string{"docs", "deploy", "LICENSE"}, ignored(t)...)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(fixed, name) && !slices.Contains(optional, name) {
			t.Errorf("the top level is fixed and has no place for %s", name)
		}
	}
	for _, name := range fixed {
		if !slices.Contains(found, name) {
			t.Errorf("the top level lacks %s", name)
		}
	}
}

// TestHouseRowsRunOnBothStores holds what make test runs on MongoDB to the families of rows: a pattern that matches nothing passes too.
func TestHouseRowsRunOnBothStores(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ROWS := (.+)$`).FindSubmatch(makefile)
	run := `WRIT_TEST_STORE=mongo go test -count=1 -timeout 30m -v -run "$(ROWS)" ./oauth ./identity'`
	if found == nil || !strings.Contains(string(makefile), run) {
		t.Fatal("make test does not run the rows of oauth and identity on MongoDB")
	}
	rows, err := regexp.Compile(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(?m)^func (Test([A-Z]{1,2})[0-9]\w*)\(`)
	families := map[string]int{}
	walk(t, func(file string) {
		if dir := path.Dir(file); (dir != "oauth" && dir != "identity") || !strings.HasSuffix(file, "_test.go") {
			return
		}
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range name.FindAllStringSubmatch(string(content), -1) {
			if rows.MatchString(match[1]) {
				families[match[2]]++
			}
		}
	})
	for _, family := range strings.Fields("T P R J I V B M A F ST SJ SP SA SO SL") {
		if families[family] == 0 {
			t.Errorf("make test runs no test of a row %s on MongoDB", family)
		}
	}
}

// modules reads the required versions and the tools of a go.mod.
func modules(gomod string) (versions map[string]string, tools []string) {
	versions = map[string]string{}
	block := ""
	for line := range strings.Lines(gomod) {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case words[0] == ")":
			block = ""
			continue
		}
		verb := block
		if verb == "" {
			verb, words = words[0], words[1:]
		}
		switch {
		case verb == "require" && len(words) == 2:
			versions[words[0]] = words[1]
		case verb == "tool" && len(words) == 1:
			tools = append(tools, words[0])
		}
	}
	return versions, tools
}

// older compares two release versions.
func older(version, floor string) bool {
	number := regexp.MustCompile(`\d+`)
	a, b := number.FindAllString(version, 3), number.FindAllString(floor, 3)
	for i := range min(len(a), len(b)) {
		x, _ := strconv.Atoi(a[i])
		y, _ := strconv.Atoi(b[i])
		if x != y {
			return x < y
		}
	}
	return false
}

func TestHouseModulePinsAndFloors(t *testing.T) {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	versions, tools := modules(string(gomod))
	for name, pin := range map[string]string{
		"github.com/open-policy-agent/opa": "v1.22.2",
		"github.com/ory/fosite":            "v0.49.0",
		"github.com/gin-gonic/gin":         "v1.12.0",
	} {
		if versions[name] != pin {
			t.Errorf("go.mod has %s %q, want exactly %s", name, versions[name], pin)
		}
	}
	for name, floor := range map[string]string{
		"github.com/go-jose/go-jose/v3": "v3.0.5",
		"github.com/go-jose/go-jose/v4": "v4.1.8",
		"golang.org/x/crypto":           "v0.58.0",
		"golang.org/x/net":              "v0.60.0",
		"modernc.org/sqlite":            "v1.60.1",
	} {
		if versions[name] == "" || older(versions[name], floor) {
			t.Errorf("go.mod has %s %q, want %s or newer", name, versions[name], floor)
		}
	}
	for _, tool := range []string{"honnef.co/go/tools/cmd/staticcheck", "mvdan.cc/gofumpt"} {
		if !slices.Contains(tools, tool) {
			t.Errorf("go.mod has no tool line for %s", tool)
		}
	}
	if older("v3.0.5", "v3.0.5") || !older("v3.0.4", "v3.0.5") || older("v3.1.0", "v3.0.5") || !older("v0.9.0", "v0.49.0") {
		t.Error("versions are compared wrongly")
	}
}

func TestHouseNamesNoMachine(t *testing.T) {
	// The patterns are taken apart so that this file does not match itself.
	machine := regexp.MustCompile(`(?i)(^|[^a-z0-9_.*-])/(wo` + `rk|fa` + `rm)/|\b(clau` + `de|anthro` + `pic|chat` + `gpt|copi` + `lot)\b`)
	if !machine.MatchString("see /wo"+"rk/main") || machine.MatchString("the framework/core") {
		t.Fatal("the pattern does not match what it should")
	}
	walk(t, func(name string) {
		if name == "identity/common.txt" || name == ".git" {
			return // the list of common passwords has every word that people choose; of a worktree, git keeps where the repository is
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(content, 0) {
			return
		}
		number := 0
		for line := range strings.Lines(string(content)) {
			number++
			if found := machine.FindString(line); found != "" {
				t.Errorf("%s:%d names the machine or a tool it was written with: %q", name, number, found)
			}
		}
	})
}
