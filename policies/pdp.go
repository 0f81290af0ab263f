package policies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/topdown"
)

// ErrUndecided says that a question has no answer: neither permit nor deny. It is an outage (503), never a denial.
var ErrUndecided = errors.New("no decision")

const (
	defaultDeadline = 200 * time.Millisecond
	defaultPoll     = 2 * time.Second
)

// Config says where policies come from and how they are evaluated.
type Config struct {
	// Dir adds applications, catalogue parts and settings to the shipped set. Empty: the shipped set alone.
	Dir string
	// CoreDir replaces the shipped core (writ/*). Empty: the shipped core.
	CoreDir string
	// Audiences are the exact names of this server's own audiences by plane (PlaneRuntime, PlaneManagement), for planes to which the
	// settings give none. Nil: any audience that ends in the plane's name fits.
	Audiences map[string][]string
	// Now is used for Status only; a rule's clock is Question.Now.
	Now func() time.Time
	// Deadline ends an evaluation that runs long. Zero: 200 ms.
	Deadline time.Duration
	// Poll is how often Watch looks at the directories, beside being told of changes. Zero: 2 s.
	Poll time.Duration
	// Keys are those with which managed bundles must be signed. Nil: they need not be.
	Keys Keys
	// Logger is told of reloads and of questions without an answer. Nil: nobody is.
	Logger *slog.Logger
}

// PDP answers questions with its active snapshot. It is safe for concurrent use.
type PDP struct {
	config Config
	logger *slog.Logger
	active atomic.Pointer[snapshot]
	terms  terms
	// evaluations are used again, see evaluation.
	evaluations sync.Pool

	// reload is held while a candidate that may serve is made; decisions never wait for it. managed is what is wanted beside the
	// node's own directories.
	reload  sync.Mutex
	managed Managed
	// gate is taken by who tries a candidate that may never serve; staged is the last one that passed.
	gate   chan struct{}
	staged atomic.Pointer[snapshot]
	// kept are the last sets that were prepared, or served before, the newest first: they may be asked for next. keeping is held to add one.
	kept    atomic.Pointer[[]*snapshot]
	keeping sync.Mutex
	// tested says that the shipped set is the one that was tested when this was built.
	tested bool
	shadow atomic.Pointer[shadow]

	degraded atomic.Pointer[string]

	reloads, failures, undecidedTotal, overdue atomic.Int64
}

// Status says what is loaded and whether a newer candidate was refused.
type Status struct {
	Revision     string
	DataRevision string
	LoadedAt     time.Time
	// Degraded says why the newest candidate was refused; empty while the newest one serves.
	Degraded string
	Reloads  int64 // candidates that were swapped in, the first set not counted
	Failures int64 // candidates that were refused
	// Undecided counts questions without an answer; Overdue those among them that hit the deadline.
	Undecided int64
	Overdue   int64
}

// Description is the loaded set, for people and for GET /v1/policies.
type Description struct {
	PolicyRevision string   `json:"policy_revision"`
	DataRevision   string   `json:"data_revision"`
	Source         string   `json:"source"` // "embedded", "directory", "core directory", "directory and core directory" or "managed"
	Entrypoints    []string `json:"entrypoints"`
	Modules        []Module `json:"modules"`
	Apps           []string `json:"apps"` // the applications that have rules
}

// Module is one file of rules of the loaded set.
type Module struct {
	Path    string `json:"path"`
	Package string `json:"package"`
	SHA256  string `json:"sha256"`
}

// Open loads, checks and compiles the set. Without a good set there is no PDP.
func Open(ctx context.Context, config Config) (*PDP, error) {
	if config.Now == nil {
		return nil, errors.New("policies: no clock given")
	}
	if config.Deadline <= 0 {
		config.Deadline = defaultDeadline
	}
	if config.Poll <= 0 {
		config.Poll = defaultPoll
	}
	p := &PDP{config: config, logger: config.Logger, gate: make(chan struct{}, 1)}
	var err error
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	if p.tested, err = proven(); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	if !p.tested {
		p.logger.WarnContext(ctx, "the shipped policies are not those that were tested when this was built")
	}
	candidate, err := p.candidate(ctx, nil, Managed{}, changedTests)
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	candidate.loadedAt = config.Now()
	p.active.Store(candidate)
	return p, nil
}

// Decide answers a question. The error, if any, wraps ErrUndecided; the decision beside it permits nothing and has what the
// log needs: id, revisions and, unless the question itself was bad, the input.
func (p *PDP) Decide(ctx context.Context, q *Question) (Decision, error) {
	s := p.active.Load()
	d := Decision{ID: q.ID, PolicyRevision: s.set.revision, DataRevision: s.set.dataRev, snapshot: s}
	if d.ID == "" {
		d.ID = NewDecisionID()
	}
	input, err := q.build(&p.terms, Dialect(ctx))
	if err != nil {
		return d, p.undecided(ctx, q.Entrypoint, err)
	}
	d.input, d.facts = input, [3]*Facts{q.Subject, q.Client, q.Resource.Before}
	switch q.Entrypoint {
	case EntryWhy, EntryDetail, EntryCandidates:
		return d, p.undecided(ctx, q.Entrypoint, fmt.Errorf("%s answers no question", q.Entrypoint))
	}
	result, err := p.evaluate(ctx, s, q.Entrypoint, input)
	if err == nil {
		err = d.decode(result, s.set.catalogue)
	}
	d.masks = p.masks(ctx, s, q.Entrypoint, &d, err == nil)
	if err != nil {
		return d, p.undecided(ctx, q.Entrypoint, err)
	}
	if beside := p.shadow.Load(); beside != nil {
		beside.offer(q.Entrypoint, d)
	}
	return d, nil
}

// unanswered is an error of the decision point. Whoever logs or shows it repeats nothing of the input; what it wraps might.
type unanswered struct {
	text  string
	cause error
}

func (u *unanswered) Error() string { return u.text }
func (u *unanswered) Unwrap() error { return u.cause }

// undecided counts and tells why a question has no answer. What it tells is about the rules, never about the input.
func (p *PDP) undecided(ctx context.Context, e Entrypoint, err error) error {
	p.undecidedTotal.Add(1)
	if topdown.IsCancel(err) {
		p.overdue.Add(1)
	}
	p.logger.ErrorContext(ctx, "no decision", "entrypoint", string(e), "error", told(err))
	whole := fmt.Errorf("%w: %w", ErrUndecided, err)
	return &unanswered{text: told(whole), cause: whole}
}

// Catalogue returns the catalogue of the active snapshot.
func (p *PDP) Catalogue() *Catalogue { return p.active.Load().set.catalogue }

// Describe describes the active snapshot.
func (p *PDP) Describe() Description {
	s := p.active.Load().set
	d := Description{
		PolicyRevision: s.revision, DataRevision: s.dataRev, Source: s.source, Modules: []Module{}, Apps: s.ruledApps(),
	}
	for _, e := range entrypoints() {
		d.Entrypoints = append(d.Entrypoints, string(e))
	}
	for _, m := range s.modules {
		if !m.test {
			d.Modules = append(d.Modules, Module{Path: m.path, Package: m.pkg(), SHA256: m.sha})
		}
	}
	return d
}

// Status reports on loading and answering.
func (p *PDP) Status() Status {
	s := p.active.Load()
	status := Status{
		Revision: s.set.revision, DataRevision: s.set.dataRev, LoadedAt: s.loadedAt, Reloads: p.reloads.Load(),
		Failures: p.failures.Load(), Undecided: p.undecidedTotal.Load(), Overdue: p.overdue.Load(),
	}
	if why := p.degraded.Load(); why != nil {
		status.Degraded = *why
	}
	return status
}
