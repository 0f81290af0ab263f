package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	writ "github.com/writ-authz/writ/cmd/writ"
)

// shell runs the program once.
func shell(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = writ.Run(t.Context(), args, env, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

type setting struct{ Key, Value, Origin string }

// shown returns what `writ config show` says, by key.
func shown(t *testing.T, env []string, args ...string) map[string]setting {
	t.Helper()
	code, stdout, stderr := shell(t, env, append([]string{"config", "show", "--output", "json"}, args...)...)
	if code != 0 {
		t.Fatalf("config show: exit code %d: %s", code, stderr)
	}
	var list []setting
	if err := json.Unmarshal([]byte(stdout), &list); err != nil {
		t.Fatalf("config show printed no JSON: %s\n%s", err, stdout)
	}
	settings := map[string]setting{}
	for _, s := range list {
		settings[s.Key] = s
	}
	return settings
}

// file writes a file into a fresh directory and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsBeatEnvironmentBeatsFileBeatsDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	path := file(t, "writ.yaml", "data_dir: /from/file\nlog_level: warn\nmax_staleness: 9s\n")
	env := []string{"WRIT_LOG_LEVEL=error", "WRIT_MAX_STALENESS=8s", "WRIT_CONFIG=" + path}
	got := shown(t, env, "--max-staleness", "7s")
	for _, want := range []setting{
		{"max_staleness", "7s", "flag --max-staleness"},
		{"log_level", "error", "env WRIT_LOG_LEVEL"},
		{"data_dir", "/from/file", "file " + path + ":1"},
		{"poll_interval", "200ms", "default"},
		{"issuer", "http://127.0.0.1:8080", "default, of listen"},
		{"kek_file", "/from/file/kek", "default, in data_dir"},
	} {
		if diff := cmp.Diff(want, got[want.Key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Key, diff)
		}
	}
}

func TestEveryKeyHasFlagVariableAndLine(t *testing.T) {
	t.Chdir(t.TempDir())
	_, help, _ := shell(t, nil, "serve", "--help")
	for key := range shown(t, nil) {
		if key == "bootstrap_secret" || key == "mongodb_uri" || key == "kek" {
			if strings.Contains(help, "--"+strings.ReplaceAll(key, "_", "-")+" ") {
				t.Errorf("the secret %s has a flag, which the process list would show", key)
			}
			continue
		}
		if !strings.Contains(help, "--"+strings.ReplaceAll(key, "_", "-")+" ") || !strings.Contains(help, "WRIT_"+strings.ToUpper(key)+")") {
			t.Errorf("`writ serve --help` does not tell the flag and the variable of %s", key)
		}
	}
}

func TestConfigFileIsFoundByFlagThenVariableThenDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("writ.yaml", []byte("data_dir: /directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	byVariable := "WRIT_CONFIG=" + file(t, "a.yaml", "data_dir: /variable")
	for _, c := range []struct {
		want string
		env  []string
		args []string
	}{
		{"/directory", nil, nil},
		{"/variable", []string{byVariable}, nil},
		{"/flag", []string{byVariable}, []string{"--config", file(t, "b.yaml", "data_dir: /flag")}},
	} {
		if got := shown(t, c.env, c.args...)["data_dir"].Value; got != c.want {
			t.Errorf("data_dir is %s, want %s", got, c.want)
		}
	}
}

func TestKeysMayBeNestedAtTheirUnderscores(t *testing.T) {
	t.Chdir(t.TempDir())
	path := file(t, "writ.yaml", "decision_log:\n  required: true\n  queue: 7\nissuer:\nadmin:\n  basic: false\n")
	got := shown(t, nil, "--config", path)
	for key, want := range map[string]string{
		"decision_log_required": "true", "decision_log_queue": "7", "admin_basic": "false", "issuer": "http://127.0.0.1:8080",
	} {
		if got[key].Value != want {
			t.Errorf("%s is %q, want %q", key, got[key].Value, want)
		}
	}
}

func TestExternalIssuersAreAListInTheFileAndJSONElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	const want = `[{"issuer":"https://idp.example.com/","runtime_audience":"r","management_audience":"m"}]`
	list := file(t, "writ.yaml", "external_issuers:\n- issuer: https://idp.example.com/\n  runtime_audience: r\n  management_audience: m\n")
	nested := file(t, "writ.yaml", "external:\n  issuers: [{issuer: 'https://idp.example.com/', runtime_audience: r, management_audience: m}]\n")
	for origin, got := range map[string]setting{
		"file " + list + ":2":          shown(t, nil, "--config", list)["external_issuers"],
		"file " + nested + ":2":        shown(t, nil, "--config", nested)["external_issuers"],
		"env WRIT_EXTERNAL_ISSUERS":    shown(t, []string{"WRIT_EXTERNAL_ISSUERS=" + want})["external_issuers"],
		"flag --external-issuers":      shown(t, nil, "--external-issuers", want)["external_issuers"],
		"flag --external-issuers ":     shown(t, nil, "--config", list, "--external-issuers", want)["external_issuers"],
		"env WRIT_EXTERNAL_ISSUERS  ":  shown(t, []string{"WRIT_EXTERNAL_ISSUERS=" + want}, "--config", list)["external_issuers"],
		"file " + list + ":2 and a ''": shown(t, []string{"WRIT_EXTERNAL_ISSUERS="}, "--config", list)["external_issuers"],
	} {
		if got.Value != want || !strings.HasPrefix(strings.TrimSpace(origin), got.Origin) {
			t.Errorf("%s: %+v", origin, got)
		}
	}
	if got := shown(t, nil)["external_issuers"]; got.Value != "" || got.Origin != "default" {
		t.Errorf("by default: %+v", got)
	}
	for text, naming := range map[string]string{
		"[]":                                   "",
		"null":                                 "",
		"[{}]":                                 "an entry has no issuer",
		"7":                                    "is not a list such as",
		"{}":                                   "is not a list such as",
		want + want:                            "is not a list such as",
		`[{"issuer":7}]`:                       "is not a list such as",
		`[{"issuers":"x"}]`:                    `unknown key "issuers" in entry 1; the nearest is "issuer"`,
		strings.Replace(want, "s:", ":", 1):    "the URL must be https",
		strings.Replace(want, `"r"`, `"m"`, 1): "one audience for both",
	} {
		_, _, stderr := shell(t, nil, "config", "validate", "--external-issuers", text)
		if !strings.Contains(stderr, naming) || (naming == "") != (stderr == "") {
			t.Errorf("%s: %s", text, stderr)
		}
	}
	path := file(t, "writ.yaml", "external_issuers:\n- [a, {b: c}]\n")
	if _, _, stderr := shell(t, nil, "config", "validate", "--config", path); !strings.Contains(stderr, "is not a list such as") {
		t.Error(stderr)
	}
	path = file(t, "writ.yaml", "listen: [a]\n")
	if _, _, stderr := shell(t, nil, "config", "validate", "--config", path); !strings.Contains(stderr, "must be a single value") {
		t.Error(stderr)
	}
}

func TestSecretsComeFromFilesAndAreHidden(t *testing.T) {
	t.Chdir(t.TempDir())
	canary := "canary-canary-canary-canary-canary-0"
	path := file(t, "secret", canary+"\n")
	for name, env := range map[string][]string{
		"env WRIT_BOOTSTRAP_SECRET":      {"WRIT_BOOTSTRAP_SECRET=" + canary},
		"env WRIT_BOOTSTRAP_SECRET_FILE": {"WRIT_BOOTSTRAP_SECRET_FILE=" + path},
	} {
		for _, format := range []string{"table", "json", "yaml"} {
			code, stdout, stderr := shell(t, env, "config", "show", "--output", format)
			if code != 0 || strings.Contains(stdout+stderr, "canary") || !strings.Contains(stdout, "(hidden)") || !strings.Contains(stdout, name) {
				t.Errorf("%s as %s: exit code %d\n%s%s", name, format, code, stdout, stderr)
			}
		}
	}
	// The value read is the file's, without its line end: 36 characters pass, 31 do not.
	short := file(t, "short", strings.Repeat("x", 31)+"\n\n")
	if code, _, stderr := shell(t, []string{"WRIT_BOOTSTRAP_SECRET_FILE=" + short}, "config", "validate"); code != 1 {
		t.Errorf("a short secret passed: %s", stderr)
	}
	// A secret that is refused is not repeated either.
	_, stdout, stderr := shell(t, []string{"WRIT_MONGODB_URI=mongodb://u:canary@h"}, "config", "show")
	if strings.Contains(stdout+stderr, "canary") {
		t.Errorf("a secret is shown:\n%s%s", stdout, stderr)
	}
}

func TestForeignVariablesArePassedBy(t *testing.T) {
	t.Chdir(t.TempDir())
	shown(t, []string{
		"WRIT_URL=http://x", "WRIT_CLIENT_SECRET_FILE=/x", "WRIT_TEST_MONGODB_URI=mongodb://x", "WRIT_LISTEN=", "HOME=/",
		"WRIT_SERVICE_HOST=10.0.0.1", "WRIT_SERVICE_PORT_ADMIN=8081", "WRIT_PORT=tcp://10.0.0.1:8080",
		"WRIT_PORT_8080_TCP_ADDR=10.0.0.1", "WRIT_ADMIN_PORT_8081_TCP=tcp://10.0.0.1:8081",
	})
}

func TestBadConfigurationSaysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	yaml := func(content string) []string { return []string{"--config", file(t, "writ.yaml", content)} }
	cert := file(t, "cert.pem", "garbage")
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want string // in the one line
	}{
		{
			name: "an unknown key names file, line and the nearest", args: yaml("log_level: info\nadmin_listem: x"),
			want: `writ.yaml:2: unknown key "admin_listem"; the nearest is "admin_listen"`,
		},
		{
			name: "a key in other letters is unknown", args: yaml("Listen: x"),
			want: `unknown key "Listen"; the nearest is "listen"`,
		},
		{
			name: "an unknown nested key", args: yaml("decision_log:\n  requires: true"),
			want: `:2: unknown key "decision_log_requires"; the nearest is "decision_log_required"`,
		},
		{
			name: "an unknown variable", env: []string{"WRIT_LISTEM=x"},
			want: "unknown variable WRIT_LISTEM; the nearest is WRIT_LISTEN",
		},
		{
			name: "a file for what is no secret", env: []string{"WRIT_LISTEN_FILE=x"},
			want: "unknown variable WRIT_LISTEN_FILE; the nearest is WRIT_LISTEN",
		},
		{
			name: "a key twice", args: yaml("decision_log_queue: 1\ndecision_log:\n  queue: 2"),
			want: ":3: decision_log_queue is set twice; remove one",
		},
		{name: "a list where a value belongs", args: yaml("listen: [a, b]"), want: ":1: listen must be a single value"},
		{name: "no mapping at all", args: yaml("- a"), want: "is not a list of `key: value` lines"},
		{
			name: "a file that is not there", args: []string{"--config", "absent.yaml"},
			want: "cannot read the configuration file: open absent.yaml: no such file or directory; name another with --config",
		},
		{name: "a file that is not YAML", args: yaml("listen: [a"), want: "is not YAML"},
		{
			name: "a secret twice", env: []string{"WRIT_BOOTSTRAP_SECRET=x", "WRIT_BOOTSTRAP_SECRET_FILE=/x"},
			want: "WRIT_BOOTSTRAP_SECRET and WRIT_BOOTSTRAP_SECRET_FILE are both set; unset one",
		},
		{
			name: "a secret's file that is not there", env: []string{"WRIT_BOOTSTRAP_SECRET_FILE=absent"},
			want: "WRIT_BOOTSTRAP_SECRET_FILE: cannot read the secret: absent: no such file or directory; name a file that this user can read",
		},
		{
			name: "a short secret", env: []string{"WRIT_BOOTSTRAP_SECRET=short"},
			want: "bootstrap_secret (env WRIT_BOOTSTRAP_SECRET): has fewer than 32 characters",
		},
		{
			name: "no boolean", env: []string{"WRIT_ADMIN_BASIC=off"},
			want: `admin_basic (env WRIT_ADMIN_BASIC): "off" is neither true nor false`,
		},
		{
			name: "no number", env: []string{"WRIT_PASSWORD_MINIMUM=many"},
			want: `password_minimum (env WRIT_PASSWORD_MINIMUM): "many" is not a whole number`,
		},
		{
			name: "no duration", args: []string{"--max-staleness", "5"},
			want: `max_staleness (flag --max-staleness): "5" is not a duration such as 200ms, 5s or 1h`,
		},
		{
			name: "a temporary password for ever", env: []string{"WRIT_TEMPORARY_PASSWORD_LIFETIME=720h"},
			want: "temporary_password_lifetime (env WRIT_TEMPORARY_PASSWORD_LIFETIME): 720h0m0s is not between 1m and 168h",
		},
		{
			name: "MongoDB without a key", env: []string{"WRIT_MONGODB_URI=mongodb://x"},
			want: "kek_file (default): is required with mongodb_uri, because all nodes need the same key; make one with",
		},
		{
			name: "two stores", env: []string{"WRIT_MONGODB_URI=mongodb://x", "WRIT_KEK_FILE=/k"}, args: []string{"--data-dir", "/d"},
			want: "mongodb_uri (env WRIT_MONGODB_URI): is set beside data_dir (flag --data-dir), and a server has one store",
		},
		{
			name: "no address", env: []string{"WRIT_LISTEN=8080"},
			want: `listen (env WRIT_LISTEN): "8080" is not host:port, such as 127.0.0.1:8080`,
		},
		{
			name: "no port", env: []string{"WRIT_ADMIN_LISTEN=127.0.0.1:http"},
			want: `admin_listen (env WRIT_ADMIN_LISTEN): "127.0.0.1:http" is not host:port`,
		},
		{
			name: "no issuer off loopback", env: []string{"WRIT_LISTEN=:8080", "WRIT_INSECURE_HTTP=true"},
			want: "issuer (default): is required because listen (:8080) is not a loopback address; set it to the URL",
		},
		{
			name: "plain HTTP off loopback", env: []string{"WRIT_LISTEN=0.0.0.0:8080", "WRIT_ISSUER=https://x"},
			want: "listen (env WRIT_LISTEN): 0.0.0.0:8080 is not a loopback address and has no TLS; set tls_cert_file and tls_key_file, or insecure_http=true",
		},
		{
			name: "plain HTTP off loopback on the admin listener", env: []string{"WRIT_ADMIN_LISTEN=0.0.0.0:8081"},
			want: "set admin_tls_cert_file and admin_tls_key_file",
		},
		{
			name: "an issuer without scheme", env: []string{"WRIT_ISSUER=auth.example.com"},
			want: `"auth.example.com" is not a URL such as https://auth.example.com`,
		},
		{
			name: "an issuer with a slash", env: []string{"WRIT_ISSUER=https://auth.example.com/"},
			want: "trailing slash (RFC 8414 section 2)",
		},
		{
			name: "an issuer over plain HTTP", env: []string{"WRIT_ISSUER=http://auth.example.com"},
			want: "must be an https URL",
		},
		{
			name: "a certificate without key", env: []string{"WRIT_TLS_CERT_FILE=" + cert},
			want: "tls_cert_file (env WRIT_TLS_CERT_FILE): has no key beside it; set tls_key_file too",
		},
		{
			name: "a key without certificate", env: []string{"WRIT_ADMIN_TLS_KEY_FILE=" + cert},
			want: "has no certificate beside it; set admin_tls_cert_file too",
		},
		{
			name: "a certificate that is none", env: []string{"WRIT_TLS_CERT_FILE=" + cert, "WRIT_TLS_KEY_FILE=" + cert},
			want: "name a PEM certificate and its private key",
		},
		{name: "an empty data directory", args: []string{"--data-dir="}, want: "data_dir (flag --data-dir): is empty"},
		{
			name: "a bootstrap file that is not there", args: []string{"--bootstrap-file", "absent"},
			want: "bootstrap_file (flag --bootstrap-file): cannot be read: absent: no such file or directory",
		},
		{
			name: "policies that are not there", args: []string{"--policies", "absent"},
			want: "policies (flag --policies): absent is not a directory; create it",
		},
		{
			name: "an unknown log level", args: []string{"--log-level", "loud"},
			want: `log_level (flag --log-level): "loud" is none of debug, info, warn, error`,
		},
		{name: "an unknown log format", args: []string{"--log-format", "xml"}, want: "is neither json nor text"},
		{
			name: "polling too often", args: []string{"--poll-interval", "1ms"},
			want: "poll_interval (flag --poll-interval): 1ms is too short; use 10ms or more",
		},
		{
			name: "staleness below the polling", args: []string{"--max-staleness", "100ms"},
			want: "use at least twice poll_interval (200ms)",
		},
		{name: "a negative delay", args: []string{"--shutdown-delay", "-1s"}, want: "-1s is not between 0 and 1m"},
		{name: "no time for policies", args: []string{"--policy-deadline", "0"}, want: "0s is not between 1ms and 10s"},
		{name: "tokens for ever", args: []string{"--access-token-lifetime", "8760h"}, want: "is not between 1s and 24h"},
		{name: "short passwords", args: []string{"--password-minimum", "4"}, want: "4 is not between 8 and 128"},
		{name: "no queue", args: []string{"--decision-log-queue", "0"}, want: "0 is not between 1 and"},
		{
			name: "a required log that is off", args: []string{"--decision-log", "off", "--decision-log-required"},
			want: "is true while decision_log is off; name a destination",
		},
		{
			name: "one certificate for two", args: []string{"--listen", "127.0.0.1:9", "--admin-listen", "127.0.0.1:9", "--admin-tls-cert-file", "a", "--admin-tls-key-file", "b"},
			want: "admin_tls_cert_file",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := shell(t, c.env, append([]string{"serve"}, c.args...)...)
			if code != 1 || stdout != "" {
				t.Errorf("exit code %d, want 1; standard output %q", code, stdout)
			}
			if !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("standard error is\n%swant one line with\n%s", stderr, c.want)
			}
			if code, _, again := shell(t, c.env, append([]string{"config", "validate"}, c.args...)...); code != 1 || !strings.Contains(again, c.want) {
				t.Errorf("config validate: exit code %d, %s", code, again)
			}
		})
	}
}

func TestConfigValidateTellsEverything(t *testing.T) {
	t.Chdir(t.TempDir())
	args := []string{"--log-level", "loud", "--log-format", "xml"}
	_, _, stderr := shell(t, nil, append([]string{"config", "validate"}, args...)...)
	if strings.Count(stderr, "\n") != 2 {
		t.Errorf("want two lines, got\n%s", stderr)
	}
	_, _, stderr = shell(t, nil, append([]string{"serve"}, args...)...)
	if !strings.Contains(stderr, "(and 1 more: run `writ config validate`)") {
		t.Errorf("serve hides the second problem: %s", stderr)
	}
	if code, stdout, stderr := shell(t, nil, "config", "validate"); code != 0 || stdout != "configuration ok\n" {
		t.Errorf("the defaults are not valid: exit code %d\n%s%s", code, stdout, stderr)
	}
}
