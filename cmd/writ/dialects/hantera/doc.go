// Package hantera speaks as the IAM API of Hantera does: principals, clients, roles, one's own password, the graph query for identities, and
// tokens.
//
// Owns: the table of routes and the names of that system: a principal is a user whose username is its e-mail address, a client an application,
// an entry of an ACL a grant for each pair of resource and permission.
//
// Does not own: who may do what, and everything else that is natively Writ's.
//
// Invariants:
//   - Suspended principals are in a list only if the request says so, and system clients, which are protected, are in no list and no graph.
//   - The graph reads, by the two native lists and as the caller; nothing of it writes.
//   - A stale version is 409.
//   - An entry with attributeKeys is refused, never stored without them.
//   - A parameter, field or operator that is not known is refused, never left out of a selection.
//
// What the documents of the product leave open, and what is done here:
//   - Bodies have properties, or the same names beside each other, and never both. Replies have both, so that either kind of client reads them.
//   - Each property by itself keeps its value where it is not named; null takes it away.
//   - The roles of a principal or a client are set by a list, or an object with roles.
//   - A secret is asked for with label, notBefore and expiresAt; GET of the same path lists secrets, and DELETE of one below it revokes it. The
//     own password is changed with currentPassword and newPassword, and GET of /resources/me shows the caller as a principal or a client.
//   - A new principal has a temporary password, and a new client a secret, in the reply that made it.
//   - name and email are begins, as natively; of several roles one is enough; orderBy knows the one order that there is, by id.
//   - firstCursor and lastCursor are those of the first and the last of a page, and null where it is empty; totalCount is null beyond 1,000.
//   - The graph knows the resource identity, the field roles and the operator contains, which are those that the documents name, and several
//     filters must all hold. It answers with identities, principals before clients, and totalCount; suspended ones are there. Who may read one
//     of the two kinds sees that one.
//   - Suspension and sessions have no documented path and no route here; they are native.
package hantera
