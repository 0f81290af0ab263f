// Package miniorange is the dialect of the client credentials of miniOrange PAM: its token endpoint, and the paths of its API, which it asks
// the native forward-auth about.
//
// Owns: the spellings of the token endpoint, its JSON body and reply, the header Authorize, and that a protected path answers 405 where
// the table of routes has no row for the method.
//
// Does not own: which method of which path takes which permission, which is data of the shipped application policy apps/route; the API
// behind those paths; managing credentials, whose wire shape nobody has told, and which is native.
//
// Invariants:
//   - The header Authorize counts below this dialect's base path and nowhere else. It and Authorization never name two tokens.
//   - A protected path is answered as /forward-auth answers, for the path below the base.
//
// Unverified, because the document that we have does not state it, and chosen here:
//   - Errors: those of OAuth 2.0 at the token endpoint, problem documents elsewhere.
//   - That all four members of the token request are required, and that customer may be a number.
//   - That a protected path without a row is 403, and which method rotates a password: the table has none for it.
//   - Which default credential beside mo-ssh-microservice-communication-key is protected: none, unless the bootstrap file says so.
//   - Rules for passwords and lockout, which are Writ's.
package miniorange
