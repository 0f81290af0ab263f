package e2e

import (
	"encoding/base64"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

var assignment = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)=\$\(curl `)

// TestDevLinesRunAsPrinted pastes every curl line of `writ dev` into one shell, in order.
func TestDevLinesRunAsPrinted(t *testing.T) {
	binaryOnly(t)
	_, err := exec.LookPath("curl")
	leftOut(t, err != nil, "there is no curl on this machine to run the lines of writ dev")
	started := time.Now()
	s := fresh(t, Options{Command: "dev"})
	t.Logf("writ dev was ready after %s", time.Since(started).Round(time.Millisecond))
	// Readiness comes a moment before the last line is printed, which says how to stop.
	for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline); time.Sleep(pollEvery) {
		if strings.Contains(s.text(s.stdout()), "ctrl-C") {
			break
		}
	}
	lines := devLines(s.text(s.stdout()))
	if len(lines) < 6 {
		t.Fatalf("%d lines begin with curl or NAME=$(curl, want at least 6; standard output:\n%s", len(lines),
			s.text(s.stdout()))
	}
	var script strings.Builder
	for i, line := range lines {
		if regexp.MustCompile(`\bjq\b| -f | --fail`).MatchString(line) {
			t.Errorf("line %d needs jq or -f: %s", i, line)
		}
		fmt.Fprintf(&script, "%s\necho\n", line)
		if name := assignment.FindStringSubmatch(line); name != nil {
			fmt.Fprintf(&script, "echo \"=== %d $%s\"\n", i, name[1])
		} else {
			fmt.Fprintf(&script, "echo '=== %d'\n", i)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e")
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the pasted lines failed: %v\n%s\n%s", err, script.String(), out)
	}
	text := string(out)
	for what, pattern := range map[string]string{
		"an allowed decision":                `"decision": ?true`,
		"a denied decision with its reasons": `"decision": ?false.*"reasons": ?\[ ?\{"code"`,
		"an administrator's new application": `"secret": ?\{`,
		"a refused delegation":               `delegation_exceeds_actor`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("the replies show no sign of %s (%s):\n%s", what, pattern, text)
		}
	}
	person, machine := false, false
	for _, token := range regexp.MustCompile(`ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`).FindAllString(text, -1) {
		payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		v := reply{body: payload}.value()
		subject, _ := at(v, "/sub")
		client, _ := at(v, "/client_id")
		person, machine = person || subject != client, machine || subject == client
	}
	if !person || !machine {
		t.Errorf("a person's token: %t, a machine's token: %t\n%s", person, machine, text)
	}

	c := story(t, s)
	for _, address := range []string{s.Public, s.Admin} {
		if !strings.Contains(s.text(s.stdout()), address) {
			c.fail("the address %s is not printed", address)
		}
	}
}

func devLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "curl ") || assignment.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}
