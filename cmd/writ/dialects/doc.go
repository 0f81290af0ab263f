// Package dialects is the kit that the dialects are made of. A dialect lets the clients of another system work against Writ unchanged: it
// is a table of routes in front of the native ones, each of which decodes a request, renames what it says, calls a native route in process
// and renders the reply in the words of that system.
//
// Owns: matching and refusing below the base path of a dialect, strict decoding of its bodies, the native call in process, and what of a
// native reply passes through whatever the dialect says: Decision-Id, ETag, Retry-After, Cache-Control, WWW-Authenticate, and that an
// outage stays one.
//
// Does not own: rules, facts, tokens, or anything that is stored. A dialect has nothing but HTTP: what it may not do natively, for the
// caller whose credential it hands on, it cannot do.
//
// Invariants:
//   - Nothing of ours is imported here, and a dialect imports nothing of ours but this package. So it can reach no store and no PDP.
//   - A native call carries the caller's credential, address and context, and no other credential than the request brought.
//   - A row serves on the listeners of its plane alone, and does not exist on others.
//   - A native 5xx is never rendered as anything below 500, nor a refusal as a success.
package dialects
