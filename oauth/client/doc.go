// Package client is for services that take access tokens of Writ and ask it for decisions. It is a module of its own with one
// dependency, so that a service does not inherit those of the server; the middleware for gin is another module, clientgin.
//
// Owns: the verification of access tokens, by the server's published keys (RFC 9068) or by introspection (RFC 7662); the service's
// own token; questions in the shape of AuthZEN 1.0, one and many, and effective permissions; middleware for net/http.
//
// Does not own: any rule about who may do what. A scope is a pattern that only the server can hold against a resource, so nothing here
// compares scopes: ask.
//
// Invariants:
//   - Allowed is what the server said in a well-formed reply, and nothing else. What cannot be told is ErrUnavailable: neither a
//     denial nor a permission.
//   - A token is invalid only if that is known. If the keys or the introspection endpoint cannot be reached, it is ErrUnavailable.
//   - Every call has a deadline, and every reply that is read has a size that it may not exceed. No redirect is followed.
//   - No call changes anything at the server, so one that got no reply is sent once more, and no more.
//   - Neither a token nor a secret is in an error, or in what fmt and slog print of the values here.
package client
