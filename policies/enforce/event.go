package enforce

import "context"

// Event collects what is worth logging and counting about one request, on the way; whoever puts it into the context writes it at
// the end. It holds no body, no query and no credential.
type Event struct {
	RequestID  string
	Route      string // method and path template, empty where no route matched
	Entrypoint string
	DecisionID string
	// Dialect is the one by which the request came. ParentID is then the id of the first decision of the request, for those behind it.
	Dialect, ParentID string
	// Outcome is "permit", "deny", "error", or empty where no decision was taken.
	Outcome string
	// Subject, Client and Tenant are the caller's ids.
	Subject, Client, Tenant string
	// Reasons are the codes of a denial.
	Reasons []string
	// Attempts counts resolve-decide-respond rounds; above 1 a compare-and-swap was lost.
	Attempts int
	// Err is what a 5xx came from. It is for the log, never for the caller.
	Err error
}

// Follow begins a native call of a dialect. One request may take several; the decisions behind the first have it as their parent, and its id
// is that of the request.
func (e *Event) Follow(dialect string) {
	e.Dialect = dialect
	if e.ParentID == "" {
		e.ParentID = e.DecisionID
	}
}

// Parent is the parent of a question that is asked beside a decision: that decision, or the first one of a dialect's request.
func (e *Event) Parent(decision string) string {
	if e.ParentID != "" {
		return e.ParentID
	}
	return decision
}

// decided notes the decision of a call.
func (e *Event) decided(id string) {
	if e.ParentID == "" {
		e.DecisionID = id
	}
}

type eventKey struct{}

// WithEvent returns a context that carries e.
func WithEvent(ctx context.Context, e *Event) context.Context {
	return context.WithValue(ctx, eventKey{}, e)
}

// EventFrom returns the context's event, or a fresh one that nobody will read.
func EventFrom(ctx context.Context) *Event {
	if e, ok := ctx.Value(eventKey{}).(*Event); ok {
		return e
	}
	return &Event{}
}
