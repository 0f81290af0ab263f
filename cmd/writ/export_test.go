package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies/enforce"
)

// Run is run, for the tests of this package, which see the program as the shell does.
var Run = run

// EndsWithin is how long a node that is told to stop takes after shutdown_delay at the most.
const EndsWithin = drainLimit + flushLimit + endLimit

// CloseParts closes a node of these parts, the last first.
func CloseParts(ctx context.Context, logger *slog.Logger, parts ...func(context.Context) error) {
	n := &node{logger: logger}
	for i, part := range parts {
		n.closers = append(n.closers, closer{fmt.Sprintf("part %d", i), part})
	}
	n.close(ctx)
}

// Commands is the tree of commands.
func Commands() *cobra.Command { return (&cli{}).root() }

// Frame puts what every listener has around a handler.
func Frame(next http.Handler, logger *slog.Logger, now func() time.Time) http.Handler {
	return Gated(next, NewGate(0, nil, nil, logger), logger, now)
}

// Gated is Frame behind a gate. What the gate turns away is answered 503 with the error as the body.
func Gated(next http.Handler, g *Gate, logger *slog.Logger, now func() time.Time) http.Handler {
	return &frame{listener: "public", next: refusing{next}, gate: g, warm: new(warm), logger: logger, metrics: newMetrics(), now: now}
}

type refusing struct{ http.Handler }

func (refusing) Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// Gate is what turns requests away in an overload.
type Gate = gate

// Class is what shares places in an overload, and ClassOf that of a request.
type Class = class

var ClassOf = classOf

const (
	Exempt     = exempt
	Decisions  = decisions
	Tokens     = tokens
	Management = management
)

// NewGate is a gate that reads how much waits from load, and lets others go first with yield.
func NewGate(queue int, load func() (runnable, cores int64), yield func(), logger *slog.Logger) *Gate {
	g := newGate(queue, time.Now, logger)
	g.load, g.yield = load, yield
	return g
}

// Look takes n looks.
func (g *gate) Look(ctx context.Context, n int) {
	for range n {
		g.sample(ctx)
	}
}

// Admit, Overloaded and TurnedAway are the gate as the server sees it.
func (g *gate) Admit(c Class) bool { return g.admit(c) }
func (g *gate) Overloaded() bool   { return g.places.Load() > 0 }
func (g *gate) TurnedAway() int64  { return g.turnedAway() }

// RuntimeLoad reads what the runtime says.
var RuntimeLoad = runtimeLoad

// OpenBreached opens a file of leaked passwords, and Breached is one that is open.
var OpenBreached = openBreached

func Breached(file io.ReaderAt, size int64) *breachedFile {
	return &breachedFile{file: file, size: size}
}

// ReadObjects returns section, pointer and JSON of every object of a file, one in a line.
func ReadObjects(file string, content []byte) (string, error) {
	objects, err := readObjects(file, content)
	if err != nil {
		return "", err
	}
	return objectLines(objects), nil
}

// ReadFrom is ReadObjects of another system's file.
func ReadFrom(from, file string, content []byte) (objects string, leftOut []string, err error) {
	found, leftOut, err := importers()[from](file, content, from)
	return objectLines(found), leftOut, err
}

func objectLines(objects []*object) string {
	var lines []string
	for _, o := range objects {
		raw, err := json.Marshal(o.fields)
		if err != nil {
			return err.Error()
		}
		lines = append(lines, o.section+" "+o.pointer("")+" "+string(raw))
	}
	return strings.Join(lines, "\n")
}

// Patch is the merge patch from one YAML object to another.
func Patch(t *testing.T, was, is string) string {
	t.Helper()
	a, err1 := oneObject("was", []byte(was))
	b, err2 := oneObject("is", []byte(is))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(mergePatch(a.fields, b.fields))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The pace of the collector.
var (
	NextRoom      = nextRoom
	PaceFor       = paceFor
	MemoryLimit   = memoryLimit
	RoomWithin    = roomWithin
	PaceCollector = paceCollector
)

// Table is what a command prints of cells that others wrote.
func Table(cells string) (string, error) {
	var out bytes.Buffer
	c := &cli{stdout: &out}
	err := c.outputFlag(&cobra.Command{})(nil, func(w io.Writer) { fmt.Fprint(w, cells) })
	return out.String(), err
}

// BuiltDialects are the dialects of this version.
var BuiltDialects = builtDialects

// Connections bounds connections by what a server says of them, and counts those that it closed.
func Connections(most int) (changed func(net.Conn, http.ConnState), closed func() int64) {
	var count atomic.Int64
	return newConnections(most, &count).changed, count.Load
}

// atDoor is what refuses in ServeGated: its body says whether the door turned a request away, or the frame behind it.
type atDoor struct{ http.Handler }

func (atDoor) Refuse(w http.ResponseWriter, r *http.Request, _ error) {
	by := "frame"
	if r.RemoteAddr == "" { // net/http sets it
		by = "door"
	}
	w.Header().Set("Content-Type", "text/plain")
	http.Error(w, by+" "+r.Method+" "+r.URL.Path+" "+enforce.EventFrom(r.Context()).RequestID, http.StatusServiceUnavailable)
}

// ServeGated serves as a public listener of a node does, one without dialects or with some, until the test ends.
func ServeGated(t *testing.T, listener net.Listener, next http.Handler, g *Gate, native bool) *http.Server {
	n := &node{config: &Config{MaxConnections: 100}, logger: slog.New(slog.DiscardHandler)}
	f := &frame{listener: "public", next: atDoor{next}, gate: g, warm: &n.warm, logger: n.logger, metrics: newMetrics(), now: time.Now}
	served, err := n.server(f, f, listener, "", "")
	if err != nil {
		t.Fatal(err)
	}
	served.listener.(*door).native = native
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = served.serve() // ErrServerClosed
	}()
	t.Cleanup(func() {
		_ = served.server.Close()
		<-done
	})
	return served.server
}

// ParseHead is what the door sees of a request.
func ParseHead(p []byte) (method, path, id string, size int, length int64, ok bool) {
	h, ok := parseHead(p)
	return string(h.method), string(h.path), string(h.id), h.size, h.length, ok
}

// Warm is what runs handlers.
type Warm = warm

// Do is the one thing that it does.
func (w *warm) Do(f func()) { w.do(f) }
