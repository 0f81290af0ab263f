// Package policies is the policy decision point: it loads and compiles the Rego set, keeps the active snapshot, answers
// questions, says why, and writes the decision log. It is the only home of OPA.
//
// Owns: loading (embedded, directory), the load gate with its tests and invariant vectors, the immutable snapshot, [PDP.Decide]
// and [PDP.Why], the catalogue as Go sees it, the decision log with its masks, what is remembered and replayed of it, and what
// `writ policy` does.
//
// Does not own: any rule (they are Rego, in policies/rego), the facts about identities (identity), HTTP (policies/enforce).
//
// Invariants:
//   - A decision is a pure function of (policy revision, data revision, input). There is no clock, network or randomness in a rule.
//   - There are three answers: permit, deny, error. Anything but exactly one well-formed result is an error.
//   - A candidate set is swapped in whole or not at all; the last good one serves on.
//   - No password, secret or raw token enters an input.
package policies
