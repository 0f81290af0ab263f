package policies

import (
	"context"
)

// Explanation is what the set that serves now says of a recorded question.
type Explanation struct {
	Allow          bool     `json:"allow"`
	Reasons        []Reason `json:"reasons"`
	PolicyRevision string   `json:"policy_revision"`
	DataRevision   string   `json:"data_revision"`
	// Unavailable says why there is none; then it permits nothing and has no reasons.
	Unavailable string `json:"unavailable,omitempty"`
}

// WhyRecorded puts a recorded question to the set that serves now, and says why it answers as it does. Its answer is that of the record
// where the revisions are. It is no decision, and is in no log.
func (p *PDP) WhyRecorded(ctx context.Context, rec Record) (Explanation, error) {
	r, err := newReplayer(ReplayConfig{Candidate: p.ReplaySet(), Now: p.config.Now, Deadline: p.config.Deadline})
	if err != nil {
		return Explanation{}, err
	}
	set := r.config.Candidate
	x := Explanation{Reasons: []Reason{}}
	x.PolicyRevision, x.DataRevision = set.Revisions()
	input, unavailable := r.input(&rec, &inputParser{})
	var a answer
	if unavailable == "" {
		a, unavailable = r.ask(ctx, set, &rec, input)
	}
	if unavailable == "" && a.err == "" && !a.allow {
		unavailable = r.explain(ctx, set, &rec, input, &a)
	}
	if err := ctx.Err(); err != nil {
		return Explanation{}, err
	}
	if unavailable == "" {
		unavailable = a.err
	}
	if unavailable != "" {
		x.Unavailable = unavailable
		return x, nil
	}
	x.Allow = a.allow
	x.Reasons = append(x.Reasons, a.reasons...)
	return x, nil
}
