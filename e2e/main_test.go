package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// suite is what all tests share: the runner with its built binary, the database, and one server that most tests use.
var suite struct {
	id       string // of this run
	runner   Runner
	binary   string   // for this machine
	store    string   // "sqlite" or "mongo"
	db       database // nil on the embedded store
	shared   *Server
	spoken   *Server // on which every dialect is on
	mu       sync.Mutex
	leftOut  []string
	notFound error // why there are no containers, where they were asked for
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
	work, err := os.MkdirTemp("", "writ-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stdout, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(work)
	suite.id = strings.ToLower(rand.Text()[:6])
	ctx := context.Background()
	problems := []error{open(ctx, work)}
	code := 1
	if problems[0] == nil {
		code = m.Run()
	}
	for _, s := range []*Server{suite.shared, suite.spoken} {
		if s != nil {
			problems = append(problems, s.finish()...)
		}
	}
	if suite.db != nil {
		problems = append(problems, suite.db.close()...) // after the servers: it is searched for all that they were told
	}
	if suite.runner != nil {
		problems = append(problems, suite.runner.Close()...)
	}
	problems = append(problems, exchanges.finish()...)
	problems = append(problems, outagesTold()...)
	for _, line := range suite.leftOut {
		fmt.Fprintln(os.Stdout, "e2e: left out:", line)
	}
	for _, problem := range problems {
		if problem != nil {
			fmt.Fprintln(os.Stdout, "e2e:", problem)
			code = 1
		}
	}
	return code
}

// open chooses runner and store by the environment, starts the shared server and says in one line what is used.
//
//	E2E_RUNNER=process|container    where Writ runs; process unless set
//	E2E_STORE=sqlite|mongo          what it keeps its data in; sqlite unless set, mongo in containers
//	E2E_REQUIRE_CONTAINERS=1        containers, or the run fails; without it their absence is announced and processes are used
//	WRIT_TEST_MONGODB_URI           a MongoDB to use with processes; unless set, the stand-in is built and started
//	E2E_MONGO_IMAGE                 the MongoDB image to use with containers
func open(ctx context.Context, work string) error {
	required := os.Getenv("E2E_REQUIRE_CONTAINERS") == "1"
	where := os.Getenv("E2E_RUNNER")
	if where == "" && required {
		where = "container"
	}
	suite.store = os.Getenv("E2E_STORE")
	if suite.store == "" {
		suite.store = map[bool]string{true: "mongo", false: "sqlite"}[where == "container"]
	}
	switch {
	case !slices.Contains([]string{"", "process", "container"}, where):
		return fmt.Errorf("E2E_RUNNER=%s is neither process nor container", where)
	case suite.store != "sqlite" && suite.store != "mongo":
		return fmt.Errorf("E2E_STORE=%s is neither sqlite nor mongo", suite.store)
	case where == "container" && suite.store == "sqlite":
		return errors.New("E2E_RUNNER=container is with E2E_STORE=mongo; the image on the embedded store is a test of its own in it")
	case where == "process" && required:
		return errors.New("E2E_REQUIRE_CONTAINERS=1 and E2E_RUNNER=process contradict each other")
	}
	process, err := newProcessRunner(ctx, work)
	if err != nil {
		return err
	}
	suite.runner, suite.binary = process, process.binary
	if where == "container" {
		containers, err := newContainerRunner(ctx, process)
		switch {
		case err == nil:
			suite.runner, suite.db = containers, containers.db
		case required:
			return fmt.Errorf("E2E_REQUIRE_CONTAINERS=1, and containers are not to be had: %w", err)
		default:
			suite.notFound = err
		}
	}
	if suite.store == "mongo" && suite.db == nil {
		if suite.db, err = processDatabase(ctx, process); err != nil {
			return err
		}
		process.db = suite.db
	}
	suite.shared, err = suite.runner.Start(ctx, Options{})
	served := "unknown"
	if err == nil {
		served = suite.shared.storeName()
	}
	if suite.db != nil {
		served = suite.db.Describe() + ": " + served
	}
	fmt.Fprintf(os.Stdout, "e2e: runner=%s store=%s server=%q writ=%q\n", suite.runner.Name(), suite.store, served,
		suite.runner.Version())
	if suite.notFound != nil {
		fmt.Fprintln(os.Stdout, "e2e: containers were asked for and are not to be had, so processes are used:", suite.notFound)
	}
	if err != nil {
		return fmt.Errorf("start the shared server: %w", err)
	}
	return nil
}

func processDatabase(ctx context.Context, process *processRunner) (database, error) {
	if uri := os.Getenv("WRIT_TEST_MONGODB_URI"); uri != "" {
		return newExternal(uri)
	}
	return process.StandIn(ctx)
}

// storeName is the store that the server says it is serving from.
func (s *Server) storeName() string {
	for line := range strings.Lines(s.text(s.stderr())) {
		var event struct{ Msg, Store string }
		if json.Unmarshal([]byte(line), &event) == nil && event.Msg == "serving" {
			return event.Store
		}
	}
	return "unknown"
}

// shared returns the server that most tests use.
func shared(t *testing.T) *Server {
	t.Helper()
	return suite.shared
}

// fresh starts a server for one test and holds it to account when the test ends.
func fresh(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := suite.runner.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start a server: %v", err)
	}
	held(t, s)
	return s
}

// held holds a server to account when the test ends.
func held(t *testing.T, s *Server) {
	t.Helper()
	t.Cleanup(func() {
		for _, problem := range s.finish() {
			t.Error(problem)
		}
	})
}
