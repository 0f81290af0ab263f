package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// The error codes of RFC 6749 section 5.2 (and of RFC 8707 for the audience) that this server answers.
const (
	codeInvalidRequest = "invalid_request"
	codeInvalidClient  = "invalid_client"
	codeInvalidGrant   = "invalid_grant"
	codeUnauthorized   = "unauthorized_client"
	codeUnsupported    = "unsupported_grant_type"
	codeInvalidScope   = "invalid_scope"
	codeInvalidTarget  = "invalid_target"
	codeInvalidToken   = "invalid_token"
	codeInsufficient   = "insufficient_scope"
	codeUnavailable    = "temporarily_unavailable"
	codeServerError    = "server_error"
)

const (
	bearerChallenge = `Bearer realm="writ"`
	basicChallenge  = `Basic realm="writ", charset="UTF-8"`
)

// descriptions are the texts of replies that must not differ by cause.
func description(code string) string {
	switch code {
	case codeInvalidRequest:
		return "The request is malformed, or a parameter is missing, repeated or invalid."
	case codeInvalidClient:
		return "Client authentication failed."
	case codeInvalidGrant:
		return "The username and password, or the refresh token, are not valid."
	case codeUnauthorized:
		return "This client may not use this grant type."
	case codeUnsupported:
		return "This server does not support the grant type."
	case codeInvalidScope:
		return "A scope is malformed, not registered for this client, or nothing of what was named can be granted."
	case codeInvalidTarget:
		return "The audience is not one that this client may ask for."
	case codeInvalidToken:
		return "The access token is malformed, expired or revoked."
	case codeInsufficient:
		return "The token does not permit this."
	case codeUnavailable:
		return "The server cannot tell now. Try again."
	default:
		return "The server met an unexpected condition."
	}
}

func status(code string) int {
	switch code {
	case codeInvalidClient, codeInvalidToken:
		return http.StatusUnauthorized
	case codeInsufficient:
		return http.StatusForbidden
	case codeUnavailable:
		return http.StatusServiceUnavailable
	case codeServerError:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// refusal is the reply of a code in its fixed words.
func refusal(code string) *enforce.ProtocolError {
	return refusalOf(code, description(code))
}

func refusalOf(code, detail string) *enforce.ProtocolError {
	e := &enforce.ProtocolError{Status: status(code), Code: code, Detail: detail}
	if code == codeInvalidClient {
		// RFC 6749, section 5.2: a 401 names the scheme. Fosite never does (F-02).
		e.Header = http.Header{"Www-Authenticate": {basicChallenge}}
	}
	return e
}

type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// writeError is the one writer of this plane: any error becomes RFC 6749 JSON, and an unknown one a 500 that says nothing.
// What it came from is on the request's event, which enforce fills.
func (s *Server) writeError(w http.ResponseWriter, _ *enforce.Request, err error) {
	reply := replyTo(err)
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	if reply.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, reply.Status, errorBody{Error: reply.Code, Description: plainText(reply.Detail)})
}

// writeDenial writes a denial: at the token endpoint from its table (token.go), of introspection as a token that is not there, and
// where the caller came with a token as RFC 6750, section 3.1 has it.
func (s *Server) writeDenial(w http.ResponseWriter, r *enforce.Request, _ policies.Decision, reasons []policies.Reason) {
	switch r.HTTP.URL.Path {
	case introspectPath:
		s.writeUnseen(w, r, reasons)
		return
	case revokePath:
		s.writeError(w, r, foreign(reasons))
		return
	case sessionsEndPath:
	default:
		form, err := readForm(r.Body)
		if err == nil {
			err = denial(form.Get("grant_type"), reasons)
		}
		s.writeError(w, r, err)
		return
	}
	e := refusal(codeInsufficient)
	e.Header = http.Header{"Www-Authenticate": {bearerChallenge + `, error="insufficient_scope"`}}
	s.writeError(w, r, e)
}

func replyTo(err error) *enforce.ProtocolError {
	var protocol *enforce.ProtocolError
	var unknown *enforce.AuthenticationError
	var fromFosite *fosite.RFC6749Error
	switch {
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, policies.ErrUndecided), errors.Is(err, policies.ErrLogFull),
		errors.Is(err, enforce.ErrBusy), errors.Is(err, enforce.ErrRetry), errors.Is(err, enforce.ErrOverloaded), errors.Is(err, storage.ErrStale),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return refusal(codeUnavailable)
	case errors.As(err, &protocol):
		return ownCode(protocol)
	case errors.As(err, &unknown):
		e := refusal(codeInvalidToken)
		e.Header = http.Header{"Www-Authenticate": unknown.Challenges}
		return e
	case errors.Is(err, enforce.ErrMethod):
		e := refusalOf(codeInvalidRequest, "Use POST.")
		e.Status = http.StatusMethodNotAllowed
		return e
	case errors.Is(err, enforce.ErrNotFound):
		e := refusalOf(codeInvalidRequest, "There is no such endpoint.")
		e.Status = http.StatusNotFound
		return e
	case errors.As(err, &fromFosite):
		return refusal(fositeCode(fromFosite))
	default:
		return refusal(codeServerError)
	}
}

// ownCode turns what enforce found wrong with a request into a code of this plane. Its statuses stay, except that a
// wrong media type is RFC 6749's 400.
func ownCode(e *enforce.ProtocolError) *enforce.ProtocolError {
	switch e.Code {
	case codeInvalidRequest, codeInvalidClient, codeInvalidGrant, codeUnauthorized, codeUnsupported, codeInvalidScope,
		codeInvalidTarget, codeInvalidToken, codeInsufficient, codeUnavailable, codeServerError:
		return e
	}
	own := *e
	own.Code = codeInvalidRequest
	if own.Status == http.StatusTooManyRequests { // RFC 6749 has no code for it; this one says that the request itself is not at fault
		own.Code = codeUnavailable
	}
	if own.Status == http.StatusUnsupportedMediaType {
		own.Status = http.StatusBadRequest
	}
	return &own
}

// fositeCode maps the errors of the handlers that are kept. Their hints reflect what the caller sent (F-13) and are dropped.
func fositeCode(e *fosite.RFC6749Error) string {
	for code, template := range map[string]*fosite.RFC6749Error{
		codeInvalidRequest: fosite.ErrInvalidRequest, codeInvalidClient: fosite.ErrInvalidClient,
		codeInvalidGrant: fosite.ErrInvalidGrant, codeUnauthorized: fosite.ErrUnauthorizedClient,
		codeUnsupported: fosite.ErrUnsupportedGrantType, codeInvalidScope: fosite.ErrInvalidScope,
		codeUnavailable: fosite.ErrTemporarilyUnavailable,
	} {
		if e.ErrorField == template.ErrorField {
			return code
		}
	}
	return codeServerError
}

// fromFosite lets out what fosite wrapped into its server_error: it is ours, and says whether it is an outage.
func fromFosite(err error) error {
	var wrapper *fosite.RFC6749Error
	if errors.As(err, &wrapper) && fositeCode(wrapper) == codeServerError && wrapper.Unwrap() != nil {
		return fmt.Errorf("token request: %w", wrapper.Unwrap())
	}
	return err
}

// plainText keeps a description within the bytes that RFC 6749, section 5.2 allows: %x20-21 / %x23-5B / %x5D-7E (F-13).
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return '?'
		default:
			return r
		}
	}, text)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil { // cannot happen: the bodies are structs of strings
		status, raw = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	noStore(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the client is gone if this fails; there is nobody to tell
}

func noStore(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}
