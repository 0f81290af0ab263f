// Package decide is the decision API: AuthZEN 1.0 evaluation with its metadata, and the effective permissions of a subject.
//
// Owns: the wire shapes of those endpoints, AuthZEN's own error language, the turning of an asked question into one for the PDP,
// and its decision-log line.
//
// Does not own: any rule, including who may ask (policies/rego); subjects and their facts (the directory port); tokens (the token
// port); the problem documents of /v1/permissions (its plane is given).
//
// Invariants:
//   - The right to ask is the request's decision; each question asked has an id and a log line of its own that names the request's.
//   - A denial is 200 with decision false; what cannot be told is 503; neither is ever shown as the other.
//   - A raw token enters no question and no log.
//   - What a gateway forwards to /forward-auth can be read in one way only before a rule sees it, and the identity headers are in every reply.
package decide
