package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	someKEK  = "b2xkIGdlYXIgc3BpbnMgdW5kZXIgYSBxdWlldCByb28="
	otherKEK = "YSBxdWlldCByb28gdW5kZXIgb2xkIGdlYXIgc3BpbnM="
)

// credentials is a directory as systemd makes it for a service.
func credentials(t *testing.T, names ...string) (dir, variable string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(someKEK), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	return dir, "CREDENTIALS_DIRECTORY=" + dir
}

func TestTheKEKComesFromOneOfThreePlaces(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, variable := credentials(t, "writ-kek")
	short, shortVariable := credentials(t, "kek")
	_, none := credentials(t)
	for name, c := range map[string]struct {
		env               []string
		kek, path, origin string
	}{
		"nothing is said":             {nil, "", "writ-data/kek", "default, in data_dir"},
		"a service without a key":     {[]string{none}, "", "writ-data/kek", "default, in data_dir"},
		"the environment":             {[]string{"WRIT_KEK=" + someKEK}, "(hidden)", "", "default"},
		"the environment, MongoDB":    {[]string{"WRIT_KEK=" + someKEK, "WRIT_MONGODB_URI=mongodb://h/"}, "(hidden)", "", "default"},
		"a credential":                {[]string{variable}, "", dir + "/writ-kek", "systemd credential"},
		"a credential, MongoDB":       {[]string{variable, "WRIT_MONGODB_URI=mongodb://h/"}, "", dir + "/writ-kek", "systemd credential"},
		"a credential, shorter":       {[]string{shortVariable}, "", short + "/kek", "systemd credential"},
		"a credential that is named":  {[]string{variable, "WRIT_KEK_FILE=" + dir + "/writ-kek"}, "", dir + "/writ-kek", "env WRIT_KEK_FILE"},
		"a file that is named":        {[]string{"WRIT_KEK_FILE=/etc/writ/kek"}, "", "/etc/writ/kek", "env WRIT_KEK_FILE"},
		"a file that is named, below": {[]string{none, "WRIT_KEK_FILE=/etc/writ/kek"}, "", "/etc/writ/kek", "env WRIT_KEK_FILE"},
	} {
		got := shown(t, c.env)
		if got["kek"].Value != c.kek || got["kek_file"].Value != c.path || got["kek_file"].Origin != c.origin {
			t.Errorf("%s: kek %v, kek_file %v", name, got["kek"], got["kek_file"])
		}
	}
}

func TestTwoKEKsAndBadOnesAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	_, variable := credentials(t, "writ-kek")
	_, both := credentials(t, "writ-kek", "kek")
	inFile := file(t, "writ.yaml", "kek: "+someKEK)
	for name, c := range map[string]struct {
		env   []string
		wants []string
	}{
		"value and file":             {[]string{"WRIT_KEK=" + someKEK, "WRIT_KEK_FILE=/etc/kek"}, []string{"kek_file (env WRIT_KEK_FILE)", "unset one"}},
		"value and credential":       {[]string{"WRIT_KEK=" + someKEK, variable}, []string{"systemd credential", "one of them"}},
		"file and credential":        {[]string{"WRIT_KEK_FILE=/etc/kek", variable}, []string{"systemd credential", "one of them"}},
		"two credentials":            {[]string{both}, []string{"writ-kek and kek", "load one of them"}},
		"a value in a configuration": {[]string{"WRIT_CONFIG=" + inFile}, []string{"mode 0600", "kek_file"}},
		"a value that is no key":     {[]string{"WRIT_KEK=" + someKEK[4:]}, []string{"32 random bytes", "openssl rand -base64 32"}},
		"MongoDB and nothing":        {[]string{"WRIT_MONGODB_URI=mongodb://h/"}, []string{"kek_file", "openssl rand -base64 32"}},
	} {
		code, stdout, stderr := shell(t, c.env, "config", "validate")
		if code == 0 {
			t.Errorf("%s: accepted", name)
		}
		for _, want := range c.wants {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: the error does not say %q: %s", name, want, stdout+stderr)
			}
		}
		if strings.Contains(stdout+stderr, someKEK[4:]) {
			t.Errorf("%s: the key is shown", name)
		}
	}
}

// What one place sealed opens with the same key from another, and with no other key.
func TestTheStoreOpensWithTheSameKEKFromAnywhere(t *testing.T) {
	t.Chdir(t.TempDir())
	_, variable := credentials(t, "writ-kek")
	recover := func(env ...string) (int, string) {
		code, stdout, stderr := shell(t, append(env, "WRIT_BOOTSTRAP_SECRET="+strings.Repeat("s", 40)), "recover", "--data-dir", "data")
		return code, stdout + stderr
	}
	if code, out := recover("WRIT_KEK=" + someKEK); code != 1 || !strings.Contains(out, "root") {
		t.Fatalf("the first time there is no root to recover: %d %s", code, out)
	}
	if _, err := os.Stat("data/kek"); !os.IsNotExist(err) {
		t.Errorf("a key lies in the data directory: %v", err)
	}
	for _, env := range []string{"WRIT_KEK=" + someKEK, variable, "WRIT_KEK_FILE=" + file(t, "kek", someKEK)} {
		if code, out := recover(env); code != 1 || !strings.Contains(out, "root") {
			t.Errorf("the same key from another place: %d %s", code, out)
		}
	}
	code, out := recover("WRIT_KEK=" + otherKEK)
	if code != 1 || !strings.Contains(out, "kek: the key encryption key does not open") || strings.Contains(out, otherKEK) {
		t.Errorf("another key: %d %s", code, out)
	}
}
