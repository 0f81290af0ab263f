//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// wholeRun bounds a run, whatever happens. One without profiles, on a machine that does nothing else, takes about ten minutes, and
// one that makes the directory of a million users ten more.
const wholeRun = 40 * time.Minute

// Of the generator's runtime: its connections block in the kernel, so it needs more processors than cores; and it collects
// between loops rather than in them.
const (
	generatorProcessors = 96
	generatorMemory     = 1 << 30
)

func main() {
	// A server dies with the thread that started it (Pdeathsig). This one lives as long as the process; others end with the
	// connections that were bound to them.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, wholeRun, fmt.Errorf("the run took longer than %s", wholeRun))
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	shipped, bench string
	only           []string
	store, mongodb string
	users          int
	json, profile  string
	seeded         string
	markdown       string
	pace           pace
}

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.shipped, "writ", ".build/writ", "the binary as it is shipped")
	flags.StringVar(&o.bench, "bench-writ", ".build/writ-bench", "the bench build of it (-tags bench)")
	flags.StringVar(&only, "scenario", "", "comma-separated names of scenarios or rows (token-es256,PF-02); absent: all")
	flags.StringVar(&o.store, "store", "sqlite", "sqlite or mongodb")
	flags.StringVar(&o.mongodb, "mongodb-uri", "", "an empty database of a MongoDB replica set; sets --store mongodb")
	flags.IntVar(&o.users, "users", 10_000, "users in the store")
	flags.StringVar(&o.json, "json", "", "also write the report to this file as JSON")
	flags.StringVar(&o.markdown, "markdown", "", "also write the report to this file, as the part of docs/benchmarks.md that it is")
	flags.StringVar(&o.seeded, "seeded", "", "keep the seeded directories of PI-02 to PI-05, PD-03, PD-06 and PD-10 here, and take those that are; absent: for this run")
	flags.StringVar(&o.profile, "profile", "", "then save CPU and heap profiles of each scenario in this directory")
	flags.DurationVar(&o.pace.warm, "warm-up", 500*time.Millisecond, "least warm-up of each load")
	flags.DurationVar(&o.pace.round, "duration", 1500*time.Millisecond, "least time of each round of a closed loop, which then goes on to the end of a collection")
	flags.IntVar(&o.pace.rounds, "rounds", 3, "rounds of each load, which are added up")
	flags.DurationVar(&o.pace.open, "open", 4*time.Second, "of each open loop, and of each profile; 0 leaves open loops out")
	flags.IntVar(&o.pace.connections, "connections", 8, "kept-alive connections of closed loops")
	flags.IntVar(&o.pace.openConnections, "open-connections", 32, "of open loops")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	if o.mongodb != "" {
		o.store = "mongodb"
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.store != "sqlite" && o.store != "mongodb":
		return nil, fmt.Errorf("--store %q is neither sqlite nor mongodb", o.store)
	case o.store == "mongodb" && o.mongodb == "":
		return nil, errors.New("--store mongodb needs --mongodb-uri")
	case o.users < roles:
		return nil, fmt.Errorf("--users: at least %d", roles)
	case o.pace.rounds < 1 || o.pace.connections < 1 || o.pace.openConnections < 1 || o.pace.round <= 0:
		return nil, errors.New("rounds, durations and connections are positive")
	case max(o.pace.connections, o.pace.openConnections)+floodConnections > generatorProcessors:
		return nil, fmt.Errorf("at most %d connections in a loop", generatorProcessors-floodConnections)
	}
	var err1, err2 error // the servers are started in directories of their own
	if o.seeded != "" {
		var err error
		if o.seeded, err = filepath.Abs(o.seeded); err != nil {
			return nil, err
		}
	}
	o.shipped, err1 = filepath.Abs(o.shipped)
	o.bench, err2 = filepath.Abs(o.bench)
	return &o, errors.Join(err1, err2, o.known())
}

// known refuses a filter that names nothing.
func (o *options) known() error {
	var names []string
	for _, s := range append(floors(), scenarios()...) {
		names = append(names, s.name)
	}
	for _, r := range rows() {
		names = append(names, r.id)
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("--scenario %q is none of %s", name, strings.Join(slices.Compact(names), ", "))
		}
	}
	return nil
}

// wants says whether a scenario, a floor or a row that is no load is to be measured.
func (o *options) wants(name string) bool {
	if len(o.only) == 0 || slices.Contains(o.only, name) {
		return true
	}
	if slices.ContainsFunc(scenarios(), func(s scenario) bool { return s.as == name && o.wants(s.name) }) {
		return true
	}
	return slices.ContainsFunc(rows(), func(r row) bool {
		return r.scenario == name && slices.Contains(o.only, r.id) || r.floor == name && r.floor != "" && o.wants(r.scenario)
	})
}

func (o *options) choose(all []scenario) []scenario {
	return slices.DeleteFunc(all, func(s scenario) bool { return !o.wants(s.name) })
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := allowed()
	if err != nil {
		return err
	}
	split := split(all)
	if err := pinSelf(split.load); err != nil {
		return err
	}
	runtime.GOMAXPROCS(generatorProcessors)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(generatorMemory)
	dir, err := os.MkdirTemp("", "writ-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, cores: split, dir: dir, say: func(format string, args ...any) {
		fmt.Fprintf(stderr, "bench: "+format+"\n", args...)
	}}
	began := time.Now()
	results := &results{
		Date: today(began), Command: strings.Join(append([]string{"bench"}, args...), " "), Machine: machine(), Cores: split.String(),
		Generator: generatorProcessors, LoadBefore: loadAverage(), Store: o.store, Users: o.users, Connections: o.pace.connections,
		Singles: map[string]float64{},
	}
	if err := b.all(ctx, results); err != nil {
		return err
	}
	results.Took, results.LoadAfter = time.Since(began).Round(time.Second).String(), loadAverage()
	results.judge(rows())
	if o.json != "" {
		if err := results.save(o.json); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		if err := results.page(o.markdown); err != nil {
			return err
		}
	}
	return errors.Join(results.write(stdout), results.wrong())
}

// bench is one run.
type bench struct {
	*options
	cores cores
	dir   string
	say   func(string, ...any)
}

func (b *bench) all(ctx context.Context, r *results) error {
	version, err := exec.CommandContext(ctx, b.shipped, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", b.shipped, err)
	}
	r.Version = strings.Join(strings.Fields(string(version)), " ")
	if b.wants("PF-05") {
		info, err := os.Stat(b.shipped)
		if err != nil {
			return err
		}
		r.Singles["binary"] = float64(info.Size()) / 1e6
	}
	if err := b.demo(ctx, r); err != nil {
		return fmt.Errorf("start at demo size: %w", err)
	}
	if b.wants("PF-03") {
		if err := b.manyUsers(ctx, r); err != nil {
			return fmt.Errorf("start with 100,000 users: %w", err)
		}
	}
	if err := b.bySize(ctx, r); err != nil {
		return err
	}
	if err := b.savedEdit(ctx, r); err != nil {
		return fmt.Errorf("edit of a policy: %w", err)
	}
	return b.loads(ctx, r)
}

// demo starts the shipped binary as `writ dev` does, on all cores as it would be, and proves that it has no /bench/.
func (b *bench) demo(ctx context.Context, r *results) error {
	const starts = 5
	var took []float64
	for n := range starts {
		b.say("start %d of %d at demo size", n+1, starts)
		dir := filepath.Join(b.dir, fmt.Sprintf("dev%d", n))
		p := program{binary: b.shipped, args: []string{"dev"}, env: []string{"TMPDIR=" + b.dir}, dir: dir, on: b.cores.all}
		s, err := p.start(ctx, b.cores.load)
		if err != nil {
			return err
		}
		took = append(took, s.ready.Seconds())
		err = b.shippedAlone(ctx, s)
		if err == nil && n == starts-1 && b.wants("PF-04") {
			err = b.atRest(ctx, s, r)
		}
		s.stop()
		if err != nil {
			return err
		}
		if !b.wants("PF-03") && !b.wants("PF-04") {
			return nil // one start was enough to see that it has no /bench/
		}
	}
	if b.wants("PF-03") {
		r.Singles["start, demo"] = median(took)
	}
	return nil
}

// shippedAlone refuses a shipped binary that has what only the bench build may have.
func (*bench) shippedAlone(ctx context.Context, s *server) error {
	for _, path := range []string{"/bench/floor", "/bench/records"} {
		status, _, err := ask(ctx, http.MethodPost, "http://"+s.public+path, nil, []byte("{}"))
		if err != nil {
			return err
		}
		if status != http.StatusNotFound {
			return fmt.Errorf("the shipped binary answers %s with %d: build it without -tags bench", path, status)
		}
	}
	return nil
}

func (b *bench) atRest(ctx context.Context, s *server, r *results) error {
	const rest = 2 * time.Second
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rest):
	}
	resident, err := s.resident()
	r.Singles["resident, demo"] = float64(resident) / (1 << 20)
	return err
}

// manyUsers seeds a directory with the bench build and starts the shipped one on it.
func (b *bench) manyUsers(ctx context.Context, r *results) error {
	if b.store != "sqlite" {
		r.Absent = append(r.Absent, "start with 100,000 users: measured on the embedded store only")
		return nil
	}
	const users, starts = 100_000, 3
	dir := filepath.Join(b.dir, "many")
	_, env, err := environment(dir, "")
	if err != nil {
		return err
	}
	b.say("seeding %d users", users)
	p := program{binary: b.bench, args: []string{"serve"}, env: env, dir: dir, on: b.cores.all}
	s, err := p.start(ctx, b.cores.load)
	if err != nil {
		return err
	}
	w := &world{server: s}
	err = errors.Join(w.seed(ctx, "roles", roles, role), w.seed(ctx, "users", users, user))
	s.stop()
	if err != nil {
		return err
	}
	p.binary = b.shipped
	var took []float64
	for n := range starts {
		b.say("start %d of %d with %d users", n+1, starts, users)
		s, err := p.start(ctx, b.cores.load)
		if err != nil {
			return err
		}
		s.stop()
		took = append(took, s.ready.Seconds())
	}
	r.Singles["start, 100,000 users"] = median(took)
	return nil
}

// loads measures the floors and the scenarios on one server.
func (b *bench) loads(ctx context.Context, r *results) error {
	least, chosen := b.choose(floors()), b.choose(scenarios())
	if len(least)+len(chosen) == 0 && !b.wants("PD-08") {
		return nil
	}
	dir := filepath.Join(b.dir, "loads")
	secret, env, err := environment(dir, b.mongodb)
	if err != nil {
		return err
	}
	p := program{
		binary: b.bench, args: []string{"serve"}, env: append(env, "WRIT_DIALECTS_LERIAN_ENABLED=true"), dir: dir, on: b.cores.server,
	}
	s, err := p.start(ctx, b.cores.load)
	if err != nil {
		return err
	}
	defer s.stop()
	p.dir = filepath.Join(b.dir, "floors")
	if _, p.env, err = environment(p.dir, ""); err != nil {
		return err
	}
	bare, err := p.start(ctx, b.cores.load)
	if err != nil {
		return err
	}
	defer bare.stop()
	b.say("seeding %d roles and %d users", roles, b.users)
	w, err := populate(ctx, s, bare, secret, b.users, b.pace)
	if err != nil {
		return err
	}
	opened := func(name string) bool {
		return b.pace.open > 0 && (name == "floor" || slices.ContainsFunc(chosen, func(s scenario) bool { return s.name == name }))
	}
	if r.Measurements, err = w.measure(ctx, append(least, chosen...), opened, b.pace, b.say); err != nil {
		if ctx.Err() != nil {
			return err // which also ended the servers
		}
		return errors.Join(err, s.ended(), bare.ended())
	}
	if b.wants("PD-08") {
		if err := b.replayed(ctx, w, r); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
	}
	used, err := s.usage(ctx)
	r.GOMAXPROCS = used.GOMAXPROCS
	if err == nil && b.profile != "" {
		err = w.profile(ctx, chosen, b.pace, b.profile, b.say)
	}
	return err
}
