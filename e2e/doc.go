// Package e2e is the proof from outside: it builds the binary once, starts it, and speaks HTTP and the command line only.
//
// Owns: the journeys of the five seed documents, the OAuth and decision rows that can be told over HTTP, bad input on every
// route, bad configuration, restart and kill, the swap of policies, and the pasteable lines of `writ dev`.
//
// Does not own: anything that can be said about one room alone (its own tests say it).
//
// Invariants:
//   - It imports nothing of ours; what it knows of Writ is what a client could know.
//   - The first line says which runner, store and server version were used, and what was left out.
//   - No test sleeps for a result: it polls, under a deadline.
//   - Whenever a server stops, every secret that a test saw or made is searched for in all that the server wrote, and the
//     decision log is held against the Decision-Id headers that were received.
package e2e
