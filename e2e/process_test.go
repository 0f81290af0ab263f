package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// processRunner runs the built binary as processes of this machine.
type processRunner struct {
	binary, work, version string
	db                    database // nil on the embedded store

	mu   sync.Mutex
	runs int
}

func newProcessRunner(ctx context.Context, work string) (*processRunner, error) {
	r := &processRunner{binary: filepath.Join(work, "writ"), work: work}
	if err := goBuild(ctx, "..", r.binary, "./cmd/writ"); err != nil {
		return nil, err
	}
	out := r.Command(ctx, Options{}, "version")
	if out.Code != 0 {
		return nil, fmt.Errorf("writ version: exit code %d\n%s", out.Code, out.Stderr)
	}
	r.version = strings.Join(strings.Fields(out.Stdout), " ")
	return r, nil
}

// goBuild builds a static binary of a module of this repository.
func goBuild(ctx context.Context, module, binary, pkg string, env ...string) error {
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, pkg)
	build.Dir, build.Env = module, append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s of %s: %w\n%s", pkg, module, err, out)
	}
	return nil
}

func (*processRunner) Name() string      { return "process" }
func (r *processRunner) Version() string { return r.version }
func (*processRunner) Close() []error    { return nil }

func (r *processRunner) dir() (string, error) {
	r.mu.Lock()
	r.runs++
	dir := filepath.Join(r.work, fmt.Sprintf("run-%03d", r.runs))
	r.mu.Unlock()
	return dir, os.MkdirAll(dir, 0o700)
}

func (r *processRunner) StandIn(ctx context.Context, flags ...string) (database, error) {
	dir, err := r.dir()
	if err != nil {
		return nil, err
	}
	return newStandInProcess(ctx, r.work, dir, flags...)
}

func (r *processRunner) Start(ctx context.Context, o Options) (*Server, error) {
	return o.again(func() (*Server, error) { return r.start(ctx, o) })
}

func (r *processRunner) start(ctx context.Context, o Options) (*Server, error) {
	l, err := o.prepare(r.dir, r.db)
	if err != nil {
		return nil, err
	}
	s := l.server
	for key, value := range map[string]string{
		"WRIT_LISTEN": l.public, "WRIT_ADMIN_LISTEN": l.admin, "WRIT_DECISION_LOG": s.decisions(),
	} {
		if _, set := l.env[key]; !set {
			l.env[key] = value
		}
	}
	if s.shares.db != nil {
		l.env["WRIT_MONGODB_URI"] = s.shares.db.uri(s.shares.name)
	}
	cmd := exec.Command(r.binary, l.args...) // not bound to ctx: a shared server outlives its first test
	if o.Cores != "" {
		cmd = exec.Command("taskset", append([]string{"-c", o.Cores, r.binary}, l.args...)...)
	}
	cmd.Dir, cmd.Env = s.Dir, environment(l.env)
	run, err := startProcess(cmd, s.stdout(), s.stderr())
	if err != nil {
		return nil, err
	}
	return s.begin(ctx, run)
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

// process is an instance that is a process.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// startProcess starts a command that appends to the two files.
func startProcess(cmd *exec.Cmd, outFile, errFile string) (*process, error) {
	stdout, err := appendTo(outFile)
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := appendTo(errFile)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() { p.err = cmd.Wait(); close(p.ended) }()
	return p, nil
}

func (p *process) terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (p *process) kill() error           { return p.cmd.Process.Kill() }
func (p *process) done() <-chan struct{} { return p.ended }
func (p *process) failure() error        { return p.err }
func (*process) collect() error          { return nil } // it writes into the files itself
func (*process) remove() error           { return nil }
