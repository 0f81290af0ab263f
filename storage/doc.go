// Package storage declares the records that Writ keeps and the narrow contract by which a store keeps them.
//
// Owns: the record types, the [Store] contract, the sentinel errors, and [Follower], the one reader of the change feed.
//
// Does not own: any database (storage/sqlite, storage/mongo), any rule about who may change what (policies), any
// normalisation of names (identity) and any cryptography (storage/seal): verifiers and sealed bytes arrive ready-made.
//
// Invariants, which storage/storagetest proves for each store:
//   - Times are UTC and have millisecond precision: a store returns what [Time] gives.
//   - Values never alias: what a caller hands in or gets back is the caller's alone.
//   - Ids are case-sensitive, non-empty strings chosen by the caller; lists are in ascending byte order of the id.
//   - An empty list is not an error. An expired record is absent, whether or not anything removed it yet.
//   - Every call takes a context and gives up when it is done.
//   - Look-up keys are always present and normalised before they come here.
//   - Raw tokens, passwords and secrets never come here.
//   - Records of an authority kind change only inside [Store.Txn] after [Tx.Advance], so the feed is dense.
package storage
