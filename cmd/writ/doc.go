// Command writ is the authorization server and its command line.
//
// Owns: the commands, configuration and the origin of every value, the wiring of the rooms, listeners and TLS, request ids, the
// one log event per request, metrics, start-up and shutdown, the demo data.
//
// Does not own: any rule, any protocol, any record. Nothing imports it.
//
// Invariants:
//   - Flags beat WRIT_* variables, which beat writ.yaml, which beats defaults; a key that nobody knows is an error.
//   - Every error before listening is fatal, one line, and says what to do. Nothing starts half-configured.
//   - Exit codes are 0 ok, 1 failure, 2 usage, 3 policy does not compile, 4 policy tests fail, and no others.
//   - Secrets are never printed by config, logs or errors; a secret that Writ makes is printed once, where it is made.
//   - This is the only package that reads the environment, the clock and configuration files.
package main
