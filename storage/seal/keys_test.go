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

// A runtime's secret mounts have modes that nobody here chose: others may read there, and nowhere may they write.
func TestLoadKEKTakesWhatARuntimeMounted(t *testing.T) {
	for _, mode := range []os.FileMode{0o400, 0o440, 0o444, 0o600, 0o644} {
		path := write(t, randomKey)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadKEK(path, false, "", filepath.Dir(path)); err != nil {
			t.Errorf("mode %o below a mount: %v", mode, err)
		}
		_, err := seal.LoadKEK(path, false, filepath.Dir(path)+"x", filepath.Join(filepath.Dir(path), "deeper"))
		if open := mode&0o077 != 0; open != (err != nil) {
			t.Errorf("mode %o beside a mount: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o422, 0o464, 0o646, 0o666} {
		path := write(t, randomKey)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadKEK(path, false, filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "chmod a-wx "+path) {
			t.Errorf("mode %o below a mount: got %v, want an error that says chmod a-wx", mode, err)
		}
	}
}

// The key of a service belongs to root and to the service's group: readable by the group, and by no others.
func TestLoadKEKTakesAnotherOwnersFileThatOnlyAGroupReads(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another owner: not run")
	}
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o440: true, 0o644: false, 0o660: false, 0o604: false} {
		path := write(t, randomKey)
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := seal.LoadKEK(path, false)
		if good != (err == nil) || err != nil && !strings.Contains(err.Error(), "chmod 640 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// Kubernetes shows each secret as a link into a directory beside it, which it exchanges as a whole.
func TestLoadKEKFollowsALinkBelowItsOwnMountOnly(t *testing.T) {
	mount := t.TempDir()
	if err := os.Mkdir(filepath.Join(mount, "..2026"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mount, "..2026", "kek"), []byte(randomKey), 0o644); err != nil {
		t.Fatal(err)
	}
	outside := write(t, randomKey)
	for name, target := range map[string]string{"..data": "..2026", "kek": "..data/kek", "out": outside} {
		if err := os.Symlink(target, filepath.Join(mount, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := seal.LoadKEK(filepath.Join(mount, "kek"), false, mount); err != nil {
		t.Error(err)
	}
	if _, err := seal.LoadKEK(filepath.Join(mount, "kek"), false); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link that is below no mount: %v", err)
	}
	if _, err := seal.LoadKEK(filepath.Join(mount, "out"), false, mount); err == nil || !strings.Contains(err.Error(), "out of its directory") {
		t.Errorf("a link out of the mount: %v", err)
	}
	if _, err := seal.LoadKEK(filepath.Join(mount, "none"), false, mount); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("no file: %v", err)
	}
}

func TestParseKEKOpensWhatTheFileOpens(t *testing.T) {
	encrypted := keyset(t, load(t, write(t, randomKey), false))
	kek, err := seal.ParseKEK(randomKey + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(kek, encrypted); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "c2hvcnQ=", randomKey[:40], "not base64, " + randomKey} {
		if _, err := seal.ParseKEK(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%d characters: %v", len(text), err)
		}
	}
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
