package identity

import (
	"context"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// Argon2id parameters of new hashes (RFC 9106; OWASP's first choice for 19 MiB).
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	saltBytes    = 16
	hashBytes    = 32

	maxPasswordBytes = 1024
	// queuePerCore bounds how many wait for the pool: with 76 ms a hash, nobody waits longer than about a third of a second.
	queuePerCore = 4
)

// commonPasswords holds words in lower case, without the digits and punctuation that people put around them: one word stands for
// thousands of common passwords.
//
//go:embed common.txt
var commonPasswords string

// hasher runs slow hashes in a bounded pool. What does not fit into its queue is storage.ErrUnavailable at once.
type hasher struct {
	rand   io.Reader
	slots  chan struct{}
	queue  chan struct{}
	decoy  phc
	hashes atomic.Int64
}

func newHasher(rand io.Reader) (*hasher, error) {
	cores := runtime.GOMAXPROCS(0)
	h := &hasher{rand: rand, slots: make(chan struct{}, cores), queue: make(chan struct{}, cores*(1+queuePerCore))}
	h.decoy = emptyPHC()
	if _, err := io.ReadFull(rand, h.decoy.salt); err != nil {
		return nil, fmt.Errorf("make the decoy: %w", err)
	}
	if _, err := io.ReadFull(rand, h.decoy.hash); err != nil {
		return nil, fmt.Errorf("make the decoy: %w", err)
	}
	return h, nil
}

// run computes one hash when there is room.
func (h *hasher) run(ctx context.Context, p phc, secret string) ([]byte, error) {
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		return nil, fmt.Errorf("the password pool is full: %w", storage.ErrUnavailable)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the password pool: %w", errors.Join(ctx.Err(), storage.ErrUnavailable))
	}
	h.hashes.Add(1)
	return argon2.IDKey([]byte(secret), p.salt, p.time, p.memory, p.threads, uint32(len(p.hash))), nil
}

// make returns the verifier of a secret that a person chose.
func (h *hasher) make(ctx context.Context, secret string) (string, error) {
	p := emptyPHC()
	if _, err := io.ReadFull(h.rand, p.salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	hash, err := h.run(ctx, p, secret)
	if err != nil {
		return "", err
	}
	p.hash = hash
	return p.String(), nil
}

// verify costs one hash whatever it is given: a verifier that is empty or cannot be read is replaced by the decoy, which no
// secret fits.
func (h *hasher) verify(ctx context.Context, verifier, secret string) (bool, error) {
	p, err := parsePHC(verifier)
	known := err == nil
	if !known {
		p = h.decoy
	}
	hash, err := h.run(ctx, p, secret)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(hash, p.hash) == 1 && known, nil
}

// phc is an Argon2id verifier: $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, hash   []byte
}

// emptyPHC has the parameters of new hashes, and room for salt and hash.
func emptyPHC() phc {
	return phc{
		memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, saltBytes), hash: make([]byte, hashBytes),
	}
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.time, p.threads, b64.EncodeToString(p.salt), b64.EncodeToString(p.hash))
}

var errPHC = errors.New("not an argon2id PHC string within bounds")

// parsePHC reads a verifier. The bounds keep a stored or imported one from taking the machine.
func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errPHC
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, errPHC
	}
	memory, err1 := cost(costs[0], "m=", 8, 256*1024)
	passes, err2 := cost(costs[1], "t=", 1, 16)
	threads, err3 := cost(costs[2], "p=", 1, 16)
	salt, err4 := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	hash, err5 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errors.Join(err1, err2, err3, err4, err5) != nil || len(salt) < 8 || len(salt) > 64 || len(hash) < 16 || len(hash) > 64 {
		return phc{}, errPHC
	}
	return phc{memory: memory, time: passes, threads: uint8(threads), salt: salt, hash: hash}, nil
}

func cost(text, prefix string, least, most uint32) (uint32, error) {
	digits, ok := strings.CutPrefix(text, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || uint32(n) < least || uint32(n) > most {
		return 0, errPHC
	}
	return uint32(n), nil
}

// PasswordHashes is how many slow hashes were computed since the start.
func (r *Room) PasswordHashes() int64 { return r.passwords.hashes.Load() }

// normalPassword is RFC 8265 OpaqueString.
func normalPassword(password string) (string, bool) {
	if len(password) > maxPasswordBytes {
		return "", false
	}
	normal, err := precis.OpaqueString.String(password)
	return normal, err == nil && normal != ""
}

// Check returns the id of the user whose password this is, and the epoch that went with the verifier. An unknown name, a wrong password and a user that is suspended, outside
// its window or its tenant's good times are storage.ErrNotFound alike, after one look-up and one hash each. A full pool or a store
// that is away is storage.ErrUnavailable.
//
// Guessing from peer is slowed down: a *enforce.ProtocolError of status 429, before anything is looked up or hashed.
func (r *Room) Check(ctx context.Context, peer netip.Addr, username, password string) (string, int64, error) {
	key, _ := nameKey(username) // a name that has no key is looked up as the empty one, which nobody has
	attempt, err := r.people.admit(key, password, peer)
	if err != nil {
		return "", 0, err
	}
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
	if user == nil || !ok || !r.mayLogIn(user) {
		attempt.failed()
		return "", 0, fmt.Errorf("check a password: %w", storage.ErrNotFound)
	}
	attempt.succeeded()
	return user.ID, user.Epoch, nil
}

// verifyPassword costs one hash also for a password that is no password.
func (r *Room) verifyPassword(ctx context.Context, verifier, password string) (bool, error) {
	normal, valid := normalPassword(password)
	ok, err := r.passwords.verify(ctx, verifier, normal)
	return ok && valid, err
}

// mayLogIn says whether the user is usable and a temporary password still good. Addresses are the rules' business.
func (r *Room) mayLogIn(u *storage.User) bool {
	now := r.config.Now()
	if u.Password.ExpiresAt != nil && !now.Before(*u.Password.ExpiresAt) {
		return false
	}
	usable := false
	r.directory.read(func(v view) {
		facts := userFacts(v, u)
		usable = facts.Usable(now, policies.AddressUnknown)
	})
	return usable
}

// acceptPassword holds a new password against the rules for passwords and returns its normal form.
func (r *Room) acceptPassword(password, pointer string, u *storage.User) (string, error) {
	normal, ok := normalPassword(password)
	switch {
	case !ok:
		return "", enforce.BadRequest("malformed_password", pointer, "a password has 1 to 1024 bytes and no control characters")
	case utf8.RuneCountInString(normal) < r.config.PasswordMinimum:
		return "", enforce.BadRequest("password_too_short", pointer,
			"a password has at least "+strconv.Itoa(r.config.PasswordMinimum)+" characters")
	case guessable(normal, u.UsernameKey, u.EmailKey, u.Name):
		return "", enforce.BadRequest("password_too_common", pointer, "the password is one of those that are tried first; choose another")
	}
	return normal, nil
}

// guessable reports passwords that are a common word, the product or the user with some digits around, or one simple run.
func guessable(password string, context ...string) bool {
	lower := strings.ToLower(password)
	if simpleRun(lower) {
		return true
	}
	words := map[string]bool{"writ": true}
	for word := range strings.FieldsSeq(commonPasswords) {
		words[word] = true
	}
	for _, text := range context {
		for _, word := range append(strings.FieldsFunc(strings.ToLower(text), notLetter), strings.ToLower(text)) {
			words[word] = utf8.RuneCountInString(word) >= 3
		}
	}
	if words[lower] {
		return true
	}
	core := strings.TrimFunc(lower, notLetter)
	plain := strings.TrimFunc(unleet.Replace(lower), notLetter)
	for _, candidate := range []string{core, plain, unleet.Replace(core)} {
		if words[candidate] || composed(candidate, words) {
			return true
		}
	}
	return false
}

// composed reports a candidate that is a word repeated, or two words in a row.
func composed(candidate string, words map[string]bool) bool {
	for cut := 3; cut <= len(candidate)-3; cut++ {
		if words[candidate[:cut]] && words[strings.TrimFunc(candidate[cut:], notLetter)] {
			return true
		}
	}
	return false
}

func notLetter(c rune) bool { return !unicode.IsLetter(c) }

// unleet turns the digits and signs that stand for letters back.
var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// simpleRun reports one character, one pair repeated, or neighbours in a row all through.
func simpleRun(s string) bool {
	const rows = "01234567890 abcdefghijklmnopqrstuvwxyz qwertyuiop asdfghjkl zxcvbnm 09876543210 qwertyuiopasdfghjklzxcvbnm"
	runes := []rune(s)
	steps := 0
	for i := 1; i < len(runes); i++ {
		pair := string(runes[i-1 : i+1])
		if runes[i] == runes[i-1] || strings.Contains(rows, pair) || i >= 2 && runes[i] == runes[i-2] {
			steps++
		}
	}
	return steps >= len(runes)-2
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

// newTemporaryPassword returns a fresh temporary password and its state.
func (r *Room) newTemporaryPassword(ctx context.Context, now time.Time) (string, storage.Password, error) {
	password, err := temporaryPassword(r.config.Rand)
	if err != nil {
		return "", storage.Password{}, err
	}
	verifier, err := r.passwords.make(ctx, password)
	if err != nil {
		return "", storage.Password{}, err
	}
	at, until := storage.Time(now), storage.Time(now.Add(r.config.TemporaryPasswordLife))
	return password, storage.Password{Verifier: verifier, Temporary: true, ExpiresAt: &until, ChangedAt: &at}, nil
}

// newPassword is the state after a user, or whoever creates one, chose a password. It is normal already.
func (r *Room) newPassword(ctx context.Context, normal string, now time.Time) (storage.Password, error) {
	verifier, err := r.passwords.make(ctx, normal)
	if err != nil {
		return storage.Password{}, err
	}
	at := storage.Time(now)
	return storage.Password{Verifier: verifier, ChangedAt: &at}, nil
}
