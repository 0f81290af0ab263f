package decide

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// Plane is the plane of AuthZENRoutes: the error body of AuthZEN 1.0 is a message, and whatever is wrong with a body is 400.
func (a *API) Plane(authenticator enforce.Authenticator) enforce.Plane {
	return enforce.Plane{
		Name: policies.PlaneRuntime, Authenticator: authenticator, WriteError: a.writeError, WriteDenial: a.writeDenial,
		Errors: errorShape(), Schemes: []string{"bearer"},
	}
}

// writeError is the one writer of AuthZEN errors.
func (a *API) writeError(w http.ResponseWriter, r *enforce.Request, err error) {
	var protocol *enforce.ProtocolError
	var unknown *enforce.AuthenticationError
	switch {
	case errors.As(err, &unknown):
		for _, challenge := range unknown.Challenges {
			w.Header().Add("WWW-Authenticate", challenge)
		}
		a.write(w, r, http.StatusUnauthorized, unknown.Detail)
	case errors.As(err, &protocol):
		status := protocol.Status
		if status == http.StatusUnsupportedMediaType {
			status = http.StatusBadRequest // certification c-2-4
		}
		for name, values := range protocol.Header {
			w.Header()[name] = values
		}
		a.write(w, r, status, messageOf(protocol))
	case errors.Is(err, enforce.ErrNotFound):
		a.write(w, r, http.StatusNotFound, "no such endpoint")
	case errors.Is(err, enforce.ErrMethod):
		a.write(w, r, http.StatusMethodNotAllowed, "method not allowed; see the Allow header")
	case errors.Is(err, enforce.ErrOverloaded):
		w.Header().Set("Retry-After", "1") // and no line in the log, of which there would be as many as requests
		a.write(w, r, http.StatusServiceUnavailable, overloaded)
	default:
		// Every other failure of a decision is an outage: the asker must not take it for a denial.
		a.Logger.ErrorContext(r.HTTP.Context(), "decision failed", "request_id", r.ID, "decision_id", r.DecisionID, "error", err)
		w.Header().Set("Retry-After", "1")
		a.write(w, r, http.StatusServiceUnavailable, undecided)
	}
}

// writeDenial refuses the right to ask.
func (a *API) writeDenial(w http.ResponseWriter, r *enforce.Request, _ policies.Decision, reasons []policies.Reason) {
	status, codes := http.StatusForbidden, make([]string, len(reasons))
	for i, reason := range reasons {
		codes[i] = reason.Code
		if reason.Code == "wrong_audience" {
			status = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
	}
	a.write(w, r, status, "you may not ask this: "+strings.Join(codes, ", "))
}

func (a *API) write(w http.ResponseWriter, r *enforce.Request, status int, message string) {
	for name, values := range echo(r) {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(message) // a string; the client is gone if this fails
}
