package policies

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

const (
	// replayDeadline is longer than a server's: a machine that is busy with replaying must not make errors of answers.
	replayDeadline = 2 * time.Second
	// replayBatch is how many lines a worker takes at once.
	replayBatch = 64
	// defaultSamples is how many examples of each outcome a report has.
	defaultSamples = 10
)

// ReplaySet is a policy set that recorded questions can be put to.
type ReplaySet struct {
	snapshot *snapshot
	name     string
}

// OpenReplaySet compiles a set, without its tests. Audiences are those of the server whose decisions are replayed, see Config; nil where
// they are not known.
func OpenReplaySet(ctx context.Context, source Source, audiences map[string][]string) (*ReplaySet, error) {
	l, err := newLayers(shipped(), source)
	if err != nil {
		return nil, err
	}
	s, err := load(l, false, nil)
	if err != nil {
		return nil, err
	}
	sn, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	if sn, err = sn.pin(ctx, audiences); err != nil {
		return nil, err
	}
	return sn.replaySet(source.String()), nil
}

// String names the set for people.
func (s Source) String() string {
	switch {
	case s.Dir == "" && s.CoreDir == "":
		return "shipped"
	case s.CoreDir == "":
		return s.Dir
	case s.Dir == "":
		return "core " + s.CoreDir
	}
	return s.Dir + ", core " + s.CoreDir
}

// ReplaySet returns the set that serves now.
func (p *PDP) ReplaySet() *ReplaySet { return p.active.Load().replaySet("active") }

func (s *snapshot) replaySet(name string) *ReplaySet { return &ReplaySet{snapshot: s, name: name} }

// Revisions name what the set would stamp its decisions with.
func (s *ReplaySet) Revisions() (policy, data string) {
	return s.snapshot.set.revision, s.snapshot.set.dataRev
}

// ReplayConfig says what is compared.
type ReplayConfig struct {
	// Candidate is the set that recorded questions are put to.
	Candidate *ReplaySet
	// Base is the set that its answers are compared with. Nil: they are compared with what was recorded.
	Base *ReplaySet
	// Revision counts decisions that another policy revision took as not replayable. Empty: all are replayed.
	Revision string
	// Now times evaluations. It must be there.
	Now func() time.Time
	// Deadline ends an evaluation that runs long. Zero: 2 s.
	Deadline time.Duration
	// Workers evaluate at the same time. Zero: one for each processor.
	Workers int
	// Samples of each outcome are in the report. Zero: 10.
	Samples int
	// Progress is told how many lines were read since it was last told. It is never called twice at a time. Nil: nobody is.
	Progress func(lines int)
}

// Replay puts recorded questions to a candidate and reports how its answers differ from those given before. It reads with next, which
// is called by one at a time, until io.EOF; a *LineError is counted. The input of a line is all that a rule sees, its clock included, so
// the answers are exactly those that the candidate would have given, where none is masked that it reads.
func Replay(ctx context.Context, c ReplayConfig, next func() (Record, error)) (ReplayReport, error) {
	if c.Candidate == nil || c.Now == nil {
		return ReplayReport{}, errors.New("replay: no candidate or no clock given")
	}
	r, err := newReplayer(c)
	if err != nil {
		return ReplayReport{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := c.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			if err := r.work(ctx, next); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return ReplayReport{}, err
	}
	return r.tally.report(c), nil
}

// replayer is what the workers share.
type replayer struct {
	config ReplayConfig
	// pdp has the deadline and the evaluations; it has no set of its own.
	pdp   PDP
	shape *inputShape

	reading sync.Mutex // held to call next
	lines   int
	ended   bool

	counting sync.Mutex // held to change the tally
	tally    *tally
}

func newReplayer(c ReplayConfig) (*replayer, error) {
	shape, err := newInputShape()
	if err != nil {
		return nil, err
	}
	r := &replayer{config: c, shape: shape}
	r.pdp.config.Deadline = cmp.Or(c.Deadline, replayDeadline)
	r.tally = newTally(cmp.Or(c.Samples, defaultSamples))
	return r, nil
}

// numbered is a line that was read, or what was wrong with it.
type numbered struct {
	number int
	rec    Record
	bad    *LineError
}

func (r *replayer) work(ctx context.Context, next func() (Record, error)) error {
	parser := &inputParser{}
	batch := make([]numbered, 0, replayBatch)
	compared := make([]comparison, 0, replayBatch)
	for {
		batch = batch[:0]
		more, err := r.read(&batch, next)
		if err != nil {
			return err
		}
		compared = compared[:0]
		for i := range batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			compared = append(compared, r.compare(ctx, &batch[i], parser))
		}
		r.count(compared)
		if !more {
			return ctx.Err()
		}
	}
}

func (r *replayer) read(batch *[]numbered, next func() (Record, error)) (more bool, err error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	for len(*batch) < replayBatch && !r.ended {
		rec, err := next()
		var bad *LineError
		switch {
		case errors.Is(err, io.EOF):
			r.ended = true
			continue
		case err != nil && !errors.As(err, &bad):
			r.ended = true
			return false, err
		}
		r.lines++
		*batch = append(*batch, numbered{r.lines, rec, bad})
	}
	return !r.ended, nil
}

func (r *replayer) count(compared []comparison) {
	r.counting.Lock()
	defer r.counting.Unlock()
	for i := range compared {
		r.tally.add(&compared[i])
	}
	if r.config.Progress != nil && len(compared) > 0 {
		r.config.Progress(len(compared))
	}
}

// answer is one side of a comparison.
type answer struct {
	allow       bool
	reasons     []Reason
	explained   bool // reasons are known, also of a denial
	obligations []byte
	err         string
	took        time.Duration
}

// comparison is what came of one line.
type comparison struct {
	number int
	rec    *Record
	// broken says what is wrong with the line, unreplayable why its question cannot be put.
	broken, unreplayable string
	outcome              Outcome
	old, new             answer
	about                about
}

// about is what a question is grouped by.
type about struct {
	subjectType, subject, action, resourceType, resource string
	roles                                                []string
}

func (r *replayer) compare(ctx context.Context, line *numbered, parser *inputParser) comparison {
	c := comparison{number: line.number, rec: &line.rec}
	if line.bad != nil {
		c.broken = line.bad.What
		return c
	}
	input, why := r.input(&line.rec, parser)
	if input != nil {
		c.about = aboutOf(input)
	}
	if why != "" {
		c.unreplayable = why
		return c
	}
	if r.config.Base == nil {
		c.old = recorded(&line.rec)
	} else if c.old, c.unreplayable = r.ask(ctx, r.config.Base, &line.rec, input); c.unreplayable != "" {
		return c
	}
	// Why somebody is denied is asked only where it can be compared, or where it is news.
	if c.new, c.unreplayable = r.ask(ctx, r.config.Candidate, &line.rec, input); c.unreplayable != "" {
		return c
	}
	if c.new.err == "" && !c.new.allow && (c.old.allow || c.old.explained || r.config.Base != nil) {
		c.unreplayable = r.explain(ctx, r.config.Candidate, &line.rec, input, &c.new)
		if r.config.Base != nil && c.old.err == "" && !c.old.allow && c.unreplayable == "" {
			c.unreplayable = r.explain(ctx, r.config.Base, &line.rec, input, &c.old)
		}
		if c.unreplayable != "" {
			return c
		}
	}
	c.outcome = outcomeOf(&c.old, &c.new)
	return c
}

// recorded is the answer that was given.
func recorded(rec *Record) answer {
	return answer{
		allow: rec.Allow, reasons: rec.Reasons, explained: rec.Allow || len(rec.Reasons) > 0, obligations: rec.Obligations, err: rec.Error,
	}
}

// The reasons why a line cannot be replayed.
const (
	unreplayableBrief    = "the line holds no input (decision_log_brief)"
	unreplayableMasked   = "all of the input is masked"
	unreplayableNothing  = "the question was bad in itself and has no input"
	unreplayableInput    = "the input is no JSON object of the data model"
	unreplayableShape    = "the input is that of another version of Writ"
	unreplayableRevision = "another policy revision took the decision"
	unreplayableEntry    = "no entrypoint of this version"
	unreplayableRead     = "the rules read what is masked"
)

// input is the recorded input, or why it cannot be put to a set.
func (r *replayer) input(rec *Record, parser *inputParser) (ast.Value, string) {
	switch {
	case rec.Brief:
		input, err := parser.object(rec.Input)
		if err != nil {
			return nil, unreplayableBrief
		}
		return input, unreplayableBrief
	case slices.Contains(rec.Masked, "/input"):
		return nil, unreplayableMasked
	case len(rec.Input) == 0 || string(rec.Input) == "null":
		return nil, unreplayableNothing
	}
	input, err := parser.object(rec.Input)
	if err != nil {
		return nil, unreplayableInput
	}
	switch {
	case !slices.Contains(entrypoints(), rec.Entrypoint) || rec.Entrypoint == EntryWhy:
		return input, unreplayableEntry
	case r.config.Revision != "" && rec.PolicyRevision != r.config.Revision:
		return input, unreplayableRevision
	case !r.shape.fits(input, rec.Masked):
		return input, unreplayableShape
	}
	return input, ""
}

// ask puts the question to a set.
func (r *replayer) ask(ctx context.Context, set *ReplaySet, rec *Record, input ast.Value) (a answer, unreplayable string) {
	began := r.config.Now()
	result, read, err := r.evaluate(ctx, set.snapshot, rec.Entrypoint, input, rec.Masked)
	var d Decision
	if err == nil {
		err = d.decode(result, set.snapshot.set.catalogue)
	}
	a.took = max(r.config.Now().Sub(began), 1)
	switch {
	case read:
		return a, unreplayableRead
	case err != nil:
		a.err = told(err)
		return a, ""
	}
	a.allow, a.reasons, a.explained = d.Allow, d.Reasons, d.Allow
	if a.obligations, err = json.Marshal(d.Obligations); err != nil {
		a.err = err.Error()
	}
	return a, ""
}

// explain adds the reasons of a denial.
func (r *replayer) explain(ctx context.Context, set *ReplaySet, rec *Record, input ast.Value, a *answer) (unreplayable string) {
	result, read, err := r.evaluate(ctx, set.snapshot, EntryWhy, input, rec.Masked)
	if read {
		return unreplayableRead
	}
	if err == nil {
		a.reasons, err = decodeWhy(result, set.snapshot.set.catalogue)
	}
	if err != nil {
		a.err = told(err)
	}
	a.explained = err == nil
	return ""
}

func (r *replayer) evaluate(
	ctx context.Context, s *snapshot, e Entrypoint, input ast.Value, masked []string,
) (result ast.Value, read bool, err error) {
	if len(masked) == 0 {
		result, err = r.pdp.evaluate(ctx, s, e, input)
		return result, false, err
	}
	return s.watched(ctx, &r.pdp, e, input, masked)
}

// watched evaluates on an input of which something is masked, and says whether the rules read any of that. What they answer then is no
// answer.
func (s *snapshot) watched(ctx context.Context, p *PDP, e Entrypoint, input ast.Value, masked []string) (ast.Value, bool, error) {
	reads := &maskReads{masked: masked, compiler: s.compiler, aliases: s.aliases(), names: map[ast.Var][]string{}}
	cache := &watchedCache{}
	cache.reset()
	result, err := p.evaluateWith(ctx, s, e, input, rego.EvalQueryTracer(reads), rego.EvalRuleIndexing(false), rego.EvalVirtualCache(cache))
	return result, reads.read != "", err
}

// outcomeOf compares two answers.
func outcomeOf(old, now *answer) Outcome {
	switch {
	case now.err != "":
		return OutcomeError
	case now.allow && !old.allow:
		return OutcomeAllowed
	case old.allow && !now.allow:
		return OutcomeDenied
	case old.err != "":
		return OutcomeDecided
	case string(old.obligations) != string(now.obligations):
		return OutcomeObligations
	case old.explained && now.explained && !slices.Equal(sorted(old.reasons), sorted(now.reasons)):
		return OutcomeReasons
	}
	return OutcomeSame
}

func sorted(reasons []Reason) []Reason {
	if slices.IsSortedFunc(reasons, compareReasons) {
		return reasons
	}
	return slices.SortedFunc(slices.Values(reasons), compareReasons)
}

// aboutOf reads what a question is about. What is not there is empty.
func aboutOf(input ast.Value) about {
	at := func(path ...*ast.Term) *ast.Term {
		term := ast.NewTerm(input)
		for _, name := range path {
			o, ok := term.Value.(ast.Object)
			if !ok {
				return nil
			}
			if term = o.Get(name); term == nil {
				return nil
			}
		}
		return term
	}
	says := func(path ...*ast.Term) string {
		s, _ := textOf(at(path...))
		return s
	}
	a := about{
		subjectType: says(key.subject, key.typ), subject: says(key.subject, key.id), action: says(key.action, key.name),
		resourceType: says(key.resource, key.typ), resource: says(key.resource, key.id),
	}
	if roles := at(key.subject, key.roles); roles != nil {
		if o, ok := roles.Value.(ast.Object); ok {
			o.Foreach(func(name, _ *ast.Term) {
				if role, ok := textOf(name); ok {
					a.roles = append(a.roles, role)
				}
			})
		}
	}
	return a
}

// inputShape is what an input of this version has.
type inputShape struct{ zero, facts, token ast.Object }

func newInputShape() (*inputShape, error) {
	nobody := Question{Subject: Nobody("", "")}
	zero, err := nobody.build(&terms{}, "")
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return &inputShape{
		zero: zero.(ast.Object), facts: nobody.Subject.term().Value.(ast.Object), token: new(TokenRequest).build(&terms{}).Value.(ast.Object),
	}, nil
}

// fits holds an input to the members that one of this version has, none missing and none besides. What is masked counts as there.
func (s *inputShape) fits(input ast.Value, masked []string) bool {
	return s.has(input, s.zero, "/input", masked)
}

func (s *inputShape) has(v ast.Value, want ast.Object, at string, masked []string) bool {
	if slices.Contains(masked, at) {
		return true
	}
	given, ok := v.(ast.Object)
	if !ok || given.Len() != want.Len() {
		return false
	}
	for _, name := range want.Keys() {
		value := given.Get(name)
		if value == nil {
			return false
		}
		text, _ := textOf(name)
		if template := s.template(at + "/" + text); template != nil {
			_, null := value.Value.(ast.Null)
			if _, always := want.Get(name).Value.(ast.Object); null && !always {
				continue
			}
			if !s.has(value.Value, template, at+"/"+text, masked) {
				return false
			}
		}
	}
	return true
}

// template is what a member that is an object of the contract has; nil for all others.
func (s *inputShape) template(at string) ast.Object {
	switch at {
	case "/input/subject", "/input/client", "/input/resource/before", "/input/resource/after":
		return s.facts
	case "/input/token":
		return s.token
	case "/input/resource", "/input/caller", "/input/action":
		o, _ := s.zero.Get(ast.StringTerm(strings.TrimPrefix(at, "/input/"))).Value.(ast.Object)
		return o
	}
	return nil
}
