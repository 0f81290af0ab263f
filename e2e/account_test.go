package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// leaks looks for every secret known to the tests in every byte that the server wrote.
func (s *Server) leaks() []error { return leaksIn(s.Dir) }

// leaksIn looks for every known secret in the files below a directory. Only the file kek may hold one: the key encryption key that
// the server was given.
func leaksIn(dir string) []error {
	var problems []error
	find := newFinder(knownCanaries())
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == filepath.Join(dir, "kek") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for secret, i := range find.in(b) {
			name, _ := filepath.Rel(dir, path)
			problems = append(problems, fmt.Errorf("secret %.12q… found in clear in %s near %q", secret, name,
				b[max(0, i-80):min(len(b), i+12)]))
		}
		return nil
	})
	if err != nil {
		problems = append(problems, err)
	}
	return problems
}

// logLine is what the tests read of a line of the decision log.
type logLine struct {
	DecisionID string          `json:"decision_id"`
	ParentID   string          `json:"parent_id"`
	RequestID  string          `json:"request_id"`
	Entrypoint string          `json:"entrypoint"`
	Route      string          `json:"route"`
	Allow      *bool           `json:"allow"`
	Input      json.RawMessage `json:"input"`
	Error      any             `json:"error"`
	Reasons    []struct {
		Code string `json:"code"`
	} `json:"reasons"`
}

// decisionLog reads the log. Each kill may have torn the line that was being written, and no other.
func (s *Server) decisionLog() ([]logLine, error) {
	var lines []logLine
	torn := s.Log.killed()
	for n, text := range strings.Split(s.text(s.decisions()), "\n") {
		if text == "" {
			continue
		}
		var line logLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			if torn--; torn >= 0 && strings.Count(text, `{"decision_id`) <= 1 {
				continue
			}
			return nil, fmt.Errorf("decision log, line %d: %w: %.200s", n+1, err, text)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// account holds the decision log against the Decision-Id headers of all replies: one line each, and no line without a reply.
func (s *Server) account() []error {
	lines, err := s.decisionLog()
	if err != nil {
		return []error{err}
	}
	count := map[string]int{}
	for _, line := range lines {
		count[line.DecisionID]++
	}
	replies := s.Log.decisions()
	var problems []error
	report := func(format string, args ...any) {
		if len(problems) < 8 {
			problems = append(problems, fmt.Errorf("decision log: "+format, args...))
		}
	}
	for id, request := range replies {
		if count[id] != 1 && !(s.Log.lost[id] && count[id] == 0) {
			report("%d lines for Decision-Id %s of %s, want exactly one", count[id], id, request)
		}
	}
	for _, line := range lines {
		if s.guests {
			break
		}
		_, known := replies[line.DecisionID]
		_, parent := replies[line.ParentID]
		switch {
		case line.ParentID == "" && !known:
			report("line %s (%s) belongs to no reply", line.DecisionID, line.Route)
		case line.ParentID != "" && !parent:
			report("line %s (%s) names parent %s, which no reply carried", line.DecisionID, line.Route, line.ParentID)
		}
	}
	return problems
}

// recorder remembers the Decision-Id of each reply. A server that continues another shares it.
type recorder struct {
	mu    sync.Mutex
	ids   map[string]string
	lost  map[string]bool // lines that a killed server may not have written
	dying bool
	kills int
}

// forgive says that the server is about to be killed: what waits in the log's queue is lost, unless the log is required. That holds
// for the replies that still come until it is dead, too.
func (r *recorder) forgive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kills++
	r.dying, r.lost = true, map[string]bool{}
	for id := range r.ids {
		r.lost[id] = true
	}
}

func (r *recorder) killed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kills
}

// continued says that another server goes on with the killed one's data, and is held to account for all that it replies.
func (r *recorder) continued() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dying = false
}

func (r *recorder) note(id, request string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]string{}
	}
	if before, ok := r.ids[id]; ok {
		return fmt.Errorf("Decision-Id %s was given to %s and to %s", id, before, request)
	}
	r.ids[id] = request
	if r.dying {
		r.lost[id] = true
	}
	return nil
}

func (r *recorder) decisions() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]string, len(r.ids))
	for k, v := range r.ids {
		out[k] = v
	}
	return out
}
