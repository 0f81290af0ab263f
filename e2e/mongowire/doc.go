// Command mongowire is a stand-in for a MongoDB server, for tests only. It is no database: it keeps everything in memory, knows
// the few commands that Writ's store uses, and refuses everything else by name.
//
// Owns: the wire front (OP_MSG, and OP_QUERY for the first handshake), sessions, retryable writes, snapshot transactions,
// snapshot reads, cursors, unique indexes, and a log that survives kill -9.
//
// Does not own: what a filter matches, what an update does, and how two values compare; those are lungo's mongokit and bsonkit,
// so that the store is held against a third party's reading of MongoDB and not against our own.
//
// Invariants:
//   - A command, field, option or operator that it does not know is refused with code 238, never ignored.
//   - A write is acknowledged after its log record is on disk, and a read outside a transaction sees only what is on disk.
//   - Published trees and stored documents are never changed in place; a reader needs no lock.
//   - Nobody waits while holding the writer lock, and a transaction never waits for another: it loses at once (code 112).
package main
