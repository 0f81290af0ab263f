package identity

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// How an application proves itself, by its token_endpoint_auth_method.
const (
	byKeys    = "private_key_jwt"
	byNothing = "none"
)

// What is registered of an application's public keys at most, and the strength of RSA keys in bits.
const (
	maxKeys      = 16
	maxKeySet    = 64 << 10
	maxKeySetURI = 2048
	minModulus   = 2048
	maxModulus   = 8192 // verifying costs by the square of it
)

// signingAlgorithms are those of assertions (RFC 7518, section 3.1; RFC 8037, section 3.1). Symmetric ones are not among them.
func signingAlgorithms() []string { return []string{"ES256", "EdDSA", "PS256", "RS256"} }

// keyType is the type of the keys that an algorithm takes.
func keyType(algorithm string) string {
	switch algorithm {
	case "ES256":
		return "EC"
	case "EdDSA":
		return "OKP"
	case "PS256", "RS256":
		return "RSA"
	default:
		return ""
	}
}

// publicKey is a key as it is kept (RFC 7517, section 4): what verifying takes and nothing else, in one spelling.
type publicKey struct {
	Type      string `json:"kty"`
	ID        string `json:"kid,omitempty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

type keySet struct {
	Keys []publicKey `json:"keys"`
}

// keys carries what an application proves itself with instead of a secret.
func (c *checker) keys(f *applicationFields, a *storage.Application) {
	c.choice(f.TokenEndpointAuthSigningAlg, "/token_endpoint_auth_signing_alg", signingAlgorithms(), &a.TokenEndpointAuthSigningAlg)
	if f.JWKSURI.Set {
		if !f.JWKSURI.Null {
			c.keySetURI(f.JWKSURI.Value)
		}
		a.JWKSURI = f.JWKSURI.Value
	}
	if f.JWKS.Set {
		a.JWKS = nil
		if !f.JWKS.Null {
			a.JWKS = c.keySet(f.JWKS.Value)
		}
	}
	if f.JWKS.Set || f.JWKSURI.Set || f.TokenEndpointAuthMethod.Set || f.TokenEndpointAuthSigningAlg.Set {
		c.keysFit(a)
	}
}

// keysFit holds method, keys and algorithm to each other. What is there already may be part of the fault.
func (c *checker) keysFit(a *storage.Application) {
	const pointer = "/token_endpoint_auth_signing_alg"
	byValue, byReference := len(a.JWKS) > 0, a.JWKSURI != ""
	switch {
	case byValue && byReference:
		c.lateBad("bad_keys", "/jwks_uri", "an application has jwks or jwks_uri, not both")
	case a.TokenEndpointAuthMethod == byKeys:
		if !byValue && !byReference {
			c.lateBad("bad_keys", "/jwks", "private_key_jwt takes public keys: send jwks or jwks_uri")
		}
		if byValue && a.TokenEndpointAuthSigningAlg != "" && !anyFits(a) {
			c.lateBad("bad_keys", pointer, "no key of jwks is for this algorithm")
		}
	case byValue:
		c.lateBad("bad_keys", "/jwks", "keys are for the token_endpoint_auth_method private_key_jwt; null removes them")
	case byReference:
		c.lateBad("bad_keys", "/jwks_uri", "keys are for the token_endpoint_auth_method private_key_jwt; null removes them")
	case a.TokenEndpointAuthSigningAlg != "":
		c.lateBad("bad_keys", pointer, "this is for the token_endpoint_auth_method private_key_jwt; null removes it")
	}
}

// anyFits reports whether an assertion of the one algorithm could be signed with a key of the set.
func anyFits(a *storage.Application) bool {
	algorithm := a.TokenEndpointAuthSigningAlg
	return slices.ContainsFunc(keptKeys(a), func(k publicKey) bool {
		return k.Type == keyType(algorithm) && (k.Algorithm == "" || k.Algorithm == algorithm)
	})
}

// keySetURI refuses what keys could not be fetched from. A name that leads to this machine or into a private network is refused
// where it is fetched; one that says so by itself is refused here, unless this server is itself for this machine alone.
func (c *checker) keySetURI(raw string) {
	const pointer = "/jwks_uri"
	parsed, err := url.Parse(raw)
	switch {
	case len(raw) > maxKeySetURI:
		c.bad("too_long", pointer, fmt.Sprintf("at most %d bytes are accepted", maxKeySetURI))
	case err != nil || parsed.Hostname() == "" || parsed.User != nil || strings.Contains(raw, "#"):
		c.bad("malformed_uri", pointer, "want an https URI without user and fragment")
	case loopback(parsed.Hostname()):
		if !c.local {
			c.bad("malformed_uri", pointer, "a URI of the server's own machine is accepted only where the issuer is one, too")
		} else if parsed.Scheme != "https" && parsed.Scheme != "http" {
			c.bad("malformed_uri", pointer, "want an http or https URI")
		}
	case parsed.Scheme != "https":
		c.bad("malformed_uri", pointer, "want an https URI")
	}
}

// loopback reports whether a host says by itself that it is this machine.
func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
}

// keySet refuses a set that is none (RFC 7517, section 5), that has a key which is not public, or one that no assertion could be
// signed with. It returns the set as it is kept.
func (c *checker) keySet(raw json.RawMessage) json.RawMessage {
	if len(raw) > maxKeySet {
		c.bad("too_long", "/jwks", fmt.Sprintf("at most %d bytes are accepted", maxKeySet))
		return nil
	}
	var given map[string]json.RawMessage // whose names have a case, which those of a struct have not
	var keys []json.RawMessage
	if json.Unmarshal(raw, &given) != nil || json.Unmarshal(given["keys"], &keys) != nil || len(keys) == 0 || len(keys) > maxKeys {
		c.bad("bad_keys", "/jwks", fmt.Sprintf(`want a JWK set of 1 to %d keys: {"keys": [...]}`, maxKeys))
		return nil
	}
	set, seen := keySet{}, map[string]bool{}
	for i, key := range keys {
		pointer := fmt.Sprintf("/jwks/keys/%d", i)
		k, err := readPublicKey(key, c.base+pointer)
		if err != nil {
			c.fail(err)
			return nil
		}
		if k.ID != "" && seen[k.ID] {
			c.bad("bad_keys", pointer+"/kid", "another key of the set has this id")
		}
		seen[k.ID] = true
		set.Keys = append(set.Keys, *k)
	}
	kept, err := json.Marshal(set)
	if err != nil {
		c.fail(fmt.Errorf("write a key set: %w", err)) // unreachable: only strings
	}
	return kept
}

// readPublicKey reads one key. The pointer in an error is that of the member at fault.
func readPublicKey(raw json.RawMessage, pointer string) (*publicKey, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return nil, enforce.BadRequest("bad_keys", pointer, "want a JWK, which is an object")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, there := members[private]; there {
			return nil, enforce.BadRequest("bad_keys", pointer+"/"+private,
				"this is part of a private or symmetric key, which now is known here; make a new one and send its public half only")
		}
	}
	k := &publicKey{}
	for _, member := range []struct {
		name string
		into *string
	}{
		{"kty", &k.Type},
		{"kid", &k.ID},
		{"use", &k.Use},
		{"alg", &k.Algorithm},
		{"crv", &k.Curve},
		{"x", &k.X},
		{"y", &k.Y},
		{"n", &k.N},
		{"e", &k.E},
	} {
		value, there := members[member.name]
		if there && (json.Unmarshal(value, member.into) != nil || *member.into == "") {
			return nil, enforce.BadRequest("bad_keys", pointer+"/"+member.name, "want a text that is not empty")
		}
	}
	if err := checkText(k.ID, pointer+"/kid", maxName); err != nil {
		return nil, err
	}
	if operations, there := members["key_ops"]; there {
		var names []string
		if json.Unmarshal(operations, &names) != nil || !slices.Contains(names, "verify") {
			return nil, enforce.BadRequest("bad_keys", pointer+"/key_ops", "want a key for verify")
		}
	}
	if k.Use != "" && k.Use != "sig" {
		return nil, enforce.BadRequest("bad_keys", pointer+"/use", "want a key for signatures: sig")
	}
	if member, detail := k.material(); detail != "" {
		return nil, enforce.BadRequest("bad_keys", pointer+"/"+member, detail)
	}
	if k.Algorithm != "" && keyType(k.Algorithm) != k.Type {
		return nil, enforce.BadRequest("bad_keys", pointer+"/alg", "this key has no such algorithm; want one of "+
			strings.Join(signingAlgorithms(), ", ")+" that fits its kty")
	}
	return k, nil
}

// material checks the numbers of a key and gives them one spelling, or names the member at fault.
func (k *publicKey) material() (member, fault string) {
	const malformed = "want base64url without padding, of the right length"
	switch k.Type {
	case "EC":
		x, y := number(k.X), number(k.Y)
		if k.Curve != "P-256" {
			return "crv", "want P-256"
		}
		if len(x) != 32 {
			return "x", malformed
		}
		if len(y) != 32 {
			return "y", malformed
		}
		if _, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, x, y)); err != nil {
			return "y", "the point is not on the curve"
		}
		k.N, k.E = "", ""
		k.X, k.Y = base64.RawURLEncoding.EncodeToString(x), base64.RawURLEncoding.EncodeToString(y)
	case "OKP":
		x := number(k.X)
		if k.Curve != "Ed25519" {
			return "crv", "want Ed25519"
		}
		if len(x) != ed25519.PublicKeySize {
			return "x", malformed
		}
		k.Y, k.N, k.E = "", "", ""
		k.X = base64.RawURLEncoding.EncodeToString(x)
	case "RSA":
		n, e := new(big.Int).SetBytes(number(k.N)), new(big.Int).SetBytes(number(k.E))
		if n.BitLen() < minModulus || n.BitLen() > maxModulus || n.Bit(0) == 0 {
			return "n", fmt.Sprintf("want a modulus of %d to %d bits, base64url without padding", minModulus, maxModulus)
		}
		if e.BitLen() < 2 || e.BitLen() > 31 || e.Bit(0) == 0 {
			return "e", "want an odd exponent from 3 to 2147483647, base64url without padding"
		}
		k.Curve, k.X, k.Y = "", "", ""
		k.N, k.E = base64.RawURLEncoding.EncodeToString(n.Bytes()), base64.RawURLEncoding.EncodeToString(e.Bytes())
	default:
		return "kty", "want EC, OKP or RSA"
	}
	return "", ""
}

// number decodes a Base64urlUInt (RFC 7518, section 2), or returns nothing.
func number(text string) []byte {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil
	}
	return raw
}

// keptKeys are the registered keys of a record.
func keptKeys(a *storage.Application) []publicKey {
	var set keySet
	if json.Unmarshal(a.JWKS, &set) != nil {
		return nil // none are registered: what is kept was written by keySet
	}
	return set.Keys
}

// proof is the kind of what an application proves itself with: a secret, keys, or nothing.
func proof(a *storage.Application) string {
	if hasSecret(a) {
		return "secret"
	}
	return a.TokenEndpointAuthMethod
}

// disowns reports whether something that proved the application before a change proves it no more, so that what was had with it must
// end: the kind of proof, a registered key, the place where keys are, or the algorithms that are taken. A secret is no case of it:
// tokens name theirs.
func disowns(before, after *storage.Application) bool {
	switch {
	case proof(before) != proof(after):
		return true
	case proof(before) != byKeys:
		return false
	case before.JWKSURI != after.JWKSURI:
		return true
	case after.TokenEndpointAuthSigningAlg != "" && before.TokenEndpointAuthSigningAlg != after.TokenEndpointAuthSigningAlg:
		return true
	}
	still := map[publicKey]bool{}
	for _, k := range keptKeys(after) {
		still[k.alone()] = true
	}
	return slices.ContainsFunc(keptKeys(before), func(k publicKey) bool { return !still[k.alone()] })
}

// alone is the key without what is said about it: whoever has its private half has it under any name.
func (k publicKey) alone() publicKey {
	k.ID, k.Use, k.Algorithm = "", "", ""
	return k
}
