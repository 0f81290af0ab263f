package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTheKEKMoves starts with the key encryption key in the environment, and goes on with the same key as a systemd credential and as
// a file: what was sealed opens, and nothing of the key is written anywhere.
func TestTheKEKMoves(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "its files are those of this machine: E2E_RUNNER=process runs it")
	kek := newKEK()
	s := fresh(t, Options{Env: map[string]string{"WRIT_KEK": kek, "WRIT_KEK_FILE": ""}})
	c := story(t, s).root()
	a := c.newApp(object{})
	token := c.token(a)
	c.done()
	if _, err := os.Stat(filepath.Join(s.data(), "kek")); !os.IsNotExist(err) {
		t.Errorf("a key lies in the data directory: %v", err)
	}
	credentials := filepath.Join(t.TempDir(), "credentials")
	file := filepath.Join(t.TempDir(), "kek")
	if err := os.Mkdir(credentials, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{filepath.Join(credentials, "writ-kek"): 0o440, file: 0o600} {
		if err := os.WriteFile(path, []byte(kek+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, env := range map[string]map[string]string{
		"a credential": {"CREDENTIALS_DIRECTORY": credentials, "WRIT_KEK_FILE": ""}, "a file": {"WRIT_KEK_FILE": file},
	} {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		s = fresh(t, Options{From: s, Env: env})
		c := story(t, s)
		c.step(name)
		c.live(token).live(c.token(a))
		c.done()
	}
}
