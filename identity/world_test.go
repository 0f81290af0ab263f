package identity_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/seal"
)

// start is when every test begins.
func start() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

// home is the address from which tests come that are about something else.
var home = netip.MustParseAddr("192.0.2.10")

const rootSecret = "a secret of root with more than 32 characters"

// faulty is a store that counts its reads and fails as told.
type faulty struct {
	storage.Store
	calls   atomic.Int64           // but for those about what is written beside requests
	refuse  atomic.Pointer[string] // the name of the kind whose inserts fail
	hang    atomic.Bool            // inserts of audit entries hang until their context ends
	spare   atomic.Int64           // so many audit inserts pass before they are refused
	abort   atomic.Bool            // inserts of audit entries inside transactions fail
	away    atomic.Bool
	lists   atomic.Int64 // so many lists of users but one are read, then none; 0 is no limit
	cut     atomic.Int64 // so many writes of each transaction are done, the next ones fail; 0 is no limit
	inTxn   func()       // runs before a transaction begins
	marked  func()       // runs once, before the mark of the first start is looked for
	txnOnce sync.Once
}

// count counts a call, unless it is about the audit or the last login of a user: these are written beside requests.
func (f *faulty) count(r storage.Record) {
	if name := r.Kind().Name; name != storage.AuditKind.Name && name != storage.LoginUseKind.Name {
		f.calls.Add(1)
	}
}

func (f *faulty) down() error {
	if f.away.Load() {
		return storage.ErrUnavailable
	}
	return nil
}

func (f *faulty) Get(ctx context.Context, into storage.Record, id string) error {
	if _, setting := into.(*storage.Setting); setting && f.marked != nil {
		others := f.marked
		f.marked = nil
		others()
	}
	f.count(into)
	if err := f.down(); err != nil {
		return err
	}
	return f.Store.Get(ctx, into, id)
}

func (f *faulty) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	f.count(into)
	if err := f.down(); err != nil {
		return err
	}
	return f.Store.Lookup(ctx, into, index, value)
}

func (f *faulty) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	f.calls.Add(1)
	if err := f.down(); err != nil {
		return nil, err
	}
	if kind.Name == storage.UserKind.Name && f.lists.Load() > 0 && f.lists.Add(-1) == 0 {
		f.lists.Store(1) // and so it stays
		return nil, storage.ErrUnavailable
	}
	return f.Store.List(ctx, kind, q)
}

func (f *faulty) Insert(ctx context.Context, r storage.Record) error {
	f.count(r)
	if f.away.Load() {
		return storage.ErrUnavailable
	}
	if f.hang.Load() && r.Kind().Name == storage.AuditKind.Name {
		<-ctx.Done()
		return ctx.Err()
	}
	if kind := f.refuse.Load(); kind != nil && *kind == r.Kind().Name && f.spare.Add(-1) < 0 {
		return storage.ErrUnavailable
	}
	return f.Store.Insert(ctx, r)
}

func (f *faulty) Changes(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
	if f.away.Load() {
		return nil, storage.ErrUnavailable
	}
	return f.Store.Changes(ctx, after, limit)
}

func (f *faulty) Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error {
	if f.inTxn != nil {
		f.txnOnce.Do(f.inTxn)
	}
	return f.Store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if f.abort.Load() {
			tx = aborting{tx}
		}
		if n := f.cut.Load(); n > 0 {
			tx = &severed{tx, n}
		}
		return fn(ctx, tx)
	})
}

// aborting is a transaction that takes no audit entry.
type aborting struct{ storage.Tx }

func (a aborting) Insert(ctx context.Context, r storage.Record) error {
	if r.Kind().Name == storage.AuditKind.Name {
		return storage.ErrUnavailable
	}
	return a.Tx.Insert(ctx, r)
}

// severed is a transaction whose database goes away after so many writes.
type severed struct {
	storage.Tx
	left int64
}

func (s *severed) write(do func() error) error {
	if s.left--; s.left < 0 {
		return storage.ErrUnavailable
	}
	return do()
}

func (s *severed) Insert(ctx context.Context, r storage.Record) error {
	return s.write(func() error { return s.Tx.Insert(ctx, r) })
}

func (s *severed) Update(ctx context.Context, r storage.Record) error {
	return s.write(func() error { return s.Tx.Update(ctx, r) })
}

func (s *severed) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	return s.write(func() error { return s.Tx.Delete(ctx, kind, id, version) })
}

// ended remembers the sessions that were ended.
type ended struct {
	mu       sync.Mutex
	sessions []string
	store    storage.Store
	now      func() time.Time
}

func (e *ended) EndSession(ctx context.Context, sid string, by storage.SessionEnd) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := storage.Get[storage.Session](ctx, e.store, sid)
	if err != nil {
		return err
	}
	at := storage.Time(e.now())
	s.EndedAt, s.EndedBy = &at, by
	e.sessions = append(e.sessions, sid)
	return e.store.Update(ctx, s)
}

func (e *ended) EndSessions(_ context.Context, subject, except string, _ storage.SessionEnd) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	what := "all of " + subject
	if except != "" {
		what += " but " + except
	}
	e.sessions = append(e.sessions, what)
	return 1, nil
}

func (e *ended) list() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.sessions, " ")
}

// world is one node's identity room behind its routes, with the shipped rules and a store of its own.
type world struct {
	sets     *policyPort
	t        testing.TB
	store    *faulty
	sealer   *seal.Sealer
	room     *identity.Room
	handler  http.Handler
	sessions *ended
	keys     *keyring
	follower *storage.Follower
	adjust   func(*config)
	log      *bytes.Buffer
	clock    atomic.Int64
	// undecided makes every decision of the mounted rows err.
	undecided atomic.Bool
	dir       string // of the store, where it is embedded
}

// pdp is opened once: it is immutable and the slowest part of a world.
var pdp = sync.OnceValues(func() (*policies.PDP, error) {
	return policies.Open(context.Background(), policies.Config{Now: start, Deadline: 5 * time.Second})
})

// erring are the rules, which have no answer while they are told so.
type erring struct {
	enforce.Decider
	undecided *atomic.Bool
}

func (e erring) Decide(ctx context.Context, q *policies.Question) (policies.Decision, error) {
	d, err := e.Decider.Decide(ctx, q)
	if e.undecided.Load() {
		d.Allow, err = true, policies.ErrUndecided // what is beside an error is no answer
	}
	return d, err
}

type config = identity.Config

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldWith(t, func(*config) {})
}

func newWorldWith(t testing.TB, adjust func(*config)) *world {
	t.Helper()
	w := unstarted(t, adjust)
	_, err := w.room.Bootstrap(t.Context(), "") // what the server makes needs no slow hash
	must(t, err)
	return w
}

// newChosenWorld is a world whose root has the secret rootSecret.
func newChosenWorld(t testing.TB) *world {
	t.Helper()
	w := unstarted(t, func(*config) {})
	_, err := w.room.Bootstrap(t.Context(), rootSecret)
	must(t, err)
	return w
}

// unstarted is a world before the bootstrap.
func unstarted(t testing.TB, adjust func(*config)) *world {
	t.Helper()
	w := &world{t: t, log: &bytes.Buffer{}, adjust: adjust}
	w.clock.Store(start().UnixNano())
	w.dir = filepath.Join(t.TempDir(), "data")
	w.store, w.sealer = &faulty{Store: openStore(t, w.dir, w.now)}, sealer(t)
	w.open()
	return w
}

func sealer(t testing.TB) *seal.Sealer {
	t.Helper()
	kek, err := seal.LoadKEK(filepath.Join(t.TempDir(), "kek"), true)
	must(t, err)
	keyset, err := seal.NewKeyset(kek)
	must(t, err)
	s, err := seal.Open(kek, keyset)
	must(t, err)
	return s
}

// open starts a room on the world's store, as a restart would.
func (w *world) open() {
	w.t.Helper()
	engine, err := pdp()
	must(w.t, err)
	logger := slog.New(slog.NewJSONHandler(w.log, nil))
	c := identity.Config{
		Store: w.store, Sealer: w.sealer, PDP: engine, Now: w.now, Rand: rand.Reader, Logger: logger, Node: "test",
		Audiences: []string{"https://writ.test/runtime", "https://writ.test/management"},
	}
	w.sets = &policyPort{}
	c.Policies = w.sets
	w.adjust(&c)
	w.room, err = identity.Open(w.t.Context(), c)
	must(w.t, err)
	w.t.Cleanup(w.room.Close)
	w.sessions = &ended{store: w.store.Store, now: w.now}
	w.follower = storage.Follow(w.store, w.now, w.room.Sequence(), w.room)
	w.room.Join(w.follower, w.sessions)
	w.keys = &keyring{}
	w.room.JoinKeys(w.keys)
	plane := enforce.Plane{
		Name: policies.PlaneManagement, Authenticator: w, WriteError: identity.WriteProblem, WriteDenial: identity.WriteDenial,
	}
	log := policies.NewLog(policies.LogConfig{Now: w.now})
	w.t.Cleanup(func() { _ = log.Close(context.Background()) })
	w.handler, err = enforce.Mount(enforce.Config{
		PDP: erring{c.PDP.(enforce.Decider), &w.undecided}, Log: log, Now: w.now, Fallback: plane,
		Groups: []enforce.Group{{Plane: plane, Routes: w.room.Routes()}, {Plane: plane, Routes: w.room.MeRoutes()}, {Plane: plane, Routes: w.room.RevealRoutes()}},
	})
	must(w.t, err)
}

func (w *world) follow() error { return w.follower.CatchUp(context.Background()) }

func (w *world) now() time.Time { return time.Unix(0, w.clock.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

// Authenticate reads a caller from the header: "Bearer user:<name or id>" or "Bearer application:<id>", then any of "scope=…" (one,
// with spaces as +), "tenant=…", "fresh", "basic", "external" and "nobody" (a name of another issuer that is not taken for anybody here),
// separated by commas.
func (w *world) Authenticate(ctx context.Context, r *http.Request) (*enforce.Caller, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, &enforce.AuthenticationError{Detail: "send a token"}
	}
	words := strings.Split(text, ",")
	kind, id, _ := strings.Cut(words[0], ":")
	s, err := w.room.Subject(ctx, kind, id)
	if err != nil {
		return nil, err
	}
	if slices.Contains(words, "nobody") {
		s = &enforce.Subject{Type: kind, ID: id, Facts: policies.Nobody(kind, id)}
	} else if !s.Facts.Identity().Exists {
		return nil, &enforce.AuthenticationError{Code: "invalid_token", Detail: "the token is not good"}
	}
	c := &enforce.Caller{
		Type: kind, ID: s.ID, Facts: s.Facts, ClientID: "portal", Audiences: []string{"https://writ.test/runtime", "https://writ.test/management"},
		UserToken: kind == "user", Address: netip.MustParseAddr("192.0.2.1"), AddressFact: w.room.AddressFact(s, netip.MustParseAddr("192.0.2.1")),
		SID: "current", Scoped: true,
	}
	scopes := []string{"*:*", "iam/applications:reveal", "tokens:revoke_all"}
	if kind == "application" {
		c.ClientID = s.ID
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "scope":
			scopes = strings.FieldsFunc(value, func(r rune) bool { return r == '+' })
		case "tenant":
			c.Tenant = value
		case "fresh":
			c.AuthTime = w.now().Add(-time.Minute)
		case "stale":
			c.AuthTime = w.now().Add(-time.Hour)
		case "external":
			c.External, c.SID = true, ""
		case "basic":
			c.Basic = true
			app, err := w.room.Application(id)
			if err != nil {
				return nil, err
			}
			c.SecretID = app.Secrets[0].ID
		}
	}
	c.Scope = strings.Join(scopes, " ")
	c.Scopes, err = policies.NewScopes(scopes)
	return c, err
}

// reply is what came back.
type reply struct {
	t      testing.TB
	call   string
	status int
	header http.Header
	body   string
	err    error // what the server knows of an error
}

// as makes calls as one caller.
type as struct {
	w      *world
	caller string
	header http.Header
}

func (w *world) as(caller string) as { return as{w: w, caller: caller, header: http.Header{}} }

func (w *world) root() as { return w.as("application:root") }

func (a as) with(name, value string) as {
	a.header = a.header.Clone()
	a.header.Set(name, value)
	return a
}

func (a as) do(method, path, body string) *reply {
	a.w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	event := &enforce.Event{RequestID: "request"}
	r := httptest.NewRequestWithContext(enforce.WithEvent(a.w.t.Context(), event), method, path, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.caller != "" {
		r.Header.Set("Authorization", "Bearer "+a.caller)
	}
	for name, values := range a.header {
		r.Header[name] = values
	}
	recorder := httptest.NewRecorder()
	a.w.handler.ServeHTTP(recorder, r)
	return &reply{
		t: a.w.t, call: a.caller + ": " + method + " " + path + " " + body, status: recorder.Code, header: recorder.Header(),
		body: recorder.Body.String(), err: event.Err,
	}
}

func (a as) get(path string) *reply          { a.w.t.Helper(); return a.do("GET", path, "") }
func (a as) del(path string) *reply          { a.w.t.Helper(); return a.do("DELETE", path, "") }
func (a as) post(path, body string) *reply   { a.w.t.Helper(); return a.do("POST", path, body) }
func (a as) put(path, body string) *reply    { a.w.t.Helper(); return a.do("PUT", path, body) }
func (a as) patch(path, body string) *reply  { a.w.t.Helper(); return a.do("PATCH", path, body) }
func (r *reply) is(status int) *reply        { r.t.Helper(); return r.want(status, "") }
func (r *reply) refused(code string) *reply  { r.t.Helper(); return r.want(403, code) }
func (r *reply) bad(pointer string) *reply   { r.t.Helper(); return r.want(400, "").at(pointer) }
func (r *reply) conflict(code string) *reply { r.t.Helper(); return r.want(409, code) }

func (r *reply) want(status int, code string) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s\n got %d %s (%v)\nwant %d %s", r.call, r.status, r.body, r.err, status, code)
	}
	if code != "" && r.text("code") != code && !strings.Contains(r.body, `{"code":"`+code+`"`) {
		r.t.Fatalf("%s\n got %d %s\nwant code %s", r.call, r.status, r.body, code)
	}
	return r
}

func (r *reply) at(pointer string) *reply {
	r.t.Helper()
	if got := r.text("pointer"); got != pointer {
		r.t.Fatalf("%s\n got pointer %q in %s\nwant %q", r.call, got, r.body, pointer)
	}
	return r
}

// value finds a field of the body by a path of keys.
func (r *reply) value(path ...string) any {
	r.t.Helper()
	var found any
	if err := json.Unmarshal([]byte(r.body), &found); err != nil {
		r.t.Fatalf("%s\n%s: %v", r.call, r.body, err)
	}
	for _, key := range path {
		if list, ok := found.([]any); ok {
			at, err := strconv.Atoi(key)
			if err != nil || at >= len(list) {
				return nil
			}
			found = list[at]
			continue
		}
		object, _ := found.(map[string]any)
		found = object[key]
	}
	return found
}

func (r *reply) text(path ...string) string {
	r.t.Helper()
	s, _ := r.value(path...).(string)
	return s
}

// ids lists one field of every item of a list.
func (r *reply) ids(field string) string {
	r.t.Helper()
	items, _ := r.value("items").([]any)
	var ids []string
	for _, item := range items {
		s, _ := item.(map[string]any)[field].(string)
		ids = append(ids, s)
	}
	return strings.Join(ids, " ")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

const goodPassword = "tin-lantern-orbit-42"

// user makes a user as root and returns its id.
func (w *world) user(name, more string) string {
	w.t.Helper()
	body := `{"username":"` + name + `","email":"` + name + `@example.com","password":"` + goodPassword + `"` + more + `}`
	return w.root().post("/v1/users", body).is(201).text("id")
}

// application makes an application by id as root and returns its secret.
func (w *world) application(id, more string) string {
	w.t.Helper()
	return w.root().put("/v1/applications/"+id, `{"name":"`+id+`"`+more+`}`).is(201).text("secret", "value")
}

// role makes a role as root.
func (w *world) role(key, grants string) {
	w.t.Helper()
	w.root().put("/v1/roles/"+key, `{"grants":`+grants+`}`).is(201)
}
