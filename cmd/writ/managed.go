package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies"
)

// openPolicyKeys reads the keys that sign policies, nil where none is configured.
func openPolicyKeys(name string) (policies.Keys, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("policy_keys_file: %w", plain(err))
	}
	keys, err := policies.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("policy_keys_file: %s: %w", name, err)
	}
	return keys, nil
}

// managedSets is what managed policies are brought into, nil where the node serves its own alone.
func (n *node) managedSets() identity.PolicySets {
	if !n.config.PoliciesManaged {
		return nil
	}
	return n.pdp
}

// replay tells what a candidate would have answered otherwise to what this node decided lately; nil where that is not kept.
func (n *node) replay() func(context.Context, *policies.Candidate) (policies.Impact, error) {
	if n.recent == nil {
		return nil
	}
	return func(ctx context.Context, candidate *policies.Candidate) (policies.Impact, error) {
		report, err := policies.Replay(ctx, policies.ReplayConfig{
			Candidate: candidate.ReplaySet(), Base: n.pdp.ReplaySet(), Now: n.now, Workers: 1,
		}, n.recent.Records())
		if err != nil {
			return policies.Impact{}, err
		}
		return impactOf(report), nil
	}
}

// impactOf keeps of a report what the log of activations has.
func impactOf(report policies.ReplayReport) policies.Impact {
	impact := policies.Impact{
		Decisions: int64(report.Decisions), NewlyAllowed: int64(report.NewlyAllowed), NewlyDenied: int64(report.NewlyDenied),
		Changed: int64(report.Obligations + report.Reasons + report.Decided), Errors: int64(report.Errors),
		Unreplayable: int64(report.Unreplayable), Samples: []policies.ImpactSample{},
	}
	for _, s := range report.Samples {
		kind, action, _ := strings.Cut(s.Action, ":")
		impact.Samples = append(impact.Samples, policies.ImpactSample{
			Kind: string(s.Outcome), DecisionID: s.DecisionID, Entrypoint: string(s.Entrypoint), Action: action, ResourceType: kind,
		})
	}
	return impact
}

// managedRefused says what to do about policies without which a node does not start: others than the active ones might allow more.
func managedRefused(err error) error {
	return fmt.Errorf("%w; activate another revision on a node that serves, or start with WRIT_POLICIES_MANAGED=false, which serves the "+
		"node's own policies, and make that last with `writ policy activate own`", err)
}
