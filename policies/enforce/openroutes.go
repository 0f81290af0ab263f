package enforce

import (
	"net/http"
	"strings"
)

// OpenRoute is a row that takes no decision. Only the paths that openPath names may be open.
type OpenRoute struct {
	Method  string
	Path    string
	Handler http.HandlerFunc
	// Shape says what the row replies.
	Shape *Shape
}

// Open says whether a path is on the closed list of what is served without a decision.
func Open(path string) bool { return openPath(path) }

// openPath is the closed list of what is served without a decision.
func openPath(path string) bool {
	switch path {
	case "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/style.css":
		return true
	default:
		return strings.HasPrefix(path, "/.well-known/") || benchPath(path)
	}
}
