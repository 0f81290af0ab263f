package policies

import "context"

type dialectKey struct{}

// WithDialect returns a context for requests that came by a dialect: by the routes of another system, in front of Writ's own. Every question
// that is asked under it says so in input.context.dialect, which nobody else can set.
func WithDialect(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, dialectKey{}, name)
}

// Dialect is the name of the dialect by which a request came, empty for Writ's own routes.
func Dialect(ctx context.Context) string {
	name, _ := ctx.Value(dialectKey{}).(string)
	return name
}
