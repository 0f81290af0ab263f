package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
)

// suite is what all tests share: the runner with its built binary, and one server that most tests use.
var suite struct {
	runner Runner
	once   sync.Once
	shared *Server
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if testing.Short() {
		fmt.Fprintln(os.Stdout, "e2e: left out, because of -short")
		return 0
	}
	if os.Getenv("E2E_REQUIRE_CONTAINERS") == "1" {
		fmt.Fprintln(os.Stdout, "e2e: E2E_REQUIRE_CONTAINERS=1, but there is no container runner yet: "+
			"unset it to run the binary as a process")
		return 1
	}
	work, err := os.MkdirTemp("", "writ-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stdout, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(work)
	ctx := context.Background()
	runner, err := newProcessRunner(ctx, work)
	if err != nil {
		fmt.Fprintln(os.Stdout, "e2e:", err)
		return 1
	}
	suite.runner = runner
	fmt.Fprintf(os.Stdout, "e2e: runner=%s store=%s server=%s (containers and MongoDB: not run)\n",
		runner.Name(), runner.Store(), runner.Version())
	code := m.Run()
	if suite.shared != nil {
		for _, problem := range suite.shared.finish() {
			fmt.Fprintln(os.Stdout, "e2e: shared server:", problem)
			code = 1
		}
	}
	return code
}

// shared returns the server that most tests use; it starts with the first of them.
func shared(t *testing.T) *Server {
	t.Helper()
	suite.once.Do(func() {
		suite.shared, suite.err = suite.runner.Start(context.Background(), Options{})
	})
	if suite.err != nil {
		t.Fatalf("start the shared server: %v", suite.err)
	}
	return suite.shared
}

// fresh starts a server for one test and holds it to account when the test ends.
func fresh(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := suite.runner.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start a server: %v", err)
	}
	t.Cleanup(func() {
		for _, problem := range s.finish() {
			t.Error(problem)
		}
	})
	return s
}
