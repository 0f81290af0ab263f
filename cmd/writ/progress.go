package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressEvery is how often long work tells how far it is where nobody watches a terminal.
const progressEvery = 2 * time.Second

// progress tells how far long work is: a bar on a terminal, else JSON events, one a line.
type progress struct {
	bar   *progressbar.ProgressBar // nil where w is no terminal
	out   *json.Encoder
	now   func() time.Time
	event progressEvent
	began time.Time
	told  time.Time
}

// progressEvent is one line of it.
type progressEvent struct {
	Event   string  `json:"event"` // "progress", and "done" for the last of a task
	Task    string  `json:"task"`
	Done    int     `json:"done"`
	Total   int     `json:"total"`
	Seconds float64 `json:"seconds"`
}

// newProgress begins a task of total steps that is told to w.
func (c *cli) newProgress(w io.Writer, task string, total int) *progress {
	p := &progress{
		out: json.NewEncoder(w), now: c.now, began: c.now(), event: progressEvent{Event: "progress", Task: task, Total: total},
	}
	p.told = p.began
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(task), progressbar.OptionShowCount(),
			progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(),
			progressbar.OptionOnCompletion(func() { fmt.Fprintln(w) }),
		)
	}
	return p
}

// add says that n more steps are done. What cannot be told is no reason to stop the work.
func (p *progress) add(n int) {
	p.event.Done += n
	if p.bar != nil {
		_ = p.bar.Add(n)
		return
	}
	if now := p.now(); now.Sub(p.told) >= progressEvery {
		p.told = now
		p.tell(now)
	}
}

// done ends the task.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
		return
	}
	p.event.Event = "done"
	p.tell(p.now())
}

func (p *progress) tell(now time.Time) {
	p.event.Seconds = float64(now.Sub(p.began).Milliseconds()) / 1000
	_ = p.out.Encode(p.event)
}
