package seal_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/writ-authz/writ/storage/seal"
)

func TestLoadKEKMakesAnAbsentFileOnceAndKeepsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	if _, err := seal.LoadKEK(path, false); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("an absent file: got %v, want an error that names it", err)
	}
	first := load(t, path, true)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		t.Errorf("the file holds %d bytes, %v", len(key), err)
	}
	encrypted := keyset(t, first)
	for _, create := range []bool{false, true} {
		if _, err := seal.Open(load(t, path, create), encrypted); err != nil {
			t.Errorf("loaded again: %v", err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the key there is %v, %v", left, err)
	}
}

func TestLoadKEKInManyProcessesAtOnceGivesOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	keks := make([]seal.KEK, 8)
	var all sync.WaitGroup
	for n := range keks {
		all.Go(func() {
			var err error
			if keks[n], err = seal.LoadKEK(path, true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	encrypted := keyset(t, keks[0])
	for _, kek := range keks {
		if _, err := seal.Open(kek, encrypted); err != nil {
			t.Error(err)
		}
	}
}

func TestLoadKEKRefusesWhatOthersCouldHaveRead(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o666, 0o601, 0o700 | 0o010} {
		path := write(t, randomKey)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadKEK(path, true); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: got %v, want an error that says chmod 600", mode, err)
		}
	}
	path := write(t, randomKey)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	load(t, path, false)
}

func TestLoadKEKRefusesWhatIsNotARegularFile(t *testing.T) {
	target := write(t, randomKey)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(t.TempDir(), "dangling")
	if err := os.Symlink(filepath.Join(t.TempDir(), "none"), dangling); err != nil {
		t.Fatal(err)
	}
	for path, what := range map[string]string{
		link: "symbolic link", dangling: "symbolic link", t.TempDir(): "directory", "/dev/null": "special file",
	} {
		if _, err := seal.LoadKEK(path, true); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestLoadKEKRefusesAnythingBut32BytesInBase64(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "short": base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"long": base64.StdEncoding.EncodeToString(make([]byte, 33)), "raw": strings.Repeat("k", 32),
		"not base64": strings.Repeat("!", 44), "two keys": randomKey + "\n" + randomKey,
		"huge": strings.Repeat("A", 1<<20),
	} {
		path := write(t, text)
		_, err := seal.LoadKEK(path, true)
		if err == nil || !strings.Contains(err.Error(), "32 random bytes") {
			t.Errorf("%s: got %v", name, err)
		}
		if text != "" && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error shows the key", name)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestKEKIsNotFormatted(t *testing.T) {
	kek := load(t, write(t, randomKey), false)
	raw, _ := base64.StdEncoding.DecodeString(randomKey)
	hex := fmt.Sprintf("%x", raw)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, shown := range []string{fmt.Sprintf(verb, kek), fmt.Sprintf(verb, &kek), fmt.Sprintf(verb, []any{kek})} {
			if !strings.Contains(shown, "redacted") || strings.Contains(shown, string(raw)) || strings.Contains(shown, hex) {
				t.Errorf("%s: %q", verb, shown)
			}
		}
	}
}

const randomKey = "b2xkIGdlYXIgc3BpbnMgdW5kZXIgYSBxdWlldCByb28="

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string, create bool) seal.KEK {
	t.Helper()
	kek, err := seal.LoadKEK(path, create)
	if err != nil {
		t.Fatal(err)
	}
	return kek
}
