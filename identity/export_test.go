package identity

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/writ-authz/writ/storage"
)

// What tests look at from outside.
var (
	CheckUsername = checkUsername
	CheckEmail    = checkEmail
	ServerMade    = serverMade
	DenialStatus  = denialStatus
)

// Guessable holds a password against the lists.
func Guessable(password string, context ...string) bool {
	return newWordlist().guessable(password, context...)
}

// CommonPasswords are the lists.
func CommonPasswords() map[string]bool { return newWordlist() }

// ValidVerifier reports whether a verifier can be read.
func ValidVerifier(s string) bool {
	_, err := parseVerifier(s)
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

// Fits and Weak are those of a verifier.
func Fits(text, secret string) (fits, weak bool) {
	v, err := parseVerifier(text)
	return err == nil && v.fits(secret), err == nil && v.weak()
}

func Weak(text string) bool {
	v, err := parseVerifier(text)
	return err == nil && v.weak()
}

var QueueFor = queueFor

// HoldPool takes every slot of the hash pool until release.
func (r *Room) HoldPool() (release func()) {
	for range cap(r.passwords.slots) {
		r.passwords.slots <- struct{}{}
	}
	return func() {
		for range cap(r.passwords.slots) {
			<-r.passwords.slots
		}
	}
}

// Inside is how many hash or wait, Places the most of them.
func (r *Room) Inside() int64 { return r.passwords.inside.Load() }
func (r *Room) Places() int64 { return r.passwords.room.Load() }

// MostHeld is the most whose refusal waits; Held is how many do, and HoldBack sets for how long.
const MostHeld = mostHeld

func (r *Room) Held() int64              { return r.passwords.held.Load() }
func (r *Room) HoldBack(d time.Duration) { r.passwords.holdBack = d }

// PBKDF2SHA256 is the hash of a verifier of another system.
func PBKDF2SHA256(password string, salt []byte, rounds, size int) []byte {
	sum, err := pbkdf2.Key(sha256.New, password, salt, rounds, size)
	if err != nil {
		panic(err) // unreachable: only in FIPS mode
	}
	return sum
}

// FailLogin writes down that somebody did not prove a password.
func (r *Room) FailLogin(ctx context.Context) {
	u := &storage.User{}
	u.ID = "0193d4c2-7f00-7000-8000-0000000000aa"
	r.logins.failed(ctx, loginAction, u, digest{1}, faultWrong)
}

// ViewAudit is an entry as replies show it.
var ViewAudit = viewAudit

// FailUnknown is FailLogin for a name that nobody has.
func (r *Room) FailUnknown(ctx context.Context) {
	r.logins.failed(ctx, loginAction, nil, digest{1}, faultUnknown)
}

const (
	FailureBurst = failureBurst
	UnknownBurst = unknownBurst
)

// SharedRights is how many sets of rights are in memory.
func (r *Room) SharedRights() int {
	r.directory.shared.mu.Lock()
	defer r.directory.shared.mu.Unlock()
	return len(r.directory.shared.sets)
}

const (
	RefusalBurst      = refusalBurst
	MaxRefusedCallers = maxRefusedCallers
)

// FloodOfRefusals refuses many callers in many tenants at one instant, and returns how many get an entry and how many all entries tell
// of at the end.
func FloodOfRefusals(now time.Time, callers, tenants int) (written, told int64) {
	var r refusals
	for caller := range callers {
		for tenant := range tenants {
			e := &storage.AuditEntry{Actor: "user:" + strconv.Itoa(caller), Tenant: storage.TenantID(strconv.Itoa(tenant))}
			if r.admit(e, now) {
				written, told = written+1, told+1+e.LeftOut
			}
		}
	}
	for _, e := range r.take(now, true) {
		told += 1 + e.LeftOut
	}
	return written, told
}
