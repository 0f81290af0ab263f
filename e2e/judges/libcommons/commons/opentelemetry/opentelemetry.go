// Package opentelemetry stands in for a package of lib-commons; see commons.
package opentelemetry

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// ExtractHTTPContext continues the trace of a request.
func ExtractHTTPContext(ctx context.Context, c *fiber.Ctx) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(c.GetReqHeaders()))
}

// InjectHTTPContext hands the trace on.
func InjectHTTPContext(ctx context.Context, header http.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
}

// HandleSpanError notes an error.
func HandleSpanError(span trace.Span, _ string, err error) { span.RecordError(err) }

// SetSpanAttributesFromValue notes a value, which is of no use to a test.
func SetSpanAttributesFromValue(trace.Span, string, any, any) error { return nil }
