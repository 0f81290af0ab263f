//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profile saves profiles of each scenario under load in a directory. It comes after everything that is measured, which it would
// disturb.
func (w *world) profile(ctx context.Context, chosen []scenario, p pace, dir string, say func(string, ...any)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	for _, s := range chosen {
		if s.as != "" {
			continue
		}
		say("profiles: %s", s.name)
		t := &target{scenario: s, load: s.load(w), rate: firstRate}
		path := filepath.Join(dir, s.name)
		err := t.ready(ctx, p.open)
		if err == nil {
			err = w.with(ctx, t, func(ctx context.Context) error { return t.profileCPU(ctx, p, path+".cpu.pprof") })
		}
		if err == nil {
			err = t.ready(ctx, p.open)
		}
		if err == nil {
			err = w.with(ctx, t, func(ctx context.Context) error { return t.profileHeap(ctx, p, path) })
		}
		if err != nil {
			return fmt.Errorf("profile %s: %w", s.name, err)
		}
	}
	return nil
}

// profileCPU loads the server for as long as it is being profiled.
func (t *target) profileCPU(ctx context.Context, p pace, file string) error {
	loading, stop := context.WithCancel(ctx)
	var failed error
	var work sync.WaitGroup
	work.Go(func() { failed = until(loading, &t.load, t.at(p.connections)) })
	err := t.load.server.saveProfile(ctx, fmt.Sprintf("cpu?seconds=%d", p.profileSeconds()), file)
	stop()
	work.Wait()
	if err != nil {
		return err
	}
	return failed
}

// profileHeap saves the heap before and after some load; what was allocated in between is the difference. The server collects
// before each, because only what was collected is counted.
func (t *target) profileHeap(ctx context.Context, p pace, path string) error {
	if err := t.load.server.saveProfile(ctx, "heap?gc=1", path+".heap.base.pprof"); err != nil {
		return err
	}
	if _, err := closed(ctx, &t.load, t.at(p.connections), time.Duration(p.profileSeconds())*time.Second); err != nil {
		return err
	}
	return t.load.server.saveProfile(ctx, "heap?gc=1", path+".heap.pprof")
}

func (p pace) profileSeconds() int { return max(1, int(p.open/time.Second)) }

func (s *server) saveProfile(ctx context.Context, query, file string) error {
	status, body, err := ask(ctx, http.MethodGet, "http://"+s.public+"/bench/profile/"+query, nil, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("got %d %.200s", status, body)
	}
	return os.WriteFile(file, body, 0o644)
}
