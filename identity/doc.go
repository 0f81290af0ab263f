// Package identity keeps who there is: users, groups, roles, applications with their secrets, tenants and sessions. It serves
// the admin API and `me`, and tells the other rooms the facts about subjects.
//
// Owns: the admin routes (routes.go), the mirror of identities in memory and their flattened rights (directory.go,
// attributes.go), passwords and secrets with their verifiers, the one path by which authority changes (mutate.go), the audit
// chains, the bootstrap, and RFC 9457 problems. It is the only home of Argon2.
//
// Does not own: any rule about who may do what (policies/rego), tokens and keys (oauth), records and databases (storage),
// encryption (storage/seal).
//
// Invariants:
//   - No record of an authority kind is written but by commit: audit intent, then one transaction with the sequence that was
//     decided on, the change and the audit outcome, then the mirror, then the reply.
//   - No function here looks at a role, scope, tenant or owner to refuse. Facts go into the question; Rego refuses.
//   - A password or a secret is in no log, no error, no audit entry and no question. It leaves in the one reply that makes it.
//   - Unknown, wrong and unusable cost the same: one slow hash and the same store calls.
//   - A cached fact is never older than the last applied change.
package identity
