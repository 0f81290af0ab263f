// Package storagetest is the conformance suite of storage.Store: what the contract says in prose, it proves for each store.
//
// Owns: the properties that hold for every store, one file each, and the records that exercise them ([Kinds]).
//
// Does not own: what is particular to one store, such as its files, locks and indexes; that is tested beside it.
//
// Invariants: each subtest gets a fresh store and its own clock; the suite never waits for time to pass; a method of the
// contract that no property called fails the suite.
package storagetest
