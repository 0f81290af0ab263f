package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
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

// verify checks the signature of an access token with the key of a JWK set that its header names, and returns its claims. It is
// written from RFC 7515, 7518, 7638 and 8037 alone and shares nothing with the server.
func verify(token string, jwks any) (object, error) {
	header, err := part(token, 0)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if header["typ"] != "at+jwt" {
		return nil, fmt.Errorf("header is %v, want typ at+jwt", header)
	}
	jwk := keyNamed(jwks, header["kid"])
	if jwk == nil || jwk["alg"] != header["alg"] {
		return nil, fmt.Errorf("no key %v for %v in the JWK set", header["kid"], header["alg"])
	}
	i := strings.LastIndexByte(token, '.')
	signature, err := b64.DecodeString(token[i+1:])
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if !signedBy(jwk, []byte(token[:i]), signature) {
		return nil, errors.New("the signature is not of the key")
	}
	return part(token, 1)
}

// keyNamed is the key of a JWK set with this kid.
func keyNamed(jwks, kid any) object {
	keys, _ := at(jwks, "/keys")
	array, _ := keys.([]any)
	for _, k := range array {
		if jwk, _ := k.(map[string]any); jwk["kid"] == kid {
			return jwk
		}
	}
	return nil
}

func signedBy(jwk object, input, signature []byte) bool {
	sum := sha256.Sum256(input)
	switch jwk["alg"] {
	case "ES256":
		x, y := coordinate(jwk["x"]), coordinate(jwk["y"])
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		return err == nil && jwk["kty"] == "EC" && jwk["crv"] == "P-256" && len(signature) == 64 &&
			ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case "RS256":
		n, e := new(big.Int).SetBytes(coordinate(jwk["n"])), new(big.Int).SetBytes(coordinate(jwk["e"]))
		return jwk["kty"] == "RSA" && n.BitLen() >= 2048 && e.IsInt64() &&
			rsa.VerifyPKCS1v15(&rsa.PublicKey{N: n, E: int(e.Int64())}, crypto.SHA256, sum[:], signature) == nil
	case "EdDSA":
		key := ed25519.PublicKey(coordinate(jwk["x"]))
		return jwk["kty"] == "OKP" && jwk["crv"] == "Ed25519" && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, input, signature)
	default:
		return false
	}
}

func coordinate(v any) []byte {
	s, _ := v.(string)
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// thumbprint is the RFC 7638 thumbprint of a public key: of the required members, in the order of their names.
func thumbprint(jwk object) string {
	required := object{"kty": jwk["kty"]}
	for _, name := range map[any][]string{"EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}, "RSA": {"e", "n"}}[jwk["kty"]] {
		required[name] = jwk[name]
	}
	members, _ := json.Marshal(required)
	sum := sha256.Sum256(members)
	return b64.EncodeToString(sum[:])
}
