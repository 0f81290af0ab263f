package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/storage"
)

// source is a server with one document, which counts who asks for it.
type source struct {
	*httptest.Server
	hits   atomic.Int64
	handle atomic.Pointer[http.HandlerFunc]
}

func newSource(tb testing.TB, handle http.HandlerFunc) *source {
	tb.Helper()
	s := &source{}
	s.serve(handle)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		(*s.handle.Load())(w, r)
	}))
	tb.Cleanup(s.Close)
	return s
}

func (s *source) serve(handle http.HandlerFunc) { s.handle.Store(&handle) }

func (s *source) want(tb testing.TB, hits int64) {
	tb.Helper()
	if got := s.hits.Load(); got != hits {
		tb.Fatalf("the source was asked %d times, not %d", got, hits)
	}
}

func text(body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for n := 0; n < len(headers); n += 2 {
			w.Header().Set(headers[n], headers[n+1])
		}
		_, _ = w.Write([]byte(body))
	}
}

func broken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }

// keySet is a JWK set of new keys with these ids.
func keySet(tb testing.TB, kids ...string) string {
	tb.Helper()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, kid := range kids {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: kid, Use: "sig"})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

// hands is a clock that is moved by hand.
type hands struct{ at atomic.Int64 }

func (h *hands) now() time.Time          { return time.Unix(0, h.at.Load()).UTC() }
func (h *hands) advance(d time.Duration) { h.at.Add(int64(d)) }

func fetching(tb testing.TB) (*fetcher, *hands) {
	tb.Helper()
	clock := &hands{}
	clock.at.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return newFetcher(clock.now, slog.New(slog.DiscardHandler), false), clock
}

// found fails unless the key ids that the fetcher finds are these.
func found(tb testing.TB, f *fetcher, url, kid string, want ...string) {
	tb.Helper()
	keys, err := f.keys(context.Background(), url, kid)
	if err != nil {
		tb.Fatalf("key %q: %v", kid, err)
	}
	got := []string{}
	for _, key := range keys {
		got = append(got, key.KeyID)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		tb.Fatalf("key %q: found %q, not %q", kid, got, want)
	}
}

func outage(tb testing.TB, f *fetcher, url, kid string) error {
	tb.Helper()
	keys, err := f.keys(context.Background(), url, kid)
	if !errors.Is(err, storage.ErrUnavailable) {
		tb.Fatalf("key %q: want an outage, got %d keys and %v", kid, len(keys), err)
	}
	return err
}

func TestF10AKeySetIsKeptForItsMaxAge(t *testing.T) {
	for _, tc := range []struct {
		control string
		age     time.Duration
	}{
		{"", 5 * time.Minute},
		{"max-age=600", 10 * time.Minute},
		{"public, Max-Age=600, must-revalidate", 10 * time.Minute},
		{"max-age=1", time.Minute},
		{"max-age=0", time.Minute},
		{"no-store", time.Minute},
		{"no-cache, max-age=600", time.Minute},
		{"max-age=999999", 24 * time.Hour},
		{"max-age=-5", 5 * time.Minute},
		{"max-age=99999999999999999999", 5 * time.Minute},
		{"max-age", 5 * time.Minute},
	} {
		f, clock := fetching(t)
		s := newSource(t, text(keySet(t, "a", "b"), "Cache-Control", tc.control))
		found(t, f, s.URL, "a", "a")
		clock.advance(tc.age - time.Millisecond)
		found(t, f, s.URL, "", "a", "b")
		s.want(t, 1)
		clock.advance(time.Millisecond)
		found(t, f, s.URL, "b", "b")
		s.want(t, 2)
		if f.succeeded.Load() != 2 || f.failed.Load() != 0 {
			t.Errorf("%q: counted %d and %d", tc.control, f.succeeded.Load(), f.failed.Load())
		}
	}
}

// An invented key id costs one fetch a minute, and does not turn a key that is genuine and new into one that is known to be wrong:
// until the set may be fetched again, nobody can tell.
func TestF10AnUnknownKeyIsLookedForOnceAMinute(t *testing.T) {
	f, clock := fetching(t)
	s := newSource(t, text(keySet(t, "a"), "Cache-Control", "max-age=3600"))
	found(t, f, s.URL, "x") // the set is new: nothing to be had by asking again
	s.want(t, 1)
	clock.advance(time.Second)
	found(t, f, s.URL, "x") // and known to lack it
	s.want(t, 1)
	found(t, f, s.URL, "y")
	s.want(t, 2)
	s.serve(text(keySet(t, "a", "b"), "Cache-Control", "max-age=3600"))
	for n := range 50 {
		outage(t, f, s.URL, fmt.Sprint("x", n))
	}
	outage(t, f, s.URL, "b")
	found(t, f, s.URL, "y")
	found(t, f, s.URL, "a", "a")
	s.want(t, 2)
	clock.advance(time.Minute - time.Millisecond)
	outage(t, f, s.URL, "b")
	s.want(t, 2)
	clock.advance(time.Millisecond)
	found(t, f, s.URL, "z") // whoever asks next has the set fetched, for all
	found(t, f, s.URL, "b", "b")
	found(t, f, s.URL, "a", "a")
	outage(t, f, s.URL, "y") // what was known of it is too old
	s.want(t, 3)
}

// What is remembered of key ids that are not there is bounded, and forgetting only means that it cannot be told.
func TestF10MissingKeysAreBounded(t *testing.T) {
	f, clock := fetching(t)
	s := newSource(t, text(keySet(t, "a"), "Cache-Control", "max-age=86400"))
	found(t, f, s.URL, "", "a")
	for n := range 3 * maxMissed {
		f.sets.miss(s.URL, fmt.Sprint("x", n))
	}
	if n := len(f.sets.touch(s.URL).missed); n > maxMissed {
		t.Errorf("%d are remembered", n)
	}
	clock.advance(time.Minute)
	found(t, f, s.URL, "y")
	found(t, f, s.URL, "y")
	if n := len(f.sets.touch(s.URL).missed); n != 1 {
		t.Errorf("%d are remembered after a minute", n)
	}
}

func TestF10ADeadSourceIsLeftAlone(t *testing.T) {
	f, clock := fetching(t)
	s := newSource(t, broken)
	hits := int64(0)
	for _, pause := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		hits++
		for range 5 {
			err := outage(t, f, s.URL, "a")
			if !strings.Contains(err.Error(), "502") {
				t.Fatal(err)
			}
		}
		s.want(t, hits)
		clock.advance(pause*time.Second - time.Millisecond)
		outage(t, f, s.URL, "a")
		s.want(t, hits)
		clock.advance(time.Millisecond)
	}
	if f.failed.Load() != hits {
		t.Errorf("%d failures are counted", f.failed.Load())
	}
	s.serve(text(keySet(t, "a")))
	found(t, f, s.URL, "a", "a")
	s.serve(broken)
	clock.advance(5 * time.Minute)
	found(t, f, s.URL, "a", "a")
	clock.advance(10 * time.Second) // the pauses begin anew
	found(t, f, s.URL, "a", "a")
	s.want(t, hits+3)
}

func TestP07KnownKeysServeWhileTheSourceIsDown(t *testing.T) {
	f, clock := fetching(t)
	s := newSource(t, text(keySet(t, "a")))
	found(t, f, s.URL, "a", "a")
	s.serve(broken)
	clock.advance(time.Hour)
	found(t, f, s.URL, "a", "a")
	s.want(t, 2)
	outage(t, f, s.URL, "new") // whether it has come since cannot be told
	found(t, f, s.URL, "a", "a")
	s.want(t, 2)
	clock.advance(23*time.Hour - time.Millisecond)
	found(t, f, s.URL, "a", "a")
	s.want(t, 3)
	clock.advance(time.Millisecond)
	outage(t, f, s.URL, "a")
	s.serve(text(keySet(t, "b")))
	clock.advance(time.Minute)
	found(t, f, s.URL, "", "b")
}

func TestF10OneFetchServesAllWhoWait(t *testing.T) {
	f, _ := fetching(t)
	began, release := make(chan struct{}), make(chan struct{})
	body := keySet(t, "a")
	s := newSource(t, func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-release
		_, _ = w.Write([]byte(body))
	})
	// The first one leaves, and the fetch goes on for the others.
	ctx, leave := context.WithCancel(context.Background())
	gone := make(chan error)
	go func() {
		_, err := f.keys(ctx, s.URL, "a")
		gone <- err
	}()
	<-began
	leave()
	if err := <-gone; !errors.Is(err, storage.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Fatalf("who leaves gets %v", err)
	}
	var waiting sync.WaitGroup
	results := make([]int, 20)
	for n := range results {
		waiting.Go(func() {
			keys, err := f.keys(context.Background(), s.URL, "a")
			if err == nil {
				results[n] = len(keys)
			}
		})
	}
	close(release)
	waiting.Wait()
	for n, count := range results {
		if count != 1 {
			t.Errorf("waiter %d has %d keys", n, count)
		}
	}
	s.want(t, 1)
}

func TestF10AHangingSourceIsAnOutage(t *testing.T) {
	f, _ := fetching(t)
	f.sets.timeout = 10 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	s := newSource(t, func(http.ResponseWriter, *http.Request) { <-release })
	if err := outage(t, f, s.URL, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if fetchTimeout != 3*time.Second || f.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("the timeout or the proxy is not what the contract says")
	}
}

func TestF10DocumentsAreBounded(t *testing.T) {
	padding := strings.Repeat(" ", maxDocument)
	many := make([]string, maxRemoteKeys+1)
	for n := range many {
		many[n] = fmt.Sprint("k", n)
	}
	for name, tc := range map[string]struct {
		body string
		ok   bool
	}{
		"a megabyte":          {padding[:maxDocument-len(`{"keys":[]}`)] + `{"keys":[]}`, true},
		"more than that":      {padding + `{"keys":[]}`, false},
		"a hundred keys":      {keySet(t, many[1:]...), true},
		"more keys than that": {keySet(t, many...), false},
		"no JSON":             {"<html>", false},
		"no set":              {`{}`, false},
		"null":                {`null`, false},
		"keys null":           {`{"keys":null}`, false},
		"two documents":       {`{"keys":[]}{"keys":[]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := fetching(t)
			s := newSource(t, text(tc.body))
			if _, err := f.keys(context.Background(), s.URL, ""); (err == nil) != tc.ok {
				t.Fatal(err)
			}
		})
	}
}

func TestF10SourcesAreBounded(t *testing.T) {
	f, _ := fetching(t)
	s := newSource(t, text(keySet(t, "a")))
	for n := range maxRemoteSources + 1 {
		found(t, f, fmt.Sprint(s.URL, "/", n), "a", "a")
		found(t, f, s.URL+"/0", "a", "a") // asked for all the time, it stays
	}
	s.want(t, maxRemoteSources+1)
	found(t, f, s.URL+"/1", "a", "a")
	s.want(t, maxRemoteSources+2)
	if len(f.sets.entries) != maxRemoteSources || f.sets.order.Len() != maxRemoteSources {
		t.Errorf("%d and %d sources are remembered", len(f.sets.entries), f.sets.order.Len())
	}
}

func TestF10OnlyKeysThatVerifyAreKept(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for kid, key := range map[string]any{
		"weak": weak.Public(), "private": p256, "secret": []byte("0123456789abcdef0123456789abcdef"), "p521": p521.Public(),
	} {
		rows = append(rows, jwk(t, kid, key, "sig"))
	}
	rows = append(
		rows, jwk(t, "encrypts", p256.Public(), "enc"), `{"kty":"OKP","crv":"X25519","x":"AAAA","kid":"x"}`, `{"kty":"AKP"}`, `7`,
		strings.Replace(jwk(t, "derives", edwards, "sig"), "{", `{"key_ops":["deriveKey"],`, 1),
		jwk(t, "rsa", strong.Public(), ""), jwk(t, "ec", p256.Public(), "sig"),
		strings.Replace(jwk(t, "ed", edwards, "sig"), "{", `{"key_ops":["verify"],`, 1),
	)
	f, _ := fetching(t)
	s := newSource(t, text(`{"keys":[`+strings.Join(rows, ",")+`]}`))
	found(t, f, s.URL, "", "rsa", "ec", "ed")
}

func jwk(tb testing.TB, kid string, key crypto.PublicKey, use string) string {
	tb.Helper()
	raw, err := (&jose.JSONWebKey{Key: key, KeyID: kid, Use: use}).MarshalJSON()
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

func TestF10URLsThatNothingIsFetchedFrom(t *testing.T) {
	for raw, ok := range map[string]bool{
		"https://idp.example.com/keys": true, "https://idp.example.com:8443/keys?v=2": true,
		"http://127.0.0.1:9/": true, "http://[::1]:9/": true, "http://localhost/keys": true, "https://localhost/": true,
		"http://idp.example.com/keys": false, "http://localhost.example.com/": false, "http://10.0.0.1/": false,
		"https://user:secret@idp.example.com/": false, "https://idp.example.com/#x": false, "https:///keys": false,
		"file:///etc/passwd": false, "gopher://127.0.0.1/": false, "/keys": false, "": false, "https:idp.example.com": false,
		"https://idp.example.com/" + strings.Repeat("a", maxRemoteURL): false,
	} {
		if _, err := parseRemote(raw); (err == nil) != ok {
			t.Errorf("%.60s: %v", raw, err)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v tells the password", err)
		}
	}
}

func TestF10AddressesThatAreNotReached(t *testing.T) {
	const public, private, local = "public", "private", "local"
	for address, kind := range map[string]string{
		"93.184.216.34": public, "2606:2800:220:1::1": public, "::ffff:93.184.216.34": public,
		"10.1.2.3": private, "172.16.0.1": private, "192.168.1.1": private, "100.64.0.1": private, "fc00::1": private,
		"fd12:3456::1": private, "::ffff:10.1.2.3": private,
		"127.0.0.1": local, "127.255.255.254": local, "::1": local, "::ffff:127.0.0.1": local,
		"169.254.169.254": "", "fe80::1": "", "fe80::1%eth0": "", "0.0.0.0": "", "::": "", "0.1.2.3": "", "224.0.0.1": "", "ff02::1": "",
		"255.255.255.255": "", "240.0.0.1": "", "192.0.0.8": "", "198.18.0.1": "", "64:ff9b::7f00:1": "", "2002:7f00:1::": "",
		"::7f00:1": "", "2001::1": "", "fec0::1": "", "fd00:ec2::254": "", "100.100.100.200": "",
	} {
		target := netip.MustParseAddr(address)
		got := [3]bool{reachable(target, false, false), reachable(target, false, true), reachable(target, true, true)}
		if want := [3]bool{kind == public, kind == public || kind == private, kind == local}; got != want {
			t.Errorf("%s: reached %v, not %v", address, got, want)
		}
	}
}

// A name on the Internet whose address is this machine: what is refused is the connection, after the name was resolved.
func TestF10ANameThatResolvesToThisMachineIsNotReached(t *testing.T) {
	f, clock := fetching(t)
	s := newSource(t, text(keySet(t, "a")))
	names := nameServer(t, netip.MustParseAddr("127.0.0.1"))
	f.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", names)
	}}
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []bool{false, true} {
		f.private = private
		err := outage(t, f, "https://idp.example.com:"+port+"/keys?token=secret", "a")
		if !strings.Contains(err.Error(), "must not be reached") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
		clock.advance(time.Hour)
	}
	s.want(t, 0)
}

// nameServer answers each question with one address, over UDP.
func nameServer(tb testing.TB, address netip.Addr) string {
	tb.Helper()
	listener, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			packet := make([]byte, 512)
			n, from, err := listener.ReadFrom(packet)
			if err != nil {
				return
			}
			end := 12 // RFC 1035, section 4.1: the question follows the header, a name of labels, type and class
			for end < n && packet[end] != 0 {
				end += int(packet[end]) + 1
			}
			end += 5
			reply := append([]byte{packet[0], packet[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, packet[12:end]...)
			if packet[end-3] == 1 { // A
				reply[7] = 1
				reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
				reply = append(reply, address.AsSlice()...)
			}
			_, _ = listener.WriteTo(reply, from)
		}
	}()
	return listener.LocalAddr().String()
}

func TestF10Redirects(t *testing.T) {
	body := keySet(t, "a")
	elsewhere := newSource(t, text(body))
	for name, tc := range map[string]struct {
		to   string
		want string // of the error; empty: followed
	}{
		"to another loopback server": {elsewhere.URL, ""},
		"twice":                      {"/2", ""},
		"three times":                {"/3", "more than 2 redirects"},
		"to a private address":       {"https://10.0.0.1/keys", "between loopback and other hosts"},
		"to the Internet":            {"https://idp.example.com/keys", "between loopback and other hosts"},
		"to plain http":              {"http://idp.example.com/keys", "plain http is for loopback"},
		"to a file":                  {"file:///etc/passwd", "must be"},
		"with a password":            {"http://user:secret@127.0.0.1/", "without user"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := fetching(t)
			s := newSource(t, nil)
			s.serve(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/":
					http.Redirect(w, r, tc.to, http.StatusFound)
				case "/3":
					http.Redirect(w, r, "/2", http.StatusFound)
				case "/2":
					http.Redirect(w, r, "/1", http.StatusFound)
				default:
					_, _ = w.Write([]byte(body))
				}
			})
			if tc.want == "" {
				found(t, f, s.URL+"/", "a", "a")
				return
			}
			if err := outage(t, f, s.URL+"/", "a"); !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
	// From the Internet to this machine, and from https down: judged before anything is dialled.
	for to, from := range map[string]string{
		"https://localhost/": "https://idp.example.com/", "http://127.0.0.1/": "https://idp.example.com/", "http://[::1]/": "https://[::1]/",
	} {
		if err := checkRedirect(httptest.NewRequest(http.MethodGet, to, nil), []*http.Request{httptest.NewRequest(http.MethodGet, from, nil)}); err == nil {
			t.Errorf("%s leads to %s", from, to)
		}
	}
}
