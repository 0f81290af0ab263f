package policies

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// debounce joins the events of one save, or of one checkout.
const debounce = 50 * time.Millisecond

// Watch reloads the directories when they change, until ctx ends. It is told by the file system where that can tell, and
// looks itself every Config.Poll in any case. Without directories it returns at once.
func (p *PDP) Watch(ctx context.Context) {
	w := watcher{dirs: p.config.dirs(), poll: p.config.Poll, warn: func(what string, args ...any) {
		p.logger.WarnContext(ctx, what, args...)
	}}
	w.follow(ctx, func() { p.Reload(ctx) })
}

// watcher looks after directories.
type watcher struct {
	dirs []string
	poll time.Duration
	warn func(what string, args ...any)
}

// follow calls changed at once and after every change, until ctx ends; without directories not at all.
func (w *watcher) follow(ctx context.Context, changed func()) {
	if len(w.dirs) == 0 {
		return
	}
	events, errs := (<-chan fsnotify.Event)(nil), (<-chan error)(nil)
	told, err := fsnotify.NewWatcher()
	if err != nil {
		w.warn("policy directories are polled", "every", w.poll.String(), "error", err.Error())
	} else {
		defer func() { _ = told.Close() }() // nothing was written
		events, errs = told.Events, told.Errors
		w.listen(told)
	}
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	settled := time.NewTimer(0) // a change between Open and Watch is seen too
	defer settled.Stop()
	seen := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			settled.Reset(debounce)
		case err := <-errs:
			w.warn("watching policy directories", "error", err.Error())
		case <-poll.C:
			if now := fingerprint(w.dirs); now != seen {
				seen = now
				settled.Reset(debounce)
			}
		case <-settled.C:
			seen = fingerprint(w.dirs)
			changed()
			if told != nil {
				w.listen(told) // folders may be new, or another generation
			}
			if fingerprint(w.dirs) != seen { // it changed before it was followed
				settled.Reset(debounce)
			}
		}
	}
}

func (c *Config) dirs() []string {
	var dirs []string
	for _, d := range []string{c.Dir, c.CoreDir} {
		if d != "" {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// listen listens to all folders. Adding one twice does nothing.
func (w *watcher) listen(told *fsnotify.Watcher) {
	walk(w.dirs, func(path string, info fs.FileInfo) {
		if info.IsDir() {
			if err := told.Add(path); err != nil {
				w.warn("watching policy directory", "path", path, "error", err.Error())
			}
		}
	})
}

// fingerprint is cheap and changes when a file is written, added, removed or replaced.
func fingerprint(dirs []string) string {
	var b strings.Builder
	walk(dirs, func(path string, info fs.FileInfo) {
		b.WriteString(path)
		b.WriteString(info.ModTime().UTC().Format(time.RFC3339Nano))
		b.WriteString(info.Mode().String())
		if !info.IsDir() {
			b.WriteString(number(info.Size()).String())
		}
		b.WriteByte('\n')
	})
	return b.String()
}

// walk visits folders and files as readTree does: it follows links and leaves out names that begin with a dot. What cannot
// be read is left out; loading says so.
func walk(dirs []string, visit func(path string, info fs.FileInfo)) {
	var step func(path string, depth int)
	step = func(path string, depth int) {
		info, err := os.Stat(path)
		if err != nil {
			return
		}
		visit(path, info)
		if !info.IsDir() || depth == maxDepth {
			return
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") {
				step(filepath.Join(path, entry.Name()), depth+1)
			}
		}
	}
	for _, dir := range dirs {
		step(dir, 0)
	}
}

// Reload makes a candidate of what the directories hold now and swaps it in, or keeps the set that serves and says why in
// Status. It reports whether what is on disk serves.
func (p *PDP) Reload(ctx context.Context) bool {
	p.reload.Lock()
	defer p.reload.Unlock()
	return p.swap(ctx)
}

// swap is Reload for who holds p.reload.
func (p *PDP) swap(ctx context.Context) bool {
	base := p.active.Load()
	candidate, err := p.candidate(ctx, base, p.managed, p.managed.tests())
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		p.keep(ctx, base, err)
		return false
	}
	p.degraded.Store(nil)
	if candidate == base {
		return true
	}
	candidate.loadedAt = p.config.Now()
	p.active.Store(candidate)
	p.reloads.Add(1)
	p.logger.InfoContext(ctx, "policies reloaded", "policy_revision", candidate.set.revision,
		"data_revision", candidate.set.dataRev)
	return true
}

// keep notes that a candidate was refused, once for each reason.
func (p *PDP) keep(ctx context.Context, base *snapshot, err error) {
	why := "policy candidate refused: " + err.Error()
	if old := p.degraded.Swap(&why); old != nil && *old == why {
		return
	}
	p.failures.Add(1)
	p.logger.ErrorContext(ctx, "policy candidate refused, the last good set serves on", "error", err.Error(),
		"policy_revision", base.set.revision, "data_revision", base.set.dataRev)
}
