package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/storage"
)

// The rings. What one ring made, no other takes.
const (
	// ringAccess signs access tokens (RFC 9068).
	ringAccess = "access"
	// ringIntrospection signs replies of the introspection endpoint (RFC 9701).
	ringIntrospection = "introspection"
	// ringOpaque seals access tokens that only this server reads.
	ringOpaque = "opaque"
	// ringRefresh is for the HMAC under which refresh tokens stand.
	ringRefresh = "refresh"
)

// The algorithms, by their JOSE names; the last two are for the rings of secret keys.
const (
	algES256   = string(jose.ES256)
	algRS256   = string(jose.RS256)
	algEdDSA   = string(jose.EdDSA)
	algXChaCha = "XC20P"
	algHMAC    = string(jose.HS256)
)

// The states. Every key that is not retired is published and verifies; an active one signs, too.
const (
	stateNext     = "next"
	stateActive   = "active"
	stateRetiring = "retiring"
	stateRetired  = "retired"
)

const (
	// jwksLife is how long a copy of the JWKS may be used, and jwksMaxAge says so.
	jwksLife   = 300 * time.Second
	jwksMaxAge = "public, max-age=300"
	keyPage    = 100
	// openAttempts bounds how often missing keys are tried for when other nodes do the same, openPause apart: what is in
	// the way may be a transaction that has not committed yet.
	openAttempts = 100
	openPause    = 50 * time.Millisecond

	// rsaBits: RFC 7518, section 3.3 wants 2048 at least.
	rsaBits = 2048
	// secretKeySize is the length of the keys for HMAC and sealing, exactly (F-29).
	secretKeySize = 32
	// secretKidSize is the length of their random ids, in bytes; as text each is two characters.
	secretKidSize = 4
)

// slot is a place for one active key.
type slot struct{ ring, algorithm string }

// firstSlots are filled before anything is served. The other algorithms of access tokens are filled by the first maintenance, which
// waits for nobody: an RSA key takes a noticeable time to make.
func firstSlots() []slot {
	return []slot{{ringAccess, algES256}, {ringIntrospection, algES256}, {ringOpaque, algXChaCha}, {ringRefresh, algHMAC}}
}

// offered reports whether a ring has keys of an algorithm.
func (p slot) offered() bool {
	switch p.ring {
	case ringAccess:
		return p.algorithm == algES256 || p.algorithm == algRS256 || p.algorithm == algEdDSA
	case ringIntrospection:
		return p.algorithm == algES256
	case ringOpaque:
		return p.algorithm == algXChaCha
	case ringRefresh:
		return p.algorithm == algHMAC
	default:
		return false
	}
}

// keys are the four rings as the store has them, unsealed.
type keys struct {
	store   Store
	sealer  Sealer
	auditor Auditor
	now     func() time.Time
	rand    io.Reader
	life    keyLife
	current atomic.Pointer[rings]

	// making holds a token while keys are made or moved on; one that waits for it gives up with its request.
	making chan struct{}
	// loading holds a token from reading the records to putting them in place, so that an older state never takes the place of a newer
	// one. The store may be slow, so one that waits for it gives up with its request, too.
	loading chan struct{}
}

// hold takes the token of one of the places above; release gives it back.
func hold(ctx context.Context, place chan struct{}) (release func(), err error) {
	select {
	case place <- struct{}{}:
		return func() { <-place }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for keys: %w", ctx.Err())
	}
}

// open loads the keys, and makes those of the first slots that are missing.
func (k *keys) open(ctx context.Context) error { return k.fill(ctx, firstSlots()) }

// fill makes active keys for those of the slots that have none, all in one transaction, unless another node is first; and loads.
func (k *keys) fill(ctx context.Context, slots []slot) error {
	release, err := hold(ctx, k.making)
	if err != nil {
		return err
	}
	defer release()
	for range openAttempts {
		missing, err := k.missing(ctx, slots)
		if err != nil || len(missing) == 0 {
			return err
		}
		err = k.create(ctx, missing)
		if err != nil && !errors.Is(err, storage.ErrStale) {
			return fmt.Errorf("make keys: %w", err)
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("make keys: %w", ctx.Err())
		case <-time.After(openPause):
		}
	}
	return fmt.Errorf("make keys: %w: other writers are in the way; try again", storage.ErrUnavailable)
}

// missing returns the slots without an active key, or puts the keys in place if there are none.
func (k *keys) missing(ctx context.Context, slots []slot) ([]slot, error) {
	release, err := hold(ctx, k.loading)
	if err != nil {
		return nil, err
	}
	defer release()
	records, err := listKeys(ctx, k.store)
	if err != nil {
		return nil, err
	}
	if missing := without(records, slots); len(missing) > 0 {
		return missing, nil
	}
	return nil, k.set(records)
}

// load reads the keys anew.
func (k *keys) load(ctx context.Context, r storage.Reader) error {
	release, err := hold(ctx, k.loading)
	if err != nil {
		return err
	}
	defer release()
	records, err := listKeys(ctx, r)
	if err != nil {
		return err
	}
	return k.set(records)
}

// set puts the rings of these records in place. A key that cannot be unsealed or is not what it says keeps the old ones.
func (k *keys) set(records []*storage.Key) error {
	if missing := without(records, firstSlots()); len(missing) > 0 {
		return fmt.Errorf("no key is active for %s of the ring %s", missing[0].algorithm, missing[0].ring)
	}
	next, err := newRings(records, k.sealer)
	if err != nil {
		return err
	}
	k.current.Store(next)
	return nil
}

// without returns those of the slots that have no active key among the records.
func without(records []*storage.Key, slots []slot) []slot {
	active := map[slot]bool{}
	for _, record := range records {
		if record.State == stateActive {
			active[slot{record.Ring, record.Algorithm}] = true
		}
	}
	var missing []slot
	for _, p := range slots {
		if !active[p] {
			missing = append(missing, p)
		}
	}
	return missing
}

// listKeys returns the records of all rings, in the order of their ids.
func listKeys(ctx context.Context, r storage.Reader) ([]*storage.Key, error) {
	var all []*storage.Key
	q := storage.Query{Limit: keyPage}
	for {
		page, err := storage.List[storage.Key](ctx, r, q)
		if err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		all = append(all, page...)
		if len(page) < keyPage {
			return all, nil
		}
		q.After = page[len(page)-1].ID
	}
}

// create makes and stores active keys for these slots, unless another node was first.
func (k *keys) create(ctx context.Context, slots []slot) error {
	records, names := make([]*storage.Key, len(slots)), make([]string, len(slots))
	for n, p := range slots {
		record, err := k.newKeyRecord(p.ring, p.algorithm, stateActive)
		if err != nil {
			return err
		}
		records[n], names[n] = record, record.Ring+" "+record.Algorithm+" "+record.ID
	}
	target := "keys"
	if len(records) == 1 {
		target += "/" + records[0].ID
	}
	done, err := k.auditor.Intent(ctx, storage.AuditEntry{Actor: "system", Action: "keys:write", Target: target})
	if err != nil {
		return fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	err = k.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		if err != nil {
			return err
		}
		there, err := listKeys(ctx, tx)
		if err != nil {
			return err
		}
		if len(without(there, slots)) < len(slots) {
			return storage.ErrStale
		}
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		for _, record := range records {
			if err := tx.Insert(ctx, record); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, done(ctx, "failed", "not stored"))
	}
	if err := done(ctx, "ok", "made "+strings.Join(names, ", ")); err != nil {
		return fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	return nil
}

// newKeyRecord makes a key, seals its secret half, and returns the record in the given state. It stores nothing.
func (k *keys) newKeyRecord(ring, algorithm, state string) (*storage.Key, error) {
	if !(slot{ring, algorithm}).offered() {
		return nil, fmt.Errorf("the ring %s has no keys of the algorithm %q", ring, algorithm)
	}
	record := &storage.Key{Ring: ring, Algorithm: algorithm, State: state}
	var secret []byte
	var err error
	if ring == ringAccess || ring == ringIntrospection {
		secret, err = k.newPair(record)
	} else {
		secret, err = k.newSecret(record)
	}
	if err != nil {
		return nil, fmt.Errorf("make a key for %s of the ring %s: %w", algorithm, ring, err)
	}
	if record.Sealed, err = k.sealer.Seal(secret, sealedAs(record)); err != nil {
		return nil, fmt.Errorf("seal key %s: %w", record.ID, err)
	}
	if state == stateActive {
		now := storage.Time(k.now())
		record.ActiveAt = &now
	}
	return record, nil
}

// newPair makes a key pair, fills in the public half, and returns the private one as a JWK.
func (k *keys) newPair(record *storage.Key) ([]byte, error) {
	jwk := jose.JSONWebKey{Algorithm: record.Algorithm, Use: "sig"}
	var err error
	// One thumbprint in sixty-four begins with a hyphen, and a command line would take such a kid for flags: another pair, then.
	for jwk.KeyID == "" || strings.HasPrefix(jwk.KeyID, "-") {
		if jwk.Key, err = k.newPrivate(record.Algorithm); err != nil {
			return nil, err
		}
		if jwk.KeyID, err = thumbprint(jwk); err != nil {
			return nil, err
		}
	}
	record.ID = jwk.KeyID
	if record.Public, err = jwk.Public().MarshalJSON(); err != nil {
		return nil, err
	}
	return jwk.MarshalJSON()
}

func (k *keys) newPrivate(algorithm string) (key any, err error) {
	switch algorithm {
	case algRS256:
		return rsa.GenerateKey(k.rand, rsaBits)
	case algEdDSA:
		_, key, err = ed25519.GenerateKey(k.rand)
		return key, err
	default:
		return ecdsa.GenerateKey(elliptic.P256(), k.rand)
	}
}

// newSecret makes a secret key. It has no public half that could name it, so its id is random.
func (k *keys) newSecret(record *storage.Key) ([]byte, error) {
	var id [secretKidSize]byte
	key := make([]byte, secretKeySize)
	for _, b := range [][]byte{id[:], key} {
		if _, err := io.ReadFull(k.rand, b); err != nil {
			return nil, fmt.Errorf("read randomness: %w", err)
		}
	}
	record.ID = hex.EncodeToString(id[:])
	return key, nil
}

// sealedAs binds a sealed key to its place, so that a ciphertext can move neither to another record nor to another ring.
func sealedAs(record *storage.Key) string { return "key|" + record.Ring + "|" + record.ID }

// signing returns nil if access tokens of this algorithm can be signed. A node without the key looks whether another has it, and does
// what maintenance has not done yet. A key that is published and not to be used yet is an outage of those who want it.
func (s *Server) signing(ctx context.Context, algorithm string) error {
	steps := []func(context.Context) error{
		func(context.Context) error { return nil },
		func(ctx context.Context) error { return s.keys.load(ctx, s.keys.store) },
		s.Maintain,
		func(ctx context.Context) error { return s.keys.load(ctx, s.keys.store) }, // another node may have been first
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if s.keys.current.Load().accessSigner(algorithm) != nil {
			return nil
		}
	}
	return fmt.Errorf("sign with %s: %w: no key is active yet", algorithm, storage.ErrUnavailable)
}

func (s *Server) serveJWKS(w http.ResponseWriter, r *http.Request) {
	s.keys.current.Load().jwks.serve(w, r)
}
