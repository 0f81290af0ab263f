package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/storage"
)

const (
	ringAccess = "access"
	// typeAccessToken is the typ of RFC 9068, section 2.1. Nothing else that the same keys may sign has it (F-23).
	typeAccessToken = "at+jwt"

	stateNext     = "next"
	stateActive   = "active"
	stateRetiring = "retiring"
	stateRetired  = "retired"

	jwksMaxAge = "public, max-age=300"
	keyPage    = 100
	// openAttempts bounds how often the first key is tried for when other nodes start at the same time, openPause apart: what is in
	// the way may be a transaction that has not committed yet.
	openAttempts = 100
	openPause    = 50 * time.Millisecond
)

// keys is the ring of signing keys as the store has it, unsealed.
type keys struct {
	store   Store
	sealer  Sealer
	auditor Auditor
	now     func() time.Time
	rand    io.Reader
	current atomic.Pointer[ring]
}

// ring is one immutable state of the keys.
type ring struct {
	signer *signer
	kid    string // of the signer
	// byHeader finds a key by the protected header of its tokens, as text.
	byHeader map[string]*verifier
	jwks     document
}

// signer is built once per key (F-24). It writes the compact form itself: the header is the same for every token of the
// key, and go-jose's signer would write and parse it anew each time.
type signer struct {
	header  string // encoded
	private *ecdsa.PrivateKey
}

// verifier checks tokens of one key.
type verifier struct {
	kid       string
	algorithm jose.SignatureAlgorithm
	public    crypto.PublicKey
}

// open loads the keys, and makes the first one where none is active.
func (k *keys) open(ctx context.Context) error {
	for range openAttempts {
		records, err := listKeys(ctx, k.store)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(records, func(key *storage.Key) bool { return key.State == stateActive }) {
			return k.set(records)
		}
		err = k.create(ctx)
		if err != nil && !errors.Is(err, storage.ErrStale) {
			return fmt.Errorf("make the first signing key: %w", err)
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(openPause):
		}
	}
	return fmt.Errorf("make the first signing key: %w: other writers are in the way; try again", storage.ErrUnavailable)
}

// load reads the keys anew.
func (k *keys) load(ctx context.Context, r storage.Reader) error {
	records, err := listKeys(ctx, r)
	if err != nil {
		return err
	}
	return k.set(records)
}

func listKeys(ctx context.Context, r storage.Reader) ([]*storage.Key, error) {
	var all []*storage.Key
	q := storage.Query{Equal: map[string][]string{"ring": {ringAccess}}, Limit: keyPage}
	for {
		page, err := storage.List[storage.Key](ctx, r, q)
		if err != nil {
			return nil, fmt.Errorf("read signing keys: %w", err)
		}
		all = append(all, page...)
		if len(page) < keyPage {
			return all, nil
		}
		q.After = page[len(page)-1].ID
	}
}

// create makes and stores an active ES256 key, unless another node was first.
func (k *keys) create(ctx context.Context) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), k.rand)
	if err != nil {
		return err
	}
	jwk := jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256), Use: "sig"}
	if jwk.KeyID, err = thumbprint(jwk); err != nil {
		return err
	}
	secret, err := jwk.MarshalJSON()
	if err != nil {
		return err
	}
	public, err := jwk.Public().MarshalJSON()
	if err != nil {
		return err
	}
	sealed, err := k.sealer.Seal(secret, sealedAs(jwk.KeyID))
	if err != nil {
		return err
	}
	now := storage.Time(k.now())
	record := &storage.Key{
		Meta: storage.Meta{ID: jwk.KeyID}, Ring: ringAccess, Algorithm: jwk.Algorithm, State: stateActive,
		Public: public, Sealed: sealed, ActiveAt: &now,
	}
	done, err := k.auditor.Intent(ctx, storage.AuditEntry{Actor: "system", Action: "keys:write", Target: "keys/" + record.ID})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	err = k.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		if err != nil {
			return err
		}
		records, err := listKeys(ctx, tx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(records, func(key *storage.Key) bool { return key.State == stateActive }) {
			return storage.ErrStale
		}
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		return tx.Insert(ctx, record)
	})
	if err != nil {
		return errors.Join(err, done(ctx, "failed", "not stored"))
	}
	return done(ctx, "ok", "")
}

// sealedAs binds a sealed key to its place, so that a ciphertext cannot move to another record.
func sealedAs(kid string) string { return "signing-key|" + ringAccess + "|" + kid }

// thumbprint is the kid: RFC 7638, of the public members.
func thumbprint(key jose.JSONWebKey) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// set builds the ring of these records and puts it in place. A key that cannot be unsealed or is not what it says keeps
// the old ring.
func (k *keys) set(records []*storage.Key) error {
	next := &ring{byHeader: map[string]*verifier{}}
	var published jose.JSONWebKeySet
	var newest time.Time
	for _, record := range records {
		if record.State == stateRetired {
			continue
		}
		public, err := publicKey(record)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", record.ID, err)
		}
		published.Keys = append(published.Keys, public)
		v := &verifier{kid: record.ID, algorithm: jose.SignatureAlgorithm(record.Algorithm), public: public.Key}
		header, err := protectedHeader(v)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", record.ID, err)
		}
		next.byHeader[header] = v
		if record.State != stateActive || (next.signer != nil && !activeAt(record).After(newest)) {
			continue
		}
		if next.signer, err = k.unseal(record, v, header); err != nil {
			return fmt.Errorf("signing key %s: %w", record.ID, err)
		}
		next.kid, newest = record.ID, activeAt(record)
	}
	if next.signer == nil {
		return errors.New("no signing key is active")
	}
	raw, err := json.Marshal(published)
	if err != nil {
		return fmt.Errorf("publish keys: %w", err)
	}
	next.jwks = newDocument(raw, "application/jwk-set+json", jwksMaxAge)
	k.current.Store(next)
	return nil
}

func activeAt(record *storage.Key) time.Time {
	if record.ActiveAt == nil {
		return time.Time{}
	}
	return *record.ActiveAt
}

// publicKey reads the public half and holds it to the record. Only what is public can come out of it.
func publicKey(record *storage.Key) (jose.JSONWebKey, error) {
	var stored jose.JSONWebKey
	if err := stored.UnmarshalJSON(record.Public); err != nil {
		return jose.JSONWebKey{}, err
	}
	kid, err := thumbprint(stored)
	switch {
	case err != nil:
		return jose.JSONWebKey{}, err
	case !stored.IsPublic() || kid != record.ID:
		return jose.JSONWebKey{}, errors.New("the stored public key is not the one that the id names")
	case record.Algorithm != string(jose.ES256):
		return jose.JSONWebKey{}, fmt.Errorf("the algorithm %q is not offered", record.Algorithm)
	}
	return jose.JSONWebKey{Key: stored.Key, KeyID: kid, Algorithm: record.Algorithm, Use: "sig"}, nil
}

// protectedHeader is the header of every token of a key, encoded.
func protectedHeader(v *verifier) (string, error) {
	raw, err := json.Marshal(map[string]string{"alg": string(v.algorithm), "kid": v.kid, "typ": typeAccessToken})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// unseal opens the private half and proves it against the public one on a token.
func (k *keys) unseal(record *storage.Key, v *verifier, header string) (*signer, error) {
	raw, err := k.sealer.Open(record.Sealed, sealedAs(record.ID))
	if err != nil {
		return nil, fmt.Errorf("cannot be unsealed; start with the key encryption key that it was sealed with: %w", err)
	}
	var stored jose.JSONWebKey
	if err := stored.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	private, ok := stored.Key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the sealed key is no private key of its algorithm")
	}
	s := &signer{header: header, private: private}
	probe, err := s.sign([]byte("{}"))
	if err != nil {
		return nil, err
	}
	if _, err := v.verify(probe); err != nil {
		return nil, fmt.Errorf("the private half does not fit the public one: %w", err)
	}
	return s, nil
}

// p256 is the length of each half of an ES256 signature (RFC 7518, section 3.4).
const p256 = 32

// sign returns the compact form (RFC 7515, section 7.1) of a payload under ES256.
func (s *signer) sign(payload []byte) (string, error) {
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, len(s.header)+encoding.EncodedLen(len(payload))+encoding.EncodedLen(2*p256)+2)
	token = append(append(token, s.header...), '.')
	token = encoding.AppendEncode(token, payload)
	sum := sha256.Sum256(token)
	r, t, err := ecdsa.Sign(rand.Reader, s.private, sum[:])
	if err != nil {
		return "", err
	}
	var signature [2 * p256]byte
	r.FillBytes(signature[:p256])
	t.FillBytes(signature[p256:])
	return string(encoding.AppendEncode(append(token, '.'), signature[:])), nil
}

// verify returns the payload of a compact token whose signature is the key's.
func (v *verifier) verify(token string) ([]byte, error) {
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{v.algorithm})
	if err != nil {
		return nil, err
	}
	return parsed.Verify(v.public)
}

// sign makes the access token of these claims with the active key.
func (k *keys) sign(c *claims) (string, error) {
	payload, err := c.marshal()
	if err != nil {
		return "", err
	}
	token, err := k.current.Load().signer.sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}

func (s *Server) serveJWKS(w http.ResponseWriter, r *http.Request) {
	s.keys.current.Load().jwks.serve(w, r)
}
