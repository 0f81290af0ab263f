package oauth

import (
	"crypto/cipher"
	"encoding/base64"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// An opaque access token is
//
//	sat_<key id>_<base64url(nonce, XChaCha20-Poly1305(claims))>
//
// with all before the last part as associated data, so that neither the type nor the key of a token can be exchanged. It has no row
// anywhere: whoever has the key reads it, and nobody else. The nonce is 24 random bytes, which no number of tokens exhausts; the 12
// of AES-GCM would be used up in days.
const (
	sealedPrefix = "sat_"
	// sealedHead is the length of all before the last part.
	sealedHead = len(sealedPrefix) + 2*secretKidSize + 1
)

// sealing is one key for opaque tokens.
type sealing struct {
	kid  string
	aead cipher.AEAD
}

var _ tokenKey = (*sealing)(nil)

// sealedKid is the id of the key that a text would be a token of; empty if it could be none.
func sealedKid(raw string) string {
	if len(raw) <= sealedHead || raw[sealedHead-1] != '_' {
		return ""
	}
	return raw[len(sealedPrefix) : sealedHead-1]
}

func (k *sealing) id() string { return k.kid }

// seal makes a token. The nonce must be fresh.
func (k *sealing) seal(payload []byte, nonce [chacha20poly1305.NonceSizeX]byte) string {
	head := sealedPrefix + k.kid + "_"
	sealed := make([]byte, len(nonce), len(nonce)+len(payload)+k.aead.Overhead())
	copy(sealed, nonce[:])
	sealed = k.aead.Seal(sealed, nonce[:], payload, []byte(head))
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, len(head)+encoding.EncodedLen(len(sealed)))
	return string(encoding.AppendEncode(append(token, head...), sealed))
}

// open authenticates a token whose kid is the key's, and then returns the payload.
func (k *sealing) open(raw string) ([]byte, error) {
	sealed, err := decode(raw[sealedHead:])
	if err != nil || len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errors.New("malformed")
	}
	nonce, sealed := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	return k.aead.Open(sealed[:0], nonce, sealed, []byte(raw[:sealedHead]))
}
