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
	for _, wanted := range []string{
		"5 of 5 tests passed", "7 of 7 tests passed", "1 of 1 tests passed", `test_what_else_is_asked["exactly the limit"]`, `"decision":true`, `"decision":false`,
		"invoice.limit", "input.resource.properties.amount <= input.subject.attributes.approval_limit", "ledger/accounts/1:write",
		"suffices", "allocations", " 0 survive", "apps.invoice.permit", "answers may change: writ/decision", "nothing differs", "invoice.own",
	} {
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

// TestTheGuideToAskingRuns runs every command of the guide for services that ask, in order.
func TestTheGuideToAskingRuns(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "docs/decisions.md")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"127.0.0.1:8080", public, "writ dev ", "writ dev --listen "+public+" --admin-listen "+admin+" ",
	).Replace(strings.Join(blocks, "\n"))
	out := runScript(t, script)
	for _, wanted := range []string{`"missing_grant"`, `"next_token":""`, `"name":"write"`} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the guide printed no %s:\n%s", wanted, out)
		}
	}
}

// TestTheGuideToManagedPoliciesRuns runs every command of the guide to policies that are brought to a running server, in order.
func TestTheGuideToManagedPoliciesRuns(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "docs/managed-policies.md")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"127.0.0.1:8080", public, "127.0.0.1:8081", admin,
		"writ dev ", "writ dev --listen "+public+" --admin-listen "+admin+" ",
	).Replace(strings.Join(blocks, "\n"))
	out := runScript(t, script)
	for _, wanted := range []string{"3 of 3 tests passed", "rollback: customers complain", "parcels up to 5 kg", `"path":"apps/parcel/limit"`, `"newly_denied":1`} {
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
	for _, wanted := range []string{
		"email: lin@example.com", "blue", "created 0, changed 0, unchanged", "would create 1, change 1; unchanged 0", "created 1, changed 1, unchanged 0",
		"created 2, changed 1, unchanged 0", "user carol: there is none", "created 3, changed 0, unchanged 0", "credential lms: the list has no secret",
	} {
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

// dialectGuide runs every command of the page of a dialect, in order.
func dialectGuide(t *testing.T, name string, wanted ...string) {
	t.Helper()
	binaryOnly(t)
	_, blocks := guide(t, "docs/dialects/"+name+".md")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"127.0.0.1:8080", public, "127.0.0.1:8081", admin,
		"writ dev ", "writ dev --listen "+public+" --admin-listen "+admin+" ",
	).Replace(strings.Join(blocks, "\n"))
	out := runScript(t, script)
	for _, text := range wanted {
		if !strings.Contains(out, text) {
			t.Errorf("the page printed no %s:\n%s", text, out)
		}
	}
}

func TestTheGuideToLerianRuns(t *testing.T) {
	dialectGuide(t, "lerian", "healthy", `"id":"midaz-viewer-group"`, `"firstName":"Grace"`, `"expiresIn":3600`, `{"accounts":["get"]}`, `"authorized":true`,
		`"authorized":false`, `"scope":"accounts:get accounts:post"`, `"clientSecret":"********"`, "deleted: 204", "ended: 204", "AUT-1005")
}

func TestTheGuideToMiniOrangeRuns(t *testing.T) {
	dialectGuide(t, "miniorange", `"expires_in_minutes":60`, "X-Auth-Client: my-app", "users/user:delete", "Allow: GET", "system_protected")
}

func TestTheGuideToHanteraRuns(t *testing.T) {
	_, blocks := guide(t, "docs/dialects/hantera.md")
	transcript := blocks[len(blocks)-1]
	for _, said := range []string{ // each request line and each field of the product document
		"GET /resources/iam/principals?rolePrefix=system:portal:", "GET /resources/iam/principals?rolePrefix=support:",
		"GET /resources/iam/principals?rolePrefix=store:", "GET /resources/iam/principals/$userId", "PUT /resources/iam/principals/$userId '{ \"properties\"",
		`"If-Match: `, "PUT /resources/iam/clients/$clientId '{", "POST /resources/graph/query '{", "PUT /resources/iam/principals/$userId/roles",
		"POST /resources/iam/principals/$userId/password/reset", "POST /resources/me/password", "POST /resources/iam/clients/$clientId/secrets",
		"PUT /resources/iam/clients/$clientId/roles", "PUT /resources/iam/roles/support:agent",
		`"key": "support:agent"`, `"description": "Customer support representative"`, `"acl": { "entries": [`, `{ "resource": "actors", "permission": "*" }`,
		`{ "resource": "graph", "permission": "*" }`, `{ "resource": "registry", "permission": "read" }`, `"properties": { "name": "John Admin"`,
		`"roles": ["system:portal:full"]`, `"name": "Mobile App"`, `"redirectUris": ["myapp://callback"]`,
		`"grantTypes": ["authorization_code", "refresh_token"]`, `"roles": []`, `"resource": "identity"`,
		`"filters": [ { "field": "roles", "op": "contains", "value": "system:portal:full" } ]`, `"limit": 50`,
	} {
		if !strings.Contains(transcript, said) {
			t.Errorf("the transcript lacks %s", said)
		}
	}
	text, _ := guide(t, "docs/dialects/hantera.md")
	for _, said := range []string{"iam/principals:read", "iam/principals:write", "iam/clients:read", "iam/clients:write", "iam/roles:read", "system:owner"} {
		if !strings.Contains(text, said) {
			t.Errorf("the page lacks %s", said)
		}
	}
	dialectGuide(t, "hantera", `"key":"support:agent"`, "system_protected", "temporaryPassword", `"status":409`, `"identities":[`, `"scope":"me:password"`,
		"password_change_required", `"type":"principal"`, `"label":"blue"`, `"scope":"actors:* graph:* registry:read"`)
}

func TestTheGuideToPolicyServerRuns(t *testing.T) {
	dialectGuide(t, "policyserver", `"links":{"policies"`, `"permissions":["SeePatients"]`, `"roles":["nurse"]`, `"errors"`, `"count":2`, `"deleted":2`)
}
