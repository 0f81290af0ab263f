package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	writ "github.com/writ-authz/writ/cmd/writ"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

// patience bounds every wait; nothing is expected to take that long.
const patience = 60 * time.Second

// output collects what a running program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// program is one running server.
type program struct {
	t              *testing.T
	stdout, stderr output
	stop           context.CancelFunc
	exited         chan int
	public, admin  string // addresses
}

// start runs the program until it serves; it is stopped at the end of the test.
func start(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &program{t: t, stop: stop, exited: make(chan int, 1)}
	go func() { p.exited <- writ.Run(ctx, args, env, strings.NewReader(""), &p.stdout, &p.stderr) }()
	t.Cleanup(func() { p.end() })
	p.await(func() bool { return strings.Contains(p.stderr.String(), "serving") })
	address := regexp.MustCompile(`"?public"?[=:]"?([0-9.:]+)"?,? ?"?admin"?[=:]"?([0-9.:]+)`).FindStringSubmatch(p.stderr.String())
	if address == nil {
		t.Fatalf("no addresses in the log:\n%s", p.stderr.String())
	}
	p.public, p.admin = address[1], address[2]
	return p
}

// await polls until the condition holds, and fails the test if the program ends first.
func (p *program) await(condition func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	for !condition() {
		select {
		case code := <-p.exited:
			p.exited <- code
			if condition() {
				return
			}
			p.t.Fatalf("the program ended with %d:\n%s%s", code, p.stdout.String(), p.stderr.String())
		case <-deadline:
			p.t.Fatalf("waited too long:\n%s%s", p.stdout.String(), p.stderr.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// end stops the program and returns its exit code.
func (p *program) end() int {
	p.stop()
	select {
	case code := <-p.exited:
		p.exited <- code
		return code
	case <-time.After(patience):
		p.t.Fatal("the program does not end")
		return -1
	}
}

// serveArgs are the arguments of a server of its own: ephemeral ports and a fresh directory.
func serveArgs(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{
		"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--decision-log", "off",
	}, more...)
}

const rootSecret = "root-secret-of-the-tests-0123456789"

func rootEnv() []string { return []string{"WRIT_BOOTSTRAP_SECRET=" + rootSecret} }

// status asks one URL and returns the status and the body.
func status(t *testing.T, method, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

func TestDevLinesRunInOrderInOneShell(t *testing.T) {
	p := start(t, nil, "dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	p.await(func() bool { return strings.Contains(p.stdout.String(), "Stop with") })
	banner := p.stdout.String()
	if !strings.Contains(banner, "NOT FOR PRODUCTION") || strings.Contains(banner, "${") {
		t.Errorf("the banner is not what it should be:\n%s", banner)
	}
	form := regexp.MustCompile(`^(curl |[A-Z_]+=\$\(curl )`)
	var lines []string
	for line := range strings.Lines(banner) {
		if form.MatchString(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) < 6 {
		t.Fatalf("%d lines to paste, want at least 6:\n%s", len(lines), banner)
	}
	for _, line := range lines {
		if regexp.MustCompile(`\bjq\b|\s-[a-zA-Z]*f|\s--fail`).MatchString(line) {
			t.Errorf("the line uses jq or -f: %s", line)
		}
	}
	for _, tool := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the lines are not run: this machine has no %s", tool)
		}
	}
	script := exec.CommandContext(t.Context(), "sh", "-e", "-u", "-c", strings.Join(lines, "\n"))
	raw, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("the lines end with %v:\n%s\nlog:\n%s", err, raw, p.stderr.String())
	}
	replies := strings.Split(strings.TrimSpace(string(raw)), "\n")
	for i, want := range [][]string{
		{`"username":"ada"`},
		{`"decision":true`, `"code":"granted"`},
		{`"decision":false`, `"code":"not_granted"`},
		{`"name":"reports"`, `"value":"writ_cs_`},
		{`"status":403`, `"code":"delegation_exceeds_actor"`},
	} {
		if i >= len(replies) {
			t.Fatalf("only %d replies:\n%s", len(replies), raw)
		}
		for _, part := range want {
			if !strings.Contains(replies[i], part) {
				t.Errorf("reply %d lacks %s:\n%s", i+1, part, replies[i])
			}
		}
	}
	_, metrics := status(t, http.MethodGet, "http://"+p.admin+"/metrics")
	for _, want := range []string{
		`writ_decisions_total{entrypoint="writ/decision",result="permit"} 1`, `writ_decisions_total{entrypoint="writ/decision",result="deny"} 1`,
		`writ_token_decisions_total{grant_type="password",result="permit"} 2`,
		`writ_token_decisions_total{grant_type="client_credentials",result="permit"} 1`,
		`writ_http_requests_total{listener="admin",route="POST /v1/applications",status="403"} 1`,
		"writ_policy_degraded 0", "writ_policy_info{", "writ_decision_log_dropped_total 0", "writ_feed_age_seconds ",
		"writ_store_away 0", "writ_store_writes_away 0", "writ_store_outages_total 0", "writ_store_refused_total 0",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestClientCommandsAgainstARunningServer(t *testing.T) {
	p := start(t, nil, "dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	p.await(func() bool { return strings.Contains(p.stdout.String(), "Stop with") })
	credential := func(name string) string {
		return regexp.MustCompile(`\b` + name + ` +(\S+)`).FindStringSubmatch(p.stdout.String())[1]
	}
	server := "WRIT_URL=http://" + p.public
	machine := []string{server, "WRIT_CLIENT_ID=billing", "WRIT_CLIENT_SECRET_FILE=" + file(t, "secret", credential("billing")+"\n")}
	person := []string{
		server, "WRIT_CLIENT_ID=portal", "WRIT_CLIENT_SECRET=" + credential("portal"), "WRIT_USERNAME=ada", "WRIT_PASSWORD=" + credential("ada"),
	}
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		want string
	}{
		{"a machine's token is printed alone", machine, []string{"token"}, 0, "eyJ"},
		{"a machine's token as JSON", machine, []string{"token", "-o", "json"}, 0, `"token_type": "Bearer"`},
		{"a person's token", person, []string{"token"}, 0, "eyJ"},
		{"a person", person, []string{"whoami"}, 0, "ada@example.com"},
		{"an application", machine, []string{"whoami", "-o", "yaml"}, 0, "id: billing"},
		{"an allowed decision", machine, []string{"decide", "user:ada", "write", "ledger/accounts:1"}, 0, "allowed"},
		{"a denied decision", machine, []string{"decide", "user:ada", "close", "ledger/accounts:1"}, 0, "not_granted"},
		{"a denied decision with an exit code", machine, []string{"decide", "user:ada", "close", "ledger/accounts:1", "--exit-code"}, 1, "denied"},
		{"a question about oneself", person, []string{"decide", "user:ada", "read", "ledger/accounts:1"}, 0, "allowed"},
		{"a wrong secret", []string{server, "WRIT_CLIENT_ID=billing", "WRIT_CLIENT_SECRET=wrong"}, []string{"token"}, 1, ""},
	} {
		code, stdout, stderr := shell(t, c.env, c.args...)
		if code != c.code || !strings.Contains(stdout, c.want) {
			t.Errorf("%s: exit code %d\n%s%s", c.name, code, stdout, stderr)
		}
	}
	_, token, _ := shell(t, machine, "token")
	if strings.Count(token, "\n") != 1 || strings.Count(token, ".") != 2 {
		t.Errorf("writ token prints more than a token: %q", token)
	}
	if code, stdout, stderr := shell(t, []string{server, "WRIT_TOKEN=" + strings.TrimSpace(token)}, "whoami"); code != 0 {
		t.Errorf("whoami with a token: exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestListenersHaveWhatIsTheirs(t *testing.T) {
	p := start(t, rootEnv(), serveArgs(t)...)
	for _, c := range []struct {
		address, path string
		want          int
	}{
		{p.public, "/livez", 200},
		{p.admin, "/livez", 200},
		{p.public, "/readyz", 404},
		{p.admin, "/readyz", 200},
		{p.public, "/metrics", 404},
		{p.admin, "/metrics", 200},
		{p.public, "/v1/users", 404},
		{p.admin, "/v1/users", 401},
		{p.public, "/v1/me", 401},
		{p.admin, "/v1/me", 401},
		{p.public, "/.well-known/jwks.json", 200},
		{p.public, "/debug/pprof/", 404},
		{p.admin, "/debug/pprof/", 404},
	} {
		if got, body := status(t, http.MethodGet, "http://"+c.address+c.path); got != c.want {
			t.Errorf("GET %s: %d, want %d: %s", c.path, got, c.want, body)
		}
	}
	_, body := status(t, http.MethodGet, "http://"+p.admin+"/readyz?verbose")
	var report struct {
		Status string
		Checks []struct{ Name, Status string }
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil || report.Status != "ready" || len(report.Checks) != 4 {
		t.Errorf("/readyz?verbose: %s", body)
	}
	if code, _, stderr := shell(t, []string{"WRIT_ADMIN_LISTEN=" + p.admin}, "healthcheck"); code != 0 {
		t.Errorf("healthcheck: exit code %d: %s", code, stderr)
	}
	if code := p.end(); code != 0 {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, p.stderr.String())
	}
	if code, _, _ := shell(t, []string{"WRIT_ADMIN_LISTEN=" + p.admin}, "healthcheck"); code != 1 {
		t.Errorf("healthcheck of a server that ended: exit code %d", code)
	}
}

// freeAddress returns an address that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestMergedListenersRevealOnlyWhenTold(t *testing.T) {
	for want, allow := range map[int]string{404: "false", 401: "true"} {
		address := freeAddress(t)
		p := start(t, append(rootEnv(), "WRIT_ALLOW_REVEAL_ON_PUBLIC="+allow), serveArgs(t, "--listen", address, "--admin-listen", address)...)
		if got, body := status(t, http.MethodPost, "http://"+address+"/v1/applications/a/secrets/b/reveal"); got != want {
			t.Errorf("allow_reveal_on_public=%s: %d, want %d: %s", allow, got, want, body)
		}
		for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/v1/users": 401, "/v1/me": 401} {
			if got, body := status(t, http.MethodGet, "http://"+address+path); got != want {
				t.Errorf("GET %s: %d, want %d: %s", path, got, want, body)
			}
		}
		p.end()
	}
}

func TestATakenPortIsFatalAndLeavesNothingBehind(t *testing.T) {
	p := start(t, rootEnv(), serveArgs(t)...)
	dir := filepath.Join(t.TempDir(), "data")
	code, _, stderr := shell(t, rootEnv(), serveArgs(t, "--listen", p.public, "--data-dir", dir)...)
	if code != 1 || !strings.Contains(stderr, "choose another address with --listen or WRIT_LISTEN") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a store was left behind")
	}
}

func TestOneProcessPerDataDirectory(t *testing.T) {
	args := serveArgs(t)
	start(t, rootEnv(), args...)
	code, _, stderr := shell(t, rootEnv(), args...)
	if code != 1 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// rootToken asks for root's token and returns the status.
func rootToken(t *testing.T, address, secret string) int {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"root"}, "client_secret": {secret}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	return reply.StatusCode
}

// TestTheOperatorsGuideSaysHowLongAnEndTakes: what kills nodes that do not end is configured by it.
func TestTheOperatorsGuideSaysHowLongAnEndTakes(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%.0f seconds after that it has ended at the latest", writ.EndsWithin.Seconds()); !strings.Contains(string(text), want) {
		t.Errorf("docs/operations.md does not say %q", want)
	}
}

// TestAPartThatDoesNotCloseHoldsUpNoEnd: such as a log whose reader has stopped reading, which no write returns from.
func TestAPartThatDoesNotCloseHoldsUpNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log output
		stuck, ended := make(chan struct{}), []string{}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		writ.CloseParts(ctx, slog.New(slog.NewTextHandler(&log, nil)),
			func(context.Context) error { ended = append(ended, "behind it"); return nil },
			func(context.Context) error { <-stuck; return nil },
			func(ctx context.Context) error { ended = append(ended, "before it"); return nil })
		if took := time.Since(began); took != 4*time.Second || !slices.Equal(ended, []string{"before it"}) {
			t.Errorf("after %s %q are closed", took, ended)
		}
		if !strings.Contains(log.String(), "part 1") {
			t.Errorf("the log does not say which part:\n%s", log.String())
		}
		close(stuck)
	})
}

// TestALineThatAKillLeftTornTakesNoOtherWithIt: kill -9 ends a write where the kernel's page ends. What the next process writes begins a
// line of its own, in the decision log and in the anchor; what ended well gets no empty line.
func TestALineThatAKillLeftTornTakesNoOtherWithIt(t *testing.T) {
	for _, before := range []string{"", "{\"decision_id\":\"1\"}\n", "{\"decision_id\":\"1\"}\n{\"decision_id"} {
		log, anchor := file(t, "decisions.jsonl", before), file(t, "anchor.jsonl", before)
		p := start(t, rootEnv(), serveArgs(t, "--decision-log", log, "--audit-anchor", anchor)...)
		if got := rootToken(t, p.public, rootSecret); got != http.StatusOK {
			t.Fatalf("a token: %d", got)
		}
		p.end()
		if before != "" && !strings.HasSuffix(before, "\n") {
			before += "\n"
		}
		for path, member := range map[string]string{log: "decision_id", anchor: "chain"} {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			after, found := strings.CutPrefix(string(text), before)
			if !found || after == "" {
				t.Fatalf("%s: %q, or what comes after it, is not there:\n%s", filepath.Base(path), before, text)
			}
			for line := range strings.Lines(after) {
				var members map[string]any
				if err := json.Unmarshal([]byte(line), &members); err != nil || members[member] == nil {
					t.Errorf("%s: after %q: %v: %q", filepath.Base(path), before, err, line)
				}
			}
		}
	}
}

func TestRootIsMadeOnceAndRecovered(t *testing.T) {
	args := serveArgs(t)
	dir := args[6]
	p := start(t, nil, args...)
	found := regexp.MustCompile(`Made application root .*: (\S+)`).FindStringSubmatch(p.stderr.String())
	if found == nil {
		t.Fatalf("the secret of root is not shown on the first start:\n%s", p.stderr.String())
	}
	if got := rootToken(t, p.public, found[1]); got != 200 {
		t.Errorf("the secret shown gives %d", got)
	}
	if code, _, stderr := shell(t, nil, "recover", "--data-dir", dir); code != 1 {
		t.Errorf("recover beside a running server: exit code %d: %s", code, stderr)
	}
	p.end()

	p = start(t, rootEnv(), args...)
	if strings.Contains(p.stderr.String(), "Made application") {
		t.Errorf("a secret is shown on the second start:\n%s", p.stderr.String())
	}
	if got := rootToken(t, p.public, found[1]); got != 200 {
		t.Errorf("a restart ended root's secret: %d", got)
	}
	if got := rootToken(t, p.public, rootSecret); got != 401 {
		t.Errorf("a restart gave root another secret: %d", got)
	}
	p.end()

	code, stdout, stderr := shell(t, nil, "recover", "--data-dir", dir, "-o", "json")
	var made map[string]string
	if err := json.Unmarshal([]byte(stdout), &made); code != 0 || err != nil || made["client_secret"] == "" {
		t.Fatalf("recover: exit code %d\n%s%s", code, stdout, stderr)
	}
	p = start(t, nil, args...)
	if got := rootToken(t, p.public, made["client_secret"]); got != 200 {
		t.Errorf("the recovered secret gives %d", got)
	}
	if got := rootToken(t, p.public, found[1]); got != 401 {
		t.Errorf("the old secret gives %d after recovery", got)
	}
}

func TestALostKeyEncryptionKeyIsNotReplaced(t *testing.T) {
	args := serveArgs(t)
	start(t, rootEnv(), args...).end()
	kek := filepath.Join(args[6], "kek")
	if info, err := os.Stat(kek); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key encryption key: %v, %v", info, err)
	}
	if err := os.Remove(kek); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := shell(t, rootEnv(), args...)
	if code != 1 || !strings.Contains(stderr, "kek_file: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(kek); err == nil {
		t.Error("a new key was made; what the old one sealed is lost")
	}
}

func TestSignalTakesReadinessBackAndDrains(t *testing.T) {
	p := start(t, rootEnv(), serveArgs(t, "--shutdown-delay", "1s")...)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	form := "grant_type=client_credentials&client_id=root&client_secret=" + rootSecret
	head := "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
	if _, err := io.WriteString(conn, head+itoa(len(form))+"\r\n\r\n"+form[:10]); err != nil {
		t.Fatal(err)
	}
	p.stop()
	p.await(func() bool {
		code, body := status(t, http.MethodGet, "http://"+p.admin+"/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "not_ready")
	})
	if got, _ := status(t, http.MethodGet, "http://"+p.public+"/livez"); got != 200 {
		t.Errorf("/livez within the delay: %d", got)
	}
	// The listeners close; the request that had begun is still answered.
	p.await(func() bool {
		probe, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.public)
		if err == nil {
			probe.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(conn, form[10:]); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 200 ") {
		t.Errorf("the request in flight: %v\n%s", err, reply)
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func itoa(n int) string { return new(big.Int).SetInt64(int64(n)).String() }

// pair writes a new certificate for 127.0.0.1 and its key over the files, and returns a pool that trusts it alone.
func pair(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "writ test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, content := range map[string][]byte{
		certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func TestTLSListenersReloadTheirCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := pair(t, cert, key)
	p := start(t, rootEnv(), serveArgs(t,
		"--tls-cert-file", cert, "--tls-key-file", key, "--admin-tls-cert-file", cert, "--admin-tls-key-file", key)...)
	get := func(url string, roots *x509.CertPool) error {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := (&http.Client{Transport: transport}).Do(request)
		if err == nil {
			reply.Body.Close()
		}
		return err
	}
	public, admin := "https://"+p.public+"/livez", "https://"+p.admin+"/livez"
	for _, url := range []string{public, admin} {
		if err := get(url, first); err != nil {
			t.Errorf("GET %s: %v", url, err)
		}
	}
	if !strings.Contains(p.stderr.String(), `"issuer":"https://`+p.public+`"`) {
		t.Errorf("the issuer is not the https URL:\n%s", p.stderr.String())
	}
	if code, _, stderr := shell(t, nil, "healthcheck", "--url", "https://"+p.admin+"/readyz"); code != 0 {
		t.Errorf("healthcheck over TLS: exit code %d: %s", code, stderr)
	}
	// A half-written certificate leaves the old one in place.
	if err := os.WriteFile(cert, []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := get(public, first); err != nil {
		t.Errorf("after a half-written certificate: %v", err)
	}
	if !strings.Contains(p.stderr.String(), "new certificate refused") {
		t.Error("the refusal is not logged")
	}
	second := pair(t, cert, key)
	if err := get(public, second); err != nil {
		t.Errorf("the new certificate does not serve: %v", err)
	}
	if err := get(admin, second); err != nil {
		t.Errorf("the new certificate does not serve on the admin listener: %v", err)
	}
	if err := get(public, first); err == nil {
		t.Error("the old certificate still serves")
	}
}

// A restore that was cut short leaves a mark, and neither a server nor another restore takes what is there for a store.
func TestAHalfRestoredStoreServesNobody(t *testing.T) {
	args := serveArgs(t)
	dir := args[6]
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	mark := &storage.Setting{Meta: storage.Meta{ID: "restoring", Version: 1}}
	if err := errors.Join(store.Restore(t.Context(), []storage.Record{mark}, 0), store.Close()); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := shell(t, rootEnv(), args...)
	if code != 1 || !strings.Contains(stderr, "half restored") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
