package policies

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPermission says that a string is not a permission, a resource or an action.
var ErrPermission = errors.New("not a permission")

// ParsePermission splits "resource:action" at the last colon and checks both halves. Either may be "*"; there is no other
// pattern.
func ParsePermission(s string) (resource, action string, err error) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return "", "", fmt.Errorf("%w: %q has no action; write resource:action", ErrPermission, s)
	}
	resource, action = s[:at], s[at+1:]
	if !ValidResource(resource) {
		return "", "", fmt.Errorf("%w: %q is not a resource; write segments of A-Z a-z 0-9 . _ - joined by /, or *",
			ErrPermission, resource)
	}
	if !ValidAction(action) {
		return "", "", fmt.Errorf("%w: %q is not an action; write one segment of A-Z a-z 0-9 . _ -, or *", ErrPermission, action)
	}
	return resource, action, nil
}

// ValidResource reports whether s is a path of segments, or "*".
func ValidResource(s string) bool {
	return s == "*" || validPath(s)
}

// ValidAction reports whether s is one segment, or "*".
func ValidAction(s string) bool {
	return s == "*" || validSegment(s)
}

func validPath(s string) bool {
	start := true
	for i := range len(s) {
		switch {
		case segmentByte(s[i]):
			start = false
		case s[i] == '/' && !start:
			start = true
		default:
			return false
		}
	}
	return !start
}

func validSegment(s string) bool {
	for i := range len(s) {
		if !segmentByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func segmentByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// resourceCovers reports whether a granted resource covers another, on segment borders.
func resourceCovers(granted, resource string) bool {
	if granted == "*" || granted == resource {
		return true
	}
	return resource != "*" && strings.HasPrefix(resource, granted) && resource[len(granted)] == '/'
}

// firstSegment returns what stands before the first slash.
func firstSegment(resource string) string {
	first, _, _ := strings.Cut(resource, "/")
	return first
}
