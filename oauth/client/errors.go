package client

import (
	"errors"
	"fmt"
	"strings"
)

// What may go wrong; compare with errors.Is. StatusOf is the status that middleware gives each of them.
var (
	// ErrNoToken is a request without a bearer token: 401.
	ErrNoToken = errors.New("no access token")
	// ErrInvalidToken is a token that is known to be no good here: malformed, expired, revoked, for somebody else: 401.
	ErrInvalidToken = errors.New("the access token is not valid")
	// ErrDenied is a question that was answered with no: 403. The error is a *DeniedError.
	ErrDenied = errors.New("denied")
	// ErrUnavailable says that it cannot be told now: 503.
	ErrUnavailable = errors.New("the authorization server cannot tell now")
	// ErrRefused says that the server refuses this service itself, its credentials or its right to ask. That is for whoever
	// operates it, and says nothing about its caller: 500.
	ErrRefused = errors.New("the authorization server refuses this service")
	// ErrBadQuestion is a question that the server does not understand, which is a mistake of this service: 500.
	ErrBadQuestion = errors.New("the question is not well-formed")
	// ErrBadRequest and ErrNotFound are for functions that name the resource of a request: 400 and 404.
	ErrBadRequest = errors.New("the request is not well-formed")
	ErrNotFound   = errors.New("not found")

	// errTransport is a token that travels in a way that RFC 6750 section 2 rules out.
	errTransport = fmt.Errorf("%w: send one access token, in one Authorization header", ErrBadRequest)
)

// DeniedError is a denial, with the question and, if they were asked for, its reasons.
type DeniedError struct {
	Question Question
	Answer   Answer
}

func (e *DeniedError) Error() string {
	q := e.Question
	text := fmt.Sprintf("denied: %s may not %s %s/%s", q.Subject, q.Action.Name, q.Resource.Type, q.Resource.ID)
	var codes []string
	for _, reason := range e.Answer.Reasons {
		codes = append(codes, reason.Code)
	}
	if len(codes) > 0 {
		text += " (" + strings.Join(codes, ", ") + ")"
	}
	return text
}

// Is makes every denial ErrDenied.
func (e *DeniedError) Is(target error) bool { return target == ErrDenied }

func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

func invalid(why string) error { return fmt.Errorf("%w: %s", ErrInvalidToken, why) }
