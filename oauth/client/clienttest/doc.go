// Package clienttest is a Writ for the tests of services: it issues tokens, publishes keys, introspects, and answers questions from a table
// that the test writes, in this process and over HTTP.
//
// Owns: the double and what it can be made to do: revoke, rotate its key, be out of reach.
//
// Does not own: any rule. Whether the policies say what the table says is for a test against the server to show.
//
// Invariants:
//   - A question that the table does not answer fails the test, and is answered with an outage.
//   - It demands what the server demands: the service's credentials, a bearer token of its own, whole questions.
package clienttest
