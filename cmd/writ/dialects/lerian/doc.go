// Package lerian speaks as Lerian's Access Manager does: its Auth plugin (tokens, logout, decisions) and its Identity plugin (users, groups,
// applications).
//
// Owns: the table of routes of the two, their names for what Writ has, and their errors: AUT- and IDE- codes with title and message.
//
// Does not own: who may do what, and everything else that is natively Writ's. What differs by dialect is policy data,
// settings.dialects.lerian.
//
// Invariants:
//   - A body of a success has no member "code": by it the vendor's client tells an error from a decision.
//   - Refusals of a login are the same bytes, whatever was wrong.
//
// What the public documentation of the product leaves open, and what is done here:
//   - The token reply is 200, and a login with a temporary password is a login whose scope is to change it.
//   - idToken is the access token, which ends its session at /v1/logout; a login of an application has none.
//   - AUT-0001 also stands for a body that is not JSON, or has keys twice, unknown ones or values of another type; AUT-0014 for fields that do
//     not fit the grant, in either direction. Of the Identity plugin these are IDE-0002 and IDE-0004.
//   - Refusals that have no code there keep their status: a right that is missing is AUT-0003 or IDE-0003 with 403; too many failures are 429
//     with the code of the failure; an outage is AUT-0008 or IDE-0005 with 503.
//   - A body of another media type is 415, and one that is too large is 413, with the code of a bad body.
package lerian
