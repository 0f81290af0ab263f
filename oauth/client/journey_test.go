package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth/client"
)

const (
	readyWithin = 60 * time.Second
	endWithin   = 30 * time.Second
)

// TestMain removes what was built for the journey.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

var built struct {
	once      sync.Once
	dir, path string
	err       error
}

// binary builds the server of this checkout, unless WRIT_BINARY names one.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if named := os.Getenv("WRIT_BINARY"); named != "" {
			built.path, built.err = filepath.Abs(named)
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "writ-client-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "writ")
		build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", built.path, "./cmd/writ")
		build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build writ: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	version, err := exec.Command(built.path, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("runner=process store=sqlite writ=%q", strings.Join(strings.Fields(string(version)), " "))
	return built.path
}

// writ is a running server.
type writ struct {
	t             *testing.T
	public, admin string
	secret        string
	stop          func()
}

// start starts the server on free loopback ports. Another process may take one before the server listens, so it tries a few times.
func start(t *testing.T) *writ {
	t.Helper()
	path := binary(t)
	for attempt := range 5 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(attempt))
		w, err := serve(t, path, dir)
		if err == nil {
			t.Cleanup(w.stop)
			return w
		}
		if !strings.Contains(err.Error(), "address already in use") {
			t.Fatal(err)
		}
	}
	t.Fatal("every port that was free was taken a moment later")
	return nil
}

func serve(t *testing.T, path, dir string) (*writ, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	w := &writ{t: t, public: "http://" + ports[0], admin: "http://" + ports[1], secret: rand.Text() + rand.Text() + ": é+/=%"}
	name := filepath.Join(dir, "log")
	log, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	run := exec.Command(path, "serve")
	run.Dir, run.Stdout, run.Stderr = dir, log, log
	run.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "WRIT_") }),
		"WRIT_LISTEN="+ports[0], "WRIT_ADMIN_LISTEN="+ports[1], "WRIT_DATA_DIR="+filepath.Join(dir, "data"),
		"WRIT_DECISION_LOG="+filepath.Join(dir, "decisions.jsonl"), "WRIT_BOOTSTRAP_SECRET="+w.secret, "WRIT_POLICY_DEADLINE=5s")
	return w, w.run(run, name)
}

// freePorts are two loopback addresses that nobody listens on.
func freePorts() ([2]string, error) {
	var found [2]string
	for i := range found {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return found, err
		}
		defer l.Close() // after both are found, so that they differ
		found[i] = l.Addr().String()
	}
	return found, nil
}

func (w *writ) run(run *exec.Cmd, log string) error {
	if err := run.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = run.Wait(); close(ended) }()
	w.stop = sync.OnceFunc(func() {
		_ = run.Process.Signal(syscall.SIGTERM) // an error says that it has ended
		select {
		case <-ended:
		case <-time.After(endWithin):
			_ = run.Process.Kill()
			<-ended
		}
	})
	deadline := time.After(readyWithin)
	for {
		if w.answers(w.admin+"/readyz") && w.answers(w.public+"/.well-known/jwks.json", "RS256", "EdDSA", "ES256") {
			return nil
		}
		select {
		case <-ended:
		case <-deadline:
			w.stop()
		case <-time.After(20 * time.Millisecond):
			continue
		}
		text, _ := os.ReadFile(log)
		return fmt.Errorf("the server is not ready:\n%s", text)
	}
}

// answers says that a document is there and names what it should: keys of the algorithms that nobody has asked for yet are made behind the
// start, and a client that fetched before would look again some seconds later.
func (w *writ) answers(address string, naming ...string) bool {
	r, err := http.Get(address)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return false
	}
	for _, name := range naming {
		if !strings.Contains(string(text), name) {
			return false
		}
	}
	return true
}

// form posts a form with the credentials of an application and decodes the reply.
func (w *writ) form(path, id, secret string, form url.Values, into any) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.public+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	w.do(r, http.StatusOK, into)
}

// manage sends a JSON document to the admin API as root.
func (w *writ) manage(method, path string, body any, status int, into any) {
	w.t.Helper()
	var sent io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		sent = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.admin+path, sent)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.SetBasicAuth("root", url.QueryEscape(w.secret))
	w.do(r, status, into)
}

func (w *writ) do(r *http.Request, status int, into any) {
	w.t.Helper()
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if reply.StatusCode != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", r.Method, r.URL.Path, reply.StatusCode, status, text)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			w.t.Fatalf("%s %s: %v: %s", r.Method, r.URL.Path, err, text)
		}
	}
}

type application struct {
	ID     string
	Secret struct{ Value string }
}

// application makes an application with client_credentials; more changes it.
func (w *writ) application(more object) application {
	w.t.Helper()
	body := object{"name": "app " + rand.Text(), "grant_types": []string{"client_credentials"}}
	for name, value := range more {
		body[name] = value
	}
	var made application
	w.manage(http.MethodPost, "/v1/applications", body, http.StatusCreated, &made)
	return made
}

// token is an access token of an application, for the ledger.
func (w *writ) token(app application, more url.Values) string {
	w.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "audience": {ledger}}
	for name, values := range more {
		form[name] = values
	}
	var said struct {
		Token string `json:"access_token"`
	}
	w.form("/oauth2/token", app.ID, app.Secret.Value, form, &said)
	return said.Token
}

func grant(resource, action string) object { return object{"resource": resource, "action": action} }

// TestJourney is a service of the built server: it verifies, decides, sees a revocation, and does not take an outage for a denial.
func TestJourney(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: -short")
	}
	w := start(t)
	service := w.application(object{
		"serves": []string{ledger}, "grants": []object{{"resource": "decisions", "action": "ask", "tenant": "*"}, grant("decisions", "ask")},
	})
	configured := func(change ...func(*client.Config)) *client.Client {
		config := client.Config{Issuer: w.public, Audience: ledger, ClientID: service.ID, ClientSecret: service.Secret.Value}
		for _, f := range change {
			f(&config)
		}
		c, err := client.New(config)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := configured()
	portal := w.application(object{
		"audiences": []string{ledger}, "grants": []object{grant("ledger/accounts", "read"), grant("ledger/accounts", "write")},
	})

	t.Run("each format and algorithm is verified", func(t *testing.T) {
		for _, more := range []object{
			{"token_signing_alg": "ES256"}, {"token_signing_alg": "RS256"}, {"token_signing_alg": "EdDSA"}, {"token_format": "opaque"},
		} {
			more["audiences"], more["grants"] = []string{ledger}, []object{grant("ledger", "read")}
			app := w.application(more)
			raw := w.token(app, nil)
			for _, used := range []*client.Client{c, configured(func(c *client.Config) { c.Introspect = true })} {
				token, err := used.Verify(t.Context(), raw)
				if err != nil || token.Subject != app.ID || token.Person() || !slices.Equal(token.Scopes, []string{"ledger:read"}) {
					t.Fatalf("%v: %v, %v", more, token, err)
				}
			}
			broken := raw[:len(raw)-20] + strings.Repeat("A", 20)
			elsewhere := configured(func(c *client.Config) { c.Audience = "https://other.example" })
			for name, err := range map[string]error{
				"damaged": second(c.Verify(t.Context(), broken)), "for somebody else": second(elsewhere.Verify(t.Context(), raw)),
			} {
				if !errors.Is(err, client.ErrInvalidToken) {
					t.Errorf("%v, %s: %v", more, name, err)
				}
			}
		}
	})

	t.Run("decisions", func(t *testing.T) {
		whole, err := c.Verify(t.Context(), w.token(portal, nil))
		if err != nil {
			t.Fatal(err)
		}
		narrow, err := c.Verify(t.Context(), w.token(portal, url.Values{"scope": {"ledger/accounts:read"}}))
		if err != nil {
			t.Fatal(err)
		}
		known := client.Subject{Type: "application", ID: portal.ID}
		for name, tc := range map[string]struct {
			subject client.Subject
			action  string
			code    string // of a denial
		}{
			"the token may":                 {whole.Asked(), "write", ""},
			"the application may":           {known, "write", ""},
			"the narrow token may not":      {narrow.Asked(), "write", "insufficient_scope"},
			"the narrow token may do this":  {narrow.Asked(), "read", ""},
			"the application may not":       {known, "close", "not_granted"},
			"nobody may":                    {client.Subject{Type: "user", ID: "nobody"}, "read", "no_such_subject"},
			"what is no token may not, too": {client.Subject{Type: "token", ID: "x"}, "read", "no_such_subject"},
		} {
			err := c.Check(t.Context(), client.Question{
				Subject: tc.subject, Action: client.Action{Name: tc.action}, Resource: account("123"), Reasons: true,
			})
			var denied *client.DeniedError
			switch {
			case tc.code == "":
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case !errors.As(err, &denied) || len(denied.Answer.Reasons) == 0 || denied.Answer.Reasons[0].Code != tc.code:
				t.Errorf("%s: %v", name, err)
			}
		}
		held, err := c.Permissions(t.Context(), known, client.AnyTenant)
		if err != nil || len(held) != 2 || held[0].Resource != "ledger/accounts" || held[0].Action != "read" {
			t.Errorf("holds %+v, %v", held, err)
		}
	})

	t.Run("many decisions at once", func(t *testing.T) {
		var can struct {
			Batch string `json:"access_evaluations_endpoint"`
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.public+"/.well-known/authzen-configuration", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		w.do(r, http.StatusOK, &can)
		if can.Batch == "" {
			t.Skip("left out: this server's metadata lists no access_evaluations_endpoint")
		}
		batch := client.Batch{Defaults: client.Question{
			Subject: client.Subject{Type: "application", ID: portal.ID}, Resource: account("123"),
		}, Reasons: true}
		for _, action := range []string{"read", "close", "write"} {
			batch.Questions = append(batch.Questions, client.Question{Action: client.Action{Name: action}})
		}
		for semantic, want := range map[client.Semantic][]bool{
			"": {true, false, true}, client.ExecuteAll: {true, false, true}, client.DenyOnFirstDeny: {true, false},
			client.PermitOnFirstPermit: {true},
		} {
			batch.Semantic = semantic
			answers, err := c.EvaluateAll(t.Context(), batch)
			var got []bool
			for _, answer := range answers {
				got = append(got, answer.Allowed)
				if answer.Err != nil || answer.DecisionID == "" {
					t.Errorf("%q: %+v", semantic, answer)
				}
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: %v, %v, want %v", semantic, got, err, want)
			}
		}
	})

	t.Run("the middleware", func(t *testing.T) {
		h := service123(c)
		whole := "Bearer " + w.token(portal, nil)
		for path, want := range map[string]int{"/accounts/123": 200, "/closed/123": 403} {
			if got := get(h, path, whole); got.Code != want {
				t.Errorf("%s: %d %s", path, got.Code, got.Body)
			}
		}
		if got := get(h, "/accounts/123"); got.Code != 401 {
			t.Errorf("without a token: %d", got.Code)
		}
	})

	t.Run("a revocation", func(t *testing.T) {
		raw := w.token(portal, nil)
		token, err := c.Verify(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		w.form("/oauth2/revoke", portal.ID, portal.Secret.Value, url.Values{"token": {raw}}, nil)
		if _, err := configured(func(c *client.Config) { c.Introspect = true }).Verify(t.Context(), raw); !errors.Is(err, client.ErrInvalidToken) {
			t.Errorf("introspected: %v", err)
		}
		if _, err := c.Verify(t.Context(), raw); err != nil {
			t.Errorf("by its signature it is good until it expires: %v", err)
		}
		err = c.Check(t.Context(), client.Question{Subject: token.Asked(), Action: client.Action{Name: "read"}, Resource: account("123")})
		if !errors.Is(err, client.ErrDenied) {
			t.Errorf("asked about: %v", err)
		}
	})

	t.Run("a service that is refused", func(t *testing.T) {
		stranger := configured(func(c *client.Config) { c.ClientSecret = "wrong" })
		meek := w.application(object{"grants": []object{grant("ledger", "read")}})
		other := configured(func(c *client.Config) { c.ClientID, c.ClientSecret = meek.ID, meek.Secret.Value })
		for name, err := range map[string]error{
			"a wrong secret":            stranger.Check(t.Context(), mayAdaRead()),
			"without the right to ask":  other.Check(t.Context(), mayAdaRead()),
			"a wrong secret, of tokens": second(stranger.Verify(t.Context(), "sat_x")),
		} {
			if !errors.Is(err, client.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})

	t.Run("an exchanged secret", func(t *testing.T) {
		var later atomic.Int64 // how far the service's clock is ahead, in seconds
		file := filepath.Join(t.TempDir(), "secret")
		keep := func(secret string) {
			if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		keep(service.Secret.Value)
		c := configured(func(c *client.Config) {
			c.ClientSecret, c.ClientSecretFile = "", file
			c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Second) }
		})
		asks := func() error {
			_, err := c.Permissions(t.Context(), client.Subject{Type: "application", ID: portal.ID}, client.AnyTenant)
			return err
		}
		if err := asks(); err != nil {
			t.Fatal(err)
		}
		var old struct{ Items []struct{ ID string } }
		path := "/v1/applications/" + service.ID + "/secrets"
		w.manage(http.MethodGet, path, nil, http.StatusOK, &old)
		w.manage(http.MethodPost, path, object{"label": "new"}, http.StatusCreated, &service.Secret)
		w.manage(http.MethodDelete, path+"/"+old.Items[0].ID, nil, http.StatusNoContent, nil)
		keep(service.Secret.Value)
		later.Add(2)
		if err := asks(); err != nil {
			t.Errorf("the token of the old secret is dead, and the new secret is in the file: %v", err)
		}
	})

	raw := w.token(portal, nil)
	c = configured()
	if err := c.Check(t.Context(), client.Question{
		Subject: client.Subject{Type: "application", ID: portal.ID}, Action: client.Action{Name: "read"}, Resource: account("123"),
	}); err != nil {
		t.Error(err)
	}
	if _, err := c.Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
	w.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Verify(ctx, raw); err != nil {
		t.Errorf("the keys are known, and the server is down: %v", err)
	}
	for name, err := range map[string]error{
		"a question": c.Check(ctx, mayAdaRead()), "an opaque token": second(c.Verify(ctx, "sat_x")),
		"a token, before there are keys": second(configured().Verify(ctx, raw)),
	} {
		if !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrDenied) || errors.Is(err, client.ErrInvalidToken) {
			t.Errorf("down, %s: %v", name, err)
		}
	}
	if got := get(service123(c), "/accounts/123", "Bearer "+raw); got.Code != 503 {
		t.Errorf("down, the middleware: %d", got.Code)
	}
}

// service123 has a route that the portal may use and one that it may not.
func service123(c *client.Client) http.Handler {
	mux := http.NewServeMux()
	served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/accounts/{id}", c.Require("read", client.PathValue("ledger/accounts", "id"))(served))
	mux.Handle("/closed/{id}", c.Require("close", client.PathValue("ledger/accounts", "id"))(served))
	return mux
}

func second[T any](_ T, err error) error { return err }
