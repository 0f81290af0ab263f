package client_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheGuideIsCompiled finds every Go block of the guide, line by line, in a file of these modules, which the compiler has read and
// whose examples the tests run.
func TestTheGuideIsCompiled(t *testing.T) {
	guide, err := os.ReadFile(filepath.FromSlash("../../docs/go-client.md"))
	if err != nil {
		t.Fatal(err)
	}
	var compiled []string
	for _, name := range []string{"example_test.go", "clientgin/middleware_test.go"} {
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, flush(string(text)))
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) != 5 {
		t.Errorf("the guide has %d Go blocks, want five", len(blocks))
	}
	for _, block := range blocks {
		wanted := flush(block[1])
		if !strings.Contains(compiled[0], wanted) && !strings.Contains(compiled[1], wanted) {
			t.Errorf("this block is in no file that is compiled:\n%s", block[1])
		}
	}
	// Every error and every field of the configuration is explained.
	source, err := os.ReadFile("client.go")
	if err != nil {
		t.Fatal(err)
	}
	config, _, _ := strings.Cut(string(source[strings.Index(string(source), "type Config struct"):]), "\n}")
	for _, field := range regexp.MustCompile(`(?m)^\t([A-Z]\w*) `).FindAllStringSubmatch(config, -1) {
		if !strings.Contains(string(guide), "`"+field[1]+"`") {
			t.Errorf("the guide does not name %s", field[1])
		}
	}
	for _, name := range []string{"ErrNoToken", "ErrInvalidToken", "ErrDenied", "ErrUnavailable", "ErrRefused", "ErrBadQuestion", "ErrBadRequest", "ErrNotFound"} {
		if !strings.Contains(string(guide), "`"+name+"`") {
			t.Errorf("the guide does not name %s", name)
		}
	}
}

// flush is a text whose lines are not indented.
func flush(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
