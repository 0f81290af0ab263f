package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// authenticated is what a request's context keeps: a token, and the client that found it good. Another client, for another audience, does
// not take its word.
type authenticated struct {
	by    *Client
	token *Token
}

type contextKey struct{}

// TokenFrom returns the token of a request that passed Authenticated or Require.
func TokenFrom(ctx context.Context) (*Token, bool) {
	found, ok := ctx.Value(contextKey{}).(authenticated)
	return found.token, ok
}

// Authenticated lets a request through that brings a good token, with that in its context.
func (c *Client) Authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known, err := c.Authenticate(r)
		if err != nil {
			c.Refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, known)
	})
}

// Require lets a request through whose token may do the action on the resource that the function names. It authenticates the request
// if nothing did before. An error of the function that is ErrBadRequest or ErrNotFound is 400 or 404.
func (c *Client) Require(action string, resource func(*http.Request) (Resource, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			permitted, err := c.Authorize(r, action, resource)
			if err != nil {
				c.Refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, permitted)
		})
	}
}

// PathValue names the resource by a wildcard of the pattern that the request matched (http.ServeMux).
func PathValue(resourceType, wildcard string) func(*http.Request) (Resource, error) {
	return func(r *http.Request) (Resource, error) {
		return Resource{Type: resourceType, ID: r.PathValue(wildcard)}, nil
	}
}

// Authenticate returns the request with its token in the context. It is the part of Authenticated that other frameworks need.
func (c *Client) Authenticate(r *http.Request) (*http.Request, error) {
	if found, ok := r.Context().Value(contextKey{}).(authenticated); ok && found.by == c {
		return r, nil
	}
	raw, err := bearer(r)
	if err != nil {
		return nil, err
	}
	token, err := c.Verify(r.Context(), raw)
	if err != nil {
		return nil, err
	}
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, authenticated{c, token})), nil
}

// Authorize returns the request with its token in the context if the token may do the action on the resource. It is the part of Require
// that other frameworks need.
func (c *Client) Authorize(r *http.Request, action string, resource func(*http.Request) (Resource, error)) (*http.Request, error) {
	r, err := c.Authenticate(r)
	if err != nil {
		return nil, err
	}
	token, _ := TokenFrom(r.Context())
	named, err := resource(r)
	if err != nil {
		return nil, err
	}
	if named.Type == "" || named.ID == "" {
		return nil, fmt.Errorf("%w: it names no resource", ErrBadRequest)
	}
	question := Question{Subject: token.Asked(), Action: Action{Name: action}, Resource: named}
	if c.config.ClientIP != nil {
		if ip := c.config.ClientIP(r); ip.IsValid() {
			question.Context = map[string]any{"ip": ip.Unmap().WithZone("").String()}
		}
	}
	if err := c.Check(r.Context(), question); err != nil {
		return nil, err
	}
	return r, nil
}

// bearer reads the token of a request from the Authorization header and nowhere else (RFC 6750, section 2).
func bearer(r *http.Request) (string, error) {
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return "", ErrNoToken
	}
	if len(given) > 1 || strings.Contains(r.URL.RawQuery, "access_token") && r.URL.Query().Has("access_token") {
		return "", errTransport
	}
	scheme, raw, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ErrNoToken
	}
	return strings.TrimLeft(raw, " "), nil
}

// Refuse writes the reply to a request that is not let through, as configured.
func (c *Client) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	c.config.WriteError(w, r, err)
}

// problem is RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
}

// StatusOf is the status and the code for an error of this package. Any other error is 500.
func StatusOf(err error) (status int, code string) {
	for _, row := range []struct {
		is     error
		status int
		code   string
	}{
		// What cannot be told comes first, so that an error which is also something else never becomes a refusal.
		{ErrUnavailable, http.StatusServiceUnavailable, "temporarily_unavailable"},
		{ErrRefused, http.StatusInternalServerError, "server_error"},
		{ErrBadQuestion, http.StatusInternalServerError, "server_error"},
		{ErrNoToken, http.StatusUnauthorized, "unauthorized"},
		{ErrInvalidToken, http.StatusUnauthorized, "invalid_token"},
		{ErrDenied, http.StatusForbidden, "insufficient_scope"},
		{ErrBadRequest, http.StatusBadRequest, "invalid_request"},
		{ErrNotFound, http.StatusNotFound, "not_found"},
	} {
		if errors.Is(err, row.is) {
			return row.status, row.code
		}
	}
	return http.StatusInternalServerError, "server_error"
}

// WriteError writes an error as a problem document, with the challenge of RFC 6750, section 3, where one is due. It says what kind of error
// it is and no more: the error itself is for the service's log.
func (c *Client) WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	status, code := StatusOf(err)
	header := w.Header()
	challenge := `Bearer realm="` + c.config.Audience + `"`
	switch {
	case code == "unauthorized":
		header.Set("WWW-Authenticate", challenge) // section 3.1: no error code where there are no credentials
	case status == http.StatusUnauthorized, status == http.StatusForbidden, errors.Is(err, errTransport):
		header.Set("WWW-Authenticate", challenge+`, error="`+code+`"`)
	case status == http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(status), status, code}) // the caller is gone if this fails
}
