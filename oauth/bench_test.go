package oauth_test

import (
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// discarded is a reply that nobody reads: the recorder's own allocations are not the server's.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }

func hotRequest(w *world, adjust ...func(*storage.Application)) func() int {
	w.application("app", []string{"ledger/accounts:read", "ledger/accounts:write"}, adjust...)
	header := http.Header{
		"Authorization": {basic("app", "secret of app")}, "Content-Type": {"application/x-www-form-urlencoded"},
	}
	target := &url.URL{Path: "/oauth2/token"}
	return func() int {
		request := &http.Request{
			Method: http.MethodPost, URL: target, Header: header, RemoteAddr: "192.0.2.1:1234",
			Body: io.NopCloser(strings.NewReader("grant_type=client_credentials")),
		}
		reply := &discarded{header: http.Header{}}
		w.handler.ServeHTTP(reply, request)
		return reply.status
	}
}

// allocations counts those of one request. The log is flushed before the count is taken, so that the figure does not
// depend on when its writer runs.
func allocations(t *testing.T, w *world, adjust ...func(*storage.Application)) uint64 {
	t.Helper()
	const requests = 500
	request := hotRequest(w, adjust...)
	for range 10 {
		if status := request(); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range requests {
		request()
	}
	if err := w.decisions.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / requests
}

// mostAllocations is PO-09's budget. 374 is what was reached; about 60 of them are ECDSA's, whose number is not the same on every
// processor, so that a closer bound would hold on some machines only.
const mostAllocations = 400

// PO-09: the decision and its log line are included. What this room and the mount take of it, beside rules and log, is at most 170,
// and what rules and log line take at most 230.
func TestPO09AllocationsOfClientCredentials(t *testing.T) {
	whole := allocations(t, newWorld(t))
	own := allocations(t, newWorld(t, decider(func(*policies.Decision) error { return nil })))
	t.Logf("%d allocations, %d without rules and with an all but empty log line", whole, own)
	if own > 170 {
		t.Fatalf("%d allocations without rules", own)
	}
	if whole > mostAllocations || whole-own > 230 {
		t.Errorf("%d allocations, of which rules and log line take %d", whole, whole-own)
	}
}

// The other formats and algorithms cost no more objects than ES256 does.
func TestPO09AllocationsPerFormat(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.name, func(t *testing.T) {
			count := allocations(t, newWorld(t), f.adjust)
			if t.Logf("%d allocations", count); count > mostAllocations {
				t.Errorf("%d allocations, want %d at most", count, mostAllocations)
			}
		})
	}
}

type format struct {
	name   string
	adjust func(*storage.Application)
}

// formats are all that an access token can be.
func formats() []format {
	of := func(kind, algorithm string) func(*storage.Application) {
		return func(a *storage.Application) { a.TokenFormat, a.TokenSigningAlg = kind, algorithm }
	}
	return []format{{"ES256", of("", "")}, {"RS256", of("jwt", "RS256")}, {"EdDSA", of("jwt", "EdDSA")}, {"opaque", of("opaque", "")}}
}

func BenchmarkClientCredentials(b *testing.B) {
	for _, f := range formats() {
		b.Run(f.name, func(b *testing.B) {
			request := hotRequest(newWorld(b), f.adjust)
			b.ReportAllocs()
			for b.Loop() {
				if status := request(); status != http.StatusOK {
					b.Fatal(status)
				}
			}
		})
	}
}

// BenchmarkToken is what each API pays for a bearer token: seen before, as it mostly is.
func BenchmarkToken(b *testing.B) {
	for _, f := range formats() {
		b.Run(f.name, func(b *testing.B) {
			w := newWorld(b)
			w.application("app", []string{"ledger/accounts:read"}, f.adjust)
			token := w.machine("app").text("access_token")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.server.Token(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
