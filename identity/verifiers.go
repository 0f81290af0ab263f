package identity

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Argon2id parameters of new hashes (RFC 9106; OWASP's first choice for 19 MiB).
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	saltBytes    = 16
	hashBytes    = 32

	variantID = "argon2id"
	variantI  = "argon2i"
)

// The most that a verifier from elsewhere may cost. Whoever fails a login at it takes a place of the pool for so long, so the bounds are on
// the work and not on each parameter alone.
const (
	// maxArgonWork is memory (KiB) times passes, maxArgonThreads what one place of the pool may use beside it.
	maxArgonWork    = 8 * argonMemory * argonTime
	maxArgonThreads = 4
	maxArgonMemory  = 256 * 1024 // KiB
	maxArgonTime    = 16
	minBcryptCost   = 4
	maxBcryptCost   = 13
	minPBKDF2Rounds = 1_000
	maxPBKDF2Rounds = 2_000_000
	// bcryptBytes is as much of a password as bcrypt reads.
	bcryptBytes = 72
)

// verifier is what a password is held against. Those made here are Argon2id; others come with users from elsewhere.
type verifier interface {
	// fits computes one slow hash of the secret and compares it.
	fits(secret string) bool
	// weak reports a verifier that is cheaper to attack than those made now: it is replaced when its password is next known.
	weak() bool
}

var errVerifier = errors.New("not a verifier of a known form, within bounds")

// parseVerifier reads a verifier: Argon2id or Argon2i, bcrypt, or PBKDF2 with HMAC-SHA-256 or -512, as docs/operations.md has them.
// (Argon2d is not there: the library does not compute it.)
func parseVerifier(text string) (verifier, error) {
	switch {
	case strings.HasPrefix(text, "$argon2"):
		return parsePHC(text)
	case strings.HasPrefix(text, "$2"):
		return parseBcrypt(text)
	case strings.HasPrefix(text, "$pbkdf2-"):
		return parsePBKDF2(text)
	}
	return nil, errVerifier
}

// phc is an Argon2 verifier: $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>.
type phc struct {
	variant      string
	memory, time uint32
	threads      uint8
	salt, hash   []byte
}

// emptyPHC has the parameters of new hashes, and room for salt and hash.
func emptyPHC() phc {
	return phc{
		variant: variantID, memory: argonMemory, time: argonTime, threads: argonThreads,
		salt: make([]byte, saltBytes), hash: make([]byte, hashBytes),
	}
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s",
		p.variant, argon2.Version, p.memory, p.time, p.threads, b64.EncodeToString(p.salt), b64.EncodeToString(p.hash))
}

// of is the slow hash of a secret.
func (p phc) of(secret string) []byte {
	if p.variant == variantI {
		return argon2.Key([]byte(secret), p.salt, p.time, p.memory, p.threads, uint32(len(p.hash)))
	}
	return argon2.IDKey([]byte(secret), p.salt, p.time, p.memory, p.threads, uint32(len(p.hash)))
}

func (p phc) fits(secret string) bool { return subtle.ConstantTimeCompare(p.of(secret), p.hash) == 1 }

// weak weighs memory against passes, as OWASP's list of equal choices does.
func (p phc) weak() bool {
	return p.variant != variantID || uint64(p.memory)*uint64(p.time) < argonMemory*argonTime || len(p.salt) < saltBytes || len(p.hash) < hashBytes
}

func parsePHC(text string) (phc, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != variantID && parts[1] != variantI || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errVerifier
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, errVerifier
	}
	memory, err1 := cost(costs[0], "m=", 8, maxArgonMemory)
	passes, err2 := cost(costs[1], "t=", 1, maxArgonTime)
	threads, err3 := cost(costs[2], "p=", 1, maxArgonThreads)
	salt, hash, err4 := saltAndHash(parts[4], parts[5])
	if errors.Join(err1, err2, err3, err4) != nil || uint64(memory)*uint64(passes) > maxArgonWork {
		return phc{}, errVerifier
	}
	return phc{variant: parts[1], memory: memory, time: passes, threads: uint8(threads), salt: salt, hash: hash}, nil
}

func cost(text, prefix string, least, most uint32) (uint32, error) {
	digits, ok := strings.CutPrefix(text, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || uint32(n) < least || uint32(n) > most {
		return 0, errVerifier
	}
	return uint32(n), nil
}

func saltAndHash(salt64, hash64 string) (salt, hash []byte, err error) {
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(salt64)
	hash, err2 := base64.RawStdEncoding.Strict().DecodeString(hash64)
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(hash) < 16 || len(hash) > 64 {
		return nil, nil, errVerifier
	}
	return salt, hash, nil
}

// bcryptHash is a bcrypt verifier: $2b$12$<salt and hash>, or with 2a or 2y.
type bcryptHash string

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)

func parseBcrypt(text string) (bcryptHash, error) {
	parts := bcryptForm.FindStringSubmatch(text)
	if parts == nil {
		return "", errVerifier
	}
	if n, err := strconv.Atoi(parts[1]); err != nil || n < minBcryptCost || n > maxBcryptCost {
		return "", errVerifier
	}
	return bcryptHash(text), nil
}

// fits never takes a password of which bcrypt would read only the beginning: any other with that beginning would do as well.
func (b bcryptHash) fits(secret string) bool {
	whole := len(secret) <= bcryptBytes
	if !whole {
		secret = secret[:bcryptBytes]
	}
	return bcrypt.CompareHashAndPassword([]byte(b), []byte(secret)) == nil && whole
}

func (bcryptHash) weak() bool { return true }

// pbkdf2Hash is a PBKDF2 verifier: $pbkdf2-sha256$i=600000$<salt>$<hash>, or with sha512.
type pbkdf2Hash struct {
	digest     func() hash.Hash
	rounds     int
	salt, hash []byte
}

func parsePBKDF2(text string) (pbkdf2Hash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 {
		return pbkdf2Hash{}, errVerifier
	}
	digest := map[string]func() hash.Hash{"pbkdf2-sha256": sha256.New, "pbkdf2-sha512": sha512.New}[parts[1]]
	rounds, err1 := cost(parts[2], "i=", minPBKDF2Rounds, maxPBKDF2Rounds)
	salt, sum, err2 := saltAndHash(parts[3], parts[4])
	if digest == nil || errors.Join(err1, err2) != nil {
		return pbkdf2Hash{}, errVerifier
	}
	return pbkdf2Hash{digest: digest, rounds: int(rounds), salt: salt, hash: sum}, nil
}

func (p pbkdf2Hash) fits(secret string) bool {
	sum, err := pbkdf2.Key(p.digest, secret, p.salt, p.rounds, len(p.hash))
	return err == nil && subtle.ConstantTimeCompare(sum, p.hash) == 1
}

func (pbkdf2Hash) weak() bool { return true }
