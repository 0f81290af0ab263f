package e2e

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans as an OpenTelemetry collector does, by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	raw   bytes.Buffer
	spans []*tracepb.Span
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &data)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, resource := range data.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// of returns the spans of a trace, by name; of those with one name the last.
func (c *collector) of(trace string) map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]*tracepb.Span{}
	for _, span := range c.spans {
		if hex.EncodeToString(span.TraceId) == trace {
			found[span.Name] = span
		}
	}
	return found
}

// said are the attributes of a span as text.
func said(span *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range span.GetAttributes() {
		all[a.Key] = strings.Trim(a.Value.String(), " ")
	}
	return all
}

func TestTracesJoinThoseOfTheCallerAndSayNoSecret(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "the collector of the test is on this machine: E2E_RUNNER=process runs it")
	sink := newCollector(t)
	s := fresh(t, Options{Env: map[string]string{"WRIT_OTLP_ENDPOINT": sink.URL, "OTEL_BSP_SCHEDULE_DELAY": "50"}})
	c := story(t, s).root()
	const caller, unsampled = "00f067aa0ba902b7", "-00"
	traced := func(trace string) *scenario { return c.with("traceparent", "00-"+trace+"-"+caller+unsampled) }

	const making, asking, failing = "4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4737", "4bf92f3577b34da6a3ce929d0e0e4738"
	secret := password()
	traced(making).post("/v1/users", object{"username": unique("ada"), "email": unique("ada") + "@example.com", "name": "Ada", "password": secret}).wantStatus(201)
	username, made := c.text("/username"), c.header("Decision-Id")
	traced(asking).post("/access/v1/evaluation", question("user", username, "read", "shop/things", "1")).wantStatus(200)
	asked := c.header("Decision-Id")
	traced(failing).get("/v1/users/" + uuid()).wantStatus(404)
	c.done()

	c.eventually(bindsWithin, func() {
		for trace, want := range map[string]struct{ route, status, decision string }{
			making:  {"POST /v1/users", "201", made},
			asking:  {"POST /access/v1/evaluation", "200", asked},
			failing: {"GET /v1/users/{id}", "404", ""},
		} {
			spans := sink.of(trace)
			request := spans[want.route]
			if request == nil {
				c.fail("no span %s among %d of trace %s", want.route, len(spans), trace)
				return
			}
			attributes := said(request)
			if hex.EncodeToString(request.ParentSpanId) != caller || request.Kind != tracepb.Span_SPAN_KIND_SERVER ||
				!strings.Contains(attributes["http.response.status_code"], want.status) || !strings.Contains(attributes["writ.decision_id"], want.decision) {
				c.fail("span %s: %v %v", want.route, request, attributes)
			}
			below := 0
			for name, span := range spans {
				if bytes.Equal(span.ParentSpanId, request.SpanId) && strings.HasPrefix(name, "policy writ/") && said(span)["writ.policy_revision"] != "" {
					below++
				}
			}
			if below == 0 {
				c.fail("no policy span below %s among %d spans", want.route, len(spans))
			}
		}
		if sink.of(making)["store transaction"] == nil {
			c.fail("the transaction that made the user has no span")
		}
	})

	if err := s.Stop(); err != nil { // which sends the rest
		t.Fatal(err)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	for secret, at := range newFinder(knownCanaries()).in(sink.raw.Bytes()) {
		t.Errorf("a secret is in the spans at %d: %.4s…", at, secret)
	}
	for _, name := range []string{username, "@example.com", "shop/things"} {
		if bytes.Contains(sink.raw.Bytes(), []byte(name)) {
			t.Errorf("%q is in the spans", name)
		}
	}
}

func TestTheShareOfTracesIsNotTheCallersToSay(t *testing.T) {
	binaryOnly(t)
	sink := newCollector(t)
	s := fresh(t, Options{Env: map[string]string{"WRIT_OTLP_ENDPOINT": sink.URL, "WRIT_TRACE_SAMPLE": "0"}})
	c := story(t, s).root()
	c.with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").get("/v1/users").wantStatus(200)
	c.done()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if len(sink.spans) > 0 {
		t.Errorf("%d spans although none are wanted", len(sink.spans))
	}
}

func TestACollectorThatIsAwayHoldsUpNothing(t *testing.T) {
	binaryOnly(t)
	s := fresh(t, Options{Env: map[string]string{"WRIT_OTLP_ENDPOINT": "http://127.0.0.1:1"}})
	c := story(t, s).root()
	c.get("/v1/users").wantStatus(200)
	c.done()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
