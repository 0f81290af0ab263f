package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
)

// frame is what stands around the handler of a listener: request id, headers, panics, the one log event and the counters.
type frame struct {
	listener string // "public" or "admin"
	next     refuser
	gate     *gate
	warm     *warm
	logger   *slog.Logger
	metrics  *metrics
	traces   *traces
	now      func() time.Time
	proxies  proxies
}

// ServeHTTP implements http.Handler.
func (f *frame) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := f.now()
	if place := placeAtDoor(r.Context()); place != exempt {
		f.gate.standInLine(place)
	} else if !f.gate.admit(classOf(f.listener, r.URL.Path)) {
		f.turnAway(w, r, started)
		return
	}
	f.warm.do(func() { f.serve(w, r, started) })
}

// serve serves a request that has a place.
func (f *frame) serve(w http.ResponseWriter, r *http.Request, started time.Time) {
	event := &enforce.Event{RequestID: requestID(r.Header.Get("X-Request-ID"))}
	r, span := f.traces.request(r, f.listener)
	r = r.WithContext(enforce.WithEvent(r.Context(), event))
	if len(f.proxies) > 0 {
		r.RemoteAddr = netip.AddrPortFrom(f.proxies.peer(r), 0).String() // of a copy: the server's own stays
	}
	rec := &recorder{ResponseWriter: w}
	f.headers(rec.Header(), r, event)
	defer func() {
		if cause := recover(); cause != nil {
			if cause == http.ErrAbortHandler {
				panic(cause)
			}
			event.Err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			f.crashed(rec, event)
		}
		f.finish(r, rec, event, f.now().Sub(started))
		replied(span, event, rec.status)
	}()
	f.next.ServeHTTP(rec, r)
}

// turnAway answers a request that finds no place in an overload.
func (f *frame) turnAway(w http.ResponseWriter, r *http.Request, started time.Time) {
	event := &enforce.Event{RequestID: requestID(r.Header.Get("X-Request-ID"))}
	f.refuse(w, r, event)
	f.turnedAway(r.Context(), event.RequestID, started)
}

// refuse writes that there is an overload.
func (f *frame) refuse(w http.ResponseWriter, r *http.Request, event *enforce.Event) {
	f.headers(w.Header(), r, event)
	f.next.Refuse(w, r.WithContext(enforce.WithEvent(r.Context(), event)), enforce.ErrOverloaded)
}

// turnedAway counts a request that was turned away. It costs as little as it can: there is no span, and no line in the log unless it is
// wanted.
func (f *frame) turnedAway(ctx context.Context, requestID string, started time.Time) {
	f.metrics.request(f.listener, "", http.StatusServiceUnavailable, f.now().Sub(started))
	if f.logger.Enabled(ctx, slog.LevelDebug) {
		f.logger.DebugContext(ctx, "turned away", "request_id", requestID, "listener", f.listener)
	}
}

// headers sets what every reply carries; a handler may set its own Cache-Control.
func (f *frame) headers(h http.Header, r *http.Request, event *enforce.Event) {
	h.Set("X-Request-ID", event.RequestID)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// crashed answers a request whose handler panicked, if nothing was sent yet. It says nothing about the cause.
func (f *frame) crashed(w *recorder, event *enforce.Event) {
	if w.status != 0 {
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusInternalServerError)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone if this fails
		"type": "about:blank", "title": "Internal Server Error", "status": http.StatusInternalServerError, "code": "internal_error",
		"request_id": event.RequestID,
	})
}

// finish writes the one event of a request. What it says is this list and nothing else: no path, query, header or body.
func (f *frame) finish(r *http.Request, w *recorder, event *enforce.Event, took time.Duration) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	f.metrics.request(f.listener, event.Route, w.status, took)
	attributes := []slog.Attr{
		slog.String("request_id", event.RequestID), slog.String("listener", f.listener), slog.String("method", method(r.Method)),
		slog.String("route", event.Route), slog.Int("status", w.status), slog.Int64("bytes", w.bytes),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.String("remote", remoteHost(r.RemoteAddr)),
	}
	for _, optional := range []struct{ key, value string }{
		{"dialect", event.Dialect},
		{"decision_id", event.DecisionID},
		{"outcome", event.Outcome},
		{"subject", event.Subject},
		{"client_id", event.Client},
		{"tenant", event.Tenant},
		{"trace_id", traceID(r.Context())},
		{"reasons", strings.Join(event.Reasons, " ")},
	} {
		if optional.value != "" {
			attributes = append(attributes, slog.String(optional.key, optional.value))
		}
	}
	if event.Attempts > 1 {
		attributes = append(attributes, slog.Int("attempts", event.Attempts))
	}
	level := slog.LevelInfo
	switch {
	case w.status >= http.StatusInternalServerError:
		level = slog.LevelError
		if event.Err != nil {
			attributes = append(attributes, slog.String("error", event.Err.Error()))
		}
	case probe(event.Route):
		level = slog.LevelDebug
	}
	f.logger.LogAttrs(r.Context(), level, "request", attributes...)
}

// probe names the routes that machines ask every few seconds.
func probe(route string) bool {
	_, path, _ := strings.Cut(route, " ")
	return path == "/livez" || path == "/readyz" || path == "/metrics"
}

// method keeps a made-up method out of the log.
func method(given string) string {
	switch given {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return given
	}
	return "other"
}

func remoteHost(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return host
}

// requestID keeps a caller's id if it is short and plain, and makes one otherwise.
func requestID(given string) string {
	plain := len(given) >= 1 && len(given) <= 128 && strings.IndexFunc(given, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) < 0
	if plain {
		return given
	}
	return rand.Text()
}

// recorder remembers what was sent.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
