//go:build linux

// Command bench measures a built server from outside, for the budgets of `make bench`. It starts the server on one core and
// loads it from the others, so it needs Linux; everything else of Writ does not.
//
// A budget is a ratio: the server's CPU time per request against that of a floor, a handler of the same binary that decodes and
// writes a small JSON and does, where its name says so, one signature or seal. The bench build (-tags bench) serves the
// floors; the shipped build does not have them, and a run begins with proving that. They run in a process with an empty store
// on the same core, so that no floor pays for collecting what Writ keeps. Floors and scenarios take turns, in rounds, so that
// what else the machine does hits all of them; the rounds are added up. Each begins after a collection of the server's garbage and ends
// with one, or is charged a part of one, so that it pays for what it leaves behind and for nothing that others left.
//
// CPU time is getrusage of the server and of the process that it hashes passwords in, which it tells at /bench/usage; resident
// memory is VmRSS in /proc, of both. They hold all that a request causes: garbage collection, the request log and the decision log,
// which go to files.
// How much others computed on the server's core meanwhile (/proc/stat) is in the report. An open loop in which that was more than a
// twentieth is run once more, and the report says so, and of which loads the latencies still are not to be believed.
//
// To add a scenario, add a few lines to scenarios.go:
//
//   - A [scenario] is a name, a line of text and a load. A load is an address, the wanted reply, and a function that makes one
//     script per connection; a script returns the next request and sees the reply to the last one, so that a chain such as
//     refresh needs no more than a closure. Most loads are a [cycle] through requests that are made beforehand; what can be done
//     with a token once takes it from a [supply], which is filled between the loops.
//   - units says how many decisions one request takes (a batch); figures are then per decision.
//   - beside is a second load that runs for as long as the first is measured and is not counted (a flood of logins). Only latencies
//     can be compared then, of an open loop at one rate with and without it: a scenario with as is a load of another one in such a
//     loop.
//   - What the load needs in the server is made in world.go and oauth.go: records through /bench/records, applications, people and
//     tokens through the API.
//   - A budget is a [row] in rows.go: what was measured of which scenario, and what it may be.
//
// Owns: the load generator, its arithmetic, the scenarios and their budgets.
//
// Does not own: whether replies are right (e2e), the cost of single functions (go test -bench beside the code), what the floors
// do (cmd/writ).
//
// Invariants:
//   - It imports nothing of ours; what it knows of Writ is what a client could know, but for the routes below /bench/.
//   - A reply that is not the wanted one is never counted as a fast success: it is in the report and the exit code, and more than one
//     in a hundred end the run. A budget that is missed is a line in the report and not a failure.
//   - Latencies are counted from when a request was due, not from when it could be sent.
//   - It uses loopback only, ends by itself, and leaves no process and no file behind.
package main
