package clients

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
	"syscall"
	"testing"
	"time"
)

const (
	readyWithin = 60 * time.Second
	endWithin   = 30 * time.Second
)

// server is the one server that all tests use; its issuer is the public address.
var server struct {
	public, admin, secret string
	run                   *exec.Cmd
	ended                 chan struct{}
	log                   string
}

var leftOut struct {
	mu    sync.Mutex
	lines []string
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	work, err := os.MkdirTemp("", "writ-clients-")
	if err != nil {
		fmt.Fprintln(os.Stdout, "clients:", err)
		return 1
	}
	defer os.RemoveAll(work)
	defer stop()
	if err := open(work); err != nil {
		fmt.Fprintln(os.Stdout, "clients:", err)
		return 1
	}
	code := m.Run()
	for _, line := range leftOut.lines {
		fmt.Fprintln(os.Stdout, "clients: left out:", line)
	}
	return code
}

// open builds the binary, unless WRIT_BINARY names one, and starts it on free loopback ports. Between finding a port and
// listening on it another process may take it, so it tries a few times.
func open(work string) error {
	binary := os.Getenv("WRIT_BINARY")
	if binary == "" {
		binary = filepath.Join(work, "writ")
		build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "./cmd/writ")
		build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build writ: %w\n%s", err, out)
		}
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	version, err := exec.Command(binary, "version").Output()
	if err != nil {
		return fmt.Errorf("writ version: %w", err)
	}
	server.secret = rand.Text() + rand.Text() + ": é+/=%"
	for attempt := range 5 {
		err := start(binary, filepath.Join(work, fmt.Sprint(attempt)))
		if err == nil {
			fmt.Fprintf(os.Stdout, "clients: runner=process store=sqlite writ=%q\n", strings.Join(strings.Fields(string(version)), " "))
			return nil
		}
		stop()
		if !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
	return errors.New("start: every port that was free was taken a moment later")
}

func start(binary, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	ports, err := freePorts()
	if err != nil {
		return err
	}
	server.log = filepath.Join(dir, "log")
	log, err := os.Create(server.log)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(binary, "serve")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "WRIT_") }),
		"WRIT_LISTEN="+ports[0], "WRIT_ADMIN_LISTEN="+ports[1], "WRIT_DATA_DIR="+filepath.Join(dir, "data"),
		"WRIT_DECISION_LOG="+filepath.Join(dir, "decisions.jsonl"), "WRIT_BOOTSTRAP_SECRET="+server.secret)
	cmd.Env = append(cmd.Env, "WRIT_DIALECTS_POLICYSERVER_ENABLED=true", "WRIT_DIALECTS_RUSTICI_ENABLED=true", "WRIT_POLICY_DEADLINE=5s")
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	server.run, server.ended = cmd, ended
	server.public, server.admin = "http://"+ports[0], "http://"+ports[1]
	deadline := time.After(readyWithin)
	for {
		if r, err := http.Get(server.admin + "/readyz"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(server.log)
			return fmt.Errorf("the server ended before it was ready:\n%s", text)
		case <-deadline:
			text, _ := os.ReadFile(server.log)
			return fmt.Errorf("the server is not ready after %s:\n%s", readyWithin, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func stop() {
	if server.run == nil {
		return
	}
	_ = server.run.Process.Signal(syscall.SIGTERM) // an error says that it has ended
	select {
	case <-server.ended:
	case <-time.After(endWithin):
		_ = server.run.Process.Kill()
		<-server.ended
	}
	server.run = nil
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

type (
	object map[string]any
	list   []any
)

// metadata is what a client reads first.
type metadata struct {
	Issuer        string   `json:"issuer"`
	Token         string   `json:"token_endpoint"`
	JWKS          string   `json:"jwks_uri"`
	Introspection string   `json:"introspection_endpoint"`
	Revocation    string   `json:"revocation_endpoint"`
	GrantTypes    []string `json:"grant_types_supported"`
}

func discovered(t *testing.T) metadata {
	t.Helper()
	var m metadata
	call(t, http.MethodGet, server.public+"/.well-known/oauth-authorization-server", "", nil, http.StatusOK, &m)
	return m
}

// needs leaves a test out, and says so at the end, while the metadata does not list what it is about.
func needs(t *testing.T, what string, listed bool) {
	t.Helper()
	if listed {
		return
	}
	leave(t, what+" is not in the metadata")
}

// listed are packages of the distribution that a test uses. Each must stand in testdata/debian-packages, which is what .ci/run
// installs.
func listed(t *testing.T, packages ...string) []string {
	t.Helper()
	all, err := os.ReadFile(filepath.Join("testdata", "debian-packages"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range packages {
		if !slices.Contains(strings.Fields(string(all)), name) {
			t.Fatalf("testdata/debian-packages does not list %s", name)
		}
	}
	return packages
}

// lacks leaves a test out because packages are not installed.
func lacks(t *testing.T, packages []string) {
	t.Helper()
	leave(t, "not on this machine: apt-get install --no-install-recommends "+strings.Join(packages, " "))
}

// leave leaves a test out; a last line says so.
func leave(t *testing.T, why string) {
	t.Helper()
	line := t.Name() + ": " + why
	leftOut.mu.Lock()
	leftOut.lines = append(leftOut.lines, line)
	leftOut.mu.Unlock()
	t.Skip(line)
}

// call sends a request with a JSON body, demands a status, and decodes the reply where into is not nil.
func call(t *testing.T, method, target, authorization string, body any, status int, into any) {
	t.Helper()
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, sent)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	if reply.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, target, reply.StatusCode, status, text)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, target, err, text)
	}
}

// root is the Authorization header of the application root, by a token of its own.
func root(t *testing.T) string {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, server.public+"/oauth2/token",
		strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("root", url.QueryEscape(server.secret))
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	var token struct {
		Value string `json:"access_token"`
	}
	if err := json.NewDecoder(reply.Body).Decode(&token); err != nil || token.Value == "" {
		t.Fatalf("no token for root: status %d, %v", reply.StatusCode, err)
	}
	return "Bearer " + token.Value
}

// application is a client as its creator knows it.
type application struct{ ID, Secret string }

// grant is a permission as it stands in an application or user.
func grant(resource, action string) object { return object{"resource": resource, "action": action} }

// newApplication makes an application; what the body does not say is client_credentials and one grant, ledger:read.
func newApplication(t *testing.T, body object) application {
	t.Helper()
	full := object{
		"name": "app " + rand.Text(), "grant_types": list{"client_credentials"}, "grants": list{grant("ledger", "read")},
	}
	for k, v := range body {
		full[k] = v
	}
	var made struct {
		ID     string
		Secret struct{ Value string }
	}
	call(t, http.MethodPost, server.admin+"/v1/applications", root(t), full, http.StatusCreated, &made)
	return application{ID: made.ID, Secret: made.Secret.Value}
}

// person is somebody who may log in.
type person struct{ ID, Username, Password string }

func newPerson(t *testing.T) person {
	t.Helper()
	p := person{Username: "ada-" + strings.ToLower(rand.Text()), Password: rand.Text()}
	var made struct{ ID string }
	call(t, http.MethodPost, server.admin+"/v1/users", root(t), object{
		"username": p.Username, "email": p.Username + "@example.com", "name": "Ada", "password": p.Password,
		"grants": list{grant("ledger", "read")},
	}, http.StatusCreated, &made)
	p.ID = made.ID
	return p
}
