package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

// replayFlags are what writ policy replay is told.
type replayFlags struct {
	logs                       []string
	server                     bool
	against, againstCore       string
	base, baseCore             string
	issuer, revision, htmlFile string
	samples, mostAllowed       int
}

// shippedBase names the shipped set as what a candidate is compared with.
const shippedBase = "shipped"

func (c *cli) policyReplayCommand() *cobra.Command {
	given := &replayFlags{}
	var server func() (*remote, error)
	var begin func() *progress
	var print printer
	cmd := c.command(cobra.Command{
		Use: "replay", Short: "See what a policy set would have made of recorded decisions",
		Long: `Put recorded questions to a candidate set and tell how its answers differ: what was denied and would be allowed first, then what was
allowed and would be denied, errors, other obligations and other reasons. Without --base the answers are compared with those that were
recorded; with it, both sets are asked. The candidate is the shipped set with the directories of --against and --against-core.

Questions come from files that decision logs were written to (--log, - is standard input), or from what a running server remembers of late
(--server; needs decisions:read). A line is replayed exactly: its input is all that a rule sees, the time included. A line is not replayable
where the rules read what is masked in it, where it holds no input, or where another version of Writ wrote it; such lines are counted by
cause. A decision depends on the audiences of the server that took it: name its --issuer, which --server asks for itself.

With --max-newly-allowed the exit code is 1 where more would be allowed that was not, or where the candidate has an error.`,
		Example: `  writ policy replay --log decisions.jsonl --against ./my-policies --html impact.html
  writ policy replay --server --against ./my-policies --max-newly-allowed 0
  writ policy replay --log decisions.jsonl --base ./active --against ./candidate --output json`,
	}, func(cmd *cobra.Command, _ []string) error {
		if given.server == (len(given.logs) > 0) {
			return usage("name either the logs to read (--log) or --server")
		}
		if given.samples < 1 || given.samples > 1000 {
			return usage("--samples is from 1 to 1000")
		}
		var from *remote
		if given.server {
			var err error
			if from, err = server(); err != nil {
				return err
			}
		}
		report, err := c.replay(cmd.Context(), given, from, begin())
		if err != nil {
			return uncompiled(err)
		}
		if given.htmlFile != "" {
			page, err := replayPage(report)
			if err != nil {
				return err
			}
			if err := os.WriteFile(given.htmlFile, page, 0o600); err != nil {
				return fmt.Errorf("--html: %w", plain(err))
			}
		}
		if err := print(report, func(w io.Writer) { replayTable(w, report) }); err != nil {
			return err
		}
		return given.judge(report)
	})
	flags := cmd.Flags()
	flags.StringArrayVar(&given.logs, "log", nil, "decision log to read; - is standard input; may be given more than once")
	flags.BoolVar(&given.server, "server", false, "read what a running server remembers (see --admin-url)")
	flags.StringVar(&given.against, "against", "", "directory of the candidate; absent: the shipped set alone")
	flags.StringVar(&given.againstCore, "against-core", "", "directory that replaces the core rules of the candidate")
	flags.StringVar(&given.base, "base", "", "directory of the set to compare with, or shipped; absent: the recorded answers")
	flags.StringVar(&given.baseCore, "base-core", "", "directory that replaces the core rules of the set to compare with")
	flags.StringVar(&given.issuer, "issuer", "", "issuer of the server that took the decisions; absent: any audience that is named as Writ names its own")
	flags.StringVar(&given.revision, "revision", "", "replay only what this policy revision decided")
	flags.StringVar(&given.htmlFile, "html", "", "write a page with charts to this file")
	flags.IntVar(&given.samples, "samples", 10, "examples of each difference")
	flags.IntVar(&given.mostAllowed, "max-newly-allowed", -1, "fail where more is allowed that was not; -1: never fail")
	server, begin, print = c.adminFlags(cmd), c.progressFlag(cmd), c.outputFlag(cmd)
	return cmd
}

// judge fails where the report passes the bounds that were set.
func (f *replayFlags) judge(report policies.ReplayReport) error {
	switch {
	case f.mostAllowed < 0:
		return nil
	case report.Errors > 0:
		return fmt.Errorf("the candidate has no answer to %d questions", report.Errors)
	case report.NewlyAllowed > f.mostAllowed:
		return fmt.Errorf("%d decisions would be allowed that were not; --max-newly-allowed is %d", report.NewlyAllowed, f.mostAllowed)
	}
	return nil
}

func (c *cli) replay(ctx context.Context, given *replayFlags, from *remote, p *progress) (policies.ReplayReport, error) {
	audiences, err := given.audiences(ctx, from)
	if err != nil {
		return policies.ReplayReport{}, err
	}
	config := policies.ReplayConfig{Now: c.now, Revision: given.revision, Samples: given.samples, Progress: p.add}
	if config.Candidate, err = policies.OpenReplaySet(ctx, policies.Source{Dir: given.against, CoreDir: given.againstCore}, audiences); err != nil {
		return policies.ReplayReport{}, fmt.Errorf("candidate: %w", err)
	}
	if given.base != "" || given.baseCore != "" {
		source := policies.Source{Dir: given.base, CoreDir: given.baseCore}
		if source.Dir == shippedBase {
			source.Dir = ""
		}
		if config.Base, err = policies.OpenReplaySet(ctx, source, audiences); err != nil {
			return policies.ReplayReport{}, fmt.Errorf("base: %w", err)
		}
	}
	next, total, closeAll, err := c.recorded(ctx, given, from, p)
	if err != nil {
		return policies.ReplayReport{}, err
	}
	defer closeAll()
	p.begin("replay", total)
	defer p.end()
	return policies.Replay(ctx, config, next)
}

// audiences are those of the server that took the decisions; nil where nobody says which.
func (f *replayFlags) audiences(ctx context.Context, from *remote) (map[string][]string, error) {
	issuer := strings.TrimRight(f.issuer, "/")
	if issuer == "" && from != nil {
		var metadata struct {
			Issuer string `json:"issuer"`
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.url+"/.well-known/oauth-authorization-server", http.NoBody)
		if err != nil {
			return nil, usage("--url: %s", err)
		}
		if err := from.do(request, &metadata); err != nil {
			return nil, fmt.Errorf("ask for the issuer: %w", err)
		}
		issuer = metadata.Issuer
	}
	if issuer == "" {
		return nil, nil
	}
	return map[string][]string{
		policies.PlaneRuntime: {issuer + "/" + policies.PlaneRuntime}, policies.PlaneManagement: {issuer + "/" + policies.PlaneManagement},
	}, nil
}

// recorded opens what is replayed; total is how many lines there are, or 0 where that is not known.
func (c *cli) recorded(
	ctx context.Context, given *replayFlags, from *remote, p *progress,
) (next func() (policies.Record, error), total int, closeAll func(), err error) {
	if given.server {
		lines, err := remembered(ctx, from, p)
		at := -1
		return func() (policies.Record, error) {
			if at++; at == len(lines) {
				return policies.Record{}, io.EOF
			}
			return policies.ReadRecord(lines[at])
		}, len(lines), func() {}, err
	}
	var readers []*policies.LogReader
	var files []*os.File
	closeAll = func() {
		for _, file := range files {
			_ = file.Close() // nothing was written
		}
	}
	known := true
	for _, name := range given.logs {
		if name == "-" {
			readers, known = append(readers, policies.NewLogReader(c.stdin)), false
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			closeAll()
			return nil, 0, nil, usage("--log: %s", err)
		}
		files = append(files, file)
		n, err := countLines(file)
		if err != nil { // such as a pipe, which cannot be read twice, or a folder
			known = false
		}
		total += n
		readers = append(readers, policies.NewLogReader(file))
	}
	if !known {
		total = 0
	}
	return func() (policies.Record, error) {
		for len(readers) > 0 {
			rec, err := readers[0].Next()
			if !errors.Is(err, io.EOF) {
				return rec, err
			}
			readers = readers[1:]
		}
		return policies.Record{}, io.EOF
	}, total, closeAll, nil
}

// countLines reads a file through once and goes back to its beginning.
func countLines(file *os.File) (int, error) {
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, errors.New("no regular file")
	}
	lines, block := 0, make([]byte, 1<<20)
	for {
		n, err := file.Read(block)
		lines += bytes.Count(block[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			_, err = file.Seek(0, io.SeekStart)
			return lines, err
		}
		if err != nil {
			return 0, err
		}
	}
}

// remembered fetches what a server remembers, in the order in which it was decided.
func remembered(ctx context.Context, from *remote, p *progress) ([][]byte, error) {
	var lines [][]byte
	p.begin("fetch", 0)
	defer p.end()
	err := from.each(ctx, "/v1/decisions", url.Values{}, func(item json.RawMessage) error {
		lines = append(lines, item)
		p.add(1)
		return nil
	})
	slices.Reverse(lines)
	return lines, err
}

// replayTable shows a report to people. What somebody must look at stands first.
func replayTable(w io.Writer, report policies.ReplayReport) {
	fmt.Fprintf(w, "denied, would be allowed\t%d\n", report.NewlyAllowed)
	fmt.Fprintf(w, "allowed, would be denied\t%d\n", report.NewlyDenied)
	fmt.Fprintf(w, "errors of the candidate\t%d\n", report.Errors)
	fmt.Fprintf(w, "other obligations\t%d\n", report.Obligations)
	fmt.Fprintf(w, "other reasons\t%d\n", report.Reasons)
	fmt.Fprintf(w, "no answer, would be denied\t%d\n", report.Decided)
	fmt.Fprintf(w, "the same\t%d\n", report.Same)
	fmt.Fprintf(w, "not replayable\t%d\n", report.Unreplayable)
	fmt.Fprintf(w, "lines\t%d, of which %d are broken\n", report.Lines, report.Broken)
	if report.Decisions > 0 {
		fmt.Fprintf(w, "decided\tfrom %s to %s\n", report.Since.UTC().Format("2006-01-02 15:04:05"), report.Until.UTC().Format("2006-01-02 15:04:05"))
	}
	replaySide(w, "candidate", report.Candidate)
	replaySide(w, "compared with", report.Base)
	for _, cause := range report.Causes {
		fmt.Fprintf(w, "cause\t%d: %s (line %s)\n", cause.Count, cause.Cause, numbers(cause.Lines))
	}
	changed := slices.DeleteFunc(slices.Clone(report.Groups), func(g policies.ReplayGroup) bool { return g.Changed() == 0 })
	if len(changed) > 0 {
		fmt.Fprint(w, "\nBY\tNAME\tDENY→ALLOW\tALLOW→DENY\tERROR\tOBLIGATIONS\tREASONS\tOF\n")
		for _, g := range changed {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", g.By, flat(g.Name), g.NewlyAllowed, g.NewlyDenied, g.Errors, g.Obligations, g.Reasons, g.Decisions)
		}
	}
	if len(report.Samples) > 0 {
		fmt.Fprint(w, "\nOUTCOME\tLINE\tDECISION\tSUBJECT\tACTION\tRESOURCE\tBEFORE\tCANDIDATE\n")
		for _, s := range report.Samples {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Outcome, s.Line, flat(s.DecisionID), flat(s.Subject), flat(s.Action), flat(s.Resource), said(s.Old), said(s.New))
		}
	}
}

func replaySide(w io.Writer, name string, side policies.ReplaySide) {
	text := side.Name
	if side.PolicyRevision != "" {
		text += fmt.Sprintf(", policy %.12s, data %.12s", side.PolicyRevision, side.DataRevision)
	}
	if l := side.Latency; l != nil {
		text += fmt.Sprintf(", p50 %.1f µs, p99 %.1f µs", l.P50, l.P99)
	}
	fmt.Fprintf(w, "%s\t%s\n", name, text)
}

// said puts an answer into one cell.
func said(v policies.Verdict) string {
	text := "deny"
	switch {
	case v.Error != "":
		return "error: " + flat(v.Error)
	case v.Allow:
		text = "allow"
	}
	codes := make([]string, len(v.Reasons))
	for i, reason := range v.Reasons {
		codes[i] = flat(reason.Code)
	}
	if len(codes) > 0 {
		text += " " + strings.Join(codes, ", ")
	}
	return text
}

func numbers(list []int) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ", ")
}

// flat keeps a text that came from a log within its cell.
func flat(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, text)
}
