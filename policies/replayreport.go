package policies

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// Outcome is how a candidate's answer differs from the one before.
type Outcome string

// The outcomes, those first that somebody must look at.
const (
	OutcomeAllowed      Outcome = "deny_to_allow" // also where there was no answer before
	OutcomeDenied       Outcome = "allow_to_deny"
	OutcomeError        Outcome = "error"       // the candidate has no answer
	OutcomeObligations  Outcome = "obligations" // the same answer, other obligations
	OutcomeReasons      Outcome = "reasons"     // the same answer, other reasons
	OutcomeDecided      Outcome = "error_to_deny"
	OutcomeSame         Outcome = "same"
	OutcomeUnreplayable Outcome = "unreplayable"
)

// Outcomes lists them in order.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeAllowed, OutcomeDenied, OutcomeError, OutcomeObligations, OutcomeReasons, OutcomeDecided, OutcomeSame, OutcomeUnreplayable,
	}
}

// Tally counts decisions by outcome.
type Tally struct {
	Decisions    int `json:"decisions"`
	NewlyAllowed int `json:"deny_to_allow"`
	NewlyDenied  int `json:"allow_to_deny"`
	Errors       int `json:"error"`
	Obligations  int `json:"obligations"`
	Reasons      int `json:"reasons"`
	Decided      int `json:"error_to_deny"`
	Same         int `json:"same"`
	Unreplayable int `json:"unreplayable"`
}

// Of returns the count of an outcome.
func (t *Tally) Of(o Outcome) int {
	if n := t.place(o); n != nil {
		return *n
	}
	return 0
}

func (t *Tally) place(o Outcome) *int {
	switch o {
	case OutcomeAllowed:
		return &t.NewlyAllowed
	case OutcomeDenied:
		return &t.NewlyDenied
	case OutcomeError:
		return &t.Errors
	case OutcomeObligations:
		return &t.Obligations
	case OutcomeReasons:
		return &t.Reasons
	case OutcomeDecided:
		return &t.Decided
	case OutcomeSame:
		return &t.Same
	case OutcomeUnreplayable:
		return &t.Unreplayable
	}
	return nil
}

// Changed counts the decisions that would come out otherwise in any way.
func (t *Tally) Changed() int {
	return t.NewlyAllowed + t.NewlyDenied + t.Errors + t.Obligations + t.Reasons + t.Decided
}

// ReplayReport is the impact of a candidate on recorded decisions.
type ReplayReport struct {
	Tally
	Base      ReplaySide `json:"base"`
	Candidate ReplaySide `json:"candidate"`
	// Lines were read; those that are none of a decision log are Broken.
	Lines  int `json:"lines"`
	Broken int `json:"broken"`
	// Since and Until are the times of the first and the last decision.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Causes say why lines are broken or cannot be replayed.
	Causes []ReplayCause `json:"causes"`
	// Recorded are the revisions under which the decisions were taken.
	Recorded []ReplayRevision `json:"recorded"`
	Groups   []ReplayGroup    `json:"groups"`
	Samples  []ReplaySample   `json:"samples"`
}

// ReplaySide is one of the sets that were compared.
type ReplaySide struct {
	// Name is that of a directory, "shipped", "active", or "recorded" where the answers are those of the log.
	Name           string `json:"name"`
	PolicyRevision string `json:"policy_revision,omitempty"`
	DataRevision   string `json:"data_revision,omitempty"`
	// Latency is that of evaluations; nil where none was done.
	Latency *ReplayLatency `json:"latency,omitempty"`
}

// ReplayLatency is how long evaluations took.
type ReplayLatency struct {
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	// Buckets count evaluations by their time; each is up to twice as long as the one before.
	Buckets []ReplayBucket `json:"buckets"`
}

// ReplayBucket counts evaluations of at most so many microseconds.
type ReplayBucket struct {
	UpTo  float64 `json:"up_to_us"`
	Count int     `json:"count"`
}

// ReplayCause is a reason why lines do not count, and the first of them.
type ReplayCause struct {
	Cause  string `json:"cause"`
	Broken bool   `json:"broken"` // no line of a decision log, rather than one that cannot be replayed
	Count  int    `json:"count"`
	Lines  []int  `json:"lines"`
}

// ReplayRevision counts the decisions of one revision.
type ReplayRevision struct {
	PolicyRevision string `json:"policy_revision"`
	DataRevision   string `json:"data_revision"`
	Decisions      int    `json:"decisions"`
}

// ReplayGroup counts the decisions that have something in common.
type ReplayGroup struct {
	By   string `json:"by"` // "entrypoint", "action", "role", "rule" or "subject_type"
	Name string `json:"name"`
	Tally
}

// ReplaySample is an example of an outcome.
type ReplaySample struct {
	Outcome    Outcome    `json:"outcome"`
	Line       int        `json:"line"`
	DecisionID string     `json:"decision_id"`
	Time       time.Time  `json:"time"`
	Entrypoint Entrypoint `json:"entrypoint"`
	Subject    string     `json:"subject"`  // type:id
	Action     string     `json:"action"`   // type:action
	Resource   string     `json:"resource"` // id
	Old        Verdict    `json:"old"`
	New        Verdict    `json:"new"`
}

// Verdict is an answer in a sample.
type Verdict struct {
	Allow   bool     `json:"allow"`
	Reasons []Reason `json:"reasons"`
	Error   string   `json:"error,omitempty"`
}

// The kinds of groups, in the order of a report.
func groupKinds() []string { return []string{"entrypoint", "action", "role", "rule", "subject_type"} }

const (
	// maxGroups bounds the groups of a kind; what has no group of its own counts in one of that name.
	maxGroups  = 1000
	otherGroup = "(others)"
	// maxCauseLines bounds the lines that a cause names.
	maxCauseLines = 5
)

type groupName struct{ by, name string }

// tally is a report in the making.
type tally struct {
	total          Tally
	lines, broken  int
	since, until   time.Time
	samples        map[Outcome][]ReplaySample
	wanted         int
	causes         map[string]*ReplayCause
	revisions      map[ReplayRevision]int
	groups         map[groupName]*Tally
	kinds          map[string]int
	before, behind durations
}

func newTally(samples int) *tally {
	return &tally{
		samples: map[Outcome][]ReplaySample{}, wanted: samples, causes: map[string]*ReplayCause{}, revisions: map[ReplayRevision]int{},
		groups: map[groupName]*Tally{}, kinds: map[string]int{},
	}
}

func (t *tally) add(c *comparison) {
	t.lines++
	if c.broken != "" {
		t.broken++
		t.cause(c.broken, true, c.number)
		return
	}
	if c.unreplayable != "" {
		c.outcome = OutcomeUnreplayable
		t.cause(c.unreplayable, false, c.number)
	}
	rec := c.rec
	if at := rec.Time; !at.IsZero() {
		if t.since.IsZero() || at.Before(t.since) {
			t.since = at
		}
		if at.After(t.until) {
			t.until = at
		}
	}
	if revision := (ReplayRevision{PolicyRevision: rec.PolicyRevision, DataRevision: rec.DataRevision}); len(t.revisions) < maxGroups {
		t.revisions[revision]++
	}
	t.total.count(c.outcome)
	t.group("entrypoint", string(rec.Entrypoint), c.outcome)
	t.group("action", c.about.resourceType+":"+c.about.action, c.outcome)
	t.group("subject_type", c.about.subjectType, c.outcome)
	for _, role := range c.about.roles {
		t.group("role", role, c.outcome)
	}
	for _, rule := range rulesOf(c) {
		t.group("rule", rule, c.outcome)
	}
	t.before.add(c.old.took)
	t.behind.add(c.new.took)
	if c.outcome != OutcomeSame && c.outcome != OutcomeUnreplayable {
		t.sample(c)
	}
}

// rulesOf names the rules that gave the candidate's answer, each with its reason: an application has many under one rule.
func rulesOf(c *comparison) []string {
	var rules []string
	for _, reason := range c.new.reasons {
		if name := reason.Rule + " " + reason.Code; !slices.Contains(rules, name) {
			rules = append(rules, name)
		}
	}
	return rules
}

func (t *Tally) count(o Outcome) {
	t.Decisions++
	if n := t.place(o); n != nil {
		*n++
	}
}

func (t *tally) group(by, name string, o Outcome) {
	k := groupName{by, name}
	counted := t.groups[k]
	if counted == nil {
		if t.kinds[by]++; t.kinds[by] > maxGroups {
			k.name = otherGroup
			counted = t.groups[k]
		}
		if counted == nil {
			counted = &Tally{}
			t.groups[k] = counted
		}
	}
	counted.count(o)
}

func (t *tally) cause(what string, broken bool, line int) {
	c := t.causes[what]
	if c == nil {
		c = &ReplayCause{Cause: what, Broken: broken}
		t.causes[what] = c
	}
	c.Count++
	c.Lines = append(c.Lines, line)
	slices.Sort(c.Lines) // workers come in any order
	c.Lines = c.Lines[:min(len(c.Lines), maxCauseLines)]
}

func (t *tally) sample(c *comparison) {
	list := t.samples[c.outcome]
	if len(list) == t.wanted {
		if list[len(list)-1].Line < c.number {
			return
		}
		list = list[:len(list)-1]
	}
	list = append(list, ReplaySample{
		Outcome: c.outcome, Line: c.number, DecisionID: c.rec.DecisionID, Time: c.rec.Time, Entrypoint: c.rec.Entrypoint,
		Subject: c.about.subjectType + ":" + c.about.subject, Action: c.about.resourceType + ":" + c.about.action, Resource: c.about.resource,
		Old: verdict(&c.old), New: verdict(&c.new),
	})
	slices.SortFunc(list, func(a, b ReplaySample) int { return cmp.Compare(a.Line, b.Line) })
	t.samples[c.outcome] = list
}

func verdict(a *answer) Verdict {
	v := Verdict{Allow: a.allow, Reasons: a.reasons, Error: a.err}
	if v.Reasons == nil {
		v.Reasons = []Reason{}
	}
	return v
}

func (t *tally) report(c ReplayConfig) ReplayReport {
	r := ReplayReport{
		Tally: t.total, Lines: t.lines, Broken: t.broken, Since: t.since, Until: t.until,
		Base: ReplaySide{Name: "recorded"}, Candidate: c.Candidate.side(),
		Causes: []ReplayCause{}, Recorded: []ReplayRevision{}, Groups: []ReplayGroup{}, Samples: []ReplaySample{},
	}
	if c.Base != nil {
		r.Base = c.Base.side()
	}
	r.Base.Latency, r.Candidate.Latency = t.before.latency(), t.behind.latency()
	for _, cause := range t.causes {
		r.Causes = append(r.Causes, *cause)
	}
	slices.SortFunc(r.Causes, func(a, b ReplayCause) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cause, b.Cause))
	})
	for revision, n := range t.revisions {
		revision.Decisions = n
		r.Recorded = append(r.Recorded, revision)
	}
	slices.SortFunc(r.Recorded, func(a, b ReplayRevision) int {
		return cmp.Or(cmp.Compare(b.Decisions, a.Decisions), cmp.Compare(a.PolicyRevision, b.PolicyRevision), cmp.Compare(a.DataRevision, b.DataRevision))
	})
	for k, counted := range t.groups {
		r.Groups = append(r.Groups, ReplayGroup{By: k.by, Name: k.name, Tally: *counted})
	}
	slices.SortFunc(r.Groups, compareGroups)
	for _, o := range Outcomes() {
		r.Samples = append(r.Samples, t.samples[o]...)
	}
	return r
}

// compareGroups puts what somebody must look at first.
func compareGroups(a, b ReplayGroup) int {
	kinds := groupKinds()
	order := cmp.Compare(slices.Index(kinds, a.By), slices.Index(kinds, b.By))
	for _, o := range Outcomes() {
		if o != OutcomeSame {
			order = cmp.Or(order, cmp.Compare(b.Of(o), a.Of(o)))
		}
	}
	return cmp.Or(order, cmp.Compare(b.Decisions, a.Decisions), cmp.Compare(a.Name, b.Name))
}

func (s *ReplaySet) side() ReplaySide {
	policy, data := s.Revisions()
	return ReplaySide{Name: s.name, PolicyRevision: policy, DataRevision: data}
}

// durations counts times by their size: a bucket is a sixteenth of a power of two wide, so that what is read off is a few parts in a
// hundred too long at most.
type durations struct {
	buckets map[int]int
	total   int
}

// add counts a time; zero is none.
func (d *durations) add(took time.Duration) {
	if took <= 0 {
		return
	}
	if d.buckets == nil {
		d.buckets = map[int]int{}
	}
	d.buckets[bucketOf(uint64(took))]++
	d.total++
}

// finest is how many bits of a time below its highest tell its bucket.
const finest = 4

func bucketOf(n uint64) int {
	octave := max(bits.Len64(n)-1-finest, 0)
	return octave<<finest + int(n>>octave)
}

// bucketEnd is the largest time of a bucket.
func bucketEnd(bucket int) uint64 {
	octave := max(bucket>>finest-1, 0)
	return uint64(bucket-octave<<finest+1)<<octave - 1
}

func (d *durations) latency() *ReplayLatency {
	if d.total == 0 {
		return nil
	}
	l := &ReplayLatency{P50: d.quantile(0.5), P99: d.quantile(0.99), Buckets: []ReplayBucket{}}
	octaves := map[int]int{}
	for bucket, n := range d.buckets {
		octaves[bits.Len64(bucketEnd(bucket))] += n
	}
	for _, octave := range slices.Sorted(maps.Keys(octaves)) {
		l.Buckets = append(l.Buckets, ReplayBucket{UpTo: float64(uint64(1)<<octave) / 1e3, Count: octaves[octave]})
	}
	return l
}

// quantile is in microseconds.
func (d *durations) quantile(q float64) float64 {
	rank, seen := int(q*float64(d.total-1))+1, 0
	for _, bucket := range slices.Sorted(maps.Keys(d.buckets)) {
		if seen += d.buckets[bucket]; seen >= rank {
			return float64(bucketEnd(bucket)) / 1e3
		}
	}
	return 0
}
