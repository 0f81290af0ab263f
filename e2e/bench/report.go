//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// results are a whole run.
type results struct {
	Date         string             `json:"date"`
	Took         string             `json:"took"`
	Command      string             `json:"command"`
	Version      string             `json:"version"`
	Machine      string             `json:"machine"`
	Cores        string             `json:"cores"`
	GOMAXPROCS   int                `json:"server_gomaxprocs"`
	Generator    int                `json:"generator_gomaxprocs"`
	LoadBefore   string             `json:"load_average_before"`
	LoadAfter    string             `json:"load_average_after"`
	Store        string             `json:"store"`
	Users        int                `json:"users"`
	Connections  int                `json:"connections"`
	Measurements []measurement      `json:"measurements"`
	Singles      map[string]float64 `json:"singles"`
	Sizes        []sized            `json:"sizes,omitempty"`
	Rows         []verdict          `json:"rows"`
	// Absent says what was left out, and why.
	Absent []string `json:"left_out,omitempty"`
}

// verdict is a row with its figures.
type verdict struct {
	ID       string  `json:"id"`
	What     string  `json:"what"`
	Scenario string  `json:"scenario,omitempty"`
	Unit     string  `json:"unit"`
	Measured float64 `json:"measured"`
	Budget   float64 `json:"budget"`
	Rule     string  `json:"rule"`
	AtLeast  bool    `json:"at_least,omitempty"`
	Factor   float64 `json:"factor"` // measured by budget, or budget by measured where it is a least: up to 1 it holds
	Holds    bool    `json:"holds"`
}

func (r *results) find(name string) *measurement {
	for i := range r.Measurements {
		if r.Measurements[i].Name == name {
			return &r.Measurements[i]
		}
	}
	return nil
}

func (r *results) cpu(name string) (float64, bool) {
	m := r.find(name)
	if m == nil || m.CPUMicros <= 0 {
		return 0, false
	}
	return m.CPUMicros, true
}

// p99 is of the open loop, in milliseconds.
func (r *results) p99(name string) (float64, bool) {
	m := r.find(name)
	if m == nil || m.Open == nil {
		return 0, false
	}
	return m.Open.P99 / 1000, true
}

// judge holds what was measured against the rows. A row that this run did not measure is not in it.
func (r *results) judge(all []row) {
	for _, row := range all {
		measured, ok := row.measured(r)
		budget, known := row.budget(r)
		if !ok || !known {
			continue
		}
		factor := measured / budget
		if row.atLeast {
			factor = budget / measured
		}
		r.Rows = append(r.Rows, verdict{
			ID: row.id, What: row.what, Scenario: row.scenario, Unit: row.unit.name, Measured: measured, Budget: budget, Rule: row.rule,
			AtLeast: row.atLeast, Factor: factor, Holds: factor <= 1,
		})
	}
}

// number is a figure with so many decimals.
func number(v float64, decimals int) string { return strconv.FormatFloat(v, 'f', decimals, 64) }

// write prints the report. The tables are Markdown, for docs/benchmarks.md.
func (r *results) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: `%s`\n%s\nmachine: %s; %s\n", r.Date, r.Took, r.Command, r.Version, r.Machine, r.Cores)
	fmt.Fprintf(&b, "GOMAXPROCS: server %d, generator %d (it blocks in the kernel, a thread per connection); load average: %s before, %s after\n",
		r.GOMAXPROCS, r.Generator, r.LoadBefore, r.LoadAfter)
	fmt.Fprintf(&b, "store: %s; %d users, %d roles of %d grants, %d roles a user; %d connections in closed loops\n",
		r.Store, r.Users, roles, grants, rolesPerUser, r.Connections)
	fmt.Fprintf(&b, "CPU is user and system time of the server process (getrusage) per request or decision, over all rounds, with whole collections of garbage or the due part of one\n\n")
	var lines [][]string
	for _, v := range r.Rows {
		decimals, sign := 2, "≤ "
		if v.Unit == micros.name || v.Unit == perSecond.name {
			decimals = micros.decimals
		}
		if v.AtLeast {
			sign = "≥ "
		}
		line := []string{
			v.ID, v.What, number(v.Measured, decimals) + " " + v.Unit, sign + number(v.Budget, decimals) + " (" + v.Rule + ")",
			number(v.Factor, 2), map[bool]string{true: "holds", false: "MISSES"}[v.Holds], "", "", "", "",
		}
		if m := r.find(v.Scenario); m != nil {
			copy(line[6:], m.cells())
		}
		lines = append(lines, line)
	}
	table(&b, []string{"row", "what", "measured", "budget", "factor", "", "p50", "p99", "per second", "resident"}, lines)
	r.sizesTable(&b)
	lines = nil
	for _, m := range r.Measurements {
		late, others := "", ""
		if m.Open != nil {
			late, others = number(m.Open.Late/1000, 2)+" ms", number(100*m.Open.Others, 0)+" %"
		}
		closed := make([]string, 7)
		if len(m.Rounds) > 0 {
			closed = []string{
				number(m.CPUMicros, 1), spread(m.Rounds), number(m.Allocs, 0), number(m.Bytes/1024, 1), number(m.Cycles, 1),
				number(100*m.Busy, 0) + " %", number(100*m.Others, 0) + " %",
			}
		}
		lines = append(lines, slices.Concat([]string{m.Name, m.What}, closed, m.cells(), []string{late, others}))
	}
	if len(lines) > 0 {
		table(&b, []string{
			"load", "what", "µs CPU", "rounds", "allocations", "KiB allocated", "collections", "server busy", "others busy", "p50", "p99", "per second", "resident", "generator late, p99", "others busy then",
		}, lines)
	}
	if again := r.names(func(m *measurement) bool { return m.Open != nil && m.Open.Again }); len(again) > 0 {
		fmt.Fprintf(&b, "Open loops that were disturbed and run once more: %s.\n", strings.Join(again, ", "))
	}
	for _, m := range r.Measurements {
		if m.Wrong > 0 {
			fmt.Fprintf(&b, "WRONG replies: %d of %s, such as: %s\n", m.Wrong, m.Name, m.Why)
		}
	}
	if disturbed := r.disturbed(); len(disturbed) > 0 {
		fmt.Fprintf(&b, "DISTURBED: others computed on the server's core during the open loops of %s; their latencies say nothing of it.\n",
			strings.Join(disturbed, ", "))
	}
	for _, absent := range r.Absent {
		fmt.Fprintf(&b, "left out: %s\n", absent)
	}
	missed := r.missed()
	if len(missed) == 0 {
		fmt.Fprintf(&b, "All %d rows hold.\n", len(r.Rows))
	} else {
		fmt.Fprintf(&b, "%d of %d rows MISS: %s.\n", len(missed), len(r.Rows), strings.Join(missed, "; "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// disturbed are the loads in whose open loop others took more than a twentieth of the server's core.
func (r *results) disturbed() []string {
	return r.names(func(m *measurement) bool { return m.Open != nil && m.Open.Others > bearable })
}

// names are those of the loads of which something is so.
func (r *results) names(so func(*measurement) bool) []string {
	var names []string
	for i := range r.Measurements {
		if so(&r.Measurements[i]) {
			names = append(names, r.Measurements[i].Name)
		}
	}
	return names
}

// wrong is an error if any reply was not the wanted one.
func (r *results) wrong() error {
	for _, m := range r.Measurements {
		if m.Wrong > 0 {
			return errors.New("there were wrong replies; see the report")
		}
	}
	return nil
}

func (r *results) missed() []string {
	var missed []string
	for _, v := range r.Rows {
		if !v.Holds {
			missed = append(missed, v.ID+" "+v.What+" (× "+number(v.Factor, 2)+" of its budget)")
		}
	}
	return missed
}

// cells are p50 and p99 of the open loop, throughput of the closed one, and memory.
func (m *measurement) cells() []string {
	cells := make([]string, 4)
	if len(m.Rounds) > 0 {
		cells[2], cells[3] = number(m.PerSecond, 0), number(float64(m.Resident)/(1<<20), 0)+" MiB"
	}
	if m.Open != nil {
		cells[0], cells[1] = number(m.Open.P50/1000, 2)+" ms", number(m.Open.P99/1000, 2)+" ms"
	}
	return cells
}

func spread(rounds []float64) string {
	var all []string
	for _, r := range rounds {
		all = append(all, number(r, 1))
	}
	return strings.Join(all, " ")
}

func table(b *strings.Builder, head []string, lines [][]string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, line := range lines {
		fmt.Fprintf(b, "| %s |\n", strings.Join(line, " | "))
	}
	b.WriteString("\n")
}

// page writes the report as it stands in docs/benchmarks.md: what it begins with as it is, and then the tables.
func (r *results) page(file string) error {
	var b strings.Builder
	if err := r.write(&b); err != nil {
		return err
	}
	head, tables, _ := strings.Cut(b.String(), "\n\n")
	return os.WriteFile(file, []byte("```\n"+head+"\n```\n\n"+tables), 0o644)
}

// save writes the same as JSON.
func (r *results) save(file string) error {
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(body, '\n'), 0o644)
}

// machine describes where this ran.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %s %s/%s", model, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// loadAverage is of the last minute: what else the machine does is in the figures.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func today(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }
