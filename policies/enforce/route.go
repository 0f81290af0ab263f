package enforce

import (
	"context"
	"net/http"
	"time"

	"github.com/writ-authz/writ/policies"
)

// Route is one row of a room's surface.
type Route struct {
	Method string
	// Path is a template such as "/v1/users/{id}/password/reset"; a parameter is a whole segment. The last one may be {name...}: it
	// stands for all segments that follow, of which there is at least one.
	Path string
	// Entrypoint, Type and Action say which question a request of this row asks. Type and Action must be in the catalogue.
	Entrypoint policies.Entrypoint
	Type       string
	Action     string
	// Obligations names the obligations that Respond obeys; a permit that carries another is an error.
	Obligations []string
	// Query names the query parameters the row knows; any other, or one given twice, is 400.
	Query []string
	// Body says what body the row reads; MaxBody is how large it may be, 0 for what the listener takes.
	Body    Body
	MaxBody int64
	// Shape says what the row reads and replies.
	Shape *Shape
	// Resolve parses and loads. It fails only as a protocol error; what the caller may do is not its business.
	Resolve func(ctx context.Context, r *Request) (Resolved, error)
}

// Body is the kind of body that a row reads.
type Body int

// NoBody rows ignore a body; JSONBody rows want one of type application/json (for PATCH also application/merge-patch+json);
// FormBody rows want application/x-www-form-urlencoded; OptionalForm and
// OptionalJSON rows take such a body or nothing.
const (
	NoBody Body = iota
	JSONBody
	FormBody
	OptionalForm
	OptionalJSON
)

// Resolved is what resolve found: the question, and what to do if it is permitted.
type Resolved struct {
	Question policies.Question // Entrypoint, Action, Resource.Type, Caller and Now are filled from the row where they are zero
	// Respond does the work. It returns ErrRetry, wrapped or not, when a compare-and-swap is lost: the request then resolves and
	// decides anew.
	Respond func(ctx context.Context, d policies.Decision) (Reply, error)
	// Denied, if not nil, is told of a denial, with its reasons, before it is written: to audit it, or to undo. Its error is the
	// reply.
	Denied func(ctx context.Context, d policies.Decision) error
}

// Request is one HTTP request on its way through a route.
type Request struct {
	HTTP   *http.Request
	ID     string            // request id
	Params map[string]string // path parameters, decoded once
	Query  map[string]string // the known query parameters that were given
	Body   []byte            // the whole body, within the limit; empty if there is none
	Caller *Caller           // nil on planes that authenticate in resolve, until resolve says who it is
	Now    time.Time
	// Attempt counts from 0; it is above 0 when a compare-and-swap was lost.
	Attempt int
	// Kept is what one attempt made at length and the next ones take over; nil in the first. Nobody else looks at it.
	Kept any
	// DecisionID is the id the request's decision will have.
	DecisionID string
	// Permission is what the route takes, as a scope writes it: "type:action".
	Permission string

	asking asking
	shape  *Shape
}

// Reply is a successful answer.
type Reply struct {
	Status int
	Header http.Header
	// Body is marshalled as JSON unless nil or a []byte, which is written as it is.
	Body any
}

// Plane is one API: who its callers are and what its errors look like.
type Plane struct {
	// Name goes into policies.Caller.Plane: policies.PlaneRuntime, policies.PlaneManagement, or empty for the OAuth endpoints.
	Name string
	// Authenticator finds the caller before anything else is looked at; nil where resolve authenticates.
	Authenticator Authenticator
	// LooseQuery lets unknown query parameters pass, unread.
	LooseQuery bool
	// Errors is what errors look like; Schemes name the ways in which a caller authenticates, in the order of preference: "bearer" or
	// "basic", and "" where a row may be asked without either.
	Errors  ErrorShape
	Schemes []string
	// WriteError maps any error but a denial to a reply. It must not show an unknown error to the caller.
	WriteError func(w http.ResponseWriter, r *Request, err error)
	// WriteDenial writes a denial. A decision with Conceal looks like a missing object.
	WriteDenial func(w http.ResponseWriter, r *Request, d policies.Decision, reasons []policies.Reason)
}

// Group is the rows of one plane.
type Group struct {
	Plane  Plane
	Routes []Route
}
