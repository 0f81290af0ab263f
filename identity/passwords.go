package identity

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const maxPasswordBytes = 1024

// PasswordHashes is how many slow hashes were computed since the start.
func (r *Room) PasswordHashes() int64 { return r.passwords.hashes.Load() }

// Figures are what a node tells of passwords, guessing, secrets and the audit since its start.
type Figures struct {
	// Inside is how many hash or wait now, PoolFull how many found no place.
	Inside, PoolFull int64
	// ThrottledPeople and ThrottledMachines are attempts that were told to wait.
	ThrottledPeople, ThrottledMachines int64
	// Logins counts password logins by outcome: "ok" or why not. UnwrittenLogins are those of them that the audit does not have.
	Logins          map[string]int64
	UnwrittenLogins int64
	// Reveals counts attempts to read a secret by outcome.
	Reveals map[string]int64
	// Checkpoints were written to the store; CheckpointFailures are attempts that the store or the anchor did not take.
	Checkpoints, CheckpointFailures int64
	// RefusalsLeftOut are refusals that were counted and have no audit entry of their own.
	RefusalsLeftOut int64
}

// LoginOutcomes are the keys of Figures.Logins.
func LoginOutcomes() []string {
	return []string{outcomeOK, faultUnknown, faultWrong, faultExpired, faultNotUsable}
}

// Figures returns the figures of now.
func (r *Room) Figures() Figures {
	logins, lost := r.logins.figures()
	return Figures{
		Inside: r.passwords.inside.Load(), PoolFull: r.passwords.full.Load(),
		ThrottledPeople: r.people.refused.Load(), ThrottledMachines: r.machines.refused.Load(), Logins: logins, UnwrittenLogins: lost,
		Reveals: r.revealed.figures(), Checkpoints: r.audit.witness.made.Load(), CheckpointFailures: r.audit.witness.failures.Load(),
		RefusalsLeftOut: r.audit.refusals.leftOut.Load(),
	}
}

// normalPassword is RFC 8265 OpaqueString.
func normalPassword(password string) (string, bool) {
	if len(password) > maxPasswordBytes {
		return "", false
	}
	normal, err := precis.OpaqueString.String(password)
	return normal, err == nil && normal != ""
}

// Check returns the id of the user whose password this is, and the epoch that went with the verifier. An unknown name, a wrong
// password and a user that is suspended, outside its window or its tenant's good times are storage.ErrNotFound alike, after one
// look-up and one hash each. A full pool or a store that is away is storage.ErrUnavailable.
//
// Guessing from peer is slowed down: a *enforce.ProtocolError of status 429, before anything is looked up or hashed. Logins and
// failures are audited, except refusals of that kind, which are only counted.
func (r *Room) Check(ctx context.Context, peer netip.Addr, username, password string) (string, int64, error) {
	key, _ := nameKey(username) // a name that has no key is looked up as the empty one, which nobody has
	attempt, err := r.people.admit(key, password, peer)
	if err != nil {
		return "", 0, err
	}
	defer attempt.done()
	user, err := storage.Lookup[storage.User](ctx, r.store, "username", key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return "", 0, fmt.Errorf("look up the user: %w", err)
	}
	verifier := ""
	if user != nil {
		verifier = user.Password.Verifier
	}
	ok, err := r.verifyPassword(ctx, verifier, password)
	if err != nil {
		return "", 0, err
	}
	if fault := r.loginFault(user, ok); fault != "" {
		if attempt.failed() {
			r.logins.failed(ctx, loginAction, user, attempt.name(), fault)
		}
		return "", 0, fmt.Errorf("check a password: %w", storage.ErrNotFound)
	}
	attempt.succeeded()
	r.logins.succeeded(ctx, user)
	r.strengthen(ctx, user, password)
	return user.ID, user.Epoch, nil
}

// loginFault says why a user does not log in, or "". It is for the audit: callers hear one and the same.
func (r *Room) loginFault(u *storage.User, proved bool) string {
	switch {
	case u == nil:
		return faultUnknown
	case !proved:
		return faultWrong
	case u.Password.ExpiresAt != nil && !r.config.Now().Before(*u.Password.ExpiresAt):
		return faultExpired
	case !r.mayLogIn(u):
		return faultNotUsable
	}
	return ""
}

// verifyPassword costs one hash also for a password that is no password.
func (r *Room) verifyPassword(ctx context.Context, verifier, password string) (bool, error) {
	normal, valid := normalPassword(password)
	ok, err := r.passwords.verify(ctx, verifier, normal)
	return ok && valid, err
}

// mayLogIn says whether the user is usable. Addresses are the rules' business.
func (r *Room) mayLogIn(u *storage.User) bool {
	now, usable := r.config.Now(), false
	r.directory.read(func(v view) {
		facts := userFacts(v, u)
		usable = facts.Usable(now, policies.AddressUnknown)
	})
	return usable
}

// Breaches knows passwords that are known to have leaked.
type Breaches interface {
	// Contains says whether the SHA-1 of a password is there. An error says that it cannot be told now.
	Contains(sum [sha1.Size]byte) (bool, error)
}

// acceptPassword holds a new password against the rules for passwords and returns its normal form. client is the application by which
// it is set.
func (r *Room) acceptPassword(password, pointer string, u *storage.User, client string) (string, error) {
	normal, ok := normalPassword(password)
	switch {
	case !ok:
		return "", enforce.BadRequest("malformed_password", pointer, "a password has 1 to 1024 bytes and no control characters")
	case utf8.RuneCountInString(normal) < r.config.PasswordMinimum:
		return "", enforce.BadRequest("password_too_short", pointer,
			"a password has at least "+strconv.Itoa(r.config.PasswordMinimum)+" characters")
	case r.words.guessable(normal, append(r.contextOf(u.Tenant, client), u.UsernameKey, u.EmailKey, u.Name)...):
		return "", enforce.BadRequest("password_too_common", pointer, "the password is one of those that are tried first; choose another")
	}
	if r.config.Breaches == nil {
		return normal, nil
	}
	leaked, err := r.config.Breaches.Contains(sha1.Sum([]byte(normal)))
	switch {
	case err != nil:
		return "", fmt.Errorf("look for a leaked password: %w", errors.Join(err, storage.ErrUnavailable))
	case leaked:
		return "", enforce.BadRequest("password_breached", pointer, "the password is in a list of those that have leaked; choose another")
	}
	return normal, nil
}

// contextOf are the names around a user that an attacker knows: of the tenant, and of the application where the password is set.
func (r *Room) contextOf(tenant storage.TenantID, client string) []string {
	words := []string{string(tenant), client}
	if t := (standing{r.directory}).tenant(tenant); t != nil {
		words = append(words, t.Name)
	}
	if e := r.directory.application(client); e != nil {
		words = append(words, e.application.Name)
	}
	return words
}

// temporaryPassword returns a password of 100 random bits that is easy to read out.
func temporaryPassword(rand io.Reader) (string, error) {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789" // 32 characters; no 0, 1, l, o
	raw := make([]byte, 20)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("make a password: %w", err)
	}
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[c%32])
	}
	return b.String(), nil
}

// unmade is in the place of a verifier while a change is decided on that will make it. It fits no password.
const unmade = "unmade"

// madePassword is what one attempt of a request made and the next ones take over: a change that lost against another is decided anew,
// and not hashed anew.
type madePassword struct {
	state storage.Password
	// temporary is the password where it was made here.
	temporary string
	// old is the verifier of the password that it replaces.
	old string
}

// once returns what an earlier attempt made in the place of the same verifier, or makes it.
func once(req *enforce.Request, old string, make func() (madePassword, error)) (madePassword, error) {
	if kept, ok := req.Kept.(madePassword); ok && kept.old == old {
		return kept, nil
	}
	made, err := make()
	if err != nil {
		return madePassword{}, err
	}
	made.old, req.Kept = old, made
	return made, nil
}

// temporaryState is the state of a temporary password that is yet to be made.
func (r *Room) temporaryState(now time.Time) storage.Password {
	at, until := storage.Time(now), storage.Time(now.Add(r.config.TemporaryPasswordLife))
	return storage.Password{Verifier: unmade, Temporary: true, ExpiresAt: &until, ChangedAt: &at}
}

// chosenState is that of a password that a user, or whoever creates one, chose.
func chosenState(now time.Time) storage.Password {
	at := storage.Time(now)
	return storage.Password{Verifier: unmade, ChangedAt: &at}
}

// makeTemporary makes a fresh temporary password in the state of one.
func (r *Room) makeTemporary(ctx context.Context, state storage.Password) (madePassword, error) {
	password, err := temporaryPassword(r.config.Rand)
	if err != nil {
		return madePassword{}, err
	}
	state.Verifier, err = r.passwords.make(ctx, password)
	return madePassword{state: state, temporary: password}, err
}

// makeChosen is the hash of a password that was accepted and is normal.
func (r *Room) makeChosen(ctx context.Context, normal string, state storage.Password) (made madePassword, err error) {
	state.Verifier, err = r.passwords.make(ctx, normal)
	return madePassword{state: state}, err
}
