//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// cores is who runs where. With one core alone, server and generator share it: CPU times hold, latencies and throughput do not.
type cores struct {
	all, server, load []int
}

// split gives the server the last core, which interrupts like least, and the generator all others.
func split(all []int) cores {
	if len(all) < 2 {
		return cores{all: all, server: all, load: all}
	}
	last := len(all) - 1
	return cores{all: all, server: all[last:], load: all[:last]}
}

func (c cores) String() string {
	if len(c.all) < 2 {
		return fmt.Sprintf("one core (%v), shared by server and generator: latency and throughput say nothing", c.all)
	}
	return fmt.Sprintf("server on core %v, generator on %v", c.server, c.load)
}

// allowed are the cores that this process may use.
func allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("which cores there are: %w", err)
	}
	var all []int
	for core := range len(set) * 64 {
		if set.IsSet(core) {
			all = append(all, core)
		}
	}
	return all, nil
}

func setOf(numbers []int) *unix.CPUSet {
	var set unix.CPUSet
	for _, n := range numbers {
		set.Set(n)
	}
	return &set
}

// pinSelf moves every thread of this process; later threads inherit it from the one that makes them.
func pinSelf(to []int) error {
	var moved []string
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("pin the generator: %w", err)
		}
		fresh := false
		for _, task := range tasks {
			if slices.Contains(moved, task.Name()) {
				continue
			}
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				return fmt.Errorf("pin the generator: %w", err)
			}
			if err := unix.SchedSetaffinity(id, setOf(to)); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin the generator: %w", err)
			}
			moved, fresh = append(moved, task.Name()), true
		}
		if !fresh {
			return nil
		}
	}
}

// startOn starts a command on some cores, from a goroutine that is bound to its thread for good. It inherits them from the thread that starts it, so that all of its threads have them
// and its runtime sizes itself for them, as it would under taskset.
func startOn(cmd *exec.Cmd, on, back []int) error {
	if err := unix.SchedSetaffinity(0, setOf(on)); err != nil {
		return fmt.Errorf("pin the server: %w", err)
	}
	started := cmd.Start()
	if err := unix.SchedSetaffinity(0, setOf(back)); err != nil {
		return fmt.Errorf("pin the generator: %w", err)
	}
	return started
}
