// Package seal encrypts the secrets and signing keys that must be readable again, so that a copy of the database shows
// nothing without a key from outside it.
//
// Owns: the key encryption key ([KEK], from a file or from its text), the keyset that it wraps ([NewKeyset],
// kept by the caller wherever it likes), and the [Sealer] that works with the opened keyset. It is the only home of Tink.
//
// Does not own: where sealed bytes are stored, who may open them, passwords and verifiers (which are hashed, never sealed).
//
// Invariants:
//   - Sealed bytes open only with the associated data they were sealed with: they cannot be moved to another record.
//   - Sealing the same bytes twice gives different results; nobody sees from outside that two secrets are equal.
//   - What [Sealer.Derive] returns depends on the keyset and the purpose alone: it is the same on every node that shares the
//     keyset, and survives another KEK.
//   - No key and no plaintext ever appears in an error or in formatted output.
package seal
