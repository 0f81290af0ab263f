package decide_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/decide"
	"github.com/writ-authz/writ/policies/enforce"
)

const issuer = "https://writ.example"

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

var loaded = sync.OnceValues(func() (*policies.PDP, error) {
	return policies.Open(context.Background(), policies.Config{
		Now: now, Deadline: time.Hour, Logger: slog.New(slog.DiscardHandler),
		Audiences: map[string][]string{policies.PlaneRuntime: {issuer + "/runtime"}},
	})
})

// world is the decision API over a handful of subjects. Who calls is said by the bearer token, which is the name of a caller.
type world struct {
	tb       testing.TB
	subjects map[string]*enforce.Subject // by type and id
	callers  map[string]*enforce.Caller
	down     error // of the directory
	lines    bytes.Buffer
	log      *policies.Log
	handler  http.Handler
	// unanswered are the subjects about whom no document can be told.
	unanswered map[string]bool
	// undecided makes the decision whether the caller may ask err.
	undecided bool
	routes    []enforce.Route
	api       *decide.API
	// tokensDown makes who is calling an outage.
	tokensDown bool
}

// gate are the rules that say who may ask.
type gate struct {
	*policies.PDP
	w *world
}

func (g gate) Decide(ctx context.Context, q *policies.Question) (policies.Decision, error) {
	d, err := g.PDP.Decide(ctx, q)
	if g.w.undecided {
		d.Allow, err = true, policies.ErrUndecided // what is beside an error is no answer
	}
	return d, err
}

// documents answers as the PDP does, but for the unanswered.
type documents struct {
	*policies.PDP
	w *world
}

func (d documents) Document(ctx context.Context, name string, q *policies.Question) (policies.Decision, json.RawMessage, error) {
	decision, document, err := d.PDP.Document(ctx, name, q)
	if d.w.unanswered[q.Subject.Identity().ID] {
		return decision, document, policies.ErrUndecided // what is beside an error is no answer
	}
	return decision, document, err
}

func newWorld(tb testing.TB, decider func(*policies.PDP) decide.PDP) *world {
	tb.Helper()
	pdp, err := loaded()
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{tb: tb, subjects: map[string]*enforce.Subject{}, callers: map[string]*enforce.Caller{}}
	w.log = policies.NewLog(policies.LogConfig{Writer: &w.lines, Now: now})
	var used decide.PDP = pdp
	if decider != nil {
		used = decider(pdp)
	}
	api, err := decide.New(decide.Config{
		BaseURL: issuer, PDP: used, Documents: documents{pdp, w}, Log: w.log, Directory: w, Holders: w, Pages: w, Tokens: w,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	problems := enforce.Plane{
		Name: policies.PlaneRuntime, Authenticator: w,
		WriteError: func(rw http.ResponseWriter, _ *enforce.Request, err error) { http.Error(rw, err.Error(), 599) },
		WriteDenial: func(rw http.ResponseWriter, _ *enforce.Request, _ policies.Decision, r []policies.Reason) {
			http.Error(rw, r[0].Code, http.StatusForbidden)
		},
	}
	w.api = api
	w.routes = append(api.AuthZENRoutes(), api.Routes()...)
	if w.handler, err = enforce.Mount(enforce.Config{
		PDP: gate{pdp, w}, Log: w.log, Now: now, Fallback: problems, Open: api.OpenRoutes(),
		Groups: []enforce.Group{
			{Plane: api.Plane(w), Routes: api.AuthZENRoutes()}, {Plane: problems, Routes: api.Routes()},
		},
	}); err != nil {
		tb.Fatal(err)
	}
	w.identity("application", "asker", []policies.Grant{{Tenant: "*", Resource: "decisions", Action: "ask", Via: "own"}})
	w.identity("application", "meek", nil)
	w.identity("user", "ada", []policies.Grant{
		{Resource: "ledger/accounts", Action: "read", Via: "own"},
		{Tenant: "acme", Resource: "ledger", Action: "*", Via: "role:acme:clerk"},
		{Resource: "ledger/accounts", Action: "read", Via: "group:books"},
	})
	return w
}

func (w *world) identity(kind, id string, grants []policies.Grant) *enforce.Subject {
	s := &enforce.Subject{Type: kind, ID: id, Name: id, Facts: policies.NewFacts(policies.Identity{
		Type: kind, ID: id, Exists: true, Active: true, TenantEnabled: true, Grants: grants,
		Audiences: []string{issuer + "/runtime", issuer + "/management"},
	})}
	w.subjects[kind+"/"+id] = s
	w.caller(id, s)
	return s
}

// caller gives a name as bearer token to a subject, limited to scopes if there are any.
func (w *world) caller(name string, s *enforce.Subject, scopes ...string) *enforce.Caller {
	c := &enforce.Caller{
		Type: s.Type, ID: s.ID, Facts: s.Facts, ClientID: "asker", JTI: name, AddressFact: policies.AddressAllowed,
		Audiences: []string{issuer + "/runtime"}, UserToken: s.Type == "user",
	}
	if len(scopes) > 0 {
		set, err := policies.NewScopes(scopes)
		if err != nil {
			w.tb.Fatal(err)
		}
		c.Scoped, c.Scopes = true, set
	}
	w.callers[name] = c
	return c
}

func (w *world) Subject(_ context.Context, kind, id string) (*enforce.Subject, error) {
	if w.down != nil {
		return nil, w.down
	}
	if s, ok := w.subjects[kind+"/"+id]; ok {
		return s, nil
	}
	return &enforce.Subject{Type: kind, ID: id, Facts: policies.Nobody(kind, id)}, nil
}

// Holders goes through all of them.
func (w *world) Holders(_ context.Context, h enforce.Holding, after string, limit int) (found []*enforce.Subject, err error) {
	for _, s := range w.subjects {
		if s.Type == h.Type && s.ID > after && slices.ContainsFunc(s.Facts.Identity().Grants, func(g policies.Grant) bool {
			return slices.Contains(h.Tenants, g.Tenant) && slices.Contains(h.Resources, g.Resource) && slices.Contains(h.Actions, g.Action)
		}) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *enforce.Subject) int { return strings.Compare(a.ID, b.ID) })
	return found[:min(limit, len(found))], w.down
}

// SealPage and OpenPage bind a place to its search in plain sight.
func (w *world) SealPage(search, place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(search + "\x00" + place))
}

func (w *world) OpenPage(search, token string) (string, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	place, ok := strings.CutPrefix(string(raw), search+"\x00")
	return place, ok && err == nil
}

func (w *world) AddressFact(_ *enforce.Subject, address netip.Addr) string {
	if address == netip.MustParseAddr("203.0.113.9") {
		return policies.AddressRefused
	}
	return policies.AddressAllowed
}

func (w *world) Authenticate(ctx context.Context, r *http.Request) (*enforce.Caller, error) {
	return w.Token(ctx, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
}

func (w *world) Token(_ context.Context, raw string) (*enforce.Caller, error) {
	if w.tokensDown {
		return nil, errors.New("store unavailable")
	}
	if c, ok := w.callers[raw]; ok {
		return c, nil
	}
	return nil, &enforce.AuthenticationError{Code: "invalid_token", Detail: "no such token", Challenges: []string{`Bearer realm="writ"`}}
}

func (w *world) ask(caller, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+caller)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-ID", "Trace-1")
	reply := httptest.NewRecorder()
	w.handler.ServeHTTP(reply, r)
	return reply
}

func about(kind, id, tenant, action string) string {
	return fmt.Sprintf(`{"subject":{"type":%q,"id":%q},"action":{"name":%q},"resource":{"type":"ledger/accounts","id":"1","tenant":%q},
		"options":{"reasons":true},"future":{"x":1}}`, kind, id, action, tenant)
}

func TestEvaluation(t *testing.T) {
	w := newWorld(t, nil)
	w.caller("narrow", w.subjects["user/ada"], "ledger/accounts:write")
	for _, tc := range []struct {
		name, caller, body string
		status             int
		says               string
	}{
		{"permit", "asker", about("user", "ada", "", "read"), 200, `{"decision":true,"context":{"reasons":[{"code":"granted"}]`},
		{"deny says why", "asker", about("user", "ada", "", "write"), 200, `{"decision":false,"context":{"reasons":[{"code":"not_granted"}]`},
		{"in the tenant", "asker", about("user", "ada", "acme", "write"), 200, `{"decision":true`},
		{"in another tenant", "asker", about("user", "ada", "globex", "write"), 200, `{"decision":false`},
		{"unknown subject", "asker", about("user", "bob", "", "read"), 200, `"no_such_subject"`},
		{"unknown type of subject", "asker", about("robot", "r2", "", "read"), 200, `"no_such_subject"`},
		{"oneself", "ada", about("user", "ada", "", "read"), 200, `{"decision":true`},
		{"oneself within the token's scopes", "narrow", about("user", "ada", "", "read"), 200, `"insufficient_scope"`},
		{"others without the right", "meek", about("user", "ada", "", "read"), 403, "not_granted"},
		{"others who do not exist, alike", "meek", about("user", "bob", "", "read"), 403, "not_granted"},
		{"a received token", "asker", about("token", "narrow", "", "read"), 200, `"insufficient_scope"`},
		{"a received token that may", "asker", about("token", "ada", "", "read"), 200, `{"decision":true`},
		{"a dead token", "asker", about("token", "dead", "", "read"), 200, `{"decision":false`},
		{"the own token", "ada", about("token", "ada", "", "read"), 200, `{"decision":true`},
		{"an address that is refused", "asker", strings.Replace(about("user", "ada", "", "read"), `"future"`,
			`"context":{"ip":"203.0.113.9"},"future"`, 1), 200, `"address_not_allowed"`},
		{"an address that is none", "asker", strings.Replace(about("user", "ada", "", "read"), `"future"`,
			`"context":{"ip":"here"},"future"`, 1), 400, "/context/ip"},
		{"no subject", "asker", `{"action":{"name":"read"},"resource":{"type":"a","id":"1"}}`, 400, "/subject"},
		{"no id", "asker", `{"subject":{"type":"user"},"action":{"name":"read"},"resource":{"type":"a","id":"1"}}`, 400, "/subject/id"},
		{
			"properties that are a list", "asker",
			`{"subject":{"type":"user","id":"ada","properties":[]},"action":{"name":"read"},"resource":{"type":"a","id":"1"}}`,
			400, "/subject/properties",
		},
		{"no JSON", "asker", `{`, 400, "not one JSON document"},
		{"unknown caller", "nobody", about("user", "ada", "", "read"), 401, "no such token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply := w.ask(tc.caller, "/access/v1/evaluation", tc.body)
			if reply.Code != tc.status || !strings.Contains(reply.Body.String(), tc.says) {
				t.Fatalf("got %d %s", reply.Code, reply.Body)
			}
			if got := reply.Header().Get("X-Request-Id"); got != "Trace-1" {
				t.Errorf("X-Request-ID came back as %q", got)
			}
			if text := ""; tc.status >= 400 && json.Unmarshal(reply.Body.Bytes(), &text) != nil {
				t.Errorf("an AuthZEN error is a string, got %s", reply.Body)
			}
		})
	}
}

func TestReasonsAreThereOnlyWhenAskedFor(t *testing.T) {
	w := newWorld(t, nil)
	body := strings.Replace(about("user", "ada", "", "write"), `"reasons":true`, `"reasons":false`, 1)
	if reply := w.ask("asker", "/access/v1/evaluation", body); strings.TrimSpace(reply.Body.String()) != `{"decision":false}` {
		t.Errorf("got %s", reply.Body)
	}
}

// Each question has an id and a line of its own that names the request's; the request has its own too; no raw token is in either.
func TestEachQuestionHasALineOfItsOwn(t *testing.T) {
	w := newWorld(t, nil)
	w.callers["raw-token-canary"] = w.callers["ada"]
	reply := w.ask("asker", "/access/v1/evaluation", about("token", "raw-token-canary", "", "read"))
	var answer struct {
		Context struct {
			DecisionID string `json:"decision_id"`
		} `json:"context"`
	}
	if err := json.Unmarshal(reply.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if err := w.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.lines.String(), "raw-token-canary") {
		t.Error("the raw token is in the log")
	}
	parents := map[string]string{}
	for line := range strings.Lines(w.lines.String()) {
		var l struct {
			DecisionID string `json:"decision_id"`
			ParentID   string `json:"parent_id"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		parents[l.DecisionID] = l.ParentID
	}
	// The third is the right to see more than codes.
	request := reply.Header().Get("Decision-Id")
	if len(parents) != 3 || request == "" || parents[request] != "" || parents[answer.Context.DecisionID] != request {
		t.Errorf("request %s, question %s: %v", request, answer.Context.DecisionID, parents)
	}
	delete(parents, request)
	for id, parent := range parents {
		if parent != request {
			t.Errorf("%s names %q", id, parent)
		}
	}
}

// failing answers the right to ask, and errs on what is asked.
type failing struct{ *policies.PDP }

func (f failing) Decide(ctx context.Context, q *policies.Question) (policies.Decision, error) {
	return policies.Decision{Allow: true}, policies.ErrUndecided
}

func TestAnOutageIsNeitherADenialNorAPermit(t *testing.T) {
	erring := newWorld(t, func(p *policies.PDP) decide.PDP { return failing{p} })
	away := newWorld(t, nil)
	away.down = errors.New("store unavailable")
	for name, w := range map[string]*world{"evaluation error": erring, "directory away": away} {
		reply := w.ask("asker", "/access/v1/evaluation", about("user", "ada", "", "read"))
		if reply.Code != http.StatusServiceUnavailable || reply.Header().Get("Retry-After") == "" ||
			strings.Contains(reply.Body.String(), "decision\"") {
			t.Errorf("%s: got %d %s", name, reply.Code, reply.Body)
		}
	}
}

// Whether the caller may ask is not decided: the same on every row, and no question is taken up.
func TestC05ADecisionThatErrsIsAnOutageOnEveryRow(t *testing.T) {
	w := newWorld(t, nil)
	ada := about("user", "ada", "", "read")
	bodies := map[string]string{
		"/access/v1/evaluation": ada, "/access/v1/evaluations": ada, "/access/v1/search/subject": ada,
		"/access/v1/search/resource": ada, "/access/v1/search/action": ada, "/v1/permissions": `{"subject":{"type":"user","id":"ada"}}`,
		"/v1/data/{root}/{folder}/{name}":       `{"input":{"subject":{"type":"user","id":"ada"}}}`,
		"/v1/batch/data/{root}/{folder}/{name}": `{"inputs":{"a":{"subject":{"type":"user","id":"ada"}}}}`,
		"/v1/compile/{root}/{folder}/{name}":    `{"input":{"subject":{"type":"user","id":"ada"},"action":{"name":"read"}}}`,
	}
	published := strings.NewReplacer("{root}", "apps", "{folder}", "helpdesk", "{name}", "permit")
	for _, undecided := range []bool{true, false} {
		w.undecided = undecided
		for _, route := range w.routes {
			reply := w.ask("asker", published.Replace(route.Path), bodies[route.Path])
			switch {
			case bodies[route.Path] == "":
				t.Errorf("the row %s has no request here", route.Path)
			case !undecided && reply.Code != http.StatusOK:
				t.Errorf("%s: the request is not a good one: %d %s", route.Path, reply.Code, reply.Body)
			case undecided && (reply.Header().Get("Decision-Id") == "" || strings.Contains(reply.Body.String(), `"decision"`)):
				t.Errorf("%s: got %d %v %s", route.Path, reply.Code, reply.Header(), reply.Body)
			// The plane of problems is the test's own here, and answers errors with 599; identity.WriteProblem makes them 503.
			case undecided && (reply.Code == 599) == strings.HasPrefix(route.Path, "/access/"), undecided && reply.Code < 503:
				t.Errorf("%s: got %d %s", route.Path, reply.Code, reply.Body)
			case undecided && reply.Code == 503 && reply.Header().Get("Retry-After") == "":
				t.Errorf("%s: no Retry-After", route.Path)
			case undecided && reply.Code == 599 && !strings.Contains(reply.Body.String(), policies.ErrUndecided.Error()):
				t.Errorf("%s: the error is another one: %s", route.Path, reply.Body)
			}
		}
	}
}

func TestMetadataComesFromConfiguration(t *testing.T) {
	w := newWorld(t, nil)
	r := httptest.NewRequest(http.MethodGet, "/.well-known/authzen-configuration", nil)
	r.Host = "evil.example"
	r.Header.Set("X-Forwarded-Host", "evil.example")
	reply := httptest.NewRecorder()
	w.handler.ServeHTTP(reply, r)
	want := map[string]any{
		"policy_decision_point":       issuer,
		"access_evaluation_endpoint":  issuer + "/access/v1/evaluation",
		"access_evaluations_endpoint": issuer + "/access/v1/evaluations",
		"search_subject_endpoint":     issuer + "/access/v1/search/subject",
		"search_resource_endpoint":    issuer + "/access/v1/search/resource",
		"search_action_endpoint":      issuer + "/access/v1/search/action",
		"capabilities":                []any{"urn:writ:authzen:reasons", "urn:writ:authzen:subject-token"},
	}
	var got map[string]any
	if err := json.Unmarshal(reply.Body.Bytes(), &got); err != nil || reply.Code != http.StatusOK {
		t.Fatalf("got %d %s", reply.Code, reply.Body)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

type held struct {
	Tenant, Resource, Action string
	Via                      []string
}

func (w *world) permissions(caller, kind, id string) []held {
	w.tb.Helper()
	return w.permissionsOf(caller, fmt.Sprintf(`{"subject":{"type":%q,"id":%q}}`, kind, id))
}

func (w *world) permissionsIn(caller, kind, id, tenant string) []held {
	w.tb.Helper()
	return w.permissionsOf(caller, fmt.Sprintf(`{"subject":{"type":%q,"id":%q,"tenant":%q}}`, kind, id, tenant))
}

func (w *world) permissionsOf(caller, body string) []held {
	w.tb.Helper()
	reply := w.ask(caller, "/v1/permissions", body)
	var out struct{ Permissions []held }
	if err := json.Unmarshal(reply.Body.Bytes(), &out); err != nil || reply.Code != http.StatusOK {
		w.tb.Fatalf("%d %s", reply.Code, reply.Body)
	}
	return out.Permissions
}

func TestPermissions(t *testing.T) {
	w := newWorld(t, nil)
	w.caller("narrow", w.subjects["user/ada"], "ledger/accounts:*", "payroll:*")
	everything := []held{
		{"", "ledger/accounts", "read", []string{"group:books", "own"}}, {"acme", "ledger", "*", []string{"role:acme:clerk"}},
	}
	within := []held{
		{"", "ledger/accounts", "read", []string{"group:books", "own"}}, {"acme", "ledger/accounts", "*", []string{"role:acme:clerk"}},
	}
	if diff := cmp.Diff(everything, w.permissions("asker", "user", "ada")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(within, w.permissions("narrow", "user", "ada")); diff != "" {
		t.Error("one's own, within the token: ", diff)
	}
	if diff := cmp.Diff(within, w.permissions("asker", "token", "narrow")); diff != "" {
		t.Error("a token's: ", diff)
	}
	if diff := cmp.Diff(everything[:1], w.permissionsIn("asker", "user", "ada", "")); diff != "" {
		t.Error("those of no tenant: ", diff)
	}
	if diff := cmp.Diff(everything[1:], w.permissionsIn("asker", "user", "ada", "acme")); diff != "" {
		t.Error("those of one tenant: ", diff)
	}
	w.identity("application", "local", []policies.Grant{{Tenant: "acme", Resource: "decisions", Action: "ask", Via: "own"}})
	for _, tenant := range []string{"", "globex", "*"} {
		body := fmt.Sprintf(`{"subject":{"type":"user","id":"ada","tenant":%q}}`, tenant)
		if reply := w.ask("local", "/v1/permissions", body); reply.Code != http.StatusForbidden {
			t.Errorf("who may ask in acme asked about %q: %d %s", tenant, reply.Code, reply.Body)
		}
	}
	if diff := cmp.Diff(everything[1:], w.permissionsIn("local", "user", "ada", "acme")); diff != "" {
		t.Error("asked by who may ask there: ", diff)
	}
	if got := w.permissions("asker", "user", "bob"); len(got) != 0 {
		t.Errorf("an unknown subject holds %v", got)
	}
	if reply := w.ask("meek", "/v1/permissions", `{"subject":{"type":"user","id":"ada"}}`); reply.Code != http.StatusForbidden {
		t.Errorf("asking about others without the right: %d", reply.Code)
	}
}

// What is listed is what is permitted: for every tenant, resource and action of a small universe, a question is permitted if and
// only if some listed pair covers it.
func TestPermissionsEqualEvaluation(t *testing.T) {
	w := newWorld(t, nil)
	pdp, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	tenants, actions := []string{"", "acme"}, []string{"read", "write"}
	resources := []string{"ledger", "ledger/accounts", "ledger/books", "iam/applications"}
	rapid.Check(t, func(rt *rapid.T) {
		var grants []policies.Grant
		for range rapid.IntRange(0, 5).Draw(rt, "grants") {
			g := policies.Grant{
				Tenant:   rapid.SampledFrom([]string{"", "acme", "*"}).Draw(rt, "tenant"),
				Resource: rapid.SampledFrom(append([]string{"*"}, resources...)).Draw(rt, "resource"),
				Action:   rapid.SampledFrom(append([]string{"*", "reveal"}, actions...)).Draw(rt, "action"), Via: "own",
			}
			if rapid.Bool().Draw(rt, "windowed") {
				g.NotAfter = now().Add(time.Duration(rapid.IntRange(-1, 1).Draw(rt, "end")) * time.Hour)
			}
			grants = append(grants, g)
		}
		w.identity("user", "eve", grants)
		if rapid.Bool().Draw(rt, "of acme") {
			confined := *w.subjects["user/eve"].Facts.Identity()
			confined.Tenant = "acme"
			w.subjects["user/eve"].Facts = policies.NewFacts(confined)
		}
		listed := w.permissions("asker", "user", "eve")
		for _, tenant := range tenants {
			for _, resource := range resources {
				for _, action := range append([]string{"reveal"}, actions...) {
					body := fmt.Sprintf(`{"subject":{"type":"user","id":"eve"},"action":{"name":%q},"resource":{"type":%q,"id":"x","tenant":%q}}`,
						action, resource, tenant)
					permitted := strings.Contains(w.ask("asker", "/access/v1/evaluation", body).Body.String(), `{"decision":true`)
					covered := slices.ContainsFunc(listed, func(h held) bool {
						return (h.Tenant == "*" || h.Tenant == tenant) && pdp.Catalogue().Covers(h.Resource, h.Action, resource+"/x", action)
					})
					if permitted != covered {
						rt.Fatalf("%s %s:%s is permitted %t, listed %t by %v", tenant, resource, action, permitted, covered, listed)
					}
				}
			}
		}
	})
}

// BenchmarkEvaluation is one AuthZEN evaluation through the in-process handler: the right to ask, the question, two log lines.
func BenchmarkEvaluation(b *testing.B) {
	w := newWorld(b, nil)
	grants := make([]policies.Grant, 60)
	for n := range grants {
		grants[n] = policies.Grant{Resource: fmt.Sprintf("ledger/kind%d", n), Action: "read", Via: fmt.Sprintf("role:ops:r%d", n/20)}
	}
	w.identity("user", "pat", grants)
	w.caller("service", w.subjects["application/asker"], "decisions:ask")
	body := `{"subject":{"type":"user","id":"pat"},"action":{"name":"read"},"resource":{"type":"ledger/kind42","id":"123"}}`
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if reply := w.ask("service", "/access/v1/evaluation", body); reply.Code != http.StatusOK || reply.Body.String() != `{"decision":true}` {
			b.Fatalf("%d %s", reply.Code, reply.Body)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-us/op")
}

// cpu is the processor time of this process in nanoseconds, which a shared machine blurs less than the clock on the wall.
func cpu(b *testing.B) int64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
