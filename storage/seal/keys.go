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

// LoadKEK reads the key encryption key from a file that holds 32 random bytes in base64. The file must be a regular file,
// not a symbolic link, that only its owner can access. An absent file is made if create is set, and is an error that says so
// otherwise; of several processes that make it at once all get the same key.
func LoadKEK(path string, create bool) (KEK, error) {
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := makeKEK(path); err != nil {
			return KEK{}, fmt.Errorf("make key encryption key %s: %w", path, err)
		}
		text, err = readPrivate(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return KEK{}, fmt.Errorf("key encryption key %s does not exist; make one with: "+
			"(umask 077 && openssl rand -base64 %d > %s)", path, kekSize, path)
	}
	if err != nil {
		return KEK{}, fmt.Errorf("read key encryption key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != kekSize {
		return KEK{}, fmt.Errorf("key encryption key %s must hold %d random bytes in base64 (openssl rand -base64 %d)",
			path, kekSize, kekSize)
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

// readPrivate returns what a file holds that nobody but its owner can have read or written.
func readPrivate(path string) ([]byte, error) {
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
	if mode := opened.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so others can access the key; run: chmod 600 %s", path, mode, path)
	}
	return io.ReadAll(io.LimitReader(file, kekMaxFile))
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
