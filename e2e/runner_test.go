package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	readyWithin   = 3 * time.Minute
	commandWithin = 3 * time.Minute
	stopWithin    = 30 * time.Second
	pollEvery     = 10 * time.Millisecond
)

// A Runner starts servers of the version under test, and the databases that they need.
type Runner interface {
	Name() string // "process" or "container"
	// Version is what the binary says of itself.
	Version() string
	// Start returns a server that is ready, or an error that holds what it wrote.
	Start(ctx context.Context, o Options) (*Server, error)
	// Command runs a command of the binary to its end, on this machine.
	Command(ctx context.Context, o Options, args ...string) Output
	// StandIn starts a stand-in for MongoDB that a test has for itself, with flags of its own.
	StandIn(ctx context.Context, flags ...string) (database, error)
	// Close removes what the runner made, but for the servers, which their tests stop.
	Close() []error
}

// An instance is where a server runs: a process of this machine or a container.
type instance interface {
	terminate() error      // as SIGTERM does
	kill() error           // as kill -9 does
	done() <-chan struct{} // closed when it has ended
	failure() error        // nil if it ended well; only once done
	collect() error        // brings what it wrote to standard output and error into the server's directory
	remove() error         // removes what is left of it; only once done
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
	// Cores are those that a process is bound to, as taskset names them; empty: all.
	Cores string
	// Among makes the server one of several nodes.
	Among *cluster
	// Strict is for tests about outages: an answer 503 counts as it is, see scenario.patient.
	Strict bool
}

// Output is what a command that ended left behind.
type Output struct {
	Code           int
	Stdout, Stderr string
}

// A cluster is what the nodes on one database share. A server that stands alone has one too.
type cluster struct {
	db     database // nil on the embedded store
	name   string   // of the database
	secret string   // of the application root, on the first start
	issuer string   // empty: the public address of the only node
	kek    string   // the text of the key encryption key's file; empty on the embedded store
}

// newCluster is an empty database with everything that its nodes must agree on. A load balancer would answer at the issuer.
func newCluster(db database) *cluster {
	return &cluster{
		db: db, name: unique("e2e-" + suite.id), secret: canary(bootstrapSecret()), issuer: "https://writ.example.com",
		kek: newKEK(),
	}
}

// Server is one running server with all that it wrote.
type Server struct {
	Public, Admin string // base addresses
	Secret        string // of the application root
	Dir           string // of this run; holds data, logs and the decision log
	Log           *recorder

	shares *cluster
	run    instance
	// decisionLogFile is where the decision log ends up; empty: in decisions().
	decisionLogFile string
	stopped         bool
	killed          bool
	dev             bool
	strict          bool // as Options.Strict
	guests          bool // others than the tests ask too, such as the binary's own client commands

	mu    sync.Mutex
	cache map[string]any
}

func (s *Server) stdout() string { return filepath.Join(s.Dir, "stdout") }
func (s *Server) stderr() string { return filepath.Join(s.Dir, "stderr") }
func (s *Server) data() string   { return filepath.Join(s.Dir, "data") }
func (s *Server) kek() string    { return filepath.Join(s.Dir, "kek") }

func (s *Server) decisions() string {
	if s.decisionLogFile != "" {
		return s.decisionLogFile
	}
	return filepath.Join(s.Dir, "decisions.jsonl")
}

// text is what the server wrote so far into one of its files.
func (s *Server) text(file string) string {
	if s.run != nil {
		if err := s.run.collect(); err != nil {
			return "(not to be had: " + err.Error() + ")"
		}
	}
	b, _ := os.ReadFile(file)
	return string(b)
}

// storeEnv names the server's store to a command on this machine.
func (s *Server) storeEnv() map[string]string {
	if s.shares.db == nil {
		return map[string]string{"WRIT_DATA_DIR": s.data()}
	}
	return map[string]string{"WRIT_MONGODB_URI": s.shares.db.local(s.shares.name), "WRIT_KEK_FILE": s.kek()}
}

// launch is one start of a server, before the runner adds what depends on where it runs.
type launch struct {
	server        *Server
	public, admin string // host:port on this machine
	env           map[string]string
	args          []string
}

// prepare makes the server's directory and files and says with what it is to be started. db is what servers keep their data in
// that do not ask for another, or nil for the embedded store.
func (o Options) prepare(dir func() (string, error), db database) (launch, error) {
	s := &Server{Log: new(recorder), cache: map[string]any{}, shares: o.Among, dev: o.Command == "dev", strict: o.Strict}
	l := launch{server: s, env: map[string]string{}}
	var err error
	if o.From != nil { // the issuer is the public address, so the addresses stay
		s.Dir, s.Log, s.shares = o.From.Dir, o.From.Log, o.From.shares
		s.Log.continued()
		l.public, l.admin = strings.TrimPrefix(o.From.Public, "http://"), strings.TrimPrefix(o.From.Admin, "http://")
	} else {
		if s.Dir, err = dir(); err != nil {
			return l, err
		}
		if l.public, l.admin, err = freePorts(); err != nil {
			return l, err
		}
	}
	if s.shares == nil && db != nil && !s.dev {
		s.shares = newCluster(db)
		s.shares.issuer = ""
	}
	if s.shares == nil {
		s.shares = &cluster{secret: canary(bootstrapSecret())}
	}
	if o.Merged {
		l.admin = l.public
	}
	s.Public, s.Admin, s.Secret = "http://"+l.public, "http://"+l.admin, s.shares.secret
	exchanges.serves(s.Public)
	exchanges.serves(s.Admin)
	if s.shares.kek != "" {
		if err := os.WriteFile(s.kek(), []byte(s.shares.kek), 0o600); err != nil {
			return l, err
		}
		l.env["WRIT_KEK_FILE"] = s.kek()
	} else if !s.dev {
		l.env["WRIT_DATA_DIR"] = s.data()
	}
	if s.shares.issuer != "" {
		l.env["WRIT_ISSUER"] = s.shares.issuer
	}
	// Every line is held to its reply, and a line that finds no room is dropped, as it should be: the tests write them faster than a
	// Docker engine takes them.
	l.env["WRIT_DECISION_LOG_QUEUE"] = "100000"
	// Two hundred requests at once, on a machine that is busy with something else, come to the default, and that is no matter of most tests.
	l.env["WRIT_POLICY_DEADLINE"] = "5s"
	l.args = []string{"serve"}
	if o.Command != "" {
		l.args[0] = o.Command
	}
	if !s.dev {
		l.env["WRIT_BOOTSTRAP_SECRET"] = s.Secret
	}
	if o.Config != "" {
		file := filepath.Join(s.Dir, "writ.yaml")
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			return l, err
		}
		l.args = append(l.args, "--config", file)
	}
	l.args = append(l.args, o.Args...)
	maps.Copy(l.env, o.Env)
	return l, nil
}

// begin takes a started instance to readiness.
func (s *Server) begin(ctx context.Context, run instance) (*Server, error) {
	s.run = run
	if err := s.awaitReady(ctx); err != nil {
		s.Kill()
		err = fmt.Errorf("%w\nstdout: %s\nstderr: %s", err, tail(s.text(s.stdout())), tail(s.text(s.stderr())))
		return nil, errors.Join(err, run.remove())
	}
	return s, nil
}

// again starts a server, and once more where a port that was free when asked for was taken by somebody faster.
func (o Options) again(start func() (*Server, error)) (*Server, error) {
	var err error
	for range 5 {
		var s *Server
		if s, err = start(); err == nil {
			return s, nil
		}
		taken := strings.Contains(err.Error(), "address already in use") || strings.Contains(err.Error(), "port is already allocated")
		if o.From != nil || !taken {
			break
		}
	}
	return nil, err
}

// environment is the caller's without anything of Writ's own, so that a developer's settings cannot bend a run, and without the tests' pace
// of garbage collections: a server has its own.
func environment(set map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "WRIT_") || strings.HasPrefix(kv, "GOGC=") })
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	return env
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
		case <-s.run.done():
			return fmt.Errorf("the server ended before it was ready: %v", s.run.failure())
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready within %s", readyWithin)
		case <-time.After(pollEvery):
		}
	}
}

// Stop ends the server as SIGTERM does and waits for the end, which must be a clean one.
func (s *Server) Stop() error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	if err := s.run.terminate(); err != nil {
		return err
	}
	select {
	case <-s.run.done():
	case <-time.After(stopWithin):
		s.Kill()
		return fmt.Errorf("the server did not stop within %s of SIGTERM", stopWithin)
	}
	if err := s.run.failure(); err != nil {
		return fmt.Errorf("the server ended with %w\nstderr: %s", err, tail(s.text(s.stderr())))
	}
	return s.run.collect()
}

// Kill is kill -9.
func (s *Server) Kill() {
	s.stopped, s.killed = true, true
	s.Log.forgive()
	_ = s.run.kill() // it may have ended
	<-s.run.done()
	_ = s.run.collect() // finish does it too, and says what is wrong
}

// finish stops the server and returns what is wrong with all that it wrote.
func (s *Server) finish() []error {
	var problems []error
	if err := s.Stop(); err != nil {
		problems = append(problems, err)
	}
	if err := s.run.collect(); err != nil {
		problems = append(problems, err)
	}
	if !s.dev {
		problems = append(problems, s.leaks()...)
		if !s.killed {
			problems = append(problems, s.account()...)
		}
	}
	for _, f := range []string{s.stdout(), s.stderr()} {
		text, _ := os.ReadFile(f)
		for _, bad := range []string{"panic:", "DATA RACE", "goroutine 1 ["} {
			if strings.Contains(string(text), bad) {
				problems = append(problems, fmt.Errorf("%s in %s: %s", bad, filepath.Base(f), tail(string(text))))
			}
		}
	}
	if err := s.run.remove(); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// leftOut leaves a test out where it cannot run or would only run again, and says why.
func leftOut(t *testing.T, where bool, why string) {
	t.Helper()
	if where {
		suite.mu.Lock()
		suite.leftOut = append(suite.leftOut, t.Name()+": "+why)
		suite.mu.Unlock()
		t.Skip("e2e: left out: " + why)
	}
}

// once per run is enough for what concerns the binary alone; the usual runner has it.
func binaryOnly(t *testing.T) {
	t.Helper()
	leftOut(t, suite.runner.Name() != "process" || suite.store != "sqlite",
		"it is about the binary on this machine and the embedded store: E2E_RUNNER=process E2E_STORE=sqlite runs it")
}

// onMongoDB leaves out what needs a database that several nodes can share.
func onMongoDB(t *testing.T) {
	t.Helper()
	leftOut(t, suite.store != "mongo", "the embedded store is for one node: E2E_STORE=mongo runs it")
}

// nextPort goes through the ports below those that systems give out themselves (from 32768 on Linux, from 49152 elsewhere), so that nobody
// is given one that was found free here and is about to be listened at, or is between two runs of a server. Processes begin anywhere.
var nextPort = rand.Int64N(ports)

const firstPort, ports = 10000, 22000

// freePorts are two loopback addresses that nobody listens at; none is told twice until all were.
func freePorts() (public, admin string, err error) {
	var out []string
	for range ports {
		address := net.JoinHostPort("127.0.0.1", strconv.FormatInt(firstPort+atomic.AddInt64(&nextPort, 1)%ports, 10))
		l, err := net.Listen("tcp", address)
		if err != nil { // somebody listens
			continue
		}
		l.Close()
		// What listens at an address that was Writ's before, such as a dialect, would be held to Writ's documents.
		if !exchanges.knows(address) {
			out = append(out, address)
		}
		if len(out) == 2 {
			return out[0], out[1], nil
		}
	}
	return "", "", fmt.Errorf("of the ports from %d to %d not two are free", firstPort, firstPort+ports-1)
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
