// Package mongo is the production store: a MongoDB replica set, shared by any number of nodes.
//
// Owns: the collections and their indexes, the mapping of the driver's errors to the sentinels of storage, and what the server
// is asked at the start, so that one that cannot keep the contract is refused then.
//
// Does not own: what is kept. A record is a JSON body, the same text as in the embedded store; what can be looked up is what its
// storage.Kind declares, beside the body in fields of its own.
//
// Invariants:
//   - Only commands of the Stable API v1 are sent, and the server is told to refuse any other.
//   - Every write is acknowledged by a majority, with its journal. Reads are of majority-committed data, from the primary. What the
//     connection string says otherwise does not count.
//   - A list and a page of the feed are of one instant (read concern snapshot).
//   - A transaction that lost against another is ErrStale and left nothing. An outage is ErrUnavailable, also where it is not
//     known whether a commit took place.
//   - Filters are equality, $in and ranges; nothing that a caller sent is ever an operator, a field name or a pattern.
//   - No error holds the connection string or its credentials.
package mongo
