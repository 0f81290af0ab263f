package oauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const issuer = "https://auth.example.com"

// world is one node: the real handler, rules and store, with identities made by hand.
type world struct {
	tb        testing.TB
	clock     atomic.Int64
	store     *countingStore
	directory *directory
	passwords *passwords
	secrets   *secrets
	auditor   *auditor
	server    *oauth.Server
	handler   http.Handler
	logged    *lockedBuffer // everything that is written to any log
	decisions *policies.Log
}

// sharedPDP is compiled once for all tests: it holds no state of theirs.
var sharedPDP = sync.OnceValues(func() (*policies.PDP, error) {
	return policies.Open(context.Background(), policies.Config{Now: time.Now, Deadline: 5 * time.Second})
})

func rules(tb testing.TB) *policies.PDP {
	tb.Helper()
	pdp, err := sharedPDP()
	if err != nil {
		tb.Fatal(err)
	}
	return pdp
}

// change adjusts the parts of a world before it is built.
type change func(*enforce.Config, *oauth.Config)

func newWorld(tb testing.TB, changes ...change) *world {
	tb.Helper()
	w := &world{tb: tb, logged: &lockedBuffer{}, secrets: &secrets{}, passwords: &passwords{byName: map[string][2]string{}}}
	w.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	w.secrets.now, w.auditor = w.now, &auditor{}
	w.directory = &directory{applications: map[string]*application{}, users: map[string]*enforce.Subject{}}
	w.store = &countingStore{Store: openStore(tb, tb.TempDir(), w.now)}
	w.build(changes...)
	return w
}

// build opens the server on the world's store; again for a restart.
func (w *world) build(changes ...change) {
	w.tb.Helper()
	config := w.config()
	w.decisions = policies.NewLog(policies.LogConfig{Writer: w.logged, Now: w.now})
	w.tb.Cleanup(func() { _ = w.decisions.Close(context.Background()) })
	mounted := enforce.Config{PDP: rules(w.tb), Log: w.decisions, Now: w.now}
	for _, c := range changes {
		c(&mounted, &config)
	}
	server, err := oauth.Open(context.Background(), config)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.server = server
	mounted.Groups = append(mounted.Groups, enforce.Group{Plane: server.Plane(), Routes: server.Routes()})
	mounted.Open, mounted.Fallback = server.OpenRoutes(), server.Plane()
	if w.handler, err = enforce.Mount(mounted); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) config() oauth.Config {
	return oauth.Config{
		Issuer: issuer, Store: w.store, Sealer: sealer{}, Directory: w.directory, Passwords: w.passwords, Secrets: w.secrets,
		Auditor: w.auditor, PDP: rules(w.tb), Now: w.now, Logger: slog.New(slog.NewJSONHandler(w.logged, nil)),
		RefreshGrace: oauth.DefaultRefreshGrace,
	}
}

func (w *world) now() time.Time                { return time.Unix(0, w.clock.Load()).UTC() }
func (w *world) advance(d time.Duration)       { w.clock.Add(int64(d)) }
func (w *world) at(d time.Duration) *time.Time { t := w.now().Add(d); return &t }

// application makes an application with one secret, "secret of <id>", and these grants: "tenant resource:action", the
// tenant and its space left out where there is none.
func (w *world) application(id string, grants []string, adjust ...func(*storage.Application)) *storage.Application {
	w.tb.Helper()
	app := &storage.Application{
		Meta: storage.Meta{ID: id, Version: 1}, IsActive: true, GrantTypes: []string{"client_credentials"},
		Secrets: []storage.Secret{{ID: "s1", Verifier: verifier("secret of " + id)}},
	}
	app.Grants = parseGrants(w.tb, grants)
	for _, a := range adjust {
		a(app)
	}
	w.directory.put(app)
	return app
}

// user makes a user whose name is also the rest of the password: "password of <name>".
func (w *world) user(id, name string, grants []string, adjust ...func(*policies.Identity)) *enforce.Subject {
	w.tb.Helper()
	identity := policies.Identity{Type: "user", ID: id, Exists: true, Active: true, TenantEnabled: true}
	for _, g := range parseGrants(w.tb, grants) {
		identity.Grants = append(identity.Grants, flat(g))
	}
	for _, a := range adjust {
		a(&identity)
	}
	subject := &enforce.Subject{Type: "user", ID: id, Name: name, Facts: policies.NewFacts(identity)}
	w.directory.mu.Lock()
	defer w.directory.mu.Unlock()
	w.directory.users[id] = subject
	w.passwords.byName[name] = [2]string{id, "password of " + name}
	return subject
}

func parseGrants(tb testing.TB, grants []string) []storage.Grant {
	tb.Helper()
	var parsed []storage.Grant
	for _, g := range grants {
		tenant, permission, ok := strings.Cut(g, " ")
		if !ok {
			tenant, permission = "", g
		}
		resource, action, err := policies.ParsePermission(permission)
		if err != nil {
			tb.Fatal(err)
		}
		parsed = append(parsed, storage.Grant{Tenant: storage.TenantID(tenant), Resource: resource, Action: action})
	}
	return parsed
}

func flat(g storage.Grant) policies.Grant {
	out := policies.Grant{Tenant: string(g.Tenant), Resource: g.Resource, Action: g.Action, Via: "own"}
	if g.NotBefore != nil {
		out.NotBefore = *g.NotBefore
	}
	if g.NotAfter != nil {
		out.NotAfter = *g.NotAfter
	}
	return out
}

func verifier(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// reply is a recorded answer.
type reply struct {
	*httptest.ResponseRecorder
	JSON map[string]any
}

func (r reply) text(key string) string { s, _ := r.JSON[key].(string); return s }

// send sends a form to a path.
func (w *world) send(path, body string, headers ...string) reply {
	w.tb.Helper()
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for n := 0; n < len(headers); n += 2 {
		if headers[n+1] == "" {
			request.Header.Del(headers[n])
			continue
		}
		request.Header.Add(headers[n], headers[n+1])
	}
	return w.do(request)
}

func (w *world) do(request *http.Request) reply {
	w.tb.Helper()
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, request)
	r := reply{ResponseRecorder: recorder}
	if strings.HasPrefix(recorder.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(recorder.Body.Bytes(), &r.JSON); err != nil {
			w.tb.Fatalf("reply is no JSON: %v: %s", err, recorder.Body)
		}
	}
	return r
}

// token sends a token request, with Basic authentication of id unless it is empty. Pairs are form parameters.
func (w *world) token(id string, pairs ...string) reply {
	w.tb.Helper()
	form := url.Values{}
	for n := 0; n < len(pairs); n += 2 {
		form.Add(pairs[n], pairs[n+1])
	}
	if id == "" {
		return w.send("/oauth2/token", form.Encode())
	}
	return w.send("/oauth2/token", form.Encode(), "Authorization", basic(id, "secret of "+id))
}

func (w *world) machine(id string, pairs ...string) reply {
	w.tb.Helper()
	return w.token(id, append([]string{"grant_type", "client_credentials"}, pairs...)...)
}

func (w *world) person(id, name string, pairs ...string) reply {
	w.tb.Helper()
	return w.token(id, append([]string{"grant_type", "password", "username", name, "password", "password of " + name}, pairs...)...)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func bearer(token string) string { return "Bearer " + token }

// want fails unless the reply has the status and, for errors, the code, and says of itself what such a reply must: a body its media type,
// a 401 how to authenticate (RFC 6749, section 5.2, and RFC 6750, section 3), and what is not one of them no challenge.
func (w *world) want(r reply, status int, code string) reply {
	w.tb.Helper()
	if r.Code != status || r.text("error") != code {
		w.tb.Fatalf("want %d %q, got %d: %s", status, code, r.Code, r.Body)
	}
	w.wantChallenge(r, code)
	if code == "" {
		return r
	}
	if got := r.Header().Get("Content-Type"); got != "application/json" {
		w.tb.Fatalf("Content-Type of an error is %q", got)
	}
	if got := r.Header().Get("Cache-Control"); got != "no-store" {
		w.tb.Fatalf("Cache-Control of an error is %q", got)
	}
	for key, value := range r.JSON {
		if key != "error" && key != "error_description" && key != "error_uri" {
			w.tb.Fatalf("an error has the member %q", key)
		}
		for _, b := range []byte(value.(string)) {
			if b < 0x20 || b == '"' || b == '\\' || b > 0x7e {
				w.tb.Fatalf("%s has the byte %#x", key, b)
			}
		}
	}
	return r
}

// wantChallenge holds WWW-Authenticate to the status and the code.
func (w *world) wantChallenge(r reply, code string) {
	w.tb.Helper()
	challenges := r.Header().Values("WWW-Authenticate")
	want := ""
	switch {
	case code == "invalid_client":
		want = `Basic realm="writ", charset="UTF-8"`
	case code == "invalid_token", code == "insufficient_scope":
		want = `Bearer realm="writ", error="` + code + `"`
	}
	switch {
	case want == "" && len(challenges) > 0 && r.Code != http.StatusUnauthorized:
		w.tb.Fatalf("a reply of %d has the challenges %q", r.Code, challenges)
	case want == "" && len(challenges) == 0 && r.Code == http.StatusUnauthorized:
		w.tb.Fatal("a 401 has no challenge")
	case want != "" && (len(challenges) == 0 || !strings.HasPrefix(challenges[0], want)):
		w.tb.Fatalf("the challenges of %s are %q, want %s first", code, challenges, want)
	}
}

// live reports whether the server accepts an access token.
func (w *world) live(token string) bool {
	w.tb.Helper()
	_, err := w.server.Token(context.Background(), token)
	if err != nil && !errors.Is(err, enforce.ErrUnauthenticated) {
		w.tb.Fatal(err)
	}
	return err == nil
}

// part decodes the header (0) or payload (1) of a JWT.
func part(tb testing.TB, token string, n int) map[string]any {
	tb.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		tb.Fatalf("not a JWT: %s", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		tb.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(raw, &decoded); err != nil {
		tb.Fatal(err)
	}
	return decoded
}

// directory is the Directory port over records made by hand. Facts are cached per record, as the real one does.
type directory struct {
	mu           sync.Mutex
	applications map[string]*application
	users        map[string]*enforce.Subject
	global       int64
	stale        error
	refused      netip.Addr
	down         map[string]bool
	lookups      atomic.Int64
}

type application struct {
	record  *storage.Application
	subject *enforce.Subject
}

var _ oauth.Directory = (*directory)(nil)

func (d *directory) put(app *storage.Application) {
	audiences := app.Audiences
	if audiences == nil {
		audiences = []string{issuer + "/runtime", issuer + "/management"}
	}
	identity := policies.Identity{
		Type: "application", ID: app.ID, Exists: true, Tenant: string(app.Tenant), TenantEnabled: true, Active: app.IsActive,
		Scopes: app.Scopes, Audiences: audiences, GrantTypes: app.GrantTypes, Protected: app.Protected,
	}
	if app.NotBefore != nil {
		identity.NotBefore = *app.NotBefore
	}
	if app.NotAfter != nil {
		identity.NotAfter = *app.NotAfter
	}
	for _, role := range app.Roles {
		identity.Roles = append(identity.Roles, string(role))
	}
	for _, g := range app.Grants {
		identity.Grants = append(identity.Grants, flat(g))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.applications[app.ID] = &application{record: app, subject: &enforce.Subject{
		Type: "application", ID: app.ID, Name: app.Name, Facts: policies.NewFacts(identity), Epoch: app.Epoch,
	}}
}

// disableTenant makes the identity's tenant a disabled one.
func (d *directory) disableTenant(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	identity := *d.applications[id].subject.Facts.Identity()
	identity.TenantEnabled = false
	d.applications[id].subject.Facts = policies.NewFacts(identity)
}

func (d *directory) Application(id string) (*storage.Application, error) {
	d.lookups.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if found := d.applications[id]; found != nil {
		return found.record, nil
	}
	return nil, storage.ErrNotFound
}

func (d *directory) Subject(_ context.Context, kind, id string) (*enforce.Subject, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch kind {
	case "application":
		if found := d.applications[id]; found != nil {
			return found.subject, nil
		}
	case "user":
		if found := d.users[id]; found != nil {
			return found, nil
		}
	}
	return &enforce.Subject{Type: kind, ID: id, Facts: policies.Nobody(kind, id)}, nil
}

func (d *directory) AddressFact(s *enforce.Subject, address netip.Addr) string {
	if d.refused.IsValid() && d.refused == address {
		return policies.AddressRefused
	}
	return policies.AddressAllowed
}

func (d *directory) AudienceDown(audience string, _ time.Time) bool { return d.down[audience] }
func (d *directory) TenantEnabled(id string) bool                   { return id != "gone" }
func (d *directory) GlobalEpoch() int64                             { return d.global }
func (d *directory) Fresh() error                                   { return d.stale }

// secrets is the Secrets port: it counts its work.
type secrets struct {
	now    func() time.Time
	hashes atomic.Int64
	err    error
}

func (s *secrets) Verify(
	_ context.Context, _ netip.Addr, _ string, app *storage.Application, presented string,
) (string, bool, error) {
	s.hashes.Add(1)
	if s.err != nil {
		return "", false, s.err
	}
	if app == nil {
		return "", false, nil
	}
	now, sum := s.now(), sha256.Sum256([]byte(presented))
	var text [7 + 2*sha256.Size]byte
	copy(text[:], "sha256:")
	hex.Encode(text[7:], sum[:])
	for i := range app.Secrets {
		secret := &app.Secrets[i]
		if secret.Verifier == string(text[:]) && secret.RevokedAt == nil && (secret.NotBefore == nil || !now.Before(*secret.NotBefore)) &&
			(secret.ExpiresAt == nil || now.Before(*secret.ExpiresAt)) {
			return secret.ID, true, nil
		}
	}
	return "", false, nil
}

// passwords is the Passwords port: it counts its work.
type passwords struct {
	byName    map[string][2]string
	suspended map[string]bool
	hashes    int
	seen      []string
	client    string // that the last check was told of
	epoch     int64  // of every user, when the password is checked
	err       error
}

func (p *passwords) Check(ctx context.Context, _ netip.Addr, username, password string) (string, int64, error) {
	p.hashes++
	p.client = enforce.EventFrom(ctx).Client
	p.seen = append(p.seen, password)
	if p.err != nil {
		return "", 0, p.err
	}
	known, ok := p.byName[username]
	if !ok || known[1] != password || p.suspended[username] {
		return "", 0, fmt.Errorf("check password: %w", storage.ErrNotFound)
	}
	return known[0], p.epoch, nil
}

// auditor is the Auditor port.
type auditor struct {
	mu      sync.Mutex
	down    error
	entries []string
}

func (a *auditor) Intent(_ context.Context, e storage.AuditEntry) (func(context.Context, string, string) error, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down != nil {
		return nil, a.down
	}
	a.entries = append(a.entries, "intent "+e.Actor+" "+e.Action+" "+e.Target)
	return func(_ context.Context, outcome, _ string) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.entries = append(a.entries, outcome+" "+e.Actor+" "+e.Action+" "+e.Target)
		return nil
	}, nil
}

// sealer seals nothing, but holds both sides to the associated text.
type sealer struct{}

type sealed struct {
	Plain      []byte `json:"plain"`
	Associated string `json:"associated"`
}

func (sealer) Seal(plain []byte, associated string) ([]byte, error) {
	return json.Marshal(sealed{Plain: plain, Associated: associated})
}

func (sealer) Open(raw []byte, associated string) ([]byte, error) {
	var in sealed
	if err := json.Unmarshal(raw, &in); err != nil || in.Associated != associated {
		return nil, errors.New("sealed for another place")
	}
	return in.Plain, nil
}

// countingStore counts calls, and those that write, and can fail all of them.
type countingStore struct {
	storage.Store
	calls, writes atomic.Int64
	down          atomic.Bool
}

func (c *countingStore) write() error {
	c.writes.Add(1)
	return c.call()
}

func (c *countingStore) call() error {
	c.calls.Add(1)
	if c.down.Load() {
		return fmt.Errorf("cut off: %w", storage.ErrUnavailable)
	}
	return nil
}

func (c *countingStore) Get(ctx context.Context, into storage.Record, id string) error {
	if err := c.call(); err != nil {
		return err
	}
	return c.Store.Get(ctx, into, id)
}

func (c *countingStore) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	if err := c.call(); err != nil {
		return err
	}
	return c.Store.Lookup(ctx, into, index, value)
}

func (c *countingStore) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	if err := c.call(); err != nil {
		return nil, err
	}
	return c.Store.List(ctx, kind, q)
}

func (c *countingStore) Sequence(ctx context.Context) (int64, error) {
	if err := c.call(); err != nil {
		return 0, err
	}
	return c.Store.Sequence(ctx)
}

func (c *countingStore) Insert(ctx context.Context, r storage.Record) error {
	if err := c.write(); err != nil {
		return err
	}
	return c.Store.Insert(ctx, r)
}

func (c *countingStore) Update(ctx context.Context, r storage.Record) error {
	if err := c.write(); err != nil {
		return err
	}
	return c.Store.Update(ctx, r)
}

func (c *countingStore) Txn(ctx context.Context, fn func(context.Context, storage.Tx) error) error {
	if err := c.write(); err != nil {
		return err
	}
	return c.Store.Txn(ctx, fn)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// sameHeaders compares headers but for the id of the decision.
func sameHeaders(a, b http.Header) bool {
	a, b = a.Clone(), b.Clone()
	a.Del("Decision-Id")
	b.Del("Decision-Id")
	return maps.EqualFunc(a, b, func(x, y []string) bool { return strings.Join(x, "\n") == strings.Join(y, "\n") })
}

// stranger is another node's sealer: it opens nothing.
type stranger struct{ sealer }

func (stranger) Open([]byte, string) ([]byte, error) { return nil, errors.New("wrong key") }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// insertAuthority and updateAuthority write one record under the next authority sequence.
func insertAuthority(r storage.Record) func(context.Context, storage.Tx) error {
	return writeAuthority(func(ctx context.Context, tx storage.Tx) error { return tx.Insert(ctx, r) })
}

func updateAuthority(r storage.Record) func(context.Context, storage.Tx) error {
	return writeAuthority(func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, r) })
}

func writeAuthority(write func(context.Context, storage.Tx) error) func(context.Context, storage.Tx) error {
	return func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		if err != nil {
			return err
		}
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		return write(ctx, tx)
	}
}
