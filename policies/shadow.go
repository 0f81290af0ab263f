package policies

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// What bounds a shadow: questions that wait, and differences that are kept to be looked at.
const (
	shadowQueue   = 256
	shadowSamples = 50
)

// Impact counts what a candidate answers otherwise than the set that was asked.
type Impact struct {
	Decisions    int64 `json:"decisions"`
	NewlyAllowed int64 `json:"newly_allowed"`
	NewlyDenied  int64 `json:"newly_denied"`
	// Changed are permits of both with other reasons or obligations.
	Changed int64 `json:"changed"`
	Errors  int64 `json:"errors"`
	// Unreplayable are decisions that the candidate could not be asked about.
	Unreplayable int64          `json:"unreplayable"`
	Samples      []ImpactSample `json:"samples"`
}

// ImpactSample is one decision that the candidate would take otherwise.
type ImpactSample struct {
	Kind         string `json:"kind"` // "newly_allowed", "newly_denied", "changed" or "error"
	DecisionID   string `json:"decision_id"`
	Entrypoint   string `json:"entrypoint"`
	Action       string `json:"action"`
	ResourceType string `json:"resource_type"`
	// Before and After are the codes of the reasons, where there are any.
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
}

// ShadowReport is what a shadow saw so far on this node.
type ShadowReport struct {
	Revision string    `json:"revision"`
	Share    float64   `json:"share"`
	Since    time.Time `json:"since"`
	Impact
	// Dropped are questions of the share that were not asked, because others waited.
	Dropped int64 `json:"dropped"`
}

// shadow asks a candidate a share of the questions that are decided, beside their decisions.
type shadow struct {
	revision  string
	share     float64
	since     time.Time
	candidate *Candidate
	queue     chan shadowed
	done      chan struct{}

	mu      sync.Mutex
	impact  Impact
	dropped int64
}

type shadowed struct {
	entrypoint Entrypoint
	decision   Decision
}

// Shadow asks a candidate a share (0 to 1) of the questions that are decided from now on, in the place of the candidate before it.
// Revision names it in the report. No answer is touched, and no request waits: what cannot be asked at once is left out and counted. It
// goes on until EndShadow, whatever becomes of ctx.
func (p *PDP) Shadow(ctx context.Context, c *Candidate, revision string, share float64) {
	s := &shadow{
		revision: revision, share: share, since: p.config.Now(), candidate: c,
		queue: make(chan shadowed, shadowQueue), done: make(chan struct{}), impact: Impact{Samples: []ImpactSample{}},
	}
	go s.run(context.WithoutCancel(ctx))
	if old := p.shadow.Swap(s); old != nil {
		close(old.done)
	}
}

// EndShadow asks no candidate any longer.
func (p *PDP) EndShadow() {
	if old := p.shadow.Swap(nil); old != nil {
		close(old.done)
	}
}

// ShadowReport tells what the shadow saw, if there is one.
func (p *PDP) ShadowReport() (ShadowReport, bool) {
	s := p.shadow.Load()
	if s == nil {
		return ShadowReport{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	report := ShadowReport{Revision: s.revision, Share: s.share, Since: s.since, Impact: s.impact, Dropped: s.dropped}
	report.Samples = slices.Clone(s.impact.Samples)
	return report, true
}

// StageShadow makes a candidate for a shadow: it passes what Check asks for, under the documents that serve.
func (p *PDP) StageShadow(ctx context.Context, m Managed) (*Candidate, error) {
	sn, err := p.try(ctx, m, noTests)
	if err != nil {
		return nil, err
	}
	return p.candidateOf(sn), nil
}

// offer takes its share of the decisions, if there is room.
func (s *shadow) offer(e Entrypoint, d Decision) {
	if rand.Float64() >= s.share {
		return
	}
	select {
	case s.queue <- shadowed{e, d}:
	default:
		s.mu.Lock()
		s.dropped++
		s.mu.Unlock()
	}
}

func (s *shadow) run(ctx context.Context) {
	for {
		select {
		case <-s.done:
			return
		case q := <-s.queue:
			s.ask(ctx, q)
		}
	}
}

func (s *shadow) ask(ctx context.Context, q shadowed) {
	after, err := s.candidate.decide(ctx, q.entrypoint, q.decision.input)
	kind := ""
	switch before := q.decision; {
	case err != nil:
		kind = "error"
	case !before.Allow && after.Allow:
		kind = "newly_allowed"
	case before.Allow && !after.Allow:
		kind = "newly_denied"
	case before.Allow && !(slices.Equal(codesOf(before.Reasons), codesOf(after.Reasons)) && reflect.DeepEqual(before.Obligations, after.Obligations)):
		kind = "changed"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.impact.add(kind, q, after)
}

// decide evaluates the candidate until its deadline.
func (c *Candidate) decide(ctx context.Context, e Entrypoint, input ast.Value) (Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	result, err := c.snapshot.once(ctx, e, input)
	if err != nil {
		return Decision{}, err
	}
	var d Decision
	return d, d.decode(result, c.snapshot.set.catalogue)
}

func (i *Impact) add(kind string, q shadowed, after Decision) {
	i.Decisions++
	switch kind {
	case "":
		return
	case "newly_allowed":
		i.NewlyAllowed++
	case "newly_denied":
		i.NewlyDenied++
	case "changed":
		i.Changed++
	case "error":
		i.Errors++
	}
	if len(i.Samples) == shadowSamples {
		return
	}
	d := ImpactSample{
		Kind: kind, DecisionID: q.decision.ID, Entrypoint: string(q.entrypoint),
		Before: codesOf(q.decision.Reasons), After: codesOf(after.Reasons),
	}
	if object, ok := q.decision.input.(ast.Object); ok {
		d.Action, d.ResourceType = textAt(object, key.action, key.name), textAt(object, key.resource, key.typ)
	}
	i.Samples = append(i.Samples, d)
}

func textAt(object ast.Object, outer, inner *ast.Term) string {
	if part := object.Get(outer); part != nil {
		if fields, ok := part.Value.(ast.Object); ok {
			if term := fields.Get(inner); term != nil {
				text, _ := textOf(term)
				return text
			}
		}
	}
	return ""
}

func codesOf(reasons []Reason) []string {
	var list []string
	for _, r := range reasons {
		list = append(list, r.Code)
	}
	return list
}
