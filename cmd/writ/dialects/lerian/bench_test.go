package lerian_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/cmd/writ/dialects"
	"github.com/writ-authz/writ/cmd/writ/dialects/lerian"
)

// discarded is a reply that nobody reads.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }

// hot are the two routes that are called all the time, each with what it natively is answered.
func hot() map[string]struct{ body, answer string } {
	claims := "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhcHBfMSIsInRlbmFudCI6ImFjbWUiLCJzY29wZSI6ImxlZGdlcjpyZWFkIn0.c2lnbmF0dXJl"
	return map[string]struct{ body, answer string }{
		"/v1/login/oauth/access_token": {
			`{"grantType":"client_credentials","clientId":"app_1","clientSecret":"writ_cs_secret"}`,
			`{"access_token":"` + claims + `","token_type":"Bearer","expires_in":3600,"scope":"ledger:read"}`,
		},
		"/v1/authorize": {`{"sub":"app_1","resource":"ledger","action":"read"}`, `{"decision":true,"context":{"decision_id":"x"}}`},
	}
}

// request is one of these, and everything that the dialect does for it; the native route costs nothing.
func request(path, body, answer string) func() int {
	native := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header["Decision-Id"], header["Content-Type"], header["Cache-Control"] = []string{"d"}, []string{"application/json"}, []string{"no-store"}
		_, _ = io.WriteString(w, answer)
	})
	m := &dialects.Mounted{Dialect: lerian.New(), Native: map[dialects.Plane]http.Handler{dialects.Public: native}, Now: time.Now}
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer a.eyJzdWIiOiJhcHBfMSIsInRlbmFudCI6ImFjbWUifQ.c"}, "User-Agent": {"test"}}
	target := &url.URL{Path: path}
	return func() int {
		w := &discarded{header: http.Header{}}
		m.ServeHTTP(w, &http.Request{Method: http.MethodPost, URL: target, Header: header, Body: io.NopCloser(strings.NewReader(body))})
		return w.status
	}
}

// TestDialectAllocations bounds what a dialect adds to the two routes that are called all the time.
func TestDialectAllocations(t *testing.T) {
	for path, most := range map[string]float64{"/v1/login/oauth/access_token": 130, "/v1/authorize": 130} {
		call := request(path, hot()[path].body, hot()[path].answer)
		if status := call(); status != http.StatusOK {
			t.Fatalf("%s: status %d", path, status)
		}
		if n := testing.AllocsPerRun(100, func() { call() }); n > most {
			t.Errorf("%s: %.0f allocations, want %.0f at most", path, n, most)
		} else {
			t.Logf("%s: %.0f allocations", path, n)
		}
	}
}

func BenchmarkDialect(b *testing.B) {
	for path, c := range hot() {
		b.Run(path[strings.LastIndexByte(path, '/')+1:], func(b *testing.B) {
			call := request(path, c.body, c.answer)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
