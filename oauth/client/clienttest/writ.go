package clienttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth/client"
)

// T is the part of testing.TB that is used.
type T interface {
	Helper()
	Cleanup(f func())
	Errorf(format string, args ...any)
}

// clientID is the application that the service under test acts as.
const clientID = "service"

// Writ is the double. Its methods may be called at any time, from any goroutine.
type Writ struct {
	t      T
	server *httptest.Server
	secret string

	mu      sync.Mutex
	signer  jose.Signer
	keys    []jose.JSONWebKey
	issued  map[string]issued
	own     map[string]bool // the service's own tokens
	answers map[asked]answer
	held    map[string][]client.Permission
	stopped bool
	asked   []client.Question
}

// asked is a question as the table has it.
type asked struct{ subject, action, resourceType, resourceID, tenant string }

func (q asked) String() string {
	text := fmt.Sprintf("may %s %s %s/%s", q.subject, q.action, q.resourceType, q.resourceID)
	if q.tenant != "" {
		text += " in " + q.tenant
	}
	return text + "?"
}

type answer struct {
	allowed bool
	codes   []string
}

// Start starts a Writ that ends with the test.
func Start(t T) *Writ {
	t.Helper()
	w := &Writ{
		t: t, secret: rand.Text(), issued: map[string]issued{}, own: map[string]bool{}, answers: map[asked]answer{},
		held: map[string][]client.Permission{},
	}
	w.RotateKey()
	mux := http.NewServeMux()
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /.well-known/jwks.json":  w.serveKeys,
		"POST /oauth2/token":          w.serveToken,
		"POST /oauth2/introspect":     w.serveIntrospection,
		"POST /access/v1/evaluation":  w.serveEvaluation,
		"POST /access/v1/evaluations": w.serveEvaluations,
		"POST /v1/permissions":        w.servePermissions,
	} {
		mux.HandleFunc(pattern, handle)
	}
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		w.t.Errorf("clienttest: there is no %s %s", r.Method, r.URL.Path)
		http.NotFound(rw, r)
	})
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		stopped := w.stopped
		w.mu.Unlock()
		if stopped {
			unavailable(rw)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	return w
}

// Config is the configuration of a service that this Writ knows.
func (w *Writ) Config(audience string) client.Config {
	return client.Config{Issuer: w.server.URL, Audience: audience, ClientID: clientID, ClientSecret: w.secret}
}

// Client is a client with that configuration.
func (w *Writ) Client(audience string) *client.Client {
	w.t.Helper()
	c, err := client.New(w.Config(audience))
	if err != nil {
		w.t.Errorf("clienttest: %v", err)
	}
	return c
}

// Allow has questions answered with yes. The subject is an id or, for a received token, the subject of the token; so one line answers
// for both.
func (w *Writ) Allow(subject, action string, resource client.Resource) {
	w.set(subject, action, resource, answer{allowed: true, codes: []string{"granted"}})
}

// Deny has questions answered with no, for these reasons.
func (w *Writ) Deny(subject, action string, resource client.Resource, codes ...string) {
	w.set(subject, action, resource, answer{codes: codes})
}

func (w *Writ) set(subject, action string, resource client.Resource, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[asked{subject, action, resource.Type, resource.ID, resource.Tenant}] = a
}

// Hold has these permissions listed for a subject.
func (w *Writ) Hold(subject string, permissions ...client.Permission) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[subject] = permissions
}

// Stop makes every request fail as in an outage, until Resume.
func (w *Writ) Stop() { w.setStopped(true) }

// Resume ends an outage.
func (w *Writ) Resume() { w.setStopped(false) }

func (w *Writ) setStopped(stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = stopped
}

// Asked returns the questions that were asked, in order.
func (w *Writ) Asked() []client.Question {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]client.Question(nil), w.asked...)
}

// RotateKey has what is issued from now on signed with a new key. The earlier ones stay published. As with the server, a client that
// fetched the keys less than ten seconds ago cannot tell whether the new one is good; its clock is client.Config.Now.
func (w *Writ) RotateKey() {
	w.mu.Lock()
	defer w.mu.Unlock()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Errorf("clienttest: make a key: %v", err)
		return
	}
	id := fmt.Sprintf("key-%d", len(w.keys)+1)
	w.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: id}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		w.t.Errorf("clienttest: make a signer: %v", err)
		return
	}
	w.keys = append(w.keys, jose.JSONWebKey{Key: private.Public(), KeyID: id, Algorithm: string(jose.ES256), Use: "sig"})
}

// Token is an access token to be issued.
type Token struct {
	// Subject is the id of a user or an application.
	Subject string
	// Audience is the service that the token is for.
	Audience string
	// ClientID is the application that gets it. Absent: "portal".
	ClientID string
	Tenant   string
	Scopes   []string
	Roles    []string
	Groups   []string
	// Life is how long it is good; negative: it has expired. Absent: an hour.
	Life time.Duration
	// Opaque makes a token that only introspection can read.
	Opaque bool
	// Claims are further ones.
	Claims map[string]any
}

type issued struct {
	claims  map[string]any
	expires time.Time
	revoked bool
}

// Issue issues a token.
func (w *Writ) Issue(token Token) string {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if token.ClientID == "" {
		token.ClientID = "portal"
	}
	if token.Life == 0 {
		token.Life = time.Hour
	}
	now := time.Now()
	claims := map[string]any{}
	for name, value := range token.Claims {
		claims[name] = value
	}
	for name, value := range map[string]any{
		"iss": w.server.URL, "sub": token.Subject, "aud": []string{token.Audience}, "client_id": token.ClientID, "jti": rand.Text(),
		"iat": min(now.Unix(), now.Add(token.Life).Unix()-1), "exp": now.Add(token.Life).Unix(), "scope": join(token.Scopes),
	} {
		claims[name] = value
	}
	for name, values := range map[string][]string{"roles": token.Roles, "groups": token.Groups} {
		if values != nil {
			claims[name] = values
		}
	}
	if token.Tenant != "" {
		claims["tenant"] = token.Tenant
	}
	raw := "sat_" + rand.Text()
	if !token.Opaque {
		raw = w.sign(claims)
	}
	w.issued[raw] = issued{claims: claims, expires: now.Add(token.Life)}
	return raw
}

func (w *Writ) sign(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err == nil {
		var signed *jose.JSONWebSignature
		if signed, err = w.signer.Sign(payload); err == nil {
			var raw string
			if raw, err = signed.CompactSerialize(); err == nil {
				return raw
			}
		}
	}
	w.t.Errorf("clienttest: sign a token: %v", err)
	return ""
}

// Revoke ends a token: introspection says so, and questions about it are denied. Who verifies a JWT by its signature does not see it.
func (w *Writ) Revoke(raw string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	token := w.issued[raw]
	token.revoked = true
	w.issued[raw] = token
}
