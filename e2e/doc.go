// Package e2e is the proof from outside: it builds the binary once, starts it, and speaks HTTP and the command line only.
//
// Owns: the journeys of the five seed documents, the OAuth and decision rows that can be told over HTTP, bad input on every
// route, bad configuration, restart and kill, the swap of policies, the pasteable lines of `writ dev`, several nodes on one
// database and its outage, the image and the compose file. All of it runs in processes on the embedded store, in processes on
// MongoDB or its stand-in, and in containers, as far as it makes sense there.
//
// Does not own: anything that can be said about one room alone (its own tests say it).
//
// Invariants:
//   - It imports nothing of ours; what it knows of Writ is what a client could know.
//   - The first line says which runner, store and server version were used; the last ones say what was left out and why.
//   - No test sleeps for a result: it polls, under a deadline.
//   - What waits for real time to pass, and touches nothing that other tests look at, is t.Parallel: it waits together with the others,
//     at the end.
//   - Whenever a server stops, every secret that a test saw or made is searched for in all that the server wrote, and the
//     decision log is held against the Decision-Id headers that were received.
package e2e
