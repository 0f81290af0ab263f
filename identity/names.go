package identity

import (
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/secure/precis"

	"github.com/writ-authz/writ/policies/enforce"
)

const (
	maxName  = 256 // of anything that people read
	maxEmail = 254 // RFC 5321, 4.5.3.1.3
	maxText  = 4096
)

// isUUID reports whether s is a UUID in its one canonical form, in lower case.
func isUUID(s string) bool {
	parsed, err := uuid.Parse(s)
	return err == nil && parsed.String() == s
}

// uuidShaped reports whether s could be taken for a UUID, in whatever letters.
func uuidShaped(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

// checkUserID refuses an id that is no UUID in lower case.
func checkUserID(id, pointer string) error {
	if !isUUID(id) {
		return enforce.BadRequest("malformed_id", pointer, "a user's id is a UUID in lower case")
	}
	return nil
}

// checkObjectID refuses an id outside the grammar of groups, tenants and applications.
func checkObjectID(id, pointer string) error {
	ok := id != "" && len(id) <= 128 && id != "." && id != ".." && !strings.EqualFold(id, "me")
	for _, c := range []byte(id) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return enforce.BadRequest("malformed_id", pointer, "an id has 1 to 128 characters of A-Z a-z 0-9 . _ - and is not \"me\"")
	}
	return nil
}

// checkApplicationID keeps application ids and user ids apart: "sub differs from client_id" must stay a safe test.
func checkApplicationID(id, pointer string) error {
	if err := checkObjectID(id, pointer); err != nil {
		return err
	}
	if uuidShaped(id) {
		return enforce.BadRequest("malformed_id", pointer, "an application's id does not have the shape of a UUID")
	}
	return nil
}

// checkRoleKey refuses what is outside the grammar; look-alikes of "system:" are outside it.
func checkRoleKey(key, pointer string) error {
	segments := strings.Split(key, ":")
	ok := len(segments) >= 2 && len(key) <= 128
	for _, segment := range segments {
		ok = ok && segment != "" && segment != "." && segment != ".."
		for _, c := range []byte(segment) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
		}
	}
	if !ok {
		return enforce.BadRequest("malformed_key", pointer, "a role's key has two or more segments of a-z 0-9 . _ - joined by ':'")
	}
	return nil
}

// nameKey is the form under which usernames and e-mail addresses are compared: RFC 8265 UsernameCaseMapped.
func nameKey(name string) (string, bool) {
	key, err := precis.UsernameCaseMapped.String(name)
	return key, err == nil && key != "" && len(key) <= 1024
}

// searchKey is the form under which names are searched: RFC 8266 Nickname, which folds case, width and spaces. Usernames and e-mail
// addresses come out as their own keys. It is false for what no name is.
func searchKey(text string) (string, bool) {
	key, err := precis.Nickname.CompareKey(text)
	return key, err == nil && key != "" && len(key) <= 1024
}

// checkUsername returns the key of a username, or says what is wrong with it.
func checkUsername(name, pointer string) (string, error) {
	key, ok := nameKey(name)
	switch {
	case !ok || utf8.RuneCountInString(name) > maxName:
		return "", enforce.BadRequest("malformed_username", pointer, "a username has 1 to 256 letters, digits and marks, without spaces")
	case shapedLikeID(key):
		return "", enforce.BadRequest("malformed_username", pointer, "a username neither has the shape of a UUID nor begins with app_")
	case mixesScripts(key):
		return "", enforce.BadRequest("malformed_username", pointer, "a username does not mix scripts, which look alike")
	}
	return key, nil
}

func shapedLikeID(key string) bool {
	_, err := uuid.Parse(key)
	return err == nil || strings.HasPrefix(key, "app_")
}

// mixesScripts reports letters of several scripts. Digits and marks belong to all; the scripts that are written together in
// Japanese, Korean and Chinese count as one.
func mixesScripts(s string) bool {
	found := ""
	for _, c := range s {
		if !unicode.IsLetter(c) {
			continue
		}
		script := scriptOf(c)
		switch {
		case script == "" || script == found:
		case found == "":
			found = script
		default:
			return true
		}
	}
	return false
}

func scriptOf(c rune) string {
	if c < utf8.RuneSelf {
		return "Latin"
	}
	for name, table := range unicode.Scripts {
		if !unicode.Is(table, c) {
			continue
		}
		switch name {
		case "Common", "Inherited":
			return ""
		case "Han", "Hiragana", "Katakana", "Hangul", "Bopomofo":
			return "Han"
		default:
			return name
		}
	}
	return ""
}

// checkEmail returns the key of an e-mail address, or says what is wrong with it.
func checkEmail(email, pointer string) (string, error) {
	parsed, err := mail.ParseAddress(email)
	key, ok := nameKey(email)
	if err != nil || !ok || parsed.Address != email || len(email) > maxEmail || strings.ContainsAny(email, "\"<> ") {
		return "", enforce.BadRequest("malformed_email", pointer, "an e-mail address has the form local@domain, with at most 254 bytes")
	}
	return key, nil
}

// checkText refuses control characters and what is too long, in texts for people.
func checkText(text, pointer string, limit int) error {
	if utf8.RuneCountInString(text) > limit {
		return enforce.BadRequest("too_long", pointer, "at most "+strconv.Itoa(limit)+" characters are accepted")
	}
	for _, c := range text {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return enforce.BadRequest("malformed_text", pointer, "control characters are not accepted")
		}
	}
	return nil
}

// checkAddresses refuses anything but a list of CIDRs and returns them in canonical form.
func checkAddresses(cidrs []string, pointer string) ([]string, error) {
	canonical := make([]string, 0, len(cidrs))
	for i, cidr := range cidrs {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			at := pointer + "/" + strconv.Itoa(i)
			return nil, enforce.BadRequest("malformed_address", at, "want a CIDR such as 192.0.2.0/24 or 2001:db8::/32")
		}
		canonical = append(canonical, p.Masked().String())
	}
	return distinct(canonical), nil
}

// distinct keeps the first of equal values.
func distinct[T comparable](values []T) []T {
	seen := make(map[T]bool, len(values))
	kept := make([]T, 0, len(values))
	for _, v := range values {
		if !seen[v] {
			seen[v] = true
			kept = append(kept, v)
		}
	}
	return kept
}
