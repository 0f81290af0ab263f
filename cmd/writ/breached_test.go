package main_test

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	writ "github.com/writ-authz/writ/cmd/writ"
)

// hashesOf are sorted lines of leaked passwords.
func hashesOf(n int, line func(digits string, i int) string) (leaked [][sha1.Size]byte, content string) {
	for i := range n {
		leaked = append(leaked, sha1.Sum(fmt.Append(nil, "leaked ", i)))
	}
	slices.SortFunc(leaked, func(a, b [sha1.Size]byte) int { return slices.Compare(a[:], b[:]) })
	var text strings.Builder
	for i, sum := range leaked {
		text.WriteString(line(strings.ToUpper(hex.EncodeToString(sum[:])), i))
	}
	return leaked, text.String()
}

func TestLeakedPasswordsAreFoundWhereTheyLie(t *testing.T) {
	for name, line := range map[string]func(digits string, i int) string{
		"as it is downloaded":  func(digits string, i int) string { return fmt.Sprintf("%s:%d\r\n", digits, i*i+1) },
		"hashes alone":         func(digits string, _ int) string { return digits + "\n" },
		"in small letters":     func(digits string, _ int) string { return strings.ToLower(digits) + "\n" },
		"their first 16":       func(digits string, _ int) string { return digits[:16] + "\n" },
		"of several lengths":   func(digits string, i int) string { return digits[:17+i%24] + "\n" },
		"without the last end": func(digits string, i int) string { return digits + strings.Repeat("\n", min(1, 499-i)) },
	} {
		t.Run(name, func(t *testing.T) {
			leaked, content := hashesOf(500, line)
			list, opened, err := writ.OpenBreached(file(t, "leaked.txt", content))
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Close()
			for _, sum := range leaked {
				if found, err := list.Contains(sum); err != nil || !found {
					t.Fatalf("%x: %v, %v", sum, found, err)
				}
			}
			others := [][sha1.Size]byte{{}, [sha1.Size]byte(slices.Repeat([]byte{0xff}, sha1.Size))}
			for range 500 {
				var other [sha1.Size]byte
				_, _ = rand.Read(other[:])
				others = append(others, other)
			}
			for _, sum := range others {
				if found, err := list.Contains(sum); err != nil || found {
					t.Fatalf("%x: %v, %v", sum, found, err)
				}
			}
		})
	}
}

func TestAFileOfLeakedPasswordsThatCannotBeIsAStartError(t *testing.T) {
	_, good := hashesOf(3, func(digits string, _ int) string { return digits + ":1\n" })
	lines := strings.SplitAfter(good, "\n")
	for content, want := range map[string]string{
		"":                                 "is empty",
		lines[1] + lines[0]:                "is not sorted",
		lines[0] + lines[0]:                "is not sorted",
		good + "password\n":                "has a line at byte 129 that is not 16 to 40 hexadecimal digits",
		"ABCDEF\n":                         "has a line at byte 0 ",
		strings.Repeat("A", 41) + "\n":     "has a line at byte 0 ",
		lines[0] + "\n" + lines[1]:         "has a line at byte 43 ",
		strings.Repeat("0", 1000):          "has a line at byte 0 ",
		good + strings.Repeat("F", 100):    "has a line at byte ",
		strings.Repeat("Z", 40) + "\n":     "has a line at byte 0 ",
		lines[0][:40] + " :1\n" + "\n\n\n": "has a line at byte 0 ",
	} {
		_, _, err := writ.OpenBreached(file(t, "leaked.txt", content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", content, err, want)
		}
	}
	code, _, stderr := shell(t, []string{"WRIT_DATA_DIR=" + t.TempDir() + "/data"}, "serve", "--breached-passwords-file", "/no/such/file")
	if code != 1 || !strings.Contains(stderr, "breached_passwords_file") || !strings.Contains(stderr, "no such file") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// gone is a disk that is.
type gone struct{}

func (gone) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

func TestAFileThatCannotBeReadIsNoAnswer(t *testing.T) {
	if _, err := writ.Breached(gone{}, 1<<30).Contains([sha1.Size]byte{}); err == nil {
		t.Error("a disk that is gone holds no leaked passwords")
	}
	cut := strings.NewReader("")
	if _, err := writ.Breached(cut, 1<<30).Contains([sha1.Size]byte{}); err == nil {
		t.Error("a file that was cut holds no leaked passwords")
	}
}
