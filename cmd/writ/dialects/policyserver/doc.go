// Package policyserver is the dialect of PolicyServer: its token endpoint, its runtime API, which evaluates policies, and its management
// API, which edits them.
//
// Owns: the table of routes; a policy of PolicyServer as a node of the tree that the shipped application policy apps/policytree reads, and
// each write as the next version of that document of policy data; claims as the subject and the context of a question; {"errors": [...]}.
//
// Does not own: who may do it, which the native routes decide for the token that came. That users must be administrators, and what inside a
// tenant is read-only, is policy data (settings.dialects.policyserver).
//
// Invariants:
//   - Whatever comes to the management and the runtime API with another credential than a bearer token comes as nobody.
//   - A write is made for the version of the tree that was read, and made again on the next one if somebody else was faster.
//   - A tree that says more than this dialect knows is left alone.
//
// Unverified, because no document that we have states it, and chosen here:
//   - Paths and payloads below /management but for /management/policies: ids made of paths ("firm~sales", "firm~sales:clerk"), fields of roles
//     and permissions named as PolicyServer.Local names them, subjects of a role at /roles/{id}/subjects as {"subject"}, tenants as {"id",
//     "name", "enabled"}, administrators at /administrators as {"subject"}.
//   - That lists are bare arrays, and the confirmation of a deletion is ?confirm=true.
//   - The lists of children and descendants: POST /runtime/children/{path} and /runtime/descendants/{path}.
//   - What "version" is: GET /runtime tells the revision of the policies in force, and a question that names any version is answered by
//     those in force, because nothing else is.
//   - Conflict rules of evaluation: inheritance only adds.
package policyserver
