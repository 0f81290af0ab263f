package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clientRoom is the nested module for services, with the module for gin below it.
const clientRoom = "oauth/client"

// clientImports says what each package of it may import beside the standard library; those in clientTestImports only in tests.
func clientImports() map[string][]string {
	const self, jose = module + "/" + clientRoom, "github.com/go-jose/go-jose/v4"
	return map[string][]string{
		clientRoom:                 {jose, jose + "/json"},
		clientRoom + "/clienttest": {jose, self},
		clientRoom + "/clientgin":  {"github.com/gin-gonic/gin", self},
	}
}

func clientTestImports() []string {
	const self = module + "/" + clientRoom
	return []string{self, self + "/clienttest", self + "/clientgin"}
}

// judgeClient returns what is wrong with the Go sources of the nested modules.
func judgeClient(sources map[string]string) []string {
	var findings []string
	packages := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		file, err := parser.ParseFile(token.NewFileSet(), name, sources[name], parser.ParseComments)
		if err != nil {
			findings = append(findings, name+": "+err.Error())
			continue
		}
		dir := path.Dir(name)
		packages[dir] = true
		may, known := clientImports()[dir]
		if !known {
			findings = append(findings, name+": the table of the client's packages has no "+dir)
		}
		if strings.HasSuffix(name, "_test.go") {
			may = append(slices.Clone(may), clientTestImports()...)
		}
		for _, spec := range file.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			if host, _, _ := strings.Cut(target, "/"); strings.Contains(host, ".") && !slices.Contains(may, target) {
				findings = append(findings, name+": "+dir+" may not import "+target)
			}
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, banned := range []string{"context.Background(", "context.TODO(", "fmt.Print", "func init("} {
			if strings.Contains(sources[name], banned) {
				findings = append(findings, name+": "+banned+" has no place in a library")
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		findings = append(findings, judgeDoc(dir, sources[dir+"/doc.go"])...)
	}
	return findings
}

// TestHouseTheClientStandsAlone: services that use it inherit one dependency, and the server does not know it.
func TestHouseTheClientStandsAlone(t *testing.T) {
	sources, manifests := map[string]string{}, map[string]string{}
	err := filepath.WalkDir(filepath.Join(root, clientRoom), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if strings.HasSuffix(name, ".go") {
			sources[filepath.ToSlash(name)] = string(content)
		}
		if entry.Name() == "go.mod" {
			manifests[path.Dir(filepath.ToSlash(name))] = string(content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range judgeClient(sources) {
		t.Error(finding)
	}
	ours, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	pins, _ := modules(string(ours))
	for name := range pins {
		if strings.HasPrefix(name, module+"/") {
			t.Errorf("go.mod requires %s", name)
		}
	}
	if found := slices.Sorted(maps.Keys(manifests)); !slices.Equal(found, []string{clientRoom, clientRoom + "/clientgin"}) {
		t.Fatalf("the modules are %q", found)
	}
	direct, _ := modules(manifests[clientRoom])
	if len(direct) != 1 || direct["github.com/go-jose/go-jose/v4"] == "" {
		t.Errorf("%s depends on %v, want go-jose alone", clientRoom, direct)
	}
	// The same versions as the server's, so that they are fetched, and watched for advisories, once.
	for dir, manifest := range manifests {
		versions, _ := modules(manifest)
		for name, version := range versions {
			if pin := pins[name]; pin != version && !strings.HasPrefix(name, module+"/") {
				t.Errorf("%s/go.mod has %s %s, and the server %q", dir, name, version, pin)
			}
		}
	}
}

func TestHouseTheClientsTestCanFail(t *testing.T) {
	doc := "// Package client is.\n//\n// Owns: a.\n//\n// Does not own: b.\n//\n// Invariants:\n//   - c.\npackage client"
	want := []string{
		"oauth/client/a.go: oauth/client may not import github.com/gin-gonic/gin",
		"oauth/client/a.go: oauth/client may not import github.com/writ-authz/writ/policies",
		"oauth/client/a.go: context.Background( has no place in a library",
		"oauth/client/clienttest/x_test.go: oauth/client/clienttest may not import github.com/google/go-cmp/cmp",
		"oauth/client/other/x.go: the table of the client's packages has no oauth/client/other",
		"oauth/client/clienttest: has no doc.go",
		"oauth/client/other: has no doc.go",
	}
	got := judgeClient(map[string]string{
		"oauth/client/doc.go": doc,
		"oauth/client/a.go": `package client; import ("context"; _ "github.com/gin-gonic/gin"; _ "github.com/go-jose/go-jose/v4"; _ "` + module +
			`/policies"); var c = context.Background()`,
		"oauth/client/clienttest/x_test.go": `package clienttest; import ("context"; _ "github.com/google/go-cmp/cmp"; _ "` + module +
			`/oauth/client"); var c = context.Background()`,
		"oauth/client/other/x.go": `package other`,
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
