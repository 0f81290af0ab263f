package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A database is a server that speaks MongoDB's protocol: a real one, or the stand-in of e2e/mongowire. Every Writ under test, or
// every cluster of them, has a database of its own in it.
type database interface {
	// Describe says which it is.
	Describe() string
	// uri names a database in it to the servers of the runner, local to a command on this machine.
	uri(name string) string
	local(name string) string
	// stop ends it as SIGTERM does, kill as kill -9 does; start runs it again, on the same address and the same data.
	stop() error
	kill() error
	start(ctx context.Context) error
	// close stops it for good and returns what is wrong with all that it kept.
	close() []error
}

// newURI names a database of a server; query says how to connect.
func newURI(address, name, query string) string {
	return (&url.URL{Scheme: "mongodb", Host: address, Path: "/" + name, RawQuery: query}).String()
}

// external is a server that somebody else runs.
type external struct{ address *url.URL }

func newExternal(uri string) (*external, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return nil, errors.New("WRIT_TEST_MONGODB_URI is not a URI such as mongodb://127.0.0.1:27017/?replicaSet=rs0")
	}
	return &external{address: u}, nil
}

func (*external) Describe() string           { return "MongoDB (WRIT_TEST_MONGODB_URI)" }
func (e *external) local(name string) string { return e.uri(name) }

func (e *external) uri(name string) string {
	u := *e.address
	u.Path = "/" + name
	return u.String()
}

var errExternal = errors.New("the server of WRIT_TEST_MONGODB_URI is not ours to stop")

func (*external) stop() error                 { return errExternal }
func (*external) kill() error                 { return errExternal }
func (*external) start(context.Context) error { return errExternal }

func (*external) close() []error {
	fmt.Fprintf(os.Stdout, "e2e: the databases e2e-%s-* are left in the server of WRIT_TEST_MONGODB_URI, and what it keeps "+
		"was not searched for secrets\n", suite.id)
	return nil
}

// kept remembers which databases a server was given, so that a search of its data can show that it finds what is there.
type kept struct {
	mu    sync.Mutex
	names []string
}

func (k *kept) note(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.names, name) {
		k.names = append(k.names, name)
	}
}

// search looks for the tests' secrets in what a server kept. The names of its databases must be found.
func (k *kept) search(dir string) []error {
	problems := leaksIn(dir)
	k.mu.Lock()
	defer k.mu.Unlock()
	find, found := newFinder(k.names), map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for name := range find.in(b) {
			found[name] = true
		}
		return err
	})
	if err != nil {
		problems = append(problems, err)
	}
	for _, name := range k.names {
		if !found[name] {
			problems = append(problems, fmt.Errorf("the search of what the database keeps does not even find %s in it", name))
		}
	}
	return problems
}

// standIn is a process of e2e/mongowire.
type standIn struct {
	kept
	binary, dir, address string
	flags                []string

	running sync.Mutex
	run     *process
}

// standInSet is the name of its replica set.
const standInSet = "mongowire"

var standInBuild struct {
	once sync.Once
	err  error
}

// buildStandIn builds the binary once.
func buildStandIn(ctx context.Context, work string) (string, error) {
	binary := filepath.Join(work, "mongowire")
	standInBuild.once.Do(func() { standInBuild.err = goBuild(ctx, "mongowire", binary, ".") })
	return binary, standInBuild.err
}

func newStandInProcess(ctx context.Context, work, dir string, flags ...string) (*standIn, error) {
	binary, err := buildStandIn(ctx, work)
	if err != nil {
		return nil, err
	}
	address, _, err := freePorts()
	if err != nil {
		return nil, err
	}
	s := &standIn{binary: binary, dir: dir, address: address, flags: flags}
	return s, s.start(ctx)
}

func (*standIn) Describe() string { return "mongowire (stand-in)" }

func (s *standIn) uri(name string) string {
	s.note(name)
	return s.local(name)
}

func (s *standIn) local(name string) string {
	return newURI(s.address, name, "replicaSet="+standInSet)
}

func (s *standIn) start(ctx context.Context) error {
	s.running.Lock()
	defer s.running.Unlock()
	out := filepath.Join(s.dir, "stdout")
	if err := os.Remove(out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := exec.Command(s.binary, append([]string{
		"--listen", s.address, "--advertise", s.address, "--set-name", standInSet, "--data", filepath.Join(s.dir, "data"),
	}, s.flags...)...)
	var err error
	if s.run, err = startProcess(cmd, out, filepath.Join(s.dir, "stderr")); err != nil {
		return err
	}
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(pollEvery) {
		if line, _ := firstLine(out); strings.HasPrefix(line, "mongowire listening on ") {
			return nil
		}
		select {
		case <-s.run.done():
			text, _ := os.ReadFile(filepath.Join(s.dir, "stderr"))
			return fmt.Errorf("the stand-in ended before it listened: %v: %s", s.run.failure(), tail(string(text)))
		default:
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("the stand-in did not listen within %s", readyWithin)
		}
	}
}

func firstLine(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return bufio.NewReader(f).ReadString('\n')
}

func (s *standIn) stop() error {
	s.running.Lock()
	defer s.running.Unlock()
	if err := s.run.terminate(); err != nil {
		return err
	}
	select {
	case <-s.run.done():
		return s.run.failure()
	case <-time.After(stopWithin):
		_ = s.run.kill()
		<-s.run.done()
		return fmt.Errorf("the stand-in did not stop within %s of SIGTERM", stopWithin)
	}
}

func (s *standIn) kill() error {
	s.running.Lock()
	defer s.running.Unlock()
	_ = s.run.kill() // it may have ended
	<-s.run.done()
	return nil
}

func (s *standIn) close() []error {
	var problems []error
	select {
	case <-s.run.done(): // by a test that ended early
	default:
		if err := s.stop(); err != nil {
			problems = append(problems, fmt.Errorf("stop the stand-in: %w", err))
		}
	}
	return append(problems, s.search(s.dir)...)
}
