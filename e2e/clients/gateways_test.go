package clients

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"golang.org/x/oauth2/clientcredentials"
)

const apacheModules = "/usr/lib/apache2/modules"

// gateway is what a configuration of testdata is filled with: a server of somebody else's before a service that is not Writ.
type gateway struct {
	Dir, Listen             string
	Issuer                  string
	Secure, Authority       string // Writ behind TLS, and the file with the certificate to trust
	Backend, Host, Audience string
	Algorithm               string // haproxy: the one it is told to accept, whose key is in key.pem
	Modules, Module         string // apache
	Root                    bool   // apache: started by root, it must become somebody else
	Client                  application
	Locations               string // nginx: in place of its own, with the addresses of docs/forward-auth.md

	base   string
	served *served
}

// served is what came through to the service behind a gateway.
type served struct {
	mu       sync.Mutex
	subjects []string
	last     http.Header
}

func (s *served) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subjects = append(s.subjects, r.Header.Get("X-Subject"))
	s.last = r.Header
}

func (s *served) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subjects
}

// installed finds the program of a package, and leaves the test out where it is not there.
func installed(t *testing.T, program, pkg string, files ...string) string {
	t.Helper()
	packages := listed(t, pkg)
	path, err := exec.LookPath(program)
	if err != nil {
		// Not every user has it on the path.
		path = filepath.Join("/usr/sbin", program)
	}
	for _, file := range append(files, path) {
		if _, err := os.Stat(file); err != nil {
			lacks(t, packages)
		}
	}
	return path
}

// behind fills a configuration of testdata, starts a program on it, waits until it listens, and ends it with the test. Its files are
// in a directory of its own. Between finding a port and listening on it another process may take it, so it tries a few times.
func (g gateway) behind(t *testing.T, file string, command func(conf, dir string) *exec.Cmd) *gateway {
	t.Helper()
	m := discovered(t)
	g.Issuer, g.Dir, g.served = m.Issuer, passable(t), &served{}
	g.Secure, g.Authority = secure(t, g.Dir)
	if g.Audience == "" {
		g.Audience = audience
	}
	backend := httptest.NewServer(g.served)
	t.Cleanup(backend.Close)
	g.Backend, g.Host = backend.URL, strings.TrimPrefix(backend.URL, "http://")
	g.Locations = strings.NewReplacer("http://127.0.0.1:8080", g.Issuer, "http://127.0.0.1:9000", g.Backend).Replace(g.Locations)
	page, err := template.ParseFiles(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		ports, err := freePorts()
		if err != nil {
			t.Fatal(err)
		}
		g.Listen, g.base = ports[0], "http://"+ports[0]
		var conf bytes.Buffer
		if err := page.Execute(&conf, g); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(g.Dir, file)
		if err := os.WriteFile(path, conf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		said, started := g.start(t, command(path, g.Dir))
		if started {
			return &g
		}
		if !strings.Contains(strings.ToLower(said), "address already in use") {
			t.Fatalf("%s ended before it listened:\n%s", file, said)
		}
	}
	t.Fatal("every port that was free was taken a moment later")
	return nil
}

// passable is a directory for the test that others may pass through, as a server that became another user must. Who owns what in
// it may read it is up to the files.
func passable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "writ-gateway-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// secure is Writ's public address behind a proxy that terminates TLS, and the file with the certificate that it shows.
func secure(t *testing.T, dir string) (address, authority string) {
	t.Helper()
	target, err := url.Parse(server.public)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(target))
	t.Cleanup(front.Close)
	authority = filepath.Join(dir, "authority.pem")
	shown := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(authority, shown, 0o644); err != nil {
		t.Fatal(err)
	}
	return front.URL, authority
}

// start runs a server until the test ends; false if it ended before it listened.
func (g *gateway) start(t *testing.T, cmd *exec.Cmd) (said string, started bool) {
	t.Helper()
	path := filepath.Join(g.Dir, "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	read := func() string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
		select {
		case <-ended:
		case <-time.After(endWithin):
			_ = cmd.Process.Kill()
			<-ended
			t.Errorf("%s did not end in time", cmd.Path)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Path, read())
		}
	})
	deadline := time.After(readyWithin)
	for {
		if r, err := http.Get(g.base); err == nil {
			_ = r.Body.Close()
			return "", true
		}
		select {
		case <-ended:
			return read(), false
		case <-deadline:
			t.Fatalf("%s does not listen after %s:\n%s", cmd.Path, readyWithin, read())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// get asks the service behind the gateway with an Authorization header.
func (g *gateway) get(t *testing.T, authorization string, status int) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.base+"/accounts?of=ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = reply.Body.Close()
	if reply.StatusCode != status {
		t.Errorf("Authorization %.60s: status %d, want %d", authorization, reply.StatusCode, status)
	}
	return reply
}

// wantServed demands that the service was reached for these subjects and for nobody else.
func (g *gateway) wantServed(t *testing.T, subjects ...string) {
	t.Helper()
	if got := g.served.all(); !slices.Equal(got, subjects) {
		t.Errorf("the service was reached for %q, want %q", got, subjects)
	}
}

// token gets an access token by client_credentials, for an audience unless it is empty.
func (a application) token(t *testing.T, audience string) string {
	t.Helper()
	config := clientcredentials.Config{ClientID: a.ID, ClientSecret: a.Secret, TokenURL: discovered(t).Token}
	if audience != "" {
		config.EndpointParams = url.Values{"audience": {audience}}
	}
	got, err := config.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got.AccessToken
}

// revoke ends a token of the application's.
func (a application) revoke(t *testing.T, token string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, discovered(t).Revocation,
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(a.ID, a.Secret)
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("revocation: status %d", reply.StatusCode)
	}
}

var late struct {
	sync.Mutex
	token string
}

// expired is a token for audience whose one second is over. The first test that needs it waits for that.
func expired(t *testing.T) string {
	t.Helper()
	late.Lock()
	defer late.Unlock()
	if late.token == "" {
		app := newApplication(t, object{"audiences": list{audience}, "token_lifetime": 1})
		late.token = app.token(t, audience)
		time.Sleep(2 * time.Second) // its times are whole seconds
	}
	return late.token
}

// TestNginxAsksWho: nginx's auth_request sends the caller's bearer token to GET /v1/me.
func TestNginxAsksWho(t *testing.T) {
	program := installed(t, "nginx", "nginx-light")
	g := gateway{}.behind(t, "nginx.conf", func(conf, dir string) *exec.Cmd {
		return exec.Command(program, "-p", dir, "-c", conf, "-e", "stderr")
	})
	for _, settings := range []object{nil, signed("RS256"), signed("EdDSA"), {"token_format": "opaque"}} {
		g.get(t, "Bearer "+newApplication(t, settings).token(t, ""), http.StatusOK)
	}
	app := newApplication(t, nil)
	token := app.token(t, "")
	g.get(t, "Bearer "+token, http.StatusOK)
	reached := []string{"", "", "", "", ""} // nginx does not say by whom
	g.wantServed(t, reached...)
	if challenge := g.get(t, "", http.StatusUnauthorized).Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer") {
		t.Errorf("challenge %q", challenge)
	}
	outsider, damaged, _ := outside(t)
	g.get(t, "Bearer "+outsider, http.StatusUnauthorized)
	g.get(t, "Bearer "+damaged, http.StatusUnauthorized)
	app.revoke(t, token)
	g.get(t, "Bearer "+token, http.StatusUnauthorized)
	g.wantServed(t, reached...)
}

// TestHAProxyVerifies: haproxy's jwt_verify has the public key and asks nobody. It knows no EdDSA.
func TestHAProxyVerifies(t *testing.T) {
	program := installed(t, "haproxy", "haproxy")
	for _, alg := range []string{"ES256", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			token, damaged, app := outside(t, signed(alg))
			g := gateway{Algorithm: alg}.behind(t, "haproxy.cfg", func(conf, dir string) *exec.Cmd {
				exportKey(t, token, filepath.Join(dir, "key.pem"))
				return exec.Command(program, "-db", "-f", conf)
			})
			g.verifies(t, token, damaged, app)
		})
	}
}

// exportKey writes the public key that a token names as PEM, from the published set.
func exportKey(t *testing.T, token, path string) {
	t.Helper()
	keys, err := jwk.Fetch(t.Context(), discovered(t).JWKS)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := keys.LookupKeyID(keyID(t, token))
	if !ok {
		t.Fatal("the token's key is not published")
	}
	var raw any
	if err := jwk.Export(key, &raw); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// verifies demands of a resource server for audience that it accepts a good token and nothing else.
func (g *gateway) verifies(t *testing.T, token, damaged string, app application) {
	t.Helper()
	g.get(t, "Bearer "+token, http.StatusOK)
	g.wantServed(t, app.ID)
	g.get(t, "", http.StatusUnauthorized)
	g.get(t, "Bearer "+damaged, http.StatusUnauthorized)
	if parts := strings.Split(token, "."); len(parts) == 3 {
		g.get(t, "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0."+parts[1]+".", http.StatusUnauthorized)
	}
	other := newApplication(t, object{"audiences": list{"https://other.example.com"}})
	g.get(t, "Bearer "+other.token(t, "https://other.example.com"), http.StatusUnauthorized)
	g.get(t, "Bearer "+expired(t), http.StatusUnauthorized)
	g.wantServed(t, app.ID)
}

// apache starts Apache with one of its modules, which verifies by introspection if client names an application, and by the
// published keys if not.
func apache(t *testing.T, module, pkg string, client application) *gateway {
	t.Helper()
	program := installed(t, "apache2", pkg, filepath.Join(apacheModules, module))
	g := gateway{Modules: apacheModules, Module: module, Root: os.Geteuid() == 0, Client: client}
	return g.behind(t, "apache.conf", func(conf, _ string) *exec.Cmd {
		return exec.Command(program, "-f", conf, "-DFOREGROUND")
	})
}

var apacheVerifiers = []struct{ module, pkg string }{
	{"mod_auth_openidc.so", "libapache2-mod-auth-openidc"},
	{"mod_oauth2.so", "libapache2-mod-oauth2"},
}

// TestApacheVerifiesByKeys: both modules find the key in the published set. The library beneath them knows no EdDSA.
func TestApacheVerifiesByKeys(t *testing.T) {
	for _, v := range apacheVerifiers {
		for _, alg := range []string{"ES256", "RS256"} {
			t.Run(v.pkg+" "+alg, func(t *testing.T) {
				g := apache(t, v.module, v.pkg, application{})
				token, damaged, app := outside(t, signed(alg))
				g.verifies(t, token, damaged, app)
			})
		}
	}
}

// TestApacheIntrospects: both modules ask Writ about every token, so a revoked one is refused at once, and one that only Writ can read
// is as good as a JWT.
func TestApacheIntrospects(t *testing.T) {
	for _, v := range apacheVerifiers {
		for _, format := range []string{"jwt", "opaque"} {
			t.Run(v.pkg+" "+format, func(t *testing.T) {
				g := apache(t, v.module, v.pkg, newApplication(t, object{"serves": list{audience}}))
				token, damaged, app := outside(t, object{"token_format": format})
				if isJWT := strings.Count(token, ".") == 2; isJWT != (format == "jwt") {
					t.Fatalf("the token is none of the format %s", format)
				}
				g.verifies(t, token, damaged, app)
				app.revoke(t, token)
				g.get(t, "Bearer "+token, http.StatusUnauthorized)
			})
		}
	}
}
