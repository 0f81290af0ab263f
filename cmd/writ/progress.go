package main

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// eventEvery is how often progress is told where no terminal shows it.
const eventEvery = time.Second

// progress tells people or programs how far a long command is: a bar on a terminal, JSON lines otherwise, on standard error.
type progress struct {
	w           io.Writer
	now         func() time.Time
	bar         *progressbar.ProgressBar
	silent      bool
	phase       string
	done, total int
	began, told time.Time
}

// progressEvent is one line of progress. Remaining is in seconds; both figures are of the present phase.
type progressEvent struct {
	Event     string  `json:"event"`
	Phase     string  `json:"phase"`
	Done      int     `json:"done"`
	Total     int     `json:"total,omitempty"`
	Rate      float64 `json:"rate"`
	Remaining float64 `json:"remaining_seconds,omitempty"`
}

// progressFlag adds --no-progress and returns what begins a progress.
func (c *cli) progressFlag(cmd *cobra.Command) func() *progress {
	silent := cmd.Flags().Bool("no-progress", false, "tell nothing of how far it is")
	return func() *progress { return &progress{w: c.stderr, now: c.now, silent: *silent} }
}

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// begin starts a phase; a total of 0 is one that is not known.
func (p *progress) begin(phase string, total int) {
	if p.silent {
		return
	}
	p.end()
	p.phase, p.done, p.total, p.began = phase, 0, total, p.now()
	p.told = p.began
	if terminal(p.w) {
		most := total
		if most == 0 {
			most = -1
		}
		p.bar = progressbar.NewOptions(most, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(phase),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth())
	}
}

func (p *progress) add(n int) {
	if p.silent {
		return
	}
	p.done += n
	if p.bar != nil {
		_ = p.bar.Add(n) // a terminal that has gone is nobody to tell
	} else if p.now().Sub(p.told) >= eventEvery {
		p.tell("progress")
	}
}

func (p *progress) tell(event string) {
	p.told = p.now()
	line := progressEvent{Event: event, Phase: p.phase, Done: p.done, Total: p.total}
	if took := p.told.Sub(p.began).Seconds(); took > 0 {
		line.Rate = float64(int64(float64(p.done) / took))
		if line.Rate > 0 && p.total > p.done {
			line.Remaining = float64(int64(float64(p.total-p.done) / line.Rate))
		}
	}
	_ = json.NewEncoder(p.w).Encode(line) // as above
}

// end finishes the phase.
func (p *progress) end() {
	switch {
	case p.silent || p.phase == "":
		return
	case p.bar != nil:
		_ = p.bar.Exit()
		_, _ = io.WriteString(p.w, "\n")
		p.bar = nil
	default:
		p.tell("done")
	}
	p.phase = ""
}
