package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// traces makes the spans of a node: one for a request, and below it one for each decision and one for each call of the store. What a
// span says is from closed lists, but for ids that the server made: no path, query, header, body, name or input. A nil *traces makes none.
type traces struct {
	tracer trace.Tracer
	// parents reads the traceparent of a request (W3C Trace Context). Its sampled flag is not followed: how much is traced is the
	// operator's to say, and not whoever asks.
	parents propagation.TraceContext
}

// newTraces makes spans of which percent in a hundred are recorded, chosen by the id of the trace, so that nodes choose alike.
func newTraces(processor sdktrace.SpanProcessor, percent int) (*traces, func(context.Context) error) {
	sampler := sdktrace.TraceIDRatioBased(float64(percent) / 100)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(processor), sdktrace.WithSampler(children{sampler}),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "writ"), attribute.String("service.version", readBuild().Version))),
	)
	return &traces{tracer: provider.Tracer("github.com/writ-authz/writ")}, provider.Shutdown
}

// children samples what is below a span of this process as that is, and everything else by the id of its trace.
type children struct{ root sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (s children) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	if !parent.IsValid() || parent.IsRemote() {
		return s.root.ShouldSample(p)
	}
	decision := sdktrace.Drop
	if parent.IsSampled() {
		decision = sdktrace.RecordAndSample
	}
	return sdktrace.SamplingResult{Decision: decision, Tracestate: parent.TraceState()}
}

// Description implements sdktrace.Sampler.
func (s children) Description() string { return "Children{" + s.root.Description() + "}" }

// openTraces sends spans to a collector by OTLP over HTTP, in the background; without an endpoint it makes none.
func (n *node) openTraces(ctx context.Context) error {
	if n.config.OTLPEndpoint == "" {
		return nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(n.config.OTLPEndpoint+"/v1/traces"))
	if err != nil {
		return fmt.Errorf("otlp_endpoint: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { n.logger.Warn("spans are lost", slog.Any("error", err)) }))
	var end func(context.Context) error
	n.traces, end = newTraces(sdktrace.NewBatchSpanProcessor(exporter), n.config.TraceSample)
	n.closers = append(n.closers, closer{"traces", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, flushTraces)
		defer cancel()
		if err := end(ctx); err != nil {
			n.logger.Warn("the last spans are lost", slog.Any("error", err)) // a collector that is away holds up no shutdown
		}
		return nil
	}})
	return nil
}

// flushTraces is how long the last spans may take at shutdown.
const flushTraces = 2 * time.Second

// request begins the span of a request and returns the request with it. Probes have none.
func (t *traces) request(r *http.Request, listener string) (*http.Request, trace.Span) {
	if t == nil || probe(r.Method+" "+r.URL.Path) {
		return r, nil
	}
	ctx := t.parents.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, method(r.Method), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method(r.Method)), attribute.String("writ.listener", listener),
	))
	return r.WithContext(ctx), span
}

// replied ends the span of a request; the span may be nil.
func replied(span trace.Span, event *enforce.Event, status int) {
	if span == nil {
		return
	}
	if event.Route != "" {
		span.SetName(event.Route)
		span.SetAttributes(attribute.String("http.route", event.Route))
	}
	span.SetAttributes(attribute.Int("http.response.status_code", status), attribute.String("writ.request_id", event.RequestID))
	if event.DecisionID != "" {
		span.SetAttributes(attribute.String("writ.decision_id", event.DecisionID))
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// traceID is that of the recorded span that ctx belongs to, or empty.
func traceID(ctx context.Context) string {
	if at := trace.SpanContextFromContext(ctx); at.IsSampled() {
		return at.TraceID().String()
	}
	return ""
}

// decision begins the span of one evaluation of policies.
func (t *traces) decision(ctx context.Context, q *policies.Question) (context.Context, func(policies.Decision, string)) {
	if t == nil {
		return ctx, func(policies.Decision, string) {}
	}
	ctx, span := t.tracer.Start(ctx, "policy "+string(q.Entrypoint), trace.WithAttributes(attribute.String("writ.entrypoint", string(q.Entrypoint))))
	return ctx, func(d policies.Decision, result string) {
		span.SetAttributes(
			attribute.String("writ.decision_id", d.ID), attribute.String("writ.result", result), attribute.String("writ.policy_revision", d.PolicyRevision),
		)
		if result == "error" {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// tracedStore makes a span of each call that a request waits for. What nodes do by themselves has none.
type tracedStore struct {
	storage.Store
	traces *traces
}

// of begins a span if ctx is that of a request.
func (s tracedStore) of(ctx context.Context, call, kind string) (context.Context, func(error)) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, func(error) {}
	}
	name := "store " + call
	attributes := []attribute.KeyValue{attribute.String("db.operation.name", call)}
	if kind != "" {
		name, attributes = name+" "+kind, append(attributes, attribute.String("db.collection.name", kind))
	}
	ctx, span := s.traces.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return ctx, func(err error) {
		if errors.Is(err, storage.ErrUnavailable) {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

func (s tracedStore) Get(ctx context.Context, into storage.Record, id string) error {
	ctx, done := s.of(ctx, "get", into.Kind().Name)
	err := s.Store.Get(ctx, into, id)
	done(err)
	return err
}

func (s tracedStore) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	ctx, done := s.of(ctx, "lookup", into.Kind().Name)
	err := s.Store.Lookup(ctx, into, index, value)
	done(err)
	return err
}

func (s tracedStore) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	ctx, done := s.of(ctx, "list", kind.Name)
	records, err := s.Store.List(ctx, kind, q)
	done(err)
	return records, err
}

func (s tracedStore) Sequence(ctx context.Context) (int64, error) {
	ctx, done := s.of(ctx, "sequence", "")
	sequence, err := s.Store.Sequence(ctx)
	done(err)
	return sequence, err
}

func (s tracedStore) Insert(ctx context.Context, r storage.Record) error {
	ctx, done := s.of(ctx, "insert", r.Kind().Name)
	err := s.Store.Insert(ctx, r)
	done(err)
	return err
}

func (s tracedStore) Update(ctx context.Context, r storage.Record) error {
	ctx, done := s.of(ctx, "update", r.Kind().Name)
	err := s.Store.Update(ctx, r)
	done(err)
	return err
}

func (s tracedStore) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	ctx, done := s.of(ctx, "delete", kind.Name)
	err := s.Store.Delete(ctx, kind, id, version)
	done(err)
	return err
}

func (s tracedStore) Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error {
	ctx, done := s.of(ctx, "transaction", "")
	err := s.Store.Txn(ctx, fn)
	done(err)
	return err
}
