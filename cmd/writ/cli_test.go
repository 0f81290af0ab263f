package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	writ "github.com/writ-authz/writ/cmd/writ"
)

func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	dead := "http://127.0.0.1:1"
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want int
		says string // on standard error
	}{
		{name: "no command shows the help", want: 0},
		{name: "help", args: []string{"--help"}, want: 0},
		{name: "a parent without a child shows its help", args: []string{"policy"}, want: 0},
		{name: "version", args: []string{"version"}, want: 0},
		{name: "completion", args: []string{"completion", "bash"}, want: 0},
		{
			name: "an unknown command names the nearest", args: []string{"sevre"},
			want: 2, says: `unknown command "sevre" for "writ"; the nearest is "serve"`,
		},
		{
			name: "an unknown child names the nearest", args: []string{"policy", "chekc"},
			want: 2, says: `the nearest is "check"`,
		},
		{
			name: "an unknown flag", args: []string{"serve", "--listem", "x"},
			want: 2, says: "unknown flag: --listem; see `writ serve --help`",
		},
		{
			name: "an unknown profile names the nearest", args: []string{"seed", "--profile", "larg"},
			want: 2, says: `there is no profile "larg"; the nearest is "large"`,
		},
		{name: "an argument too many", args: []string{"serve", "now"}, want: 2},
		{name: "an argument too few", args: []string{"decide", "user:ada"}, want: 2},
		{
			name: "an unknown output", args: []string{"version", "--output", "xml"},
			want: 2, says: `--output "xml" is none of table, json, yaml`,
		},
		{
			name: "a subject without a type", args: []string{"decide", "ada", "read", "ledger/accounts:1"},
			want: 2, says: `"ada" is not type:id`,
		},
		{
			name: "a context that is no object", args: []string{"decide", "user:ada", "read", "a:1", "--context", "[]"},
			want: 2,
		},
		{name: "no application to act as", args: []string{"token"}, want: 2, says: "set --client-id or WRIT_CLIENT_ID"},
		{
			name: "a policy directory that is not there", args: []string{"policy", "check", "absent"},
			want: 2, says: "absent is not a directory",
		},
		{
			name: "a server that is not there", args: []string{"token", "--url", dead, "--client-id", "x"},
			want: 1, says: "is the server running, and is --url right?",
		},
		{name: "a file of objects that is not there", args: []string{"import", "absent.yaml"}, want: 1, says: "absent.yaml"},
		{name: "an import of nothing", args: []string{"import"}, want: 2},
		{name: "an import from nowhere", args: []string{"import", "/dev/null", "--from", "x"}, want: 2, says: "none of casbin"},
		{name: "secrets for nobody", args: []string{"export", "--with-secrets"}, want: 2, says: "go together"},
		{name: "an export as a table", args: []string{"export", "--output", "table"}, want: 2, says: "none of yaml, json"},
		{name: "an object without a file", args: []string{"role", "create"}, want: 2, says: "name the file with -f"},
		{name: "an unknown verb", args: []string{"user", "lst"}, want: 2, says: `the nearest is "list"`},
		{name: "a secret without a reason", args: []string{"app", "secret", "reveal", "a", "b"}, want: 2, says: "--reason"},
		{
			name: "objects of a server that is not there", env: []string{"WRIT_TOKEN=x"}, args: []string{"user", "list", "--admin-url", dead},
			want: 1, says: "is --admin-url right?",
		},
		{name: "a key without an id", args: []string{"keys", "retire"}, want: 2},
		{
			name: "an admin listener that is not there", env: []string{"WRIT_TOKEN=x"}, args: []string{"keys", "list", "--admin-url", dead},
			want: 1, says: "is --admin-url right?",
		},
		{name: "a server that is not ready", args: []string{"healthcheck", "--url", dead}, want: 1, says: "not ready"},
		{name: "a configuration that is wrong", env: []string{"WRIT_LOG_LEVEL=loud"}, args: []string{"serve"}, want: 1},
		{name: "writ dev keeps its directory to itself", args: []string{"dev", "--data-dir", "x"}, want: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := shell(t, c.env, c.args...)
			if code != c.want || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.want, stdout, stderr)
			}
			if (code == 0) != (stderr == "") {
				t.Errorf("exit code %d with standard error %q", code, stderr)
			}
		})
	}
}

func TestPolicyCommandsOnTheShippedSet(t *testing.T) {
	core := filepath.Join(t.TempDir(), "core")
	for _, args := range [][]string{
		{"policy", "check"},
		{"policy", "test"},
		{"policy", "eject", core},
		{"policy", "check", "--policies-core", core},
		{"policy", "test", "--policies-core", core},
		{"policy", "fmt", core},
	} {
		if code, stdout, stderr := shell(t, nil, args...); code != 0 {
			t.Errorf("writ %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
		}
	}
	if code, _, stderr := shell(t, nil, "policy", "eject", core); code != 1 {
		t.Errorf("eject over what is there: exit code %d: %s", code, stderr)
	}
}

// author writes a policy author's directory with one application and returns it.
func author(t *testing.T, rules, tests string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"wiki.rego": rules, "wiki_test.rego": tests, "catalogue.yaml": wikiCatalogue} {
		path := filepath.Join(dir, "apps", "wiki", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	wikiCatalogue = "types:\n  wiki/pages:\n    title: Pages\n    group: Wiki\n    actions:\n      read: {title: Read pages}\n" +
		"reasons:\n  wiki.anybody:\n    title: For anybody\n    administrator: Anybody reads pages.\n    user: You may read this.\n"
	wikiRules = "# METADATA\n# title: Wiki\n# description: |\n#   Who reads pages.\n# schemas:\n#   - input: schema.input\npackage apps.wiki\n\n" +
		"# METADATA\n# title: Permits\n# description: |\n#   Anybody reads pages.\n# labels:\n#   rule: apps.wiki.permit\n# scope: document\n" +
		"permit contains \"wiki.anybody\" if input.action.name == \"read\"\n"
	wikiTests = "package apps.wiki_test\n\nimport data.apps.wiki\n\n" +
		"test_anybody_reads if {\n\t\"wiki.anybody\" in wiki.permit with input as {\"action\": {\"name\": \"read\"}}\n}\n"
)

func TestPolicyCommandsAndTheirExitCodes(t *testing.T) {
	good := author(t, wikiRules, wikiTests)
	whole := author(t, wikiRules, wikiTests+"\ntest_nobody_writes if {\n\tcount(wiki.permit) == 0 with input as {\"action\": {\"name\": \"write\"}}\n}\n")
	broken := author(t, "package apps.wiki\n\nthis does not parse\n", wikiTests)
	failing := author(t, wikiRules, strings.Replace(wikiTests, `"name": "read"`, `"name": "write"`, 1))
	careless := author(t, strings.ReplaceAll(wikiRules, " == ", "=="), wikiTests)
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"test", good}, 0, "tests passed"},
		{[]string{"fmt", good}, 0, ""},
		{[]string{"check", broken}, 3, "wiki.rego:3"},
		{[]string{"test", broken}, 3, "wiki.rego:3"},
		{[]string{"fmt", broken}, 3, ""},
		{[]string{"eval", broken}, 3, ""},
		{[]string{"test", failing}, 4, "test_anybody_reads"},
		{[]string{"check", careless}, 1, "not formatted"},
		{[]string{"fmt", careless}, 1, "wiki.rego"},
		{[]string{"fmt", "--write", careless}, 0, "wiki.rego"},
		{[]string{"fmt", careless}, 0, ""},
		{[]string{"eval", good, "--input", file(t, "input", `{"action": {"name": "read"}, "resource": {"type": "wiki/pages", "id": "1"}}`)}, 0, "policy"},
		{[]string{"eval", good, "--input", "absent"}, 2, ""},
		{[]string{"check", broken}, 3, "    this does not parse\n    ^"},
		{[]string{"test", good, "--run", "anybody"}, 0, "1 of 1 tests passed"},
		{[]string{"test", good, "--run", "nobody has this name"}, 4, ""},
		{[]string{"test", good, "--run", "("}, 2, ""},
		{[]string{"test", "--watch"}, 2, ""},
		{[]string{"fmt", "--check", "--write", good}, 2, ""},
		{[]string{"why", good, "--input", file(t, "why", `{"action": {"name": "write"}, "resource": {"type": "wiki/pages", "id": "1"}}`)}, 0, `input.action.name == "read"`},
		{[]string{"why", broken}, 3, ""},
		{[]string{"bench", good, "--budget", "1ns", "--input", file(t, "bench", `{}`)}, 1, "allocations"},
		{[]string{"diff", good}, 0, "apps.wiki.permit"},
		{[]string{"diff", good, "--against", good}, 0, "nothing differs"},
		{[]string{"diff", good, "--against", "absent"}, 2, ""},
		{[]string{"diff", broken}, 3, ""},
		{[]string{"mutate", good}, 1, "survive"},
		{[]string{"mutate", good, "--every", "0"}, 2, ""},
		{[]string{"mutate", broken}, 3, ""},
		{[]string{"new", good + "/apps/wiki"}, 2, ""},
		{[]string{"new", good + "/wiki2"}, 2, ""},
		{[]string{"check", good}, 1, "no test has a case in which permit does not hold"},
		{[]string{"new", whole + "/apps/leave"}, 0, "apps/leave/permit.rego"},
		{[]string{"check", whole}, 0, "ok"},
	} {
		code, stdout, stderr := shell(t, nil, append([]string{"policy"}, c.args...)...)
		if code != c.want || !strings.Contains(stdout, c.says) {
			t.Errorf("writ policy %s: exit code %d, want %d\n%s%s", strings.Join(c.args, " "), code, c.want, stdout, stderr)
		}
	}
	code, _, stderr := shell(t, rootEnv(), serveArgs(t, "--policies", broken)...)
	if code != 3 || !strings.Contains(stderr, "wiki.rego:3") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("serve with broken policies: exit code %d: %s", code, stderr)
	}
}

func TestEveryCommandHasAnExampleAndEveryPrinterAnOutput(t *testing.T) {
	prints := map[string]bool{
		"writ version": true, "writ config show": true, "writ recover": true, "writ seed": true, "writ token": true, "writ decide": true, "writ whoami": true,
		"writ policy check": true, "writ policy test": true, "writ policy eval": true, "writ policy why": true, "writ policy bench": true,
		"writ policy diff": true, "writ policy mutate": true, "writ policy replay": true,
		"writ policy push": true, "writ policy activate": true, "writ policy rollback": true, "writ policy log": true,
		"writ keys list": true, "writ keys rotate": true, "writ keys retire": true,
		"writ audit verify": true, "writ audit key": true, "writ review": true,
		"writ backup": true, "writ restore": true,
		"writ import": true, "writ export": true, "writ user reset-password": true, "writ app secret list": true, "writ app secret add": true,
		"writ app secret reveal": true,
	}
	for _, noun := range []string{"user", "group", "role", "app", "tenant"} {
		for _, verb := range []string{"list", "get", "create"} {
			prints["writ "+noun+" "+verb] = true
		}
	}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			visit(child)
		}
		if cmd.HasSubCommands() || cmd.Hidden { // what is hidden is for the program itself
			return
		}
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example or no description", cmd.CommandPath())
		}
		if has := cmd.Flags().Lookup("output") != nil; has != prints[cmd.CommandPath()] {
			t.Errorf("%s: has --output: %v, want %v", cmd.CommandPath(), has, !has)
		}
	}
	visit(writ.Commands())
}

func TestVersionPrintsThreeForms(t *testing.T) {
	for format, want := range map[string]string{"table": "writ ", "json": `"version":`, "yaml": "version: "} {
		code, stdout, _ := shell(t, nil, "version", "-o", format)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d\n%s", format, code, stdout)
		}
	}
}

func TestATableMovesNoCursorAndTurnsNoText(t *testing.T) {
	const cells = "name\tid\n\u001b[2Jevil\rx\tuser\u202ecod.exe\n"
	got, err := writ.Table(cells)
	if err != nil || got != "name        id\n?[2Jevil?x  user?cod.exe\n" {
		t.Errorf("%q, %v", got, err)
	}
}
