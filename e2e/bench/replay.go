//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// replayed has the server decide about many people and puts what it wrote to the shipped set, on the server's core. What it takes to compile
// the set is not a part of the figure: a run over few lines is taken off one over many.
func (b *bench) replayed(ctx context.Context, w *world, r *results) error {
	const asked, few = 5000, 50
	b.say("recording %d decisions for the replay", asked)
	header := http.Header{"Authorization": {w.asking}, "Content-Type": {"application/json"}}
	if err := w.emptyLogs(); err != nil {
		return err
	}
	short := filepath.Join(b.dir, "few.jsonl")
	for n := range asked {
		body, err := json.Marshal(object{
			"subject": object{"type": "user", "id": userID(n % w.users)}, "action": object{"name": "read"},
			"resource": object{"type": resourceOf(held(n%w.users, n%rolesPerUser), n), "id": "1"},
		})
		if err != nil {
			return err
		}
		status, reply, err := ask(ctx, http.MethodPost, "http://"+w.public+"/access/v1/evaluation", header, body)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("evaluation: %d %s: %w", status, reply, err)
		}
		if n == few {
			time.Sleep(100 * time.Millisecond) // lines are gathered for a moment
			if err := copyFile(filepath.Join(w.dir, "stdout"), short); err != nil {
				return err
			}
		}
	}
	time.Sleep(100 * time.Millisecond)
	begin, first, err := b.replay(ctx, short)
	if err != nil {
		return err
	}
	took, all, err := b.replay(ctx, filepath.Join(w.dir, "stdout"))
	if err != nil {
		return err
	}
	r.Singles["replay"] = float64((took - begin).Nanoseconds()) / 1e3 / float64(all-first)
	b.say("replayed %d decisions", all)
	return nil
}

// replay returns the CPU time that the shipped binary took, and of how many decisions. All of them must come out as they did.
func (b *bench) replay(ctx context.Context, log string) (time.Duration, int, error) {
	out, err := os.Create(filepath.Join(b.dir, "replay.json"))
	if err != nil {
		return 0, 0, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, b.shipped, "policy", "replay", "--log", log, "--no-progress", "--output", "json")
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := startOn(cmd, b.cores.server, b.cores.load); err != nil {
		return 0, 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("writ policy replay: %w", err)
	}
	var report struct {
		Decisions int `json:"decisions"`
		Same      int `json:"same"`
	}
	text, err := os.ReadFile(out.Name())
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err == nil && (report.Decisions == 0 || report.Same != report.Decisions) {
		err = fmt.Errorf("%d of %d decisions come out the same", report.Same, report.Decisions)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), report.Decisions, err
}
