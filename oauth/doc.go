// Package oauth is the OAuth 2.0 authorization server: it authenticates clients, issues and validates access tokens,
// keeps the keys and the sessions, and publishes the metadata. It is the only home of fosite and go-jose.
//
// Owns: the token endpoint (RFC 6749), introspection (RFC 7662), revocation (RFC 7009), the access token, signed (RFC 9068) or sealed,
// and its validation for every API of Writ, access tokens of external issuers and the fetching of what other servers publish, the four
// key rings and the JWKS (RFC 7517), the metadata (RFC 8414), sessions and their end, the ceilings that no policy may widen, and the
// RFC 6749 error language.
//
// Does not own: identities, secrets and passwords (identity, through the ports Directory, Secrets and Passwords),
// whether a token may be issued and with what (policies/rego/writ/token), registration of routes (policies/enforce).
//
// Invariants:
//   - Fosite judges protocol and nothing else; between its two phases the policy decides. Its types never leave this package.
//   - Whatever a policy says, granted scopes lie within requested ∩ registered ∩ held, audience and lifetime within their
//     caps, and reserved claims are untouched (ceiling.go).
//   - client_credentials reads no store and writes none, but for the one insert that uses up a client assertion. A token carries integer epochs, and each acceptance compares them.
//   - An outage is 503, never a refusal and never a success. Unknown client, wrong secret and an application that is not
//     usable give the same bytes.
//   - What one ring's key made is nothing to another, and nothing that no key made costs a read (rings.go, validate.go).
//   - Nothing that a token names is fetched, only what the configuration or a registration names (fetch.go).
//   - No secret, password or raw token is logged, stored, or put into an error.
package oauth
