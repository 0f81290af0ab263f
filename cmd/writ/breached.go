package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// leastBreachHex is the least number of hexadecimal digits of a line: shorter prefixes would hit passwords that never leaked.
	leastBreachHex = 16
	// maxBreachLine bounds a line: 40 digits, a colon, a count, a line end.
	maxBreachLine = 64
	// wholeBreachFile is the size up to which a file is read whole at start; of a larger one breachSamples places are.
	wholeBreachFile = 64 << 20
	breachSamples   = 4096
)

// breachedFile is a file of leaked passwords that is searched where it lies: sorted lines of the SHA-1 in hexadecimal, or at least 16
// digits of its beginning, each with ":" and a count behind it or without. It is what the downloaders of Have I Been Pwned write in
// the order of hashes. The file that was opened is searched until the process ends; a new one at its place is taken up by a restart.
type breachedFile struct {
	file io.ReaderAt
	size int64
}

// openBreached opens the file and holds it against its form: all of it, or many places of a large one.
func openBreached(path string) (*breachedFile, *os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, plain(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no regular file")
	}
	if err == nil {
		b := &breachedFile{file: file, size: info.Size()}
		if err = b.check(); err == nil {
			return b, file, nil
		}
	}
	return nil, nil, errors.Join(err, file.Close())
}

func (b *breachedFile) check() error {
	if b.size == 0 {
		return errors.New("is empty")
	}
	step := int64(1)
	if b.size > wholeBreachFile {
		step = b.size / breachSamples
	}
	before := ""
	for at := int64(0); at < b.size; {
		digits, _, next, err := b.line(at)
		if err != nil {
			return err
		}
		if before >= digits && at > 0 {
			return fmt.Errorf("is not sorted: %s… comes behind %s…", digits[:8], before[:8])
		}
		before, at = digits, max(next, at+step)
	}
	return nil
}

// line is the line that the byte at is in: its digits in capitals, where it begins, and where the next one does.
func (b *breachedFile) line(at int64) (digits string, start, next int64, err error) {
	from := max(0, at-maxBreachLine)
	buffer := make([]byte, 2*maxBreachLine)
	n, err := b.file.ReadAt(buffer, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, 0, err
	}
	buffer = buffer[:n]
	here := int(at - from)
	if here >= n {
		return "", 0, 0, errors.New("has become shorter")
	}
	first := bytes.LastIndexByte(buffer[:here], '\n') + 1
	last := bytes.IndexByte(buffer[here:], '\n')
	switch {
	case last >= 0:
		last += here
	case from+int64(n) == b.size:
		last = n
	default:
		last = n
		first = 0 // too long: refused below
	}
	text, _, _ := strings.Cut(strings.TrimSuffix(string(buffer[first:last]), "\r"), ":")
	digits = strings.ToUpper(text)
	padded := digits + strings.Repeat("0", len(digits)%2)
	if _, err := hex.DecodeString(padded); err != nil || len(digits) < leastBreachHex || len(digits) > 2*sha1.Size || last-first > maxBreachLine {
		return "", 0, 0, fmt.Errorf("has a line at byte %d that is not 16 to 40 hexadecimal digits of a SHA-1, with or without :COUNT",
			from+int64(first))
	}
	return digits, from + int64(first), from + int64(last) + 1, nil
}

// Contains implements identity.Breaches by bisection: some forty reads in a file of the largest size there is.
func (b *breachedFile) Contains(sum [sha1.Size]byte) (bool, error) {
	wanted := strings.ToUpper(hex.EncodeToString(sum[:]))
	low, high := int64(0), b.size
	for low < high {
		digits, start, next, err := b.line(low + (high-low)/2)
		if err != nil {
			return false, fmt.Errorf("the file of leaked passwords %w", err)
		}
		switch beginning := wanted[:len(digits)]; {
		case beginning == digits:
			return true, nil
		case beginning < digits:
			high = start
		default:
			low = next
		}
	}
	return false, nil
}
