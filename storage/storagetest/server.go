package storagetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
)

const (
	// storeVariable names the store of tests that need some store, whichever: sqlite, which is also the default, or mongo.
	storeVariable = "WRIT_TEST_STORE"
	// serverVariable names a MongoDB; without it the stand-in is built and started.
	serverVariable = "WRIT_TEST_MONGODB_URI"
)

// Server is a server for the tests of one package, with a database for each of them.
type Server struct {
	uri, prefix string
	databases   atomic.Int64
	stop        func()
}

// Named returns the server of the store that the environment names, and nil for the embedded store, which has none. It announces
// which store it is. The stand-in is built from dir, its folder.
func Named(ctx context.Context, pkg, dir string, out io.Writer) (*Server, error) {
	switch name := os.Getenv(storeVariable); name {
	case "", "sqlite":
		_, err := fmt.Fprintf(out, "%s: store=sqlite\n", pkg)
		return nil, err
	case "mongo":
	default:
		return nil, fmt.Errorf("%s=%s is neither sqlite nor mongo", storeVariable, name)
	}
	s := &Server{uri: os.Getenv(serverVariable), prefix: fmt.Sprintf("writ_test_%s_%d_", pkg, os.Getpid()), stop: func() {}}
	if s.uri != "" {
		_, err := fmt.Fprintf(out, "%s: store=mongo server=%s (the databases %s* are left in it)\n", pkg, serverVariable, s.prefix)
		return s, err
	}
	if err := s.standIn(ctx, dir); err != nil {
		return nil, err
	}
	_, err := fmt.Fprintf(out, "%s: store=mongo server=mongowire (stand-in; name a real one in %s)\n", pkg, serverVariable)
	return s, err
}

// standIn builds the stand-in and starts it; it keeps everything in memory.
func (s *Server) standIn(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp("", "writ-standin-")
	if err != nil {
		return err
	}
	s.stop = func() { _ = os.RemoveAll(work) }
	binary := filepath.Join(work, "mongowire")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir = dir
	if text, err := build.CombinedOutput(); err != nil {
		s.stop()
		return fmt.Errorf("build the stand-in: %w\n%s", err, text)
	}
	cmd := exec.CommandContext(ctx, binary, "--listen", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.stop()
		return fmt.Errorf("start the stand-in: %w", err)
	}
	s.stop = func() { _, _, _ = cmd.Process.Kill(), cmd.Wait(), os.RemoveAll(work) }
	lines := bufio.NewReader(pipe)
	line, err := lines.ReadString('\n')
	_, address, found := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !found {
		s.stop()
		return errors.Join(fmt.Errorf("the stand-in said %q", line), err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // what else it says is not to hold it up
	s.uri = "mongodb://" + address
	return nil
}

// Database returns the connection string of a database that nobody else uses.
func (s *Server) Database() string {
	base, query, _ := strings.Cut(s.uri, "?")
	scheme, rest, _ := strings.Cut(base, "://")
	hosts, _, _ := strings.Cut(rest, "/")
	uri := fmt.Sprintf("%s://%s/%s%d", scheme, hosts, s.prefix, s.databases.Add(1))
	if query != "" {
		uri += "?" + query
	}
	return uri
}

// Close stops the stand-in. There may be no server.
func (s *Server) Close() {
	if s != nil {
		s.stop()
	}
}
