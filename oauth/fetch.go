package oauth

import (
	"container/list"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/storage"
)

const (
	// fetchTimeout bounds one fetch with its redirects; whoever asks for the document waits for so long at most.
	fetchTimeout   = 3 * time.Second
	fetchRedirects = 2
	// maxDocument is the longest document, in bytes, unpacked.
	maxDocument      = 1 << 20
	maxRemoteURL     = 2048
	maxRemoteKeys    = 100
	maxRemoteSources = 1000
	// maxMissed is how many key ids that are not in a set are remembered.
	maxMissed = 100

	// A document is kept for the max-age of its reply, within these bounds.
	minRemoteAge     = time.Minute
	defaultRemoteAge = 5 * time.Minute
	maxRemoteAge     = 24 * time.Hour
	// maxRemoteUse is how old a document may be that stands in while its source is down.
	maxRemoteUse = 24 * time.Hour
	// A source that failed is left alone for a while that doubles with each failure.
	minBackoff = 10 * time.Second
	maxBackoff = 5 * time.Minute
	// forcedPause lies between two fetches that an unknown key id asked for, whoever asked.
	forcedPause = time.Minute

	minRSA = 2048
	maxRSA = 8192 // verifying costs by the square of it
)

// fetcher gets what other servers publish about themselves, in place of fosite's JWKS strategy (F-10): key sets and discovery
// documents, by URLs that were registered, never by ones that a token names.
//
// It speaks https, or http where the URL's host is loopback. A loopback URL reaches loopback only, and any other never reaches
// loopback, private or link-local addresses: that is judged on the address that is dialled, so neither DNS nor a redirect gets
// around it. It uses no proxy.
type fetcher struct {
	client *http.Client
	// private lets URLs reach private networks (RFC 1918, RFC 4193, RFC 6598), for servers on the premises.
	private  bool
	resolver *net.Resolver // nil is the system's
	logger   *slog.Logger
	sets     *shelf[[]jose.JSONWebKey]

	succeeded, failed atomic.Int64
}

func newFetcher(now func() time.Time, logger *slog.Logger, private bool) *fetcher {
	f := &fetcher{private: private, logger: logger}
	f.client = &http.Client{
		Transport: &http.Transport{
			DialContext:     f.dial,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			// Fetches are minutes apart, and an idle connection would outlive the check of its address.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: checkRedirect,
	}
	f.sets = newShelf(now, func(ctx context.Context, url string) ([]jose.JSONWebKey, time.Duration, error) {
		body, age, err := f.fetch(ctx, url)
		if err != nil {
			return nil, 0, err
		}
		keys, err := parseKeySet(body)
		return keys, age, err
	})
	f.sets.names = keyIDs
	return f
}

// keys returns the keys of the set at a URL that can verify signatures: those with this key id, or all of them where kid is
// empty. None is an answer: the set, as it was within the last forcedPause, has no such key. For an unknown key id the set is
// fetched anew, once a minute at most, whoever asks. An error wraps storage.ErrUnavailable: there is no set that could be used, or
// no way to tell whether the key is new. So an invented key id that used up the fetch makes nobody's genuine one invalid.
// The keys must not be modified.
func (f *fetcher) keys(ctx context.Context, url, kid string) ([]jose.JSONWebKey, error) {
	for _, force := range []bool{false, true} {
		got, err := f.sets.get(ctx, url, force)
		if err != nil {
			return nil, err
		}
		if kid == "" {
			return got.value, nil
		}
		var found []jose.JSONWebKey
		for _, key := range got.value {
			if key.KeyID == kid {
				found = append(found, key)
			}
		}
		switch {
		case len(found) > 0:
			return found, nil
		case got.failure != nil:
			return nil, got.failure
		case got.awaited:
			f.sets.miss(url, kid)
			return nil, nil
		case f.sets.missed(url, kid):
			return nil, nil
		}
	}
	return nil, errMaybeNew
}

func keyIDs(keys []jose.JSONWebKey) []string {
	ids := make([]string, len(keys))
	for n, key := range keys {
		ids[n] = key.KeyID
	}
	return ids
}

// errMaybeNew says that a key id is not in the set that is held, which may have been published since.
var errMaybeNew = sourceDown{errors.New("the key may be newer than the key set, which is fetched again within a minute")}

// statusError is a reply that is not 200.
type statusError int

func (e statusError) Error() string {
	return "the reply is " + strconv.Itoa(int(e)) + " instead of 200"
}

// fetch gets one document and how long it may be kept. Its errors carry neither the body nor the query of the URL.
func (f *fetcher) fetch(ctx context.Context, raw string) (body []byte, age time.Duration, err error) {
	source, err := parseRemote(raw)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err == nil {
			f.succeeded.Add(1)
			return
		}
		f.failed.Add(1)
		f.logger.WarnContext(ctx, "fetch failed", "source", source.Host+source.Path, "error", err)
		err = fmt.Errorf("fetch %s%s: %w", source.Host, source.Path, err)
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, source.String(), nil)
	if err != nil {
		return nil, 0, errors.New("the URL cannot be requested")
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	request.Header.Set("User-Agent", "writ")
	reply, err := f.client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL
		}
		return nil, 0, err
	}
	defer func() { _ = reply.Body.Close() }()
	if reply.StatusCode != http.StatusOK {
		return nil, 0, statusError(reply.StatusCode)
	}
	body, err = io.ReadAll(io.LimitReader(reply.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(body) > maxDocument:
		return nil, 0, fmt.Errorf("the document is longer than %d bytes", maxDocument)
	}
	return body, remoteAge(reply.Header.Get("Cache-Control")), nil
}

// remoteAge is the max-age of RFC 9111, section 5.2.2, within our bounds.
func remoteAge(control string) time.Duration {
	age := defaultRemoteAge
	for directive := range strings.SplitSeq(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minRemoteAge
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err == nil {
				age = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(age, minRemoteAge), maxRemoteAge)
}

// parseRemote refuses URLs that nothing may be fetched from. Which addresses the host has is asked when it is dialled.
func parseRemote(raw string) (*url.URL, error) {
	parsed, err := url.Parse(raw)
	if err != nil || len(raw) > maxRemoteURL || parsed.Hostname() == "" || parsed.User != nil || parsed.Fragment != "" {
		return nil, errors.New("the URL must be absolute, without user and fragment")
	}
	if parsed.Scheme != "https" && (parsed.Scheme != "http" || !loopbackHost(parsed.Hostname())) {
		return nil, errors.New("the URL must be https; plain http is for loopback")
	}
	return parsed, nil
}

// loopbackHost reports whether a URL's host says by itself that it is this machine.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// checkRedirect holds each step to the rules of the first URL: a redirect leads neither to this machine nor away from it, and
// not from https to http.
func checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > fetchRedirects {
		return fmt.Errorf("more than %d redirects", fetchRedirects)
	}
	if _, err := parseRemote(request.URL.String()); err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case loopbackHost(first.Hostname()) != loopbackHost(request.URL.Hostname()):
		return errors.New("a redirect between loopback and other hosts")
	case last.Scheme == "https" && request.URL.Scheme != "https":
		return errors.New("a redirect from https to http")
	}
	return nil
}

// dial connects to an address that the host of the URL may have.
func (f *fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	local := loopbackHost(host)
	dialer := net.Dialer{Resolver: f.resolver, Control: func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !reachable(target.Addr(), local, f.private) {
			return errors.New("the host has an address that must not be reached from here")
		}
		return nil
	}}
	return dialer.DialContext(ctx, network, address)
}

// privateNetworks are what IsPrivate does not know: shared address space (RFC 6598).
var privateNetworks = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}

// specialNetworks are addresses of no server on the Internet that netip has no question for (RFC 6890), and those that carry an
// IPv4 address inside, which a gateway would unpack.
var specialNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::/96"),
	// Metadata services of clouds that are not at a link-local address.
	netip.MustParsePrefix("fd00:ec2::/32"), netip.MustParsePrefix("100.100.100.200/32"),
}

// reachable reports whether an address may be dialled for a host that is loopback, or is not.
func reachable(address netip.Addr, local, private bool) bool {
	address = address.Unmap().WithZone("")
	within := func(networks []netip.Prefix) bool {
		return slices.ContainsFunc(networks, func(network netip.Prefix) bool { return network.Contains(address) })
	}
	switch {
	case local:
		return address.IsLoopback()
	case !address.IsGlobalUnicast(), within(specialNetworks):
		return false
	case address.IsPrivate(), within(privateNetworks):
		return private
	}
	return true
}

// parseKeySet reads a JWK set (RFC 7517, section 5) and keeps what can verify a signature. A key of a kind that is not known is
// passed over, as that section asks; so is one that is too weak, and one that shows a secret.
func parseKeySet(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch err := json.Unmarshal(body, &set); {
	case err != nil || set.Keys == nil:
		return nil, errors.New("the document is no JWK set")
	case len(set.Keys) > maxRemoteKeys:
		return nil, fmt.Errorf("the set has more than %d keys", maxRemoteKeys)
	}
	keys := make([]jose.JSONWebKey, 0, len(set.Keys))
	for _, raw := range set.Keys {
		var purpose struct {
			Operations []string `json:"key_ops"`
		}
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &purpose) != nil || key.UnmarshalJSON(raw) != nil {
			continue
		}
		if (purpose.Operations == nil || slices.Contains(purpose.Operations, "verify")) && verifies(&key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// verifies reports whether a key is public, for signatures, and of a kind and strength that is accepted.
func verifies(key *jose.JSONWebKey) bool {
	if !key.IsPublic() || (key.Use != "" && key.Use != "sig") {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSA && public.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey:
		return public.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return len(public) == ed25519.PublicKeySize
	}
	return false
}

// shelf remembers documents by URL. It is bounded: the one that was not asked for longest is forgotten.
type shelf[T any] struct {
	now func() time.Time
	// load gets a document and how long it may be kept.
	load    func(ctx context.Context, url string) (T, time.Duration, error)
	timeout time.Duration // of a load
	// names are those of the parts of a document; nil where nobody asks for parts.
	names func(T) []string

	mu      sync.Mutex
	order   *list.List // of *shelved[T], the last asked for in front
	entries map[string]*list.Element
}

// shelved is what is known of one source. Its shelf's lock guards it.
type shelved[T any] struct {
	url              string
	value            T
	known            bool // there is a value
	fetched, expires time.Time
	forced           time.Time // when an unknown key id last asked for a fetch
	failure          error     // of the last attempt
	failures         int       // in a row
	retry            time.Time // not tried before
	flight           chan struct{}
	// missed are the names that were not in a value that was fetched for them, or not any more, and when that was.
	missed map[string]time.Time
}

// sourceDown is why a document cannot be had. It is a storage.ErrUnavailable, as what depends on it cannot be told now.
type sourceDown struct{ error }

func (e sourceDown) Unwrap() error { return e.error }

// Is makes errors.Is(err, storage.ErrUnavailable) hold.
func (e sourceDown) Is(target error) bool { return target == storage.ErrUnavailable }

// outcome is a document. Failure says that the last attempt to renew it failed; awaited that it was fetched since one asked.
type outcome[T any] struct {
	value   T
	failure error
	awaited bool
}

func newShelf[T any](now func() time.Time, load func(context.Context, string) (T, time.Duration, error)) *shelf[T] {
	return &shelf[T]{now: now, load: load, timeout: fetchTimeout, order: list.New(), entries: map[string]*list.Element{}}
}

// get returns the document at a URL. One fetch serves all who wait, and ends no earlier because one of them goes. With force a
// document that is still good is fetched anew, unless that was done for force within forcedPause. Errors wrap
// storage.ErrUnavailable.
func (s *shelf[T]) get(ctx context.Context, url string, force bool) (outcome[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.touch(url)
	before := h.flight
	wanted := s.start(ctx, h, force)
	// A fetch that had begun already may have read what was published before what one asks for.
	awaited := false
	// Who only reads what is good does not wait for the fetch of someone else.
	if flight := h.flight; flight != nil && (wanted || force) {
		s.mu.Unlock()
		var gone error
		select {
		case <-flight:
		case <-ctx.Done():
			gone = ctx.Err()
		}
		s.mu.Lock()
		if gone != nil {
			return outcome[T]{}, sourceDown{fmt.Errorf("wait for a document: %w", gone)}
		}
		awaited = before == nil
	}
	switch {
	case h.usable(s.now()):
	case h.failure != nil:
		return outcome[T]{}, h.failure
	default:
		return outcome[T]{}, sourceDown{errors.New("the document is too old")}
	}
	return outcome[T]{value: h.value, failure: h.failure, awaited: awaited}, nil
}

// start begins to fetch a document that is due, unless that is under way or its source is left alone, and reports whether it is
// due.
func (s *shelf[T]) start(ctx context.Context, h *shelved[T], force bool) bool {
	now := s.now()
	due := !h.usable(now) || !now.Before(h.expires)
	if force && (h.forced.IsZero() || now.Sub(h.forced) >= forcedPause) {
		due = true
	}
	if due && h.flight == nil && !now.Before(h.retry) {
		if force {
			h.forced = now
		}
		h.flight = make(chan struct{})
		go s.renew(context.WithoutCancel(ctx), h)
	}
	return due
}

// errNotFetched says that nobody has seen a document yet.
var errNotFetched = sourceDown{errors.New("the document was not fetched yet")}

// peek returns the document that is held, or why the last attempt to get it failed. What is due is fetched, and not waited for.
func (s *shelf[T]) peek(ctx context.Context, url string) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.touch(url)
	s.start(ctx, h, false)
	if h.failure == nil && !h.known {
		return h.value, errNotFetched
	}
	return h.value, h.failure
}

// miss notes that a document that was just fetched does not have a name.
func (s *shelf[T]) miss(url, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touch(url).miss(name, s.now())
}

func (h *shelved[T]) miss(name string, now time.Time) {
	if len(h.missed) >= maxMissed {
		maps.DeleteFunc(h.missed, func(_ string, at time.Time) bool { return now.Sub(at) >= forcedPause })
	}
	if h.missed == nil || len(h.missed) >= maxMissed {
		h.missed = map[string]time.Time{}
	}
	h.missed[name] = now
}

// compare notes what a new value has no more: it was withdrawn, and is not to come.
func (h *shelved[T]) compare(before, after []string, now time.Time) {
	for _, name := range before {
		if !slices.Contains(after, name) {
			h.miss(name, now)
		}
	}
	for _, name := range after {
		delete(h.missed, name)
	}
}

// missed reports whether a document did not have a name within the last forcedPause.
func (s *shelf[T]) missed(url, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, noted := s.touch(url).missed[name]
	return noted && s.now().Sub(at) < forcedPause
}

func (h *shelved[T]) usable(now time.Time) bool {
	return h.known && now.Before(h.fetched.Add(maxRemoteUse))
}

// touch finds or makes the entry of a URL and puts it in front.
func (s *shelf[T]) touch(url string) *shelved[T] {
	if element := s.entries[url]; element != nil {
		s.order.MoveToFront(element)
		return element.Value.(*shelved[T])
	}
	if s.order.Len() >= maxRemoteSources {
		last := s.order.Back()
		delete(s.entries, last.Value.(*shelved[T]).url)
		s.order.Remove(last)
	}
	h := &shelved[T]{url: url}
	s.entries[url] = s.order.PushFront(h)
	return h
}

// renew fetches a document and tells those who wait. What fails leaves the old one in place.
func (s *shelf[T]) renew(ctx context.Context, h *shelved[T]) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	value, age, err := s.load(ctx, h.url)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if err != nil {
		h.failure = sourceDown{err}
		h.retry = now.Add(min(minBackoff<<min(h.failures, 10), maxBackoff))
		h.failures++
	} else {
		if s.names != nil {
			h.compare(s.names(h.value), s.names(value), now)
		}
		h.value, h.known, h.fetched, h.expires = value, true, now, now.Add(age)
		h.failure, h.failures, h.retry = nil, 0, time.Time{}
	}
	close(h.flight)
	h.flight = nil
}
