package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/storage"
)

const (
	// typeAccessToken is the typ of RFC 9068, section 2.1. Nothing else that the same keys may sign has it (F-23).
	typeAccessToken = "at+jwt"
	// typeIntrospection is the typ of RFC 9701, section 5.
	typeIntrospection = "token-introspection+jwt"
)

// p256 is the length of each half of an ES256 signature (RFC 7518, section 3.4).
const p256 = 32

// signer is built once per key (F-24). It writes the compact form itself: the header is the same for every token of the
// key, and go-jose's signer would write and parse it anew each time.
type signer struct {
	kid     string
	header  string // encoded
	private crypto.Signer
	size    int // of a signature, in bytes
}

// verifier checks tokens of one key.
type verifier struct {
	kid       string
	algorithm jose.SignatureAlgorithm
	public    crypto.PublicKey
}

var _ tokenKey = (*verifier)(nil)

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
	case !fits(stored.Key, record.Algorithm):
		return jose.JSONWebKey{}, fmt.Errorf("the stored public key is none of the algorithm %s", record.Algorithm)
	}
	return jose.JSONWebKey{Key: stored.Key, KeyID: kid, Algorithm: record.Algorithm, Use: "sig"}, nil
}

// fits reports whether a public key is one of the algorithm, and strong enough.
func fits(public crypto.PublicKey, algorithm string) bool {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		return algorithm == algES256 && key.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return algorithm == algRS256 && key.N.BitLen() >= rsaBits
	case ed25519.PublicKey:
		return algorithm == algEdDSA
	default:
		return false
	}
}

// protectedHeader is the header of everything that a key signs, encoded.
func protectedHeader(v *verifier, media string) (string, error) {
	raw, err := json.Marshal(map[string]string{"alg": string(v.algorithm), "kid": v.kid, "typ": media})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// newSigner reads a private JWK and proves it against the public half on a token.
func newSigner(raw []byte, v *verifier, header string) (*signer, error) {
	var stored jose.JSONWebKey
	if err := stored.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	private, ok := stored.Key.(crypto.Signer)
	if !ok || !fits(private.Public(), string(v.algorithm)) {
		return nil, errors.New("the sealed key is no private key of its algorithm")
	}
	s := &signer{kid: v.kid, header: header, private: private, size: 2 * p256} // Ed25519's are as long
	if key, ok := private.(*rsa.PrivateKey); ok {
		s.size = key.Size()
	}
	probe, err := s.sign([]byte("{}"))
	if err != nil {
		return nil, err
	}
	if _, err := v.open(probe); err != nil {
		return nil, fmt.Errorf("the private half does not fit the public one: %w", err)
	}
	return s, nil
}

// sign returns the compact form (RFC 7515, section 7.1) of a payload.
func (s *signer) sign(payload []byte) (string, error) {
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, len(s.header)+encoding.EncodedLen(len(payload))+encoding.EncodedLen(s.size)+2)
	token = append(append(token, s.header...), '.')
	token = encoding.AppendEncode(token, payload)
	signature, err := s.signature(token)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return string(encoding.AppendEncode(append(token, '.'), signature)), nil
}

// signature is that of RFC 7518, sections 3.3 and 3.4, or of RFC 8037, section 3.1.
func (s *signer) signature(input []byte) ([]byte, error) {
	switch private := s.private.(type) {
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(input)
		r, t, err := ecdsa.Sign(rand.Reader, private, sum[:])
		if err != nil {
			return nil, err
		}
		signature := make([]byte, 2*p256)
		r.FillBytes(signature[:p256])
		t.FillBytes(signature[p256:])
		return signature, nil
	case *rsa.PrivateKey:
		sum := sha256.Sum256(input)
		return rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:])
	case ed25519.PrivateKey:
		return ed25519.Sign(private, input), nil
	default:
		return nil, errors.New("a key of no algorithm") // newSigner lets none in
	}
}

func (v *verifier) id() string { return v.kid }

// open returns the payload of a compact token whose signature is the key's. A token has one spelling.
func (v *verifier) open(raw string) ([]byte, error) {
	_, rest, _ := strings.Cut(raw, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || !canonical(payload) || !canonical(signature) {
		return nil, errors.New("malformed")
	}
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{v.algorithm})
	if err != nil {
		return nil, err
	}
	return parsed.Verify(v.public)
}

// canonical reports whether text is the one base64url form of what it stands for.
func canonical(text string) bool {
	_, err := decode(text)
	return err == nil
}

// decode reads the one base64url form of something that is not empty: no padding, no spare bits, no line breaks.
func decode(text string) ([]byte, error) {
	if text == "" || strings.ContainsAny(text, "\r\n") { // the package skips line breaks
		return nil, errors.New("not base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}
