package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// guide returns a file of the repository and the text of its shell blocks.
func guide(t *testing.T, name string) (text string, blocks []string) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range shellBlock.FindAllStringSubmatch(string(body), -1) {
		blocks = append(blocks, block[1])
	}
	return string(body), blocks
}

// runScript runs a script with writ on the path, in an empty directory, and returns what it printed.
func runScript(t *testing.T, script string, env ...string) string {
	t.Helper()
	for _, needed := range []string{"sh", "curl"} {
		_, err := exec.LookPath(needed)
		leftOut(t, err != nil, "there is no "+needed+" on this machine to run the commands of the documents")
	}
	bin := t.TempDir()
	if err := os.Symlink(suite.binary, filepath.Join(bin, "writ")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*commandWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), append(env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))...)
	cmd.Stdin = strings.NewReader(script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	defer func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what the script left in the background
		}
	}()
	// A file and no pipe: what is left in the background would hold that open.
	printed := filepath.Join(t.TempDir(), "printed")
	file, err := os.Create(printed)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	err = cmd.Run()
	out, _ := os.ReadFile(printed)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestTheReadmeRuns runs the README's curl lines against the demo data, and holds its first block to the Makefile.
func TestTheReadmeRuns(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "README.md")
	if len(blocks) != 2 {
		t.Fatalf("the README has %d shell blocks, want the two commands and the first token", len(blocks))
	}
	makefile, _ := guide(t, "Makefile")
	for _, line := range strings.Split(strings.TrimSpace(blocks[0]), "\n") {
		target := strings.Fields(line)[1]
		if !regexp.MustCompile(`(?m)^` + target + `:`).MatchString(makefile) {
			t.Errorf("%q is no target of the Makefile", target)
		}
	}
	s := fresh(t, Options{Command: "dev"})
	credential := func(name string) string {
		found := regexp.MustCompile(`(?m)\b` + name + ` +(\S+)`).FindStringSubmatch(s.text(s.stdout()))
		if found == nil {
			t.Fatalf("writ dev printed no credential of %s", name)
		}
		return found[1]
	}
	script := strings.ReplaceAll(blocks[1], "http://127.0.0.1:8080", s.Public)
	out := runScript(t, script,
		"PORTAL_SECRET="+credential("portal"), "BILLING_SECRET="+credential("billing"), "ADA_PASSWORD="+credential("ada"))
	for _, wanted := range []string{`"access_token"`, `"decision":false`, `not_granted`} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the replies have no %s:\n%s", wanted, out)
		}
	}
}

// TestThePolicyGuideRuns runs every command of the policy author's guide, in order.
func TestThePolicyGuideRuns(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "docs/policies.md")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"127.0.0.1:8080", public, "127.0.0.1:8081", admin,
		"writ dev ", "writ dev --listen "+public+" --admin-listen "+admin+" ",
	).Replace(strings.Join(blocks, "\n"))
	out := runScript(t, script)
	for _, wanted := range []string{"4 of 4 tests passed", `"decision":true`, `"decision":false`, "invoice.limit"} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the guide printed no %s:\n%s", wanted, out)
		}
	}
}

// TestTheReplayGuideRuns runs every command of the guide to recorded decisions, in order.
func TestTheReplayGuideRuns(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "docs/replay.md")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"127.0.0.1:8080", public, "127.0.0.1:8081", admin, "writ serve ", "writ serve --listen "+public+" --admin-listen "+admin+" ",
	).Replace(strings.Join(blocks, "\n"))
	out := runScript(t, script, "WRIT_URL=http://"+public, "WRIT_ADMIN_URL=http://"+admin)
	for _, wanted := range []string{"denied, would be allowed    1", "memo.permit memo.desk", `"phone":"**MASKED**"`, `"why":{"allow":false`} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the guide printed no %s:\n%s", wanted, out)
		}
	}
}

// TestTheAdministrationGuideRuns runs every command of the guide to the daily commands, in order.
func TestTheAdministrationGuideRuns(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "docs/administration.md")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("127.0.0.1:8080", public, "127.0.0.1:8081", admin).
		Replace(strings.Join(blocks, "\n"))
	out := runScript(t, script)
	for _, wanted := range []string{"email: lin@example.com", "blue", "created 0, changed 0, unchanged", "would create 1, change 1; unchanged 0", "created 1, changed 1, unchanged 0"} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the guide printed no %s:\n%s", wanted, out)
		}
	}
}

// TestTheConfigurationGuideIsComplete runs its commands and finds every key in it.
func TestTheConfigurationGuideIsComplete(t *testing.T) {
	binaryOnly(t)
	text, blocks := guide(t, "docs/configuration.md")
	runScript(t, strings.Join(blocks, "\n"))
	var shown []struct {
		Key string `json:"key"`
	}
	out := runScript(t, "writ config show --output json")
	if err := json.Unmarshal([]byte(out), &shown); err != nil || len(shown) < 20 {
		t.Fatalf("%d keys, %v:\n%s", len(shown), err, out)
	}
	for _, option := range shown {
		if !strings.Contains(text, "`"+option.Key+"`") {
			t.Errorf("docs/configuration.md does not name %s", option.Key)
		}
	}
}

// TestTheBenchmarksSeedADirectory runs the commands of the guide to the figures.
func TestTheBenchmarksSeedADirectory(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "docs/benchmarks.md")
	out := runScript(t, strings.Join(blocks, "\n"))
	for _, wanted := range []string{"users         200", "the store is not empty", "refused"} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the guide printed no %s:\n%s", wanted, out)
		}
	}
}
