// Package commons stands in for a package of lib-commons, which no module proxy gives out. It has what lib-auth v2.5.0 calls, and does what
// the names say; nothing of Lerian's own text is in it.
package commons

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/LerianStudio/lib-commons/v4/commons/log"
)

// Response is an error of a service.
type Response struct {
	EntityType string `json:"entityType,omitempty"`
	Title      string `json:"title,omitempty"`
	Message    string `json:"message,omitempty"`
	Code       string `json:"code,omitempty"`
}

func (r Response) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Message) }

// NewTrackingFromContext returns what a request is tracked with: here nothing.
func NewTrackingFromContext(context.Context) (log.Logger, trace.Tracer, string, any) {
	return log.NewNop(), noop.NewTracerProvider().Tracer(""), "", nil
}

// IsNilOrEmpty says that a text is absent or blank.
func IsNilOrEmpty(s *string) bool { return s == nil || strings.TrimSpace(*s) == "" }
