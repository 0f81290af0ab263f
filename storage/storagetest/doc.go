// Package storagetest is the conformance suite of storage.Store: what the contract says in prose, it proves for each store.
//
// Owns: the properties that hold for every store, one file each ([Run]), and the records that exercise them ([Kinds]); the
// same races for many rounds ([Race]); random operations on two stores, each reply compared ([SideBySide]), with a store in
// memory as a third opinion ([Model]); writers and followers on two stores of one database ([Feed]); the server for tests of other
// packages, which run on whichever store the environment names ([Named]).
//
// Does not own: what is particular to one store, such as its files, locks and indexes; that is tested beside it.
//
// Invariants: each subtest gets a fresh store and its own clock; no verdict depends on how fast anything is; a method of the
// contract that no property called fails the suite; random sequences print their seed.
package storagetest
