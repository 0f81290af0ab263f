package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"

	"github.com/writ-authz/writ/policies"
)

//go:embed pages/replay.html
var replayHTML string

// Geometry of the charts, in the units of their view boxes.
const (
	barWidth    = 640 // of the longest bar
	rowHeight   = 24
	chartHeight = 180
	columnWidth = 26
	// maxBars are the groups of a kind that have a bar; a table has all of them.
	maxBars = 12
)

// replayView is a report as the page draws it.
type replayView struct {
	policies.ReplayReport
	Version  string
	Outcomes []replayBar
	Kinds    []replayKind
	Latency  *replayHistogram
}

// replayBar is a bar of parts side by side.
type replayBar struct {
	Name  string
	Count int
	Y     int
	Parts []replayPart
}

type replayPart struct {
	Class  string
	X, W   float64
	Detail string
}

// replayKind is the chart of one kind of groups, and their table.
type replayKind struct {
	Name   string
	Bars   []replayBar
	Height int
	Groups []policies.ReplayGroup
}

// replayHistogram has a pair of columns for each bucket.
type replayHistogram struct {
	Columns []replayColumn
	Width   int
}

type replayColumn struct {
	Class, Label, Detail string
	X, Y, H              float64
}

func replayPage(report policies.ReplayReport) ([]byte, error) {
	page, err := template.New("replay").Parse(replayHTML)
	if err != nil {
		return nil, fmt.Errorf("replay page: %w", err)
	}
	view := replayView{ReplayReport: report, Version: readBuild().Version, Latency: histogram(report)}
	for i, outcome := range policies.Outcomes() {
		n := report.Of(outcome)
		view.Outcomes = append(view.Outcomes, replayBar{
			Name: string(outcome), Count: n, Y: i * rowHeight,
			Parts: []replayPart{{Class: string(outcome), W: share(n, report.Decisions), Detail: fmt.Sprint(n)}},
		})
	}
	for _, kind := range []string{"entrypoint", "action", "role", "rule", "subject_type"} {
		if k := kindOf(kind, report.Groups); len(k.Groups) > 0 {
			view.Kinds = append(view.Kinds, k)
		}
	}
	var b bytes.Buffer
	if err := page.Execute(&b, view); err != nil {
		return nil, fmt.Errorf("replay page: %w", err)
	}
	return b.Bytes(), nil
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return barWidth * float64(n) / float64(of)
}

// kindOf draws the groups of a kind in which something would change.
func kindOf(kind string, groups []policies.ReplayGroup) replayKind {
	k := replayKind{Name: kind}
	for _, g := range groups {
		if g.By == kind && g.Changed() > 0 {
			k.Groups = append(k.Groups, g)
		}
	}
	drawn := k.Groups[:min(len(k.Groups), maxBars)]
	most := 0
	for _, g := range drawn {
		most = max(most, g.Changed())
	}
	for i, g := range drawn {
		bar := replayBar{Name: g.Name, Count: g.Changed(), Y: i * rowHeight}
		at := 0.0
		for _, outcome := range policies.Outcomes() {
			n := g.Of(outcome)
			if n == 0 || outcome == policies.OutcomeSame || outcome == policies.OutcomeUnreplayable {
				continue
			}
			w := share(n, most)
			bar.Parts = append(bar.Parts, replayPart{Class: string(outcome), X: at, W: w, Detail: fmt.Sprintf("%s: %d of %d", outcome, n, g.Decisions)})
			at += w
		}
		k.Bars = append(k.Bars, bar)
	}
	k.Height = len(drawn) * rowHeight
	return k
}

// histogram draws how long evaluations took, before beside after.
func histogram(report policies.ReplayReport) *replayHistogram {
	sides := []struct {
		class   string
		latency *policies.ReplayLatency
	}{{"base", report.Base.Latency}, {"candidate", report.Candidate.Latency}}
	var ends []float64
	most := 0
	for _, s := range sides {
		if s.latency == nil {
			continue
		}
		for _, b := range s.latency.Buckets {
			most = max(most, b.Count)
			if !slices.Contains(ends, b.UpTo) {
				ends = append(ends, b.UpTo)
			}
		}
	}
	if most == 0 {
		return nil
	}
	slices.Sort(ends)
	h := &replayHistogram{Width: len(ends) * 2 * columnWidth}
	for i, s := range sides {
		if s.latency == nil {
			continue
		}
		for _, b := range s.latency.Buckets {
			height := chartHeight * float64(b.Count) / float64(most)
			column := replayColumn{
				Class: s.class, X: float64(slices.Index(ends, b.UpTo)*2*columnWidth + i*(columnWidth-4)), Y: chartHeight - height, H: height,
				Detail: fmt.Sprintf("%s: %d of at most %.0f µs", s.class, b.Count, b.UpTo),
			}
			if i == len(sides)-1 {
				column.Label = fmt.Sprintf("%.0f", b.UpTo)
			}
			h.Columns = append(h.Columns, column)
		}
	}
	return h
}
