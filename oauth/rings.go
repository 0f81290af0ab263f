package oauth

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/writ-authz/writ/storage"
)

// rings is one immutable state of all keys. What signs, seals or has the HMAC made is the newest active key of its place; what is
// read may be of any key that is not retired.
type rings struct {
	active map[slot]string // kids

	signers map[slot]*signer
	// byHeader finds the key of an access token by its protected header, as text.
	byHeader map[string]*verifier
	opaque   map[string]*sealing // by kid
	refresh  map[string][]byte   // by kid
	jwks     document
}

// tokenKey reads access tokens of one key.
type tokenKey interface {
	id() string
	// open returns the payload of a token that the key made, or an error for any other text.
	open(raw string) ([]byte, error)
}

// newRings builds the state of these records. The order of the records does not matter, but where two keys of one place became
// active at the same moment: there the first one wins, and stores list by id.
func newRings(records []*storage.Key, sealer Sealer) (*rings, error) {
	next := &rings{
		active: map[slot]string{}, signers: map[slot]*signer{}, byHeader: map[string]*verifier{}, opaque: map[string]*sealing{},
		refresh: map[string][]byte{},
	}
	published := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	newest := map[slot]time.Time{}
	for _, record := range records {
		if record.State == stateRetired {
			continue
		}
		place := slot{record.Ring, record.Algorithm}
		if !place.offered() {
			return nil, fmt.Errorf("key %s: the ring %q has no keys of the algorithm %q", record.ID, place.ring, place.algorithm)
		}
		_, other := next.active[place]
		signs := record.State == stateActive && (!other || activeAt(record).After(newest[place]))
		var err error
		switch place.ring {
		case ringOpaque, ringRefresh:
			err = next.addSecret(record, sealer)
		default:
			var public jose.JSONWebKey
			if public, err = next.addPair(record, sealer, signs); err == nil {
				published.Keys = append(published.Keys, public)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("key %s of the ring %s: %w", record.ID, record.Ring, err)
		}
		if signs {
			next.active[place], newest[place] = record.ID, activeAt(record)
		}
	}
	raw, err := json.Marshal(published)
	if err != nil {
		return nil, fmt.Errorf("publish keys: %w", err)
	}
	next.jwks = newDocument(raw, "application/jwk-set+json", jwksMaxAge)
	return next, nil
}

// addPair takes in a key pair and returns what is published of it. The private half is opened only if it is to sign.
func (r *rings) addPair(record *storage.Key, sealer Sealer, signs bool) (jose.JSONWebKey, error) {
	public, err := publicKey(record)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	v := &verifier{kid: record.ID, algorithm: jose.SignatureAlgorithm(record.Algorithm), public: public.Key}
	media := typeAccessToken
	if record.Ring == ringIntrospection {
		media = typeIntrospection
	}
	header, err := protectedHeader(v, media)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	if record.Ring == ringAccess {
		r.byHeader[header] = v
	}
	if !signs {
		return public, nil
	}
	raw, err := unseal(record, sealer)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	r.signers[slot{record.Ring, record.Algorithm}], err = newSigner(raw, v, header)
	return public, err
}

// addSecret takes in a secret key.
func (r *rings) addSecret(record *storage.Key, sealer Sealer) error {
	key, err := unseal(record, sealer)
	if err != nil {
		return err
	}
	switch {
	case len(key) != secretKeySize:
		return fmt.Errorf("it has %d bytes; want %d", len(key), secretKeySize)
	case len(record.ID) != 2*secretKidSize:
		return errors.New("the id is not of a key of this ring")
	case record.Ring == ringRefresh:
		r.refresh[record.ID] = key
		return nil
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return err
	}
	r.opaque[record.ID] = &sealing{kid: record.ID, aead: aead}
	return nil
}

func unseal(record *storage.Key, sealer Sealer) ([]byte, error) {
	raw, err := sealer.Open(record.Sealed, sealedAs(record))
	if err != nil {
		return nil, fmt.Errorf("cannot be unsealed; start with the key encryption key that it was sealed with: %w", err)
	}
	return raw, nil
}

func activeAt(record *storage.Key) time.Time {
	if record.ActiveAt == nil {
		return time.Time{}
	}
	return *record.ActiveAt
}

// accessSigner is the key that signs access tokens of an algorithm, or nil.
func (r *rings) accessSigner(algorithm string) *signer { return r.signers[slot{ringAccess, algorithm}] }

// introspectionSigner is the key that signs introspection replies.
func (r *rings) introspectionSigner() *signer { return r.signers[slot{ringIntrospection, algES256}] }

// tokenKey returns the key that a text claims to be an access token of, or nil. Nothing is believed yet.
func (r *rings) tokenKey(raw string) tokenKey {
	if strings.HasPrefix(raw, sealedPrefix) {
		if key := r.opaque[sealedKid(raw)]; key != nil {
			return key
		}
		return nil
	}
	// The header is compared whole with those that the ring's keys write. So the algorithm, the type and the key are
	// exactly ours, and crit, jku, x5u, jwk or anything else has no place to stand (RFC 8725; F-22 to F-24).
	header, _, _ := strings.Cut(raw, ".")
	if key := r.byHeader[header]; key != nil {
		return key
	}
	return nil
}

// mac returns the id of the active key for refresh tokens and the HMAC-SHA-256 of b under it.
func (r *rings) mac(b []byte) (kid string, sum []byte) {
	kid = r.active[slot{ringRefresh, algHMAC}]
	return kid, hmacOf(r.refresh[kid], b)
}

// check reports whether sum is the HMAC of b under the key kid.
func (r *rings) check(kid string, b, sum []byte) bool {
	key := r.refresh[kid]
	return key != nil && hmac.Equal(hmacOf(key, b), sum)
}

func hmacOf(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}

// seal makes the opaque access token of a payload.
func (r *rings) seal(payload []byte, nonce [chacha20poly1305.NonceSizeX]byte) string {
	return r.opaque[r.active[slot{ringOpaque, algXChaCha}]].seal(payload, nonce)
}

// kids names the active keys, for the log.
func (r *rings) kids() []string { return slices.Sorted(maps.Values(r.active)) }

// thumbprint is the kid: RFC 7638, of the public members.
func thumbprint(key jose.JSONWebKey) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
