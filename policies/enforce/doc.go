// Package enforce is the policy enforcement point: the route table, [Mount], and the one decision per request.
//
// Owns: the shape of a route, the only registration with gin, resolve-decide-respond with its bounded retries, the Decision-Id
// header, the one decision-log line per request, the closed list of undecided routes, and the ports by which rooms give it
// callers and facts.
//
// Does not own: rules (policies/rego), their evaluation (policies), the error language of a plane (the room that owns the plane).
//
// Invariants:
//   - No route exists that is not a row of a table given to Mount, or a row of openroutes.go.
//   - A decided request has exactly one Decision-Id and one decision-log line with it, for the version acted on. What it
//     asks besides (Request.Ask) has an id and a line each, with that id as parent.
//   - A decision that errs is 503 and nothing else. Respond runs only after a permit.
package enforce
