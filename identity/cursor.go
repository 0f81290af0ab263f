package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"

	"github.com/writ-authz/writ/policies/enforce"
)

const (
	defaultLimit = 50
	maxLimit     = 100
	cursorMAC    = 16
)

// cursors seals the place where a list goes on. A cursor is good for the list, the filters and the visibility it was made for.
type cursors struct{ key []byte }

// binding is what a cursor is good for: a list with its filters.
type binding struct {
	list    string
	filters map[string]string
	visible []string
}

func (c cursors) mac(b binding, after string) []byte {
	h := hmac.New(sha256.New, c.key)
	write := func(s string) { // with its length, so that no two bindings run together
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	write(b.list)
	for _, name := range slices.Sorted(maps.Keys(b.filters)) {
		write(name)
		write(b.filters[name])
	}
	write("")
	for _, tenant := range b.visible {
		write(tenant)
	}
	write("")
	write(after)
	return h.Sum(nil)[:cursorMAC]
}

func (c cursors) seal(b binding, after string) string {
	return base64.RawURLEncoding.EncodeToString(append(c.mac(b, after), after...))
}

// open returns the place in the cursor that a parameter has, or a 400 for one that this node, or another with its key, did not make for this list.
func (c cursors) open(b binding, parameter, cursor string) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err == nil && len(raw) > cursorMAC && hmac.Equal(raw[:cursorMAC], c.mac(b, string(raw[cursorMAC:]))) {
		return string(raw[cursorMAC:]), nil
	}
	return "", unknownCursor(parameter)
}

func unknownCursor(parameter string) error {
	return enforce.BadParameter("unknown_cursor", parameter, "the cursor is not one of this list with these filters")
}

// limitOf reads the page size.
func limitOf(query map[string]string) (int, error) {
	text, given := query["limit"]
	if !given {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit || strconv.Itoa(n) != text {
		return 0, enforce.BadParameter("bad_limit", "limit", "the limit is a number from 1 to 100")
	}
	return n, nil
}
