package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// Problem is an RFC 9457 problem. It never holds a value that was sent, only names.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	// Message says the same as Detail, to clients of OPA, which look for it beside code.
	Message    string            `json:"message,omitempty"`
	Pointer    string            `json:"pointer,omitempty"`
	Parameter  string            `json:"parameter,omitempty"`
	Reasons    []policies.Reason `json:"reasons,omitempty"`
	DecisionID string            `json:"decision_id,omitempty"`
	RequestID  string            `json:"request_id,omitempty"`
	// Items are the objects that stand in the way of a request about several.
	Items []ProblemItem `json:"items,omitempty"`
	// Problems are what is wrong with a policy set, and Impact what it would answer otherwise.
	Problems []PolicyFinding  `json:"problems,omitempty"`
	Impact   *policies.Impact `json:"impact,omitempty"`
}

// PolicyFinding is one thing that is wrong with a policy set, with its place where it has one.
type PolicyFinding policies.Problem

// ProblemItem is one object that stands in the way: where the request names it, and why.
type ProblemItem struct {
	Pointer string            `json:"pointer"`
	ID      string            `json:"id"`
	Code    string            `json:"code"`
	Reasons []policies.Reason `json:"reasons,omitempty"`
}

// itemsError is a refusal that names every object in the way.
type itemsError struct{ problem Problem }

func (e *itemsError) Error() string { return e.problem.Code }

// retryAfter is the number of seconds after which a 503 may be tried again.
const retryAfter = "1"

// Challenge is the WWW-Authenticate of a 401 that has no better one.
const Challenge = `Bearer realm="writ"`

// denialStatus maps each reason code that the admin API can meet to its status. A code of an application's own is 403.
func denialStatus(code string) int {
	switch code {
	case "wrong_audience", "basic_not_accepted", "outside_validity", "not_usable":
		return http.StatusUnauthorized
	case "tenant_mismatch", "no_such_subject":
		return http.StatusNotFound
	case "last_owner", "last_secret", "must_be_inactive", "tenant_disabled":
		return http.StatusConflict
	case "precondition_required":
		return http.StatusPreconditionRequired
	case "replayed", "tenant_required", "secret_not_chosen":
		return http.StatusBadRequest
	default:
		return http.StatusForbidden
	}
}

// denialRank orders statuses where a denial has several reasons: who are you, then what is refused, then what is hidden, then
// what stands in the way.
func denialRank(status int) int {
	switch status {
	case http.StatusUnauthorized:
		return 0
	case http.StatusForbidden:
		return 1
	case http.StatusNotFound:
		return 2
	default:
		return 3
	}
}

// WriteDenial writes a denial as a problem. A concealed one is the reply for an object that is not there.
func WriteDenial(w http.ResponseWriter, r *enforce.Request, d policies.Decision, reasons []policies.Reason) {
	writeDenied(w, r, &denial{decision: d, reasons: reasons})
}

// denial is a refusal with more to say than its reasons.
type denial struct {
	decision policies.Decision
	reasons  []policies.Reason
	pointer  string
	detail   string
}

func (d *denial) Error() string { return "denied" }

func writeDenied(w http.ResponseWriter, r *enforce.Request, d *denial) {
	if d.decision.Obligations.Conceal {
		writeMissing(w, r)
		return
	}
	p := Problem{Status: http.StatusForbidden, Code: "denied", Reasons: d.reasons, Pointer: d.pointer, Detail: d.detail}
	for i, reason := range d.reasons {
		if status := denialStatus(reason.Code); i == 0 || denialRank(status) < denialRank(p.Status) {
			p.Status, p.Code = status, reason.Code
		}
	}
	if p.Detail == "" {
		p.Detail = "the decision was no; the reasons say why"
	}
	switch {
	case p.Status == http.StatusNotFound:
		writeMissing(w, r)
		return
	case p.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", Challenge+`, error="invalid_token"`)
	case p.Code == "insufficient_scope":
		w.Header().Set("WWW-Authenticate", Challenge+`, error="insufficient_scope", scope="`+missingScope(r, d.reasons)+`"`)
	}
	writeProblem(w, r, p)
}

// missingScope names the scopes that a token needs here (RFC 6750, section 3): the route's, and the one beside it where the rights of an
// application are what changes.
func missingScope(r *enforce.Request, reasons []policies.Reason) string {
	for _, reason := range reasons {
		if reason.Rule == "admin.rights_scoped" {
			return "iam/applications:write iam/applications:write_scopes"
		}
	}
	return r.Permission
}

// writeMissing is the one reply for what is not there and for what is not shown.
func writeMissing(w http.ResponseWriter, r *enforce.Request) {
	writeProblem(w, r, Problem{Status: http.StatusNotFound, Code: "not_found", Detail: "there is no such object, or none for you to see"})
}

// WriteProblem maps any error but a denial. An unknown error is a 500 without detail.
func WriteProblem(w http.ResponseWriter, r *enforce.Request, err error) {
	var (
		protocol *enforce.ProtocolError
		unknown  *enforce.AuthenticationError
		refused  *denial
		conflict *storage.ConflictError
		items    *itemsError
	)
	switch {
	case errors.As(err, &items):
		writeProblem(w, r, items.problem)
	case errors.As(err, &refused):
		writeDenied(w, r, refused)
	case errors.As(err, &protocol):
		if protocol.Status == http.StatusNotFound && protocol.Code == notFoundCode {
			writeMissing(w, r)
			return
		}
		for name, values := range protocol.Header {
			w.Header()[name] = values
		}
		writeProblem(w, r, Problem{
			Status: protocol.Status, Code: protocol.Code, Detail: protocol.Detail, Pointer: protocol.Pointer, Parameter: protocol.Parameter,
			Reasons: protocol.Reasons,
		})
	case errors.As(err, &unknown):
		code := unknown.Code
		if code == "" {
			code = "unauthenticated"
		}
		writeUnauthenticated(w, r, unknown.Challenges, Problem{Code: code, Detail: unknown.Detail})
	case errors.Is(err, enforce.ErrUnauthenticated):
		writeUnauthenticated(w, r, nil, Problem{Code: "unauthenticated", Detail: "send a good credential"})
	case errors.Is(err, enforce.ErrNotFound):
		writeProblem(w, r, Problem{Status: http.StatusNotFound, Code: "no_such_route", Detail: "nothing is served at this path"})
	case errors.Is(err, enforce.ErrMethod):
		writeProblem(w, r, Problem{
			Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "the Allow header lists what this path takes",
		})
	case errors.Is(err, enforce.ErrOverloaded):
		w.Header().Set("Retry-After", retryAfter)
		writeProblem(w, r, Problem{
			Status: http.StatusServiceUnavailable, Code: "overloaded", Detail: "there are more requests than can be served now; try again",
		})
	case outage(err):
		w.Header().Set("Retry-After", retryAfter)
		writeProblem(w, r, Problem{
			Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "this cannot be told or done now; try again",
		})
	case errors.As(err, &conflict):
		writeProblem(w, r, Problem{
			Status: http.StatusConflict, Code: "conflict", Pointer: "/" + conflict.Index, Detail: "the " + conflict.Index + " is taken",
		})
	case errors.Is(err, storage.ErrNotFound):
		writeMissing(w, r)
	default:
		writeProblem(w, r, Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: ""})
	}
}

// outage reports whether err says that something cannot be told now, which is neither a denial nor a success.
func outage(err error) bool {
	for _, sentinel := range []error{
		storage.ErrUnavailable, policies.ErrUndecided, policies.ErrLogFull, enforce.ErrBusy, enforce.ErrRetry, storage.ErrStale,
		context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

func writeUnauthenticated(w http.ResponseWriter, r *enforce.Request, challenges []string, p Problem) {
	if len(challenges) == 0 {
		challenges = []string{Challenge}
	}
	w.Header()["Www-Authenticate"] = challenges
	p.Status = http.StatusUnauthorized
	writeProblem(w, r, p)
}

func writeProblem(w http.ResponseWriter, r *enforce.Request, p Problem) {
	p.Type = "urn:writ:problem:" + p.Code
	p.Title = strings.ToUpper(p.Code[:1]) + strings.ReplaceAll(p.Code[1:], "_", " ")
	p.DecisionID = w.Header().Get("Decision-Id")
	p.RequestID = r.ID
	p.Message = cmp.Or(p.Detail, p.Title)
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails; there is nobody to tell
}

const notFoundCode = "not_found"

// notFound is the error for an object that is not there.
func notFound() error {
	return &enforce.ProtocolError{Status: http.StatusNotFound, Code: notFoundCode, Detail: "there is no such object"}
}

// conflictError is a 409: the request is fine, the state is not.
func conflictError(code, pointer, detail string) error {
	return &enforce.ProtocolError{Status: http.StatusConflict, Code: code, Pointer: pointer, Detail: detail}
}
