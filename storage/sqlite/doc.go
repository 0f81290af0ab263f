// Package sqlite is the embedded store: one SQLite file in a directory of its own, pure Go, no server.
//
// Owns: the file and its schema, the lock on the directory, the mapping of SQLite's errors to the sentinels of storage.
//
// Does not own: what is kept. A record is a JSON body; what can be looked up is what its storage.Kind declares.
//
// Invariants:
//   - One process at a time: the directory is locked as long as the store is open.
//   - Every write is one SQLite transaction on the one writer connection; what was acknowledged is on the disk (WAL with
//     synchronous=FULL).
//   - Readers never wait for the writer, and never see a part of a transaction.
//   - A statement that touches a bounded number of rows is not interrupted half-way; the context is heeded before it, and
//     while waiting for a connection.
package sqlite
