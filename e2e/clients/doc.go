// Package clients holds Writ against clients that nobody of this project wrote, with the settings that they have unless told
// otherwise. It is a module of its own, so that none of them is a dependency of the product.
//
// Owns: what golang.org/x/oauth2, go-oidc, zitadel/oidc, jwx, golang-jwt and keyfunc make of the built binary over HTTP; and, where
// Debian's packages of them are installed, Authlib, requests-oauthlib, nginx, haproxy and two modules of Apache, whose
// configurations in testdata are examples to start from.
//
// Does not own: the rows of the OAuth conformance table (e2e tells them), or what those libraries do with other servers.
//
// Invariants:
//   - It imports nothing of ours; what it knows of Writ is what a client could know.
//   - The first line says what was built and used. A test whose endpoint the metadata does not list is left out, and a last line
//     says so; it runs as soon as the metadata lists the endpoint. So is one whose package is not installed: nothing here installs
//     anything.
//   - A setting that differs from a library's default is named beside its use, with the reason.
//
// WRIT_BINARY names a binary to use instead of one that is built from this checkout.
package clients
