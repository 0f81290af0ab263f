// Package clientgin is the middleware of package client for gin. It is a module of its own, so that services without gin do not get gin.
//
// Owns: the translation between gin's context and net/http's request.
//
// Does not own: any decision about a request; package client takes it.
//
// Invariants:
//   - A request that is not let through is aborted, with the reply that package client writes.
package clientgin
