package main

import (
	"fmt"
	"os"

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

// managedRefused says what to do about policies without which a node does not start: others than the active ones might allow more.
func managedRefused(err error) error {
	return fmt.Errorf("%w; activate another revision on a node that serves, or start with WRIT_POLICIES_MANAGED=false, which serves the "+
		"node's own policies, and make that last with `writ policy activate own`", err)
}
