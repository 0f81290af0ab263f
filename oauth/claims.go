package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// claims are the payload of an access token (RFC 9068, section 2.2). What a policy adds is in extra; its names are never
// ours.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  []string `json:"aud"` // always an array, never empty
	ClientID  string   `json:"client_id"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	ExpiresAt int64    `json:"exp"`
	ID        string   `json:"jti"`
	Scope     string   `json:"scope"`
	SID       string   `json:"sid,omitempty"`
	Tenant    string   `json:"tenant,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Epochs    epochs   `json:"writ"`

	extra map[string]any
}

// marshal writes the claims and the extra ones as one object.
func (c *claims) marshal() ([]byte, error) {
	own, err := json.Marshal(c)
	if err != nil || len(c.extra) == 0 {
		return own, err
	}
	extra, err := json.Marshal(c.extra)
	if err != nil {
		return nil, fmt.Errorf("claims of the policy: %w", err)
	}
	return bytes.Join([][]byte{own[:len(own)-1], extra[1:]}, []byte(",")), nil
}

// parseClaims reads a payload whose signature is good. Times must be whole numbers: a fraction or a text is an error.
func parseClaims(payload []byte) (*claims, error) {
	c := new(claims)
	if err := json.Unmarshal(payload, c); err != nil {
		return nil, err
	}
	return c, nil
}

// write makes the access token of a session's claims in its format.
func (s *Server) write(sess *session) (string, error) {
	payload, err := sess.claims.marshal()
	if err != nil {
		return "", err
	}
	ring := s.keys.current.Load()
	if sess.format == formatOpaque {
		var nonce [chacha20poly1305.NonceSizeX]byte
		if _, err := io.ReadFull(s.rand, nonce[:]); err != nil {
			return "", fmt.Errorf("read randomness: %w", err)
		}
		return ring.seal(payload, nonce), nil
	}
	signer := ring.accessSigner(sess.algorithm)
	if signer == nil { // it was there when respond asked, and no key ends without a successor
		return "", fmt.Errorf("sign: no key is active for %s", sess.algorithm)
	}
	return signer.sign(payload)
}
