package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	kekSize    = 32
	kekMaxFile = 1 << 10
)

// KEK is the key encryption key: it wraps the keyset and nothing else. The zero value is not usable.
type KEK struct{ aead tink.AEAD }

// Format keeps the key out of logs whatever the verb.
func (KEK) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "seal.KEK(redacted)") }

// LoadKEK reads the key encryption key from a file that holds 32 random bytes in base64. An absent file is made, with mode 0600, if
// create is set, and is an error that says so otherwise; of several processes that make it at once all get the same key.
//
// The file must be a regular one, not a symbolic link, that nobody but its owner can write. Who else may read it: nobody where it
// belongs to this process's user, its group where it belongs to another (root:writ 0640 is how a key is given to a service), and
// anybody below one of mounts. Those are directories into which a container runtime or a service manager puts secrets for this
// process alone, with modes that it does not choose; there a link is followed if it stays below its own directory (Kubernetes).
func LoadKEK(path string, create bool, mounts ...string) (KEK, error) {
	text, err := readPrivate(path, mounts)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := makeKEK(path); err != nil {
			return KEK{}, fmt.Errorf("make key encryption key %s: %w", path, err)
		}
		text, err = readPrivate(path, mounts)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return KEK{}, fmt.Errorf("key encryption key %s does not exist; make one with: "+
			"(umask 077 && openssl rand -base64 %d > %s)", path, kekSize, path)
	}
	if err != nil {
		return KEK{}, fmt.Errorf("read key encryption key: %w", err)
	}
	kek, err := ParseKEK(string(text))
	if err != nil {
		return KEK{}, fmt.Errorf("key encryption key %s %w", path, err)
	}
	return kek, nil
}

// ParseKEK reads the key encryption key from its text, 32 random bytes in base64. The error does not show the text.
func ParseKEK(text string) (KEK, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != kekSize {
		return KEK{}, fmt.Errorf("must hold %d random bytes in base64 (openssl rand -base64 %d)", kekSize, kekSize)
	}
	return newKEK(key)
}

func newKEK(key []byte) (KEK, error) {
	aead, err := subtle.NewAESGCM(key)
	if err != nil {
		return KEK{}, fmt.Errorf("key encryption key: %w", err)
	}
	return KEK{aead: aead}, nil
}

// readPrivate returns what a file holds that nobody can have read or written who should not; see LoadKEK.
func readPrivate(path string, mounts []string) ([]byte, error) {
	mounted := slices.ContainsFunc(mounts, func(dir string) bool { return dir != "" && below(dir, path) })
	if mounted {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil, err
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		if !below(dir, target) {
			return nil, fmt.Errorf("%s is a symbolic link out of its directory; name the file itself", path)
		}
		path = target
	}
	named, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !named.Mode().IsRegular() {
		return nil, fmt.Errorf("%s must be a regular file; it is %s", path, fileType(named.Mode()))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// What is judged must be what is read: the name may have been exchanged since Lstat.
	opened, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(named, opened) {
		return nil, fmt.Errorf("%s was replaced while it was opened", path)
	}
	mode := opened.Mode().Perm()
	if not, tight := forbidden(opened, mounted); mode&not != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so others can access the key; run: chmod %s %s", path, mode, tight, path)
	}
	return io.ReadAll(io.LimitReader(file, kekMaxFile))
}

// forbidden are the permissions that the file must not have, and tight is the mode to give it instead.
func forbidden(file fs.FileInfo, mounted bool) (mode fs.FileMode, tight string) {
	switch {
	case mounted:
		return 0o033, "a-wx"
	case ours(file):
		return 0o077, "600"
	}
	return 0o037, "640"
}

// below says that a path lies in a directory or deeper, by its text.
func below(dir, path string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && relative != "." && filepath.IsLocal(relative)
}

func fileType(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeDir:
		return "a directory"
	}
	return "a special file"
}

// makeKEK writes a new key beside path and links it to path, so that path never names a file without a whole key and an
// existing key is never overwritten.
func makeKEK(path string) error {
	var key [kekSize]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".kek-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(base64.StdEncoding.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
