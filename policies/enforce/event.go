package enforce

import "context"

// Event collects what is worth logging and counting about one request, on the way; whoever puts it into the context writes it at
// the end. It holds no body, no query and no credential.
type Event struct {
	RequestID  string
	Route      string // method and path template, empty where no route matched
	Entrypoint string
	DecisionID string
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
