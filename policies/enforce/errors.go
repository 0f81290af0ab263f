package enforce

import (
	"errors"
	"net/http"

	"github.com/writ-authz/writ/policies"
)

// ErrUnauthenticated says that a request has no credential, or none that is good now. An *AuthenticationError is one.
var ErrUnauthenticated = errors.New("unauthenticated")

// ErrRetry is returned by Respond, wrapped or not, when a compare-and-swap or the authority sequence was lost: the request
// then resolves and decides anew.
var ErrRetry = errors.New("state moved, resolve anew")

// ErrBusy says that a request lost its compare-and-swap too often; it is a 503.
var ErrBusy = errors.New("state keeps moving")

// ErrOverloaded says that a request was turned away because too many wait; nothing of it was looked at. It is a 503.
var ErrOverloaded = errors.New("too many requests wait")

// ErrNotFound says that no route matches the path. ErrMethod says that the path exists without the method; the Allow header
// is set by then.
var (
	ErrNotFound = errors.New("no such route")
	ErrMethod   = errors.New("method not allowed")
)

// AuthenticationError tells a caller that it is not known. It is an ErrUnauthenticated.
type AuthenticationError struct {
	// Code is the RFC 6750 error, "invalid_token", or empty where no credential was sent at all.
	Code string
	// Detail is fixed text for the caller; it never repeats the credential.
	Detail string
	// Challenges are the WWW-Authenticate values, in order.
	Challenges []string
}

func (e *AuthenticationError) Error() string { return "unauthenticated: " + e.Detail }

// Is makes errors.Is(err, ErrUnauthenticated) hold.
func (e *AuthenticationError) Is(target error) bool { return target == ErrUnauthenticated }

// ProtocolError is a request that is wrong in itself, whoever sends it: a 4xx that resolve found.
type ProtocolError struct {
	Status int
	// Code is a stable lower-case word, such as "unknown_key".
	Code string
	// Detail says what is wrong and what would be right. It repeats no value that was sent, but for the names of roles, groups,
	// tenants and permissions where they have the shape of one.
	Detail string
	// Pointer is the JSON pointer (RFC 6901) of the offending part of the body; Parameter the query or form parameter.
	Pointer   string
	Parameter string
	Header    http.Header
	// Reasons are those of a denial that a plane writes with a status of its own; nil for anything else.
	Reasons []policies.Reason
}

func (e *ProtocolError) Error() string {
	switch {
	case e.Pointer != "":
		return e.Code + " at " + e.Pointer + ": " + e.Detail
	case e.Parameter != "":
		return e.Code + " in " + e.Parameter + ": " + e.Detail
	default:
		return e.Code + ": " + e.Detail
	}
}

// BadRequest is a 400 at a JSON pointer; the pointer may be empty.
func BadRequest(code, pointer, detail string) *ProtocolError {
	return &ProtocolError{Status: http.StatusBadRequest, Code: code, Pointer: pointer, Detail: detail}
}

// BadParameter is a 400 that names a query parameter.
func BadParameter(code, parameter, detail string) *ProtocolError {
	return &ProtocolError{Status: http.StatusBadRequest, Code: code, Parameter: parameter, Detail: detail}
}
