package clients

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documented is the block of the guide in a language.
func documented(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "forward-auth.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("the guide has no block of %s", language)
	}
	return string(found[1])
}

// asks sends a request to the service behind the gateway, with its path as it is written.
func (g *gateway) asks(t *testing.T, method, path, token string, header http.Header, status int) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, g.base, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = path
	maps.Copy(r.Header, header)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = reply.Body.Close()
	if reply.StatusCode != status {
		t.Errorf("%s %s: status %d, want %d", method, path, reply.StatusCode, status)
	}
	return reply
}

// told compares what the gateway told it of the caller.
func (g *gateway) told(t *testing.T, want map[string]string) {
	t.Helper()
	g.served.mu.Lock()
	defer g.served.mu.Unlock()
	for _, name := range []string{"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-User", "X-Auth-Client", "X-Auth-Tenant", "X-Auth-Scope"} {
		if got := g.served.last.Values(name); strings.Join(got, ",") != want[name] {
			t.Errorf("the service got %s %q, want %q", name, got, want[name])
		}
	}
	for name := range g.served.last {
		if strings.HasPrefix(strings.ReplaceAll(name, "_", "-"), "X-Auth-") && strings.Contains(name, "_") {
			t.Errorf("the service got %s", name)
		}
	}
}

// TestNginxAsksWhetherTheRequestMayPass: nginx with the locations of docs/forward-auth.md, before a service that reads X-Auth-*.
func TestNginxAsksWhetherTheRequestMayPass(t *testing.T) {
	program := installed(t, "nginx", "nginx-light")
	g := gateway{Locations: documented(t, "nginx")}.behind(t, "nginx-forward.conf", func(conf, dir string) *exec.Cmd {
		return exec.Command(program, "-p", dir, "-c", conf, "-e", "stderr")
	})
	const users = "/pam/apps/users/user/"
	viewer := newApplication(t, object{"grants": list{grant("users/user", "view")}})
	token := viewer.token(t, "")
	reached := 0
	came := func(n int) {
		t.Helper()
		reached += n
		if got := len(g.served.all()); got != reached {
			t.Errorf("the service was reached %d times, want %d", got, reached)
		}
	}

	who := map[string]string{
		"X-Auth-Subject": viewer.ID, "X-Auth-Subject-Type": "application", "X-Auth-Client": viewer.ID, "X-Auth-Scope": "users/user:view",
	}
	g.asks(t, "GET", users, token, nil, http.StatusOK)
	g.told(t, who)
	g.asks(t, "GET", users+"?page=2", token, http.Header{
		"X-Auth-User": {"admin"}, "X-Auth-Subject": {"root"}, "X-Auth-Tenant": {"acme"}, "X_Auth_User": {"admin"},
	}, http.StatusOK)
	g.told(t, who)
	g.asks(t, "GET", users, token, http.Header{
		"X-Forwarded-Uri": {"/"}, "X-Forwarded-Method": {"DELETE"}, "X_Forwarded_Uri": {"/"}, "X-Http-Method-Override": {"DELETE"},
	}, http.StatusOK)
	g.asks(t, "HEAD", users, token, nil, http.StatusOK)
	came(4)

	// What is not held, what has no row, nobody, and tokens that are none.
	g.asks(t, "POST", users, token, nil, http.StatusForbidden)
	g.asks(t, "POST", users, token, http.Header{"X-Forwarded-Method": {"GET"}}, http.StatusForbidden)
	g.asks(t, "GET", "/pam/apps/roles/role/", token, nil, http.StatusForbidden)
	g.asks(t, "GET", "/", token, nil, http.StatusForbidden)
	if challenge := g.asks(t, "GET", users, "", nil, http.StatusUnauthorized).Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer") {
		t.Errorf("challenge %q", challenge)
	}
	g.asks(t, "GET", users, "", http.Header{"X-Auth-User": {"admin"}}, http.StatusUnauthorized)
	outsider, damaged, _ := outside(t)
	g.asks(t, "GET", users, outsider, nil, http.StatusUnauthorized)
	g.asks(t, "GET", users, damaged, nil, http.StatusUnauthorized)
	came(0)

	// nginx itself reads most of these as the path of the row.
	for _, path := range []string{
		"/pam/apps/roles/../users/user/", "//pam/apps/users/user/", "/pam/apps/users//user/", "/pam/apps/./users/user/", "/pam/apps/users%2Fuser/",
		"/pam/apps/%2e/users/user/", "/pam/apps/x/%2e%2e/users/user/", "/pam/apps/users/user/;x",
	} {
		g.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\nConnection: close\r\n\r\n", http.StatusForbidden)
	}
	came(0)

	// A public route of the host that has one.
	g.raw(t, "GET /status HTTP/1.1\r\nHost: shop.example.com\r\nX-Auth-User: admin\r\nConnection: close\r\n\r\n", http.StatusOK)
	came(1)
	g.told(t, nil)
	g.raw(t, "GET /profile HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n", http.StatusUnauthorized)
	g.raw(t, "GET "+users+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n",
		http.StatusForbidden, http.StatusBadRequest) // later versions of nginx refuse it themselves
	came(0)

	// A header that the client declares to be for the next hop alone (S-H9).
	g.raw(t, "GET "+users+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+
		"\r\nX-Auth-Subject: root\r\nConnection: close, X-Auth-Subject, X-Forwarded-Uri\r\n\r\n", http.StatusOK)
	came(1)
	g.told(t, who)

	viewer.revoke(t, token)
	g.asks(t, "GET", users, token, nil, http.StatusUnauthorized)
	came(0)
}

// raw sends bytes and demands one of the statuses.
func (g *gateway) raw(t *testing.T, request string, statuses ...int) {
	t.Helper()
	var dialer net.Dialer
	c, err := dialer.DialContext(t.Context(), "tcp", g.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range statuses {
		if strings.HasPrefix(string(reply), fmt.Sprintf("HTTP/1.1 %d ", status)) {
			return
		}
	}
	t.Errorf("%.60q: got %.60q, want %v", request, reply, statuses)
}
