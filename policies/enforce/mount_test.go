package enforce_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// fakePDP answers as it is told; its catalogue is the shipped one.
type fakePDP struct {
	allow       bool
	err, whyErr error
	obligations policies.Obligations
	asked       []*policies.Question
	catalogue   *policies.Catalogue
}

func (f *fakePDP) Decide(_ context.Context, q *policies.Question) (policies.Decision, error) {
	f.asked = append(f.asked, q)
	return policies.Decision{ID: q.ID, Allow: f.allow, Obligations: f.obligations}, f.err
}

func (f *fakePDP) Why(context.Context, *policies.Question, policies.Decision) ([]policies.Reason, error) {
	return []policies.Reason{{Code: "not_granted", Rule: "r"}}, f.whyErr
}

func (f *fakePDP) Catalogue() *policies.Catalogue { return f.catalogue }

// world is one listener with a single row and a log that can be read.
type world struct {
	t       *testing.T
	pdp     *fakePDP
	lines   bytes.Buffer
	log     *policies.Log
	handler http.Handler
}

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// loaded is the shipped catalogue, compiled once for all tests of the package.
var loaded = sync.OnceValues(func() (*policies.Catalogue, error) {
	pdp, err := policies.Open(context.Background(), policies.Config{Now: now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return pdp.Catalogue(), nil
})

func shipped(t *testing.T) *policies.Catalogue {
	t.Helper()
	catalogue, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return catalogue
}

func plane(name string) enforce.Plane {
	return enforce.Plane{
		Name: name,
		WriteError: func(w http.ResponseWriter, _ *enforce.Request, err error) {
			var protocol *enforce.ProtocolError
			status := http.StatusServiceUnavailable
			switch {
			case errors.As(err, &protocol):
				status = protocol.Status
			case errors.Is(err, enforce.ErrUnauthenticated):
				status = http.StatusUnauthorized
			case errors.Is(err, enforce.ErrNotFound):
				status = http.StatusNotFound
			case errors.Is(err, enforce.ErrMethod):
				status = http.StatusMethodNotAllowed
			}
			w.WriteHeader(status)
			fmt.Fprint(w, name+": "+err.Error())
		},
		WriteDenial: func(w http.ResponseWriter, _ *enforce.Request, _ policies.Decision, reasons []policies.Reason) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, reasons[0].Code)
		},
	}
}

func newWorld(t *testing.T, pdp *fakePDP, rows ...enforce.Route) *world {
	t.Helper()
	w := &world{t: t, pdp: pdp}
	pdp.catalogue = shipped(t)
	w.log = policies.NewLog(policies.LogConfig{Writer: &w.lines, Now: now})
	handler, err := enforce.Mount(enforce.Config{
		PDP: pdp, Log: w.log, Now: now, Fallback: plane("fallback"), MaxBody: 100,
		Groups: []enforce.Group{{Plane: plane("admin"), Routes: rows}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = handler
	return w
}

func (w *world) do(method, target, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder
}

// decisions closes the log and returns the decision ids of its lines.
func (w *world) decisions() (ids []string) {
	w.t.Helper()
	if err := w.log.Close(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	decoder := json.NewDecoder(&w.lines)
	for {
		var line struct {
			DecisionID string `json:"decision_id"`
		}
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			return ids
		} else if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, line.DecisionID)
	}
}

// row is a row that answers 200 and counts its steps.
func row(steps *[]string, respond func(attempt int) error) enforce.Route {
	return enforce.Route{
		Method: http.MethodPost, Path: "/v1/things/{id}", Entrypoint: policies.EntryAdmin, Type: "iam/users", Action: "read",
		Query: []string{"q"}, Body: enforce.JSONBody, Obligations: []string{"filter"},
		Resolve: func(_ context.Context, r *enforce.Request) (enforce.Resolved, error) {
			*steps = append(*steps, "resolve")
			return enforce.Resolved{
				Question: policies.Question{Subject: policies.Nobody("user", r.Params["id"])},
				Respond: func(context.Context, policies.Decision) (enforce.Reply, error) {
					*steps = append(*steps, "respond")
					if err := respond(r.Attempt); err != nil {
						return enforce.Reply{}, err
					}
					return enforce.Reply{Status: http.StatusOK, Body: map[string]string{"q": r.Query["q"]}}, nil
				},
			}, nil
		},
	}
}

func fine(int) error { return nil }

func TestAPermitRespondsOnceAndIsLoggedOnce(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, fine))
	reply := w.do(http.MethodPost, "/v1/things/7?q=x", "application/json", "{}")
	if reply.Code != http.StatusOK || reply.Body.String() != `{"q":"x"}` {
		t.Fatalf("got %d %s", reply.Code, reply.Body)
	}
	if ids := w.decisions(); len(ids) != 1 || ids[0] == "" || ids[0] != reply.Header().Get("Decision-Id") {
		t.Errorf("log has %v, header %q", ids, reply.Header().Get("Decision-Id"))
	}
	if q := w.pdp.asked[0]; q.Action != "read" || q.Resource.Type != "iam/users" || !q.Now.Equal(now()) {
		t.Errorf("the row did not complete the question: %+v", q)
	}
}

func TestADenialNeverResponds(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{}, row(&steps, fine))
	reply := w.do(http.MethodPost, "/v1/things/7", "application/json", "{}")
	if reply.Code != http.StatusForbidden || strings.Join(steps, " ") != "resolve" {
		t.Fatalf("got %d after %v", reply.Code, steps)
	}
	if ids := w.decisions(); len(ids) != 1 || ids[0] != reply.Header().Get("Decision-Id") {
		t.Errorf("log has %v", ids)
	}
}

func TestAnErrorIs503AndNothingElse(t *testing.T) {
	lifetime := int64(1)
	for name, pdp := range map[string]*fakePDP{
		"evaluation error":         {allow: true, err: policies.ErrUndecided},
		"any error":                {allow: true, err: errors.New("boom")},
		"why errs":                 {whyErr: policies.ErrUndecided},
		"obligation nobody obeys":  {allow: true, obligations: policies.Obligations{Lifetime: &lifetime}},
		"conceal beside a permit ": {allow: true, obligations: policies.Obligations{Conceal: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []string
			w := newWorld(t, pdp, row(&steps, fine))
			reply := w.do(http.MethodPost, "/v1/things/7", "application/json", "{}")
			if reply.Code != http.StatusServiceUnavailable || strings.Join(steps, " ") != "resolve" {
				t.Fatalf("got %d after %v", reply.Code, steps)
			}
			if ids := w.decisions(); len(ids) != 1 || ids[0] != reply.Header().Get("Decision-Id") {
				t.Errorf("log has %v", ids)
			}
		})
	}
}

func TestALostSwapResolvesAndDecidesAnewUnderOneID(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, func(attempt int) error {
		if attempt < 2 {
			return fmt.Errorf("update: %w", enforce.ErrRetry)
		}
		return nil
	}))
	reply := w.do(http.MethodPost, "/v1/things/7", "application/json", "{}")
	if reply.Code != http.StatusOK || len(steps) != 6 || len(w.pdp.asked) != 3 {
		t.Fatalf("got %d after %v", reply.Code, steps)
	}
	if ids := w.decisions(); len(ids) != 1 || ids[0] != reply.Header().Get("Decision-Id") {
		t.Errorf("discarded attempts are logged: %v", ids)
	}
}

func TestASwapLostForeverIs503(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, func(int) error { return enforce.ErrRetry }))
	if reply := w.do(http.MethodPost, "/v1/things/7", "application/json", "{}"); reply.Code != http.StatusServiceUnavailable {
		t.Fatalf("got %d", reply.Code)
	}
}

func TestAFullRequiredLogRefusesBeforeAnythingIsDone(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, fine))
	blocked, unblock := io.Pipe()
	defer blocked.Close()
	full := policies.NewLog(policies.LogConfig{Writer: unblock, Queue: 1, Required: true, Now: now})
	handler, err := enforce.Mount(enforce.Config{
		PDP: w.pdp, Log: full, Now: now, Fallback: plane("fallback"),
		Groups: []enforce.Group{{Plane: plane("admin"), Routes: []enforce.Route{row(&steps, fine)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = handler
	refused := 0
	for range 10 { // the writer holds one line, the queue another; the pipe is never read
		steps = steps[:0]
		if reply := w.do(http.MethodPost, "/v1/things/7", "application/json", "{}"); reply.Code == http.StatusServiceUnavailable {
			refused++
			if len(steps) != 0 {
				t.Fatalf("refused after %v", steps)
			}
		}
	}
	if refused < 7 {
		t.Errorf("only %d of 10 were refused", refused)
	}
}

func TestProtocolErrorsTakeNoDecision(t *testing.T) {
	for _, tc := range []struct {
		name, method, target, contentType, body string
		status                                  int
		says                                    string
	}{
		{"no such path", "POST", "/nope", "application/json", "{}", 404, "fallback"},
		{"wrong method speaks the plane's language", "GET", "/v1/things/7", "", "", 405, "admin"},
		{"encoded slash", "POST", "/v1/things/a%2Fb", "application/json", "{}", 404, ""},
		{"encoded slash, lower case", "POST", "/v1/things/a%2fb", "application/json", "{}", 404, ""},
		{"encoded backslash", "POST", "/v1/things/a%5cb", "application/json", "{}", 404, ""},
		{"doubled slash", "POST", "//v1/things/7", "application/json", "{}", 404, ""},
		{"dots", "POST", "/v1/x/../things/7", "application/json", "{}", 404, ""},
		{"trailing slash", "POST", "/v1/things/7/", "application/json", "{}", 404, ""},
		{"wrong type", "POST", "/v1/things/7", "text/plain", "{}", 415, ""},
		{"no type", "POST", "/v1/things/7", "", "{}", 415, ""},
		{"other charset", "POST", "/v1/things/7", "application/json; charset=utf-16", "{}", 415, ""},
		{"merge patch is for PATCH", "POST", "/v1/things/7", "application/merge-patch+json", "{}", 415, ""},
		{"too large", "POST", "/v1/things/7", "application/json", strings.Repeat(" ", 101), 413, ""},
		{"unknown parameter", "POST", "/v1/things/7?z=1", "application/json", "{}", 400, "in z"},
		{"operator parameter", "POST", "/v1/things/7?filter[$where]=1", "application/json", "{}", 400, "filter[$where]"},
		{"repeated parameter", "POST", "/v1/things/7?q=1&q=2", "application/json", "{}", 400, "in q"},
		{"malformed query", "POST", "/v1/things/7?q=%zz", "application/json", "{}", 400, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var steps []string
			w := newWorld(t, &fakePDP{allow: true}, row(&steps, fine))
			reply := w.do(tc.method, tc.target, tc.contentType, tc.body)
			if reply.Code != tc.status || !strings.Contains(reply.Body.String(), tc.says) {
				t.Fatalf("got %d %s", reply.Code, reply.Body)
			}
			if len(steps) != 0 || len(w.pdp.asked) != 0 || reply.Header().Get("Decision-Id") != "" || len(w.decisions()) != 0 {
				t.Error("a decision was taken")
			}
			if tc.status == 405 && reply.Header().Get("Allow") != "POST" {
				t.Errorf("Allow is %q", reply.Header().Get("Allow"))
			}
		})
	}
}

func TestCompressedBodiesAreRefused(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, fine))
	r := httptest.NewRequest(http.MethodPost, "/v1/things/7", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	reply := httptest.NewRecorder()
	if w.handler.ServeHTTP(reply, r); reply.Code != http.StatusUnsupportedMediaType {
		t.Errorf("got %d", reply.Code)
	}
}

// late is a body whose connection has a deadline that passes.
type late struct{ sent io.Reader }

func (l late) Read(p []byte) (int, error) {
	if n, _ := l.sent.Read(p); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("read tcp: %w", os.ErrDeadlineExceeded)
}

func TestSH15ABodyThatDoesNotArriveIsTooLate(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, fine))
	r := httptest.NewRequest(http.MethodPost, "/v1/things/7", late{strings.NewReader("{")})
	r.Header.Set("Content-Type", "application/json")
	reply := httptest.NewRecorder()
	if w.handler.ServeHTTP(reply, r); reply.Code != http.StatusRequestTimeout || len(steps) != 0 {
		t.Errorf("got %d after %v", reply.Code, steps)
	}
}

type refusing struct{}

func (refusing) Authenticate(context.Context, *http.Request) (*enforce.Caller, error) {
	return nil, &enforce.AuthenticationError{Detail: "no credential"}
}

func TestWhoIsUnknownLearnsNothingElse(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, fine))
	guarded := plane("admin")
	guarded.Authenticator = refusing{}
	handler, err := enforce.Mount(enforce.Config{
		PDP: w.pdp, Log: w.log, Now: now, Fallback: plane("fallback"),
		Groups: []enforce.Group{{Plane: guarded, Routes: []enforce.Route{row(&steps, fine)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = handler
	for _, target := range []string{"/v1/things/7", "/v1/things/7?z=1"} {
		if reply := w.do(http.MethodPost, target, "text/plain", "garbage"); reply.Code != http.StatusUnauthorized || len(steps) != 0 {
			t.Errorf("%s: got %d after %v", target, reply.Code, steps)
		}
	}
}

func TestMountRefusesWhatIsHalfConfigured(t *testing.T) {
	var steps []string
	good := row(&steps, fine)
	catalogue := shipped(t)
	log := policies.NewLog(policies.LogConfig{Writer: io.Discard, Now: now})
	config := func(rows ...enforce.Route) enforce.Config {
		return enforce.Config{
			PDP: &fakePDP{catalogue: catalogue}, Log: log, Now: now, Fallback: plane("fallback"),
			Groups: []enforce.Group{{Plane: plane("admin"), Routes: rows}},
		}
	}
	change := func(f func(*enforce.Route)) enforce.Route { r := good; f(&r); return r }
	for name, c := range map[string]enforce.Config{
		"duplicate":         config(good, good),
		"same shape":        config(good, change(func(r *enforce.Route) { r.Path = "/v1/things/{id}" })),
		"unknown action":    config(change(func(r *enforce.Route) { r.Action = "fly" })),
		"unknown type":      config(change(func(r *enforce.Route) { r.Type = "iam/dragons" })),
		"colon in path":     config(change(func(r *enforce.Route) { r.Path = "/v1/things/{id}:fly" })),
		"half a parameter":  config(change(func(r *enforce.Route) { r.Path = "/v1/things/x{id}" })),
		"relative path":     config(change(func(r *enforce.Route) { r.Path = "v1/things" })),
		"no resolve":        config(change(func(r *enforce.Route) { r.Resolve = nil })),
		"no entrypoint":     config(change(func(r *enforce.Route) { r.Entrypoint = "" })),
		"decided open path": config(change(func(r *enforce.Route) { r.Path = "/livez" })),
		"no error writer":   {PDP: &fakePDP{catalogue: catalogue}, Log: log, Now: now, Groups: []enforce.Group{{Routes: []enforce.Route{good}}}},
		"nil PDP":           {Log: log, Now: now},
		"typed nil PDP":     {PDP: (*policies.PDP)(nil), Log: log, Now: now},
		"nil log":           {PDP: &fakePDP{catalogue: catalogue}, Now: now},
		"unlisted open path": {
			PDP: &fakePDP{catalogue: catalogue}, Log: log, Now: now,
			Open: []enforce.OpenRoute{{Method: http.MethodGet, Path: "/v1/open"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := enforce.Mount(c); err == nil {
				t.Error("it was mounted")
			}
		})
	}
	if _, err := enforce.Mount(config(good)); err != nil {
		t.Errorf("a good table was refused: %v", err)
	}
}

func TestParametersReachTheRowDecodedOnce(t *testing.T) {
	var steps []string
	w := newWorld(t, &fakePDP{allow: true}, row(&steps, fine))
	w.do(http.MethodPost, "/v1/things/"+url.PathEscape("a b%41"), "application/json", "{}")
	if got := w.pdp.asked[0].Subject.Identity().ID; got != "a b%41" {
		t.Errorf("got %q", got)
	}
}
