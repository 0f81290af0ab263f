package e2e

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startEnv is an environment in which `writ serve` would start, with some of it replaced; an empty value removes.
func startEnv(t *testing.T, set map[string]string) map[string]string {
	t.Helper()
	env := map[string]string{
		"WRIT_LISTEN": "127.0.0.1:0", "WRIT_ADMIN_LISTEN": "127.0.0.1:0", "WRIT_DATA_DIR": filepath.Join(t.TempDir(),
			"data"),
		"WRIT_BOOTSTRAP_SECRET": canary(bootstrapSecret()),
	}
	maps.Copy(env, set)
	return env
}

// wantStartError demands what the design says of every error before listening: fatal, one line, and it says what to do. A
// code of
// 0 stands for any but success.
func wantStartError(t *testing.T, out Output, code int, naming ...string) {
	t.Helper()
	if out.Code <= 0 || code != 0 && out.Code != code {
		t.Errorf("exit code %d, want %d (0: any failure)", out.Code, code)
	}
	var lines []string
	for line := range strings.Lines(out.Stderr) {
		if line = strings.TrimSpace(line); line != "" && !json.Valid([]byte(line)) {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		t.Errorf("%d lines on standard error, want one:\n%s", len(lines), out.Stderr)
		return
	}
	for _, n := range naming {
		if !strings.Contains(strings.ToLower(lines[0]), strings.ToLower(n)) {
			t.Errorf("the error does not name %q: %s", n, lines[0])
		}
	}
	for _, c := range knownCanaries() {
		if strings.Contains(out.Stdout+out.Stderr, c) {
			t.Error("a secret is shown")
		}
	}
}

func TestStartErrorsAreFatalAndSayWhatToDo(t *testing.T) {
	binaryOnly(t)
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	openKEK := file("open-kek", strings.Repeat("k", 64), 0o644)
	garbage := file("garbage.pem", "not a certificate", 0o600)
	short := file("short-secret", "too short\n", 0o600)
	blocked := file("a-file", "", 0o600)
	kek := file("kek", newKEK(), 0o600)
	mongo := "mongodb://user:" + canary("mongo-canary-password") + "@127.0.0.1:1/"
	s := shared(t)
	for name, row := range map[string]struct {
		env    map[string]string
		config string
		args   []string
		code   int
		naming []string
	}{
		"an unknown key in the file": {config: "listn: 127.0.0.1:0\n", naming: []string{"listn", "listen"}},
		"an unknown variable": {
			env:    map[string]string{"WRIT_DATADIR": "x"},
			naming: []string{"WRIT_DATADIR", "WRIT_DATA_DIR"},
		},
		"an unknown flag": {args: []string{"--lisen=x"}, code: 2, naming: []string{"lisen"}},
		"a collector that is no URL": {
			env: map[string]string{"WRIT_OTLP_ENDPOINT": "collector:4318"}, naming: []string{"otlp_endpoint", "http://collector:4318"},
		},
		"a collector with credentials": {
			env: map[string]string{"WRIT_OTLP_ENDPOINT": "https://writ:" + canary("otlp-canary-password") + "@collector"}, naming: []string{"otlp_endpoint"},
		},
		"a share of traces above all":     {env: map[string]string{"WRIT_TRACE_SAMPLE": "101"}, naming: []string{"trace_sample"}},
		"an argument too many":            {args: []string{"now"}, code: 2},
		"a configuration that is no YAML": {config: "listen: [\n", naming: []string{"YAML"}},
		"a configuration that is a list":  {config: "- listen\n"},
		"a key set twice": {
			config: "listen: 127.0.0.1:0\nlisten: 127.0.0.1:1\n",
			naming: []string{"listen"},
		},
		"a configuration file that is not": {
			args:   []string{"--config", filepath.Join(dir, "none.yaml")},
			naming: []string{"none.yaml"},
		},
		"a bootstrap secret that is short": {
			env:    map[string]string{"WRIT_BOOTSTRAP_SECRET": "thirty-one-characters-long-1234"},
			naming: []string{"bootstrap_secret", "32"},
		},
		"the same from a file": {env: map[string]string{
			"WRIT_BOOTSTRAP_SECRET":      "",
			"WRIT_BOOTSTRAP_SECRET_FILE": short,
		}, naming: []string{"bootstrap_secret", "32"}},
		"a secret by value and by file": {
			env:    map[string]string{"WRIT_BOOTSTRAP_SECRET_FILE": short},
			naming: []string{"both"},
		},
		"a secret file that is not": {env: map[string]string{
			"WRIT_BOOTSTRAP_SECRET":      "",
			"WRIT_BOOTSTRAP_SECRET_FILE": filepath.Join(dir, "none"),
		}, naming: []string{"none"}},
		"a bootstrap file that is not": {
			env:    map[string]string{"WRIT_BOOTSTRAP_FILE": filepath.Join(dir, "none")},
			naming: []string{"bootstrap_file"},
		},
		"a bootstrap file that is garbage": {env: map[string]string{"WRIT_BOOTSTRAP_FILE": file("bad.yaml",
			"userz:\n - x\n", 0o600)}},
		"plain HTTP off loopback": {env: map[string]string{
			"WRIT_LISTEN": "0.0.0.0:0",
			"WRIT_ISSUER": "https://auth.example.com",
		}, naming: []string{"listen", "insecure_http"}},
		"no issuer off loopback": {env: map[string]string{
			"WRIT_LISTEN":        "0.0.0.0:0",
			"WRIT_INSECURE_HTTP": "true",
		}, naming: []string{"issuer"}},
		"an http issuer": {
			env:    map[string]string{"WRIT_ISSUER": "http://auth.example.com"},
			naming: []string{"issuer", "https"},
		},
		"an issuer with a trailing slash": {
			env:    map[string]string{"WRIT_ISSUER": "https://auth.example.com/"},
			naming: []string{"issuer"},
		},
		"a listen address that is none": {env: map[string]string{"WRIT_LISTEN": "8080"}, naming: []string{"listen"}},
		"an address in use": {env: map[string]string{"WRIT_LISTEN": strings.TrimPrefix(s.Public,
			"http://")}, naming: []string{"in use"}},
		"an admin address in use": {env: map[string]string{"WRIT_ADMIN_LISTEN": strings.TrimPrefix(s.Admin,
			"http://")}, naming: []string{"in use"}},
		"a certificate without a key": {
			env:    map[string]string{"WRIT_TLS_CERT_FILE": garbage},
			naming: []string{"tls_key_file"},
		},
		"a key without a certificate": {
			env:    map[string]string{"WRIT_TLS_KEY_FILE": garbage},
			naming: []string{"tls_cert_file"},
		},
		"a certificate that is none": {env: map[string]string{
			"WRIT_TLS_CERT_FILE": garbage,
			"WRIT_TLS_KEY_FILE":  garbage,
		}, naming: []string{"tls_cert_file"}},
		"reveal neither allowed nor refused": {
			env:    map[string]string{"WRIT_ALLOW_REVEAL_ON_PUBLIC": "maybe"},
			naming: []string{"allow_reveal_on_public", "true"},
		},
		"a data directory in use":         {env: map[string]string{"WRIT_DATA_DIR": s.data()}, naming: []string{"data"}},
		"a data directory that is a file": {env: map[string]string{"WRIT_DATA_DIR": blocked}},
		"a key file that others may read": {env: map[string]string{"WRIT_KEK_FILE": openKEK}, naming: []string{"0644", "chmod 600"}},
		"MongoDB without the nodes' key": {
			env:    map[string]string{"WRIT_MONGODB_URI": mongo, "WRIT_DATA_DIR": ""},
			naming: []string{"kek_file", "openssl"},
		},
		"MongoDB beside a data directory": {
			env:    map[string]string{"WRIT_MONGODB_URI": mongo, "WRIT_KEK_FILE": kek},
			naming: []string{"mongodb_uri", "data_dir"},
		},
		"MongoDB that is not there": {
			env:    map[string]string{"WRIT_MONGODB_URI": mongo, "WRIT_KEK_FILE": kek, "WRIT_DATA_DIR": ""},
			naming: []string{"MongoDB", "127.0.0.1:1"},
		},
		"MongoDB by a URI that is none": {
			env:    map[string]string{"WRIT_MONGODB_URI": "127.0.0.1:27017", "WRIT_KEK_FILE": kek, "WRIT_DATA_DIR": ""},
			naming: []string{"connection string"},
		},
		"a policy directory that is not": {
			args:   []string{"--policies", filepath.Join(dir, "none")},
			naming: []string{"policies"},
		},
		"policies that do not compile": {
			args: []string{"--policies", policyDir(t,
				map[string]string{"apps/broken/policy.rego": "package apps.broken\n\npermit contains \"x\" if {\n"})},
			naming: []string{"policy.rego"},
		},
		"an application folder of a reserved name": {
			args: []string{"--policies", policyDir(t,
				map[string]string{"apps/iam/policy.rego": "package apps.iam\n\npermit contains \"iam.x\" if true\n"})},
			naming: []string{"iam"},
		},
		"a core that is empty": {args: []string{"--policies-core", t.TempDir()}},
		"a duration that is none": {
			env:    map[string]string{"WRIT_MAX_STALENESS": "five"},
			naming: []string{"max_staleness"},
		},
		"a log level that is none": {env: map[string]string{"WRIT_LOG_LEVEL": "loud"}, naming: []string{"log_level"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := suite.runner.Command(t.Context(), Options{Env: startEnv(t, row.env), Config: row.config},
				append([]string{"serve"}, row.args...)...)
			wantStartError(t, out, row.code, row.naming...)
		})
	}
}

// TestStartErrorsOfMongoDB starts on servers that cannot keep what the store promises: each is refused before anything listens.
func TestStartErrorsOfMongoDB(t *testing.T) {
	onMongoDB(t)
	kek := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(kek, []byte(newKEK()), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		flags  []string
		query  string
		naming []string
	}{
		"no member of a replica set": {flags: []string{"--standalone"}, query: "directConnection=true", naming: []string{"replica set", "rs.initiate"}},
		"too old":                    {flags: []string{"--wire-version=13"}, naming: []string{"6.0"}},
		"without the right to write": {flags: []string{"--deny=insert"}, naming: []string{"readWrite"}},
		"without the right to index": {flags: []string{"--deny=createIndexes"}, naming: []string{"readWrite"}},
		"a wrong password": {
			flags: []string{"--auth-fail"}, query: "replicaSet=" + standInSet + "&authSource=admin", naming: []string{"mongodb"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := ownStandIn(t, row.flags...)
			uri, err := url.Parse(db.local("writ"))
			if err != nil {
				t.Fatal(err)
			}
			if row.query != "" {
				uri.RawQuery = row.query
			}
			if strings.Contains(row.query, "authSource") {
				uri.User = url.UserPassword("writ", canary("mongo-canary-password-of-a-start"))
			}
			env := startEnv(t, map[string]string{"WRIT_DATA_DIR": "", "WRIT_MONGODB_URI": uri.String(), "WRIT_KEK_FILE": kek})
			wantStartError(t, suite.runner.Command(t.Context(), Options{Env: env}, "serve"), 0, row.naming...)
		})
	}
}

func TestUnknownCommandIsAUsageError(t *testing.T) {
	binaryOnly(t)
	out := suite.runner.Command(t.Context(), Options{}, "srve")
	if out.Code != 2 || !strings.Contains(out.Stderr, "srve") {
		t.Errorf("exit code %d, want 2; stderr %s", out.Code, out.Stderr)
	}
}

// TestWrongKeyEncryptionKeyIsRefused starts on data whose key has been swapped.
func TestWrongKeyEncryptionKeyIsRefused(t *testing.T) {
	s := fresh(t, Options{})
	a := story(t, s).root().newApp(object{})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	env := startEnv(t, map[string]string{"WRIT_DATA_DIR": ""})
	maps.Copy(env, s.storeEnv())
	env["WRIT_KEK_FILE"] = filepath.Join(t.TempDir(), "kek")
	if s.shares.db != nil { // where the key is not made by itself
		write(t, env["WRIT_KEK_FILE"], newKEK())
		if err := os.Chmod(env["WRIT_KEK_FILE"], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := suite.runner.Command(t.Context(), Options{Env: env}, "serve")
	wantStartError(t, out, 0, "kek")
	c := story(t, fresh(t, Options{From: s}))
	c.token(a)
}

func TestConfigCommandsShowOriginsAndHideSecrets(t *testing.T) {
	binaryOnly(t)
	secret := canary(bootstrapSecret())
	env := startEnv(t, map[string]string{"WRIT_BOOTSTRAP_SECRET": secret, "WRIT_LOG_LEVEL": "warn"})
	o := Options{Env: env, Config: "password_minimum: 20\n"}
	out := suite.runner.Command(t.Context(), o, "config", "validate")
	if out.Code != 0 {
		t.Errorf("config validate: exit code %d: %s", out.Code, out.Stderr)
	}
	out = suite.runner.Command(t.Context(), o, "config", "show", "--output", "json")
	if out.Code != 0 || !strings.Contains(out.Stdout, "WRIT_LOG_LEVEL") || !strings.Contains(out.Stdout, "writ.yaml") ||
		!strings.Contains(out.Stdout, "password_minimum") || strings.Contains(out.Stdout+out.Stderr, secret) {
		t.Errorf("config show: exit code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	env["WRIT_LOG_LEVEL"] = "loud"
	if out = suite.runner.Command(t.Context(), o, "config", "validate"); out.Code == 0 {
		t.Error("config validate accepts a log level that is none")
	}
}
