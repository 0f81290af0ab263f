//go:build bench

package identity

import "golang.org/x/crypto/argon2"

// BareArgon2id is one hash of a password with the parameters of new ones, outside the pool: what a login cannot cost less than.
func BareArgon2id(password string) []byte {
	return argon2.IDKey([]byte(password), make([]byte, saltBytes), argonTime, argonMemory, argonThreads, hashBytes)
}
