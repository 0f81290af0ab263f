//go:build bench

package main

import (
	"crypto"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies/enforce"
)

// floorQuestion and floorAnswer are the small JSON of the floors: about what a decision is asked with and answered by.
type floorQuestion struct {
	Subject  string `json:"subject"`
	Action   string `json:"action"`
	Resource string `json:"resource"`
}

type floorAnswer struct {
	Decision bool   `json:"decision"`
	Proof    []byte `json:"proof,omitempty"`
}

// floorWork is the X of "floor+X": one cryptographic operation over a text of the size of a token's claims, which are longer where
// they are sealed than where they are signed; or one hash of a password.
type floorWork func() ([]byte, error)

// floors are handlers that do nothing but the work that no server could save: read, decode, X, encode, write.
func floors() ([]enforce.OpenRoute, error) {
	text, claims := make([]byte, 300), make([]byte, 600)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("floor+ES256: %w", err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("floor+EdDSA: %w", err)
	}
	classic, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("floor+RS256: %w", err)
	}
	sealer, err := chacha20poly1305.NewX(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		return nil, fmt.Errorf("floor+AEAD: %w", err)
	}
	es256 := signES256(elliptical, text)
	signature, err := es256()
	if err != nil {
		return nil, fmt.Errorf("floor+ES256: %w", err)
	}
	var rows []enforce.OpenRoute
	for _, f := range []struct {
		path string
		work floorWork
	}{
		{"/bench/floor", func() ([]byte, error) { return nil, nil }},
		{"/bench/floor-es256", es256},
		{"/bench/floor-eddsa", func() ([]byte, error) { return ed25519.Sign(edwards, text), nil }},
		{"/bench/floor-rs256", signRS256(classic, text)},
		{"/bench/floor-aead", sealXChaCha(sealer, claims)},
		{"/bench/floor-es256-verify", verifyES256(&elliptical.PublicKey, text, signature)},
		{"/bench/floor-argon2id", func() ([]byte, error) { return identity.BareArgon2id("correct horse battery staple"), nil }},
	} {
		rows = append(rows, enforce.OpenRoute{Method: http.MethodPost, Path: f.path, Handler: floor(f.work)})
	}
	return rows, nil
}

func floor(work floorWork) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in floorQuestion
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		proof, err := work()
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(floorAnswer{Decision: in.Action == "read", Proof: proof}) // the client is gone if this fails
	}
}

func signES256(key *ecdsa.PrivateKey, text []byte) floorWork {
	return func() ([]byte, error) {
		sum := sha256.Sum256(text)
		return ecdsa.SignASN1(rand.Reader, key, sum[:])
	}
}

func verifyES256(key *ecdsa.PublicKey, text, signature []byte) floorWork {
	return func() ([]byte, error) {
		sum := sha256.Sum256(text)
		if !ecdsa.VerifyASN1(key, sum[:], signature) {
			return nil, errors.New("the signature does not verify")
		}
		return nil, nil
	}
}

func signRS256(key *rsa.PrivateKey, text []byte) floorWork {
	return func() ([]byte, error) {
		sum := sha256.Sum256(text)
		return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	}
}

func sealXChaCha(sealer cipher.AEAD, text []byte) floorWork {
	return func() ([]byte, error) {
		nonce := make([]byte, sealer.NonceSize(), sealer.NonceSize()+len(text)+sealer.Overhead())
		rand.Read(nonce) //nolint:errcheck // it ends the process rather than to fail
		return sealer.Seal(nonce, nonce, text, nil), nil
	}
}
