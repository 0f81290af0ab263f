package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	writ "github.com/writ-authz/writ/cmd/writ"
	"github.com/writ-authz/writ/policies/enforce"
)

// framed sends one request through a frame and returns the reply and the events it logged.
func framed(t *testing.T, r *http.Request, next http.HandlerFunc) (*httptest.ResponseRecorder, []map[string]any) {
	t.Helper()
	var log bytes.Buffer
	clock := time.Unix(1700000000, 0)
	now := func() time.Time { clock = clock.Add(3 * time.Millisecond); return clock }
	reply := httptest.NewRecorder()
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	writ.Frame(next, logger, now).ServeHTTP(reply, r)
	var events []map[string]any
	for line := range strings.Lines(log.String()) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		delete(event, "time")
		events = append(events, event)
	}
	return reply, events
}

func TestOneEventPerRequestHoldsTheTemplateAndNoQuery(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/v1/users/canary?token=canary", strings.NewReader("canary"))
	r.Header.Set("X-Request-ID", "abc-1")
	r.Header.Set("Authorization", "Bearer canary")
	_, events := framed(t, r, func(w http.ResponseWriter, r *http.Request) {
		event := enforce.EventFrom(r.Context())
		event.Route, event.DecisionID, event.Outcome = "GET /v1/users/{id}", "d1", "deny"
		event.Subject, event.Client, event.Reasons, event.Attempts = "u1", "c1", []string{"not_granted"}, 2
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("no"))
	})
	want := []map[string]any{{
		"level": "INFO", "msg": "request", "request_id": "abc-1", "listener": "public", "method": "GET", "route": "GET /v1/users/{id}",
		"status": 403.0, "bytes": 2.0, "duration_ms": 3.0, "remote": "192.0.2.1", "decision_id": "d1", "outcome": "deny",
		"subject": "u1", "client_id": "c1", "reasons": "not_granted", "attempts": 2.0,
	}}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestRequestIDsOfCallersAreKeptOnlyIfPlain(t *testing.T) {
	for given, kept := range map[string]bool{
		"0af7-651.x_Z": true, "": false, "two words": false, "a\tb": false, "ünï": false, strings.Repeat("a", 129): false,
		strings.Repeat("a", 128): true, `"},"level":"x`: false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("X-Request-ID", given)
		reply, events := framed(t, r, func(http.ResponseWriter, *http.Request) {})
		id := reply.Header().Get("X-Request-ID")
		if (id == given) != kept || id == "" || events[0]["request_id"] != id {
			t.Errorf("X-Request-ID %q became %q, in the log %q", given, id, events[0]["request_id"])
		}
	}
}

func TestEveryReplyHasTheSecurityHeaders(t *testing.T) {
	reply, _ := framed(t, httptest.NewRequest(http.MethodGet, "/", http.NoBody), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
	})
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Strict-Transport-Security": "",
	} {
		if got := reply.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://auth.example.com/", http.NoBody)
	reply, _ = framed(t, r, func(http.ResponseWriter, *http.Request) {})
	if reply.Header().Get("Strict-Transport-Security") == "" {
		t.Error("a reply over TLS has no Strict-Transport-Security")
	}
}

func TestAPanicIsAFiveHundredWithoutDetail(t *testing.T) {
	reply, events := framed(t, httptest.NewRequest(http.MethodGet, "/", http.NoBody), func(http.ResponseWriter, *http.Request) {
		panic("canary")
	})
	if reply.Code != http.StatusInternalServerError || strings.Contains(reply.Body.String(), "canary") {
		t.Errorf("status %d: %s", reply.Code, reply.Body)
	}
	if got := reply.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if len(events) != 1 || events[0]["level"] != "ERROR" || !strings.Contains(events[0]["error"].(string), "panic: canary") {
		t.Errorf("events: %v", events)
	}
	// After the first byte the reply cannot be taken back; the log still has it.
	reply, events = framed(t, httptest.NewRequest(http.MethodGet, "/", http.NoBody), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("part"))
		panic("late")
	})
	if reply.Body.String() != "part" || len(events) != 1 {
		t.Errorf("body %q, %d events", reply.Body, len(events))
	}
	defer func() {
		if cause, ok := recover().(error); !ok || !errors.Is(cause, http.ErrAbortHandler) {
			t.Errorf("http.ErrAbortHandler was swallowed: %v", cause)
		}
	}()
	framed(t, httptest.NewRequest(http.MethodGet, "/", http.NoBody), func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})
}
