//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	readyWithin = 60 * time.Second
	stopWithin  = 15 * time.Second
	pollEvery   = time.Millisecond
)

// program is a server to start: its data and logs go to dir.
type program struct {
	binary string
	args   []string
	env    []string
	dir    string
	on     []int // cores
}

// server is a running one.
type server struct {
	public, admin string // addresses
	ready         time.Duration
	dir           string
	on            []int // cores
	cmd           *exec.Cmd
	done          chan struct{}
}

// start returns a server that is ready. The end of ctx kills it.
func (p program) start(ctx context.Context, back []int) (*server, error) {
	public, admin, err := freePorts(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	s := &server{public: public, admin: admin, dir: p.dir, on: p.on, done: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, p.binary, append(slices.Clone(p.args), "--listen", public, "--admin-listen", admin)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.Dir = p.dir
	s.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "WRIT_") }), p.env...)
	stdout, err := s.log("stdout")
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := s.log("stderr")
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	s.cmd.Stdout, s.cmd.Stderr = stdout, stderr
	began := time.Now()
	if err := startOn(s.cmd, p.on, back); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.binary, err)
	}
	go func() { _ = s.cmd.Wait(); close(s.done) }() // how it ended is in its log
	if err := s.awaitReady(ctx); err != nil {
		s.stop()
		return nil, err
	}
	s.ready = time.Since(began)
	return s, nil
}

// log opens what the server writes to, for appending, so that it can be emptied meanwhile.
func (s *server) log(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(s.dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
}

// emptyLogs keeps minutes of load from filling the disk.
func (s *server) emptyLogs() error {
	return errors.Join(os.Truncate(filepath.Join(s.dir, "stdout"), 0), os.Truncate(filepath.Join(s.dir, "stderr"), 0))
}

func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		if status, _, err := ask(ctx, http.MethodGet, "http://"+s.admin+"/readyz", nil, nil); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-s.done:
			return s.ended()
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready within %s: %w", readyWithin, context.Cause(ctx))
		case <-time.After(pollEvery):
		}
	}
}

// ended is the error of a server that ended by itself, with its last words; nil while it runs.
func (s *server) ended() error {
	select {
	case <-s.done:
	default:
		return nil
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "stderr"))
	if err != nil {
		return fmt.Errorf("the server ended (%s): %w", s.cmd.ProcessState, err)
	}
	return fmt.Errorf("the server ended (%s):\n%s", s.cmd.ProcessState, text[max(0, len(text)-2000):])
}

// stop ends the server, gently at first.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.done:
	case <-time.After(stopWithin):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

// usage reads the meter of the bench build.
func (s *server) usage(ctx context.Context) (usage, error) {
	var u usage
	status, body, err := ask(ctx, http.MethodGet, "http://"+s.public+"/bench/usage", nil, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/bench/usage: got %d; is it a bench build?", status)
	}
	if err == nil {
		err = json.Unmarshal(body, &u)
	}
	if err == nil {
		u.core, err = s.coreBusy()
	}
	return u, err
}

// collect ends when the server has collected its garbage.
func (s *server) collect(ctx context.Context) error {
	status, _, err := ask(ctx, http.MethodPost, "http://"+s.public+"/bench/collect", nil, nil)
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("/bench/collect: got %d; is it a bench build?", status)
	}
	return err
}

// resident is VmRSS in bytes, of the server and of what it has started.
func (s *server) resident() (int64, error) {
	own := strconv.Itoa(s.cmd.Process.Pid)
	text, err := os.ReadFile("/proc/" + own + "/status")
	if err != nil {
		return 0, err
	}
	sum, err := vmRSS(string(text))
	others, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range others {
		text, gone := os.ReadFile(file)
		if gone != nil || !strings.Contains(string(text), "\nPPid:\t"+own+"\n") {
			continue
		}
		if child, none := vmRSS(string(text)); none == nil { // a zombie has none
			sum += child
		}
	}
	return sum, err
}

// vmRSS finds the resident set in the text of /proc/PID/status.
func vmRSS(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("no VmRSS in the process status")
}

// coreBusy is how long the server's cores were busy with anything, since the machine's start.
func (s *server) coreBusy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, core := range s.on {
		busy, err := busyTime(string(text), core)
		if err != nil {
			return 0, err
		}
		sum += busy
	}
	return sum, nil
}

// busyTime adds up what a core spent on programs and what the hypervisor gave to others, in the text of /proc/stat. Interrupts
// are left out: they carry the requests.
func busyTime(stat string, core int) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture that Go runs on
	name := "cpu" + strconv.Itoa(core)
	for line := range strings.Lines(stat) {
		figures := strings.Fields(line)
		if len(figures) < 9 || figures[0] != name {
			continue
		}
		var ticks int64
		for _, at := range []int{1, 2, 3, 8} { // user, nice, system, steal
			n, err := strconv.ParseInt(figures[at], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/stat: %w", err)
			}
			ticks += n
		}
		return time.Duration(ticks) * tick, nil
	}
	return 0, fmt.Errorf("/proc/stat has no %s", name)
}

// freePorts finds two; somebody else may take them in between, which then ends the run with a clear message of the server.
func freePorts(ctx context.Context) (string, string, error) {
	var listen net.ListenConfig
	first, err := listen.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer first.Close()
	second, err := listen.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer second.Close()
	return first.Addr().String(), second.Addr().String(), nil
}

// ask is one request outside any measurement.
func ask(ctx context.Context, method, url string, header http.Header, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, text, err
}
