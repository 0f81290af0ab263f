package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyWithin   = 30 * time.Second
	commandWithin = 60 * time.Second
	stopWithin    = 15 * time.Second
	pollEvery     = 10 * time.Millisecond
)

// A Runner starts servers of the version under test. The process runner runs the built binary on the embedded store; the
// container runner comes with the images.
type Runner interface {
	Name() string
	Store() string
	Version() string
	// Start returns a server that is ready, or an error that holds what it wrote.
	Start(ctx context.Context, o Options) (*Server, error)
	// Command runs a command of the binary to its end.
	Command(ctx context.Context, o Options, args ...string) Output
}

// Options say how a server differs from the usual one.
type Options struct {
	// Command is "serve" unless set.
	Command string
	Args    []string
	Env     map[string]string
	// Config is the text of a writ.yaml, if not empty.
	Config string
	// Merged gives both listeners one address.
	Merged bool
	// From continues on the data and the addresses of a server that has stopped.
	From *Server
}

// Output is what a command that ended left behind.
type Output struct {
	Code           int
	Stdout, Stderr string
}

// Server is one running server with all that it wrote.
type Server struct {
	Public, Admin string // base addresses
	Secret        string // of the application root
	Dir           string // of this run; holds data, logs and the decision log
	Log           *recorder

	cmd     *exec.Cmd
	done    chan struct{}
	err     error // of the process, once done
	stopped bool
	killed  bool
	dev     bool
	guests  bool // others than the tests ask too, such as the binary's own client commands

	mu    sync.Mutex
	cache map[string]any
}

func (s *Server) stdout() string       { return filepath.Join(s.Dir, "stdout") }
func (s *Server) stderr() string       { return filepath.Join(s.Dir, "stderr") }
func (s *Server) decisions() string    { return filepath.Join(s.Dir, "decisions.jsonl") }
func (s *Server) data() string         { return filepath.Join(s.Dir, "data") }
func (s *Server) text(f string) string { b, _ := os.ReadFile(f); return string(b) }

type processRunner struct {
	binary, work, version string

	mu   sync.Mutex
	runs int
}

func newProcessRunner(ctx context.Context, work string) (*processRunner, error) {
	r := &processRunner{binary: filepath.Join(work, "writ"), work: work}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", r.binary, "../cmd/writ")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	out := r.Command(ctx, Options{}, "version")
	if out.Code != 0 {
		return nil, fmt.Errorf("writ version: exit code %d\n%s", out.Code, out.Stderr)
	}
	r.version = strings.Join(strings.Fields(out.Stdout), " ")
	return r, nil
}

func (*processRunner) Name() string      { return "process" }
func (*processRunner) Store() string     { return "sqlite" }
func (r *processRunner) Version() string { return r.version }

func (r *processRunner) dir() (string, error) {
	r.mu.Lock()
	r.runs++
	dir := filepath.Join(r.work, fmt.Sprintf("run-%03d", r.runs))
	r.mu.Unlock()
	return dir, os.MkdirAll(dir, 0o700)
}

// environment is the caller's without anything of Writ's own, so that a developer's settings cannot bend a run.
func environment(set map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "WRIT_") })
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	return env
}

func (r *processRunner) Start(ctx context.Context, o Options) (*Server, error) {
	var err error
	for range 5 {
		var s *Server
		if s, err = r.start(ctx, o); err == nil {
			return s, nil
		}
		// The ports were free when asked for; somebody else may have been faster.
		if o.From != nil || !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, err
}

func (r *processRunner) start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{Secret: bootstrapSecret(), Log: new(recorder), cache: map[string]any{}, done: make(chan struct{})}
	var public, admin string
	var err error
	if o.From != nil { // the issuer is the public address, so the addresses stay
		s.Dir, s.Secret, s.Log = o.From.Dir, o.From.Secret, o.From.Log
		public, admin = strings.TrimPrefix(o.From.Public, "http://"), strings.TrimPrefix(o.From.Admin, "http://")
	} else {
		if s.Dir, err = r.dir(); err != nil {
			return nil, err
		}
		if public, admin, err = freePorts(); err != nil {
			return nil, err
		}
	}
	if o.Merged {
		admin = public
	}
	s.Public, s.Admin = "http://"+public, "http://"+admin
	canary(s.Secret)

	env := map[string]string{
		"WRIT_LISTEN": public, "WRIT_ADMIN_LISTEN": admin, "WRIT_DATA_DIR": s.data(), "WRIT_BOOTSTRAP_SECRET": s.Secret,
		"WRIT_DECISION_LOG": s.decisions(),
	}
	command := o.Command
	if command == "" {
		command = "serve"
	}
	if command == "dev" {
		s.dev = true
		delete(env, "WRIT_DATA_DIR")
		delete(env, "WRIT_BOOTSTRAP_SECRET")
	}
	for k, v := range o.Env {
		env[k] = v
	}
	args := []string{command}
	if o.Config != "" {
		file := filepath.Join(s.Dir, "writ.yaml")
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--config", file)
	}
	s.cmd = exec.Command(r.binary, append(args, o.Args...)...) // not bound to ctx: a shared server outlives its first test
	s.cmd.Dir, s.cmd.Env = s.Dir, environment(env)
	stdout, err := appendTo(s.stdout())
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := appendTo(s.stderr())
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	s.cmd.Stdout, s.cmd.Stderr = stdout, stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.err = s.cmd.Wait(); close(s.done) }()
	if err := s.awaitReady(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%w\nstdout: %s\nstderr: %s", err, s.text(s.stdout()), s.text(s.stderr()))
	}
	return s, nil
}

func (r *processRunner) Command(ctx context.Context, o Options, args ...string) Output {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	dir, err := r.dir()
	if err != nil {
		return Output{Code: -1, Stderr: err.Error()}
	}
	if o.Config != "" {
		file := filepath.Join(dir, "writ.yaml")
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			return Output{Code: -1, Stderr: err.Error()}
		}
		args = append(args, "--config", file)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, r.binary, append(args, o.Args...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environment(o.Env), &stdout, &stderr
	err = cmd.Run()
	out := Output{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		out.Code = exit.ExitCode()
	case err != nil:
		out.Code, out.Stderr = -1, out.Stderr+err.Error()
	}
	if ctx.Err() != nil {
		out.Code, out.Stderr = -1, out.Stderr+"\n(the command did not end by itself)"
	}
	return out
}

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Admin+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("the server ended before it was ready: %v", s.err)
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready within %s", readyWithin)
		case <-time.After(pollEvery):
		}
	}
}

// Stop sends SIGTERM and waits for the end, which must be a clean one.
func (s *Server) Stop() error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.done:
	case <-time.After(stopWithin):
		s.Kill()
		return fmt.Errorf("the server did not stop within %s of SIGTERM", stopWithin)
	}
	if s.err != nil {
		return fmt.Errorf("the server ended with %w\nstderr: %s", s.err, tail(s.text(s.stderr())))
	}
	return nil
}

// Kill is kill -9.
func (s *Server) Kill() {
	s.stopped, s.killed = true, true
	s.Log.forgive()
	_ = s.cmd.Process.Kill()
	<-s.done
}

// finish stops the server and returns what is wrong with all that it wrote.
func (s *Server) finish() []error {
	var problems []error
	if err := s.Stop(); err != nil {
		problems = append(problems, err)
	}
	if !s.dev {
		problems = append(problems, s.leaks()...)
		if !s.killed {
			problems = append(problems, s.account()...)
		}
	}
	for _, f := range []string{s.stdout(), s.stderr()} {
		for _, bad := range []string{"panic:", "DATA RACE", "goroutine 1 ["} {
			if strings.Contains(s.text(f), bad) {
				problems = append(problems, fmt.Errorf("%s in %s: %s", bad, filepath.Base(f), tail(s.text(f))))
			}
		}
	}
	return problems
}

// leaks looks for every secret known to the tests in every byte that the server wrote.
func (s *Server) leaks() []error {
	var problems []error
	secrets := knownCanaries()
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, c := range secrets {
			if i := bytes.Index(b, []byte(c)); i >= 0 {
				name, _ := filepath.Rel(s.Dir, path)
				problems = append(problems, fmt.Errorf("secret %.12q… found in clear in %s near %q", c, name,
					b[max(0, i-80):min(len(b), i+12)]))
			}
		}
		return nil
	})
	if err != nil {
		problems = append(problems, err)
	}
	return problems
}

// logLine is what the tests read of a line of the decision log.
type logLine struct {
	DecisionID string          `json:"decision_id"`
	ParentID   string          `json:"parent_id"`
	RequestID  string          `json:"request_id"`
	Entrypoint string          `json:"entrypoint"`
	Route      string          `json:"route"`
	Allow      *bool           `json:"allow"`
	Input      json.RawMessage `json:"input"`
	Error      any             `json:"error"`
	Reasons    []struct {
		Code string `json:"code"`
	} `json:"reasons"`
}

func (s *Server) decisionLog() ([]logLine, error) {
	var lines []logLine
	for n, text := range strings.Split(s.text(s.decisions()), "\n") {
		if text == "" {
			continue
		}
		var line logLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			return nil, fmt.Errorf("decision log, line %d: %w: %.200s", n+1, err, text)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// account holds the decision log against the Decision-Id headers of all replies: one line each, and no line without a reply.
func (s *Server) account() []error {
	lines, err := s.decisionLog()
	if err != nil {
		return []error{err}
	}
	count := map[string]int{}
	for _, line := range lines {
		count[line.DecisionID]++
	}
	replies := s.Log.decisions()
	var problems []error
	report := func(format string, args ...any) {
		if len(problems) < 8 {
			problems = append(problems, fmt.Errorf("decision log: "+format, args...))
		}
	}
	for id, request := range replies {
		if count[id] != 1 && !(s.Log.lost[id] && count[id] == 0) {
			report("%d lines for Decision-Id %s of %s, want exactly one", count[id], id, request)
		}
	}
	for _, line := range lines {
		if s.guests {
			break
		}
		_, known := replies[line.DecisionID]
		_, parent := replies[line.ParentID]
		switch {
		case line.ParentID == "" && !known:
			report("line %s (%s) belongs to no reply", line.DecisionID, line.Route)
		case line.ParentID != "" && !parent:
			report("line %s (%s) names parent %s, which no reply carried", line.DecisionID, line.Route, line.ParentID)
		}
	}
	return problems
}

// recorder remembers the Decision-Id of each reply. A server that continues another shares it.
type recorder struct {
	mu   sync.Mutex
	ids  map[string]string
	lost map[string]bool // lines that a killed server may not have written
}

// forgive says that the server is about to be killed: what waits in the log's queue is lost, unless the log is required.
func (r *recorder) forgive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = map[string]bool{}
	for id := range r.ids {
		r.lost[id] = true
	}
}

func (r *recorder) note(id, request string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]string{}
	}
	if before, ok := r.ids[id]; ok {
		return fmt.Errorf("Decision-Id %s was given to %s and to %s", id, before, request)
	}
	r.ids[id] = request
	return nil
}

func (r *recorder) decisions() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]string, len(r.ids))
	for k, v := range r.ids {
		out[k] = v
	}
	return out
}

func freePorts() (public, admin string, err error) {
	var out [2]string
	for i := range out {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close() // both stay open until both are known, so that they differ
		out[i] = l.Addr().String()
	}
	return out[0], out[1], nil
}

func appendTo(file string) (*os.File, error) {
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
