package judges

import (
	"bytes"
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
	"testing"
	"time"
)

type (
	object map[string]any
	list   []any
)

// server is the one that all tests use.
var server struct{ public, admin, secret string }

const readyWithin = 60 * time.Second

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the binary, unless WRIT_BINARY names one, and starts it with the dialects on.
func run(m *testing.M) int {
	work, err := os.MkdirTemp("", "writ-judges-")
	if err == nil {
		defer os.RemoveAll(work)
		binary := os.Getenv("WRIT_BINARY")
		if binary == "" {
			binary = filepath.Join(work, "writ")
			build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "./cmd/writ")
			build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
			var out []byte
			if out, err = build.CombinedOutput(); err != nil {
				err = fmt.Errorf("build writ: %w\n%s", err, out)
			}
		}
		for attempt := 0; err == nil && attempt < 5; attempt++ {
			var end func()
			if end, err = start(binary, filepath.Join(work, fmt.Sprint(attempt))); err == nil {
				defer end()
				return m.Run()
			}
			if strings.Contains(err.Error(), "address already in use") {
				err = nil // somebody was faster
			}
		}
	}
	fmt.Fprintln(os.Stdout, "judges:", errors.Join(err, errors.New("there is no server")))
	return 1
}

func start(binary, dir string) (end func(), err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	server.secret = rand.Text() + rand.Text()
	var said bytes.Buffer
	cmd := exec.Command(binary, "serve")
	cmd.Dir, cmd.Stderr = dir, &said
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "WRIT_") }),
		"WRIT_LISTEN="+ports[0], "WRIT_ADMIN_LISTEN="+ports[1], "WRIT_DATA_DIR="+filepath.Join(dir, "data"), "WRIT_DECISION_LOG=off",
		"WRIT_BOOTSTRAP_SECRET="+server.secret, "WRIT_DIALECTS_LERIAN_ENABLED=true", "WRIT_POLICY_DEADLINE=5s")
	return begin(cmd, &said, ports)
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

func begin(cmd *exec.Cmd, said *bytes.Buffer, ports [2]string) (end func(), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	server.public, server.admin = "http://"+ports[0], "http://"+ports[1]
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get(server.admin + "/readyz"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return func() { _ = cmd.Process.Kill(); <-ended }, nil
			}
		}
		select {
		case <-ended:
			return nil, fmt.Errorf("the server ended before it was ready:\n%s", said)
		default:
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			<-ended
			return nil, fmt.Errorf("the server is not ready after %s:\n%s", readyWithin, said)
		}
	}
}

// call sends a request and decodes the reply into a value, if there is one.
func call(t *testing.T, method, address, authorization string, body any, want int, into any) {
	t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, address, sent)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != want {
		t.Fatalf("%s %s: %d %s, want %d (%v)", method, address, reply.StatusCode, text, want, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
}

func rootBasic() string {
	request := http.Request{Header: http.Header{}}
	request.SetBasicAuth("root", url.QueryEscape(server.secret))
	return request.Header.Get("Authorization")
}

type application struct{ ID, Secret string }

// newApplication makes one for client_credentials.
func newApplication(t *testing.T, more object) application {
	t.Helper()
	fields := object{"name": unique("judged"), "grant_types": list{"client_credentials"}}
	for name, value := range more {
		fields[name] = value
	}
	var made struct {
		ID     string `json:"id"`
		Secret struct {
			Value string `json:"value"`
		} `json:"secret"`
	}
	call(t, http.MethodPost, server.admin+"/v1/applications", rootBasic(), fields, http.StatusCreated, &made)
	return application{made.ID, made.Secret.Value}
}

func grant(resource, action string) object { return object{"resource": resource, "action": action} }

func unique(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:8]) }
