package identity

import "github.com/writ-authz/writ/storage"

// What tests look at from outside.
var (
	Guessable     = guessable
	CheckUsername = checkUsername
	CheckEmail    = checkEmail
	ServerMade    = serverMade
	DenialStatus  = denialStatus
)

// ValidPHC reports whether a verifier can be read.
func ValidPHC(s string) bool {
	_, err := parsePHC(s)
	return err == nil
}

// Chain is the node's own audit chain.
func (r *Room) Chain() string { return r.audit.chain }

// AuthorityChain is the common one.
const AuthorityChain = authorityChain

// Cached is how many users are in memory.
func (r *Room) Cached() int {
	r.directory.users.mu.Lock()
	defer r.directory.users.mu.Unlock()
	return r.directory.users.order.Len()
}

// Rehash gives an edited entry a fitting hash, as a forger would.
func Rehash(e *storage.AuditEntry) {
	e.Hash, _ = hashOf(e)
}
