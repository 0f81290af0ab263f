package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

var b64 = base64.RawURLEncoding

// forge changes one character in the middle of a token's signature.
func forge(token string) string {
	i := strings.LastIndexByte(token, '.') + 20
	other := byte('A')
	if token[i] == 'A' {
		other = 'B'
	}
	return token[:i] + string(other) + token[i+1:]
}

// unsigned is the token with another header and other claims, and no signature.
func unsigned(header object, claims object) string {
	h, _ := json.Marshal(header)
	p, _ := json.Marshal(claims)
	return b64.EncodeToString(h) + "." + b64.EncodeToString(p) + "."
}

// keyed is the token signed with HMAC under a key that is no secret.
func keyed(header object, claims object, key []byte) string {
	input := strings.TrimSuffix(unsigned(header, claims), ".")
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + b64.EncodeToString(mac.Sum(nil))
}

// part decodes the header (0) or the claims (1) of a JWT without trusting them.
func part(token string, n int) (object, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%d parts, want 3", len(parts))
	}
	b, err := b64.DecodeString(parts[n])
	if err != nil {
		return nil, err
	}
	v, ok := reply{body: b}.value().(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return v, nil
}

// verify checks the ES256 signature of a JWT with the key of a JWK set that its header names, and returns its claims. It is
// written from RFC 7515, 7518 and 7638 alone and shares nothing with the server.
func verify(token string, jwks any) (object, error) {
	header, err := part(token, 0)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" {
		return nil, fmt.Errorf("header is %v, want typ at+jwt and alg ES256", header)
	}
	keys, _ := at(jwks, "/keys")
	array, _ := keys.([]any)
	for _, k := range array {
		jwk, _ := k.(map[string]any)
		if jwk["kid"] != header["kid"] {
			continue
		}
		x, y := coordinate(jwk["x"]), coordinate(jwk["y"])
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil || jwk["kty"] != "EC" || jwk["crv"] != "P-256" {
			return nil, fmt.Errorf("key %v is not on P-256 (%v)", jwk["kid"], err)
		}
		i := strings.LastIndexByte(token, '.')
		signature, err := b64.DecodeString(token[i+1:])
		if err != nil || len(signature) != 64 {
			return nil, fmt.Errorf("signature has %d bytes, want 64 (%v)", len(signature), err)
		}
		sum := sha256.Sum256([]byte(token[:i]))
		if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			return nil, errors.New("the signature is not of the key")
		}
		return part(token, 1)
	}
	return nil, fmt.Errorf("no key %v in the JWK set", header["kid"])
}

func coordinate(v any) []byte {
	s, _ := v.(string)
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// thumbprint is the RFC 7638 thumbprint of an EC key.
func thumbprint(jwk object) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"%v","kty":"%v","x":"%v","y":"%v"}`, jwk["crv"], jwk["kty"], jwk["x"],
		jwk["y"]))
	return b64.EncodeToString(sum[:])
}
