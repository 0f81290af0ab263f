//go:build bench

package enforce

import "strings"

// benchPath opens what only the bench build serves: the floors that `make bench` measures against, and its meters.
func benchPath(path string) bool { return strings.HasPrefix(path, "/bench/") }
