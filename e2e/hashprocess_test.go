package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hashProcesses are the living processes that hash passwords for the server.
func (s *Server) hashProcesses(t *testing.T) []int {
	t.Helper()
	var found []int
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	parent := fmt.Sprintf("\nPPid:\t%d\n", s.run.(*process).cmd.Process.Pid)
	for _, file := range files {
		status, gone := os.ReadFile(file)
		if gone != nil || !bytes.Contains(status, []byte(parent)) || bytes.Contains(status, []byte("State:\tZ")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, pid)
	}
	return found
}

// Passwords are hashed in a process beside the node's, which is told nothing of its secrets, is replaced when it ends and never outlives
// the node.
func TestPasswordsAreHashedBeside(t *testing.T) {
	_, err := os.Stat("/proc/self/status")
	leftOut(t, suite.runner.Name() != "process" || err != nil, "it looks at processes of this machine, by /proc: E2E_RUNNER=process runs it")
	s := fresh(t, Options{})
	c := story(t, s).root()
	front, ada := c.front(), c.newUser(object{})
	// One that was ended gives way in that, too, and the node hashes itself what waits for long.
	process := func(but int) []int {
		var found []int
		c.eventually(bindsWithin, func() {
			c.login(front, ada)
			if found = s.hashProcesses(t); len(found) != 1 || found[0] == but {
				c.fail("processes are %v, want one that is not %d", found, but)
			}
		})
		c.done()
		return found
	}
	one := process(0)
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", one[0]))
	if err != nil || len(environment) > 0 {
		t.Errorf("its environment: %d bytes, %v", len(environment), err)
	}
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", one[0]))
	if err != nil || string(arguments) != "writ\x00hash-passwords\x00" {
		t.Errorf("its arguments: %q, %v", arguments, err)
	}

	c.step("every thread of it gives way, on whichever a goroutine runs")
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", one[0]))
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		// proc(5): what follows the name in brackets begins with field 3; 19 is the nice value and 41 the policy, of which 5 is SCHED_IDLE.
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); fields[41-3] != "5" && fields[19-3] != "19" {
			t.Errorf("%s has policy %s and nice value %s", thread, fields[41-3], fields[19-3])
		}
	}

	c.step("it is interrupted, as by a terminal, and goes on")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if err := syscall.Kill(one[0], signal); err != nil {
			t.Fatal(err)
		}
		c.login(front, ada)
	}
	if now := s.hashProcesses(t); len(now) != 1 || now[0] != one[0] {
		t.Errorf("processes %v were %v", now, one)
	}

	c.step("it ends, and another takes its place")
	if err := syscall.Kill(one[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	two := process(one[0])
	wrong := ada
	wrong.Password += "x"
	c.askLogin(front, wrong).wantOAuthError(400, "invalid_grant")

	c.step("the node ends at once, and it too")
	c.done()
	s.Kill()
	for deadline := time.Now().Add(bindsWithin); ; time.Sleep(pollEvery) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", two[0]))
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", two[0])
		}
	}
}
